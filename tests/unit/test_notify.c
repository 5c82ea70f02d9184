/* SPDX-License-Identifier: MIT */
#include "tools/notify.h"

#include "store/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

/* A manager's socket, and NOTIFY_SOCKET naming it. '@' for one without a file. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, name, n);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	n += offsetof(struct sockaddr_un, sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)n), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

/* The datagram that waits; "" when there is none. */
static const char *heard(int fd)
{
	static char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int forget_environment(void **state)
{
	(void)state;
	return unsetenv("NOTIFY_SOCKET") | unsetenv("WATCHDOG_USEC") | unsetenv("WATCHDOG_PID");
}

static void hears_everything(const char *name)
{
	CLEANUP(close_fd_ptr) int fd = listen_at(name);

	notify_ready();
	assert_string_equal(heard(fd), "READY=1");
	notify_status("%d of %s", 3, "five");
	assert_string_equal(heard(fd), "STATUS=3 of five");
	notify_watchdog();
	assert_string_equal(heard(fd), "WATCHDOG=1");
	notify_stopping();
	assert_string_equal(heard(fd), "STOPPING=1");
	assert_string_equal(heard(fd), "");
}

static void test_a_socket_in_the_file_system_hears_everything(void **state)
{
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "/tmp/yore-test-notify-%d", (int)getpid());
	(void)unlink(name);
	hears_everything(name);
	assert_int_equal(unlink(name), 0);
}

static void test_an_abstract_socket_hears_everything(void **state)
{
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "@yore-test-notify-%d", (int)getpid());
	hears_everything(name);
}

static void test_a_reload_carries_its_moment(void **state)
{
	CLEANUP(close_fd_ptr) int fd = listen_at("@yore-test-notify-reload");
	struct timespec now;
	unsigned long long us, before, after;
	int end = 0;

	(void)state;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	before = (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
	notify_reloading();
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	after = (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
	assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%llu%n", &us, &end), 1);
	assert_true(us >= before && us <= after);
	assert_true(end > 0);
}

static void test_a_status_stays_one_assignment(void **state)
{
	CLEANUP(close_fd_ptr) int fd = listen_at("@yore-test-notify-status");
	char text[2 * NOTIFY_TEXT_BYTES];

	(void)state;
	notify_status("/home/a\nWATCHDOG=trigger\t/b");
	assert_string_equal(heard(fd), "STATUS=/home/a WATCHDOG=trigger /b");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	notify_status("%s", text);
	assert_int_equal(strlen(heard(fd)), NOTIFY_TEXT_BYTES - 1);
}

static void test_a_manager_that_does_not_read_costs_no_time(void **state)
{
	CLEANUP(close_fd_ptr) int fd = listen_at("@yore-test-notify-full");
	unsigned int n = 0;

	(void)state;
	/* More than any queue of datagrams holds: a blocking send would never return. */
	for (int i = 0; i < 5000; i++)
		notify_watchdog();
	while (*heard(fd))
		n++;
	assert_true(n > 0 && n < 5000);
}

static void test_without_a_usable_socket_nothing_happens(void **state)
{
	char name[300];

	(void)state;
	notify_ready();
	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	notify_ready();
	assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
	notify_ready();
	assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
	notify_ready();
	assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1), 0);
	notify_ready();
}

static void test_the_watchdog_is_asked_for_by_number_and_process(void **state)
{
	static const struct {
		const char *us, *pid;
		uint64_t want;
	} rows[] = {
		{ "30000000", NULL, 30000000 },
		{ "30000000", "1", 0 },
		{ "30000000", "self", 0 },
		{ NULL, NULL, 0 },
		{ "", NULL, 0 },
		{ "-1", NULL, 0 },
		{ "12s", NULL, 0 },
		{ " 12", NULL, 0 },
		{ "99999999999999999999999", NULL, 0 },
	};
	char own[32];

	(void)state;
	assert_int_equal(setenv("NOTIFY_SOCKET", "@x", 1), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		(void)unsetenv("WATCHDOG_USEC");
		(void)unsetenv("WATCHDOG_PID");
		if (rows[i].us)
			assert_int_equal(setenv("WATCHDOG_USEC", rows[i].us, 1), 0);
		if (rows[i].pid)
			assert_int_equal(setenv("WATCHDOG_PID", rows[i].pid, 1), 0);
		assert_int_equal(notify_watchdog_us(), rows[i].want);
	}
	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	assert_int_equal(setenv("WATCHDOG_USEC", "5", 1), 0);
	assert_int_equal(setenv("WATCHDOG_PID", own, 1), 0);
	assert_int_equal(notify_watchdog_us(), 5);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(notify_watchdog_us(), 0);
}

#define CLAIM(name) cmocka_unit_test_teardown(name, forget_environment)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_a_socket_in_the_file_system_hears_everything),
		CLAIM(test_an_abstract_socket_hears_everything),
		CLAIM(test_a_reload_carries_its_moment),
		CLAIM(test_a_status_stays_one_assignment),
		CLAIM(test_a_manager_that_does_not_read_costs_no_time),
		CLAIM(test_without_a_usable_socket_nothing_happens),
		CLAIM(test_the_watchdog_is_asked_for_by_number_and_process),
	};

	return cmocka_run_group_tests(tests, forget_environment, forget_environment);
}
