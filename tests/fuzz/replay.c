/* SPDX-License-Identifier: ISC
 *
 * The main of a fuzzer that is built without libFuzzer: feeds it each file of the folders named on the command line,
 * and each of the first lengths of that file, so that every parser also meets an end at every place. */

/* System */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "tests/fuzz/fuzz.h"

enum { REPLAY_MAX_BYTES = 16 << 20, REPLAY_CUTS = 512 };

static unsigned long inputs;
static const char *current = "the empty input";

/* In memory of exactly its size, so that the sanitizers see a read beyond the end. */
static void
feed(const char *p, size_t n)
{
	uint8_t *copy = mem_alloc(n);

	if (n > 0)
		memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	mem_free(copy);
	inputs++;
}

static void
feed_file(int dir, const char *name)
{
	struct buf b;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	buf_init(&b, REPLAY_MAX_BYTES);
	if (fd < 0 || fd_read_file(fd, REPLAY_MAX_BYTES, &b) < 0)
		die_perm("replay: %s: cannot be read; it must be a file of at most 16 MiB", name);
	current = name;
	feed(b.p, b.n);
	for (size_t n = 0; n < b.n && n < REPLAY_CUTS; n++)
		feed(b.p, n);
	buf_clear(&b);
	fd_close(&fd);
}

static void
feed_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (d == NULL)
		die_perm("replay: %s: cannot be opened; it must be a folder of inputs", path);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			feed_file(dirfd(d), e->d_name);
	closedir(d);
}

static void
name_the_input(int status, void *arg)
{
	(void)arg;
	if (status != 0)
		fprintf(stderr, "replay: ended at %s\n", current);
}

int
main(int argc, char **argv)
{
	on_exit(name_the_input, NULL);
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	feed(NULL, 0);
	for (int i = 1; i < argc; i++)
		feed_folder(argv[i]);
	printf("replay: %lu inputs\n", inputs);
	return 0;
}
