/* SPDX-License-Identifier: ISC */
#ifndef CLI_DOCTOR_DNS_H
#define CLI_DOCTOR_DNS_H

#include "cli/doctor.h"

/* Questions to DNS for `postern doctor`. */
enum doctor_rr { DOCTOR_A = 1, DOCTOR_NS = 2, DOCTOR_PTR = 12, DOCTOR_MX = 15, DOCTOR_AAAA = 28 };

enum doctor_dns_state {
	DOCTOR_DNS_FOUND,
	DOCTOR_DNS_NOTHING, /* no such name, or none of this type: DNS says that there is nothing */
	DOCTOR_DNS_FAILED,  /* SERVFAIL and the like */
	DOCTOR_DNS_SILENT,  /* no answer in time */
};

/* A and AAAA have addr, the others name (without the dot at its end; "" is the root) and MX its preference. */
struct doctor_record {
	struct conf_addr addr;
	char name[256];
	uint16_t preference;
};

enum { DOCTOR_RECORDS_MAX = 32 };

struct doctor_question {
	char name[256];
	enum doctor_rr type;
	/* The answer; MX in order of preference. */
	enum doctor_dns_state state;
	bool is_alias; /* the name has a CNAME */
	size_t count;
	struct doctor_record *records;
};

void doctor_question_init(struct doctor_question *q, const char *name, enum doctor_rr type);
void doctor_questions_clear(struct doctor_question *q, size_t count);
/* Ask all at the same time the servers of resolver { servers }, else those of /etc/resolv.conf. Returns when all have
 * answered, or at `until`; at once where check dns found nobody who answers. Never the hosts file: what others see
 * counts. */
void doctor_dns_ask(struct doctor *d, struct doctor_question *q, size_t count,
		    uint64_t until_mono_ms);
/* Why there is no record: "DNS has no MX record of it". */
const char *doctor_dns_why(const struct doctor_question *q);
/* "1.2.0.192.in-addr.arpa" of an address. RFC 1035 3.5, RFC 3596 2.5 */
void doctor_dns_reverse(const struct conf_addr *a, char out[256]);
void doctor_dns_close(struct doctor_dns **dns);

#endif
