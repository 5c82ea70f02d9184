/* SPDX-License-Identifier: MIT */
/*
 * collector: frees packs of this host in which nothing is alive, and rewrites
 * those in which little is. Whoever knows what is alive tells it; the order of
 * calls is
 *
 *   collector_new
 *   collector_mark ...          every object that is alive
 *   collector_judge             what can be freed and rewritten
 *   while collector_next == 1   a turn: some dead packs, or copies of living objects made
 *       take the commit lock; collector_mark what came meanwhile
 *       collector_condemn       those of the turn that are still dead
 *       drop the commit lock
 *       collector_retire        out of the index, then out of the folder
 *   collector_finish
 *
 * Invariants: an object that is alive has, at every moment and after every
 * crash, a line in the index that names a pack which is there, unless it had
 * none before. Nothing is condemned that holds the only copy of what is alive,
 * damaged or not: before a pack is condemned its own table is read and compared
 * with what is alive, so that a wrong index cannot cost data.
 *
 * Durability: each turn is final when collector_retire returns. Threads:
 * belongs to one; runs beside readers, writers and captures in all processes.
 */
#ifndef STORE_COLLECTOR_H
#define STORE_COLLECTOR_H

#include "store/store.h"

struct collector;

struct collector_options {
	bool young_too;                /* dead packs that were written since the last collection */
	unsigned int sparse_percent;   /* rewrite packs of which less than this is alive */
	uint64_t rewrite_bytes;        /* copy at most so much */
	uint64_t bytes_per_second;     /* of copying; 0: no limit */
	uint32_t patience_ms;          /* for writers to end before a turn condemns */
	const volatile bool *cancel;   /* may be NULL */
	bool (*paused)(void *context); /* may be NULL */
	/* Bytes freed or copied so far, and in all. May be NULL. */
	void (*progress)(void *context, bool rewriting, uint64_t done, uint64_t all);
	void *context;
};

struct collector_stats {
	uint64_t objects, bytes_live;
	uint64_t packs_before, bytes_before;
	uint64_t packs_dead, bytes_dead;     /* that can be freed */
	uint64_t packs_chosen, bytes_chosen; /* to be rewritten, and what is to be copied of them */
	uint64_t packs_young, packs_in_use;
	uint64_t packs_freed, bytes_freed; /* so far, rewritten ones not among them */
	uint64_t packs_rewritten, bytes_rewritten;
	uint64_t packs_new, bytes_new;
	uint64_t bytes_copied;
	uint64_t missing; /* objects alive of which the index knows nothing */
	uint64_t damaged; /* objects alive that could not be copied */
	bool no_space;
};

/**
 * Begin: takes the flock on local/collect, enters packs of this host that the
 * index does not list (their writer died), lists all of them. Returns 0; -EBUSY
 * when another collector runs (not logged); -errno. Options are borrowed.
 */
int collector_new(struct store *s, const struct collector_options *options,
		  struct collector **ret_collector);
void collector_free(struct collector *c);
CLEANUP_DEFINE(struct collector, collector_free)

/** This object is alive. 1 when that is new (go on with what it refers to), 0, -errno. */
int collector_mark(struct collector *c, const struct chunk_id *id, enum object_type type);
/** Wait while paused. -ECANCELED when that is asked for, else 0. */
int collector_breathe(struct collector *c);

/** Everything alive was marked: decide. Takes back condemnations of living packs. */
int collector_judge(struct collector *c);
/**
 * Prepare the next turn. 1 when there is one, 0 when nothing is left to do (or
 * no space to do it), -ECANCELED, -errno. Waits for living writers to end, as
 * long as patience lasts.
 */
int collector_next(struct collector *c);
/** With the commit lock held and everything marked. 0 or -errno: then nothing was condemned. */
int collector_condemn(struct collector *c);
/** Delete what was condemned. 0 or -errno: the next collection goes on. */
int collector_retire(struct collector *c);
/** All turns are done: note that packs that were dead now are old the next time. */
int collector_finish(struct collector *c);

void collector_stats(const struct collector *c, struct collector_stats *ret_stats);

#endif
