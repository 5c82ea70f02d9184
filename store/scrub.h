/* SPDX-License-Identifier: MIT */
/*
 * scrub: verifies packs against their names, tables against the index, and
 * objects against their ids.
 *
 * Reads only. Threads: one scrub a thread; runs beside readers and writers.
 */
#ifndef STORE_SCRUB_H
#define STORE_SCRUB_H

#include "store/store.h"

struct scrub_options {
	bool data;            /* decode every object and compare its id; otherwise tables only */
	unsigned int percent; /* with data: share of packs, 1-100, chosen at random */
	const volatile bool *cancel; /* may be NULL; set from a signal handler */
	void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes);
	/* A damaged or missing pack or object, named for people. May be NULL. */
	void (*damaged)(void *context, const struct pack_id *pack, const struct chunk_id *chunk,
			const char *what);
	void *context;
};

struct scrub_result {
	uint64_t packs;
	uint64_t objects;
	uint64_t bytes;
	uint64_t errors;
};

/** Returns 0 when it ran to its end, whatever it found (see errors); -ECANCELED; -errno. */
int scrub_run(struct store *s, const struct scrub_options *options,
	      struct scrub_result *ret_result);

#endif
