/* SPDX-License-Identifier: MIT */
#include "store/base/mount_table.h"

#include "snapshots/mount_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static void test_the_table_of_mounts_is_parsed(void **state)
{
	static const char text[] =
		"36 35 98:0 /mnt1 /mnt\\0402\\134 rw,noatime master:1 - ext3 /dev/root rw\n"
		"malformed\n"
		"1 2 3:4 / relative rw - ext4 a b\n"
		"7 6 0:21 / /proc rw - proc proc rw\n"
		"8 6 0:30 / /net rw shared:2 master:3 - fuse.sshfs host: rw\n"
		"9 6 0:31 / /cut\\04 rw - fuse.yore yore:/a\\040b ro";
	struct mount_table t;

	(void)state;
	assert_int_equal(mount_table_parse(text, &t), 0);
	assert_int_equal(t.n, 4);
	assert_int_equal(t.rows[0].device, makedev(98, 0));
	assert_string_equal(t.rows[0].root, "/mnt1");
	assert_string_equal(t.rows[0].point, "/mnt 2\\");
	assert_string_equal(t.rows[0].type, "ext3");
	assert_string_equal(t.rows[0].source, "/dev/root");
	assert_string_equal(t.rows[3].point, "/cut\\04");
	assert_string_equal(t.rows[3].source, "yore:/a b");
	assert_ptr_equal(mount_table_find(&t, 8), &t.rows[2]);
	assert_null(mount_table_find(&t, 1));
	mount_table_done(&t);
	assert_int_equal(mount_table_parse("", &t), 0);
	assert_int_equal(t.n, 0);
}

static void test_the_topmost_of_mounts_on_one_folder_counts(void **state)
{
	static const char text[] = "5 1 0:5 / /a rw - tmpfs below rw\n"
				   "6 5 0:6 / /a/b rw - tmpfs other rw\n"
				   "7 5 0:7 / /a rw - tmpfs above rw\n";
	struct mount_table t;

	(void)state;
	assert_int_equal(mount_table_parse(text, &t), 0);
	assert_string_equal(mount_table_top(&t, "/a")->source, "above");
	assert_null(mount_table_top(&t, "/a/"));
	mount_table_done(&t);
	assert_null(mount_table_top(&t, "/a"));
}

static void test_what_is_mounted_here_is_found(void **state)
{
	struct mount_table t;

	(void)state;
	assert_int_equal(mount_table_load(&t), 0);
	assert_non_null(mount_table_top(&t, "/proc"));
	assert_string_equal(mount_table_top(&t, "/proc")->type, "proc");
	mount_table_done(&t);
}

static void test_the_kind_of_a_mount_follows_from_its_type(void **state)
{
	struct mount_row row = { .type = "ext4" };

	(void)state;
	assert_false(mount_kind_is_own(&row) || mount_kind_is_virtual(&row) ||
		     mount_kind_is_remote(&row));
	row.type = "proc";
	assert_true(mount_kind_is_virtual(&row));
	assert_false(mount_kind_is_own(&row) || mount_kind_is_remote(&row));
	row.type = "fuse.yore";
	assert_true(mount_kind_is_own(&row) && mount_kind_is_virtual(&row));
	row.type = "nfs4";
	assert_true(mount_kind_is_remote(&row));
	row.type = "fuse.sshfs";
	assert_true(mount_kind_is_remote(&row));
	assert_false(mount_kind_is_own(&row) || mount_kind_is_virtual(&row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table_of_mounts_is_parsed),
		cmocka_unit_test(test_the_topmost_of_mounts_on_one_folder_counts),
		cmocka_unit_test(test_what_is_mounted_here_is_found),
		cmocka_unit_test(test_the_kind_of_a_mount_follows_from_its_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
