/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/mount_request.h"
#include "tools/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_options_for_others_are_dropped(void **state)
{
	struct mount_request q;
	char *wrong = NULL;

	(void)state;
	mount_request_init(&q);
	assert_int_equal(
		mount_request_options(&q,
				      "defaults,ro,nofail,_netdev,noauto,user,exec,suid,dev,"
				      "x-systemd.automount,x-gvfs-show,comment=abc",
				      &wrong),
		0);
	assert_null(wrong);
	mount_request_done(&q);
}

static void test_our_options_are_taken(void **state)
{
	struct mount_request q;
	char *wrong = NULL;

	(void)state;
	mount_request_init(&q);
	assert_int_equal(
		mount_request_options(&q, "private,cache_size=64M,host=other,threads=3", &wrong),
		0);
	assert_false(q.allow_other);
	assert_int_equal(q.cache_bytes, 64 << 20);
	assert_int_equal(q.threads, 3);
	assert_string_equal(q.host, "other");
	assert_int_equal(mount_request_options(&q, "allow_other", &wrong), 0);
	assert_true(q.allow_other);
	mount_request_done(&q);
}

static void test_unknown_and_wild_values_are_named(void **state)
{
	static const char *const bad[] = { "ro,frobnicate", "cache_size=1K", "cache_size=x",
					   "threads=0", "read_ahead=-1" };
	struct mount_request q;

	(void)state;
	mount_request_init(&q);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *wrong = NULL;

		assert_int_equal(mount_request_options(&q, bad[i], &wrong), -EINVAL);
		assert_non_null(wrong);
		free(wrong);
	}
	mount_request_done(&q);
}

static void test_a_mountpoint_becomes_absolute(void **state)
{
	struct mount_request q;

	(void)state;
	mount_request_init(&q);
	assert_int_equal(mount_request_mountpoint(&q, "/nonexistent/point//"), 0);
	assert_string_equal(q.mountpoint, "/nonexistent/point");
	assert_int_equal(mount_request_mountpoint(&q, "/tmp/../tmp"), 0);
	assert_string_equal(q.mountpoint, "/tmp");
	assert_false(q.default_mountpoint);
	mount_request_done(&q);
}

static void test_sizes_are_read_with_units(void **state)
{
	size_t n = 0;

	(void)state;
	assert_int_equal(options_size("4096", &n), 0);
	assert_int_equal(n, 4096);
	assert_int_equal(options_size("2k", &n), 0);
	assert_int_equal(n, 2048);
	assert_int_equal(options_size("1GiB", &n), 0);
	assert_int_equal(n, 1 << 30);
	assert_int_equal(options_size("", &n), -EINVAL);
	assert_int_equal(options_size("-1", &n), -EINVAL);
	assert_int_equal(options_size("1X", &n), -EINVAL);
	assert_int_equal(options_size("99999999999999999999", &n), -EINVAL);
	assert_int_equal(options_size("99999999999T", &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_for_others_are_dropped),
		cmocka_unit_test(test_our_options_are_taken),
		cmocka_unit_test(test_unknown_and_wild_values_are_named),
		cmocka_unit_test(test_a_mountpoint_becomes_absolute),
		cmocka_unit_test(test_sizes_are_read_with_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
