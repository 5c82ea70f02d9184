/* SPDX-License-Identifier: MIT */
/*
 * hook: commands of the user's around a capture: `before` makes a source hold
 * still (freezes it, dumps it, sets a lock), `after` lets it go on.
 *
 * Once `before` was started, `after` runs exactly once, whatever happens:
 * `before` fails or runs into its limit, the capture fails or is cancelled,
 * yore is killed. So a helping shell is started first, which holds nothing of
 * ours but one end of a pipe: it runs `after` when it is told to, or when the
 * pipe breaks because yore is gone; then it ends a `before` that still runs
 * first. Only its own death by SIGKILL, or the machine's, prevents it.
 *
 * Hooks are run by /bin/sh in a process group of their own with standard input
 * from /dev/null and in the environment
 *   YORE_HOOK        "before" or "after"
 *   YORE_SOURCE      path of the source
 *   YORE_REPOSITORY  path of the repository
 *
 * Threads: a guard belongs to one thread at a time.
 */
#ifndef TOOLS_HOOK_H
#define TOOLS_HOOK_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct hook_options {
	const char *before; /* NULL or "": none */
	const char *after;  /* NULL or "": none */
	const char *source;
	const char *repository;
	uint64_t limit_ms;           /* of each; 0: none */
	const volatile bool *cancel; /* ends `before`, never `after`; may be NULL */
};

struct hook_guard;

/**
 * Run `before`. Returns 0 and a guard; or, after `after` has been run as well,
 * -EIO (it failed), -ETIMEDOUT, -ECANCELED or another -errno: do not capture.
 * What went wrong is logged, with the last lines that the command said.
 * Borrows nothing from the options afterwards but `cancel`.
 */
int hook_guard_begin(const struct hook_options *options, struct hook_guard **ret_guard);
/**
 * Run `after`, wait for it at most its limit, and free the guard. Returns 0 (also for NULL), -EIO,
 * -ETIMEDOUT or another -errno (logged): the snapshot is good all the same.
 */
int hook_guard_end(struct hook_guard *g);
/** The same for CLEANUP(): what the end answers is in the log. */
void hook_guard_free(struct hook_guard *g);
CLEANUP_DEFINE(struct hook_guard, hook_guard_free)

#endif
