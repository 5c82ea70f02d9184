/* SPDX-License-Identifier: MIT */
/*
 * hold: makes the sources of one capture hold still, and lets them go again:
 * the user's hooks around it, and frozen copies of those on btrfs.
 *
 * Order: `before` runs, copies are frozen, and if all sources could be, `after`
 * runs at once; otherwise when the capture is over.
 *
 * Threads: one at a time.
 */
#ifndef TOOLS_HOLD_H
#define TOOLS_HOLD_H

#include "snapshots/capture.h"
#include "store/base/cleanup.h"

enum hold_method {
	HOLD_AUTO,  /* frozen where that can be, else where it lies */
	HOLD_PLAIN, /* where it lies */
	HOLD_BTRFS, /* frozen, or not at all */
};

struct hold_options {
	const char *before, *after; /* NULL: none */
	uint64_t limit_ms;          /* of each; 0: none */
	enum hold_method method;
	const char *repository;
	const volatile bool *cancel;
};

struct hold;

/**
 * Make them hold still, and set their read_path, read_ns and consistency; streams are left as they
 * are but for the label. Returns 0; -EOPNOTSUPP or another -errno (logged): nothing is held.
 */
int hold_sources(struct capture_source *sources, size_t n, const struct hold_options *options,
		 struct hold **ret_hold);
/** Let go and free. Returns 0 (also for NULL), or what the `after` hook answers (logged). */
int hold_release(struct hold *h);
/** The same for CLEANUP(). */
void hold_free(struct hold *h);
CLEANUP_DEFINE(struct hold, hold_free)

#endif
