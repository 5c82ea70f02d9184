/* SPDX-License-Identifier: MIT */
/*
 * compress: the only user of zstd. One frame an object, checked sizes.
 *
 * Threads: a compressor belongs to one thread at a time.
 */
#ifndef STORE_COMPRESS_H
#define STORE_COMPRESS_H

#include "store/base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

/* How an object's bytes are stored. */
enum codec { CODEC_RAW = 0, CODEC_ZSTD = 1 };

struct compressor;

int compressor_new(struct compressor **ret_compressor);
void compressor_free(struct compressor *c);
CLEANUP_DEFINE(struct compressor, compressor_free)

/** Room that compressor_pack needs for n bytes. */
size_t compressor_bound(size_t n);

/**
 * Compress n bytes at `level` (1-19). A large input whose samples do not shrink
 * is not tried in full. Returns the compressed length; 0 when storing raw is
 * better (`to` is then garbage); -ENOMEM or -EIO.
 */
int64_t compressor_pack(struct compressor *c, int level, const void *from, size_t n, void *to,
			size_t capacity);

/**
 * Decompress one frame that must yield exactly raw_n bytes and nothing more.
 * Never writes past raw_n whatever the frame claims. Returns 0; -EUCLEAN when
 * it is no such frame; -ENOMEM.
 */
int compressor_unpack(struct compressor *c, const void *from, size_t n, void *to, size_t raw_n);

#endif
