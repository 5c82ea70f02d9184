/* SPDX-License-Identifier: MIT */
/*
 * pack_reader: reads objects and tables out of packs of outside origin.
 *
 * Every length is checked before use; an object is decrypted and
 * authenticated before it is decompressed, into exactly its authenticated raw
 * length. Nothing that fails a check is ever returned.
 *
 * Threads: a pack_reader is immutable once open (pread only) and may be used by
 * several threads at once; scratch memory is the caller's.
 */
#ifndef STORE_PACK_READER_H
#define STORE_PACK_READER_H

#include "store/base/bytes.h"
#include "store/chunk_source.h"
#include "store/compress.h"
#include "store/pack_writer.h"

struct pack_reader;

/* Contexts and buffers of one reading thread. */
struct read_scratch {
	struct cipher *cipher;
	struct compressor *compressor;
	struct byte_buf sealed;
};
int read_scratch_init(struct read_scratch *s);
void read_scratch_done(struct read_scratch *s);
static inline void read_scratch_done_ptr(struct read_scratch *s)
{
	read_scratch_done(s);
}

/**
 * Open a pack and unwrap its key. context->host is the host that the pack is
 * claimed to be of. Returns 0; -ENOENT; -EBADMSG (damaged or of another
 * repository or host; tried at the front and at the trailer); -EUCLEAN.
 */
int pack_reader_open(const struct pack_context *context, const struct pack_id *id,
		     struct pack_reader **ret_reader);
/**
 * The same through a chunk_source, which is borrowed, for a pack of `size`
 * bytes that is not here or is damaged here. Returns what the source says too.
 */
int pack_reader_open_source(const struct pack_context *context, const struct pack_id *id,
			    struct chunk_source *source, uint64_t size,
			    struct pack_reader **ret_reader);
void pack_reader_close(struct pack_reader *p);
CLEANUP_DEFINE(struct pack_reader, pack_reader_close)
uint64_t pack_reader_size(const struct pack_reader *p);

/**
 * Read one object: entry->raw_n bytes into `to`. The entry's id, type, raw
 * length and codec are authenticated as additional data: an entry that lies
 * is -EBADMSG. Returns 0, -EBADMSG, -EUCLEAN (authentic but malformed), -EIO.
 */
int pack_reader_get(struct pack_reader *p, const struct pack_entry *entry, struct read_scratch *s,
		    void *to);

/**
 * The object as it is stored, decrypted and authenticated but not decompressed:
 * entry->stored_n bytes, valid until the scratch is used again. Returns like
 * pack_reader_get.
 */
int pack_reader_stored(struct pack_reader *p, const struct pack_entry *entry,
		       struct read_scratch *s, const uint8_t **ret_stored);

/**
 * Read the pack's table. The caller frees *ret_entries. Offsets and lengths
 * are checked to lie in the pack, in order, without overlap. Returns 0,
 * -EBADMSG, -EUCLEAN.
 */
int pack_reader_table(struct pack_reader *p, struct read_scratch *s,
		      struct pack_entry **ret_entries, size_t *ret_n, enum pack_kind *ret_kind);

/**
 * Salvage: scan the sealed object headers one after another without the table,
 * resynchronising byte by byte after damage. Same results as _table for
 * whatever is still readable; -ENOENT when nothing is.
 */
int pack_reader_scan(struct pack_reader *p, struct read_scratch *s, struct pack_entry **ret_entries,
		     size_t *ret_n);

/** Does SHA-256 of the file equal its name? Returns 0, -EBADMSG, -EIO. Reads all of it once. */
int pack_reader_verify_name(struct pack_reader *p);

#endif
