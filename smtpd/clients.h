/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_CLIENTS_H
#define SMTPD_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "conf/conf.h"

/* What all smtpd workers know together about clients: how many connections each has, and how much it did lately. One
 * table in memory that master made and every worker maps. */
struct clients;

enum client_rate { CLIENT_CONNECTIONS, CLIENT_MESSAGES, CLIENT_RECIPIENTS, CLIENT_RATE_COUNT };

/* fd  the table, mapped and closed; -1: a table of our own (one worker only)
 * id  tells this worker from the others that live now: its process slot */
struct clients *clients_open(int fd, uint16_t id, uint64_t now_ms);
void clients_close(struct clients **c);
/* Say that we live; at least once a second. What a worker had counted that is silent for CLIENTS_SILENT_MS is void. */
#define CLIENTS_SILENT_MS 10000
void clients_beat(struct clients *c, uint64_t now_ms);

/* A client among all: its address under the prefix lengths of the configuration. */
uint64_t clients_key(const struct clients *c, uint8_t family, const uint8_t addr[16],
		     unsigned prefix_bits);

/* Connections of all workers, ours among them; and one more (1) or less (-1) of ours. */
uint32_t clients_total(const struct clients *c, uint64_t now_ms);
void clients_total_add(struct clients *c, int delta);
/* Have we clearly more connections than the other workers? */
bool clients_has_more(const struct clients *c, uint64_t now_ms);

/* Counters of all workers together, from the start of the server on; what each means is counts.h's. */
enum { CLIENTS_COUNTERS = 24 };
void clients_count(struct clients *c, unsigned which, uint64_t n);
uint64_t clients_counted(const struct clients *c, unsigned which);

/* Count a connection of this client and tell how many it has now, of all workers. */
uint32_t clients_connect(struct clients *c, uint64_t key, uint64_t now_ms);
void clients_disconnect(struct clients *c, uint64_t key);
/* One more event; false: more than rate allows, and it is not counted. Up to rate->count may come at once. */
bool clients_may(struct clients *c, uint64_t key, enum client_rate which,
		 const struct conf_rate *rate, uint64_t now_ms);

#endif
