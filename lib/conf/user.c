/* SPDX-License-Identifier: ISC
 *
 * Names of users { } to ids, from the text of /etc/passwd. Runs in master as root, and in the tools. */

/* System */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/span.h"
#include "conf/user.h"

int
conf_user_find(const char *name, uid_t *uid_out, gid_t *gid_out)
{
	struct passwd *pw;
	uint64_t id;
	FILE *f;

	if (span_to_u64(span_of(name), UINT32_MAX - 1, &id) == 0) {
		*uid_out = (uid_t)id;
		*gid_out = (gid_t)id;
		return 0;
	}
	if ((f = fopen("/etc/passwd", "re")) == NULL)
		return err_from_errno(errno);
	while ((pw = fgetpwent(f)) != NULL && strcmp(pw->pw_name, name) != 0)
		continue;
	fclose(f);
	if (pw == NULL)
		return E_NOTFOUND;
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	return 0;
}
