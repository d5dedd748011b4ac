/* SPDX-License-Identifier: ISC
 *
 * Tests of base/holder.c. */

/* System */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/holder.h"
/* this program */
#include "tests/unit/unit.h"

START_TEST(holder_of_a_port_is_found)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char want[64];
	struct buf out;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	buf_init(&out, 256);
	ck_assert_int_eq(holder_find(ntohs(sin.sin_port), &out), 0);
	UNIT_EQ(buf_span(&out), ""); /* bound, but nobody listens */
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(holder_find(ntohs(sin.sin_port), &out), getpid());
	ck_assert_int_eq(prctl(PR_SET_NAME, "a\033[2Jb"), 0);
	buf_reset(&out);
	ck_assert_int_eq(holder_find(ntohs(sin.sin_port), &out), getpid());
	snprintf(want, sizeof(want), "a?[2Jb (process %d)", (int)getpid());
	UNIT_EQ(buf_span(&out), want);
	ck_assert_int_eq(prctl(PR_SET_NAME, "test_holder"), 0);
	buf_reset(&out);
	ck_assert_int_eq(holder_find(ntohs(sin.sin_port), &out), getpid());
	snprintf(want, sizeof(want), "test_holder (process %d)", (int)getpid());
	UNIT_EQ(buf_span(&out), want);
	buf_clear(&out);
	fd_close(&fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("holder");

	UNIT_TEST(s, holder_of_a_port_is_found);
	return unit_run(s);
}
