/* SPDX-License-Identifier: MIT */
/*
 * progress: one line on the terminal that says how far long work has come.
 *
 * Shown only when stderr is a terminal, redrawn five times a second by a
 * thread of its own from counters that the work updates, cleared at the end.
 * Messages printed meanwhile go through progress_note(), which keeps the line
 * out of their way. NO_COLOR switches colour off.
 *
 * Threads: progress_note() from any; start and stop from one. One at a time.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far the work is. */
struct progress_state {
	const char *verb; /* "reading", ... */
	uint64_t done;    /* bytes, or things */
	uint64_t all;     /* 0: not known */
	bool bytes;       /* done and all are bytes */
	uint64_t objects; /* files and so on; 0: not shown */
	const char *noun; /* what objects are */
};

struct progress;

/** Reads the counters; called by the progress thread. */
typedef void progress_sampler(void *context, struct progress_state *ret_state);

/** Begin. On no terminal, or when quiet, nothing is shown. Returns 0 or -errno. */
int progress_start(bool quiet, progress_sampler *sample, void *context,
		   struct progress **ret_progress);
/** End, and clear the line. NULL is fine. */
void progress_stop(struct progress *p);
CLEANUP_DEFINE(struct progress, progress_stop)

/** Print one line on stderr, the progress line out of the way. */
void progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * The line for a state after `elapsed_ns` at `rate` a second, at most `width`
 * columns. Returns its length.
 */
size_t progress_format(const struct progress_state *state, int64_t elapsed_ns, double rate,
		       size_t width, char *to, size_t room);
/** Smoothed rate: `done` at `now_ns`, after `before` at `before_ns` with `rate` until then. */
double progress_rate(double rate, uint64_t before, int64_t before_ns, uint64_t done,
		     int64_t now_ns);

#endif
