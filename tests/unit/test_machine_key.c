/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/folder.h"
#include "tools/machine_key.h"

#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int set_up(void **state)
{
	(void)state;
	log_set_sink(quiet);
	(void)strcpy(folder, "/tmp/yore-keys-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	return setenv("YORE_KEY_FOLDER", folder, 1);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void test_a_key_comes_back_and_is_never_overwritten(void **state)
{
	uint8_t id[REPOSITORY_ID_BYTES] = { 0xab }, key[KEY_BYTES], back[KEY_BYTES];
	char *path = machine_key_path(id, MACHINE_KEY_SUFFIX);
	struct stat st;

	(void)state;
	memset(key, 7, sizeof(key));
	assert_non_null(strstr(path, "/ab000000000000000000000000000000"));
	assert_int_equal(machine_key_read(path, back), -ENOENT);
	assert_int_equal(machine_key_write(path, key), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(machine_key_read(path, back), 0);
	assert_memory_equal(key, back, sizeof(key));
	assert_int_equal(machine_key_write(path, key), -EEXIST);
	free(path);
}

static void test_a_key_that_others_can_read_is_refused(void **state)
{
	uint8_t id[REPOSITORY_ID_BYTES] = { 2 }, key[KEY_BYTES] = { 1 };
	char *path = machine_key_path(id, MACHINE_KEY_SUFFIX);

	(void)state;
	assert_int_equal(machine_key_write(path, key), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(machine_key_read(path, key), -EPERM);
	free(path);
}

static void test_a_damaged_key_is_no_key(void **state)
{
	static const char *const bad[] = { "", "abc\n", "zz" };
	uint8_t id[REPOSITORY_ID_BYTES] = { 3 }, key[KEY_BYTES];
	char *path = machine_key_path(id, MACHINE_KEY_SUFFIX);
	char huge[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(machine_key_replace_file(path, bad[i]), 0);
		assert_int_equal(machine_key_read(path, key), -EUCLEAN);
	}
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(machine_key_replace_file(path, huge), 0);
	assert_int_equal(machine_key_read(path, key), -EUCLEAN);
	free(path);
}

static void test_folders_are_made_with_their_parents(void **state)
{
	char path[128];
	struct stat st;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/a//b/c/", folder);
	assert_int_equal(folder_make_all(path, 0700), 0);
	assert_int_equal(folder_make_all(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	(void)snprintf(path, sizeof(path), "%s/file", folder);
	assert_int_equal(machine_key_write_file(path, "x"), 0);
	(void)snprintf(path, sizeof(path), "%s/file/below", folder);
	assert_int_equal(folder_make_all(path, 0700), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_comes_back_and_is_never_overwritten),
		cmocka_unit_test(test_a_key_that_others_can_read_is_refused),
		cmocka_unit_test(test_a_damaged_key_is_no_key),
		cmocka_unit_test(test_folders_are_made_with_their_parents),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
