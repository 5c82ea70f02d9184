/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/daemon_note.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static struct io *io;
static volatile sig_atomic_t hangups;

static void count(int signal_number)
{
	(void)signal_number;
	hangups++;
}

static int set_up(void **state)
{
	(void)state;
	(void)strcpy(folder, "/tmp/yore-note-XXXXXX");
	if (!mkdtemp(folder) || io_posix_open(folder, &io) < 0)
		return -1;
	return io_mkdir(io, "local", IO_OBJECT_FOLDER);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	io_free(io);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void test_no_note_is_no_daemon(void **state)
{
	(void)state;
	assert_int_equal(daemon_note_read(io, NULL), -ENOENT);
	assert_int_equal(daemon_note_signal(io, SIGHUP), -ENOENT);
}

static void test_a_living_daemon_is_found_with_its_mountpoint(void **state)
{
	char *mountpoint = NULL;
	int fd = daemon_note_write(io, "/with\nnew line");

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(daemon_note_read(io, &mountpoint), getpid());
	assert_string_equal(mountpoint, "/with\nnew line");
	free(mountpoint);
	daemon_note_end(io, fd);
}

static void test_a_second_daemon_is_refused(void **state)
{
	int fd = daemon_note_write(io, NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(daemon_note_write(io, NULL), -EBUSY);
	daemon_note_end(io, fd);
	fd = daemon_note_write(io, NULL);
	assert_true(fd >= 0);
	daemon_note_end(io, fd);
}

static void test_the_note_of_a_dead_one_means_nothing(void **state)
{
	int fd = daemon_note_write(io, "/a/long/mountpoint/of/old");
	char *mountpoint = NULL;

	(void)state;
	assert_true(fd >= 0);
	daemon_note_end(io, fd);
	assert_int_equal(daemon_note_read(io, &mountpoint), -ENOENT);
	assert_null(mountpoint);
	/* What it left behind is not taken for the next one's. */
	fd = daemon_note_write(io, NULL);
	assert_int_equal(daemon_note_read(io, &mountpoint), getpid());
	assert_string_equal(mountpoint, "");
	free(mountpoint);
	daemon_note_end(io, fd);
}

static void test_it_gets_the_signal(void **state)
{
	int fd = daemon_note_write(io, NULL);

	(void)state;
	(void)signal(SIGHUP, count);
	assert_int_equal(daemon_note_signal(io, SIGHUP), 0);
	assert_int_equal(hangups, 1);
	daemon_note_end(io, fd);
}

static void test_a_note_that_is_no_note_is_refused(void **state)
{
	static const char *const texts[] = { "",       "x\n\n",   "12",
					     "-1\n\n", "1 2\n\n", "99999999999999999999\n\n",
					     "12\n" };
	int fd = daemon_note_write(io, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char old[64] = { 0 };

		(void)snprintf(old, sizeof(old), "%s", texts[i]);
		assert_int_equal(io_pwrite(io, fd, old, sizeof(old), 0, IO_OBJECT_LOCAL), 0);
		assert_int_equal(daemon_note_read(io, NULL), -EUCLEAN);
	}
	daemon_note_end(io, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_note_is_no_daemon, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_living_daemon_is_found_with_its_mountpoint,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_second_daemon_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_note_of_a_dead_one_means_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_it_gets_the_signal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_note_that_is_no_note_is_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
