/* SPDX-License-Identifier: MIT */
/*
 * live_set: a set of object ids by their first 8 or 16 bytes, which are keyed
 * hashes: nobody without the keys makes two that begin alike.
 *
 * Open addressing, at most 3/4 full, doubled when it is: 8-byte keys cost 10.7
 * to 21.3 bytes each, 16-byte ones twice that. With 8 bytes a million ids are
 * mistaken for one another once in 40 million sets: fit only where "in the set"
 * is the safe answer. Threads: belongs to one at a time.
 */
#ifndef STORE_LIVE_SET_H
#define STORE_LIVE_SET_H

#include "store/base/cleanup.h"
#include "store/object.h"

#include <stdbool.h>

/* Zeroed but for key_bytes it is empty. */
struct live_set {
	size_t key_bytes; /* 8 or 16 */
	uint8_t *slots;   /* of all zeros: empty */
	size_t n_slots;   /* a power of two, or 0 */
	size_t n;
};

/** 1 when it is new, 0 when it was in, -ENOMEM. */
int live_set_add(struct live_set *set, const struct chunk_id *id);
bool live_set_has(const struct live_set *set, const struct chunk_id *id);
/** Empty it and free its memory. */
void live_set_done(struct live_set *set);

#endif
