/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_LOCAL_MAILDIR_H
#define DELIVERY_LOCAL_MAILDIR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* Files of one Maildir. Nothing here knows envelopes; all paths are relative to a descriptor of the mailbox base and none
 * leads out of it. Functions may run on any thread, one at a time for each struct.
 *
 * What went wrong: an error code, errno, and the step in words. */
struct maildir_error {
	int code; /* E_*; 0: nothing */
	int errnum;
	const char *step; /* "write", "make a folder" */
};

struct maildir {
	int dir, tmp, fresh; /* descriptors of the Maildir, of tmp/ and of new/; -1: closed */
};

#define MAILDIR_NAME_MAX 200
struct maildir_file {
	int fd; /* -1: none */
	char name[MAILDIR_NAME_MAX];
	uint64_t size;	/* bytes written */
	bool has_cr;	/* the last byte was a CR that may be half of a line end */
	struct buf out; /* not yet written */
};

/* The part of a file's name after the last dot; / and : are encoded. Once, before any other call. */
void maildir_set_host(const char *hostname);

/* Open the Maildir at path ("user/", below base), made with tmp/, new/ and cur/ (0700) if it is missing. Files older than
 * 36 hours are removed from tmp/ (a bounded number). */
int maildir_open(int base, const char *path, struct maildir *out,
		 struct maildir_error *err) MUST_CHECK;
void maildir_close(struct maildir *m);

/* A new file in tmp/ under a name that no one else has. */
int maildir_begin(struct maildir *m, struct maildir_file *f, struct maildir_error *err) MUST_CHECK;
/* Append; each CRLF becomes LF. */
int maildir_write(struct maildir_file *f, struct span bytes, struct maildir_error *err) MUST_CHECK;
/* Append what `from` holds behind its first `offset` bytes; it was flushed. */
int maildir_copy(struct maildir_file *f, struct maildir_file *from, uint64_t offset,
		 struct maildir_error *err) MUST_CHECK;
/* Write what is still in memory. */
int maildir_flush(struct maildir_file *f, struct maildir_error *err) MUST_CHECK;
/* Flush, fsync, rename into new/. The mail is there for readers after this, and durable after maildir_sync(). */
int maildir_commit(struct maildir *m, struct maildir_file *f, struct maildir_error *err) MUST_CHECK;
/* fsync of new/. */
int maildir_sync(struct maildir *m, struct maildir_error *err) MUST_CHECK;
/* Remove a file that was begun from tmp/, and close it. */
void maildir_abort(struct maildir *m, struct maildir_file *f);
/* Remove a file that was committed (it may be closed already) from new/. */
void maildir_take_back(struct maildir *m, struct maildir_file *f);
void maildir_file_clear(struct maildir_file *f);

#endif
