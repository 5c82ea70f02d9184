/* SPDX-License-Identifier: MIT */
/*
 * read_ahead: notices who reads in sequence and says what to fetch next.
 *
 * Knows only keys and positions: bytes of a file, or entries of a directory
 * whose files are read one after another. Reads of one stream may come a
 * little out of order (the kernel sends several at once): within `slack` of
 * where the stream stands they belong to it. The window doubles from `min` to
 * `max`. A bounded table of streams: the one unused for longest makes room.
 *
 * Threads: any; a lock (LOCK_RANK_LEAF) guards the table.
 */
#ifndef FS_READ_AHEAD_H
#define FS_READ_AHEAD_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct read_ahead;

struct read_ahead_limits {
	uint64_t slack;
	uint64_t min;
	uint64_t max;
};

/* What is being read: `id` tells files or directories apart, `number` entries of one. */
struct read_ahead_key {
	uint8_t id[32];
	uint64_t number;
};

int read_ahead_new(const struct read_ahead_limits *limits, struct read_ahead **ret_ahead);
void read_ahead_free(struct read_ahead *a);
CLEANUP_DEFINE(struct read_ahead, read_ahead_free)

/**
 * Positions [from, from + n) of a thing of `size` were read. True when
 * [*ret_from, *ret_to) should be fetched now: nothing is named twice while a
 * stream goes on.
 */
bool read_ahead_note(struct read_ahead *a, const struct read_ahead_key *key, uint64_t from,
		     uint64_t n, uint64_t size, uint64_t *ret_from, uint64_t *ret_to);

#endif
