/* SPDX-License-Identifier: ISC
 *
 * Tests of delivery/out_session.c and out_txn.c: whole dialogs as tables (dialog.h tells the language). */

/* this program */
#include "tests/unit/delivery/dialog.h"
#include "tests/unit/unit.h"

#define OPEN(ext) "S 220 mx.example", "C EHLO me.example", "S 250-mx.example\r\n" ext
#define PLAIN OPEN("250 8BITMIME")
#define PIPE OPEN("250-PIPELINING\r\n250 8BITMIME")
#define CHUNK OPEN("250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME")
#define LHLO(ext) "S 220 mx.example", "C LHLO me.example", "S 250-mx.example\r\n" ext
#define MESSAGE "Received: here\nSubject: x\n\nhi"
#define ONE "MAIL FROM:<s@a.example>\nRCPT TO:<r@b.example>\nDATA"
#define TWO "MAIL FROM:<s@a.example>\nRCPT TO:<r1@b.example>\nRCPT TO:<r2@b.example>\nDATA"
#define OK "delivered (nodsn) 250 2.0.0 "

/* ---- opening and closing ---- */

static const struct dialog opening[] = {
	{ "good",
	  false,
	  { "W greeting", "T 1", "S 220 mx", "W hello", "T 2", "C EHLO me.example", "S 250 mx",
	    "W idle", "T 0", "C", "U yes", "X quit", "U no", "C QUIT", "W quit", "T 8", "S 221 bye",
	    "F 221 2.0.0 bye" } },
	{ "quit without reply",
	  false,
	  { PLAIN, "X quit", "C QUIT", "X close",
	    "F 0 4.4.2 connection closed by the server while waiting for the reply to QUIT" } },
	{ "helo",
	  false,
	  { "S 220 mx", "C EHLO me.example", "S 502 no", "W helo", "T 2", "C HELO me.example",
	    "S 250 mx", "W idle", "J one", "C MAIL FROM:<s@a.example>", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to "
	    "MAIL" } },
	{ "helo refused",
	  false,
	  { "S 220 mx", "*", "S 500 what", "*", "S 550 go away", "F 550 5.0.0 go away" } },
	{ "ehlo later", false, { "S 220 mx", "*", "S 451 4.3.2 later", "F 451 4.3.2 later" } },
	{ "lmtp has no helo",
	  true,
	  { "S 220 mx", "C LHLO me.example", "S 500 5.5.1 what", "F 500 5.5.1 what" } },
	{ "multi-line greeting",
	  false,
	  { "R 220-hello\r\n220-there\r\n220 mx\r\n", "C EHLO me.example" } },
	{ "greeting 554", false, { "S 554 5.7.1 blocked", "F 554 5.7.1 blocked" } },
	{ "greeting 421", false, { "S 421 busy", "F 421 4.0.0 busy", "C" } },
	{ "greeting 354",
	  false,
	  { "S 354 ?", "F 0 4.5.0 unexpected reply while waiting for the greeting" } },
	{ "greeting garbage",
	  false,
	  { "S HTTP/1.1 400 Bad Request",
	    "F 0 4.5.0 no SMTP reply while waiting for the greeting" } },
	{ "greeting timeout",
	  false,
	  { "X timeout", "F 0 4.4.2 timed out while waiting for the greeting" } },
	{ "greeting closed",
	  false,
	  { "X close",
	    "F 0 4.4.2 connection closed by the server while waiting for the greeting" } },
	{ "ehlo timeout",
	  false,
	  { "S 220 mx", "*", "X timeout",
	    "F 0 4.4.2 timed out while waiting for the reply to EHLO" } },
	{ "ehlo not taken",
	  false,
	  { "S 220 mx", "-", "X timeout", "F 0 4.4.2 timed out while sending" } },
	{ "ehlo closed",
	  false,
	  { "S 220 mx", "*", "X close",
	    "F 0 4.4.2 connection closed by the server while waiting for the reply to EHLO" } },
	{ "talks before its turn",
	  false,
	  { "R 220 mx\r\n250 ok\r\n",
	    "F 0 4.5.0 unexpected reply while waiting for the reply to EHLO" } },
	{ "talks when idle",
	  false,
	  { PLAIN, "S 250 ok", "F 0 4.5.0 unexpected reply while waiting for the next message" } },
	{ "421 when idle", false, { PLAIN, "S 421 4.4.2 idle", "F 421 4.4.2 idle" } },
	{ "closed when idle",
	  false,
	  { PLAIN, "X close",
	    "F 0 4.4.2 connection closed by the server while waiting for the next message" } },
	{ "quit before ready",
	  false,
	  { "S 220 mx", "*", "X quit", "F 0 4.3.2 not needed any more " } },
	{ "stop when idle", false, { PLAIN, "X stop", "F 0 4.3.2 stopping", "U no" } },
};

/* ---- one command at a time ---- */

static const struct dialog sequential[] = {
	{ "good",
	  false,
	  { PLAIN, "J one", "T 3", "C MAIL FROM:<s@a.example>", "S 250 ok", "T 4",
	    "C RCPT TO:<r@b.example>", "S 250 ok", "T 5", "C DATA", "S 354 go", "T 6",
	    "C " MESSAGE "\n.", "T 7", "S 250 2.6.0 taken", "= delivered (nodsn) 250 2.6.0 taken",
	    "W idle", "U yes" } },
	{ "mail deferred",
	  false,
	  { PLAIN, "J one", "*", "S 451 4.7.1 grey", "= deferred 451 4.7.1 grey", "C", "W idle" } },
	{ "mail refused",
	  false,
	  { PLAIN, "J two", "*", "S 550 no", "= bounced 550 5.0.0 no; bounced 550 5.0.0 no",
	    "W idle" } },
	{ "rcpt mixed",
	  false,
	  { PLAIN, "J three", "*", "S 250 ok", "C RCPT TO:<r1@b.example>", "S 550 5.1.1 none",
	    "C RCPT TO:<r2@b.example>", "S 251 will forward", "C RCPT TO:<r3@b.example>",
	    "S 450 4.2.0 later", "C DATA", "S 354 go", "*", "S 250 ok",
	    "= bounced 550 5.1.1 none; " OK "ok; deferred 450 4.2.0 later", "W idle" } },
	{ "no rcpt, then rset", false, { PLAIN,
					 "J one",
					 "*",
					 "S 250 ok",
					 "*",
					 "S 550 none",
					 "= bounced 550 5.0.0 none",
					 "C",
					 "J one",
					 "C RSET",
					 "W rset",
					 "T 8",
					 "S 250 ok",
					 "C MAIL FROM:<s@a.example>",
					 "S 250 ok",
					 "*",
					 "S 250 ok",
					 "*",
					 "S 354 go",
					 "*",
					 "S 250 ok",
					 "= " OK "ok" } },
	{ "data refused",
	  false,
	  { PLAIN, "J two", "*", "S 250 ok", "*", "S 250 ok", "*", "S 550 no", "*",
	    "S 451 4.3.0 no room", "= deferred 451 4.3.0 no room; bounced 550 5.0.0 no", "J one",
	    "C RSET", "X stop", "= deferred (untried) 4.3.2 stopping" } },
	{ "data 250",
	  false,
	  { PLAIN, "J one", "*", "S 250 ok", "*", "S 250 ok", "*", "S 250 ok",
	    "= deferred 4.5.0 The server answered DATA with neither 354 nor an error",
	    "F 0 4.5.0 The server answered DATA with neither 354 nor an error" } },
	{ "content refused",
	  false,
	  { PLAIN, "J one", "*", "S 250 ok", "*", "S 250 ok", "*", "S 354 ok", "*",
	    "S 554-5.6.0 bad\r\n554 5.6.0 mail", "= bounced 554 5.6.0 bad mail", "W idle", "J one",
	    "C RSET", "S 250 ok", "*", "S 500 x", "= bounced 500 5.0.0 x" } },
	{ "waiting job follows",
	  false,
	  { PLAIN,	  "J one",    "J null",	    "*",	"S 250 ok", "*",
	    "S 250 ok",	  "*",	      "S 354 ok",   "*",	"S 250 ok", "C MAIL FROM:<>",
	    "= " OK "ok", "S 250 ok", "*",	    "S 250 ok", "*",	    "S 354 ok",
	    "*",	  "S 250 ok", "= " OK "ok", "W idle" } },
};

/* ---- with PIPELINING ---- */

static const struct dialog pipelined[] = {
	{ "good",
	  false,
	  { PIPE, "J two", "C " TWO, "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "C " MESSAGE "\n.",
	    "S 250 e", "= " OK "e; " OK "e", "W idle" } },
	{ "replies one by one",
	  false,
	  { PIPE, "J two", "*", "T 3", "S 250 a", "T 4", "S 250 b", "T 4", "C", "S 250 c", "T 5",
	    "C", "S 354 d", "T 6", "*", "T 7", "S 250 e", "= " OK "e; " OK "e" } },
	{ "some refused",
	  false,
	  { PIPE, "J two", "*", "R 250 a\r\n550 5.1.1 b\r\n250 c\r\n354 d\r\n", "*", "S 250 e",
	    "= bounced 550 5.1.1 b; " OK "e" } },
	{ "all refused",
	  false,
	  { PIPE, "J two", "*", "R 250 a\r\n550 b\r\n450 c\r\n554 no valid recipients\r\n",
	    "= bounced 550 5.0.0 b; deferred 450 4.0.0 c", "C", "J one", "C RSET\n" ONE,
	    "R 250 reset\r\n250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d" } },
	{ "mail refused",
	  false,
	  { PIPE, "J two", "*", "S 550 5.7.1 no", "-", "R 503 b\r\n503 c\r\n503 d\r\n",
	    "= bounced 550 5.7.1 no; bounced 550 5.7.1 no", "W idle" } },
	{ "354 without recipient",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n550 b\r\n354 c\r\n", "C .", "S 554 none",
	    "= bounced 550 5.0.0 b", "W idle" } },
	{ "354 after mail refused",
	  false,
	  { PIPE, "J one", "*", "R 450 a\r\n250 b\r\n354 c\r\n", "C .", "S 250 what",
	    "= deferred 450 4.0.0 a", "W idle" } },
	{ "waiting job is pipelined",
	  false,
	  { PIPE, "J one", "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d",
	    "= " OK "d", "C " ONE, "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 e", "= " OK "e" } },
	{ "quit waits for the job",
	  false,
	  { PIPE, "J one", "X quit", "U no", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d",
	    "= " OK "d", "C QUIT", "S 221 bye" } },
	{ "quit gives the next back",
	  false,
	  { PIPE, "J one", "J two", "X quit",
	    "= deferred (untried) 4.3.0 The connection ended before its turn; deferred (untried) "
	    "4.3.0 The connection ended before its turn",
	    "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d", "C QUIT" } },
	{ "too many recipients",
	  false,
	  { PIPE, "J three", "*", "R 250 a\r\n250 b\r\n452 4.5.3 too many\r\n452 x\r\n354 d\r\n",
	    "*", "S 250 e",
	    "= " OK "e; deferred (untried) 4.5.3 Too many recipients; deferred (untried) 4.5.3 Too "
	    "many recipients" } },
	{ "452 that means another thing",
	  false,
	  { PIPE, "J three", "*",
	    "R 250 a\r\n452 none before\r\n250 c\r\n452 4.2.2 full\r\n354 d\r\n", "*", "S 250 e",
	    "= deferred 452 4.0.0 none before; " OK "e; deferred 452 4.2.2 full" } },
	{ "552 too many",
	  false,
	  { PIPE, "J three", "*",
	    "R 250 a\r\n250 b\r\n552 5.5.3 too many\r\n552 5.2.2 full\r\n354 d\r\n", "*", "S 250 e",
	    "= " OK "e; deferred (untried) 4.5.3 Too many recipients; bounced 552 5.2.2 full" } },
	{ "RCPTMAX",
	  false,
	  { OPEN("250-PIPELINING\r\n250 LIMITS RCPTMAX=2 MAILMAX=1 X=Y"), "J three", "C " TWO,
	    "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*", "U yes", "S 250 e", "U no",
	    "= " OK "e; " OK
	    "e; deferred (untried) 4.5.3 More recipients than the next hop takes at once",
	    "C QUIT" } },
	{ "MAILMAX while a job waits",
	  false,
	  { OPEN("250-PIPELINING\r\n250 LIMITS MAILMAX=1"), "J one", "J one", "*",
	    "R 250 a\r\n250 b\r\n354 d\r\n", "*", "S 250 e", "= " OK "e",
	    "= deferred (untried) 4.3.0 The connection ended before its turn", "W quit",
	    "C QUIT" } },
};

/* ---- what breaks in mid-transaction ---- */

static const struct dialog broken[] = {
	{ "421 to mail",
	  false,
	  { PIPE, "J one", "*", "S 421 4.3.2 bye", "= deferred 421 4.3.2 bye",
	    "F 421 4.3.2 bye" } },
	{ "421 to second rcpt",
	  false,
	  { PIPE, "J three", "*", "R 250 a\r\n550 5.1.1 b\r\n421 4.3.2 bye\r\n",
	    "= bounced 550 5.1.1 b; deferred 421 4.3.2 bye; deferred 421 4.3.2 bye",
	    "F 421 4.3.2 bye" } },
	{ "421 to data",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n421 bye\r\n", "= deferred 421 4.0.0 bye" } },
	{ "421 to the dot",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 421 bye",
	    "= deferred 421 4.0.0 bye" } },
	{ "421 gives the next back",
	  false,
	  { PIPE, "J one", "J null", "*", "S 421 bye", "= deferred 421 4.0.0 bye",
	    "= deferred (untried) 4.3.0 The connection ended before its turn", "U no" } },
	{ "closed after mail",
	  false,
	  { PIPE, "J one", "*", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to "
	    "MAIL" } },
	{ "closed after rcpt",
	  false,
	  { PIPE, "J one", "*", "S 250 a", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to "
	    "RCPT" } },
	{ "closed after data",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to "
	    "DATA" } },
	{ "closed in content",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "-", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to the "
	    "end of the message" } },
	{ "closed after the dot",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to the "
	    "end of the message; the message may have been delivered, it may come twice" } },
	{ "timeout in content",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "-", "T 6", "X timeout",
	    "= deferred 4.4.2 timed out while sending" } },
	{ "timeout after the dot",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "X timeout",
	    "= deferred 4.4.2 timed out while waiting for the reply to the end of the message; the "
	    "message may have been delivered, it may come twice" } },
	{ "garbage to rcpt",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n\x80\xff\r\n",
	    "= deferred 4.5.0 no SMTP reply while waiting for the reply to RCPT" } },
	{ "354 to rcpt",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n354 b\r\n",
	    "= deferred 4.5.0 unexpected reply while waiting for the reply to RCPT" } },
	{ "early yes",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n250 d\r\n",
	    "= deferred 4.5.0 The server answered before the end of the message", "U no" } },
	{ "early no",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n552 5.3.4 big\r\n",
	    "= bounced 552 5.3.4 big", "U no" } },
	{ "replies in advance",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "R 250 d\r\n250 e\r\n",
	    "= " OK "d", "F 0 4.5.0 unexpected reply while waiting for the next message" } },
	{ "stop in mid-transaction",
	  false,
	  { PIPE, "J one", "*", "S 250 a", "X stop", "= deferred 4.3.2 stopping" } },
	{ "abort in mid-transaction",
	  false,
	  { PIPE, "J one", "*", "S 250 a", "A",
	    "= deferred 4.3.0 The stored message cannot be read", "C", "U no" } },
	/* A connection that served before: what fails before content is sent is no attempt. */
	{ "stale connection",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d",
	    "J one", "X close",
	    "= deferred (untried) 4.4.2 connection closed by the server while waiting for the "
	    "reply to MAIL" } },
	{ "stale connection, 421",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d",
	    "J one", "*", "S 421 enough", "= deferred (untried) 421 4.0.0 enough" } },
	{ "reused, lost in content",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d",
	    "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "X close",
	    "= deferred 4.4.2 connection closed by the server while waiting for the reply to the "
	    "end of the message" } },
	{ "reused, 503 to mail",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= " OK "d",
	    "J one", "*", "S 503 nested",
	    "= deferred (untried) 4.5.0 The server lost track of the connection" } },
	{ "first, 503 to mail",
	  false,
	  { PIPE, "J one", "*", "R 503 5.5.1 auth first\r\n503 b\r\n503 c\r\n",
	    "= bounced 503 5.5.1 auth first" } },
	{ "rset refused",
	  false,
	  { PIPE, "J one", "*", "R 250 a\r\n550 b\r\n554 c\r\n", "= bounced 550 5.0.0 b", "J one",
	    "*", "S 500 what", "= deferred (untried) 4.5.0 The server refused RSET" } },
};

/* ---- extensions ---- */

static const struct dialog extensions[] = {
	{ "size",
	  false,
	  { OPEN("250 SIZE 1000"), "J one", "C MAIL FROM:<s@a.example> SIZE=34", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "size without limit",
	  false,
	  { OPEN("250 SIZE"), "J one", "C MAIL FROM:<s@a.example> SIZE=34", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "size 0",
	  false,
	  { OPEN("250 SIZE 0"), "J one", "C MAIL FROM:<s@a.example> SIZE=34", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "too large",
	  false,
	  { OPEN("250 SIZE 33"), "J two",
	    "= bounced 5.3.4 Message is larger than the next hop takes; bounced 5.3.4 Message is "
	    "larger than the next hop takes",
	    "C", "W idle", "U yes" } },
	{ "just fits",
	  false,
	  { OPEN("250 SIZE 34"), "J one", "C MAIL FROM:<s@a.example> SIZE=34", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "8bit",
	  false,
	  { OPEN("250 8BITMIME"), "J 8bit", "C MAIL FROM:<s@a.example> BODY=8BITMIME", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "8bit refused",
	  false,
	  { OPEN("250 SIZE"), "J 8bit", "= bounced 5.6.3 Next hop does not offer 8BITMIME", "C",
	    "J one", "*", "X stop", "= deferred (untried) 4.3.2 stopping" } },
	{ "8bit only said",
	  false,
	  { OPEN("250 DSN"), "J said8bit", "C MAIL FROM:<s@a.example>", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "raw header is 8bit, not utf8",
	  false,
	  { OPEN("250-SMTPUTF8\r\n250 8BITMIME"), "J rawheader",
	    "C MAIL FROM:<s@a.example> BODY=8BITMIME", "X stop", "= deferred 4.3.2 stopping" } },
	{ "utf8 sender",
	  false,
	  { OPEN("250-SMTPUTF8\r\n250 8BITMIME"), "J utf8sender",
	    "C MAIL FROM:<s\xc3\xa4@a.example> SMTPUTF8", "X stop", "= deferred 4.3.2 stopping" } },
	{ "utf8 sender refused",
	  false,
	  { OPEN("250 8BITMIME"), "J utf8sender",
	    "= bounced 5.6.7 Next hop does not offer SMTPUTF8" } },
	{ "utf8 header",
	  false,
	  { OPEN("250-SMTPUTF8\r\n250 8BITMIME"), "J utf8header",
	    "C MAIL FROM:<s@a.example> BODY=8BITMIME SMTPUTF8", "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "utf8 header refused",
	  false,
	  { OPEN("250 8BITMIME"), "J utf8header",
	    "= bounced 5.6.7 Next hop does not offer SMTPUTF8" } },
	{ "utf8 rcpt",
	  false,
	  { OPEN("250-SMTPUTF8\r\n250 PIPELINING"), "J utf8rcpt",
	    "C MAIL FROM:<s@a.example> SMTPUTF8\nRCPT TO:<r@b.example>\nRCPT "
	    "TO:<\xc3\xa4@b.example>\nDATA",
	    "X stop", "= deferred 4.3.2 stopping; deferred 4.3.2 stopping" } },
	{ "utf8 rcpt refused alone",
	  false,
	  { OPEN("250 PIPELINING"), "J utf8rcpt",
	    "C MAIL FROM:<s@a.example>\nRCPT TO:<r@b.example>\nDATA", "X stop",
	    "= deferred 4.3.2 stopping; bounced 5.6.7 Next hop does not offer SMTPUTF8" } },
	{ "utf8 only said",
	  false,
	  { OPEN("250 PIPELINING"), "J saidutf8", "C " ONE, "X stop",
	    "= deferred 4.3.2 stopping" } },
	{ "dsn",
	  false,
	  { OPEN("250-DSN\r\n250 PIPELINING"), "J dsn",
	    "C MAIL FROM:<s@a.example> RET=HDRS ENVID=Q+2B1\nRCPT TO:<r@b.example> "
	    "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o@c.example\nDATA",
	    "R 250 a\r\n250 b\r\n354 c\r\n", "*", "S 250 d", "= delivered 250 2.0.0 d" } },
	{ "dsn not offered",
	  false,
	  { OPEN("250 PIPELINING"), "J dsn", "C " ONE, "R 250 a\r\n250 b\r\n354 c\r\n", "*",
	    "S 250 d", "= delivered (nodsn) 250 2.0.0 d" } },
	{ "dsn never, bad words left out",
	  false,
	  { OPEN("250-DSN\r\n250 PIPELINING"), "J never",
	    "C MAIL FROM:<s@a.example> RET=FULL\nRCPT TO:<r@b.example> NOTIFY=NEVER\nDATA",
	    "X stop", "= deferred 4.3.2 stopping" } },
	{ "addresses cannot break out",
	  false,
	  { OPEN("250 PIPELINING"), "J evil",
	    "C MAIL FROM:<s@a.example>\nRCPT TO:<r2@b.example>\nDATA", "X stop",
	    "= bounced 5.1.3 Address is not valid; deferred 4.3.2 stopping; bounced 5.1.3 Address "
	    "is not valid; bounced 5.1.3 Address is not valid" } },
	{ "nor the sender",
	  false,
	  { OPEN("250 PIPELINING"), "J evilsender", "C",
	    "= bounced 5.1.7 Sender address is not valid" } },
	{ "postmaster without domain",
	  false,
	  { OPEN("250 PIPELINING"), "J postmaster", "C MAIL FROM:<>\nRCPT TO:<postmaster>\nDATA",
	    "X stop", "= deferred 4.3.2 stopping" } },
	{ "keywords in any case, odd blanks",
	  false,
	  { OPEN("250-  pipelining  \r\n250-sIzE   99  \r\n250-\r\n250 UNKNOWN x=y"), "J one",
	    "C MAIL FROM:<s@a.example> SIZE=34\nRCPT TO:<r@b.example>\nDATA", "X stop",
	    "= deferred 4.3.2 stopping" } },
};

/* ---- content on the wire ---- */

static const struct dialog content[] = {
	{ "dots are doubled",
	  false,
	  { PIPE, "J dots", "*", "R 250 a\r\n250 b\r\n354 c\r\n",
	    "C Received: here\n..\n...\n..x\ny.\n.", "S 250 d", "= " OK "d" } },
	{ "bare CR and LF become CRLF",
	  false,
	  { PIPE, "J bare", "*", "R 250 a\r\n250 b\r\n354 c\r\n",
	    "C Received: here\na\n..\nb\n..\n\nc\n..\n\n.", "S 250 d", "= " OK "d" } },
	{ "a last line gets its end",
	  false,
	  { PIPE, "J noeol", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "C Received: here\na\nb\n.",
	    "S 250 d", "= " OK "d" } },
	{ "nothing at all",
	  false,
	  { PIPE, "J empty", "*", "R 250 a\r\n250 b\r\n354 c\r\n", "C .", "S 250 d",
	    "= " OK "d" } },
	{ "bdat in one write",
	  false,
	  { CHUNK, "J one",
	    "C MAIL FROM:<s@a.example>\nRCPT TO:<r@b.example>\nBDAT 34 LAST\n" MESSAGE, "T 3",
	    "R 250 a\r\n250 b\r\n250 c\r\n", "= " OK "c", "W idle" } },
	{ "bdat has no dots",
	  false,
	  { CHUNK, "J dots",
	    "C MAIL FROM:<>\nRCPT TO:<r@b.example>\nBDAT 31 LAST\nReceived: here\n.\n..\n.x\ny.",
	    "X stop", "= deferred 4.3.2 stopping" } },
	{ "bdat normalises too",
	  false,
	  { CHUNK, "J bare",
	    "C MAIL FROM:<>\nRCPT TO:<r@b.example>\nBDAT 38 LAST\nReceived: "
	    "here\na\n.\nb\n.\n\nc\n.\n\n",
	    "X stop", "= deferred 4.3.2 stopping" } },
	{ "bdat of nothing",
	  false,
	  { CHUNK, "J empty", "C MAIL FROM:<>\nRCPT TO:<r@b.example>\nBDAT 0 LAST",
	    "R 250 a\r\n250 b\r\n250 c\r\n", "= " OK "c" } },
	{ "bdat, rcpts refused",
	  false,
	  { CHUNK, "J one", "*", "R 250 a\r\n550 b\r\n503 c\r\n", "= bounced 550 5.0.0 b", "J null",
	    "C RSET\nMAIL FROM:<>\nRCPT TO:<r@b.example>\nBDAT 34 LAST\n" MESSAGE,
	    "R 250 r\r\n250 a\r\n250 b\r\n250 c\r\n", "= " OK "c" } },
	{ "bdat refused",
	  false,
	  { CHUNK, "J one", "*", "R 250 a\r\n250 b\r\n552 5.3.4 big\r\n", "= bounced 552 5.3.4 big",
	    "J null", "*", "W rset", "X stop", "= deferred (untried) 4.3.2 stopping" } },
	{ "bdat, early yes",
	  false,
	  { CHUNK, "J one", "-", "R 250 a\r\n250 b\r\n250 c\r\n",
	    "= deferred 4.5.0 The server answered before the end of the message" } },
	{ "bdat, stale connection",
	  false,
	  { CHUNK, "J one", "*", "R 250 a\r\n250 b\r\n250 c\r\n", "= " OK "c", "J one", "*",
	    "X close",
	    "= deferred (untried) 4.4.2 connection closed by the server while waiting for the "
	    "reply to MAIL; the message may have been delivered, it may come twice" } },
	{ "bdat without pipelining",
	  false,
	  { OPEN("250 CHUNKING"), "J one", "C MAIL FROM:<s@a.example>", "S 250 a",
	    "C RCPT TO:<r@b.example>", "S 250 b", "C BDAT 34 LAST\n" MESSAGE, "T 7", "S 250 c",
	    "= " OK "c" } },
	{ "bdat without pipelining, refused",
	  false,
	  { OPEN("250 CHUNKING"), "J one", "*", "S 250 a", "*", "S 550 b", "C",
	    "= bounced 550 5.0.0 b" } },
};

/* ---- content that comes in pieces ---- */

static const struct dialog streamed[] = {
	{ "data",
	  false,
	  { PIPE, "J big", "D 40000", "C " TWO, "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*",
	    "T 6", "W end", "D 40000", "*", "T 6", "D 20000", "*", "T 7", "S 250 e",
	    "= " OK "e; " OK "e" } },
	{ "all at once",
	  false,
	  { PIPE, "J big", "D 100000", "*", "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*",
	    "S 250 e", "= " OK "e; " OK "e" } },
	{ "early yes between pieces",
	  false,
	  { PIPE, "J big", "D 40000", "*", "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*", "S 250 e",
	    "= deferred 4.5.0 The server answered before the end of the message; deferred 4.5.0 "
	    "The server answered before the end of the message" } },
	{ "abort",
	  false,
	  { PIPE, "J big", "D 40000", "*", "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*", "A",
	    "= deferred 4.3.0 The stored message cannot be read; deferred 4.3.0 The stored message "
	    "cannot be read",
	    "C", "U no" } },
	{ "never comes",
	  false,
	  { PIPE, "J big", "D 40000", "*", "R 250 a\r\n250 b\r\n250 c\r\n354 d\r\n", "*",
	    "X timeout",
	    "= deferred 4.4.2 timed out while the message was read from the queue; deferred 4.4.2 "
	    "timed out while the message was read from the queue" } },
	{ "bdat waits for the replies",
	  false,
	  { CHUNK, "J big", "D 10000",
	    "C MAIL FROM:<s@a.example>\nRCPT TO:<r1@b.example>\nRCPT TO:<r2@b.example>",
	    "R 250 a\r\n250 b\r\n250 c\r\n", "C", "D 40000", "*", "W chunk", "T 6", "S 250 d",
	    "W end", "D 50000", "*", "S 250 e", "S 250 f", "W end", "S 250 g",
	    "= " OK "g; " OK "g" } },
	{ "bdat, a chunk refused",
	  false,
	  { CHUNK, "J big", "D 40000", "*", "R 250 a\r\n250 b\r\n250 c\r\n", "*",
	    "S 452 4.3.1 full", "= deferred 452 4.3.1 full; deferred 452 4.3.1 full", "U no" } },
	{ "bdat, all refused",
	  false,
	  { CHUNK, "J big", "D 40000", "*", "R 250 a\r\n550 b\r\n550 c\r\n", "C",
	    "= bounced 550 5.0.0 b; bounced 550 5.0.0 c", "W idle" } },
};

/* ---- LMTP ---- */

static const struct dialog lmtp[] = {
	{ "a reply for each",
	  true,
	  { LHLO("250 PIPELINING"), "J three", "*",
	    "R 250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n", "*", "S 250 2.1.5 x", "W end", "T 7",
	    "S 452 4.2.2 full", "R 550 5.2.1 z\r\n",
	    "= delivered (nodsn) 250 2.1.5 x; deferred 452 4.2.2 full; bounced 550 5.2.1 z",
	    "W idle" } },
	{ "only for accepted ones",
	  true,
	  { LHLO("250 PIPELINING"), "J three", "*",
	    "R 250 a\r\n550 b\r\n250 c\r\n550 d\r\n354 e\r\n", "*", "S 250 x",
	    "= bounced 550 5.0.0 b; " OK "x; bounced 550 5.0.0 d", "W idle" } },
	{ "none accepted",
	  true,
	  { LHLO("250 PIPELINING"), "J two", "*", "R 250 a\r\n550 b\r\n550 d\r\n503 e\r\n",
	    "= bounced 550 5.0.0 b; bounced 550 5.0.0 d", "W idle" } },
	{ "none accepted, but 354",
	  true,
	  { LHLO("250 PIPELINING"), "J two", "*", "R 250 a\r\n550 b\r\n550 d\r\n354 e\r\n",
	    "= bounced 550 5.0.0 b; bounced 550 5.0.0 d", "U no" } },
	{ "lost between the replies",
	  true,
	  { LHLO("250 PIPELINING"), "J two", "*", "R 250 a\r\n250 b\r\n250 c\r\n354 e\r\n", "*",
	    "S 250 x", "X close",
	    "= " OK
	    "x; deferred 4.4.2 connection closed by the server while waiting for the reply to the "
	    "end of the message; the message may have been delivered, it may come twice" } },
	{ "421 between the replies",
	  true,
	  { LHLO("250 PIPELINING"), "J three", "*",
	    "R 250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n", "*", "S 250 x", "S 421 bye",
	    "= " OK "x; deferred 421 4.0.0 bye; deferred 421 4.0.0 bye" } },
	{ "bdat after the replies",
	  true,
	  { LHLO("250-PIPELINING\r\n250 CHUNKING"), "J two",
	    "C MAIL FROM:<s@a.example>\nRCPT TO:<r1@b.example>\nRCPT TO:<r2@b.example>",
	    "R 250 a\r\n250 b\r\n550 c\r\n", "C BDAT 34 LAST\n" MESSAGE, "S 250 x",
	    "= " OK "x; bounced 550 5.0.0 c", "W idle" } },
};

START_TEST(test_opening)
{
	dialog_run(&opening[_i]);
}
END_TEST
START_TEST(test_sequential)
{
	dialog_run(&sequential[_i]);
}
END_TEST
START_TEST(test_pipelined)
{
	dialog_run(&pipelined[_i]);
}
END_TEST
START_TEST(test_broken)
{
	dialog_run(&broken[_i]);
}
END_TEST
START_TEST(test_extensions)
{
	dialog_run(&extensions[_i]);
}
END_TEST
START_TEST(test_content)
{
	dialog_run(&content[_i]);
}
END_TEST
START_TEST(test_streamed)
{
	dialog_run(&streamed[_i]);
}
END_TEST
START_TEST(test_lmtp)
{
	dialog_run(&lmtp[_i]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("out_session");

	UNIT_TABLE(s, test_opening, opening);
	UNIT_TABLE(s, test_sequential, sequential);
	UNIT_TABLE(s, test_pipelined, pipelined);
	UNIT_TABLE(s, test_broken, broken);
	UNIT_TABLE(s, test_extensions, extensions);
	UNIT_TABLE(s, test_content, content);
	UNIT_TABLE(s, test_streamed, streamed);
	UNIT_TABLE(s, test_lmtp, lmtp);
	return unit_run(s);
}
