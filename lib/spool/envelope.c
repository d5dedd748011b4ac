/* SPDX-License-Identifier: ISC
 *
 * The envelope as typed, length-prefixed fields: written by the intakes, checked again by every reader. It knows the
 * form of the fields, not whether an address is valid or wanted. No I/O; used by smtpd, qmgr and delivery, on bytes that
 * a sibling or the disk gave. RFC 5321 section 2.3.1, RFC 3461 section 4. */

/* System */
#include <string.h>
/* lib */
#include "base/cur.h"
#include "spool/envelope.h"

enum {
	ENV_RCPT_FIXED = 11, /* u32 index, u8 notify, three u16 lengths */
	ENV_NOTIFY_ALL = ENV_NOTIFY_NEVER | ENV_NOTIFY_SUCCESS | ENV_NOTIFY_FAILURE |
			 ENV_NOTIFY_DELAY,
};

void
envelope_init(struct envelope *e)
{
	*e = (struct envelope){ .uid = ENV_NO_UID };
}

/* --- writing --------------------------------------------------------------------------------- */

static void
put_field(struct buf *b, enum env_field type, struct span value)
{
	buf_put_u16(b, (uint16_t)type);
	buf_put_bytes(b, value);
}

static void
put_text(struct buf *b, enum env_field type, struct span value)
{
	if (value.n > 0)
		put_field(b, type, value);
}

static void
put_u8(struct buf *b, enum env_field type, uint8_t value)
{
	if (value != 0)
		put_field(b, type, span_make(&value, 1));
}

static void
put_rcpt(struct buf *b, const struct env_rcpt *r)
{
	buf_put_u16(b, ENV_RCPT);
	buf_put_u32(b, (uint32_t)(ENV_RCPT_FIXED + r->addr.n + r->orcpt.n + r->orig.n));
	buf_put_u32(b, r->index);
	buf_put_u8(b, r->notify);
	buf_put_u16(b, (uint16_t)r->addr.n);
	buf_put_u16(b, (uint16_t)r->orcpt.n);
	buf_put_u16(b, (uint16_t)r->orig.n);
	buf_put_span(b, r->addr);
	buf_put_span(b, r->orcpt);
	buf_put_span(b, r->orig);
}

void
envelope_encode(struct buf *b, const struct envelope *e)
{
	put_field(b, ENV_SENDER, e->sender);
	put_text(b, ENV_ENVID, e->envid);
	put_u8(b, ENV_RET, (uint8_t)e->ret);
	put_u8(b, ENV_BODY, (uint8_t)e->body);
	if (e->is_smtputf8)
		put_field(b, ENV_SMTPUTF8, SPAN_NONE);
	put_text(b, ENV_CLIENT_ADDR, e->client_addr);
	put_text(b, ENV_CLIENT_HELO, e->client_helo);
	put_text(b, ENV_AUTH_USER, e->auth_user);
	put_text(b, ENV_PROTOCOL, e->protocol);
	put_text(b, ENV_SID, e->sid);
	put_text(b, ENV_DEDUPE_NAME, e->dedupe_name);
	put_text(b, ENV_DEDUPE_KEY, e->dedupe_key);
	if (e->uid != ENV_NO_UID) {
		buf_put_u16(b, ENV_UID);
		buf_put_u32(b, 4);
		buf_put_u32(b, e->uid);
	}
	for (uint32_t i = 0; i < e->rcpt_count; i++)
		put_rcpt(b, &e->rcpts[i]);
}

/* --- reading --------------------------------------------------------------------------------- */

/* The next field; false: the end, or c is failed. */
static bool
next_field(struct cur *c, uint16_t *type, struct span *value)
{
	if (cur_left(c) == 0)
		return false;
	*type = cur_u16(c);
	*value = cur_bytes(c, UINT32_MAX);
	return cur_check(c) == 0;
}

static bool
is_text(struct span s, size_t max)
{
	if (s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n')
			return false;
	return true;
}

static int
get_text(struct span value, size_t max, struct span *out)
{
	if (!is_text(value, max))
		return E_CORRUPT;
	*out = value;
	return 0;
}

static int
get_u8(struct span value, uint8_t max, uint8_t *out)
{
	if (value.n != 1 || (unsigned char)value.p[0] > max)
		return E_CORRUPT;
	*out = (uint8_t)value.p[0];
	return 0;
}

static int
get_rcpt(struct span value, struct env_rcpt *out)
{
	struct cur c = cur_of(value);
	uint16_t addr_n, orcpt_n, orig_n;

	out->index = cur_u32(&c);
	out->notify = cur_u8(&c);
	addr_n = cur_u16(&c);
	orcpt_n = cur_u16(&c);
	orig_n = cur_u16(&c);
	out->addr = cur_take(&c, addr_n);
	out->orcpt = cur_take(&c, orcpt_n);
	out->orig = cur_take(&c, orig_n);
	if (cur_check_end(&c) < 0 || (out->notify & ~(unsigned)ENV_NOTIFY_ALL) != 0 ||
	    out->addr.n == 0)
		return E_CORRUPT;
	if (!is_text(out->addr, ENV_ADDR_MAX) || !is_text(out->orcpt, ENV_TEXT_MAX) ||
	    !is_text(out->orig, ENV_ADDR_MAX))
		return E_CORRUPT;
	return 0;
}

static int
get_uid(struct span value, uint32_t *out)
{
	struct cur c = cur_of(value);

	*out = cur_u32(&c);
	return cur_check_end(&c);
}

/* One field that stands at most once. */
static int
get_single(uint16_t type, struct span value, struct envelope *e)
{
	uint8_t small = 0;
	int r = 0;

	switch ((enum env_field)type) {
	case ENV_SENDER:
		return get_text(value, ENV_ADDR_MAX, &e->sender);
	case ENV_ENVID:
		return get_text(value, ENV_TEXT_MAX, &e->envid);
	case ENV_RET:
		r = get_u8(value, ENV_RET_HDRS, &small);
		e->ret = (enum env_ret)small;
		return r;
	case ENV_BODY:
		r = get_u8(value, ENV_BODY_8BITMIME, &small);
		e->body = (enum env_body)small;
		return r;
	case ENV_SMTPUTF8:
		e->is_smtputf8 = true;
		return value.n == 0 ? 0 : E_CORRUPT;
	case ENV_CLIENT_ADDR:
		return get_text(value, ENV_TEXT_MAX, &e->client_addr);
	case ENV_CLIENT_HELO:
		return get_text(value, ENV_TEXT_MAX, &e->client_helo);
	case ENV_AUTH_USER:
		return get_text(value, ENV_TEXT_MAX, &e->auth_user);
	case ENV_PROTOCOL:
		return get_text(value, ENV_TEXT_MAX, &e->protocol);
	case ENV_SID:
		return get_text(value, ENV_TEXT_MAX, &e->sid);
	case ENV_DEDUPE_NAME:
		return get_text(value, ENV_TEXT_MAX, &e->dedupe_name);
	case ENV_DEDUPE_KEY:
		return get_text(value, ENV_KEY_MAX, &e->dedupe_key);
	case ENV_UID:
		return get_uid(value, &e->uid);
	case ENV_RCPT:
	case ENV_TENANT:
	case ENV_PRIORITY:
	case ENV_LIFETIME:
	case ENV_SOURCE_POOL:
	case ENV_BODY_HASH:
		break;
	}
	return 0;
}

/* All fields but the recipients, and how many of these there are. */
static int
get_singles(struct span in, struct envelope *e)
{
	struct cur c = cur_of(in);
	struct span value;
	uint16_t type;
	uint32_t seen = 0;
	int r;

	while (next_field(&c, &type, &value)) {
		if (type == ENV_RCPT) {
			if (++e->rcpt_count > ENV_RCPT_MAX)
				return E_TOOMANY_RCPTS;
			continue;
		}
		if (type < 32 && (seen & 1u << type) != 0)
			return E_CORRUPT;
		if (type < 32)
			seen |= 1u << type;
		if ((r = get_single(type, value, e)) < 0)
			return r;
	}
	return cur_check(&c) == 0 && (seen & 1u << ENV_SENDER) != 0 ? 0 : E_CORRUPT;
}

int
envelope_decode(struct span in, struct arena *a, struct envelope *out)
{
	struct cur c = cur_of(in);
	struct span value;
	uint16_t type;
	uint32_t i = 0;
	int r;

	envelope_init(out);
	if ((r = get_singles(in, out)) < 0)
		return r;
	if (out->rcpt_count == 0)
		return 0;
	out->rcpts = arena_alloc(a, out->rcpt_count * sizeof(*out->rcpts));
	while (next_field(&c, &type, &value)) {
		if (type != ENV_RCPT)
			continue;
		if ((r = get_rcpt(value, &out->rcpts[i++])) < 0)
			return r;
	}
	return 0;
}

int
envelope_find_rcpt(struct span in, uint32_t index, struct env_rcpt *out)
{
	struct cur c = cur_of(in);
	struct span value;
	uint16_t type;
	int r;

	while (next_field(&c, &type, &value)) {
		if (type != ENV_RCPT)
			continue;
		if ((r = get_rcpt(value, out)) < 0)
			return r;
		if (out->index == index)
			return 0;
	}
	return cur_check(&c) < 0 ? E_CORRUPT : E_NOTFOUND;
}
