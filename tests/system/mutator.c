/* SPDX-License-Identifier: MIT */
/*
 * mutator: changes a tree at random, in every way that programs do.
 *
 *   mutator FOLDER SEED SECONDS RATE
 *
 * FOLDER is made if missing; RATE is operations a second, 0 as many as can be.
 * Prints how many of each kind it did. The tree stays below a few thousand
 * names; the same seed does the same on the same tree, errors aside.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NAMES 24u /* in one folder */
#define FOLDERS 4u
#define DEPTH 4u
#define PATH_ROOM 512u
#define FILE_BYTES_MAX (256u * 1024u)

static uint64_t random_state;

static uint32_t any(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

/* Below the working directory: a folder, not sure to be there. "" is the top. */
static void any_folder(char *to)
{
	const uint32_t depth = any(DEPTH);
	size_t n = 0;

	to[0] = '\0';
	for (uint32_t i = 0; i < depth; i++)
		n += (size_t)snprintf(to + n, PATH_ROOM - n, "d%u/", any(FOLDERS));
}

static void any_file(char *to)
{
	static const char *const odd[] = {
		"f", "f ", "\xff\xfe", "a\nb", "\\", "\xc3\xa4", "'", "*"
	};
	char folder[PATH_ROOM];

	any_folder(folder);
	(void)snprintf(to, PATH_ROOM * 2, "%s%s%u", folder, odd[any(8)], any(NAMES / 8));
}

static void any_object(char *to)
{
	if (any(4) > 0) {
		any_file(to);
		return;
	}
	any_folder(to);
	(void)snprintf(to + strlen(to), PATH_ROOM, "d%u", any(FOLDERS));
}

static bool fill(int fd, size_t n)
{
	uint8_t bytes[4096];

	while (n > 0) {
		const size_t part = n < sizeof(bytes) ? n : sizeof(bytes);

		for (size_t i = 0; i < part; i++)
			bytes[i] = (uint8_t)any(256);
		if (write(fd, bytes, part) != (ssize_t)part)
			return false;
		n -= part;
	}
	return true;
}

static bool write_to(int flags, off_t from, size_t n)
{
	char path[PATH_ROOM * 2];
	struct stat st;
	bool good;
	int fd;

	any_file(path);
	fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	good = fstat(fd, &st) == 0 && st.st_size < (off_t)FILE_BYTES_MAX;
	if (good && from > 0)
		good = lseek(fd, from < st.st_size ? from : st.st_size, SEEK_SET) >= 0;
	good = good && fill(fd, n);
	return close(fd) == 0 && good;
}

static bool do_create(void)
{
	return write_to(O_WRONLY | O_CREAT | O_TRUNC, 0, any(any(10) ? 3000 : 100000));
}

static bool do_append(void)
{
	return write_to(O_WRONLY | O_APPEND, 0, 1 + any(5000));
}

static bool do_overwrite(void)
{
	return write_to(O_RDWR, 1 + any(100000), 1 + any(5000));
}

static bool do_truncate(void)
{
	char path[PATH_ROOM * 2];
	struct stat st;

	any_file(path);
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       truncate(path, any((uint32_t)st.st_size + 1000)) == 0;
}

static bool do_map(void)
{
	char path[PATH_ROOM * 2];
	bool good = false;
	struct stat st;
	uint8_t *map;
	int fd;

	any_file(path);
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		const size_t n = (size_t)st.st_size;

		map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		good = map != MAP_FAILED;
		for (uint32_t i = 0; good && i < 16; i++)
			map[any((uint32_t)n)] ^= (uint8_t)(1 + any(255));
		good = good && munmap(map, n) == 0;
	}
	return close(fd) == 0 && good;
}

static bool do_rename(void)
{
	char from[PATH_ROOM * 2], to[PATH_ROOM * 2];

	any_file(from);
	any_file(to);
	return rename(from, to) == 0;
}

static bool do_rename_folder(void)
{
	char from[PATH_ROOM * 2], to[PATH_ROOM * 2];

	any_folder(from);
	any_folder(to);
	(void)snprintf(from + strlen(from), PATH_ROOM, "d%u", any(FOLDERS));
	(void)snprintf(to + strlen(to), PATH_ROOM, "d%u", any(FOLDERS));
	return rename(from, to) == 0;
}

static bool do_exchange(void)
{
	char from[PATH_ROOM * 2], to[PATH_ROOM * 2];

	any_object(from);
	any_object(to);
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
}

static bool do_link(void)
{
	char from[PATH_ROOM * 2], to[PATH_ROOM * 2];

	any_file(from);
	any_file(to);
	return link(from, to) == 0;
}

static bool do_make_folder(void)
{
	char path[PATH_ROOM * 2];

	any_folder(path);
	(void)snprintf(path + strlen(path), PATH_ROOM, "d%u", any(FOLDERS));
	return mkdir(path, 0755) == 0;
}

static bool do_chmod(void)
{
	char path[PATH_ROOM * 2];
	struct stat st;

	any_object(path);
	if (lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
		return false;
	return chmod(path, S_ISDIR(st.st_mode) ? 0700 | any(64) : 0600 | any(64)) == 0;
}

static bool do_xattr(void)
{
	char path[PATH_ROOM * 2], value[64];
	const int n = snprintf(value, sizeof(value), "%u", any(UINT32_MAX));

	any_object(path);
	if (any(3) == 0)
		return lremovexattr(path, "user.a") == 0;
	return lsetxattr(path, any(2) ? "user.a" : "user.b", value, (size_t)n, 0) == 0;
}

static bool do_times(void)
{
	const struct timespec times[] = { { .tv_sec = any(2000000000), .tv_nsec = any(1000000000) },
					  { .tv_sec = any(2000000000),
					    .tv_nsec = any(1000000000) } };
	char path[PATH_ROOM * 2];

	any_object(path);
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool do_symlink(void)
{
	char path[PATH_ROOM * 2], target[PATH_ROOM * 2];

	any_file(path);
	any_file(target);
	return symlink(target, path) == 0;
}

static bool do_delete(void)
{
	char path[PATH_ROOM * 2];

	any_file(path);
	return unlink(path) == 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static bool do_delete_tree(void)
{
	char path[PATH_ROOM * 2];

	any_folder(path);
	(void)snprintf(path + strlen(path), PATH_ROOM, "d%u", any(FOLDERS));
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

/* A folder with contents that comes into being elsewhere and is moved here. */
static bool do_bring(void)
{
	char to[PATH_ROOM * 2];
	int fd;

	if (mkdir("../brought", 0755) < 0 && errno != EEXIST)
		return false;
	fd = open("../brought/f0", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || !fill(fd, any(3000)) || close(fd) < 0)
		return false;
	(void)mkdir("../brought/d0", 0755);
	any_folder(to);
	(void)snprintf(to + strlen(to), PATH_ROOM, "d%u", any(FOLDERS));
	return rename("../brought", to) == 0;
}

static const struct operation {
	const char *name;
	bool (*run)(void);
	uint32_t weight;
} operations[] = {
	{ "create", do_create, 20 },
	{ "append", do_append, 10 },
	{ "overwrite", do_overwrite, 10 },
	{ "truncate", do_truncate, 5 },
	{ "mmap", do_map, 8 },
	{ "rename", do_rename, 8 },
	{ "rename-folder", do_rename_folder, 4 },
	{ "exchange", do_exchange, 4 },
	{ "link", do_link, 4 },
	{ "make-folder", do_make_folder, 8 },
	{ "chmod", do_chmod, 5 },
	{ "xattr", do_xattr, 5 },
	{ "times", do_times, 4 },
	{ "symlink", do_symlink, 3 },
	{ "delete", do_delete, 8 },
	{ "delete-tree", do_delete_tree, 1 },
	{ "bring", do_bring, 1 },
};
#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t choose(void)
{
	uint32_t sum = 0, at;
	size_t i = 0;

	for (size_t j = 0; j < N_OPERATIONS; j++)
		sum += operations[j].weight;
	at = any(sum);
	while (at >= operations[i].weight)
		at -= operations[i++].weight;
	return i;
}

int main(int argc, char **argv)
{
	uint64_t done[N_OPERATIONS] = { 0 }, n = 0, start, end, rate;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: mutator FOLDER SEED SECONDS RATE\n");
		return 2;
	}
	if ((mkdir(argv[1], 0755) < 0 && errno != EEXIST) || chdir(argv[1]) < 0) {
		perror(argv[1]);
		return 1;
	}
	random_state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
	start = now_ns();
	end = start + (uint64_t)(strtod(argv[3], NULL) * 1e9);
	rate = strtoull(argv[4], NULL, 10);
	while (now_ns() < end) {
		const size_t i = choose();

		done[i] += operations[i].run();
		n++;
		while (rate > 0 && now_ns() < end && n * 1000000000u / rate > now_ns() - start)
			(void)usleep(1000);
	}
	for (size_t i = 0; i < N_OPERATIONS; i++)
		(void)printf("%s %llu\n", operations[i].name, (unsigned long long)done[i]);
	return 0;
}
