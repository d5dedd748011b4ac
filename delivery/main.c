/* SPDX-License-Identifier: ISC
 *
 * Starts delivery (SMTP and LMTP to servers) or the mailbox agent (Maildirs); which one, master says (agent.c). */

/* lib */
#include "svc/svc.h"
/* this program */
#include "delivery/agent.h"

int
main(void)
{
	return svc_main(&agent_ops);
}
