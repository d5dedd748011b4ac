/* SPDX-License-Identifier: ISC
 *
 * The numbers of `postern stats` in the Prometheus text exposition format 0.0.4, by the table metrics.def. A number that the
 * table does not know (of a newer server) is left out: its name would not be for ever.
 */
/* System */
#include <stdio.h>
#include <string.h>

/* this program */
#include "cli/stats.h"

static const struct metric {
	const char *type, *name, *labels, *path, *help;
} metrics[] = {
#define COUNTER(name, labels, path, help) { "counter", name, labels, path, help },
#define GAUGE(name, labels, path, help) { "gauge", name, labels, path, help },
#include "cli/metrics.def"
};

void
metrics_print(const json_t *all)
{
	const char *open = "";

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *m = &metrics[i];
		const json_t *value = stats_number(all, m->path);

		if (value == NULL)
			continue;
		if (strcmp(m->name, open) != 0)
			printf("# HELP postern_%s %s\n# TYPE postern_%s %s\n", m->name, m->help,
			       m->name, m->type);
		open = m->name;
		if (*m->labels != '\0')
			printf("postern_%s{%s} %lld\n", m->name, m->labels,
			       (long long)json_integer_value(value));
		else
			printf("postern_%s %lld\n", m->name, (long long)json_integer_value(value));
	}
}
