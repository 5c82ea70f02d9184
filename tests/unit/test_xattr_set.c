/* SPDX-License-Identifier: MIT */
#include "snapshots/xattr_set.h"
#include "store/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include <cmocka.h>

static char path[64];
static int fd;

static int setup(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "xattr-test-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)close(fd);
	return unlink(path);
}

static void set(const char *name, const char *value)
{
	if (fsetxattr(fd, name, value, strlen(value), 0) < 0 && errno == ENOTSUP)
		skip();
}

static void test_object_without_attributes_gives_nothing(void **state)
{
	struct byte_buf b = { 0 };

	(void)state;
	assert_int_equal(xattr_set_read(fd, NULL, false, &b), 0);
	/* A system may label every file by itself. */
	assert_int_equal(xattr_set_check(b.data, b.n), 0);
	assert_int_equal(xattr_set_read(-1, "no such file", false, &b), -ENOENT);
	byte_buf_done(&b);
}

static void test_attributes_are_sorted_and_ours_left_out(void **state)
{
	struct byte_buf b = { 0 }, other = { 0 };
	const uint8_t *value;
	size_t n;

	(void)state;
	set("user.b", "2");
	set("user.a", "first");
	set("user.yore.safe", "1");
	set("user.c", "");
	assert_int_equal(xattr_set_read(fd, NULL, false, &b), 0);
	assert_int_equal(xattr_set_check(b.data, b.n), 0);
	assert_int_equal(xattr_set_find(b.data, b.n, "user.a", &value, &n), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(value, "first", 5);
	assert_int_equal(xattr_set_find(b.data, b.n, "user.c", &value, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(xattr_set_find(b.data, b.n, "user.yore.safe", &value, &n), -ENOENT);
	assert_int_equal(xattr_set_read(-1, path, false, &other), 0);
	assert_int_equal(b.n, other.n);
	assert_memory_equal(b.data, other.data, b.n);
	byte_buf_done(&b);
	byte_buf_done(&other);
}

static void test_many_names_pass_the_first_buffer(void **state)
{
	struct byte_buf b = { 0 };
	const uint8_t *value;
	size_t n;
	char name[64];

	(void)state;
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "user.a-rather-long-name-%04d", i);
		if (fsetxattr(fd, name, "v", 1, 0) < 0)
			skip(); /* this file system has little room */
	}
	assert_int_equal(xattr_set_read(fd, NULL, false, &b), 0);
	assert_int_equal(xattr_set_check(b.data, b.n), 0);
	assert_int_equal(xattr_set_find(b.data, b.n, "user.a-rather-long-name-0059", &value, &n),
			 0);
	byte_buf_done(&b);
}

static void expect_bad(const char *set_bytes, size_t n)
{
	assert_int_equal(xattr_set_check((const uint8_t *)set_bytes, n), -EUCLEAN);
}

static void test_malformed_sets_are_refused(void **state)
{
	static const char good[] = "\x02"
				   "a\0"
				   "\x01"
				   "x"
				   "\x02"
				   "b\0"
				   "\x00";

	(void)state;
	assert_int_equal(xattr_set_check((const uint8_t *)good, sizeof(good) - 1), 0);
	for (size_t n = 1; n < sizeof(good) - 1; n++) {
		if (n != 5) /* the first pair alone is whole */
			expect_bad(good, n);
	}
	expect_bad("\x01\0\0", 3); /* no name */
	expect_bad("\x02"
		   "ab"
		   "\0",
		   4); /* no NUL */
	expect_bad("\x03"
		   "a\0\0"
		   "\0",
		   5); /* a NUL inside */
	expect_bad("\x02"
		   "b\0\0"
		   "\x02"
		   "a\0\0",
		   8); /* order */
	expect_bad("\x02"
		   "a\0\0"
		   "\x02"
		   "a\0\0",
		   8); /* twice */
	expect_bad("\x82\x00"
		   "a\0\0",
		   5); /* a longer form */
	expect_bad("\x02"
		   "a\0\xff\xff\xff\xff\x0f",
		   8); /* a value past the end */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_object_without_attributes_gives_nothing),
		TEST(test_attributes_are_sorted_and_ours_left_out),
		TEST(test_many_names_pass_the_first_buffer),
		TEST(test_malformed_sets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
