/* SPDX-License-Identifier: ISC
 *
 * The first words to a newcomer, from the values of the configuration that he runs. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/span.h"
/* this program */
#include "cli/hint.h"

#define FILE_NAME "quickstart.conf"

static const struct conf_domain *
first_virtual(const struct conf *c)
{
	for (size_t i = 0; i < c->domain_count; i++) {
		if (c->domain[i].class == CONF_DOMAIN_CLASS_VIRTUAL)
			return &c->domain[i];
	}
	return NULL;
}

void
hint_print(const char *conf_path, const struct conf *c)
{
	const struct conf_domain *d = first_virtual(c);
	const char *host;
	unsigned port;

	if (!span_ends(span_of(conf_path), SPAN(FILE_NAME)) || d == NULL || c->listen_count == 0)
		return;
	host = c->listen[0].address;
	port = (unsigned)c->listen[0].port;
	fprintf(stderr,
		"Postern takes mail for anybody@%s on %s port %u. In another terminal:\n"
		"\n"
		"  swaks --server %s:%u --to you@%s\n"
		"\n"
		"or, without any further program:\n"
		"\n"
		"  bash -c 'exec 3<>/dev/tcp/%s/%u; say() { sleep 1; printf \"$@\" >&3; }; "
		"say \"EHLO me\\r\\n\"; "
		"say \"MAIL FROM:<me@%s>\\r\\nRCPT TO:<you@%s>\\r\\nDATA\\r\\n\"; "
		"say \"Subject: hello\\r\\n\\r\\nFirst message.\\r\\n.\\r\\nQUIT\\r\\n\"; cat "
		"<&3'\n"
		"\n"
		"It lands in %s/you/new. Ctrl-C stops the server.\n"
		"\n",
		d->title, host, port, host, port, d->title, host, port, d->title, d->title,
		d->mailbox_base);
}
