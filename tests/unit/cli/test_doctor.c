/* SPDX-License-Identifier: ISC
 *
 * Tests of cli/doctor*.c: what cannot be shown on the machine that runs the tests (its clock, file systems that it does
 * not have), and what is plain data. The rest is in tests/integration/test_doctor.py. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
/* lib */
#include "base/clock.h"
/* this program */
#include "cli/doctor_disk.h"
#include "cli/doctor_dns.h"
#include "tests/unit/unit.h"

#define YEAR_2026_US 1767225600000000ULL /* 2026-01-01 00:00:00 UTC */

static int adjtimex_result, adjtimex_errno, adjtimex_status;

int __wrap_adjtimex(struct timex *t);

int
__wrap_adjtimex(struct timex *t)
{
	ck_assert_uint_eq(t->modes, 0); /* it asks, and sets nothing */
	t->status = adjtimex_status;
	errno = adjtimex_errno;
	return adjtimex_result;
}

/* The lines of one check. free(). */
static char *
lines_of(void (*check)(struct doctor *), bool is_json)
{
	struct conf *conf = conf_defaults();
	struct doctor d = { .conf = conf, .check = "x", .is_json = is_json };
	char *text = NULL;
	size_t n = 0;

	d.out = open_memstream(&text, &n);
	ck_assert_ptr_nonnull(d.out);
	buf_init(&d.problem, 4096);
	check(&d);
	ck_assert_uint_eq(d.problem.n, 0);
	buf_clear(&d.problem);
	ck_assert_int_eq(fclose(d.out), 0);
	conf_free(&conf);
	return text;
}

/* ---- clock ---- */

static const struct {
	uint64_t wall_us;
	int result, error, status;
	const char *begins, *has;
} clocks[] = {
	{ YEAR_2026_US, TIME_OK, 0, 0, "ok    x           2026-01-01 00:00:00 UTC, synchronised\n",
	  "" },
	{ YEAR_2026_US, TIME_ERROR, 0, STA_UNSYNC,
	  "warn  x           2026-01-01 00:00:00 UTC, not synchronised; ", "run chrony" },
	{ YEAR_2026_US, TIME_OK, 0, STA_UNSYNC, "warn ", "run chrony" },
	{ YEAR_2026_US, -1, EPERM, 0, "warn ", "Operation not permitted" },
	{ 1000000, TIME_OK, 0, 0, "FAIL  x           1970-01-01 00:00:01 UTC cannot be right; ",
	  "set it" },
};

START_TEST(clock_is_judged)
{
	char *text;

	adjtimex_result = clocks[_i].result;
	adjtimex_errno = clocks[_i].error;
	adjtimex_status = clocks[_i].status;
	clock_fake_set(clocks[_i].wall_us, 1);
	text = lines_of(doctor_check_clock, false);
	clock_fake_set(0, 0);
	ck_assert(strncmp(text, clocks[_i].begins, strlen(clocks[_i].begins)) == 0);
	ck_assert_ptr_nonnull(strstr(text, clocks[_i].has));
	free(text);
}
END_TEST

/* ---- lines ---- */

static void
three_lines(struct doctor *d)
{
	doctor_ok(d, "all %s", "well");
	doctor_warn(d, "say \"%s\"", "this");
	doctor_remedy(d, "do %d", 1);
	doctor_fail(d, "bad");
	doctor_remedy(d, "do %d", 2);
	ck_assert_uint_eq(d->fails, 1);
}

START_TEST(lines_are_text_or_json)
{
	char *text = lines_of(three_lines, false), *json = lines_of(three_lines, true);

	ck_assert_str_eq(text, "ok    x           all well\n"
			       "warn  x           say \"this\"; do 1\n"
			       "FAIL  x           bad; do 2\n");
	ck_assert_str_eq(json, "{\"check\":\"x\",\"result\":\"ok\",\"text\":\"all well\"}\n"
			       "{\"check\":\"x\",\"result\":\"warn\",\"text\":\"say "
			       "\\\"this\\\"\",\"remedy\":\"do 1\"}\n"
			       "{\"check\":\"x\",\"result\":\"fail\",\"text\":\"bad\",\"remedy\":"
			       "\"do 2\"}\n");
	free(text);
	free(json);
}
END_TEST

static void
no_remedy(struct doctor *d)
{
	doctor_fail(d, "bad");
	doctor_ok(d, "well");
	doctor_fail(d, "worse");
}

START_TEST(failure_without_a_remedy_is_a_bug)
{
	free(lines_of(no_remedy, false));
}
END_TEST

/* ---- file systems ---- */

static const struct {
	unsigned long type;
	const char *has; /* NULL: nothing against it */
} kinds[] = {
	{ 0xef53, NULL },     /* ext2, 3, 4 */
	{ 0x58465342, NULL }, /* XFS */
	{ 0x9123683e, NULL }, /* Btrfs */
	{ 0x2fc12fc1, NULL }, /* ZFS */
	{ 0x6969, "NFS" },
	{ 0xff534d42, "CIFS" },
	{ 0xfe534d42, "SMB" },
	{ 0x00c36400, "Ceph" },
	{ 0x65735546, "FUSE" },
	{ 0x01021994, "tmpfs" },
	{ 0x794c7630, "overlayfs" },
};

START_TEST(file_system_kind_is_judged)
{
	const char *remedy = NULL, *what = doctor_disk_kind(kinds[_i].type, &remedy);

	if (kinds[_i].has == NULL) {
		ck_assert_ptr_null(what);
		return;
	}
	ck_assert_ptr_nonnull(what);
	ck_assert_ptr_nonnull(strstr(what, kinds[_i].has));
	ck_assert_ptr_nonnull(remedy);
	ck_assert_int_gt((int)strlen(remedy), 10);
}
END_TEST

/* ---- addresses ---- */

static const struct {
	const char *text, *reverse;
	bool is_private;
} addrs[] = {
	{ "192.0.2.1", "1.2.0.192.in-addr.arpa", false },
	{ "10.1.2.3", "3.2.1.10.in-addr.arpa", true },
	{ "172.31.0.1", "1.0.31.172.in-addr.arpa", true },
	{ "172.32.0.1", "1.0.32.172.in-addr.arpa", false },
	{ "100.127.255.255", "255.255.127.100.in-addr.arpa", true },
	{ "2001:db8::567:89ab",
	  "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", false },
	{ "fd00::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
	  true },
};

START_TEST(address_is_read_backwards_and_known_as_private)
{
	struct conf_addr a;
	char out[256];

	ck_assert_int_eq(conf_addr_parse(span_of(addrs[_i].text), &a), 0);
	doctor_dns_reverse(&a, out);
	ck_assert_str_eq(out, addrs[_i].reverse);
	ck_assert_int_eq(doctor_is_private(&a), addrs[_i].is_private);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("doctor");
	TCase *tc = tcase_create("bugs");

	UNIT_TABLE(s, clock_is_judged, clocks);
	UNIT_TEST(s, lines_are_text_or_json);
	UNIT_TABLE(s, file_system_kind_is_judged, kinds);
	UNIT_TABLE(s, address_is_read_backwards_and_known_as_private, addrs);
	tcase_add_test_raise_signal(tc, failure_without_a_remedy_is_a_bug, 6);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
