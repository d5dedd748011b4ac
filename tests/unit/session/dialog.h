/* SPDX-License-Identifier: ISC */
#ifndef TESTS_SESSION_DIALOG_H
#define TESTS_SESSION_DIALOG_H

#include "tests/unit/session/driver.h"

#define HI "EHLO c\r\n"
#define ENVELOPE HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define ENVELOPE_R "220, 250, 250 2.1.0, 250 2.1.5"

/* "250 2.1.0" of each reply, the last line of those with several; joined by ", ". Static storage. */
const char *summary(struct span replies);
/* Start a session whose client is trusted with bare newlines, and feed it. */
void run(struct driver *d, const char *in, size_t step, bool is_async);

#endif
