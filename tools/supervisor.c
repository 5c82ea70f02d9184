/* SPDX-License-Identifier: MIT */
#include "tools/supervisor.h"

#include "store/base/clock.h"
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

#define REST_FIRST_S 1
#define REST_MOST_S 300
#define REST_GONE_S 30 /* while there is no repository: its disk may come back at any time */
#define SOUND_S 600    /* who worked for so long is started again soon */
#define BY_SIGNAL (-1)

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

static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

static void handle_signals(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

static void hold_signals(bool hold)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		(void)sigaddset(&set, numbers[i]);
	(void)sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* Returns the exit code, or BY_SIGNAL. One that was asked to end has ended in order. */
static int wait_for_worker(void)
{
	siginfo_t info = { 0 };
	pid_t gone = worker;

	while (waitid(P_PID, (id_t)gone, &info, WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			return BY_SIGNAL;
	/* Its number is free once it is reaped: no signal must go there any more. */
	worker = 0;
	(void)waitpid(gone, NULL, 0);
	if (info.si_code == CLD_EXITED)
		return info.si_status;
	return info.si_status == SIGTERM || info.si_status == SIGINT ? EXIT_CODE_INTERRUPTED
								     : BY_SIGNAL;
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

/*
 * In the worker: 0. In the supervisor: 1 with `worker` set, or -errno. A signal in between is kept
 * until the worker is known, or would die of it.
 */
static int start(void)
{
	pid_t supervisor = getpid();
	pid_t child;
	int error;

	hold_signals(true);
	child = fork();
	error = errno;
	if (child == 0) {
		handle_signals(SIG_DFL);
		/* Who kills the supervisor means both. */
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	} else if (child > 0) {
		worker = child;
	}
	hold_signals(false);
	if (child < 0)
		return -error;
	if (child == 0 && getppid() != supervisor)
		_exit(EXIT_CODE_FAILED);
	return child > 0;
}

static void rest(int64_t seconds)
{
	struct timespec time = { .tv_sec = seconds };

	while (!ending && nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static int64_t now_s(void)
{
	return clock_monotonic_ns() / NS_PER_S;
}

/* Start it again and again, until it ends in order. */
static int keep_alive(supervisor_work *work, void *context)
{
	int64_t rest_s = REST_FIRST_S, began = now_s();
	int code, r;

	for (;;) {
		code = wait_for_worker();
		if (code == EXIT_CODE_DONE || code == EXIT_CODE_INTERRUPTED || ending)
			return code < 0 ? EXIT_CODE_INTERRUPTED : code;
		if (now_s() - began > SOUND_S)
			rest_s = REST_FIRST_S;
		if (code == EXIT_CODE_NO_REPOSITORY && rest_s > REST_GONE_S)
			rest_s = REST_GONE_S;
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
	handle_signals(pass_on);
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
