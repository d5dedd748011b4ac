/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SCHED_INT_H
#define QMGR_SCHED_INT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ipc/plan.h"
#include "qmgr/sched/mail.h"
#include "qmgr/qmgr.h"
#include "qmgr/sched/sched.h"
#include "qmgr/store/store.h"
#include "spool/envelope.h"

/* Between the files of scheduling. A recipient goes
 *
 *	sched.c (on_message, rows) -> resolve.c (asks router) -> lane.c (waits for its site) -> dispatch.c (sessions)
 *	-> job.c (content to a courier, its result) -> outcome.c (store ops, log) -> report.c (DSN)
 *
 * with expand.c for aliases, courier.c for the life of delivery processes, requests.c for administrators. Everything
 * runs on the loop. */

#define NEVER UINT64_MAX
#define LANE_NAME_MAX STORE_LANE_MAX

/* ---- router ---- */

/* Recipients of one domain that wait for router's answer: a lane, too, so that a domain whose DNS does not answer holds
 * nobody up. name begins with "~"; rows that router could not resolve stand under it in queue.db. */
#define WAITER_NAME_ANY "~" /* domain not known yet: the message must be read first */
struct waiter {
	struct sched *s;
	char *name;
	struct entry_list waiting; /* not asked: no room, or the address is not at hand */
	uint32_t asked;
	uint32_t refs;	/* asks whose row was loaded from here */
	bool is_active; /* in the store: its rows are being loaded */
	bool is_loading;
	bool has_more; /* due rows are left */
	uint64_t next_row_ms;
	struct reading reading; /* of the message whose recipients are asked for next */
	uint64_t reading_number;
	struct timer timer; /* goes on: asks, loads, or ends it */
	struct list stalled_link;
};

struct ask {
	struct list link;
	uint64_t req;
	uint32_t entry_id;     /* 0: an administrator took the recipient away */
	struct waiter *waiter; /* of the address; counts this */
	struct lane
		*from; /* its row was loaded from there, NULL: it has none or it is of a waiter */
	struct waiter *from_waiter;
	bool skip_aliases;
	uint64_t sent_ms;   /* monotonic, to the router that lives now; 0: not */
	struct facts facts; /* copies in the arena */
	struct arena arena;
};

/* ---- lanes ---- */

enum pool { POOL_REMOTE, POOL_MAILBOX, POOL_COUNT }; /* couriers and limits of their own */

/* What a lane waits for when it wants a session, in the order of the queues. */
enum want { WANT_NEW, WANT_FIRST, WANT_FAILED, WANT_MORE, WANT_COUNT, WANT_NOTHING = WANT_COUNT };

struct lane {
	struct sched *s;
	char *name; /* key */
	char *site; /* for the log and the limits */
	char *plan;
	size_t plan_n;
	enum pool pool;
	enum transport transport;
	const struct conf_site *limits;
	/* What the store knows. */
	bool is_open, is_opening, is_loading, is_sweeping;
	bool is_lifted; /* an administrator ended the suspension before the store told of it */
	uint32_t failures;
	uint64_t not_before_ms; /* suspended until then, wall clock; 0: not */
	uint64_t next_row_ms;	/* first row that is not in memory, wall clock; NEVER: none */
	uint16_t reply;
	char *esc, *text, *relay; /* of the last failure */
	/* Recipients. */
	struct entry_list fresh, retry; /* from new mail, from rows: taken in turn */
	bool is_retry_turn;
	uint32_t refs;	/* entries, jobs and asks that point here */
	uint32_t asked; /* asks with from = this */
	/* Sessions. */
	struct list sessions;
	uint32_t session_count, opening_count;
	uint32_t max_sessions;	   /* lower than the limit after the site refused more */
	bool is_proven;		   /* a connection stood */
	uint64_t no_more_until_ms; /* monotonic: it refused a further connection */
	uint64_t tat_us;	   /* message_rate: theoretical arrival time, monotonic */
	/* Queues. */
	enum want want;
	struct list want_link, kick_link, idle_link;
	struct list share_link; /* waits for a session of its mailbox base */
	bool is_kicked;
	uint64_t idle_since_ms;
	struct timer timer;
};

/* ---- couriers: delivery and mailbox processes ---- */

struct courier {
	struct list link;
	struct sched *s;
	struct chan *chan;
	enum pool pool;
	uint16_t slot;
	bool is_alone;
	bool is_ready; /* its inventory is in */
	struct list sessions;
	uint32_t session_count;
	struct list adopted; /* jobs that it ran before we started */
	struct timer barrier;
};

enum session_stage { STAGE_OPENING, STAGE_UP, STAGE_CLOSING };

struct session {
	struct list in_lane, in_courier, idle_link;
	uint32_t id;
	struct lane *lane;
	struct courier *courier;
	struct share *share; /* of its mailbox base, NULL: none */
	enum session_stage stage;
	enum want counted; /* whose share it takes until it stands */
	struct list jobs;  /* oldest first */
	uint32_t job_count;
	uint32_t messages;	/* jobs given in all */
	bool has_outcome;	/* some recipient's fate was asked for */
	uint64_t opened_ms;	/* wall clock */
	uint64_t busy_since_ms; /* monotonic: of the job that runs */
	struct timer timer;	/* idle */
};

enum job_state { JOB_READING, JOB_SENT };

struct job {
	struct list link; /* in session->jobs or courier->adopted */
	struct sched *s;
	uint64_t id;
	enum job_state state;
	struct session *session; /* NULL: adopted, or one that only reads (lane.c) */
	struct courier *courier;
	struct lane *lane; /* NULL: adopted */
	uint64_t number, qid;
	uint32_t *indexes; /* of its recipients; entries are found by them */
	uint32_t count;
	struct mail *mail;
	struct reading reading;
	uint64_t credit; /* bytes of content that the courier takes */
	bool is_chunk_due, is_streamed, is_in_stream, is_head_seen;
	bool is_corrupt, is_loop, is_settled;
	uint64_t begun_ms;
	/* A result that waits for the message to be read (adopted jobs). */
	struct msg_result *result;
};

/* ---- what waits for the disk ---- */

struct finished {
	uint64_t number, qid;
	bool is_certain; /* it had one recipient, and nothing is to be reported */
};

/* Results of one job (or one answer of router): after their ops are durable the lines are logged and the courier hears
 * RESULT_ACK. */
struct settle {
	struct sched *s;
	struct log_event *events;
	uint32_t count, cap;
	struct job *adopted; /* to be forgotten then */
	uint64_t ack_job;    /* 0: nobody waits */
	uint16_t ack_slot;
	enum pool ack_pool;
	struct finished *finished; /* messages that may be finished now */
	uint32_t finished_count, finished_cap;
	uint64_t *reports; /* message numbers with something to report */
	uint32_t report_count, report_cap;
};

/* ---- the whole ---- */

struct sched_stats {
	uint64_t delivered, deferred, bounced, expired, discarded, expanded, corrupt;
	uint64_t jobs, sessions_opened, sessions_failed, lanes_suspended, asks, reports,
		double_bounces, crashes;
};

struct alone {
	struct courier *courier; /* NULL: none */
	bool is_wanted;		 /* master was asked */
	uint64_t wanted_ms;	 /* monotonic: when */
	struct entry_list waiting;
	struct session *session; /* of the one that runs now */
};

struct pool_state {
	struct list couriers;
	struct list idle; /* sessions, longest idle first */
	struct list want[WANT_COUNT];
	uint32_t session_count;
	uint32_t class_count
		[WANT_COUNT];	/* sessions that are not up yet, by what they were opened for */
	uint32_t closing_count; /* sessions that were asked to close */
	uint32_t wanting;	/* lanes in the queues */
	bool is_newest_turn;
	struct alone alone;
};

#define FINISHED_RING 256u

struct reports;
struct requests;

struct sched {
	struct qmgr *q;
	struct store *store;
	struct spool *spool;
	struct entry_pool entries;
	/* router */
	struct chan *router;
	struct map waiters;   /* name -> struct waiter */
	struct map64 asks;    /* req -> struct ask */
	struct list ask_list; /* all, oldest first */
	struct list stalled;  /* waiters without room to ask */
	uint32_t ask_count;
	uint64_t last_req;
	/* lanes */
	struct map lanes; /* name -> struct lane */
	size_t lane_bytes;
	struct list kicked, idle_lanes;
	struct conf *site_conf; /* holds the block of defaults if the configuration has none */
	struct pool_state pools[POOL_COUNT];
	struct map shares;     /* mailbox base -> struct share */
	struct map64 sessions; /* id -> struct session */
	struct map64 jobs;     /* id -> struct job */
	struct map64
		adopted; /* store key -> struct job: recipients whose result is still to come */
	struct map64 suspects; /* message number -> struct suspect */
	uint32_t last_session;
	uint64_t last_job;
	uint32_t reading; /* messages being read for the log of suspended lanes */
	/* time */
	struct timer run_timer, due_timer, tick_timer, stop_timer;
	uint64_t due_ms; /* wall clock: when due_timer looks for lanes; NEVER */
	bool is_asking_due;
	bool is_started;
	bool is_barrier;	   /* nothing is scheduled before the inventories are in */
	uint64_t barrier_until_ms; /* monotonic */
	bool is_stopping, is_stopped;
	uint32_t settling;		       /* settles not durable yet */
	uint64_t finished_ring[FINISHED_RING]; /* `removed` was logged */
	uint32_t finished_at;
	struct reports *reports;
	struct requests *requests;
	struct pages *pages;
	struct sched_stats stats;
};

/* sched.c */
void sched_kick(struct sched *s); /* run the dispatcher in this turn of the loop */
void sched_due_at(struct sched *s,
		  uint64_t due_ms);	      /* a row of a lane that is no structure is due then */
uint64_t sched_memory(const struct sched *s); /* bytes of recipients and lanes */
bool
sched_is_full(const struct sched *s); /* three quarters of the memory for recipients are used */
struct conf *sched_conf(const struct sched *s);
uint64_t sched_jitter(uint64_t ms, unsigned percent);
/* Milliseconds until a row is due. A due time farther away than the longest wait is now: the clock was set back. NEVER. */
uint64_t sched_row_wait(const struct sched *s, uint64_t due_ms, uint64_t now_ms);
uint64_t sched_key(uint64_t number, uint32_t index);

/* take.c */
void sched_on_message(void *arg, const struct spool_msg *msg, const uint32_t *live,
		      uint32_t live_count);
void sched_give_rows(void *arg, uint64_t before_number);
/* A row from the store becomes an entry and is asked for; a row for which there is no room is unloaded. */
void sched_take_row(struct sched *s, const struct row *row, struct lane *from,
		    struct waiter *from_waiter);
/* Take an entry out of whatever list it stands in and free it; an ASKED one's answer will be ignored. Not for JOB. */
void sched_drop_entry(struct sched *s, struct entry *e);
/* What an administrator ordered while this recipient was in a job or being expanded (ENTRY_GONE, ENTRY_HOLD); frees it.
 * The entry is in no list. */
void sched_obey(struct sched *s, struct entry *e);

/* resolve.c */
void resolve_init(struct sched *s);
void resolve_clear(struct sched *s);
/* Ask for a recipient whose facts are at hand; the entry is in no list. With no room it waits (only if it has no row). */
void resolve_entry(struct sched *s, struct entry *e, const struct facts *f, struct lane *from,
		   struct waiter *from_waiter, bool skip_aliases);
/* Ask later: the message is read again. */
void resolve_later(struct sched *s, struct entry *e);
bool resolve_has_room(const struct sched *s, struct span address);
void resolve_answer(struct sched *s, const struct msg_resolved *m);
void resolve_router_up(struct sched *s, struct chan *c);
void resolve_router_lost(struct sched *s);
void resolve_forget(struct sched *s, const struct entry *e);
/* Ask now; the waiter is that of the address and has room. */
void ask_new(struct waiter *w, struct entry *e, const struct facts *f, struct lane *from,
	     struct waiter *from_waiter, bool skip_aliases);
/* Done with this ask (expand.c takes it over from resolve_answer). */
void ask_end(struct sched *s, struct ask *a);

/* waiter.c */
struct waiter *waiter_get(struct sched *s, struct span name);
struct waiter *waiter_of(struct sched *s, struct span address);
bool waiter_has_room(const struct waiter *w);
/* A question was answered: one of those that found no room goes on. */
void waiter_wake_stalled(struct sched *s);
void waiter_name(struct span address, struct buf *out);
/* Rows stand under this waiter's name and are due: load them. is_active: the store counts it as active now. */
void waiter_load(struct waiter *w);
void waiter_end_if_idle(struct waiter *w);

/* expand.c */
void expand_start(struct sched *s, struct ask *a, struct span expansion);
/* bcc_always: one more recipient of a new message. */
void expand_bcc(struct sched *s, const struct spool_msg *msg, const struct envelope *env);

/* lane.c */
struct lane *lane_find(struct sched *s, struct span name);
struct lane *lane_get(struct sched *s, struct span name);
void lane_set_plan(struct lane *l, struct span site, struct span plan, const struct plan *decoded);
void lane_ref(struct lane *l);
void lane_unref(struct lane *l);
void lane_add(struct lane *l, struct entry *e);	     /* READY at the end of its list */
void lane_put_back(struct lane *l, struct entry *e); /* READY at the front */
struct entry *lane_pop(struct lane *l);		 /* NULL: nothing is ready; still refs the lane */
void lane_take(struct lane *l, struct entry *e); /* out of its list */
uint32_t lane_ready(const struct lane *l);
void lane_kick(struct lane *l);
void lane_row_due(struct lane *l,
		  uint64_t due_ms); /* a row of this lane, not in memory, is due then */
/* What the store told: failures, suspension, first row. */
void lane_known(struct lane *l, const struct store_lane *known);
void lane_refill(struct lane *l);
void lane_settle(struct lane *l);
void lane_arm(struct lane *l);
/* Give up memory: everything ready beyond `keep` recipients becomes rows. */
void lane_spill(struct lane *l, uint32_t keep);
void lane_tick(struct sched *s); /* drop structures that were idle for long */
void lane_clear_all(struct sched *s);

void lane_check_idle(struct lane *l);
struct store_lane
lane_record(const struct lane *l); /* what the store must know of it; borrowed texts */
void lane_set_text(char **field, struct span value);
/* An entry that is in no list any more becomes a row, or its row may be loaded again; it leaves the lane. */
void lane_entry_to_row(struct lane *l, struct entry *e, bool is_attempt, uint64_t due_ms);

/* suspend.c */
/* All that is ready becomes rows: the first messages with a line of the log each. */
void lane_defer_ready(struct lane *l, bool is_attempt, uint64_t due_ms);
bool lane_is_suspended(const struct lane *l);
/* A connection failed: back off; all that is ready becomes rows. */
void lane_failed(struct lane *l, uint16_t reply, struct span esc, struct span text,
		 struct span relay, uint64_t begun_ms);
void lane_worked(struct lane *l);		   /* a connection stands */
void lane_lift(struct sched *s, struct span name); /* an administrator: end the suspension */

/* limit.c */
void lane_conf(struct sched *s); /* limits may have changed */
void lane_set_limits(struct lane *l, const struct plan *plan);
/* The site block for a site of this name with this first host. Never NULL; lives as long as the configuration. */
const struct conf_site *limit_find(const struct sched *s, struct span name, struct span host);
struct conf *limit_defaults(void);
/* Microseconds until the site's message_rate lets another one go; 0: now. */
uint64_t lane_rate_wait_us(const struct lane *l);
void lane_rate_take(struct lane *l);

/* dispatch.c */
void dispatch_init(struct sched *s);
void dispatch_run(struct sched *s);
uint32_t dispatch_pool_limit(const struct sched *s, enum pool pool); /* sessions at a time */
void dispatch_want(struct lane *l);  /* stands in the right queue for a session, or in none */
void dispatch_leave(struct lane *l); /* out of the queues */
void dispatch_session_state(struct sched *s, struct courier *c, const struct msg_session_state *m);
void session_close(struct session *x); /* QUIT after its jobs */
void session_free(struct session *x);  /* its jobs are gone */
struct session *session_open(struct lane *l, struct courier *c, enum want counted);
void session_job_ended(struct session *x, bool is_up);

/* job.c */
void job_start(struct session *x, struct entry *first);
void job_credit(struct sched *s, const struct msg_job_credit *m);
void job_room(struct sched *s, struct courier *c); /* its channel takes more */
void job_requeue(struct job *j, bool is_suspect);  /* its fate is unknown: to be tried again */
void job_free(struct job *j);
/* The last attempt of a site holds for recipients that waited for it, too: they get log lines and rows. Takes the
 * recipients of the first message of the lane. */
void job_defer_first(struct lane *l, bool is_attempt, uint64_t due_ms);

/* result.c */
void job_result(struct sched *s, struct courier *c, const struct msg_result *m);
void job_adopt(struct sched *s, struct courier *c, const struct msg_job_running *m);

/* courier.c */
void courier_up(struct sched *s, struct chan *c, enum pool pool);
void courier_lost(struct sched *s, struct chan *c, bool is_crash);
void courier_inventory_end(struct sched *s, struct courier *c);
struct courier *courier_of(struct sched *s, const struct chan *c);
struct courier *courier_choose(struct sched *s,
			       enum pool pool); /* fewest sessions; NULL: none is ready */
void courier_clear_all(struct sched *s);
/* Inventories are still to come: nothing is scheduled. */
bool courier_is_barrier(struct sched *s);
void alone_run(struct sched *s, enum pool pool);
/* A courier crashed with this message. True: for the third time alone, so it is to be held. */
bool alone_crashed(struct sched *s, uint64_t number, bool was_alone);
void alone_gather(struct job *j, uint32_t most); /* further recipients of the same message */
bool alone_is_suspect(const struct sched *s, uint64_t number);
void alone_add(struct sched *s, struct entry *e);     /* READY nowhere: it crashed a courier */
void alone_cleared(struct sched *s, uint64_t number); /* it has a result */
void alone_session_ended(struct session *x);

/* share.c */
bool share_has_room(const struct lane *l);    /* may its base have one more session? */
struct share *share_take(struct lane *l);     /* it gets one */
void share_give(struct share *sh);	      /* one ended */
bool share_is_wanted(const struct share *sh); /* others of its base wait for a session */
void share_wait(struct lane *l);	      /* there is no room: kicked when there may be */
void share_leave(struct lane *l);

/* outcome.c */
struct settle *settle_new(struct sched *s);
void settle_commit(struct settle *t);
/* One recipient's attempt becomes ops of the store, a line of the log, perhaps something to report. The entry (may be
 * absent) is freed by the caller. */
void outcome_apply(struct settle *t, const struct facts *f, const struct attempt *a);
void outcome_hold(struct settle *t, const struct facts *f, enum row_state state, struct span lane,
		  const char *why);
uint64_t outcome_retry_ms(const struct conf *conf, uint32_t attempts); /* back-off without jitter */

/* finish.c */
/* A recipient of this message has its fate, durably: log `removed` if it was the last one. */
void finish_check(struct sched *s, uint64_t number, uint64_t qid, bool is_certain);

/* report.c */
struct reports *reports_new(struct sched *s);
void reports_free(struct reports **r);
void reports_start(struct reports *r);
void reports_add(struct reports *r, uint64_t number); /* has bounce rows, durable */
bool reports_has(const struct reports *r, uint64_t number);
void reports_changed(struct reports *r, uint64_t number); /* another recipient got its fate */

/* requests.c */
struct requests *requests_new(struct sched *s);
void requests_free(struct requests **r);
void requests_on_query(struct requests *r, struct chan *c, const struct msg_queue_query *m);
void requests_on_more(struct requests *r, struct chan *c, const struct msg_queue_more *m);
void requests_on_lost(struct requests *r, struct chan *c);

/* pages.c */
struct pages *pages_new(struct sched *s);
void pages_free(struct pages **p);
void pages_on_question(struct pages *p, struct chan *c, enum msg_type type,
		       const union msg_any *msg);
void pages_on_lost(struct pages *p, const struct chan *c);

/* stats.c */
void stats_answer(struct sched *s, struct chan *c, uint32_t req);

#endif
