/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_CONN_H
#define SMTPD_CONN_H

#include <netinet/in.h>
#include "base/id.h"
#include "base/list.h"
#include "loop/timer.h"
#include "net/stream.h"
#include "session/session.h"
#include "smtpd/policy.h"
#include "smtpd/submit.h"
#include "smtpd/verdicts.h"

/* What all connections of a worker share. */
struct conn_env {
	const struct conf *conf;
	const struct session_conf *session_conf;
	struct stream_set streams;
	struct timer_set *timers;
	struct policy policy;
	struct verdicts verdicts;
	struct submit submit;
	struct list conns;
	size_t count;
	void (*on_empty)(void *arg); /* the last connection is gone */
	void *arg;
};

/* A client's connection. */
struct conn {
	struct list node;
	struct conn_env *env;
	struct stream stream;
	struct session session;
	struct session_client client;
	struct policy_client who;
	struct question question;
	struct submission submission;
	struct timer timer;
	uint64_t write_deadline_ms; /* 0: all is sent */
	uint64_t close_deadline_ms; /* lingering */
	uint16_t port;
	bool is_eof, is_closing, is_updating;
	char addr[INET6_ADDRSTRLEN];
	char sid[ID_TEXT_LEN + 1];
};

/* A new connection; takes fd. is_submission: its listener wants authentication. */
void conn_accept(struct conn_env *env, int fd, const struct sockaddr_storage *peer,
		 bool is_submission);
/* No new transactions: 421 at once to those that have none. */
void conn_stop_all(struct conn_env *env);
/* Close all now. */
void conn_close_all(struct conn_env *env);

#endif
