/* SPDX-License-Identifier: ISC
 *
 * Parameters of MAIL and RCPT: which there are and what their values may be. What they mean for a message is decided by
 * the session. No I/O; strangers' bytes.        RFC 5321 4.1.1.11, RFC 1870, 6152, 6531, 3461, 4954 section 5, 6533 */

/* System */
#include <string.h>
/* lib */
#include "smtp/addr.h"
#include "smtp/param.h"

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

static unsigned
hex_value(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

bool
param_is_xtext(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned c = (unsigned char)s.p[i];

		if (c == '+') {
			if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return false;
			c = hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]);
			if (c < 32 || c > 126)
				return false;
			i += 2;
		} else if (c < 33 || c > 126 || c == '=') {
			return false;
		}
	}
	return s.n > 0;
}

/* "\x{HEX}" in place of characters that do not fit, else printable ASCII or UTF-8.   RFC 6533 3, utf-8-addr-xtext */
static bool
is_utf8_addr(struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		unsigned c = (unsigned char)s.p[i++];

		if (c == '\\') {
			size_t start = i + 2;

			if (s.n - i < 4 || s.p[i] != 'x' || s.p[i + 1] != '{')
				return false;
			for (i = start; i < s.n && is_hex(s.p[i]); i++)
				;
			if (i == start || i - start > 6 || i == s.n || s.p[i++] != '}')
				return false;
		} else if (c < 33 || c == 127 || c == '+' || c == '=') {
			return false;
		}
	}
	return s.n > 0 && addr_is_utf8(s);
}

/* One "keyword" or "keyword=value". */
struct param {
	struct span key;
	struct span value;
	bool has_value;
};

/* 1: *out is the next one; 0: there are no more; E_SYNTAX. */
static int
param_next(struct span *in, struct param *out)
{
	struct span word = SPAN_NONE;
	ptrdiff_t eq;

	while (word.n == 0)
		if (!span_next(in, ' ', &word))
			return 0;
	eq = span_chr(word, '=');
	out->has_value = eq >= 0;
	out->key = span_sub(word, 0, eq >= 0 ? (size_t)eq : word.n);
	out->value = eq >= 0 ? span_sub(word, (size_t)eq + 1, word.n) : SPAN_NONE;
	if (out->key.n == 0 || out->key.p[0] == '-' || (out->has_value && out->value.n == 0))
		return E_SYNTAX;
	for (size_t i = 0; i < out->key.n; i++) {
		char c = out->key.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') &&
		    c != '-')
			return E_SYNTAX;
	}
	for (size_t i = 0; i < out->value.n; i++) {
		unsigned char c = (unsigned char)out->value.p[i];

		if (c < 33 || c == 127 || c == '=')
			return E_SYNTAX;
	}
	return 1;
}

static int
take_size(struct mail_params *m, struct span v)
{
	int r;

	if (v.n > 20)
		return E_SYNTAX;
	r = span_to_u64(v, 1ULL << 62, &m->size_bytes);
	if (r == E_TOOBIG)
		m->size_bytes = 1ULL << 62;
	else if (r < 0)
		return r;
	m->has_size = true;
	return 0;
}

static int
take_body(struct mail_params *m, struct span v)
{
	if (span_ieq(v, SPAN("7BIT")))
		m->body = SMTP_BODY_7BIT;
	else if (span_ieq(v, SPAN("8BITMIME")))
		m->body = SMTP_BODY_8BITMIME;
	else
		return span_ieq(v, SPAN("BINARYMIME")) ? E_PARAM : E_SYNTAX;
	return 0;
}

static int
take_ret(struct mail_params *m, struct span v)
{
	if (span_ieq(v, SPAN("FULL")))
		m->ret = SMTP_RET_FULL;
	else if (span_ieq(v, SPAN("HDRS")))
		m->ret = SMTP_RET_HDRS;
	else
		return E_SYNTAX;
	return 0;
}

static int
take_envid(struct mail_params *m, struct span v)
{
	if (v.n > SMTP_ENVID_MAX || !param_is_xtext(v))
		return E_SYNTAX;
	m->envid = v;
	return 0;
}

/* Nobody who sends it is trusted with it, which the RFC puts as: it means AUTH=<>.          RFC 4954 5 */
static int
take_auth(struct mail_params *m, struct span v)
{
	(void)m;
	return span_eq(v, SPAN("<>")) || (v.n <= SMTP_ORCPT_MAX && param_is_xtext(v)) ? 0
										      : E_SYNTAX;
}

static int
take_smtputf8(struct mail_params *m, struct span v)
{
	(void)v;
	m->is_smtputf8 = true;
	return 0;
}

static int
take_notify(struct rcpt_params *p, struct span v)
{
	static const struct {
		struct span word;
		uint8_t bit;
	} words[] = {
		{ { "NEVER", 5 }, SMTP_NOTIFY_NEVER },
		{ { "SUCCESS", 7 }, SMTP_NOTIFY_SUCCESS },
		{ { "FAILURE", 7 }, SMTP_NOTIFY_FAILURE },
		{ { "DELAY", 5 }, SMTP_NOTIFY_DELAY },
	};
	struct span word;

	if (v.n > 0 && v.p[v.n - 1] == ',')
		return E_SYNTAX;
	while (span_next(&v, ',', &word)) {
		uint8_t bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_ieq(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0)
			return E_SYNTAX;
		p->notify |= bit;
	}
	/* NEVER stands alone. */
	return (p->notify & SMTP_NOTIFY_NEVER) != 0 && p->notify != SMTP_NOTIFY_NEVER ? E_SYNTAX
										      : 0;
}

static int
take_orcpt(struct rcpt_params *p, struct span v)
{
	ptrdiff_t semi = span_chr(v, ';');
	struct span type, addr;

	if (semi <= 0 || v.n > SMTP_ORCPT_MAX)
		return E_SYNTAX;
	type = span_sub(v, 0, (size_t)semi);
	addr = span_sub(v, (size_t)semi + 1, v.n);
	for (size_t i = 0; i < type.n; i++)
		if ((unsigned char)type.p[i] < 33 || (unsigned char)type.p[i] > 126)
			return E_SYNTAX;
	if (span_ieq(type, SPAN("utf-8")) ? !is_utf8_addr(addr) : !param_is_xtext(addr))
		return E_SYNTAX;
	p->orcpt = v;
	return 0;
}

static const struct {
	struct span key;
	bool has_value;
	int (*take)(struct mail_params *m, struct span v);
} mail_rows[] = {
	{ { "SIZE", 4 }, true, take_size },	     { { "BODY", 4 }, true, take_body },
	{ { "SMTPUTF8", 8 }, false, take_smtputf8 }, { { "RET", 3 }, true, take_ret },
	{ { "ENVID", 5 }, true, take_envid },	     { { "AUTH", 4 }, true, take_auth },
};

static const struct {
	struct span key;
	int (*take)(struct rcpt_params *p, struct span v);
} rcpt_rows[] = {
	{ { "NOTIFY", 6 }, take_notify },
	{ { "ORCPT", 5 }, take_orcpt },
};

int
param_parse_mail(struct span in, struct mail_params *out)
{
	unsigned seen = 0;
	struct param p;
	size_t i;
	int r;

	*out = (struct mail_params){ .has_size = false };
	while ((r = param_next(&in, &p)) > 0) {
		for (i = 0; i < sizeof(mail_rows) / sizeof(mail_rows[0]); i++)
			if (span_ieq(p.key, mail_rows[i].key))
				break;
		if (i == sizeof(mail_rows) / sizeof(mail_rows[0]))
			return E_BADPARAM;
		if ((seen & 1u << i) != 0 || p.has_value != mail_rows[i].has_value)
			return E_SYNTAX;
		seen |= 1u << i;
		if ((r = mail_rows[i].take(out, p.value)) < 0)
			return r;
	}
	return r;
}

int
param_parse_rcpt(struct span in, struct rcpt_params *out)
{
	unsigned seen = 0;
	struct param p;
	size_t i;
	int r;

	*out = (struct rcpt_params){ .notify = 0 };
	while ((r = param_next(&in, &p)) > 0) {
		for (i = 0; i < sizeof(rcpt_rows) / sizeof(rcpt_rows[0]); i++)
			if (span_ieq(p.key, rcpt_rows[i].key))
				break;
		if (i == sizeof(rcpt_rows) / sizeof(rcpt_rows[0]))
			return E_BADPARAM;
		if ((seen & 1u << i) != 0 || !p.has_value)
			return E_SYNTAX;
		seen |= 1u << i;
		if ((r = rcpt_rows[i].take(out, p.value)) < 0)
			return r;
	}
	return r;
}
