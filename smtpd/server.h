/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_SERVER_H
#define SMTPD_SERVER_H

#include "svc/svc.h"

/* What smtpd is to the frame of all children of master. */
extern const struct svc_ops server_ops;

#endif
