/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_ROUTER_FAKE_DNS_H
#define TESTS_UNIT_ROUTER_FAKE_DNS_H

#include "router/router.h"

/* Instead of router/dns.c, in tests that wrap its functions (FAKE_DNS in module.mk): answers from a text of lines
 *
 *	example.org MX 10 mx.example.org	TTL of the first line of a name and type: example.org 60 MX ...
 *	mx.example.org A 192.0.2.1
 *	mx.example.org AAAA 2001:db8::1
 *	dead.example MX SERVFAIL		or NXDOMAIN: the status of that question
 *	hosts local 192.0.2.9			a line of the hosts file
 *
 * What is not there has no records, TTL 300. */
struct dns *fake_dns_new(const char *zone);
void fake_dns_free(struct dns *d);
/* Questions wait until fake_dns_answer() is called for them. */
void fake_dns_hold(struct dns *d);
/* Answer the oldest question that waits; false: none does. */
bool fake_dns_answer(struct dns *d);
/* Another text from now on. */
void fake_dns_zone(struct dns *d, const char *zone);

#endif
