/* SPDX-License-Identifier: MIT */
/*
 * mount_probe: what shells cannot do to a mounted file or directory.
 *
 *   seekdir DIR   list it in two halves with telldir() and seekdir() back and
 *                 forth: prints the number of names, fails when they differ
 *   mmap A B      compare two files through shared mappings
 *   holes FILE    print the stretches of data that SEEK_DATA and SEEK_HOLE show
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_EVERY 1000u
#define MARKS_MAX 4096u
#define NAME_ROOM 256u

static int die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- seekdir ---- */

struct mark {
	long at;
	char next[NAME_ROOM]; /* the name that follows */
};

static uint64_t hash_name(const char *name)
{
	uint64_t hash = 14695981039346656037u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 1099511628211u;
	return hash;
}

/* Read to the end: the number of names and a sum over them, whatever their order. */
static uint64_t read_all(DIR *dir, uint64_t *ret_sum, struct mark *marks, size_t *ret_n_marks)
{
	uint64_t n = 0, sum = 0;
	size_t n_marks = 0;

	for (;;) {
		long at = telldir(dir);
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (marks && n % MARK_EVERY == MARK_EVERY / 2 && n_marks < MARKS_MAX) {
			marks[n_marks].at = at;
			(void)snprintf(marks[n_marks++].next, NAME_ROOM, "%s", entry->d_name);
		}
		sum += hash_name(entry->d_name);
		n++;
	}
	if (errno)
		die("readdir");
	*ret_sum = sum;
	if (ret_n_marks)
		*ret_n_marks = n_marks;
	return n;
}

static void check_mark(DIR *dir, const struct mark *mark)
{
	struct dirent *entry;

	seekdir(dir, mark->at);
	entry = readdir(dir);
	if (!entry || strcmp(entry->d_name, mark->next) != 0) {
		(void)fprintf(stderr, "at %ld: wanted %s, got %s\n", mark->at, mark->next,
			      entry ? entry->d_name : "the end");
		exit(1);
	}
}

static int probe_seekdir(const char *path)
{
	struct mark *marks = calloc(MARKS_MAX, sizeof(*marks));
	DIR *dir = opendir(path);
	uint64_t n, again, sum, sum_again;
	size_t n_marks;

	if (!dir || !marks)
		return die(path);
	n = read_all(dir, &sum, marks, &n_marks);
	/* From both ends to the middle: forwards and backwards in turns. */
	for (size_t i = 0; i < n_marks; i++)
		check_mark(dir, &marks[i % 2 ? n_marks - 1 - i / 2 : i / 2]);
	rewinddir(dir);
	again = read_all(dir, &sum_again, NULL, NULL);
	(void)closedir(dir);
	free(marks);
	if (again != n || sum_again != sum) {
		(void)fprintf(stderr, "%s: the second listing differs\n", path);
		return 1;
	}
	(void)printf("%llu\n", (unsigned long long)n);
	return 0;
}

/* ---- mmap ---- */

static const uint8_t *map(const char *path, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		die("mmap");
	(void)close(fd);
	*ret_n = (size_t)st.st_size;
	return data;
}

static int probe_mmap(const char *a, const char *b)
{
	const size_t page = 4096;
	const uint8_t *x, *y;
	size_t n, m;

	x = map(a, &n);
	y = map(b, &m);
	if (n != m)
		return 1;
	/* Backwards, so that read-ahead does not do all the work. */
	for (size_t at = n / page * page;; at -= page) {
		size_t part = n - at < page ? n - at : page;

		if (memcmp(x + at, y + at, part) != 0)
			return 1;
		if (at == 0)
			return 0;
	}
}

/* ---- holes ---- */

static int probe_holes(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t data, hole = 0;

	if (fd < 0)
		return die(path);
	for (;;) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data)
			return die("SEEK_HOLE");
		(void)printf("%lld-%lld\n", (long long)data, (long long)hole);
	}
	if (errno != ENXIO)
		return die("SEEK_DATA");
	(void)close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "seekdir") == 0)
		return probe_seekdir(argv[2]);
	if (argc == 4 && strcmp(argv[1], "mmap") == 0)
		return probe_mmap(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "holes") == 0)
		return probe_holes(argv[2]);
	(void)fprintf(stderr, "usage: mount_probe seekdir DIR | mmap A B | holes FILE\n");
	return 2;
}
