/* SPDX-License-Identifier: ISC
 *
 * Under which name a refusal is counted. */

/* this program */
#include "smtpd/counts.h"
#include "tests/unit/unit.h"

static const struct {
	const char *stage, *reply;
	enum count which;
} rejects[] = {
	{ "CONNECT", "421 4.7.0 mx Too many connections from your address", COUNT_REFUSED },
	{ "CONNECT", "554 5.7.1 mx You talk before the greeting", COUNT_REFUSED },
	{ "RCPT", "550 5.7.1 Relaying denied", COUNT_RELAY },
	{ "RCPT", "550 5.1.1 No such user here", COUNT_UNKNOWN },
	{ "RCPT", "550 5.1.2 Domain not found", COUNT_ADDRESS },
	{ "RCPT", "553 5.1.3 Address is not valid", COUNT_ADDRESS },
	{ "RCPT", "556 5.1.10 Domain does not accept mail", COUNT_ADDRESS },
	{ "MAIL", "552 5.3.4 Message size exceeds limit", COUNT_SIZE },
	{ "MESSAGE", "550 5.6.0 Bare CR or LF", COUNT_CONTENT },
	{ "MESSAGE", "554 5.4.6 Mail loop detected", COUNT_CONTENT },
	{ "RCPT", "450 4.7.1 Rate limit exceeded", COUNT_RATE },
	{ "RCPT", "452 4.5.3 Too many recipients", COUNT_RATE },
	{ "MAIL", "452 4.3.1 Insufficient system storage", COUNT_LATER },
	{ "RCPT", "451 4.4.3 Temporary DNS failure", COUNT_LATER },
	{ "SESSION", "421 4.4.2 mx Timed out", COUNT_ENDED },
	{ "COMMAND", "500 5.5.2 Command not recognized", COUNT_SYNTAX },
	{ "DATA", "503 5.5.1 Send MAIL first", COUNT_SYNTAX },
	{ "MAIL", "555 5.5.4 Parameter not recognized", COUNT_SYNTAX },
	{ "MAIL", "530 5.7.0 Authentication required", COUNT_POLICY },
	{ "DATA", "554 5.5.0 Wait for the reply to DATA", COUNT_POLICY },
	{ "RCPT", "", COUNT_POLICY },
};

START_TEST(name)
{
	ck_assert_int_eq(counts_of_reject(rejects[_i].stage, span_of(rejects[_i].reply)),
			 rejects[_i].which);
}
END_TEST

START_TEST(workers_share_counters)
{
	struct clients *c = clients_open(-1, 1, 0);
	struct msg_smtpd_stats m = { .req = 7 };

	clients_count(c, COUNT_BYTES, UINT64_C(1) << 40);
	clients_count(c, COUNT_BYTES, 2);
	clients_count(c, COUNT_COUNT - 1, 3);
	clients_total_add(c, 1);
	counts_read(c, 0, &m);
	ck_assert_uint_eq(m.req, 7);
	ck_assert_uint_eq(m.bytes, (UINT64_C(1) << 40) + 2);
	ck_assert_uint_eq(m.ended, 3);
	ck_assert_uint_eq(m.sessions, 1);
	ck_assert_uint_eq(m.relay, 0);
	clients_close(&c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("counts");

	UNIT_TABLE(s, name, rejects);
	UNIT_TEST(s, workers_share_counters);
	return unit_run(s);
}
