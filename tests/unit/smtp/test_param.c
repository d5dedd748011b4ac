/* SPDX-License-Identifier: ISC
 *
 * Parameters of MAIL and RCPT. */

/* lib */
#include "smtp/param.h"
/* this program */
#include "tests/unit/unit.h"

#define X100                                                                                       \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"890123456789"

static const struct {
	const char *in;
	int r;
	uint64_t size;
	enum smtp_body body;
	bool is_smtputf8;
	enum smtp_ret ret;
	const char *envid;
} mails[] = {
	{ "", 0, 0, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ "   ", 0, 0, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ " SIZE=1000", 0, 1000, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ "size=0 body=8bitmime", 0, 0, SMTP_BODY_8BITMIME, false, SMTP_RET_NONE, "" },
	{ "BODY=7BIT SMTPUTF8 RET=HDRS ENVID=a+2Bb", 0, 0, SMTP_BODY_7BIT, true, SMTP_RET_HDRS,
	  "a+2Bb" },
	{ "RET=full ENVID=" X100, 0, 0, SMTP_BODY_7BIT, false, SMTP_RET_FULL, X100 },
	{ "AUTH=<> SIZE=1", 0, 1, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ "AUTH=a@b", 0, 0, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ "SIZE=99999999999999999999", 0, 1ULL << 62, SMTP_BODY_7BIT, false, SMTP_RET_NONE, "" },
	{ .in = "SIZE=999999999999999999999", .r = E_SYNTAX },
	{ .in = "SIZE=", .r = E_SYNTAX },
	{ .in = "SIZE", .r = E_SYNTAX },
	{ .in = "SIZE=-1", .r = E_SYNTAX },
	{ .in = "SIZE=1x", .r = E_SYNTAX },
	{ .in = "SIZE=1 SIZE=1", .r = E_SYNTAX },
	{ .in = "BODY=BINARYMIME", .r = E_PARAM },
	{ .in = "BODY=X", .r = E_SYNTAX },
	{ .in = "SMTPUTF8=1", .r = E_SYNTAX },
	{ .in = "RET=SOME", .r = E_SYNTAX },
	{ .in = "RET=FULL RET=HDRS", .r = E_SYNTAX },
	{ .in = "ENVID=a+2b", .r = E_SYNTAX },
	{ .in = "ENVID=a+0A", .r = E_SYNTAX },
	{ .in = "ENVID=a=b", .r = E_SYNTAX },
	{ .in = "ENVID=x" X100, .r = E_SYNTAX },
	{ .in = "OPT", .r = E_BADPARAM },
	{ .in = "X-Y=1", .r = E_BADPARAM },
	{ .in = "=1", .r = E_SYNTAX },
	{ .in = "-X=1", .r = E_SYNTAX },
	{ .in = "X_Y=1", .r = E_SYNTAX },
	{ .in = "SIZE\t=1", .r = E_SYNTAX },
	{ .in = "NOTIFY=NEVER", .r = E_BADPARAM },
};

START_TEST(mail)
{
	struct mail_params m;

	ck_assert_msg(param_parse_mail(span_of(mails[_i].in), &m) == mails[_i].r, "\"%s\"",
		      mails[_i].in);
	if (mails[_i].r < 0)
		return;
	ck_assert_uint_eq(m.size_bytes, mails[_i].size);
	ck_assert_int_eq(m.body, mails[_i].body);
	ck_assert_int_eq(m.is_smtputf8, mails[_i].is_smtputf8);
	ck_assert_int_eq(m.ret, mails[_i].ret);
	UNIT_EQ(m.envid, mails[_i].envid);
}
END_TEST

static const struct {
	const char *in;
	int r;
	uint8_t notify;
	const char *orcpt;
} rcpts[] = {
	{ "", 0, 0, "" },
	{ "NOTIFY=NEVER", 0, SMTP_NOTIFY_NEVER, "" },
	{ "notify=success,Failure ORCPT=rfc822;a+40b", 0, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE,
	  "rfc822;a+40b" },
	{ "NOTIFY=DELAY", 0, SMTP_NOTIFY_DELAY, "" },
	{ "ORCPT=utf-8;\\x{FC}x@b", 0, 0, "utf-8;\\x{FC}x@b" },
	{ "ORCPT=utf-8;\303\274x@b", 0, 0, "utf-8;\303\274x@b" },
	{ "NOTIFY=NEVER,DELAY", E_SYNTAX, 0, "" },
	{ "NOTIFY=", E_SYNTAX, 0, "" },
	{ "NOTIFY", E_SYNTAX, 0, "" },
	{ "NOTIFY=DELAY,", E_SYNTAX, 0, "" },
	{ "NOTIFY=,DELAY", E_SYNTAX, 0, "" },
	{ "NOTIFY=OFTEN", E_SYNTAX, 0, "" },
	{ "NOTIFY=NEVER NOTIFY=NEVER", E_SYNTAX, 0, "" },
	{ "ORCPT=a@b", E_SYNTAX, 0, "" },
	{ "ORCPT=;a@b", E_SYNTAX, 0, "" },
	{ "ORCPT=rfc822;", E_SYNTAX, 0, "" },
	{ "ORCPT=rfc822;a+0Db", E_SYNTAX, 0, "" },
	{ "ORCPT=rfc822;\303\274@b", E_SYNTAX, 0, "" },
	{ "ORCPT=utf-8;\377@b", E_SYNTAX, 0, "" },
	{ "ORCPT=utf-8;\\x{@b", E_SYNTAX, 0, "" },
	{ "ORCPT=utf-8;\\x{1234567}@b", E_SYNTAX, 0, "" },
	{ "ORCPT=utf-8;\\x{12", E_SYNTAX, 0, "" },
	{ "ORCPT=rfc822;" X100 X100 X100 X100 X100, E_SYNTAX, 0, "" },
	{ "SIZE=1", E_BADPARAM, 0, "" },
};

START_TEST(rcpt)
{
	struct rcpt_params p;

	ck_assert_msg(param_parse_rcpt(span_of(rcpts[_i].in), &p) == rcpts[_i].r, "\"%s\"",
		      rcpts[_i].in);
	if (rcpts[_i].r < 0)
		return;
	ck_assert_uint_eq(p.notify, rcpts[_i].notify);
	UNIT_EQ(p.orcpt, rcpts[_i].orcpt);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("param");

	UNIT_TABLE(s, mail, mails);
	UNIT_TABLE(s, rcpt, rcpts);
	return unit_run(s);
}
