/* SPDX-License-Identifier: MIT */
/*
 * limits: every maximum in one place, related to one another by assertion.
 * Sizes are bytes unless the name says otherwise.
 */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include <assert.h>

/* As wide as size_t, so that what is computed from them is too. */
#define KIB(n) ((n)*1024ul)
#define MIB(n) ((n)*1024ul * 1024ul)

/* Chunks: what is compressed, sealed and indexed as one. */
#define CHUNK_RAW_MAX MIB(1)
#define CHUNK_MIN_DEFAULT KIB(64)
#define CHUNK_AVG_DEFAULT KIB(256)
#define CHUNK_MAX_DEFAULT MIB(1)
#define CHUNK_MIN_FLOOR KIB(1)     /* least that a config may name */
#define BUNDLE_RAW_TARGET KIB(256) /* a bundle is cut when this full */
#define SEAL_TAG_BYTES 16
#define OBJECT_HEADER_BYTES 64 /* sealed header in front of each object in a pack */

/* Packs. */
#define PACK_TARGET_BYTES MIB(16)
#define PACK_BYTES_MAX MIB(32)
#define PACK_ENTRIES_MAX 65536
#define PACK_HEADER_BYTES 128
#define SNAPSHOT_SMALL_BYTES MIB(1) /* below this a snapshot writes one mixed pack */

/* Records. */
#define RECORD_BYTES_MAX MIB(64)
#define RECORD_SOURCES_MAX 4096
#define RECORD_TAGS_MAX 64
#define TAG_BYTES_MAX 64
#define HOST_NAME_BYTES_MAX 255

/* Trees. */
#define NODE_BYTES_MAX KIB(64)   /* a directory or piece-list node's plaintext */
#define NODE_BYTES_SPLIT KIB(16) /* from here on a node may be cut where a name's hash says so */
#define TREE_LEVELS_MAX 8
#define TREE_DEPTH_MAX 16384 /* directories inside directories */
#define NAME_BYTES_MAX 255
#define LINK_BYTES_MAX 4095
#define XATTR_INLINE_MAX KIB(8) /* larger attribute sets are chunks of their own */
#define XATTR_BYTES_MAX CHUNK_RAW_MAX
#define INLINE_PIECES_MAX 16
#define PIECE_EXTENTS_MAX 128 /* extents of one piece */
#define PIECE_CHUNKS_MAX 32   /* distinct stored chunks under one piece */
#define FILE_SYSTEMS_MAX 4096

/* Index. */
#ifdef __SANITIZE_THREAD__ /* its shadow leaves no room for more */
#define INDEX_MAP_BYTES (1ull << 34)
#else
#define INDEX_MAP_BYTES (1ull << 40)
#endif
#define INDEX_BATCH_KEYS 10000

/* Keys. */
#define KEY_SLOTS_MAX 64
#define KEY_SLOT_BYTES_MAX KIB(8)
#define CONFIG_BYTES_MAX KIB(4)
#define ARGON2_OPS_MAX 20
#define ARGON2_MEMORY_MAX (2ull << 30)

/* Memory that the mount and restore may use for decoded chunks. */
#define CHUNK_CACHE_DEFAULT MIB(256)

static_assert(CHUNK_MIN_DEFAULT < CHUNK_AVG_DEFAULT, "chunk sizes ascend");
static_assert(CHUNK_AVG_DEFAULT < CHUNK_MAX_DEFAULT, "chunk sizes ascend");
static_assert(CHUNK_MAX_DEFAULT <= CHUNK_RAW_MAX, "a chunk fits the format");
static_assert(BUNDLE_RAW_TARGET + CHUNK_MIN_DEFAULT <= CHUNK_RAW_MAX, "a bundle fits a chunk");
static_assert(NODE_BYTES_MAX <= CHUNK_RAW_MAX, "a node is stored as one object");
static_assert(PACK_TARGET_BYTES + CHUNK_RAW_MAX + KIB(64) <= PACK_BYTES_MAX,
	      "a pack can be closed");

#endif
