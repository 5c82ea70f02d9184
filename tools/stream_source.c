/* SPDX-License-Identifier: MIT */
#include "tools/stream_source.h"

#include "store/base/clock.h"
#include "store/base/lock.h"
#include "store/base/log.h"
#include "tools/shell_command.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#define LOOK_NS (200 * NS_PER_MS) /* how late a cancellation may be noticed */

struct stream_source {
	struct stream_source_options options;
	struct shell_command *command;
	int fd;
	pthread_t thread; /* waits for the program; owner of `command` until it is joined */
	bool has_thread;
	struct lock lock;        /* for `ended` */
	pthread_cond_t wake;     /* when it has */
	bool ended;              /* the thread has only to be joined */
	volatile bool abandoned; /* nobody wants the output any more */
	int result;
};

static void *wait_thread(void *source)
{
	struct stream_source *s = source;

	s->result = shell_command_wait(s->command, s->options.limit_ms, &s->abandoned);
	LOCK_SCOPE(&s->lock);
	s->ended = true;
	(void)pthread_cond_signal(&s->wake);
	return NULL;
}

static int start_program(struct stream_source *s)
{
	CLEANUP(free_ptr) char *path = NULL;
	CLEANUP(free_ptr) char *repository = NULL;
	CLEANUP(close_fd_ptr) int to = -1;
	const char *environment[3] = { 0 };
	struct shell_command_options o = { .script = s->options.command,
					   .environment = environment,
					   .stdin_fd = -1 };
	int ends[2];

	if (asprintf(&path, "YORE_SOURCE=%s", s->options.source) < 0)
		path = NULL;
	if (asprintf(&repository, "YORE_REPOSITORY=%s", s->options.repository) < 0)
		repository = NULL;
	if (!path || !repository)
		return -ENOMEM;
	environment[0] = path;
	environment[1] = repository;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return log_errno(-errno, "%s: cannot run its command", s->options.source);
	s->fd = ends[0];
	to = ends[1];
	o.stdout_fd = to;
	return shell_command_start(&o, &s->command);
}

int stream_source_start(const struct stream_source_options *options,
			struct stream_source **ret_source)
{
	CLEANUP(stream_source_free_ptr) struct stream_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->options = *options;
	s->fd = -1;
	lock_init(&s->lock, LOCK_RANK_LEAF);
	(void)pthread_cond_init(&s->wake, NULL);
	r = start_program(s);
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, wait_thread, s);
	if (r < 0)
		return r;
	s->has_thread = true;
	*ret_source = STEAL(s);
	return 0;
}

int stream_source_fd(const struct stream_source *s)
{
	return s->fd;
}

static void join(struct stream_source *s)
{
	if (s->has_thread)
		(void)pthread_join(s->thread, NULL);
	s->has_thread = false;
}

/* Wait for its end, but not longer than somebody wants to know it. */
static void join_unless_cancelled(struct stream_source *s)
{
	const volatile bool *cancel = s->options.cancel;

	lock_take(&s->lock);
	while (s->has_thread && !s->ended) {
		const struct timespec until = clock_timespec(clock_monotonic_ns() + LOOK_NS);

		if (cancel && *cancel)
			s->abandoned = true;
		(void)lock_wait_until(&s->lock, &s->wake, &until);
	}
	lock_drop(&s->lock);
	join(s);
}

int stream_source_ended(struct stream_source *s)
{
	const char *said, *comma;

	join_unless_cancelled(s);
	said = shell_command_said(s->command);
	comma = *said ? "; it said: " : "";
	if (s->result == -ETIMEDOUT)
		log_error("%s: its command was ended at its time limit%s%s", s->options.source,
			  comma, said);
	else if (s->result == -EIO)
		log_error("%s: its command failed: %s%s%s", s->options.source,
			  shell_command_end(s->command), comma, said);
	return s->result;
}

void stream_source_free(struct stream_source *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		(void)close(s->fd);
	s->abandoned = true;
	join(s);
	shell_command_free(s->command);
	(void)pthread_cond_destroy(&s->wake);
	lock_done(&s->lock);
	free(s);
}
