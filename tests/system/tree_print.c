/* SPDX-License-Identifier: MIT */
/*
 * tree_print: prints a tree as one canonical line per object, so that two
 * trees are equal when their prints are: tree_print [-f] [-t] FOLDER
 *
 *   -f  without file flags (a mount has no ioctl for them)
 *   -t  without the times of directories
 *
 * Names are escaped, directories are walked by descriptor (paths deeper than
 * PATH_MAX are fine), holes are skipped, and the hash of a file's contents does
 * not depend on where its holes are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK 4096u
#define XATTR_MAX 65536u
#define FLAGS_SHOWN (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)

static bool no_flags, no_folder_times, failed;

/* The first name of each file that has several. */
struct link_name {
	dev_t device;
	ino_t ino;
	char *path;
};
static void *links;

static int order_links(const void *a, const void *b)
{
	const struct link_name *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void complain(const char *path, const char *what)
{
	(void)fprintf(stderr, "tree_print: %s: %s: %s\n", path, what, strerror(errno));
	failed = true;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static char *escaped(const char *bytes, size_t n)
{
	char *to = must(malloc(4 * n + 1)), *at = to;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c <= ' ' || c >= 0x7f || c == '\\')
			at += sprintf(at, "\\%03o", c);
		else
			*at++ = (char)c;
	}
	*at = '\0';
	return to;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

static bool is_zero(const unsigned char *data, size_t n)
{
	return n == 0 || (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0);
}

/* Fold the blocks that are not zero into the hash, with their places. */
static uint64_t hash_bytes(uint64_t h, uint64_t offset, const unsigned char *data, size_t n)
{
	for (size_t at = 0; at < n; at += BLOCK) {
		size_t part = n - at < BLOCK ? n - at : BLOCK;

		if (is_zero(data + at, part))
			continue;
		h = mix(h, offset + at);
		for (size_t i = 0; i < part; i += 8) {
			uint64_t word = 0;

			memcpy(&word, data + at + i, part - i < 8 ? part - i : 8);
			h = mix(h, word);
		}
	}
	return h;
}

static uint64_t hash_file(int fd, uint64_t size, const char *path)
{
	static unsigned char data[256 * BLOCK];
	uint64_t h = 1, at = 0;

	while (at < size) {
		off_t next = lseek(fd, (off_t)at, SEEK_DATA);
		size_t n = 0;

		if (next < 0 && errno == ENXIO)
			break;
		if (next > (off_t)at)
			at = (uint64_t)next / BLOCK * BLOCK;
		while (n < sizeof(data)) {
			ssize_t got = pread(fd, data + n, sizeof(data) - n, (off_t)(at + n));

			if (got < 0) {
				complain(path, "read");
				return 0;
			}
			if (got == 0)
				break;
			n += (size_t)got;
		}
		if (n == 0)
			break;
		h = hash_bytes(h, at, data, n);
		at += n;
	}
	return h;
}

static int order_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(const char *proc, const char *path)
{
	static char list[XATTR_MAX], value[XATTR_MAX];
	ssize_t n = listxattr(proc, list, sizeof(list));
	const char *names[1024];
	size_t count = 0;

	if (n < 0 && errno != ENOTSUP && errno != EPERM)
		complain(path, "listxattr");
	for (ssize_t at = 0; at < n && count < 1024; at += (ssize_t)strlen(list + at) + 1)
		names[count++] = list + at;
	qsort(names, count, sizeof(*names), order_strings);
	for (size_t i = 0; i < count; i++) {
		ssize_t size = getxattr(proc, names[i], value, sizeof(value));
		char *text;

		if (size < 0) {
			complain(path, names[i]);
			continue;
		}
		text = escaped(value, (size_t)size);
		(void)printf(" %s=%s", names[i], text);
		free(text);
	}
}

static void print_link(const struct stat *st, const char *path)
{
	struct link_name key = { .device = st->st_dev, .ino = st->st_ino };
	struct link_name **found = tfind(&key, &links, order_links);

	(void)printf(" links=%ju", (uintmax_t)st->st_nlink);
	if (found) {
		(void)printf(" as=%s", (*found)->path);
		return;
	}
	struct link_name *fresh = must(malloc(sizeof(*fresh)));

	key.path = must(strdup(path));
	*fresh = key;
	must(tsearch(fresh, &links, order_links));
}

static void print_flags(int fd)
{
	int flags = 0;

	if (!no_flags && fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
		(void)printf(" flags=%x", (unsigned int)flags & FLAGS_SHOWN);
}

static void print_tree(int fd, const char *path);

static void print_object(int parent, const char *name, const char *path)
{
	int at = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char proc[40], target[4096];
	struct stat st;
	int fd = -1;
	ssize_t n;

	if (at < 0 || fstat(at, &st) < 0) {
		complain(path, "stat");
		return;
	}
	(void)sprintf(proc, "/proc/self/fd/%d", at);
	(void)printf("%s mode=%o owner=%u:%u", path, st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		(void)printf(" size=%jd", (intmax_t)st.st_size);
	if (!S_ISDIR(st.st_mode) || !no_folder_times)
		(void)printf(" mtime=%jd.%09ld", (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		(void)printf(" device=%u,%u", major(st.st_rdev), minor(st.st_rdev));
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (S_ISREG(st.st_mode) && fd < 0)
		complain(path, "open");
	if (S_ISREG(st.st_mode) && fd >= 0)
		(void)printf(" hash=%016" PRIx64, hash_file(fd, (uint64_t)st.st_size, path));
	if (S_ISLNK(st.st_mode) && (n = readlinkat(at, "", target, sizeof(target))) >= 0) {
		char *text = escaped(target, (size_t)n);

		(void)printf(" target=%s", text);
		free(text);
	}
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		print_link(&st, path);
	print_flags(fd);
	print_xattrs(proc, path);
	(void)putchar('\n');
	(void)close(at);
	if (S_ISDIR(st.st_mode) && fd >= 0)
		print_tree(fd, path);
	else if (S_ISDIR(st.st_mode))
		complain(path, "open");
	else if (fd >= 0)
		(void)close(fd);
}

/* Takes fd. */
static void print_tree(int fd, const char *path)
{
	DIR *folder = must(fdopendir(fd));
	char **names = NULL;
	size_t n = 0, room = 0;
	struct dirent *entry;

	while ((entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (n == room) {
			room = room ? 2 * room : 64;
			names = must(reallocarray(names, room, sizeof(*names)));
		}
		names[n++] = must(strdup(entry->d_name));
	}
	if (n)
		qsort(names, n, sizeof(*names), order_strings);
	for (size_t i = 0; i < n; i++) {
		char *name = escaped(names[i], strlen(names[i])), *below;

		if (asprintf(&below, "%s/%s", path, name) < 0)
			abort();
		print_object(fd, names[i], below);
		free(below);
		free(name);
		free(names[i]);
	}
	free(names);
	(void)closedir(folder);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	int c;

	while ((c = getopt(argc, argv, "ft")) != -1) {
		no_flags |= c == 'f';
		no_folder_times |= c == 't';
	}
	if (optind + 1 != argc) {
		(void)fprintf(stderr, "usage: tree_print [-f] [-t] FOLDER\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	print_object(AT_FDCWD, argv[optind], ".");
	return failed;
}
