/* SPDX-License-Identifier: ISC */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* The error codes of errors.def: all negative, so that `if ((r = f()) < 0) return r;` passes them up. */
enum err_code {
	E_FIRST = -1000,
#define ERR(code, class, reply, esc, text) code,
#include "base/errors.def"
#undef ERR
	E_END
};

enum err_class { ERR_CLASS_TEMP, ERR_CLASS_PERM };

/* One row of errors.def. */
struct err_info {
	const char *name;     /* "E_NOSPACE" */
	enum err_class class; /* TEMP: try again; PERM: do not */
	int reply;	      /* SMTP reply code */
	const char *esc;      /* enhanced status code, RFC 3463 */
	const char *text;     /* for a person, without code */
};

/* The row of a code; for a number that is no code the row of E_INTERNAL, never NULL. */
const struct err_info *err_info(int code);

/* Translate errno: ENOSPC and EDQUOT to E_NOSPACE, EACCES and EPERM to E_ACCESS, ENOENT to E_NOTFOUND,
 * ENOMEM to E_NOMEM, EAGAIN to E_AGAIN, ETIMEDOUT to E_TIMEOUT, EPIPE and ECONNRESET to E_CLOSED, the rest to E_IO. */
int err_from_errno_lookup(int errnum);

/* Inline, so that compilers and analyzers see that the result is negative and `if ((r = f()) < 0)` catches it. */
static inline int
err_from_errno(int errnum)
{
	int code = err_from_errno_lookup(errnum);

	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
