/* SPDX-License-Identifier: ISC */
#ifndef LOGD_LOGD_H
#define LOGD_LOGD_H

#include "svc/svc.h"

extern const struct svc_ops logd_ops;

#endif
