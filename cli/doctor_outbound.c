/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`, check outbound: can this host reach other mail servers? A TCP connection to each of a few, all at the
 * same time, closed as soon as it stands; not one byte is sent. Many providers let no packet to port 25 out: they are
 * known by the strings of the firmware (DMI), and their remedy is told. Runs as whoever calls. */

/* System */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
/* this program */
#include "cli/doctor_dns.h"

enum {
	SMTP_PORT = 25,
	ANSWER_MS = 3000,
	CONNECT_MS = 5000,
	HOSTS_MAX = 2,	   /* of a domain, by preference */
	TRIES_MAX = 4,	   /* addresses of a target, */
	OF_FAMILY_MAX = 2, /* of each family */
};

/* Large, and without interest in who connects. */
static const char *const usual_domains[] = { "gmail.com", "outlook.com" };

/* ---- clouds ---- */

static const struct cloud {
	const char *file; /* below /sys/class/dmi/id */
	const char *text; /* found in it */
	const char *name;
	const char *remedy;
} clouds[] = {
	{ "sys_vendor", "Amazon EC2", "Amazon EC2",
	  "ask AWS to lift the restriction of port 25 (form \"Request to remove email sending "
	  "limitations\"), or send through a "
	  "smarthost: relay_host = \"[email-smtp.REGION.amazonaws.com]:587\"" },
	/* Older instances, on Xen. */
	{ "bios_version", "amazon", "Amazon EC2",
	  "ask AWS to lift the restriction of port 25 (form \"Request to remove email sending "
	  "limitations\"), or send through a "
	  "smarthost: relay_host = \"[email-smtp.REGION.amazonaws.com]:587\"" },
	/* The tag of Azure; sys_vendor is that of every Hyper-V. */
	{ "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "Microsoft Azure",
	  "Azure opens port 25 for Enterprise Agreement subscriptions only (portal: Diagnose and "
	  "solve problems, cannot send "
	  "email); else send through a smarthost on port 587: relay_host = \"[HOST]:587\"" },
	{ "product_name", "Google Compute Engine", "Google Cloud",
	  "Google Cloud does not open port 25; send through a smarthost on port 587 or 465: "
	  "relay_host = \"[HOST]:587\"" },
};

static const struct cloud *
find_cloud(void)
{
	for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++) {
		char path[128], line[256];

		snprintf(path, sizeof(path), "/sys/class/dmi/id/%s", clouds[i].file);
		if (doctor_read_line(path, line, sizeof(line)) &&
		    span_find(span_of(line), span_of(clouds[i].text)) >= 0)
			return &clouds[i];
	}
	return NULL;
}

/* ---- targets ---- */

struct
try {
	struct conf_addr addr;
	int fd;	   /* connecting */
	int error; /* EINPROGRESS, 0: connected, else why not */
};

struct target {
	char name[256]; /* as it was given */
	bool is_domain; /* its MX are meant */
	uint16_t port;
	struct try tries[TRIES_MAX];
	size_t count;
	enum doctor_dns_state state; /* without tries: why */
};

/* "mx.example.org", "[mx.example.org]:2525", "192.0.2.1", "example.org:25". */
static void
set_target(struct target *t, const char *text, bool is_domain)
{
	struct conf_hop hop;
	struct conf_addr addr;

	*t = (struct target){ .is_domain = is_domain, .port = SMTP_PORT };
	snprintf(t->name, sizeof(t->name), "%s", text);
	if (conf_addr_parse(span_of(text), &addr) == 0 && addr.family != 0) {
		t->tries[t->count++] = (struct try){ .addr = addr };
		t->is_domain = false;
	} else if (conf_hop_parse(span_of(text), &hop) == 0 && hop.kind != CONF_HOP_UNIX) {
		snprintf(t->name, sizeof(t->name), "%.*s", SPAN_ARG(hop.host));
		t->port = hop.port != 0 ? hop.port : SMTP_PORT;
		t->is_domain = is_domain && hop.kind == CONF_HOP_DOMAIN;
		if (hop.kind == CONF_HOP_HOST && hop.addr.family != 0)
			t->tries[t->count++] = (struct try){ .addr = hop.addr };
	}
}

static struct target *
make_targets(const struct doctor *d, size_t *count_out)
{
	bool is_relay = d->connect_count == 0 && d->conf->relay_host[0] != '\0';
	size_t n = d->connect_count > 0 ? d->connect_count : is_relay ? 1 : 2;
	struct target *t = mem_array(n, sizeof(*t));

	for (size_t i = 0; i < n; i++) {
		if (d->connect_count > 0)
			set_target(&t[i], d->connect[i], false);
		else
			set_target(&t[i], is_relay ? d->conf->relay_host : usual_domains[i], true);
	}
	*count_out = n;
	return t;
}

/* The names whose addresses are asked: the best mail exchangers of a domain, else the name itself. */
static size_t
name_hosts(const struct target *t, const struct doctor_question *mx, struct doctor_question *out)
{
	size_t n = 0;

	if (t->count > 0)
		return 0;
	for (size_t i = 0; i < mx->count && i < HOSTS_MAX; i++) {
		doctor_question_init(&out[n++], mx->records[i].name, DOCTOR_A);
		doctor_question_init(&out[n++], mx->records[i].name, DOCTOR_AAAA);
	}
	if (n == 0) {
		doctor_question_init(&out[n++], t->name, DOCTOR_A);
		doctor_question_init(&out[n++], t->name, DOCTOR_AAAA);
	}
	return n;
}

static void
take_addresses(struct target *t, const struct doctor_question *q, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t taken = 0;

		for (size_t j = 0; j < t->count; j++)
			taken += t->tries[j].addr.family == (q[i].type == DOCTOR_A ? 4 : 6);
		for (size_t j = 0; j < q[i].count && taken < OF_FAMILY_MAX && t->count < TRIES_MAX;
		     j++, taken++)
			t->tries[t->count++] = (struct try){ .addr = q[i].records[j].addr };
		t->state = i == 0 || q[i].state > t->state ? q[i].state : t->state;
	}
}

static void
find_addresses(struct doctor *d, struct target *t, size_t count)
{
	struct doctor_question *mx = mem_array(count, sizeof(*mx));
	struct doctor_question *hosts = mem_array(count * 2 * HOSTS_MAX, sizeof(*hosts));
	size_t *of = mem_array(count, sizeof(*of)), n = 0, asked = 0;

	/* Those that are no domain leave a question without an answer. */
	for (size_t i = 0; i < count; i++) {
		doctor_question_init(&mx[i], t[i].name, DOCTOR_MX);
		if (t[i].is_domain)
			mx[asked++] = mx[i];
	}
	doctor_dns_ask(d, mx, asked, doctor_until(d, ANSWER_MS));
	for (size_t i = 0, at = 0; i < count; i++) {
		struct doctor_question none = { .count = 0 };

		of[i] = name_hosts(&t[i], t[i].is_domain ? &mx[at] : &none, &hosts[n]);
		at += t[i].is_domain;
		n += of[i];
	}
	doctor_dns_ask(d, hosts, n, doctor_until(d, ANSWER_MS));
	for (size_t i = 0, at = 0; i < count; at += of[i++])
		take_addresses(&t[i], &hosts[at], of[i]);
	doctor_questions_clear(mx, asked);
	doctor_questions_clear(hosts, n);
	mem_free(mx);
	mem_free(hosts);
	mem_free(of);
}

/* ---- connections ---- */

static void
start(struct try *t, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool is_4 = t->addr.family == 4;
	int r;

	memcpy(&sin.sin_addr, t->addr.addr, 4);
	memcpy(&sin6.sin6_addr, t->addr.addr, 16);
	t->fd = socket(is_4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = t->fd < 0 ? -1
	    : is_4    ? connect(t->fd, (struct sockaddr *)&sin, sizeof(sin))
		      : connect(t->fd, (struct sockaddr *)&sin6, sizeof(sin6));
	t->error = r == 0 ? 0 : errno;
	if (t->error != EINPROGRESS)
		fd_close(&t->fd);
}

static bool
is_connected(const struct target *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->tries[i].error == 0)
			return true;
	}
	return false;
}

/* Those that are still under way, of targets to which no connection stands yet. */
static size_t
collect(struct target *t, size_t count, struct pollfd *fds, struct try **of)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < t[i].count && !is_connected(&t[i]); j++) {
			if (t[i].tries[j].error != EINPROGRESS)
				continue;
			fds[n] = (struct pollfd){ .fd = t[i].tries[j].fd, .events = POLLOUT };
			of[n++] = &t[i].tries[j];
		}
	}
	return n;
}

static void
connect_all(struct doctor *d, struct target *t, size_t count)
{
	struct pollfd *fds = mem_array(count * TRIES_MAX, sizeof(*fds));
	struct try **of = mem_array(count * TRIES_MAX, sizeof(struct try *));
	uint64_t until = doctor_until(d, CONNECT_MS), now;
	size_t n;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < t[i].count; j++)
			start(&t[i].tries[j], t[i].port);
	}
	while ((n = collect(t, count, fds, of)) > 0 && (now = clock_mono_ms()) < until) {
		if (poll(fds, (nfds_t)n, (int)(until - now)) < 0)
			break;
		for (size_t i = 0; i < n; i++) {
			socklen_t len = sizeof(of[i]->error);

			if (fds[i].revents == 0)
				continue;
			if (getsockopt(of[i]->fd, SOL_SOCKET, SO_ERROR, &of[i]->error, &len) < 0)
				of[i]->error = errno;
			fd_close(&of[i]->fd);
		}
	}
	for (size_t i = 0; i < count * TRIES_MAX; i++) {
		struct try *one = &t[i / TRIES_MAX].tries[i % TRIES_MAX];

		if (i % TRIES_MAX < t[i / TRIES_MAX].count && one->error == EINPROGRESS)
			one->error = ETIMEDOUT;
		if (i % TRIES_MAX < t[i / TRIES_MAX].count)
			fd_close(&one->fd);
	}
	mem_free(fds);
	mem_free(of);
}

/* ---- what it means ---- */

/* "gmail.com port 25: 192.0.2.1 timed out, ..." */
static void
put_failure(struct buf *out, const struct target *t)
{
	char text[DOCTOR_ADDR_TEXT];
	struct doctor_question q = { .state = t->state };

	buf_printf(out, "%s%s port %u: ", out->n > 0 ? "; " : "", t->name, t->port);
	for (size_t i = 0; i < t->count; i++)
		buf_printf(out, "%s%s %s", i > 0 ? ", " : "",
			   doctor_addr_text(&t->tries[i].addr, text),
			   t->tries[i].error == ETIMEDOUT ? "does not answer"
							  : strerror(t->tries[i].error));
	if (t->count == 0)
		buf_printf(out, "no address, %s", doctor_dns_why(&q));
}

/* Is every try without a way to send at all? Then it is no question of ports. */
static bool
has_no_network(const struct target *t, size_t count)
{
	size_t tries = 0;

	for (size_t i = 0; i < count; i++) {
		tries += t[i].count;
		for (size_t j = 0; j < t[i].count; j++) {
			if (t[i].tries[j].error != ENETUNREACH &&
			    t[i].tries[j].error != EADDRNOTAVAIL)
				return false;
		}
	}
	return tries > 0;
}

static void
none_connected(struct doctor *d, const struct target *t, size_t count, const char *failures)
{
	const struct cloud *cloud = find_cloud();
	size_t tries = 0;
	bool is_25 = false;

	for (size_t i = 0; i < count; i++) {
		tries += t[i].count;
		is_25 = is_25 || t[i].port == SMTP_PORT;
	}
	doctor_fail(d, "no mail server can be reached%s%s (%s)",
		    cloud != NULL ? " from this host of " : "", cloud != NULL ? cloud->name : "",
		    failures);
	if (tries == 0)
		doctor_remedy(d, "mend DNS first, or name hosts with --connect=HOST");
	else if (has_no_network(t, count))
		doctor_remedy(d, "there is no route to them: look at the addresses and the default "
				 "route of this "
				 "host (ip address, ip route)");
	else if (cloud != NULL && is_25)
		doctor_remedy(d, "%s", cloud->remedy);
	else if (is_25)
		doctor_remedy(d, "a firewall or the provider blocks outgoing port 25: have it "
				 "opened, or send "
				 "through a smarthost: relay_host = \"[HOST]:587\"");
	else
		doctor_remedy(d, "start the smarthost of relay_host, open its port in the "
				 "firewalls between, or "
				 "name another");
}

void
doctor_check_outbound(struct doctor *d)
{
	size_t count, connected = 0;
	struct target *t = make_targets(d, &count);
	struct buf reached, failed;

	buf_init(&reached, 4096);
	buf_init(&failed, 8192);
	find_addresses(d, t, count);
	connect_all(d, t, count);
	for (size_t i = 0; i < count; i++) {
		if (is_connected(&t[i]))
			buf_printf(&reached, "%s%s port %u", connected++ > 0 ? ", " : "", t[i].name,
				   t[i].port);
		else
			put_failure(&failed, &t[i]);
	}
	if (connected == 0)
		none_connected(d, t, count, buf_cstr(&failed));
	else
		doctor_ok(d, "connected to %s", buf_cstr(&reached));
	if (connected > 0 && connected < count) {
		doctor_warn(d, "not reached: %s", buf_cstr(&failed));
		doctor_remedy(d, "if it stays so, see whether that host or a firewall refuses this "
				 "one");
	}
	buf_clear(&reached);
	buf_clear(&failed);
	mem_free(t);
}
