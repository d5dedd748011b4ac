/* SPDX-License-Identifier: ISC */
#ifndef CONF_USER_H
#define CONF_USER_H

#include <sys/types.h>
#include "base/err.h"

/* The ids of a user of users { }: a numeric id stands for the user and the group of that number; a name is looked up in
 * the text of /etc/passwd, without NSS, so that root loads no modules.
 * errors E_NOTFOUND; E_IO, E_ACCESS: /etc/passwd cannot be read */
int conf_user_find(const char *name, uid_t *uid_out, gid_t *gid_out) MUST_CHECK;

#endif
