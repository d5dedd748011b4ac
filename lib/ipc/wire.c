/* SPDX-License-Identifier: ISC
 *
 * messages.def as code: one encoder, one decoder and one visitor per row, and the table that says who may send what to
 * whom. No I/O; framing and sockets are chan.c's.
 */
/* System */
#include <string.h>

/* lib */
#include "base/log.h"
#include "ipc/wire.h"

/* ---- encoders ---- */
#define MSG_BEGIN(NAME, name, from, to)                                   \
	static void put_##name(struct buf *b, const struct msg_##name *m) \
	{                                                                 \
		(void)b;                                                  \
		(void)m;
#define F_U8(f, doc) buf_put_u8(b, m->f);
#define F_U16(f, doc) buf_put_u16(b, m->f);
#define F_U32(f, doc) buf_put_u32(b, m->f);
#define F_U64(f, doc) buf_put_u64(b, m->f);
#define F_STR(f, max, doc) put_field(b, m->f, max, #f);
#define F_BYTES(f, max, doc) put_field(b, m->f, max, #f);
#define F_FD(f, doc)
#define MSG_END(name) }

static void
put_field(struct buf *b, struct span v, size_t max, const char *name)
{
	if (v.n > max)
		bug("message field %s has %zu bytes, more than %zu", name, v.n, max);
	buf_put_bytes(b, v);
}

#include "ipc/messages.def"
#include "ipc/messages_undef.h"

/* ---- decoders ---- */
#define MSG_BEGIN(NAME, name, from, to)                             \
	static void get_##name(struct cur *c, struct msg_##name *m) \
	{                                                           \
		(void)c;                                            \
		m->end_ = 0;
#define F_U8(f, doc) m->f = cur_u8(c);
#define F_U16(f, doc) m->f = cur_u16(c);
#define F_U32(f, doc) m->f = cur_u32(c);
#define F_U64(f, doc) m->f = cur_u64(c);
#define F_STR(f, max, doc) m->f = get_text(c, max);
#define F_BYTES(f, max, doc) m->f = cur_bytes(c, max);
#define F_FD(f, doc) m->f = -1;
#define MSG_END(name) }

static struct span
get_text(struct cur *c, size_t max)
{
	struct span s = cur_bytes(c, max);

	if (span_chr(s, '\0') >= 0 || span_chr(s, '\r') >= 0 || span_chr(s, '\n') >= 0)
		c->is_failed = true;
	return s;
}

#include "ipc/messages.def"
#include "ipc/messages_undef.h"

/* ---- visitors ---- */
#define VISIT(f, kind, max) fn(arg, &(const struct field_info){ #f, kind, max }, &m->f);
#define MSG_BEGIN(NAME, name, from, to)                                               \
	static void visit_##name(struct msg_##name *m,                                \
				 void (*fn)(void *arg, const struct field_info *info, \
					    void *field),                             \
				 void *arg)                                           \
	{                                                                             \
		(void)m;                                                              \
		(void)fn;                                                             \
		(void)arg;
#define F_U8(f, doc) VISIT(f, FIELD_U8, 0)
#define F_U16(f, doc) VISIT(f, FIELD_U16, 0)
#define F_U32(f, doc) VISIT(f, FIELD_U32, 0)
#define F_U64(f, doc) VISIT(f, FIELD_U64, 0)
#define F_STR(f, max, doc) VISIT(f, FIELD_STR, max)
#define F_BYTES(f, max, doc) VISIT(f, FIELD_BYTES, max)
#define F_FD(f, doc) VISIT(f, FIELD_FD, 0)
#define MSG_END(name) }
#include "ipc/messages.def"
#include "ipc/messages_undef.h"

/* ---- the table ---- */
#define MSG_BEGIN(NAME, name, from, to) enum { max_##name = 0
#define F_U8(f, doc) +1
#define F_U16(f, doc) +2
#define F_U32(f, doc) +4
#define F_U64(f, doc) +8
#define F_STR(f, max, doc) +4 + (max)
#define F_BYTES(f, max, doc) +4 + (max)
#define F_FD(f, doc)
#define MSG_END(name) \
	}             \
	;
#include "ipc/messages.def"
#include "ipc/messages_undef.h"

#define MSG_BEGIN(NAME, name, from, to) enum { fds_##name = 0
#define F_U8(f, doc)
#define F_U16(f, doc)
#define F_U32(f, doc)
#define F_U64(f, doc)
#define F_STR(f, max, doc)
#define F_BYTES(f, max, doc)
#define F_FD(f, doc) +1
#define MSG_END(name) \
	}             \
	;             \
	_Static_assert(fds_##name <= 1, "one descriptor per message");
#include "ipc/messages.def"
#include "ipc/messages_undef.h"

/* What the rows look like to the fields' expansions below. */
#define F_U8(f, doc)
#define F_U16(f, doc)
#define F_U32(f, doc)
#define F_U64(f, doc)
#define F_STR(f, max, doc)
#define F_BYTES(f, max, doc)
#define F_FD(f, doc)
#define MSG_END(name)
#define MSG_BEGIN(NAME, name, from, to) \
	[MSG_##NAME] = { #NAME, (from), (to), max_##name, fds_##name == 1 },

static const struct msg_info rows[MSG_TYPE_COUNT] = {
#include "ipc/messages.def"
};

#undef MSG_BEGIN
#define MSG_BEGIN(NAME, name, from, to) \
	case MSG_##NAME:                \
		put_##name(b, msg);     \
		break;

void
msg_encode(struct buf *b, enum msg_type type, const void *msg)
{
	switch (type) {
#include "ipc/messages.def"
	case MSG_NONE:
	case MSG_TYPE_COUNT:
		bug("no such message type %d", (int)type);
	}
}

#undef MSG_BEGIN
#define MSG_BEGIN(NAME, name, from, to)     \
	case MSG_##NAME:                    \
		get_##name(&c, &out->name); \
		break;

int
msg_decode(struct span payload, enum msg_type type, union msg_any *out)
{
	struct cur c = cur_of(payload);

	switch (type) {
#include "ipc/messages.def"
	case MSG_NONE:
	case MSG_TYPE_COUNT:
		return E_CORRUPT;
	}
	return cur_check_end(&c);
}

#undef MSG_BEGIN
#define MSG_BEGIN(NAME, name, from, to)     \
	case MSG_##NAME:                    \
		visit_##name(msg, fn, arg); \
		break;

void
msg_visit(enum msg_type type, void *msg,
	  void (*fn)(void *arg, const struct field_info *info, void *field), void *arg)
{
	switch (type) {
#include "ipc/messages.def"
	case MSG_NONE:
	case MSG_TYPE_COUNT:
		break;
	}
}
#include "ipc/messages_undef.h"

const struct msg_info *
msg_info(enum msg_type type)
{
	return &rows[type];
}

bool
msg_is_allowed(enum msg_type type, enum proc_id from, enum proc_id to)
{
	if (type <= MSG_NONE || type >= MSG_TYPE_COUNT)
		return false;
	return (rows[type].from >> from & 1) && (rows[type].to >> to & 1) &&
	       proc_has_channel(from, to);
}

static void
find_fd(void *arg, const struct field_info *info, void *field)
{
	if (info->kind == FIELD_FD)
		*(int **)arg = field;
}

int *
msg_fd(enum msg_type type, void *msg)
{
	int *fd = NULL;

	if (rows[type].has_fd)
		msg_visit(type, msg, find_fd, &fd);
	return fd;
}

/* Every row as text, so that any change of the contract changes the hash. */
#define MSG_BEGIN(NAME, name, from, to) #NAME "(" #from ">" #to
#define F_U8(f, doc) " 1" #f
#define F_U16(f, doc) " 2" #f
#define F_U32(f, doc) " 4" #f
#define F_U64(f, doc) " 8" #f
#define F_STR(f, max, doc) " s" #f #max
#define F_BYTES(f, max, doc) " b" #f #max
#define F_FD(f, doc) " d" #f
#define MSG_END(name) ")"

uint64_t
msg_contract(void)
{
	static const char text[] =
#include "ipc/messages.def"
		;
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ULL;
	return h;
}
#include "ipc/messages_undef.h"
