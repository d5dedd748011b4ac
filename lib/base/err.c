/* SPDX-License-Identifier: ISC
 *
 * The table of errors.def, and errno turned into it. Used by every process. */

/* System */
#include <errno.h>
/* lib */
#include "base/err.h"

static const struct err_info err_table[] = {
#define ERR(code, class, reply, esc, text) { #code, ERR_CLASS_##class, reply, esc, text },
#include "base/errors.def"
#undef ERR
};

const struct err_info *
err_info(int code)
{
	if (code <= E_FIRST || code >= E_END)
		code = E_INTERNAL;
	return &err_table[code - E_FIRST - 1];
}

int
err_from_errno_lookup(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return E_NOSPACE;
	case EROFS:
		return E_READONLY;
	case EACCES:
	case EPERM:
		return E_ACCESS;
	case ENOENT:
		return E_NOTFOUND;
	case ENOMEM:
		return E_NOMEM;
	case EAGAIN:
		return E_AGAIN;
	case ETIMEDOUT:
		return E_TIMEOUT;
	case EPIPE:
	case ECONNRESET:
		return E_CLOSED;
	default:
		return E_IO;
	}
}
