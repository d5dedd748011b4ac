/* SPDX-License-Identifier: ISC
 *
 * Queue ids: made, printed and read; and random bytes. An id says when and by which process slot it was given, and
 * nothing that must stay secret: spool salts and submission ids are random bytes instead. Used by every process. */

/* System */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
/* lib */
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"

/* Crockford's base32 without I, L, O and U, in ASCII order, so that texts sort as the numbers do. */
static const char id_alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

uint64_t
id_next(struct id_gen *g)
{
	uint64_t now_us = clock_wall_us();

	now_us = now_us > ID_EPOCH_US ? now_us - ID_EPOCH_US : 0;
	g->floor_us = now_us > g->floor_us ? now_us : g->floor_us + 1;
	return g->floor_us << ID_SLOT_BITS | (g->slot & ((1U << ID_SLOT_BITS) - 1));
}

uint16_t
id_slot(uint64_t id)
{
	return (uint16_t)(id & ((1U << ID_SLOT_BITS) - 1));
}

uint64_t
id_us(uint64_t id)
{
	return id >> ID_SLOT_BITS;
}

void
id_format(uint64_t id, char out[ID_TEXT_LEN + 1])
{
	for (size_t i = ID_TEXT_LEN; i-- > 0; id >>= 5)
		out[i] = id_alphabet[id & 31];
	out[ID_TEXT_LEN] = '\0';
}

/* The value of a character, 32: none. */
static unsigned
id_digit(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	at = c != '\0' ? strchr(id_alphabet, c) : NULL;
	return at != NULL ? (unsigned)(at - id_alphabet) : 32;
}

int
id_parse(struct span text, uint64_t *out)
{
	uint64_t id = 0;

	/* 13 x 5 bits are one more than an id has. */
	if (text.n != ID_TEXT_LEN || id_digit(text.p[0]) > 15)
		return E_SYNTAX;
	for (size_t i = 0; i < text.n; i++) {
		unsigned digit = id_digit(text.p[i]);

		if (digit > 31)
			return E_SYNTAX;
		id = id << 5 | digit;
	}
	*out = id;
	return 0;
}

void
id_random(void *p, size_t n)
{
	char *to = p;

	while (n > 0) {
		ssize_t got = getrandom(to, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die_temp("getrandom: %s; the kernel gives no random bytes",
				 strerror(errno));
		to += got;
		n -= (size_t)got;
	}
}
