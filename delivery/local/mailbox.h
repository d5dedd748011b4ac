/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_LOCAL_MAILBOX_H
#define DELIVERY_LOCAL_MAILBOX_H

#include "delivery/agent.h"

/* Sessions of the mailbox agent: one Maildir each, below a base that master gave. */
extern const struct agent_backend mailbox_backend;

#endif
