/* SPDX-License-Identifier: MIT */
/*
 * chunker: cuts file contents where the contents say so.
 *
 * Gear hash with normalised chunking and cut-point skipping (Xia et al., "The
 * Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
 * Systems", IEEE TPDS 2020), its table derived from a key, so that boundaries
 * do not tell contents to whoever lacks the key. Exact rules: yore-format(5).
 *
 * Threads: immutable after chunker_new, shared freely.
 */
#ifndef STORE_CHUNKER_H
#define STORE_CHUNKER_H

#include "store/base/cleanup.h"
#include "store/crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* min < avg < max; avg is a power of two; min >= CHUNK_MIN_FLOOR; max <= CHUNK_RAW_MAX. */
struct chunker_sizes {
	uint32_t min;
	uint32_t avg;
	uint32_t max;
};

struct chunker;

/** Returns 0, -EINVAL for sizes that break the rules above, -ENOMEM. */
int chunker_new(const uint8_t key[static KEY_BYTES], struct chunker_sizes sizes,
		struct chunker **ret_chunker);
void chunker_free(struct chunker *c);
CLEANUP_DEFINE(struct chunker, chunker_free)
struct chunker_sizes chunker_sizes(const struct chunker *c);

/**
 * Length of the chunk at the start of `data`, which must begin right after the
 * previous cut. `last` says that nothing follows the n bytes. Returns 0 when
 * more bytes are needed to decide (only while n < max and !last); n may exceed
 * max. With n = 0 and `last` returns 0.
 */
size_t chunker_next(const struct chunker *c, const uint8_t *data, size_t n, bool last);

#endif
