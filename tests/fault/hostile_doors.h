/* SPDX-License-Identifier: MIT */
/*
 * hostile_doors: a repository that an attacker with the keys has made, and
 * every door through which it is read, in a process of its own: opening,
 * walking, reading, comparing, searching, checking, restoring, and a capture
 * that compares with it. Each must say precisely what is wrong, return no
 * wrong bytes, stay inside the restore's target, and be bounded in time and memory.
 */
#ifndef TESTS_FAULT_HOSTILE_DOORS_H
#define TESTS_FAULT_HOSTILE_DOORS_H

#include "tests/fault/hostile.h"

#include <errno.h>

enum door {
	DOOR_OPEN,
	DOOR_WALK,
	DOOR_READ,
	DOOR_DIFF,
	DOOR_FIND,
	DOOR_AUDIT,
	DOOR_SCRUB,
	DOOR_RESTORE,
	DOOR_CAPTURE,
	DOORS
};

/* What the child found; shared with it. */
struct findings {
	int open; /* opening store and timeline */
	int walk; /* of the whole newest snapshot, ending at the first damage */
	int read; /* first error while reading files */
	int diff; /* against an empty snapshot */
	int find;
	uint64_t unreadable;
	uint64_t entries; /* met while walking on past damage */
	uint64_t good;    /* files with the right bytes */
	uint64_t lies;    /* pieces whose bytes are not those of their id */
	uint64_t snapshots;
	int audit, scrub, restore, capture;
	uint64_t audit_errors, scrub_errors, restore_errors;
	bool escaped; /* something changed beside the restore's target */
	bool healed;  /* the next snapshot holds what the source holds */
	double seconds[DOORS];
	int done; /* doors gone through */
};

struct world {
	char folder[48], source[64], target[64], outside[64], repository[64];
	struct io *io;
	struct key_ring *ring;
	struct store *store;
	struct timeline *t;
	struct hostile h;
	struct findings *found;
};

#define SOME 1000 /* an error, whichever */
#define ANY 1001

/* What is made, and what must come of it. */
struct scenario {
	const char *name;
	/* Makes the directory that lies at the source's path. */
	struct chunk_id (*tree)(struct world *w, uint64_t kind);
	uint64_t kind;
	/* Instead: makes records, the store being open. */
	void (*records)(struct world *w, uint64_t kind);
	int walk, read;
	int audit, scrub, restore; /* 0: no errors; SOME; ANY */
	bool may_lie;
	bool lose_index; /* read with an index made from the packs */
	bool slow;       /* takes its time to be restored: 16,384 folders */
};

/** A fresh folder with a source, a repository, and room for a restore. */
int world_setup(void **state);
int world_teardown(void **state);
struct pack_context world_context(const struct world *w);
/** Each scenario in a fresh world; fails the cmocka test with all that was wrong. */
void run_scenarios(const struct scenario *scenarios, size_t n);
#define RUN_ALL(scenarios) run_scenarios(scenarios, sizeof(scenarios) / sizeof((scenarios)[0]))

/* Seconds that a door may take. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 20.0 /* and memory says nothing */
#else
#define SLOWER 1.0
#endif
#define SECONDS_MAX (2.0 * SLOWER)
double seconds_now(void);

#endif
