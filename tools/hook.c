/* SPDX-License-Identifier: MIT */
#include "tools/hook.h"

#include "store/base/log.h"
#include "tools/shell_command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * What the helping shell does; $1 is `after`. It is told, a line each, which
 * process group `before` is ("begin N"), that this has ended ("end"), and to
 * go on ("thaw"). Signals to all of a terminal or a service do not end it
 * while it waits. Broken pipes are no reason for `after` to stop half-way:
 * nobody may be left to hear what it says.
 */
static const char guard_script[] = "trap '' HUP INT QUIT TERM PIPE\n"
				   "group=\n"
				   "while read -r word value; do\n"
				   "	case $word in\n"
				   "	begin) group=$value ;;\n"
				   "	end) group= ;;\n"
				   "	thaw) break ;;\n"
				   "	esac\n"
				   "done\n"
				   "[ \"$word\" = thaw ] || exec >/dev/null 2>&1\n"
				   "if [ -n \"$group\" ]; then\n"
				   "	kill -s TERM -- \"-$group\"\n"
				   "	sleep 1\n"
				   "	kill -s KILL -- \"-$group\"\n"
				   "fi\n"
				   "trap - HUP INT QUIT TERM\n"
				   "exec </dev/null sh -c \"$1\"\n";

/* `before` waits for a line until the guard knows of it: no moment is left in which yore could be
 * killed and `before` run on unseen. */
static const char gated_script[] = "read -r go && exec </dev/null sh -c \"$1\"\n";

struct hook_guard {
	struct shell_command *shell; /* NULL: there is no `after` */
	int line;                    /* to the shell */
	uint64_t limit_ms;
	char *source;
};

/* YORE_HOOK, YORE_SOURCE, YORE_REPOSITORY */
struct hook_environment {
	char *texts[3];
	const char *list[4];
};

static void hook_environment_done(struct hook_environment *e)
{
	for (size_t i = 0; i < 3; i++)
		free(e->texts[i]);
}

static int fill_environment(struct hook_environment *e, const struct hook_options *o,
			    const char *when)
{
	static const char *const names[] = { "YORE_HOOK", "YORE_SOURCE", "YORE_REPOSITORY" };
	const char *values[] = { when, o->source, o->repository };

	for (size_t i = 0; i < 3; i++) {
		if (asprintf(&e->texts[i], "%s=%s", names[i], values[i] ? values[i] : "") < 0) {
			e->texts[i] = NULL;
			return -ENOMEM;
		}
		e->list[i] = e->texts[i];
	}
	return 0;
}

/* Start a shell whose stdin is a pipe; *ret_line is the end to write to. */
static int start_listening(const struct hook_options *o, const char *when, const char *script,
			   const char *argument, struct shell_command **ret_shell, int *ret_line)
{
	CLEANUP(hook_environment_done) struct hook_environment environment = { 0 };
	CLEANUP(close_fd_ptr) int from = -1;
	CLEANUP(close_fd_ptr) int to = -1;
	struct shell_command_options s = { .script = script,
					   .argument = argument,
					   .environment = environment.list,
					   .stdout_fd = -1 };
	int ends[2];
	int r = fill_environment(&environment, o, when);

	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return log_errno(-errno, "%s: cannot run its hooks", o->source);
	from = ends[0];
	to = ends[1];
	s.stdin_fd = from;
	r = shell_command_start(&s, ret_shell);
	if (r == 0)
		*ret_line = STEAL_FD(to);
	return r;
}

/* A line is far shorter than a pipe holds. The shell may be gone: then SIGPIPE must not end us. */
static int tell(int line, const char *text)
{
	sigset_t broken, before;
	struct timespec none = { 0 };
	ssize_t n;
	int r = 0;

	(void)sigemptyset(&broken);
	(void)sigaddset(&broken, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &broken, &before);
	do {
		n = write(line, text, strlen(text));
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		r = -errno;
		(void)sigtimedwait(&broken, NULL, &none);
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Say what became of a hook, unless all went well. */
static int conclude(int r, const char *when, const char *source, const struct shell_command *c)
{
	const char *said = shell_command_said(c);
	const char *comma = *said ? "; it said: " : "";

	if (r == -ETIMEDOUT)
		log_error("%s: its '%s' hook was ended at its time limit%s%s", source, when, comma,
			  said);
	else if (r == -EIO)
		log_error("%s: its '%s' hook failed: %s%s%s", source, when, shell_command_end(c),
			  comma, said);
	return r;
}

/* Start `before`, have the guard know of it, let it go, and wait. */
static int run_before(struct hook_guard *g, const struct hook_options *o)
{
	CLEANUP(shell_command_free_ptr) struct shell_command *c = NULL;
	CLEANUP(close_fd_ptr) int gate = -1;
	char text[32];
	int r = start_listening(o, "before", gated_script, o->before, &c, &gate);

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "begin %d\n", (int)shell_command_group(c));
	if (g->shell)
		r = tell(g->line, text);
	if (r == 0)
		r = tell(gate, "go\n");
	if (r < 0)
		return log_errno(r, "%s: cannot run its 'before' hook", o->source);
	r = conclude(shell_command_wait(c, o->limit_ms, o->cancel), "before", o->source, c);
	if (g->shell)
		(void)tell(g->line, "end\n");
	return r;
}

int hook_guard_begin(const struct hook_options *options, struct hook_guard **ret_guard)
{
	CLEANUP(hook_guard_free_ptr) struct hook_guard *g = calloc(1, sizeof(*g));
	int r = 0;

	assert(options->source);
	if (!g)
		return -ENOMEM;
	g->line = -1;
	g->limit_ms = options->limit_ms;
	g->source = strdup(options->source);
	if (!g->source)
		return -ENOMEM;
	if (options->after && *options->after)
		r = start_listening(options, "after", guard_script, options->after, &g->shell,
				    &g->line);
	if (r == 0 && options->before && *options->before)
		r = run_before(g, options);
	if (r < 0)
		return r;
	*ret_guard = STEAL(g);
	return 0;
}

int hook_guard_end(struct hook_guard *g)
{
	int r = 0;

	if (!g)
		return 0;
	if (g->shell) {
		r = tell(g->line, "thaw\n");
		if (r < 0)
			log_errno(r,
				  "%s: its 'after' hook cannot be run: its shell was killed; "
				  "run it by hand",
				  g->source);
		else
			r = conclude(shell_command_wait(g->shell, g->limit_ms, NULL), "after",
				     g->source, g->shell);
	}
	shell_command_free(g->shell);
	if (g->line >= 0)
		(void)close(g->line);
	free(g->source);
	free(g);
	return r;
}

void hook_guard_free(struct hook_guard *g)
{
	(void)hook_guard_end(g);
}
