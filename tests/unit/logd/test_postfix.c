/* SPDX-License-Identifier: ISC
 *
 * Tests of logd/postfix.c: lines that Postfix's log watchers parse. */

/* lib */
#include "base/span.h"
/* this program */
#include "tests/unit/logd/record.h"
#include "tests/unit/unit.h"

static struct buf out;

static void
put(void *arg, const char *program, struct span text)
{
	(void)arg;
	buf_printf(&out, "%s: %.*s\n", program, SPAN_ARG(text));
}

#define CLIENT "sid=S1", "client=192.0.2.1", "helo=c.example"
static const struct {
	const char *event;
	const char *fields[12];
	const char *want;
} cases[] = {
	{ "connect", { "sid=S1", "client=192.0.2.1" }, "smtpd: connect from unknown[192.0.2.1]\n" },
	{ "connect", { "client=IPv6:2001:db8::1" }, "smtpd: connect from unknown[2001:db8::1]\n" },
	{ "disconnect",
	  { "client=192.0.2.1", "mail=2", "quit=1", "commands=7" },
	  "smtpd: disconnect from unknown[192.0.2.1] mail=2 quit=1 commands=7\n" },
	/* smtpd gives the whole reply in one field. */
	{ "reject",
	  { CLIENT, "stage=RCPT", "from=a@b", "to=x@y", "reply=550 5.1.1 No such user here" },
	  "smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <x@y>: Recipient "
	  "address rejected: User unknown: "
	  "No such user here; from=<a@b> to=<x@y> proto=ESMTP helo=<c.example>\n" },
	{ "reject",
	  { CLIENT, "stage=RCPT", "from=", "to=x@y", "reply=550", "esc=5.7.1",
	    "text=Relaying denied" },
	  "smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.7.1 <x@y>: Relay access "
	  "denied: "
	  "Relaying denied; from=<> to=<x@y> proto=ESMTP helo=<c.example>\n" },
	{ "reject",
	  { "client=192.0.2.1", "stage=CONNECT", "reply=421 4.7.0 Too many connections" },
	  "smtpd: NOQUEUE: reject: CONNECT from unknown[192.0.2.1]: 421 4.7.0 Client host "
	  "rejected: Too many connections; from=<> "
	  "proto=ESMTP helo=<>\n" },
	{ "received",
	  { CLIENT, "qid=0123456789ABC", "from=a@b", "size=700", "nrcpt=2", "proto=ESMTP" },
	  "smtpd: 0123456789ABC: client=unknown[192.0.2.1]\n"
	  "qmgr: 0123456789ABC: from=<a@b>, size=700, nrcpt=2 (queue active)\n" },
	{ "queued",
	  { "qid=0123456789ABC", "from=", "size=700", "nrcpt=1" },
	  "qmgr: 0123456789ABC: from=<>, size=700, nrcpt=1 (queue active)\n" },
	{ "delivered",
	  { "qid=Q", "to=x@y", "orig=o@y", "relay=mx.y[192.0.2.9]:25", "reply=250", "esc=2.0.0",
	    "text=ok", "delay_ms=12345", "queued_ms=7", "connect_ms=1500", "transmit_ms=230" },
	  "smtp: Q: to=<x@y>, orig_to=<o@y>, relay=mx.y[192.0.2.9]:25, delay=12, "
	  "delays=0/0.01/1.5/0.23, dsn=2.0.0, status=sent "
	  "(250 2.0.0 ok)\n" },
	{ "delivered",
	  { "qid=Q", "to=x@y", "orig=x@y", "relay=/m", "transport=maildir" },
	  "virtual: Q: to=<x@y>, relay=/m, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent ()\n" },
	{ "deferred",
	  { "qid=Q", "to=x@y", "transport=lmtp", "reply=450", "esc=4.2.0", "text=450 4.2.0 busy" },
	  "lmtp: Q: to=<x@y>, relay=none, delay=0, delays=0/0/0/0, dsn=4.2.0, status=deferred (450 "
	  "4.2.0 busy)\n" },
	{ "bounced",
	  { "qid=Q", "to=x@y", "esc=5.1.1", "text=gone" },
	  "smtp: Q: to=<x@y>, relay=none, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced "
	  "(gone)\n" },
	{ "removed", { "qid=Q" }, "qmgr: Q: removed\n" },
	{ "held", { "qid=Q" }, "postsuper: Q: placed on hold\n" },
	{ "warn", { "msg=disk is full" }, "smtpd: warning: disk is full\n" },
	{ "child_exit",
	  { "name=qmgr", "reason=a b" },
	  "smtpd: child_exit name=qmgr reason=\"a b\"\n" },
	/* A stranger's words imitate nothing. */
	{ "reject",
	  { "client=192.0.2.1", "stage=RCPT", "from=x> to=<y", "to=a\nb>", "reply=550 5.1.1 a;b",
	    "helo=\xc3\xbc[1]\r" },
	  "smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <a?b?>: Recipient "
	  "address rejected: User unknown: a?b; "
	  "from=<x? to=?y> to=<a?b?> proto=ESMTP helo=<??[1]?>\n" },
};

START_TEST(lines)
{
	buf_reset(&out);
	event_put_postfix(record_event("smtpd", LOG_INFO_, cases[_i].event, cases[_i].fields), put,
			  NULL);
	UNIT_EQ(buf_span(&out), cases[_i].want);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("postfix");

	buf_init(&out, 65536);
	UNIT_TABLE(s, lines, cases);
	return unit_run(s);
}
