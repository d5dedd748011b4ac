/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* The on-disk format of the log, version 1. Numbers are little-endian.
 *
 *	segment = block of RECORD_BLOCK_BYTES with the segment header, then records
 *	record  = header (RECORD_HEADER_BYTES), envelope, trace, content, zeros to the next multiple of RECORD_ALIGN
 *
 * The records of one batch follow each other without gap; a batch begins at a multiple of RECORD_BLOCK_BYTES and is
 * filled with zeros to the next one. A record counts only if it carries the salt of its segment: stale bytes of a former
 * use are strangers' mail and may imitate records. */
#define RECORD_VERSION 1
#define RECORD_BLOCK_BYTES 4096u
#define RECORD_HEADER_BYTES 128u
#define RECORD_ALIGN 8u

/* Limits; a header that exceeds one is no header. */
#define RECORD_ENVELOPE_MAX 1048576u
#define RECORD_TRACE_MAX 65536u
#define RECORD_CONTENT_MAX 1048576u /* inside a segment; longer content is a file of its own */
#define RECORD_BIG_MAX (1ull << 40)
#define RECORD_RCPT_MAX 1048575u /* number of recipients, children of aliases included (20 bits) */

enum record_flag {
	RECORD_BIG = 1,	 /* content stands in the file <qid>.big; content_crc is that of the file */
	RECORD_COPY = 2, /* made by compaction: a scan ignores it, only rows lead to it */
	RECORD_FLAGS_ALL = 3
};

/* Who handed the message over; taken from the channel, never from the message. Part of the dedupe key. */
enum record_origin {
	ORIGIN_NONE,
	ORIGIN_SMTP,   /* smtpd */
	ORIGIN_REPORT, /* qmgr itself: DSN, copy for bcc_always */
	ORIGIN_COUNT
};

struct record {
	uint32_t flags;		/* enum record_flag */
	uint32_t content_flags; /* enum record_content of spool/envelope.h */
	uint64_t salt;
	uint64_t batch;	    /* global, ascending: orders records of one number */
	uint32_t batch_at;  /* bytes from the start of the batch to this record */
	uint32_t batch_len; /* bytes of the batch, without the zeros at its end */
	uint64_t number;    /* message number, ascending in log order */
	uint64_t qid;
	uint64_t arrival_us; /* wall clock, since 1970 */
	enum record_origin origin;
	uint16_t origin_slot; /* process slot of the intake */
	uint32_t rcpt_count;  /* recipients in the envelope */
	uint32_t envelope_len;
	uint32_t trace_len;
	uint64_t content_len;
	uint32_t envelope_crc, trace_crc, content_crc; /* CRC-32C */
};

/* Write a header of RECORD_HEADER_BYTES. */
void record_put_header(char out[RECORD_HEADER_BYTES], const struct record *r);
/* Read one. E_CORRUPT: not a header (magic, CRC, a limit); E_CONFIG: a header of a version that we do not know. Salt and
 * the CRCs of the parts are the caller's to compare. in.n >= RECORD_HEADER_BYTES. */
int record_get_header(struct span in, struct record *out) MUST_CHECK;
/* Bytes of header and parts in the segment, without the zeros behind; with them. */
uint64_t record_length(const struct record *r);
uint64_t record_length_padded(const struct record *r);
/* The parts behind a header. body: envelope, trace and content as they follow the header; at least record_length() -
 * RECORD_HEADER_BYTES bytes. E_CORRUPT: a CRC differs. content_out is empty for RECORD_BIG. */
int record_check_body(const struct record *r, struct span body, struct span *envelope_out,
		      struct span *trace_out, struct span *content_out) MUST_CHECK;

/* ---- segment header ---- */

enum segment_kind { SEGMENT_HOT, SEGMENT_COLD, SEGMENT_KIND_COUNT };

struct segment_header {
	uint32_t number; /* of the file <number>.seg */
	enum segment_kind kind;
	uint64_t salt;	      /* random, new for every use, never sent anywhere */
	uint64_t cursor;      /* message number of the cursor when this was written */
	uint64_t next_number; /* floors of message and batch numbers then */
	uint64_t next_batch;
	uint64_t bytes;	  /* size of the segment */
	uint64_t made_us; /* wall clock */
};

void segment_put_header(char out[RECORD_BLOCK_BYTES], const struct segment_header *h);
/* E_CORRUPT, E_CONFIG as record_get_header(); E_NOTFOUND: all zero, never written. */
int segment_get_header(const char in[RECORD_BLOCK_BYTES], struct segment_header *out) MUST_CHECK;

/* ---- scanner: pure, over the bytes of a segment ---- */

/* Walks over the records of one segment, in order. Feed it bytes by offset; see qmgr/spool/scan.c. */
enum record_step {
	RECORD_FOUND, /* *out and the parts are set, the cursor stands behind it */
	RECORD_DAMAGED, /* header of this salt, but a CRC of its parts is wrong: skipped, *out is set */
	RECORD_NONE, /* nothing (more) up to the end */
	RECORD_MORE  /* bytes up to need_out are wanted */
};

struct record_walk {
	uint64_t salt;
	uint64_t
		offset; /* where to look next, from the start of the segment; a multiple of RECORD_ALIGN */
	uint64_t size;	   /* of the segment */
	uint64_t found_at; /* offset of the record of the last step */
};

void record_walk_init(struct record_walk *w, uint64_t salt, uint64_t size);
/* window: bytes of the segment from window_at on, window_at <= w->offset. With RECORD_MORE, *need_out = the end up to
 * which the window (beginning at w->offset) must reach; the walk may have moved on over bytes that are no record. */
enum record_step record_walk_next(struct record_walk *w, struct span window, uint64_t window_at,
				  struct record *out, struct span parts_out[3], uint64_t *need_out);

#endif
