/* SPDX-License-Identifier: MIT */
#include "tools/hook.h"

#include "tools/shell_command.h"
#include "tools/stream_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static char folder[] = "/tmp/yore-test-hook-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int drop_folder(void **state)
{
	(void)state;
	return chdir("/") == 0 && unlinkat(AT_FDCWD, folder, AT_REMOVEDIR) == 0 ? 0 : -1;
}

/* What a hook left in a file, which is removed; "" for none. Waits for it at most wait_ms. */
static const char *left(const char *name, int wait_ms)
{
	static char text[512];
	ssize_t n = 0;

	for (int waited = 0;; waited += 10) {
		CLEANUP(close_fd_ptr) int fd = open(name, O_RDONLY | O_CLOEXEC);

		n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
		if (n > 0 || waited >= wait_ms)
			break;
		(void)poll(NULL, 0, 10);
	}
	text[n > 0 ? n : 0] = '\0';
	(void)unlink(name);
	return text;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_a_command_tells_its_status_and_its_last_words(void **state)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *c = NULL;
	const char *const environment[] = { "COLOUR=blue", NULL };
	struct shell_command_options o = { .script = "seq 100000; echo $1 $COLOUR >&2; exit 7",
					   .argument = "so",
					   .environment = environment,
					   .stdin_fd = -1,
					   .stdout_fd = -1 };
	size_t n;

	(void)state;
	assert_int_equal(shell_command_start(&o, &c), 0);
	assert_int_equal(shell_command_wait(c, 0, NULL), -EIO);
	assert_string_equal(shell_command_end(c), "exit status 7");
	n = strlen(shell_command_said(c));
	assert_true(n > 30 && n < SHELL_COMMAND_SAID_BYTES);
	assert_string_equal(shell_command_said(c) + n - strlen("100000 | so blue"),
			    "100000 | so blue");
}

static void test_a_command_does_not_inherit_descriptors(void **state)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *c = NULL;
	CLEANUP(close_fd_ptr) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEANUP(close_fd_ptr) int other = fcntl(null, F_DUPFD_CLOEXEC, 200);
	char number[16];
	struct shell_command_options o = { .script = "ls -l /proc/self/fd/0; ls /proc/self/fd/$1",
					   .argument = number,
					   .stdin_fd = -1,
					   .stdout_fd = -1 };

	(void)state;
	assert_true(other >= 200);
	(void)snprintf(number, sizeof(number), "%d", other);
	assert_int_equal(shell_command_start(&o, &c), 0);
	assert_int_equal(shell_command_wait(c, 0, NULL), -EIO);
	assert_non_null(strstr(shell_command_said(c), "/dev/null"));
	assert_non_null(strstr(shell_command_said(c), "No such file"));
}

static void test_a_limit_ends_the_whole_group(void **state)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *c = NULL;
	struct shell_command_options o = { .script = "(sleep 0.4; echo x > late) & sleep 60",
					   .stdin_fd = -1,
					   .stdout_fd = -1 };
	int64_t start = now_ms();

	(void)state;
	assert_int_equal(shell_command_start(&o, &c), 0);
	assert_int_equal(shell_command_wait(c, 50, NULL), -ETIMEDOUT);
	assert_true(now_ms() - start < 20000);
	assert_string_equal(shell_command_end(c), "killed by signal 15");
	assert_string_equal(left("late", 500), "");
}

static void test_hooks_run_around_and_know_the_source(void **state)
{
	struct hook_options o = { .before = "echo $YORE_HOOK $YORE_SOURCE > before; cat >> before",
				  .after = "echo $YORE_HOOK $YORE_REPOSITORY > after",
				  .source = "/home",
				  .repository = "/repo",
				  .limit_ms = 10000 };
	struct hook_guard *g = NULL;

	(void)state;
	assert_int_equal(hook_guard_begin(&o, &g), 0);
	assert_string_equal(left("before", 0), "before /home\n");
	assert_string_equal(left("after", 0), "");
	assert_int_equal(hook_guard_end(g), 0);
	assert_string_equal(left("after", 0), "after /repo\n");
}

static void test_after_runs_once_when_before_fails_or_is_too_slow(void **state)
{
	struct hook_options o = { .before = "echo no >&2; exit 1",
				  .after = "echo x >> after",
				  .source = "/home",
				  .limit_ms = 10000 };
	struct hook_guard *g = NULL;
	volatile bool cancel = true;

	(void)state;
	assert_int_equal(hook_guard_begin(&o, &g), -EIO);
	assert_string_equal(left("after", 0), "x\n");
	o.before = "exec sleep 60";
	o.limit_ms = 100;
	o.after = "echo y >> after";
	assert_int_equal(hook_guard_begin(&o, &g), -ETIMEDOUT);
	assert_string_equal(left("after", 0), "y\n");
	o.limit_ms = 0;
	o.cancel = &cancel;
	o.after = "echo z >> after";
	assert_int_equal(hook_guard_begin(&o, &g), -ECANCELED);
	assert_string_equal(left("after", 0), "z\n");
	assert_null(g);
}

static void test_an_after_hook_that_fails_is_told(void **state)
{
	struct hook_options o = { .after = "exit 3", .source = "/home" };
	struct hook_guard *g = NULL;

	(void)state;
	assert_int_equal(hook_guard_begin(&o, &g), 0);
	assert_int_equal(hook_guard_end(g), -EIO);
	o.after = "exec sleep 60";
	o.limit_ms = 50;
	assert_int_equal(hook_guard_begin(&o, &g), 0);
	assert_int_equal(hook_guard_end(g), -ETIMEDOUT);
	assert_int_equal(hook_guard_end(NULL), 0);
}

/* In a process that is killed: at once, or while `before` runs. */
static void killed(const struct hook_options *o, bool while_before)
{
	struct hook_guard *g = NULL;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)hook_guard_begin(o, &g);
		(void)raise(SIGKILL);
	}
	if (while_before) {
		assert_string_equal(left("begun", 10000), "begun\n");
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_after_runs_though_its_process_was_killed(void **state)
{
	struct hook_options o = { .before = "echo x > before",
				  .after = "echo bye; echo bye >&2; echo x >> after",
				  .source = "/home",
				  .limit_ms = 10000 };

	(void)state;
	killed(&o, false);
	assert_string_equal(left("before", 0), "x\n");
	assert_string_equal(left("after", 10000), "x\n");
	o.before = "echo begun > begun; sleep 60; echo late >> after";
	killed(&o, true);
	assert_string_equal(left("after", 10000), "x\n");
}

static void test_a_stream_ends_well_only_if_its_program_does(void **state)
{
	struct stream_source_options o = { .command = "printf abc; exit 0",
					   .source = "/dump",
					   .repository = "/repo" };
	struct stream_source *s = NULL;
	char bytes[16];

	(void)state;
	assert_int_equal(stream_source_start(&o, &s), 0);
	assert_int_equal(read(stream_source_fd(s), bytes, sizeof(bytes)), 3);
	assert_int_equal(read(stream_source_fd(s), bytes, sizeof(bytes)), 0);
	assert_int_equal(stream_source_ended(s), 0);
	stream_source_free(s);
	o.command = "printf abc; echo broken >&2; exit 1";
	assert_int_equal(stream_source_start(&o, &s), 0);
	assert_int_equal(stream_source_ended(s), -EIO);
	stream_source_free(s);
	o.command = "printf abc; exec sleep 60";
	o.limit_ms = 100;
	assert_int_equal(stream_source_start(&o, &s), 0);
	assert_int_equal(stream_source_ended(s), -ETIMEDOUT);
	stream_source_free(s);
	o.limit_ms = 0;
	assert_int_equal(stream_source_start(&o, &s), 0);
	stream_source_free(s);
	stream_source_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_tells_its_status_and_its_last_words),
		cmocka_unit_test(test_a_command_does_not_inherit_descriptors),
		cmocka_unit_test(test_a_limit_ends_the_whole_group),
		cmocka_unit_test(test_hooks_run_around_and_know_the_source),
		cmocka_unit_test(test_after_runs_once_when_before_fails_or_is_too_slow),
		cmocka_unit_test(test_an_after_hook_that_fails_is_told),
		cmocka_unit_test(test_after_runs_though_its_process_was_killed),
		cmocka_unit_test(test_a_stream_ends_well_only_if_its_program_does),
	};

	return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
