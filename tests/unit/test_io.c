/* SPDX-License-Identifier: MIT */
/*
 * The wrappers and whole-file calls, on top of a real folder whose calls a
 * test can make short, interrupted or failing.
 */
#include "store/base/io.h"
#include "store/base/log.h"

#include <errno.h>
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
static const struct io_ops *real_ops;
static struct io_ops ops;
static int n_calls;
static int n_tmp_lost;

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
	n_calls = 0;
	n_tmp_lost = 0;
	(void)snprintf(folder, sizeof(folder), "/tmp/yore-io-XXXXXX");
	if (!mkdtemp(folder) || io_posix_open(folder, &io) < 0)
		return -1;
	real_ops = io->ops;
	ops = *real_ops;
	io->ops = &ops;
	return io_mkdir(io, "tmp", IO_OBJECT_FOLDER) + io_mkdir(io, "d", IO_OBJECT_FOLDER);
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
	(void)name;
	++*(int *)context;
	return 0;
}

static int names_in(const char *path)
{
	int n = 0;

	assert_int_equal(io_list(io, path, count_name, &n), 0);
	return n;
}

static int64_t short_pread(struct io *i, int fd, void *to, size_t n, uint64_t offset)
{
	if (++n_calls % 2)
		return -EINTR;
	return real_ops->pread(i, fd, to, n > 3 ? 3 : n, offset);
}

static int64_t short_pwrite(struct io *i, int fd, const void *from, size_t n, uint64_t offset,
			    enum io_object object)
{
	if (++n_calls % 2)
		return -EINTR;
	return real_ops->pwrite(i, fd, from, n > 3 ? 3 : n, offset, object);
}

static void test_short_and_interrupted_transfers_are_continued(void **state)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = 0;

	(void)state;
	ops.pread = short_pread;
	ops.pwrite = short_pwrite;
	assert_int_equal(io_write_file(io, "d/a", "0123456789", 10, false, IO_OBJECT_RECORD), 0);
	assert_int_equal(io_read_file(io, "d/a", 10, &data, &n), 0);
	assert_int_equal(n, 10);
	assert_memory_equal(data, "0123456789", 10);
}

static int64_t no_progress(struct io *i, int fd, const void *from, size_t n, uint64_t offset,
			   enum io_object object)
{
	(void)i;
	(void)fd;
	(void)from;
	(void)n;
	(void)offset;
	(void)object;
	return 0;
}

static int64_t disk_full(struct io *i, int fd, const void *from, size_t n, uint64_t offset,
			 enum io_object object)
{
	(void)no_progress(i, fd, from, n, offset, object);
	return -ENOSPC;
}

static int bad_fsync(struct io *i, int fd, enum io_object object)
{
	(void)i;
	(void)fd;
	(void)object;
	return -EIO;
}

static int bad_fsync_folder(struct io *i, const char *path, enum io_object object)
{
	(void)i;
	(void)object;
	assert_string_equal(path, "d");
	return -EIO;
}

static int wrong_size(struct io *i, int fd, uint64_t *ret_size)
{
	(void)i;
	(void)fd;
	*ret_size = 1;
	return 0;
}

static void expect_nothing_left(int error)
{
	assert_int_equal(io_write_file(io, "d/a", "0123", 4, false, IO_OBJECT_RECORD), error);
	assert_int_equal(names_in("tmp"), 0);
	assert_int_equal(names_in("d"), 0);
	ops = *real_ops;
}

static void test_a_failed_write_leaves_nothing_behind(void **state)
{
	(void)state;
	ops.pwrite = no_progress;
	expect_nothing_left(-EIO);
	ops.pwrite = disk_full;
	expect_nothing_left(-ENOSPC);
	ops.size = wrong_size;
	expect_nothing_left(-EIO);
	ops.fsync = bad_fsync;
	expect_nothing_left(-EIO);
	ops.fsync_folder = bad_fsync_folder;
	expect_nothing_left(-EIO);
}

static void test_an_existing_file_stays_unless_replaced(void **state)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(io_write_file(io, "a", "old", 3, true, IO_OBJECT_CONFIG), 0);
	assert_int_equal(io_write_file(io, "a", "new!", 4, false, IO_OBJECT_CONFIG), -EEXIST);
	assert_int_equal(names_in("tmp"), 0);
	assert_int_equal(io_read_file(io, "a", 2, &data, &n), -EFBIG);
	assert_null(data);
	assert_int_equal(io_read_file(io, "a", 3, &data, &n), 0);
	assert_memory_equal(data, "old", 3);
	assert_int_equal(io_write_file(io, "a", "", 0, true, IO_OBJECT_CONFIG), 0);
	free(STEAL(data));
	assert_int_equal(io_read_file(io, "a", 0, &data, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(io_read_file(io, "none", 3, &data, &n), -ENOENT);
}

static int unlink_tmp(void *context, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "tmp/%s", name);
	return real_ops->unlink(context, path, IO_OBJECT_TMP);
}

/* What a cleaner of dead files does when it comes between making and locking. */
static int lock_after_cleaner(struct io *i, int fd, enum io_lock lock, bool wait)
{
	if (n_tmp_lost++ < 2)
		assert_int_equal(io_list(i, "tmp", unlink_tmp, i), 0);
	return real_ops->lock(i, fd, lock, wait);
}

static void test_a_temporary_file_taken_for_dead_is_made_again(void **state)
{
	(void)state;
	ops.lock = lock_after_cleaner;
	assert_int_equal(io_write_file(io, "d/a", "0123", 4, false, IO_OBJECT_RECORD), 0);
	assert_int_equal(n_tmp_lost, 3);
	assert_int_equal(names_in("d"), 1);
	assert_int_equal(names_in("tmp"), 0);
}

static void test_temporary_names_are_new_each_time(void **state)
{
	char a[40], b[40];

	(void)state;
	io_tmp_name(a);
	io_tmp_name(b);
	assert_int_equal(strlen(a), 36);
	assert_memory_equal(a, "tmp/", 4);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_short_and_interrupted_transfers_are_continued,
						start, stop),
		cmocka_unit_test_setup_teardown(test_a_failed_write_leaves_nothing_behind, start,
						stop),
		cmocka_unit_test_setup_teardown(test_an_existing_file_stays_unless_replaced, start,
						stop),
		cmocka_unit_test_setup_teardown(test_a_temporary_file_taken_for_dead_is_made_again,
						start, stop),
		cmocka_unit_test(test_temporary_names_are_new_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
