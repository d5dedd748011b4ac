/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <stdint.h>

#define DATE_TEXT_MAX 40

/* "Fri, 20 Nov 2026 21:05:01 +0000": a date of a header field, always in UTC, whatever the locale.   RFC 5322 3.3
 * wall_us   microseconds since 1970, before the year 10000 */
void date_format(uint64_t wall_us, char out[DATE_TEXT_MAX]);

#endif
