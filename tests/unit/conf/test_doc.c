/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/conf/show.c, sample.c and man.c: every option appears in each of them from its row, and the files of the
 * project are what the table gives. */

/* System */
#include <fcntl.h>
#include <string.h>
/* lib */
#include "base/fd.h"
#include "conf/conf.h"
#include "conf/doc.h"
#include "conf/table.h"
#include "conf/value.h"
/* this program */
#include "tests/unit/unit.h"

static struct buf out;

static struct conf *
parse(const char *text)
{
	struct conf *c;
	struct conf_problems problems;

	conf_problems_init(&problems);
	ck_assert_msg(conf_parse("F", NULL, span_of(text), &c, &problems) == 0, "%s",
		      buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	return c;
}

static void
has(const char *what, const char *needle)
{
	ck_assert_msg(span_find(buf_span(&out), span_of(needle)) >= 0, "%s does not have: %s", what,
		      needle);
}

START_TEST(every_option_is_in_the_documentation)
{
	struct conf *c = conf_defaults();
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	struct buf line;

	buf_init(&line, 8192);
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(conf_show(c, CONF_SHOW_DOC, NULL, &out), 0);
	for (size_t i = 0; i < count; i++) {
		buf_reset(&line);
		conf_row_name(&row[i], &line);
		buf_puts(&line, row[i].group->kind == CONF_BLOCK ? "\n\t" : " = ");
		has("config --doc", buf_cstr(&line));
		buf_reset(&line);
		doc_type(&row[i], &line);
		buf_puts(&line, "; default ");
		doc_default(&row[i], &line);
		has("config --doc", buf_cstr(&line));
	}
	buf_clear(&line);
	buf_clear(&out);
	conf_free(&c);
}
END_TEST

/* With every "#option = ..." line made active the sample is a configuration, of the defaults. */
START_TEST(every_option_is_in_the_sample)
{
	struct buf sample, active;
	struct span rest, line;
	struct conf *c;
	size_t count, lines = 0, rows = 0;
	const struct conf_row *row = conf_rows(&count);

	buf_init(&sample, 1 << 20);
	buf_init(&active, 1 << 20);
	conf_sample(&sample);
	c = parse(buf_cstr(&sample));
	conf_free(&c);
	rest = buf_span(&sample);
	while (span_next(&rest, '\n', &line)) {
		struct span trimmed = span_trim(line);
		bool is_option = span_starts(trimmed, SPAN("#")) &&
				 !span_starts(trimmed, SPAN("# ")) &&
				 !span_starts(line, SPAN("#\t"));

		if (is_option && span_find(trimmed, SPAN(" = ")) > 0 &&
		    span_chr(trimmed, '{') != (ptrdiff_t)trimmed.n - 1 &&
		    span_find(trimmed, SPAN("\" {")) < 0) {
			buf_put_span(&active, span_sub(trimmed, 1, SIZE_MAX));
			lines++;
		} else {
			buf_put_span(&active, line);
		}
		buf_putc(&active, '\n');
	}
	c = parse(buf_cstr(&active));
	for (size_t i = 0; i < count; i++)
		rows += row[i].group->kind != CONF_BLOCK;
	ck_assert_uint_eq(lines, rows);
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(conf_show(c, CONF_SHOW_CHANGED, NULL, &out), 0);
	/* Empty is no name: the host's is not taken in a text. One port is open. */
	UNIT_EQ(buf_span(&out), "hostname = \"\"\norigin = \"\"\nlisten \"smtp\" { }\n");
	conf_free(&c);
	buf_clear(&out);
	buf_clear(&sample);
	buf_clear(&active);
}
END_TEST

START_TEST(every_block_option_is_in_the_sample)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	struct buf line;

	buf_init(&line, 8192);
	buf_init(&out, 1 << 20);
	conf_sample(&out);
	for (size_t i = 0; i < count; i++) {
		if (row[i].group->kind != CONF_BLOCK)
			continue;
		buf_reset(&line);
		buf_printf(&line, "\n#\t%s = ", row[i].name);
		doc_default(&row[i], &line);
		buf_putc(&line, '\n');
		has("the sample", buf_cstr(&line));
	}
	buf_clear(&line);
	buf_clear(&out);
}
END_TEST

START_TEST(every_option_is_in_the_manual)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	struct buf line;

	buf_init(&line, 8192);
	buf_init(&out, 1 << 20);
	conf_man(&out);
	for (size_t i = 0; i < count; i++) {
		buf_reset(&line);
		buf_printf(&line, ".TP\n\\fB%s\\fR (", row[i].name);
		has("the manual", buf_cstr(&line));
	}
	has("the manual", "\n.SH BLOCK domain");
	has("the manual", "\n.SH SECTION limits");
	buf_clear(&line);
	buf_clear(&out);
}
END_TEST

static const struct {
	const char *path;
	void (*make)(struct buf *out);
	const char *command;
} files[] = {
	{ "etc/postern.conf", conf_sample, "postern config --sample" },
	{ "docs/man/postern.conf.5", conf_man, "postern config --man" },
};

START_TEST(file_of_the_project_is_generated)
{
	struct buf text;
	int fd = open(files[_i].path, O_RDONLY | O_CLOEXEC);

	ck_assert_msg(fd >= 0, "%s cannot be read; the tests run in the folder of the project",
		      files[_i].path);
	buf_init(&text, 1 << 20);
	buf_init(&out, 1 << 20);
	ck_assert_int_eq(fd_read_file(fd, 1 << 20, &text), 0);
	files[_i].make(&out);
	ck_assert_msg(span_eq(buf_span(&text), buf_span(&out)),
		      "%s is not what the table gives; run: %s > %s", files[_i].path,
		      files[_i].command, files[_i].path);
	fd_close(&fd);
	buf_clear(&text);
	buf_clear(&out);
}
END_TEST

static const char shown_conf[] =
	"hostname = \"a.example\" origin = \"o.example\" limits { errors = 5 message_size = 50M }\n"
	"listen \"l\" { } domain \"d.example\" { class = discard } relay_from = { } site "
	"\"default\" { "
	"message_rate = 5/s }\n"
	"transport = '/x \"y\" \\\\'";

static const struct {
	enum conf_show what;
	const char *name;
	int r;
	const char *want;
} shows[] = {
	{ CONF_SHOW_CHANGED, NULL, 0,
	  "hostname = \"a.example\"\norigin = \"o.example\"\nlisten \"l\" { }\ndomain "
	  "\"d.example\" {\n\tclass = discard\n}\n"
	  "transport = \"/x \\\"y\\\" \\\\\"\nrelay_from = { }\nlimits {\n\tmessage_size = "
	  "\"50M\"\n\terrors = 5\n}\nsite \"default\" {\n\tmessage_rate = \"5/s\"\n}\n" },
	{ CONF_SHOW_ALL, "hostname", 0, "hostname = \"a.example\"\n" },
	{ CONF_SHOW_ALL, "limits.errors", 0, "limits {\n\terrors = 5\n}\n" },
	{ CONF_SHOW_ALL, "errors", 0, "limits {\n\terrors = 5\n}\n" },
	{ CONF_SHOW_ALL, "message_rate", 0,
	  "limits {\n\tmessage_rate = 0\n}\nsite \"default\" {\n\tmessage_rate = \"5/s\"\n}\n" },
	{ CONF_SHOW_ALL, "workers", 0, "workers {\n\tsmtpd = 0\n\tdelivery = 0\n}\n" },
	{ CONF_SHOW_CHANGED, "workers", 0, "" },
	{ CONF_SHOW_CHANGED, "limits", 0, "limits {\n\tmessage_size = \"50M\"\n\terrors = 5\n}\n" },
	{ CONF_SHOW_CHANGED, "listen.backlog", 0, "" },
	{ CONF_SHOW_CHANGED, "listen", 0, "listen \"l\" { }\n" },
	{ CONF_SHOW_DOC, "hop_limit", 0,
	  "hop_limit = 100\n\tnumber from 1 to 1000; default 100\n\tReceived fields of one "
	  "message; more is a loop.\n" },
	{ CONF_SHOW_DOC, "listen.port", 0,
	  "listen.port\n\tnumber from 1 to 65535; default 25\n\tPort to bind.\n" },
	{ CONF_SHOW_ALL, "xyzzy", E_NOTFOUND, "" },
	{ CONF_SHOW_ALL, "limits.xyzzy", E_NOTFOUND, "" },
	{ CONF_SHOW_ALL, "xyzzy.errors", E_NOTFOUND, "" },
	{ CONF_SHOW_ALL, "", E_NOTFOUND, "" },
};

START_TEST(shows_values)
{
	struct conf *c = parse(shown_conf);

	buf_init(&out, 1 << 20);
	ck_assert_int_eq(conf_show(c, shows[_i].what, shows[_i].name, &out), shows[_i].r);
	UNIT_EQ(buf_span(&out), shows[_i].want);
	conf_free(&c);
	buf_clear(&out);
}
END_TEST

/* What is shown is a configuration again, of the same values. */
START_TEST(what_is_shown_parses)
{
	struct buf again;
	struct conf *c = parse(shown_conf), *d;

	buf_init(&out, 1 << 20);
	buf_init(&again, 1 << 20);
	ck_assert_int_eq(conf_show(c, _i == 0 ? CONF_SHOW_ALL : CONF_SHOW_CHANGED, NULL, &out), 0);
	d = parse(buf_cstr(&out));
	ck_assert_int_eq(conf_show(d, _i == 0 ? CONF_SHOW_ALL : CONF_SHOW_CHANGED, NULL, &again),
			 0);
	unit_eq(buf_span(&again), buf_span(&out));
	conf_free(&c);
	conf_free(&d);
	buf_clear(&out);
	buf_clear(&again);
}
END_TEST

static const struct {
	const char *text;
	size_t width;
	const char *want;
} wraps[] = {
	{ "one two three", 100, "> one two three\n" },
	{ "one two three", 9, "> one two\n> three\n" },
	{ "longer-than-the-width x", 5, "> longer-than-the-width\n> x\n" },
	{ "", 5, "\n" },
};

START_TEST(wraps_lines)
{
	buf_init(&out, 4096);
	doc_wrap(span_of(wraps[_i].text), "> ", wraps[_i].width, &out);
	UNIT_EQ(buf_span(&out), wraps[_i].want);
	buf_clear(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("doc");
	const int twice[2] = { 0, 1 };

	UNIT_TEST(s, every_option_is_in_the_documentation);
	UNIT_TEST(s, every_option_is_in_the_sample);
	UNIT_TEST(s, every_block_option_is_in_the_sample);
	UNIT_TEST(s, every_option_is_in_the_manual);
	UNIT_TABLE(s, file_of_the_project_is_generated, files);
	UNIT_TABLE(s, shows_values, shows);
	UNIT_TABLE(s, what_is_shown_parses, twice);
	UNIT_TABLE(s, wraps_lines, wraps);
	return unit_run(s);
}
