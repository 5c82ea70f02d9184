/* SPDX-License-Identifier: MIT */
#include "snapshots/page_cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 200000

/* A file on disk that is in the cache, or was let out of it. */
static int make_file(void)
{
	static char data[SIZE];
	char name[] = "/tmp/yore-page-cache-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, data, SIZE), SIZE);
	assert_int_equal(fsync(fd), 0);
	return fd;
}

static void test_a_file_just_written_is_there_and_leaves_when_dropped(void **state)
{
	char byte;
	int fd = make_file();

	(void)state;
	assert_false(page_cache_lacks(fd, SIZE));
	page_cache_drop(fd, 0, 0);
	if (!page_cache_lacks(fd, SIZE)) /* kept in memory only, or one that cannot tell */
		skip();
	/* One byte in the middle is enough for leaving the others alone. */
	assert_int_equal(pread(fd, &byte, 1, SIZE / 2), 1);
	assert_false(page_cache_lacks(fd, SIZE));
	(void)close(fd);
}

static void test_reading_tells_whether_the_disk_was_asked(void **state)
{
	static char data[SIZE + 1];
	bool lacked = true;
	int fd = make_file();

	(void)state;
	assert_int_equal(page_cache_read(fd, data, sizeof(data), &lacked), SIZE);
	assert_false(lacked);
	page_cache_drop(fd, 0, 0);
	if (!page_cache_lacks(fd, SIZE))
		skip();
	assert_int_equal(page_cache_read(fd, data, sizeof(data), &lacked), SIZE);
	assert_true(lacked);
	assert_int_equal(page_cache_read(fd, data, sizeof(data), &lacked), SIZE);
	assert_false(lacked);
	(void)close(fd);
	assert_int_equal(page_cache_read(-1, data, 1, &lacked), -1);
	assert_false(lacked);
}

static void test_what_has_no_pages_lacks_none(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_false(page_cache_lacks(fds[0], 10));
	assert_false(page_cache_lacks(-1, 10));
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file_just_written_is_there_and_leaves_when_dropped),
		cmocka_unit_test(test_reading_tells_whether_the_disk_was_asked),
		cmocka_unit_test(test_what_has_no_pages_lacks_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
