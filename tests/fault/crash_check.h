/* SPDX-License-Identifier: MIT */
/*
 * crash_check: is a repository, as a crash left it, what was promised?
 *
 *   - opening needs no hand: it succeeds, or before init was acknowledged there
 *     is cleanly no repository and init works again;
 *   - every acknowledged snapshot that nobody began to forget is listed and
 *     equals what its source held; one that was told to be forgotten is gone;
 *   - every listed snapshot is whole, and every gap in their numbers explained
 *     by a forget record: opening raises no alarm;
 *   - every line of the index points to an object that reads back, and nothing
 *     is lost by building it anew;
 *   - after opening, tmp/ is empty; every pack, record and key slot is whole,
 *     whether anything refers to it or not; there is nothing else;
 *   - a crash never looks like damage: local/host is whole or not there;
 *   - opening again changes nothing;
 *   - acknowledged keys open, removed ones do not.
 *
 * What depends on unchanging bytes alone (a pack's wholeness, a slot's) is
 * remembered by their hash.
 */
#ifndef TESTS_FAULT_CRASH_CHECK_H
#define TESTS_FAULT_CRASH_CHECK_H

#include "store/base/log.h"
#include "tests/fault/crash_workload.h"

/* What had been acknowledged when the power went. */
struct acknowledged {
	bool init_done;
	bool facts[WORKLOAD_FACTS_MAX];
	bool key_must[WORKLOAD_KEYS];
	bool key_must_not[WORKLOAD_KEYS];
	bool may_be_gone[WORKLOAD_SEQS]; /* by sequence */
	bool must_be_gone[WORKLOAD_SEQS];
};
void acknowledged_add(struct acknowledged *a, const struct workload *w, uint32_t fact);

struct crash_check;

/** Where the log goes: alarms are counted. */
void crash_check_log(enum log_level level, const char *line);
struct crash_check *crash_check_new(struct workload *w);
void crash_check_free(struct crash_check *c);
/** The tree to make states in. */
struct memory_tree *crash_check_tree(struct crash_check *c);
/**
 * Check the state that lies in the tree. Returns NULL when all is well, or a
 * sentence that says what is not. `thorough`: also build the index anew, take
 * one more snapshot, and collect.
 */
const char *crash_check_run(struct crash_check *c, const struct acknowledged *a,
			    int64_t index_mtime_ns, bool thorough);

#endif
