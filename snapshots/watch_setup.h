/* SPDX-License-Identifier: MIT */
/*
 * watch_setup: by which means each source is watched; mounts and sources that
 * come and go.
 *
 * Threads: the reader's, and watch_new() before there is one.
 */
#ifndef SNAPSHOTS_WATCH_SETUP_H
#define SNAPSHOTS_WATCH_SETUP_H

#include "snapshots/watch_internal.h"

/** Read the mounts, set up every source. Returns 0 or -errno. */
int watch_setup(struct watch *w);
/** The table of mounts has changed: set up anew the sources that it concerns. */
void watch_mounts_changed(struct watch *w);
/** What is due: polls, a look whether sources came or went, sources to set up anew. */
void watch_housekeeping(struct watch *w);
/** When something is due next, CLOCK_MONOTONIC. */
int64_t watch_due_ns(const struct watch *w);

#endif
