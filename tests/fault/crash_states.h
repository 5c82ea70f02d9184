/* SPDX-License-Identifier: MIT */
/*
 * crash_states: what a power cut may leave behind, derived from a trace.
 *
 * The worst that POSIX permits: what was written since a file's last fsync is
 * there, lost, or torn at blocks of 512 or 4,096 bytes, each write on its own;
 * what was made, renamed or removed in a folder since its last fsync is each
 * done or not done, a rename's two ends on their own; the fsync of a file says
 * nothing about its name. LMDB's file is as of its last commit, or, before
 * its first, missing, empty or zeros.
 *
 * A mutant is a trace from which one step of the commit protocol was taken, or
 * in which it comes later: the program sees the same answers, only the disk
 * does something else.
 *
 * Threads: one thread.
 */
#ifndef TESTS_FAULT_CRASH_STATES_H
#define TESTS_FAULT_CRASH_STATES_H

#include "tests/fault/memory_io.h"

/* ---- mutants ---- */

enum mutant_form {
	MUTANT_NONE,
	MUTANT_SKIP,           /* leave the op out */
	MUTANT_WITHOUT_RENAME, /* make the file under its final name from the start */
	MUTANT_FSYNC_LATE,     /* the file's fsync comes after its rename */
	MUTANT_AFTER, /* fsync, rename, folder fsync come after the next op of another object */
	MUTANT_EARLY, /* the op comes before the last op of another object */
};

struct mutant {
	enum mutant_form form;
	enum memory_op_kind kind; /* SKIP: which op */
	enum io_object object;
	const char *folder;             /* SKIP: only where the path begins so; NULL: everywhere */
	enum memory_op_kind after_kind; /* AFTER: which op it waits for; EARLY: does not wait for */
	enum io_object after_object;
	bool last_collection; /* only in the workload's last part, in which no snapshot is taken */
};

/**
 * Copy a trace with the mutant applied to the ops from number `from` on; the
 * caller frees *ret_ops. Returns how often it applied.
 */
size_t mutant_apply(const struct mutant *m, const struct memory_op *ops, size_t n, size_t from,
		    struct memory_op **ret_ops, size_t *ret_n);

/* ---- states ---- */

struct crash_states;

struct crash_states *crash_states_new(void);
void crash_states_free(struct crash_states *s);

/** Take the next op of the trace, in order. Marks are passed over. */
void crash_states_step(struct crash_states *s, const struct memory_op *op);

enum crash_choice {
	CRASH_ALL_LOST, /* only what was synced */
	CRASH_ALL_KEPT,
	CRASH_RANDOM,
};
/** How many states may differ now, roughly and bounded: 1 when everything is synced. */
uint64_t crash_states_count(const struct crash_states *s);
/**
 * Make `into` one of the possible states. Contents are borrowed from the trace.
 * Returns the time of change of LMDB's file.
 */
int64_t crash_states_make(struct crash_states *s, enum crash_choice choice, uint64_t *seed,
			  struct memory_tree *into);

#endif
