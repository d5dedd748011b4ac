/* SPDX-License-Identifier: ISC */
#ifndef IPC_WIRE_H
#define IPC_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/cur.h"
#include "base/err.h"
#include "base/span.h"
#include "proc/proc.h"

/* messages.def as code: for each row the value MSG_<NAME>, struct msg_<name> and one row of data. */
enum msg_type {
	MSG_NONE,
#define MSG_BEGIN(NAME, name, from, to) MSG_##NAME,
#define F_U8(f, doc)
#define F_U16(f, doc)
#define F_U32(f, doc)
#define F_U64(f, doc)
#define F_STR(f, max, doc)
#define F_BYTES(f, max, doc)
#define F_FD(f, doc)
#define MSG_END(name)
#include "ipc/messages.def"
#include "ipc/messages_undef.h"
	MSG_TYPE_COUNT
};

#define MSG_BEGIN(NAME, name, from, to) struct msg_##name {
#define F_U8(f, doc) uint8_t f;
#define F_U16(f, doc) uint16_t f;
#define F_U32(f, doc) uint32_t f;
#define F_U64(f, doc) uint64_t f;
#define F_STR(f, max, doc) struct span f;
#define F_BYTES(f, max, doc) struct span f;
#define F_FD(f, doc) int f;
#define MSG_END(name) \
	char end_;    \
	}             \
	;
#include "ipc/messages.def"
#include "ipc/messages_undef.h"

enum field_kind { FIELD_U8, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_STR, FIELD_BYTES, FIELD_FD };

struct field_info {
	const char *name;
	enum field_kind kind;
	uint32_t max; /* STR, BYTES: longest value */
};

struct msg_info {
	const char *name;
	uint32_t from, to;  /* sets of P(...) */
	uint32_t max_bytes; /* longest payload */
	bool has_fd;
};

/* Room for any decoded message. */
union msg_any {
	uint64_t align;
#define MSG_BEGIN(NAME, name, from, to) struct msg_##name name;
#define F_U8(f, doc)
#define F_U16(f, doc)
#define F_U32(f, doc)
#define F_U64(f, doc)
#define F_STR(f, max, doc)
#define F_BYTES(f, max, doc)
#define F_FD(f, doc)
#define MSG_END(name)
#include "ipc/messages.def"
#include "ipc/messages_undef.h"
};

/* Row of a type; type is 1..MSG_TYPE_COUNT-1. */
const struct msg_info *msg_info(enum msg_type type);
/* May a process of kind `from` send this type to one of kind `to`? */
bool msg_is_allowed(enum msg_type type, enum proc_id from, enum proc_id to);
/* Hash of the whole contract, for HELLO. */
uint64_t msg_contract(void);
/* Append the payload of `msg` (struct msg_<name> of this type) to b. The descriptor travels beside it (chan). */
void msg_encode(struct buf *b, enum msg_type type, const void *msg);
/* Decode a payload into `out`; F_FD fields become -1. E_CORRUPT: over-long, truncated, trailing bytes, or a
 * forbidden byte in a text field. */
int msg_decode(struct span payload, enum msg_type type, union msg_any *out) MUST_CHECK;
/* Address of the F_FD field in a message, NULL: has none. */
int *msg_fd(enum msg_type type, void *msg);
/* Call fn for each field of a message in the order of its row; `field` points to the value in `msg`. For tests and dumps. */
void msg_visit(enum msg_type type, void *msg,
	       void (*fn)(void *arg, const struct field_info *info, void *field), void *arg);

#endif
