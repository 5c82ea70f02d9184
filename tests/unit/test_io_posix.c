/* SPDX-License-Identifier: MIT */
#include "store/base/io.h"
#include "store/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[64];
static struct io *io;

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int start(void **state)
{
	(void)state;
	log_set_sink(quiet);
	(void)snprintf(folder, sizeof(folder), "/tmp/yore-io-XXXXXX");
	if (!mkdtemp(folder) || io_posix_open(folder, &io) < 0)
		return -1;
	return io_mkdir(io, "tmp", IO_OBJECT_FOLDER);
}

static int stop(void **state)
{
	(void)state;
	io_free(io);
	io = NULL;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int count_name(void *context, const char *name)
{
	int *n = context;

	(void)name;
	return ++*n == 1000 ? 77 : 0;
}

static int names_in(const char *path)
{
	int n = 0;

	assert_int_equal(io_list(io, path, count_name, &n), 0);
	return n;
}

static void test_a_file_is_written_and_read(void **state)
{
	struct io_stat st;
	uint64_t size = 0;
	char to[16] = { 0 };
	int fd;

	(void)state;
	fd = io_open(io, "a", IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, IO_OBJECT_LOCAL);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(io_pwrite(io, fd, "hello", 5, 3, IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_size(io, fd, &size), 0);
	assert_int_equal(size, 8);
	assert_int_equal(io_fsync(io, fd, IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_pread(io, fd, to, sizeof(to), 2), 6);
	assert_memory_equal(to, "\0hello", 6);
	assert_int_equal(io_pread(io, fd, to, sizeof(to), 8), 0);
	assert_int_equal(io_pread(io, fd, to, sizeof(to), UINT64_MAX), -EINVAL);
	assert_int_equal(io_pwrite(io, fd, to, 1, INT64_MAX, IO_OBJECT_LOCAL), -EFBIG);
	io_close(io, fd);
	io_close(io, -1);
	assert_int_equal(io_stat(io, "a", &st), 0);
	assert_int_equal(st.size, 8);
	assert_false(st.is_folder);
	assert_true(st.mtime_ns > 1500000000ll * 1000000000);
	assert_int_equal(io_fsync_folder(io, "", IO_OBJECT_LOCAL), 0);
}

static void test_opening_tells_what_is_wrong(void **state)
{
	const int fresh = IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW;
	char link[128];
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(io_open(io, "none", IO_OPEN_READ, IO_OBJECT_LOCAL), -ENOENT);
	fd = io_open(io, "a", fresh, IO_OBJECT_LOCAL);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	io_close(io, fd);
	assert_int_equal(io_open(io, "a", fresh, IO_OBJECT_LOCAL), -EEXIST);
	(void)snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(symlink("a", link), 0);
	assert_int_equal(io_open(io, "link", IO_OPEN_READ, IO_OBJECT_LOCAL), -ELOOP);
}

static void test_rename_refuses_to_replace_unless_told(void **state)
{
	(void)state;
	assert_int_equal(io_write_file(io, "a", "1", 1, false, IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_write_file(io, "b", "22", 2, false, IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_rename(io, "a", "b", false, IO_OBJECT_LOCAL), -EEXIST);
	assert_int_equal(io_rename(io, "a", "b", true, IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_rename(io, "a", "c", true, IO_OBJECT_LOCAL), -ENOENT);
	assert_int_equal(io_unlink(io, "b", IO_OBJECT_LOCAL), 0);
	assert_int_equal(io_unlink(io, "b", IO_OBJECT_LOCAL), -ENOENT);
}

static void test_folders_are_made_once_and_listed(void **state)
{
	struct io_stat st;
	int n = 0;

	(void)state;
	assert_int_equal(io_mkdir(io, "d", IO_OBJECT_FOLDER), 0);
	assert_int_equal(io_mkdir(io, "d", IO_OBJECT_FOLDER), 0);
	assert_int_equal(io_mkdir(io, "none/d", IO_OBJECT_FOLDER), -ENOENT);
	assert_int_equal(io_stat(io, "d", &st), 0);
	assert_true(st.is_folder);
	assert_int_equal(names_in("d"), 0);
	for (int i = 0; i < 1500; i++) {
		char path[16];

		(void)snprintf(path, sizeof(path), "d/%d", i);
		io_close(io, io_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL));
	}
	assert_int_equal(io_list(io, "d", count_name, &n), 77);
	assert_int_equal(n, 1000);
	assert_int_equal(io_list(io, "none", count_name, &n), -ENOENT);
	assert_int_equal(io_mkdir(io, "d/1", IO_OBJECT_FOLDER), -ENOTDIR);
}

static void test_locks_exclude_other_descriptors(void **state)
{
	int a, b;

	(void)state;
	assert_int_equal(io_write_file(io, "l", "", 0, false, IO_OBJECT_LOCAL), 0);
	a = io_open(io, "l", IO_OPEN_READ, IO_OBJECT_LOCAL);
	b = io_open(io, "l", IO_OPEN_READ, IO_OBJECT_LOCAL);
	assert_int_equal(io_lock(io, a, IO_LOCK_SHARED, false), 0);
	assert_int_equal(io_lock(io, b, IO_LOCK_SHARED, false), 0);
	assert_int_equal(io_lock(io, b, IO_LOCK_EXCLUSIVE, false), -EWOULDBLOCK);
	assert_int_equal(io_lock(io, a, IO_LOCK_NONE, false), 0);
	assert_int_equal(io_lock(io, b, IO_LOCK_EXCLUSIVE, true), 0);
	assert_int_equal(io_lock(io, a, IO_LOCK_SHARED, false), -EWOULDBLOCK);
	io_close(io, b);
	assert_int_equal(io_lock(io, a, IO_LOCK_EXCLUSIVE, false), 0);
	io_close(io, a);
}

static void test_a_repository_folder_is_made_private(void **state)
{
	CLEANUP(io_free_ptr) struct io *made = NULL;
	CLEANUP(io_free_ptr) struct io *again = NULL;
	char path[96];
	struct stat st;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/x/y", folder);
	assert_int_equal(io_posix_create(path, &made), -ENOENT);
	(void)snprintf(path, sizeof(path), "%s/x", folder);
	assert_int_equal(io_posix_open(path, &made), -ENOENT);
	assert_int_equal(io_posix_create(path, &made), 0);
	assert_int_equal(io_posix_create(path, &again), 0);
	assert_string_equal(io_real_path(made), path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(path, sizeof(path), "%s/f", folder);
	io_close(io, io_open(io, "f", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL));
	assert_int_equal(io_posix_create(path, &again), -ENOTDIR);
	assert_int_equal(io_posix_open(path, &again), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_file_is_written_and_read, start, stop),
		cmocka_unit_test_setup_teardown(test_opening_tells_what_is_wrong, start, stop),
		cmocka_unit_test_setup_teardown(test_rename_refuses_to_replace_unless_told, start,
						stop),
		cmocka_unit_test_setup_teardown(test_folders_are_made_once_and_listed, start, stop),
		cmocka_unit_test_setup_teardown(test_locks_exclude_other_descriptors, start, stop),
		cmocka_unit_test_setup_teardown(test_a_repository_folder_is_made_private, start,
						stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
