/* SPDX-License-Identifier: MIT */
/*
 * content: what a file holds: pieces, stored as extents.
 *
 * A piece is what the chunker cut: its id is the keyed hash (KEY_DATA_ID) of
 * its bytes, the same however it is stored. It lies in extents: ranges of
 * stored chunks, never of pieces (depth one). A piece without extents is a
 * hole (id all zero): a run of at least HOLE_BYTES_MIN zero bytes that begins
 * at a multiple of HOLE_BLOCK and ends at one or at the end of the file. So
 * equal bytes give equal pieces whatever the source's file system says of
 * holes. Neighbouring holes are one.
 *
 * Up to INLINE_PIECES_MAX pieces lie in the directory entry; longer lists are
 * trees of OBJECT_LIST nodes, cut where a piece's id says so, so that an edit
 * rewrites a few nodes. Content id: of one piece, the piece's id; of several,
 * a chain of keyed hashes over (id, length); of none, all zero.
 * Bytes: yore-format(5), "Content".
 *
 * Threads: builders and readers belong to one thread at a time.
 */
#ifndef SNAPSHOTS_CONTENT_H
#define SNAPSHOTS_CONTENT_H

#include "store/base/cleanup.h"
#include "store/chunk_cache.h"
#include "store/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define HOLE_BLOCK 4096u
#define HOLE_BYTES_MIN KIB(64)

struct extent {
	struct chunk_id chunk; /* an OBJECT_DATA */
	uint32_t offset;       /* within its plaintext */
	uint32_t length;       /* at least 1; the extents of a piece add up to its length */
};

struct piece {
	struct chunk_id id; /* all zero: a hole */
	uint64_t length;    /* at least 1; at most CHUNK_RAW_MAX unless a hole */
	uint32_t n_extents; /* 0: a hole */
};

enum content_form { CONTENT_EMPTY, CONTENT_INLINE, CONTENT_LIST };

/*
 * A file's content as an entry carries it. With CONTENT_INLINE the arrays are
 * borrowed from whoever made the struct; the extents of all pieces follow one
 * another in piece order.
 */
struct content {
	enum content_form form;
	struct chunk_id id;
	uint64_t length; /* sum of the pieces */
	const struct piece *pieces;
	uint32_t n_pieces;
	const struct extent *extents;
	uint32_t n_extents;
	struct chunk_id list; /* CONTENT_LIST: root node */
};

static inline bool piece_is_hole(const struct piece *p)
{
	return p->n_extents == 0;
}

/* Where finished nodes go: computes the id, stores. Returns 0 or -errno. */
struct object_sink {
	int (*put)(struct object_sink *sink, enum object_type type, const void *data, size_t n,
		   struct chunk_id *ret_id);
};

/* ---- building ---- */
struct content_builder;
/** `list_hasher` is store_hasher(OBJECT_LIST), borrowed, as is the sink. */
int content_builder_new(struct object_sink *sink, struct id_hasher *list_hasher,
			struct content_builder **ret_builder);
void content_builder_free(struct content_builder *b);
CLEANUP_DEFINE(struct content_builder, content_builder_free)
/** Append a piece with its extents (none: a hole; it joins a hole before it). */
int content_builder_add(struct content_builder *b, const struct piece *piece,
			const struct extent *extents);
/**
 * Finish the file. *ret_content borrows the builder's arrays until the next
 * content_builder_* call. The builder then starts afresh.
 */
int content_builder_finish(struct content_builder *b, struct content *ret_content);

/* ---- reading ---- */
struct content_reader;
/** Borrows the cache. */
int content_reader_new(struct chunk_cache *cache, struct content_reader **ret_reader);
void content_reader_free(struct content_reader *r);
CLEANUP_DEFINE(struct content_reader, content_reader_free)
/** Read this content from now on, from its start; copies what it needs of it. */
int content_reader_set(struct content_reader *r, const struct content *content);

/* A piece met on the way; valid until the next call on the reader. */
struct piece_view {
	uint64_t offset; /* of the piece in the file */
	uint64_t index;  /* which piece it is, from 0 */
	struct piece piece;
	const struct extent *extents;
};
/** Go to the piece that covers the offset (at or past the end: the next _next yields 0). Returns 0
 * or -errno. */
int content_reader_seek(struct content_reader *r, uint64_t offset);
/** 1 and the next piece; 0 at the end; -EBADMSG, -EUCLEAN, -ENOENT for a bad list. */
int content_reader_next(struct content_reader *r, struct piece_view *ret_view);
/** Number of pieces in all. */
uint64_t content_reader_count(const struct content_reader *r);

/**
 * Read up to n bytes at an offset: fewer only at the end of the content. Holes
 * are zeros. Returns the count or -errno (-EBADMSG, -ENOENT for a chunk that is
 * not there, ...): never wrong bytes.
 */
int64_t content_read(struct content_reader *r, uint64_t offset, void *to, size_t n);
/**
 * The same without a copy: yields where up to n bytes lie in the cache, which
 * keeps them there until content_unpin(). -EFBIG when they have holes, or lie
 * in more than CONTENT_SPANS_MAX places: read them instead.
 */
#define CONTENT_SPANS_MAX 64u
int64_t content_pin(struct content_reader *r, uint64_t offset, size_t n,
		    struct iovec ret_spans[static CONTENT_SPANS_MAX], uint32_t *ret_n_spans);
void content_unpin(struct content_reader *r);
/** Bytes of one piece, all of it, into `to`. Returns 0 or -errno. */
int content_read_piece(struct content_reader *r, const struct piece_view *view, void *to);
/** lseek(2)'s SEEK_DATA (hole = false) or SEEK_HOLE. Returns the offset, -ENXIO, or -errno. */
int64_t content_seek_hole(struct content_reader *r, uint64_t offset, bool hole);

/** Is this range all zero? */
bool bytes_are_zero(const void *data, size_t n);

#endif
