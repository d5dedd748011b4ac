/* SPDX-License-Identifier: ISC
 *
 * logd: writes the log. See logd.c.
 */
/* this program */
#include "logd/logd.h"

int
main(void)
{
	return svc_main(&logd_ops);
}
