/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/session.h"
#include "tools/usual.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect_repository(const char *given, const char *expected)
{
	struct cmd_globals globals = { .repository = given };
	char *path = NULL;

	assert_int_equal(session_repository(&globals, &path), EXIT_CODE_DONE);
	assert_non_null(path);
	assert_string_equal(path, expected);
	free(path);
}

static void test_the_option_wins_over_the_environment(void **state)
{
	(void)state;
	(void)setenv("YORE_REPOSITORY", "/from/environment", 1);
	expect_repository("/from/option", "/from/option");
	expect_repository(NULL, "/from/environment");
	expect_repository("", "/from/environment");
}

static void test_a_file_address_is_a_path(void **state)
{
	(void)state;
	expect_repository("file:///srv/yore", "/srv/yore");
}

static void test_a_relative_path_becomes_absolute(void **state)
{
	(void)state;
	assert_int_equal(chdir("/tmp"), 0);
	expect_repository("yore", "/tmp/yore");
}

static void test_defaults_follow_the_user(void **state)
{
	char *mountpoint;

	(void)state;
	(void)unsetenv("YORE_REPOSITORY");
	(void)setenv("HOME", "/home/me", 1);
	(void)setenv("XDG_DATA_HOME", "relative/is/ignored", 1);
	expect_repository(NULL, geteuid() == 0 ? "/var/lib/yore" : "/home/me/.local/share/yore");
	(void)setenv("XDG_DATA_HOME", "/data", 1);
	expect_repository(NULL, geteuid() == 0 ? "/var/lib/yore" : "/data/yore");
	mountpoint = usual_mountpoint();
	assert_string_equal(mountpoint, geteuid() == 0 ? "/backups" : "/home/me/backups");
	free(mountpoint);
}

static void test_no_repository_has_its_exit_code(void **state)
{
	struct cmd_globals globals = { .repository = "/nonexistent/yore" };
	struct session s;

	(void)state;
	assert_int_equal(session_open(&s, &globals, SESSION_TIMELINE, 0), EXIT_CODE_NO_REPOSITORY);
	session_close(&s);
	globals.repository = "/proc"; /* a folder, but not a repository */
	assert_int_equal(session_open(&s, &globals, SESSION_TIMELINE, 0), EXIT_CODE_NO_REPOSITORY);
	session_close(&s);
	globals.repository = "s3://bucket/prefix";
	assert_int_equal(session_open(&s, &globals, SESSION_TIMELINE, 0), EXIT_CODE_USAGE);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_option_wins_over_the_environment),
		cmocka_unit_test(test_a_file_address_is_a_path),
		cmocka_unit_test(test_a_relative_path_becomes_absolute),
		cmocka_unit_test(test_defaults_follow_the_user),
		cmocka_unit_test(test_no_repository_has_its_exit_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
