/* SPDX-License-Identifier: ISC */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/scan.h"

/* What options mean together: errors and warnings with the line of the option that is to be changed. Internal
 * to lib/conf. */
void conf_check(const struct conf_source *src, const struct conf *c, struct scan *found);

#endif
