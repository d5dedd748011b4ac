/* SPDX-License-Identifier: ISC */
#ifndef CLI_HINT_H
#define CLI_HINT_H

#include "conf/conf.h"

/* For `postern run` with a file called quickstart.conf: how to send a first message and where it lands, on stderr. Says
 * nothing for other files. */
void hint_print(const char *conf_path, const struct conf *c);

#endif
