/* SPDX-License-Identifier: ISC
 *
 * Content as it comes from the wire: finds its end, removes dot-stuffing, finds CR and LF that stand alone. It keeps
 * nothing and knows neither header nor size: pieces go to the caller, mostly as one run per read. No I/O; strangers'
 * bytes. Used by smtpd.                                           RFC 5321 4.1.1.4, 4.5.2; RFC 3030 2
 *
 *	START --'.'--> DOT --CR--> DOT_CR --LF--> the end
 *	  |             | other: the dot was stuffing -> TEXT
 *	  +--other--> TEXT --CR (last byte of a read)--> CR --LF--> START
 *	TEXT --CRLF--> START;  TEXT --CR or LF alone--> LOOSE
 *	LOOSE: begins a line, but not after CRLF, so that a dot there can end nothing --'.'--> LOOSE_DOT
 */

/* System */
#include <string.h>
/* lib */
#include "smtp/data.h"

enum data_state {
	DATA_START,
	DATA_TEXT,
	DATA_CR,
	DATA_DOT,
	DATA_DOT_CR,
	DATA_LOOSE,
	DATA_LOOSE_DOT
};
enum { DATA_LINE_MAX = 998 };

static const struct span data_crlf = { "\r\n", 2 };
static const struct span data_dot = { ".", 1 };
static const struct span data_dot_crlf = { ".\r\n", 3 };

void
data_scan_init(struct data_scan *d, bool is_dotted)
{
	*d = (struct data_scan){ .state = DATA_START, .is_dotted = is_dotted };
}

static void
line_grow(struct data_scan *d, size_t n)
{
	d->line_bytes = n < UINT32_MAX - d->line_bytes ? d->line_bytes + (uint32_t)n : UINT32_MAX;
	if (d->line_bytes > DATA_LINE_MAX)
		d->flags |= DATA_LONG_LINE;
}

/* Every byte of every message passes here: a word at a time. */
static bool
has_8bit(struct span run)
{
	uint64_t any = 0, word;
	size_t i;

	for (i = 0; i + sizeof(word) <= run.n; i += sizeof(word)) {
		memcpy(&word, run.p + i, sizeof(word));
		any |= word;
	}
	for (; i < run.n; i++)
		any |= (unsigned char)run.p[i];
	return (any & 0x8080808080808080ULL) != 0;
}

/* Hints of a run. A flag that is set needs no further look. */
static void
note_bytes(struct data_scan *d, struct span run)
{
	if ((d->flags & DATA_8BIT) == 0 && has_8bit(run))
		d->flags |= DATA_8BIT;
	if ((d->flags & DATA_NUL) == 0 && run.n > 0 && memchr(run.p, '\0', run.n) != NULL)
		d->flags |= DATA_NUL;
}

static void
bare_newline(struct data_scan *d)
{
	d->has_bare = true;
	d->state = DATA_LOOSE;
	d->line_bytes = 0;
}

/* The fast path: whole lines up to a dot at the start of one, a bare newline, or the end of the bytes. Returns the length
 * of the run; *is_bare_out: the byte after it is a bare CR or LF. */
static size_t
scan_lines(struct data_scan *d, struct span in, bool *is_bare_out)
{
	const char *p = in.p, *end = in.p + in.n;

	*is_bare_out = false;
	while (p < end) {
		const char *lf, *cr, *stop;

		if (d->state != DATA_TEXT && d->is_dotted && *p == '.')
			break;
		lf = memchr(p, '\n', (size_t)(end - p));
		stop = lf != NULL ? lf : end;
		cr = memchr(p, '\r', (size_t)(stop - p));
		if (lf != NULL && cr == lf - 1 && lf > p) {
			line_grow(d, (size_t)(cr - p));
			d->line_bytes = 0;
			d->state = DATA_START;
			p = lf + 1;
			continue;
		}
		d->state = DATA_TEXT;
		stop = cr != NULL ? cr : stop;
		line_grow(d, (size_t)(stop - p));
		p = stop;
		*is_bare_out = stop < end;
		break;
	}
	return (size_t)(p - in.p);
}

/* The rare states, one byte at a time. */
static size_t
scan_edge(struct data_scan *d, char c, struct span *piece_out)
{
	switch ((enum data_state)d->state) {
	case DATA_CR:
		*piece_out = data_crlf;
		if (c == '\n') {
			d->state = DATA_START;
			d->line_bytes = 0;
			return 1;
		}
		bare_newline(d);
		return 0;
	case DATA_DOT:
		if (c == '\r') {
			d->state = DATA_DOT_CR;
			return 1;
		}
		d->state = DATA_TEXT;
		if (c == '\n')
			*piece_out = data_dot;
		return 0;
	case DATA_DOT_CR:
		if (c == '\n') {
			d->is_end = true;
			return 1;
		}
		*piece_out = data_dot_crlf;
		bare_newline(d);
		return 0;
	case DATA_LOOSE_DOT:
		d->state = DATA_TEXT;
		if (c == '\r' || c == '\n') {
			*piece_out = data_dot;
			line_grow(d, 1);
		}
		return 0;
	case DATA_START:
	case DATA_TEXT:
	case DATA_LOOSE:
		break;
	}
	return 0;
}

size_t
data_scan(struct data_scan *d, struct span in, struct span *piece_out)
{
	bool is_bare;
	size_t n;

	*piece_out = SPAN_NONE;
	if (d->state == DATA_CR || d->state == DATA_DOT || d->state == DATA_DOT_CR ||
	    d->state == DATA_LOOSE_DOT)
		return scan_edge(d, in.p[0], piece_out);
	n = scan_lines(d, in, &is_bare);
	*piece_out = span_sub(in, 0, n);
	note_bytes(d, *piece_out);
	if (n == in.n)
		return n;
	if (!is_bare) {
		d->state = d->state == DATA_LOOSE ? DATA_LOOSE_DOT : DATA_DOT;
		return n + 1;
	}
	if (in.p[n] == '\r' && n + 1 == in.n) {
		d->state = DATA_CR;
		return n + 1;
	}
	/* The run goes out first; the newline next time, at the front. */
	if (n > 0)
		return n;
	*piece_out = data_crlf;
	bare_newline(d);
	return 1;
}

void
data_scan_finish(struct data_scan *d, struct span *piece_out)
{
	*piece_out = SPAN_NONE;
	if (d->state == DATA_CR) {
		*piece_out = data_crlf;
		bare_newline(d);
	}
}
