/* SPDX-License-Identifier: MIT */
/*
 * ingest: reads one file larger than a bundle takes, cuts it into pieces,
 * stores what is not there yet, and yields its content.
 *
 * Reading and cutting are done by the calling thread; hashing and compressing
 * by a pool of sealing threads that all ingests share (short files: by the
 * caller itself), with a bounded number of pieces in flight. Holes and zero
 * runs are neither read nor stored. With a previous version at hand, equal
 * pieces keep their extents and edited ones are stored in place (in_place.h).
 *
 * Threads: an ingest belongs to one thread at a time; the pool to all.
 */
#ifndef SNAPSHOTS_INGEST_H
#define SNAPSHOTS_INGEST_H

#include "snapshots/content.h"
#include "snapshots/seal_pool.h"

struct ingest;
struct pacer;

/** Borrows all of them. `sink` takes nodes of long piece lists. */
int ingest_new(struct store *s, struct store_writer *writer, struct chunk_cache *cache,
	       struct seal_pool *pool, struct object_sink *sink, struct ingest **ret_ingest);
void ingest_free(struct ingest *g);
CLEANUP_DEFINE(struct ingest, ingest_free)

/**
 * Read an open file of about `size` bytes to its end and store it. `old` is
 * its previous content, or NULL. *ret_content borrows from the ingest until
 * its next use. Returns 0; -ECANCELED when *cancel became true; another
 * -errno of reading (*ret_source_failed says that it was the source's)
 * or of storing.
 */
int ingest_run(struct ingest *g, int fd, uint64_t size, const struct content *old,
	       const volatile bool *cancel, struct content *ret_content, bool *ret_source_failed);
/**
 * The same for what can be read only once and has no size in advance: a pipe, from where it is to
 * its end. Waits for bytes as long as it takes, or until *cancel.
 */
int ingest_stream(struct ingest *g, int fd, const struct content *old, const volatile bool *cancel,
		  struct content *ret_content, bool *ret_source_failed);
/** From now on keep reading within its budget (borrowed; NULL: no limit). */
void ingest_pace(struct ingest *g, struct pacer *pacer);
/** From now on let what was read out of the page cache again. */
void ingest_drop_behind(struct ingest *g, bool drop);
/** Bytes that the last run read. */
uint64_t ingest_bytes_read(const struct ingest *g);

#endif
