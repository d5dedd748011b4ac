/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`: is this host fit to run the server? The command line, the table of checks and their lines; what is
 * looked at stands in doctor_*.c by subject. Runs as whoever calls it, changes nothing, sends no mail. Needs no running
 * server, and a configuration only for what depends on one. */

/* System */
#include <stdarg.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/doctor_dns.h"

enum {
	LINE_MAX_BYTES = 65536,
	ALL_MS = 14000, /* all checks that wait for somebody, together */
	DEFAULT_SIZE_BYTES = 50000,
};

static const struct check {
	const char *name;
	const char *what;
	void (*run)(struct doctor *d);
} checks[] = {
#define CHECK(name, what) { #name, what, doctor_check_##name },
#include "cli/doctor.def"
#undef CHECK
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

/* ---- lines ---- */

static void
put_json(struct buf *out, const char *name, struct span value)
{
	json_put_string(out, span_of(name));
	buf_putc(out, ':');
	json_put_string(out, value);
}

static void
put_line(struct doctor *d, const char *result, struct span text, struct span remedy)
{
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (d->is_json) {
		buf_putc(&line, '{');
		put_json(&line, "check", span_of(d->check));
		buf_putc(&line, ',');
		put_json(&line, "result",
			 strcmp(result, "FAIL") == 0 ? SPAN("fail") : span_of(result));
		buf_putc(&line, ',');
		put_json(&line, "text", text);
		if (remedy.n > 0) {
			buf_putc(&line, ',');
			put_json(&line, "remedy", remedy);
		}
		buf_puts(&line, "}\n");
	} else {
		buf_printf(&line, "%-4s  %-10s  %.*s%s%.*s\n", result, d->check, SPAN_ARG(text),
			   remedy.n > 0 ? "; " : "", SPAN_ARG(remedy));
	}
	if (d->is_terminal)
		fputs("\r\033[K", stderr);
	fwrite(line.p, 1, line.n, d->out);
	fflush(d->out);
	buf_clear(&line);
}

void
doctor_ok(struct doctor *d, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	if (d->problem.n > 0)
		bug("doctor: check %s leaves a problem without a remedy", d->check);
	buf_init(&text, LINE_MAX_BYTES / 4);
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	put_line(d, "ok", buf_span(&text), SPAN_NONE);
	buf_clear(&text);
}

static void
begin_problem(struct doctor *d, bool is_fail, const char *fmt, va_list ap)
{
	if (d->problem.n > 0)
		bug("doctor: check %s leaves a problem without a remedy", d->check);
	d->is_fail = is_fail;
	d->fails += is_fail;
	buf_vprintf(&d->problem, fmt, ap);
}

void
doctor_warn(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	begin_problem(d, false, fmt, ap);
	va_end(ap);
}

void
doctor_fail(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	begin_problem(d, true, fmt, ap);
	va_end(ap);
}

void
doctor_remedy(struct doctor *d, const char *fmt, ...)
{
	struct buf remedy;
	va_list ap;

	buf_init(&remedy, LINE_MAX_BYTES / 4);
	va_start(ap, fmt);
	buf_vprintf(&remedy, fmt, ap);
	va_end(ap);
	put_line(d, d->is_fail ? "FAIL" : "warn", buf_span(&d->problem), buf_span(&remedy));
	buf_clear(&remedy);
	buf_reset(&d->problem);
}

uint64_t
doctor_until(const struct doctor *d, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms;

	return until < d->deadline_mono_ms ? until : d->deadline_mono_ms;
}

bool
doctor_read_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	bool is_read = f != NULL && fgets(out, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (is_read)
		out[strcspn(out, "\n")] = '\0';
	return is_read;
}

/* ---- the configuration itself ---- */

void
doctor_check_config(struct doctor *d)
{
	if (d->conf_error == E_NOTFOUND) {
		doctor_fail(d,
			    "there is no %s, so the server cannot start; the defaults are looked "
			    "at",
			    d->conf_path);
		doctor_remedy(d, "write it (`postern config --sample` prints one), or name another "
				 "with -c FILE");
	} else if (d->conf_error < 0) {
		doctor_fail(d, "%s has %u mistake%s, so the server cannot start", d->conf_path,
			    d->problems.errors, d->problems.errors == 1 ? "" : "s");
		doctor_remedy(d, "see `postern check`");
	} else if (d->problems.warnings > 0) {
		doctor_warn(d, "%s: %u warning%s", d->conf_path, d->problems.warnings,
			    d->problems.warnings == 1 ? "" : "s");
		doctor_remedy(d, "see `postern check`");
	} else {
		doctor_ok(d, "%s", d->conf_path);
	}
}

static struct conf *
load(struct doctor *d, const char *path)
{
	struct conf *c;

	d->conf_path = path;
	d->conf_error = conf_load(path, geteuid() == 0, &c, &d->problems);
	if (c == NULL)
		c = conf_load_best(path);
	return c != NULL ? c : conf_defaults_of_host();
}

/* ---- the command ---- */

static const struct check *
find_check(const char *name)
{
	for (size_t i = 0; i < CHECKS; i++) {
		if (strcmp(checks[i].name, name) == 0)
			return &checks[i];
	}
	fprintf(stderr, "postern: doctor: there is no check `%s`; write some of", name);
	for (size_t i = 0; i < CHECKS; i++)
		fprintf(stderr, " %s", checks[i].name);
	fputc('\n', stderr);
	return NULL;
}

/* "50k", "1.2" is none. Units of networks: k is 1000. */
static int
take_size(const char *text, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t factor;
	} units[] = { { 'k', 1000 }, { 'K', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	struct span s = span_of(text);
	uint64_t factor = 1;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s.n > 0 && s.p[s.n - 1] == units[i].unit)
			factor = units[i].factor;
	}
	if (factor > 1)
		s.n--;
	if (span_to_u64(s, 1000000000, out) < 0 || *out == 0 || *out > 1000000000000 / factor)
		return E_SYNTAX;
	*out *= factor;
	return 0;
}

/* The words behind `doctor`. wanted: of which checks. 0 or EX_USAGE. */
static int
take_words(struct doctor *d, int argc, char **argv, bool wanted[CHECKS])
{
	bool is_any = false;

	for (int i = 1; i < argc; i++) {
		const struct check *c;

		if (strcmp(argv[i], "--json") == 0) {
			d->is_json = true;
		} else if (strcmp(argv[i], "--connect") == 0) {
			d->connect[d->connect_count++] = argv[++i];
		} else if (strcmp(argv[i], "--plan") == 0) {
			if (conf_rate_parse(span_of(argv[++i]), &d->plan) < 0 ||
			    d->plan.count == 0) {
				fprintf(stderr,
					"postern: --plan=%s is no rate; write messages per time "
					"with /s, /min, /h or /d, such as 1000000/h\n",
					argv[i]);
				return EX_USAGE;
			}
		} else if (strcmp(argv[i], "--size") == 0) {
			if (take_size(argv[++i], &d->plan_size_bytes) < 0) {
				fprintf(stderr,
					"postern: --size=%s is no size; write bytes, or a number "
					"with k, M or G (1000, not 1024), such as 50k\n",
					argv[i]);
				return EX_USAGE;
			}
		} else if ((c = find_check(argv[i])) != NULL) {
			wanted[c - checks] = is_any = true;
		} else {
			return EX_USAGE;
		}
	}
	for (size_t i = 0; i < CHECKS && !is_any; i++)
		wanted[i] = true;
	return 0;
}

static void
run_checks(struct doctor *d, const bool wanted[CHECKS])
{
	for (size_t i = 0; i < CHECKS; i++) {
		if (!wanted[i])
			continue;
		d->check = checks[i].name;
		if (d->is_terminal)
			fprintf(stderr, "\r\033[K%s ...", checks[i].what);
		checks[i].run(d);
		if (d->problem.n > 0)
			bug("doctor: check %s leaves a problem without a remedy", d->check);
	}
	if (d->is_terminal)
		fputs("\r\033[K", stderr);
}

int
cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	struct doctor d = { .out = stdout, .plan_size_bytes = DEFAULT_SIZE_BYTES };
	bool wanted[CHECKS] = { false };
	struct conf *conf;
	int x;

	d.connect = mem_array((size_t)argc, sizeof(*d.connect));
	if ((x = take_words(&d, argc, argv, wanted)) == 0) {
		d.conf = conf = load(&d, cli->conf_path);
		d.is_terminal = isatty(STDERR_FILENO) != 0;
		d.deadline_mono_ms = clock_mono_ms() + ALL_MS;
		buf_init(&d.problem, LINE_MAX_BYTES / 4);
		run_checks(&d, wanted);
		x = d.fails > 0;
		buf_clear(&d.problem);
		doctor_dns_close(&d.dns);
		mem_free(d.self);
		conf_problems_clear(&d.problems);
		conf_free(&conf);
	}
	mem_free(d.connect);
	return x;
}
