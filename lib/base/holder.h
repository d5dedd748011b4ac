/* SPDX-License-Identifier: ISC */
#ifndef BASE_HOLDER_H
#define BASE_HOLDER_H

#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"

/* The process that listens on a TCP port of any address: its id, and "exim4 (process 812)" put into out. 0 and nothing
 * put: nobody listens, or it cannot be told. */
pid_t holder_find(uint16_t port, struct buf *out);

#endif
