/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_NET_H
#define DELIVERY_OUT_NET_H

#include "delivery/agent.h"

/* Sessions over the network: hosts and addresses of a plan are tried in order until one takes EHLO. */
extern const struct agent_backend out_net_backend;

#endif
