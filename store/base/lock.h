/* SPDX-License-Identifier: MIT */
/*
 * lock: mutexes with ranks, so that a wrong order is found by the first test
 * that takes it and not by the first user who hangs.
 *
 * A thread may take a lock only while every lock it holds has a lower rank.
 * The table of ranks, with what each lock guards, is in yore-design(7).
 * Ranks are checked always: the cost is a thread-local compare.
 */
#ifndef STORE_BASE_LOCK_H
#define STORE_BASE_LOCK_H

#include "store/base/cleanup.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum lock_rank {
	LOCK_RANK_DAEMON = 5,      /* tools: what the daemon protects, and how */
	LOCK_RANK_MOUNT = 10,      /* fs: node table */
	LOCK_RANK_TIMELINE = 20,   /* snapshots: list of snapshots */
	LOCK_RANK_WATCH = 25,      /* snapshots: pending sets of what changed */
	LOCK_RANK_CAPTURE = 30,    /* snapshots: state of a running capture */
	LOCK_RANK_RESTORE = 35,    /* snapshots: state of a running restore */
	LOCK_RANK_SINK = 38,       /* snapshots: contexts that make nodes */
	LOCK_RANK_CACHE = 40,      /* store: chunk cache shard */
	LOCK_RANK_REPLICATOR = 42, /* sync: jobs of a pass, what is known of a remote */
	LOCK_RANK_FETCHER = 44,    /* sync: what is being fetched, and from where */
	LOCK_RANK_LEDGER = 48,     /* sync: lines of a ledger */
	LOCK_RANK_STORE = 50,      /* store: open pack files, pending chunks */
	LOCK_RANK_WRITER = 60,     /* store: pack being written */
	LOCK_RANK_INDEX = 70,      /* store: pool of LMDB read transactions */
	LOCK_RANK_QUEUE = 80,      /* base: inside a queue */
	LOCK_RANK_TRANSFER = 85,   /* sync: requests on their way */
	LOCK_RANK_REMOTE = 86,     /* sync: which folder a folder remote is */
	LOCK_RANK_LEAF = 90,       /* counters, log */
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
	int previous; /* the holder's rank before this lock */
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
/** It must be the newest lock of this thread: locks are dropped in the opposite order. */
void lock_drop(struct lock *l);
/** Wait on a condition with the lock held; it must be the newest lock of this thread. */
void lock_wait(struct lock *l, pthread_cond_t *condition);
/** The same until a moment of CLOCK_MONOTONIC. False when that has come. */
bool lock_wait_until(struct lock *l, pthread_cond_t *condition, const struct timespec *until);

static inline struct lock *lock_scope_begin(struct lock *l)
{
	lock_take(l);
	return l;
}

static inline void lock_scope_end(struct lock **l)
{
	lock_drop(*l);
}

/* Hold a lock until the end of the enclosing block. */
#define LOCK_SCOPE(l) LOCK_SCOPE_NAMED(l, __COUNTER__)
#define LOCK_SCOPE_NAMED(l, number) LOCK_SCOPE_UNIQUE(l, number)
#define LOCK_SCOPE_UNIQUE(l, number) \
	CLEANUP(lock_scope_end)      \
	__attribute__((unused)) struct lock *lock_scope_##number##_ = lock_scope_begin(l)

#endif
