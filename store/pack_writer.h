/* SPDX-License-Identifier: MIT */
/*
 * pack_writer: writes one pack: header, sealed objects, sealed table, trailer.
 *
 * The file grows in tmp/, flock-ed, under a random key of its own. Nothing in
 * it may be relied on before pack_writer_finish() has checked its length,
 * synced it, renamed it to packs/<host>/<xx>/<id> without replacing, and
 * synced that folder. A crash before that leaves a file in tmp/ that the next
 * store_open() removes. Any failure abandons file and key. Bytes:
 * yore-format(5), "Packs".
 *
 * Threads: owned by one thread at a time; _append by one thread and _finish by
 * another is fine if a queue stands between them.
 */
#ifndef STORE_PACK_WRITER_H
#define STORE_PACK_WRITER_H

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/key_ring.h"
#include "store/object.h"

struct pack_writer;

/* What every pack of one writer shares; borrowed for the writer's life. */
struct pack_context {
	struct io *io;
	const struct key_ring *keys;
	uint8_t repository[REPOSITORY_ID_BYTES];
	struct host_id host;
};

int pack_writer_open(const struct pack_context *context, enum pack_kind kind,
		     struct pack_writer **ret_writer);
/** Drop the writer, and its file if it was not finished. NULL is fine. */
void pack_writer_close(struct pack_writer *w);
CLEANUP_DEFINE(struct pack_writer, pack_writer_close)

/**
 * Seal and append one object whose stored bytes (compressed or raw) are given.
 * entry->offset is set; the rest of *entry says what it is. Returns 0; -EFBIG
 * when the pack is full (unchanged: finish, start another); any other -errno
 * spoils the writer: close it.
 */
int pack_writer_append(struct pack_writer *w, struct pack_entry *entry, const void *stored);

uint64_t pack_writer_size(const struct pack_writer *w);
size_t pack_writer_count(const struct pack_writer *w);
enum pack_kind pack_writer_kind(const struct pack_writer *w);
/** The lines so far, in the order of the appends; valid until _close. */
const struct pack_entry *pack_writer_entries(const struct pack_writer *w);

/**
 * Write the table and trailer and make the pack durable under its final name.
 * Returns 0 and the pack's id and size; -errno means there is no such pack.
 */
int pack_writer_finish(struct pack_writer *w, struct pack_id *ret_id, uint64_t *ret_size);

/** "packs/<host>/<xx>/<id>"; `to` holds PACK_PATH_BYTES. */
#define PACK_PATH_BYTES 112
char *pack_path(const struct host_id *host, const struct pack_id *id,
		char to[static PACK_PATH_BYTES]);

#endif
