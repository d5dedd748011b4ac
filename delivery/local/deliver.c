/* SPDX-License-Identifier: ISC
 *
 * One message into one Maildir, once for each recipient of the job: header lines in front, loop check, files. When what
 * runs on which thread is mailbox.c's business. Runs in the mailbox agent.
 * RFC 5321 4.4 (Return-Path), RFC 9228 (Delivered-To). */

/* System */
#include <errno.h>
#include <string.h>
/* lib */
#include "base/mem.h"
#include "mail/header.h"
/* this program */
#include "delivery/local/deliver.h"

enum { HEAD_MAX = 4096, NOBODY = -1 };

void
deliver_init(struct deliver *d, const struct job *j, struct maildir *md, int base, const char *path)
{
	*d = (struct deliver){
		.job = j, .md = md, .base = base, .path = path, .first = { .fd = -1 }
	};
	d->of_rcpt = mem_array(j->env.rcpt_count, sizeof(*d->of_rcpt));
}

static void
put_head(const struct deliver *d, uint32_t i, struct buf *b)
{
	const struct env_rcpt *r = &d->job->env.rcpts[i];

	buf_puts(b, "Return-Path: <");
	buf_put_span(b, d->job->env.sender);
	buf_puts(b, ">\nX-Original-To: ");
	buf_put_span(b, r->orig.n > 0 ? r->orig : r->addr);
	buf_puts(b, "\nDelivered-To: ");
	buf_put_span(b, r->addr);
	buf_putc(b, '\n');
}

/* A new file with the header lines of recipient i. */
static int
begin_file(struct deliver *d, uint32_t i, struct maildir_file *f, struct maildir_error *err)
{
	struct buf head;
	int r;

	if ((r = maildir_begin(d->md, f, err)) < 0)
		return r;
	buf_init(&head, HEAD_MAX);
	put_head(d, i, &head);
	r = maildir_write(f, buf_span(&head), err);
	d->head_bytes = head.n;
	buf_clear(&head);
	return r;
}

/* The folder may have been removed while we held it open: then it is made again, once. */
static int
begin_first(struct deliver *d)
{
	int r;

	if (d->md->dir < 0 && (r = maildir_open(d->base, d->path, d->md, &d->error)) < 0)
		return r;
	if ((r = begin_file(d, d->first_at, &d->first, &d->error)) == 0 ||
	    d->error.errnum != ENOENT)
		return r;
	maildir_close(d->md);
	d->error = (struct maildir_error){ .code = 0 };
	if ((r = maildir_open(d->base, d->path, d->md, &d->error)) < 0)
		return r;
	return begin_file(d, d->first_at, &d->first, &d->error);
}

/* Index of the first recipient from `from` on who is still to get the message, NOBODY: there is none. */
static int64_t
next_rcpt(const struct deliver *d, uint32_t from)
{
	for (uint32_t i = from; i < d->job->env.rcpt_count; i++) {
		if (d->of_rcpt[i].code == 0)
			return i;
	}
	return NOBODY;
}

/* A Return-Path that came with the message is not the envelope's: the reader must not see two. One that the end of the part may
 * have cut stays.                                                                RFC 5321 4.4 */
static void
put_first_part(struct deliver *d, struct span part)
{
	struct span rest = part;
	struct header_field field;

	while (header_next(&rest, &field)) {
		if (!span_ieq(field.name, SPAN("Return-Path")) || rest.n == 0)
			continue;
		deliver_part(d, span_make(part.p, (size_t)(field.raw.p - part.p)));
		part = rest;
	}
	deliver_part(d, part);
}

void
deliver_begin(struct deliver *d, struct span part)
{
	int64_t first;

	for (uint32_t i = 0; i < d->job->env.rcpt_count; i++) {
		if (header_has_delivered_to(part, d->job->env.rcpts[i].addr))
			d->of_rcpt[i].code = E_LOOP;
	}
	if ((first = next_rcpt(d, 0)) == NOBODY)
		return;
	d->first_at = (uint32_t)first;
	if (begin_first(d) == 0 && maildir_write(&d->first, d->job->trace, &d->error) == 0)
		put_first_part(d, part);
}

void
deliver_part(struct deliver *d, struct span part)
{
	/* An error stays in d->error: nothing more is written, and nothing is committed. */
	if (d->error.code == 0 && d->first.fd >= 0 && maildir_write(&d->first, part, &d->error) < 0)
		return;
}

/* The same message for another recipient. */
static void
deliver_copy(struct deliver *d, uint32_t i, uint64_t offset, struct maildir_file *f)
{
	struct maildir_error *err = &d->of_rcpt[i];

	if (begin_file(d, i, f, err) < 0 || maildir_copy(f, &d->first, offset, err) < 0 ||
	    maildir_commit(d->md, f, err) < 0)
		maildir_abort(d->md, f);
	/* Only the name is needed from here on: descriptors are few. */
	maildir_file_clear(f);
}

void
deliver_end(struct deliver *d)
{
	uint64_t offset = d->head_bytes;
	uint32_t count = d->job->env.rcpt_count;
	struct maildir_file *files;

	if (d->error.code != 0 || d->first.fd < 0)
		return;
	if (maildir_flush(&d->first, &d->error) < 0)
		return;
	files = mem_array(count, sizeof(*files));
	for (uint32_t i = 0; i < count; i++) {
		files[i].fd = -1;
		if (i == d->first_at || d->of_rcpt[i].code != 0)
			continue;
		deliver_copy(d, i, offset, &files[i]);
	}
	if (maildir_commit(d->md, &d->first, &d->of_rcpt[d->first_at]) < 0)
		maildir_abort(d->md, &d->first);
	if (maildir_sync(d->md, &d->error) < 0) {
		/* Nobody knows what the disk has: take back what can be, it will come again. */
		for (uint32_t i = 0; i < count; i++) {
			if (d->of_rcpt[i].code == 0)
				maildir_take_back(d->md, i == d->first_at ? &d->first : &files[i]);
		}
	}
	mem_free(files);
	maildir_file_clear(&d->first);
}

/* Every failure of a mailbox is for now, whatever errno thinks; only a loop is for good.       RFC 3463 3.3, 3.4 */
static struct outcome
outcome_of(const struct deliver *d, const struct maildir_error *err, struct buf *text)
{
	const char *esc = err->errnum == ENOSPC	  ? "4.3.1"
			  : err->errnum == EDQUOT ? "4.2.2"
						  : "4.2.0";

	if (err->code == 0)
		return (struct outcome){ .status = OUTCOME_DELIVERED,
					 .esc = SPAN("2.0.0"),
					 .text = SPAN("delivered to Maildir") };
	if (err->code == E_LOOP)
		return job_error(E_LOOP, 0,
				 SPAN("Mail loop detected: the message was delivered to this "
				      "mailbox before"));
	buf_printf(text, "cannot %s %s: %s", err->step, d->path, strerror(err->errnum));
	return (struct outcome){ .status = OUTCOME_DEFERRED,
				 .esc = span_of(esc),
				 .text = buf_span(text) };
}

void
deliver_settle(const struct deliver *d, struct job *j)
{
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		bool is_own = d->of_rcpt[i].code != 0 || d->error.code == 0;
		struct outcome o;
		struct buf text;

		buf_init(&text, JOB_TEXT_MAX + 4096);
		o = outcome_of(d, is_own ? &d->of_rcpt[i] : &d->error, &text);
		job_settle(j, i, &o);
		buf_clear(&text);
	}
}

void
deliver_drop(struct deliver *d)
{
	if (d->first.fd >= 0)
		maildir_abort(d->md, &d->first);
	mem_free(d->of_rcpt);
	d->of_rcpt = NULL;
}
