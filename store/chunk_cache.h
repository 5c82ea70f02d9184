/* SPDX-License-Identifier: MIT */
/*
 * chunk_cache: decoded objects in bounded memory, shared by all readers.
 *
 * However many threads want one object at once, it is decoded once; the others
 * wait for it. Prefetching decodes ahead on the cache's own threads. Least
 * recently used objects leave when the limit is reached; pinned ones stay.
 *
 * Threads: everything may be called from any thread.
 */
#ifndef STORE_CHUNK_CACHE_H
#define STORE_CHUNK_CACHE_H

#include "store/base/cleanup.h"
#include "store/store.h"

struct chunk_cache;

/* A pinned, decoded object. */
struct chunk_pin {
	const uint8_t *data;
	size_t n;
	void *slot; /* the cache's own */
};

/** `limit_bytes` at least 4 MiB; `threads` prefetchers (0: none). Borrows the store. */
int chunk_cache_new(struct store *s, size_t limit_bytes, unsigned int threads,
		    struct chunk_cache **ret_cache);
void chunk_cache_free(struct chunk_cache *c);
CLEANUP_DEFINE(struct chunk_cache, chunk_cache_free)

/** Decode (or find) an object and pin it. Returns 0 or what store_get says. Unpin it soon. */
int chunk_cache_get(struct chunk_cache *c, const struct chunk_id *id, enum object_type type,
		    struct chunk_pin *ret_pin);
/** Release a pin. A zeroed pin is fine. */
void chunk_cache_unpin(struct chunk_cache *c, struct chunk_pin *pin);
/** Ask for an object to be decoded soon; dropped silently when the prefetchers are busy. */
void chunk_cache_prefetch(struct chunk_cache *c, const struct chunk_id *id, enum object_type type);

struct chunk_cache_stats {
	uint64_t hits;
	uint64_t decodes;
	uint64_t waits;
	uint64_t bytes;
};
void chunk_cache_stats(struct chunk_cache *c, struct chunk_cache_stats *ret_stats);

#endif
