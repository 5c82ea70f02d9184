/* SPDX-License-Identifier: MIT */
/*
 * shell_command: a command of the user's, run by /bin/sh with a time limit.
 *
 * It is the leader of a process group of its own, with every signal at its
 * default, no descriptor of ours but the three standard ones, and the end of
 * what it says kept (never more than a few lines). Started without fork():
 * safe in a process with threads and an open index.
 *
 * Threads: one at a time.
 */
#ifndef TOOLS_SHELL_COMMAND_H
#define TOOLS_SHELL_COMMAND_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SHELL_COMMAND_SAID_BYTES 512

struct shell_command;

struct shell_command_options {
	const char *script;             /* for /bin/sh -c */
	const char *argument;           /* its $1; may be NULL */
	const char *const *environment; /* "NAME=value", beside our own; NULL-ended; may be NULL */
	int stdin_fd;                   /* borrowed; -1: /dev/null */
	int stdout_fd;                  /* borrowed; -1: kept with what it says on stderr */
};

/** Start it. Returns 0 or -errno (logged). */
int shell_command_start(const struct shell_command_options *options,
			struct shell_command **ret_command);
/**
 * Wait for its end, at most limit_ms (0: as long as it takes) or until *cancel (may be NULL)
 * becomes true: then its whole group is told to end, and killed two seconds later. What it
 * started and left running after a good end stays alone. Returns 0 (exit status 0); -EIO
 * (another status, or a signal); -ETIMEDOUT; -ECANCELED. Logs nothing.
 */
int shell_command_wait(struct shell_command *c, uint64_t limit_ms, const volatile bool *cancel);
/** How it ended, in words, once waited for: "exit status 3", "killed by signal 9", ... */
const char *shell_command_end(const struct shell_command *c);
/** The last lines that it said, joined by " | ", once waited for; "" for nothing. */
const char *shell_command_said(const struct shell_command *c);
/** Its process group. */
pid_t shell_command_group(const struct shell_command *c);
/** Kill what has not been waited for, and free. NULL is fine. */
void shell_command_free(struct shell_command *c);
CLEANUP_DEFINE(struct shell_command, shell_command_free)

#endif
