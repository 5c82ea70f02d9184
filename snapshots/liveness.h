/* SPDX-License-Identifier: MIT */
/*
 * liveness: tells a collector what is alive: all that this host's records lead
 * to, each node read once.
 *
 * A record is dead only when a forget record names it, that record is durable,
 * and nobody holds its file (see timeline_hold). Files of dead records that a
 * killed forget left behind are removed, with the commit lock held, before
 * anything that they lead to is condemned.
 *
 * Memory: 64 bytes a record and, until it is marked, its root; a path of nodes.
 * Threads: belongs to one.
 */
#ifndef SNAPSHOTS_LIVENESS_H
#define SNAPSHOTS_LIVENESS_H

#include "snapshots/collect.h"
#include "store/collector.h"

struct liveness;

/** All are borrowed. Returns 0 or -ENOMEM. */
int liveness_new(struct timeline *t, struct chunk_cache *cache, struct collector *collector,
		 const struct collect_options *options, struct liveness **ret_liveness);
void liveness_free(struct liveness *l);
CLEANUP_DEFINE(struct liveness, liveness_free)

/**
 * Read all records and mark what they lead to. Returns 0; -EUCLEAN when
 * something could not be read or is missing (each was told; nothing may be
 * condemned then); -ECANCELED; -errno.
 */
int liveness_mark(struct liveness *l);
/**
 * Mark what came since. Returns how many records, or like liveness_mark. With
 * `locked`, the commit lock is held: whatever is dead then stays dead.
 */
int liveness_update(struct liveness *l, bool locked);

struct liveness_counts {
	uint64_t records; /* alive */
	uint64_t nodes;
	uint64_t problems;
};
void liveness_counts(const struct liveness *l, struct liveness_counts *ret_counts);

#endif
