/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_LOGD_RECORD_H
#define TESTS_UNIT_LOGD_RECORD_H

#include "logd/event.h"

/* 2026-01-02 03:04:05.678 UTC. */
#define RECORD_US 1767323045678000ULL

/* An event as logd sees it: "key=value" strings, NULL at the end. The event lives until the next call. */
const struct event *record_event(const char *process, enum log_level level, const char *name,
				 const char *const *fields);

#endif
