/* SPDX-License-Identifier: ISC
 *
 * The files segments/<n>.seg as they are found at start. Nothing is changed before it is known that every one is of a
 * format version that we know. Runs in qmgr on the loop's thread. */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
/* this program */
#include "qmgr/spool/segment.h"

/* "<number>.seg" without leading zeros. */
static bool
parse_name(const char *name, uint32_t *number)
{
	struct span s = span_of(name);
	uint64_t n;

	if (!span_ends(s, SPAN(".seg")) || s.p[0] == '0' ||
	    span_to_u64(span_sub(s, 0, s.n - 4), UINT32_MAX, &n) < 0)
		return false;
	*number = (uint32_t)n;
	return true;
}

/* The header block and the one behind it; what a short file lacks is zero. */
static int
read_blocks(struct segments *s, const char *name, char blocks[2 * RECORD_BLOCK_BYTES],
	    uint64_t *size_out)
{
	struct stat st;
	int fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW), r;

	if (fd < 0)
		return err_from_errno(errno);
	memset(blocks, 0, 2 * RECORD_BLOCK_BYTES);
	r = fstat(fd, &st) < 0 || pread(fd, blocks, 2 * RECORD_BLOCK_BYTES, 0) < 0
		    ? err_from_errno(errno)
		    : 0;
	fd_close(&fd);
	*size_out = (uint64_t)st.st_size;
	return r;
}

static int
check_version(struct segments *s, uint32_t number, const char *name)
{
	char blocks[2 * RECORD_BLOCK_BYTES];
	struct segment_header h;
	uint64_t size;
	int r;

	(void)number;
	if ((r = read_blocks(s, name, blocks, &size)) < 0)
		return r;
	return segment_get_header(blocks, &h) == E_CONFIG ? E_CONFIG : 0;
}

/* What the header and the first record tell. A file that never got a header nor a record is removed. */
static int
read_file(struct segments *s, uint32_t number, const char *name)
{
	char blocks[2 * RECORD_BLOCK_BYTES];
	struct segment_header h;
	struct record first;
	struct segment *seg;
	uint64_t size;
	int r;

	if ((r = read_blocks(s, name, blocks, &size)) < 0)
		return r;
	if (blocks[0] == '\0' && memcmp(blocks, blocks + 1, sizeof(blocks) - 1) == 0)
		return unlinkat(s->dir_fd, name, 0) < 0 ? err_from_errno(errno) : 0;
	r = segment_get_header(blocks, &h);
	seg = segments_add(s, number);
	seg->size = size;
	seg->state = r == 0 && h.number == number ? SEGMENT_FULL : SEGMENT_BAD;
	if (seg->state == SEGMENT_BAD)
		return 0;
	seg->salt = h.salt;
	seg->kind = h.kind;
	segments_note(s, h.cursor, h.next_number, h.next_batch);
	if (record_get_header(span_make(blocks + RECORD_BLOCK_BYTES, RECORD_BLOCK_BYTES), &first) ==
		    0 &&
	    first.salt == h.salt)
		seg->first_batch = first.batch;
	return 0;
}

/* Calls fn for each segment file until one fails; its name stays in name_out. */
static int
each_file(struct segments *s, int (*fn)(struct segments *s, uint32_t number, const char *name),
	  char name_out[32])
{
	struct dirent *entry;
	uint32_t number;
	DIR *dir;
	int r = 0, fd;

	if ((fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    (dir = fdopendir(fd)) == NULL) {
		r = err_from_errno(errno);
		fd_close(&fd);
		return r;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (!parse_name(entry->d_name, &number))
			continue;
		snprintf(name_out, 32, "%.31s", entry->d_name);
		r = fn(s, number, entry->d_name);
	}
	closedir(dir);
	return r;
}

int
segments_open(struct segments *s, int dir_fd, uint64_t segment_bytes, char name_out[32])
{
	pthread_mutexattr_t attr;
	int r;

	*s = (struct segments){ .dir_fd = dir_fd, .segment_bytes = segment_bytes };
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&s->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	list_init(&s->all);
	list_init(&s->gone);
	map64_init(&s->by_number);
	if ((r = each_file(s, check_version, name_out)) < 0)
		return r;
	return each_file(s, read_file, name_out);
}
