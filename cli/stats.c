/* SPDX-License-Identifier: ISC
 *
 * `postern stats`: counters and gauges as text, JSON or in the Prometheus text format.
 */
/* System */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* lib */
#include "proc/proc.h"

/* this program */
#include "cli/client.h"
#include "cli/stats.h"

static int
on_stats(void *arg, const struct admin_answer *a)
{
	json_t *all = arg, *one;
	json_error_t why;

	if (a->kind != ADMIN_STATS_OF || a->origin >= PROC_COUNT ||
	    (one = json_loadb(a->bytes.p, a->bytes.n, 0, &why)) == NULL) {
		fprintf(stderr, "postern: the server is of another version; restart it\n");
		return EX_PROTOCOL;
	}
	if (a->origin == PROC_QMGR) {
		json_object_update(all, one);
		json_decref(one);
	} else {
		json_object_set_new(all, proc_info((enum proc_id)a->origin)->name, one);
	}
	return 0;
}

int
stats_fetch(const struct cli *cli, json_t **out)
{
	json_t *all = json_object();
	int x = client_ask(cli->conf->directories.run,
			   &(struct admin_request){ .kind = ADMIN_STATS }, on_stats, all, NULL);

	*out = all;
	return x;
}

const json_t *
stats_number(const json_t *all, const char *path)
{
	struct span rest = span_of(path), key;

	while (all != NULL && span_next(&rest, '.', &key))
		all = json_object_getn(all, key.p, key.n);
	return json_is_integer(all) ? all : NULL;
}

/* Leaves as NAME VALUE lines. */
static void
print_leaves(const json_t *o, const char *prefix)
{
	char name[256];
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
		if (json_is_object(v))
			print_leaves(v, name);
		else if (json_is_integer(v))
			printf("%s %lld\n", name, (long long)json_integer_value(v));
		else if (json_is_real(v))
			printf("%s %g\n", name, json_real_value(v));
		else if (json_is_string(v))
			printf("%s %s\n", name, json_string_value(v));
	}
}

int
cmd_stats(const struct cli *cli, int argc, char **argv)
{
	json_t *all;
	const char *form = argc > 1 ? argv[1] : "";
	int x;

	if (argc > 2 ||
	    (*form && strcmp(form, "--json") != 0 && strcmp(form, "--prometheus") != 0)) {
		fprintf(stderr, "postern: usage: postern stats [--json | --prometheus]\n");
		return EX_USAGE;
	}
	if ((x = stats_fetch(cli, &all)) == 0) {
		if (strcmp(form, "--json") == 0) {
			json_dumpf(all, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
			putchar('\n');
		} else if (*form) {
			metrics_print(all);
		} else {
			print_leaves(all, "");
		}
	}
	json_decref(all);
	return x;
}
