/* SPDX-License-Identifier: MIT */
#include "tools/alert_internal.h"

#include "snapshots/timeline.h"
#include "store/base/log.h"
#include "tools/output.h"
#include "tools/shell_command.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MINUTE_S 60
#define TRIES_MAX 5
#define RETRY_FIRST_S 60

/* What the thread is about to say, out of the lock's reach. */
struct event {
	enum alert_kind kind;
	enum alert_tell tell;
	char *object;
	char *text;
	char *command;
};

static void event_done(struct event *e)
{
	free(e->object);
	free(e->text);
	free(e->command);
}

static int64_t monotonic_s(void)
{
	return clock_monotonic_ns() / NS_PER_S;
}

/* ---- the text ---- */

char *alert_event_text(const char *event, const struct condition *c, const char *repository)
{
	char host[HOST_NAME_MAX + 1] = "", time[OUTPUT_TIME_BYTES];
	json_t *o = json_object();
	char *text = NULL, *line = NULL;
	int bad = !o;

	(void)gethostname(host, sizeof(host) - 1);
	bad |= json_object_set_new(o, "event", json_string(event));
	bad |= json_object_set_new(
		o, "condition",
		json_string(c->kind == ALERT_KINDS ? "test" : alert_kind_name(c->kind)));
	if (!bad)
		bad |= output_json_name(o, "object", c->object, strlen(c->object)) < 0 ||
		       output_json_name(o, "message", c->message, strlen(c->message)) < 0 ||
		       output_json_name(o, "host", host, strlen(host)) < 0 ||
		       output_json_name(o, "repository", repository, strlen(repository)) < 0;
	bad |= json_object_set_new(o, "since", json_string(output_time_utc(c->since_ns, time)));
	bad |= json_object_set_new(o, "time", json_string(output_time_utc(clock_now_ns(), time)));
	if (strcmp(event, "begin") == 0)
		bad |= json_object_set_new(o, "repeated", json_integer(c->told));
	if (!bad)
		text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

/* ---- the command ---- */

/* A file in memory: whatever the command does with its input, nobody waits for it. */
static int text_fd(const char *text)
{
	CLEANUP(close_fd_ptr) int fd = memfd_create("yore-alert", MFD_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	if (pwrite(fd, text, n, 0) != (ssize_t)n)
		return -EIO;
	return STEAL_FD(fd);
}

static int run_command(const char *command, const char *text, const volatile bool *cancel,
		       struct shell_command **ret_command)
{
	CLEANUP(close_fd_ptr) int fd = text_fd(text);
	struct shell_command_options options = { .script = command,
						 .stdin_fd = fd,
						 .stdout_fd = -1 };
	int r;

	if (fd < 0)
		return log_errno(fd, "alerts: no memory file for an event");
	r = shell_command_start(&options, ret_command);
	return r < 0 ? r : shell_command_wait(*ret_command, ALERT_LIMIT_MS, cancel);
}

int alert_test(const char *command, const char *repository, char end[64], char said[512])
{
	CLEANUP(shell_command_free_ptr) struct shell_command *run = NULL;
	CLEANUP(free_ptr) char *text = NULL;
	char object[] = "test";
	struct condition c = { .kind = ALERT_KINDS,
			       .object = object,
			       .message = "this is a test of alerts; nothing is wrong",
			       .since_ns = clock_now_ns() };
	int r;

	end[0] = said[0] = '\0';
	text = alert_event_text("test", &c, repository);
	if (!text)
		return -ENOMEM;
	r = run_command(command, text, NULL, &run);
	if (run) {
		(void)snprintf(end, 64, "%s", shell_command_end(run));
		(void)snprintf(said, 512, "%s", shell_command_said(run));
	}
	return r;
}

/* Returns 0 when it was heard. */
static int send_event(struct alerts *a, const struct event *e)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *run = NULL;
	int r;

	if (!*e->command)
		return 0;
	r = run_command(e->command, e->text, &a->stop, &run);
	if (r < 0 && r != -ECANCELED)
		log_warning("alerts: the on-alert command failed for %s of %s: %s%s%s",
			    alert_kind_name(e->kind), e->object,
			    r == -ETIMEDOUT ? "it took longer than 30 s"
			    : run           ? shell_command_end(run)
					    : strerror(-r),
			    run && *shell_command_said(run) ? ": " : "",
			    run ? shell_command_said(run) : "");
	return r;
}

/* ---- the thread; called with the lock held ---- */

/* Seconds until the command may be started; 0: now. */
static int64_t rate_wait_s(const struct alerts *a, int64_t now_s)
{
	int64_t oldest = a->started_s[a->n_started % ALERTS_PER_MINUTE];

	if (a->n_started < ALERTS_PER_MINUTE || now_s - oldest >= MINUTE_S)
		return 0;
	return MINUTE_S - (now_s - oldest);
}

/* The oldest that can be told now; *ret_wait_s: when to look again, -1: when woken. */
static struct condition *next_condition(struct alerts *a, int64_t *ret_wait_s)
{
	struct condition *next = NULL;
	int64_t now_s = monotonic_s(), rate_s = *a->command ? rate_wait_s(a, now_s) : 0;

	*ret_wait_s = -1;
	for (size_t i = 0; i < a->conditions.n; i++) {
		struct condition *c = &a->conditions.items[i];
		int64_t wait_s = c->not_before_s > now_s ? c->not_before_s - now_s : 0;

		if (c->tell == TELL_NOTHING)
			continue;
		if (wait_s < rate_s)
			wait_s = rate_s;
		if (wait_s == 0 && (!next || c->since_ns < next->since_ns))
			next = c;
		if (*ret_wait_s < 0 || wait_s < *ret_wait_s)
			*ret_wait_s = wait_s;
	}
	return next;
}

static bool take_event(struct alerts *a, struct condition *c, struct event *ret_event)
{
	struct event e = { .kind = c->kind, .tell = c->tell };

	e.object = strdup(c->object);
	e.command = strdup(a->command);
	e.text = alert_event_text(c->tell == TELL_BEGIN ? "begin" : "end", c, io_real_path(a->io));
	if (!e.object || !e.command || !e.text) {
		event_done(&e);
		c->not_before_s = monotonic_s() + RETRY_FIRST_S;
		return false;
	}
	c->sending = true;
	if (*e.command)
		a->started_s[a->n_started++ % ALERTS_PER_MINUTE] = monotonic_s();
	*ret_event = e;
	return true;
}

/* What became of it; the condition may have ended or come back meanwhile. */
static void note_sent(struct alerts *a, const struct event *e, int r)
{
	struct condition *c = condition_find(&a->conditions, e->kind, e->object);

	if (!c)
		return;
	c->sending = false;
	if (r == -ECANCELED)
		return; /* the next daemon tells it */
	if (r < 0 && c->tell == e->tell && ++c->tries < TRIES_MAX) {
		c->not_before_s = monotonic_s() + (RETRY_FIRST_S << (c->tries - 1));
		return;
	}
	c->tries = 0;
	a->dirty = true;
	if (c->tell == e->tell)
		c->tell = TELL_NOTHING;
	if (e->tell == TELL_BEGIN) {
		c->told++;
		c->told_ns = a->now_ns;
	}
}

static void wait_for_work(struct alerts *a, int64_t wait_s)
{
	struct timespec until;

	if (wait_s < 0) {
		lock_wait(&a->lock, &a->wake);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_s;
	(void)lock_wait_until(&a->lock, &a->wake, &until);
}

static void save(struct alerts *a)
{
	CLEANUP(free_ptr) char *text = condition_list_text(&a->conditions);

	a->dirty = false;
	lock_drop(&a->lock);
	if (text)
		(void)condition_list_write(a->io, text);
	lock_take(&a->lock);
}

static void tell(struct alerts *a, struct condition *c)
{
	CLEANUP(event_done) struct event e = { 0 };
	int r;

	if (!take_event(a, c, &e))
		return;
	lock_drop(&a->lock);
	r = send_event(a, &e);
	lock_take(&a->lock);
	note_sent(a, &e, r);
}

void *alert_thread(void *alerts)
{
	struct alerts *a = alerts;

	(void)pthread_setname_np(pthread_self(), "yore-alert");
	lock_take(&a->lock);
	while (!a->stop) {
		int64_t wait_s = -1;
		/* Before the first evaluation there is no command to know of. */
		struct condition *c = a->command ? next_condition(a, &wait_s) : NULL;

		if (a->dirty)
			save(a);
		else if (c)
			tell(a, c);
		else
			wait_for_work(a, wait_s);
	}
	if (a->dirty)
		save(a);
	lock_drop(&a->lock);
	return NULL;
}
