/* SPDX-License-Identifier: MIT */
#include "tools/daemon.h"

#include "store/base/log.h"
#include "tools/cmd.h"
#include "tools/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static void log_to_syslog(enum log_level level, const char *line)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	syslog(priorities[level], "%s", line);
}

/* What the child ended with. */
static int child_code(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_CODE_FAILED;
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM))
		return EXIT_CODE_INTERRUPTED;
	log_error("the background process ended before it was ready");
	return EXIT_CODE_FAILED;
}

static int wait_for(pid_t child, int fd)
{
	char byte;
	bool told = false;

	for (;;) {
		ssize_t n = read(fd, &byte, 1);

		if (n == 1)
			return EXIT_CODE_DONE;
		if (n == 0)
			return child_code(child);
		if (errno != EINTR)
			return EXIT_CODE_FAILED;
		/* A signal to this process alone is meant for the pair. */
		if (cmd_cancelled && !told)
			(void)kill(child, SIGTERM);
		told |= cmd_cancelled;
	}
}

int daemon_begin(int *ret_ready_fd, int *ret_exit_code)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int r = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return r;
	}
	if (child == 0) {
		(void)close(fds[0]);
		*ret_ready_fd = fds[1];
		return 0;
	}
	(void)close(fds[1]);
	*ret_exit_code = wait_for(child, fds[0]);
	(void)close(fds[0]);
	return 1;
}

void daemon_ready(int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char byte = 0;

	openlog("yore", LOG_PID, LOG_DAEMON);
	log_set_sink(log_to_syslog);
	failure_to_log();
	(void)setsid();
	(void)!chdir("/");
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		(void)close(null);
	(void)!write(ready_fd, &byte, 1);
	(void)close(ready_fd);
}
