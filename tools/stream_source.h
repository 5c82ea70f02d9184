/* SPDX-License-Identifier: MIT */
/*
 * stream_source: a program whose output is captured as one file.
 *
 * Started by /bin/sh like a hook, with YORE_SOURCE and YORE_REPOSITORY in its
 * environment. A thread of its own reads what the program says on stderr and
 * ends the whole group at its limit.
 *
 * Use: start; capture_source.stream_fd = stream_source_fd(); from
 * capture_options.stream_ended return stream_source_ended(), so that a program
 * which fails leaves no snapshot; free.
 *
 * Threads: one at a time.
 */
#ifndef TOOLS_STREAM_SOURCE_H
#define TOOLS_STREAM_SOURCE_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct stream_source_options {
	const char *command;
	const char *source; /* the path as which the output is captured */
	const char *repository;
	uint64_t limit_ms;           /* for all of it; 0: none */
	const volatile bool *cancel; /* may be NULL */
};

struct stream_source;

/** Start the program. Borrows the options' texts and `cancel` until it is freed. 0 or -errno. */
int stream_source_start(const struct stream_source_options *options,
			struct stream_source **ret_source);
/** Its output; owned by the stream_source. */
int stream_source_fd(const struct stream_source *s);
/**
 * Once its output has ended: wait for the program's end. Returns 0 when it succeeded; -EIO,
 * -ETIMEDOUT or -ECANCELED (logged once, with the last lines that it said).
 */
int stream_source_ended(struct stream_source *s);
/** End the program if it still runs, and free. NULL is fine. */
void stream_source_free(struct stream_source *s);
CLEANUP_DEFINE(struct stream_source, stream_source_free)

#endif
