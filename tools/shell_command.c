/* SPDX-License-Identifier: MIT */
#include "tools/shell_command.h"

#include "store/base/clock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define TAIL_BYTES 4096u
#define GRACE_MS 2000    /* from the wish to end to the kill */
#define LINGER_MS 100    /* for the last words of a program that has ended */
#define LOOK_MS 200      /* so often is `cancel` looked at */
#define BLIND_LOOK_MS 20 /* so often without a pidfd */

extern char **environ;

struct shell_command {
	pid_t pid;
	int pidfd; /* -1 where the kernel has none */
	int said_fd;
	bool reaped;
	int status;
	size_t n;
	char tail[TAIL_BYTES]; /* its last words */
	char said[SHELL_COMMAND_SAID_BYTES];
	char end[48];
};

static int64_t monotonic_ms(void)
{
	return clock_monotonic_ns() / NS_PER_MS;
}

/* ---- starting ---- */

static bool same_variable(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

/* Ours, with `more` in place of what it names. The caller frees the array. */
static char **join_environment(const char *const *more)
{
	size_t n = 0, n_more = 0, at = 0;
	char **all;

	while (environ && environ[n])
		n++;
	while (more && more[n_more])
		n_more++;
	all = calloc(n + n_more + 1, sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool replaced = false;

		for (size_t k = 0; k < n_more && !replaced; k++)
			replaced = same_variable(more[k], environ[i]);
		if (!replaced)
			all[at++] = environ[i];
	}
	for (size_t k = 0; k < n_more; k++)
		all[at++] = (char *)more[k];
	return all;
}

static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawnattr_setpgroup(a, 0);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(a, &all);
	return r ? r : posix_spawnattr_setsigmask(a, &none);
}

static int set_descriptors(posix_spawn_file_actions_t *f, const struct shell_command_options *o,
			   int said)
{
	int r = o->stdin_fd >= 0 ? posix_spawn_file_actions_adddup2(f, o->stdin_fd, STDIN_FILENO)
				 : posix_spawn_file_actions_addopen(f, STDIN_FILENO, "/dev/null",
								    O_RDONLY, 0);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(f, o->stdout_fd >= 0 ? o->stdout_fd : said,
						     STDOUT_FILENO);
	return r ? r : posix_spawn_file_actions_adddup2(f, said, STDERR_FILENO);
}

static int spawn(struct shell_command *c, const struct shell_command_options *o, int said)
{
	CLEANUP(free_ptr) char **environment = join_environment(o->environment);
	char *argv[] = { (char *)"sh",           (char *)"-c",        (char *)o->script,
			 (char *)"yore-command", (char *)o->argument, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	if (!environment || posix_spawn_file_actions_init(&actions))
		return -ENOMEM;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_attributes(&attributes);
		if (r == 0)
			r = set_descriptors(&actions, o, said);
		if (r == 0)
			r = posix_spawn(&c->pid, "/bin/sh", &actions, &attributes, argv,
					environment);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int shell_command_start(const struct shell_command_options *options,
			struct shell_command **ret_command)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *c = calloc(1, sizeof(*c));
	CLEANUP(close_fd_ptr) int said = -1;
	int ends[2];
	int r;

	assert(options->script);
	if (!c)
		return -ENOMEM;
	c->pidfd = c->said_fd = -1;
	c->reaped = true; /* nothing to wait for yet */
	if (pipe2(ends, O_CLOEXEC) < 0)
		return log_errno(-errno, "cannot run a command");
	c->said_fd = ends[0];
	said = ends[1];
	(void)fcntl(c->said_fd, F_SETFL, O_NONBLOCK);
	r = spawn(c, options, said);
	if (r < 0)
		return log_errno(r, "cannot run a command: /bin/sh does not start");
	c->reaped = false;
	c->pidfd = pidfd_open(c->pid, 0);
	if (c->pidfd >= 0) /* close-on-exec by itself, but that is nowhere promised */
		(void)fcntl(c->pidfd, F_SETFD, FD_CLOEXEC);
	*ret_command = STEAL(c);
	return 0;
}

/* ---- waiting ---- */

/* Keep the end of what it says. False at the end of file. */
static bool read_said(struct shell_command *c)
{
	char block[1024];
	ssize_t n = read(c->said_fd, block, sizeof(block));
	size_t keep;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	keep = c->n + (size_t)n > TAIL_BYTES ? TAIL_BYTES - (size_t)n : c->n;
	memmove(c->tail, c->tail + c->n - keep, keep);
	memcpy(c->tail + keep, block, (size_t)n);
	c->n = keep + (size_t)n;
	return true;
}

static void close_said(struct shell_command *c)
{
	if (c->said_fd >= 0)
		(void)close(STEAL_FD(c->said_fd));
}

static bool reap(struct shell_command *c)
{
	if (!c->reaped && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->reaped = true;
	return c->reaped;
}

/* Wait for words, or the end, until `until` (monotonic ms), but not long. True once it ended. */
static bool step(struct shell_command *c, int64_t until)
{
	struct pollfd fds[2] = { { .fd = c->said_fd, .events = POLLIN },
				 { .fd = c->pidfd, .events = POLLIN } };
	int64_t left = until - monotonic_ms();
	int most = c->pidfd >= 0 ? LOOK_MS : BLIND_LOOK_MS;

	if (left < most)
		most = left > 0 ? (int)left : 0;
	if (poll(fds, 2, most) > 0 && fds[0].revents && !read_said(c))
		close_said(c);
	return reap(c);
}

/* End the whole group, at first politely. */
static void end_group(struct shell_command *c)
{
	int64_t until = monotonic_ms() + GRACE_MS;

	(void)kill(-c->pid, SIGTERM);
	while (monotonic_ms() < until && !step(c, until))
		;
	(void)kill(-c->pid, SIGKILL); /* those of the group that are left, too */
	while (!step(c, INT64_MAX))
		;
}

/* Read what is still in the pipe; a child that goes on holds it open, perhaps for ever. */
static void read_last_words(struct shell_command *c)
{
	int64_t until = monotonic_ms() + LINGER_MS;

	while (c->said_fd >= 0) {
		struct pollfd fd = { .fd = c->said_fd, .events = POLLIN };
		int64_t left = until - monotonic_ms();

		if (left <= 0 || poll(&fd, 1, (int)left) <= 0 || !read_said(c))
			break;
	}
	close_said(c);
}

/* The last bytes, lines joined. */
static void describe_said(struct shell_command *c)
{
	const size_t room = sizeof(c->said) - 1;
	size_t to = 0, from;

	while (c->n > 0 && c->tail[c->n - 1] == '\n')
		c->n--;
	from = c->n > room / 2 ? c->n - room / 2 : 0;
	for (size_t i = from; i < c->n && to + 3 <= room; i++) {
		if (c->tail[i] != '\n') {
			c->said[to++] = c->tail[i];
			continue;
		}
		if (to == 0)
			continue;
		memcpy(c->said + to, " | ", 3);
		to += 3;
	}
	c->said[to] = '\0';
}

static void describe_end(struct shell_command *c)
{
	if (WIFEXITED(c->status))
		(void)snprintf(c->end, sizeof(c->end), "exit status %d", WEXITSTATUS(c->status));
	else
		(void)snprintf(c->end, sizeof(c->end), "killed by signal %d", WTERMSIG(c->status));
}

int shell_command_wait(struct shell_command *c, uint64_t limit_ms, const volatile bool *cancel)
{
	int64_t now = monotonic_ms();
	int64_t until = limit_ms && limit_ms < (uint64_t)(INT64_MAX - now) ? now + (int64_t)limit_ms
									   : INT64_MAX;
	int r = 0;

	while (r == 0 && !step(c, until)) {
		if (cancel && *cancel)
			r = -ECANCELED;
		else if (monotonic_ms() >= until)
			r = -ETIMEDOUT;
	}
	if (r < 0)
		end_group(c);
	read_last_words(c);
	describe_said(c);
	describe_end(c);
	if (r == 0 && (!WIFEXITED(c->status) || WEXITSTATUS(c->status) != 0))
		r = -EIO;
	return r;
}

const char *shell_command_end(const struct shell_command *c)
{
	return c->end;
}

const char *shell_command_said(const struct shell_command *c)
{
	return c->said;
}

pid_t shell_command_group(const struct shell_command *c)
{
	return c->pid;
}

void shell_command_free(struct shell_command *c)
{
	if (!c)
		return;
	if (!c->reaped)
		end_group(c);
	close_said(c);
	if (c->pidfd >= 0)
		(void)close(c->pidfd);
	free(c);
}
