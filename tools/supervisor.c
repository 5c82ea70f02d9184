/* SPDX-License-Identifier: MIT */
#include "tools/supervisor.h"

#include "store/base/log.h"
#include "tools/cmd.h"
#include "tools/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REST_FIRST_S 5
#define REST_MOST_S 300
#define SOUND_S 600 /* who worked for so long is started again soon */

static volatile pid_t worker;
static volatile sig_atomic_t ending;

static void pass_on(int signal_number)
{
	int error = errno;

	if (signal_number != SIGHUP)
		ending = 1;
	if (worker > 0)
		(void)kill(worker, signal_number);
	errno = error;
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction action = { .sa_handler = pass_on };

	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

/* Returns the exit code, or -1 for a death by a signal. */
static int wait_for_worker(void)
{
	int status;

	while (waitpid(worker, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	worker = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Is the byte of daemon_ready() there? False: the worker has ended. */
static bool wait_until_ready(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

/* In the worker: 0. In the supervisor: 1 with `worker` set, or -errno. */
static int start(void)
{
	pid_t supervisor = getpid();
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child > 0) {
		worker = child;
		return 1;
	}
	/* Who kills the supervisor means both. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor)
		_exit(EXIT_CODE_FAILED);
	return 0;
}

static void rest(int64_t seconds)
{
	struct timespec time = { .tv_sec = seconds };

	while (!ending && nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static int64_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Start it again and again, until it ends in order. */
static int keep_alive(supervisor_work *work, void *context)
{
	int64_t rest_s = REST_FIRST_S, began = now_s();
	int code, r;

	for (;;) {
		code = wait_for_worker();
		if (code == EXIT_CODE_DONE || ending)
			return code < 0 ? EXIT_CODE_INTERRUPTED : code;
		if (now_s() - began > SOUND_S)
			rest_s = REST_FIRST_S;
		log_error("the daemon ended (%s %d); it is started again in %lld s",
			  code < 0 ? "by a signal," : "exit code", code, (long long)rest_s);
		rest(rest_s);
		if (ending)
			return code < 0 ? EXIT_CODE_FAILED : code;
		rest_s = rest_s * 2 < REST_MOST_S ? rest_s * 2 : REST_MOST_S;
		began = now_s();
		r = start();
		if (r == 0)
			return work(context, -1);
		if (r < 0)
			return EXIT_CODE_FAILED;
	}
}

int supervisor_run(supervisor_work *work, void *context, int ready_fd)
{
	int fds[2], r;
	bool ready;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return EXIT_CODE_FAILED;
	catch_signals();
	r = start();
	if (r == 0) {
		(void)close(fds[0]);
		(void)close(ready_fd);
		return work(context, fds[1]);
	}
	(void)close(fds[1]);
	ready = r > 0 && wait_until_ready(fds[0]);
	(void)close(fds[0]);
	if (!ready) {
		r = r > 0 ? wait_for_worker() : EXIT_CODE_FAILED;
		return r < 0 ? EXIT_CODE_FAILED : r;
	}
	daemon_ready(ready_fd);
	return keep_alive(work, context);
}
