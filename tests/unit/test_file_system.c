/* SPDX-License-Identifier: MIT */
#include "snapshots/file_system.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_proc_is_virtual_and_the_working_folder_is_not(void **state)
{
	struct file_system_identity proc, here, again;
	CLEANUP(close_fd_ptr) int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_fd_ptr) int here_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(file_system_identify(proc_fd, &proc), 0);
	assert_int_equal(file_system_identify(here_fd, &here), 0);
	assert_int_equal(file_system_identify(here_fd, &again), 0);
	assert_true(file_system_is_virtual(proc.type));
	assert_false(file_system_is_virtual(here.type));
	assert_true(file_system_equal(&here, &again));
	assert_false(file_system_equal(&here, &proc));
	assert_int_equal(file_system_identify(-1, &here), -EBADF);
}

static void test_tmpfs_holds_files_that_people_keep(void **state)
{
	(void)state;
	assert_false(file_system_is_virtual(0x01021994));
	assert_false(file_system_is_virtual(0xef53));
	assert_true(file_system_is_virtual(0x62656572));
}

static void test_kind_and_uuid_both_count(void **state)
{
	struct file_system_identity a = { .type = 1 }, b = { .type = 1 };

	(void)state;
	assert_true(file_system_equal(&a, &b));
	b.uuid[15] = 1;
	assert_false(file_system_equal(&a, &b));
	b = (struct file_system_identity){ .type = 2 };
	assert_false(file_system_equal(&a, &b));
}

static void test_uuids_are_parsed_in_every_form_that_udev_writes(void **state)
{
	uint8_t uuid[16];
	const uint8_t full[16] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
				   0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };
	const uint8_t fat[16] = { 0xab, 0xcd, 0x12, 0x34 };

	(void)state;
	assert_int_equal(file_system_parse_uuid("12345678-9abc-def0-1234-56789abcdef0", uuid), 0);
	assert_memory_equal(uuid, full, 16);
	assert_int_equal(file_system_parse_uuid("ABCD-1234", uuid), 0);
	assert_memory_equal(uuid, fat, 16);
	assert_int_equal(file_system_parse_uuid("", uuid), -EINVAL);
	assert_int_equal(file_system_parse_uuid("--", uuid), -EINVAL);
	assert_int_equal(file_system_parse_uuid("xyz", uuid), -EINVAL);
	assert_int_equal(file_system_parse_uuid("12345678-9abc-def0-1234-56789abcdef00", uuid),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proc_is_virtual_and_the_working_folder_is_not),
		cmocka_unit_test(test_tmpfs_holds_files_that_people_keep),
		cmocka_unit_test(test_kind_and_uuid_both_count),
		cmocka_unit_test(test_uuids_are_parsed_in_every_form_that_udev_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
