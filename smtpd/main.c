/* SPDX-License-Identifier: ISC
 *
 * smtpd: speaks SMTP with clients. Started by master; see server.c. */

/* this program */
#include "smtpd/server.h"

int
main(void)
{
	return svc_main(&server_ops);
}
