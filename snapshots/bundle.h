/* SPDX-License-Identifier: MIT */
/*
 * bundle: small files laid one after another into shared chunks.
 *
 * Files come in directory order; a bundle is closed after a file whose id says
 * so (equal trees give equal bundles, wherever they begin) or when full. Its
 * chunk id is known once it has been sealed: until then whoever needs it waits
 * for it. A bounded, lossy map finds identical small files laid down elsewhere,
 * in this run or in the previous snapshot; a miss only costs space.
 *
 * Threads: a bundler belongs to one thread at a time; a bundle is sealed by
 * one other thread and waited for by any.
 */
#ifndef SNAPSHOTS_BUNDLE_H
#define SNAPSHOTS_BUNDLE_H

#include "store/base/cleanup.h"
#include "store/crypto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A chunk in the making. Counted; _ref and _unref from any thread. */
struct bundle;
struct bundle *bundle_ref(struct bundle *b);
void bundle_unref(struct bundle *b);
/** The bytes of a closed bundle, for the thread that seals it. */
const uint8_t *bundle_data(const struct bundle *b, size_t *ret_n);
/** Say the outcome: r = 0 and the chunk's id, or -errno. Frees the bytes and wakes all who wait. */
void bundle_sealed(struct bundle *b, int r, const struct chunk_id *id);
/** Wait until it is sealed. Returns 0 and the id, or the sealer's -errno. */
int bundle_wait(struct bundle *b, struct chunk_id *ret_id);

/* Where a small file lies: in a bundle of this run, or (bundle NULL) in a stored chunk. */
struct bundle_place {
	struct bundle *bundle; /* counted for whoever holds the place */
	struct chunk_id chunk;
	uint32_t offset;
};

/* Takes over a closed bundle (one reference) and has it sealed. Returns 0 or -errno. */
typedef int bundle_submit(void *context, struct bundle *b);

struct bundler;
/** `target` as the config says. */
int bundler_new(size_t target, bundle_submit *submit, void *context, struct bundler **ret_bundler);
void bundler_free(struct bundler *b);
CLEANUP_DEFINE(struct bundler, bundler_free)
/** Lay one small file down. *ret_place holds a reference. Returns 0 or -errno. */
int bundler_add(struct bundler *b, const struct chunk_id *id, const void *data, size_t n,
		struct bundle_place *ret_place);
/** Has it been laid down before? Then *ret_place holds a reference. */
bool bundler_find(struct bundler *b, const struct chunk_id *id, struct bundle_place *ret_place);
/** Remember where the previous snapshot has a small file. */
void bundler_note(struct bundler *b, const struct chunk_id *id, const struct chunk_id *chunk,
		  uint32_t offset);
/** Close the open bundle, if there is one, and submit it. */
int bundler_close(struct bundler *b);
/** Is a bundle open, which someone may be waiting for? */
bool bundler_is_open(const struct bundler *b);

#endif
