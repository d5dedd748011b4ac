/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/err.c and of the rows of errors.def. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/err.h"
/* this program */
#include "tests/unit/unit.h"

static const int codes[] = {
#define ERR(code, class, reply, esc, text) code,
#include "base/errors.def"
#undef ERR
};

/* A reply and its enhanced code say the same: 4yz with 4.y.z, 5yz with 5.y.z (RFC 3463 2). Two rows differ on purpose:
 * too many recipients is 452 (RFC 5321 4.5.3.1.10), and 421 ends a session of too many errors. */
START_TEST(row)
{
	const struct err_info *info = err_info(codes[_i]);
	int class, subject, detail, end = 0;

	ck_assert_int_lt(codes[_i], 0);
	ck_assert_int_eq(strncmp(info->name, "E_", 2), 0);
	ck_assert_int_gt(info->reply, 399);
	ck_assert_int_lt(info->reply, 600);
	ck_assert_int_eq(sscanf(info->esc, "%1d.%3d.%3d%n", &class, &subject, &detail, &end), 3);
	ck_assert_int_eq(info->esc[end], '\0');
	ck_assert_int_eq(class, info->reply / 100);
	if (codes[_i] != E_TOOMANY_ERRORS)
		ck_assert_int_eq(info->class, class == 4 ? ERR_CLASS_TEMP : ERR_CLASS_PERM);
	ck_assert_uint_gt(strlen(info->text), 0);
	/* A reply line has at most 512 octets: RFC 5321 4.5.3.1.5. */
	ck_assert_uint_lt(strlen(info->text), 400);
}
END_TEST

START_TEST(names_are_those_of_the_codes)
{
	ck_assert_str_eq(err_info(E_NOSPACE)->name, "E_NOSPACE");
	ck_assert_int_eq(err_info(E_NOSPACE)->reply, 452);
	ck_assert_str_eq(err_info(E_TOOBIG)->esc, "5.3.4");
	ck_assert_str_eq(err_info(E_INTERNAL)->name, "E_INTERNAL");
}
END_TEST

static const int no_codes[] = { 0, 1, -1, E_FIRST, E_END, 1000, -100000 };

START_TEST(no_code_is_internal)
{
	ck_assert_ptr_eq(err_info(no_codes[_i]), err_info(E_INTERNAL));
}
END_TEST

static const struct {
	int errnum, code;
} errno_cases[] = {
	{ ENOSPC, E_NOSPACE },
	{ EDQUOT, E_NOSPACE },
	{ EACCES, E_ACCESS },
	{ EPERM, E_ACCESS },
	{ ENOENT, E_NOTFOUND },
	{ ENOMEM, E_NOMEM },
	{ EAGAIN, E_AGAIN },
	{ ETIMEDOUT, E_TIMEOUT },
	{ EPIPE, E_CLOSED },
	{ ECONNRESET, E_CLOSED },
	{ EIO, E_IO },
	{ EROFS, E_READONLY },
	{ 0, E_IO },
};

START_TEST(errno_becomes_a_code)
{
	ck_assert_int_eq(err_from_errno(errno_cases[_i].errnum), errno_cases[_i].code);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("err");

	UNIT_TABLE(s, row, codes);
	UNIT_TEST(s, names_are_those_of_the_codes);
	UNIT_TABLE(s, no_code_is_internal, no_codes);
	UNIT_TABLE(s, errno_becomes_a_code, errno_cases);
	return unit_run(s);
}
