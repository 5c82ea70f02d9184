/* SPDX-License-Identifier: MIT */
#include "store/pack_writer.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/pack_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Holds the largest object, and several of the usual ones: few, large writes. */
#define WRITE_BUFFER_BYTES (CHUNK_RAW_MAX + KIB(64))
#define TMP_NAME_TRIES 8
#define PACK_WRITER_MAGIC 0x79705731u

static_assert(WRITE_BUFFER_BYTES >=
		      PACK_HEADER_BYTES + OBJECT_HEADER_BYTES + CHUNK_RAW_MAX + SEAL_TAG_BYTES,
	      "any object fits the buffer");

struct pack_writer {
	uint32_t magic;
	const struct pack_context *context;
	enum pack_kind kind;
	int spoiled; /* 0, or the -errno that did it */
	int fd;
	char tmp[40]; /* "" once the file has its final name */
	uint8_t *key; /* guarded memory */
	struct cipher *cipher;
	struct sha256 *sha; /* of everything appended so far */
	uint8_t header[PACK_HEADER_BYTES];
	uint8_t object_ad[PACK_HEADER_AD_BYTES];
	uint8_t *buffer;
	size_t n_buffered;
	uint64_t size; /* of the pack, with what is buffered */
	struct pack_entry *entries;
	size_t n_entries;
	size_t entries_room;
};

static int spoil(struct pack_writer *w, int r)
{
	if (!w->spoiled)
		w->spoiled = r;
	return r;
}

/*
 * A file of our own in tmp/. Whoever clears dead files away may have locked it
 * first and be about to remove it: if it is gone once we hold the lock, take
 * another name.
 */
static int make_tmp_file(struct pack_writer *w)
{
	struct io *io = w->context->io;

	for (int i = 0; i < TMP_NAME_TRIES; i++) {
		struct io_stat st;
		int r;

		io_tmp_name(w->tmp);
		w->fd = io_open(io, w->tmp, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW,
				IO_OBJECT_PACK);
		if (w->fd < 0) {
			r = w->fd;
			w->tmp[0] = '\0';
			return log_errno(r, "pack: cannot create a file in %s/tmp",
					 io_real_path(io));
		}
		r = io_lock(io, w->fd, IO_LOCK_EXCLUSIVE, true);
		if (r < 0)
			return log_errno(r, "pack: cannot lock %s", w->tmp);
		if (io_stat(io, w->tmp, &st) == 0)
			return 0;
		io_close(io, STEAL_FD(w->fd));
	}
	w->tmp[0] = '\0';
	return log_errno(-EAGAIN, "pack: files in %s/tmp vanish", io_real_path(io));
}

static int allocate(struct pack_writer *w)
{
	int r;

	w->key = crypto_secret_new(KEY_BYTES);
	w->buffer = malloc(WRITE_BUFFER_BYTES);
	if (!w->key || !w->buffer)
		return -ENOMEM;
	r = cipher_new(&w->cipher);
	if (r < 0)
		return r;
	return sha256_new(&w->sha);
}

int pack_writer_open(const struct pack_context *context, enum pack_kind kind,
		     struct pack_writer **ret_writer)
{
	CLEANUP(pack_writer_close_ptr) struct pack_writer *w = NULL;
	int r;

	assert(kind >= PACK_DATA && kind <= PACK_MIXED);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->magic = PACK_WRITER_MAGIC;
	w->context = context;
	w->kind = kind;
	w->fd = -1;
	r = allocate(w);
	if (r < 0)
		return r;
	r = make_tmp_file(w);
	if (r < 0)
		return r;

	crypto_random(w->key, KEY_BYTES);
	pack_header_make(context, kind, w->key, w->header);
	pack_header_ad(context, w->object_ad);
	memcpy(w->buffer, w->header, PACK_HEADER_BYTES);
	sha256_update(w->sha, w->header, PACK_HEADER_BYTES);
	w->n_buffered = PACK_HEADER_BYTES;
	w->size = PACK_HEADER_BYTES;
	*ret_writer = STEAL(w);
	return 0;
}

void pack_writer_close(struct pack_writer *w)
{
	if (!w)
		return;
	assert(w->magic == PACK_WRITER_MAGIC);
	if (w->tmp[0] != '\0')
		(void)io_unlink(w->context->io, w->tmp, IO_OBJECT_PACK);
	io_close(w->context->io, w->fd);
	crypto_secret_free(w->key);
	cipher_free(w->cipher);
	sha256_free(w->sha);
	free(w->buffer);
	free(w->entries);
	w->magic = 0;
	free(w);
}

static int flush(struct pack_writer *w)
{
	int r;

	if (w->n_buffered == 0)
		return 0;
	r = io_pwrite(w->context->io, w->fd, w->buffer, w->n_buffered, w->size - w->n_buffered,
		      IO_OBJECT_PACK);
	/* A limit on file sizes must not be taken for a full pack. */
	if (r == -EFBIG)
		r = -ENOSPC;
	if (r < 0)
		return spoil(w, log_errno(r, "pack: cannot write %s/%s at byte %" PRIu64,
					  io_real_path(w->context->io), w->tmp,
					  w->size - w->n_buffered));
	w->n_buffered = 0;
	return 0;
}

static int grow_entries(struct pack_writer *w)
{
	size_t room = w->entries_room ? 2 * w->entries_room : 256;
	struct pack_entry *entries;

	if (w->n_entries < w->entries_room)
		return 0;
	entries = reallocarray(w->entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	w->entries = entries;
	w->entries_room = room;
	return 0;
}

/* Seal header and body straight into the buffer, which has room for them. */
static int seal_object(struct pack_writer *w, const struct pack_entry *entry, const void *stored)
{
	uint8_t plain[OBJECT_PLAIN_BYTES];
	uint8_t ad[PACK_BODY_AD_BYTES];
	uint8_t *at = w->buffer + w->n_buffered;
	int r;

	pack_object_make(entry, plain);
	r = cipher_seal(w->cipher, w->key, entry->offset, w->object_ad, sizeof(w->object_ad), plain,
			sizeof(plain), at);
	if (r < 0)
		return r;
	pack_body_ad(w->context, entry, ad);
	return cipher_seal(w->cipher, w->key, entry->offset + OBJECT_HEADER_BYTES, ad, sizeof(ad),
			   stored, entry->stored_n, at + OBJECT_HEADER_BYTES);
}

int pack_writer_append(struct pack_writer *w, struct pack_entry *entry, const void *stored)
{
	size_t n = (size_t)pack_object_bytes(entry->stored_n);
	int r;

	assert(w->magic == PACK_WRITER_MAGIC);
	assert(pack_entry_valid(entry));
	if (w->spoiled)
		return w->spoiled;
	/* Keep room for the table: a pack that cannot be closed is lost. */
	if (w->n_entries == PACK_ENTRIES_MAX ||
	    w->size + n + pack_table_bytes(w->n_entries + 1) + PACK_TRAILER_BYTES > PACK_BYTES_MAX)
		return -EFBIG;

	r = grow_entries(w);
	if (r < 0)
		return spoil(w, r);
	if (w->n_buffered + n > WRITE_BUFFER_BYTES) {
		r = flush(w);
		if (r < 0)
			return r;
	}
	entry->offset = (uint32_t)w->size;
	r = seal_object(w, entry, stored);
	if (r < 0)
		return spoil(w, log_errno(r, "pack: sealing failed"));
	/* Hashed now, while the bytes are still in the processor's cache. */
	sha256_update(w->sha, w->buffer + w->n_buffered, n);
	w->n_buffered += n;
	w->size += n;
	w->entries[w->n_entries++] = *entry;
	return 0;
}

uint64_t pack_writer_size(const struct pack_writer *w)
{
	return w->size;
}

size_t pack_writer_count(const struct pack_writer *w)
{
	return w->n_entries;
}

enum pack_kind pack_writer_kind(const struct pack_writer *w)
{
	return w->kind;
}

const struct pack_entry *pack_writer_entries(const struct pack_writer *w)
{
	return w->entries;
}

static int write_table(struct pack_writer *w, struct pack_id *ret_id)
{
	struct pack_trailer trailer = { .table_n = (uint32_t)pack_table_bytes(w->n_entries),
					.n_entries = (uint32_t)w->n_entries };
	size_t n = trailer.table_n + PACK_TRAILER_BYTES;
	CLEANUP(free_ptr) uint8_t *tail = malloc(n);
	uint8_t ad[PACK_TABLE_AD_BYTES];
	int r;

	if (!tail)
		return -ENOMEM;
	pack_table_make(w->entries, w->n_entries, tail);
	pack_table_ad(w->context, w->kind, trailer, ad);
	r = cipher_seal(w->cipher, w->key, w->size, ad, sizeof(ad), tail,
			trailer.table_n - SEAL_TAG_BYTES, tail);
	if (r < 0)
		return r;
	memcpy(tail + trailer.table_n, w->header, PACK_HEADER_BYTES);
	pack_end_make(trailer, tail + trailer.table_n + PACK_HEADER_BYTES);
	sha256_update(w->sha, tail, n);

	r = io_pwrite(w->context->io, w->fd, tail, n, w->size, IO_OBJECT_PACK);
	if (r < 0)
		return r;
	w->size += n;
	sha256_final(w->sha, ret_id->bytes);
	return 0;
}

/* Folders of a host are made with its id; after a bare copy the empty ones may be missing. */
static int make_folders(struct io *io, const char *path)
{
	static const size_t depths[] = { 5, 5 + 1 + 2 * HOST_ID_BYTES,
					 5 + 1 + 2 * HOST_ID_BYTES + 3 };
	char parent[PACK_PATH_BYTES] = "";
	char folder[PACK_PATH_BYTES];

	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		int r;

		memcpy(folder, path, depths[i]);
		folder[depths[i]] = '\0';
		r = io_mkdir(io, folder, IO_OBJECT_FOLDER);
		if (r == 0)
			r = io_fsync_folder(io, parent, IO_OBJECT_FOLDER);
		if (r < 0)
			return r;
		memcpy(parent, folder, depths[i] + 1);
	}
	return 0;
}

static int publish(struct pack_writer *w, const struct pack_id *id)
{
	struct io *io = w->context->io;
	char path[PACK_PATH_BYTES];
	char folder[PACK_PATH_BYTES];
	int r;

	pack_path(&w->context->host, id, path);
	r = io_rename(io, w->tmp, path, false, IO_OBJECT_PACK);
	if (r == -ENOENT) {
		r = make_folders(io, path);
		if (r == 0)
			r = io_rename(io, w->tmp, path, false, IO_OBJECT_PACK);
	}
	if (r < 0 && r != -EEXIST)
		return log_errno(r, "pack: cannot rename %s to %s", w->tmp, path);
	/* With -EEXIST a file of this hash is there, and ours goes away on close. */
	if (r == 0)
		w->tmp[0] = '\0';

	memcpy(folder, path, sizeof(folder));
	*strrchr(folder, '/') = '\0';
	r = io_fsync_folder(io, folder, IO_OBJECT_PACK);
	if (r < 0) {
		/* Not known to be durable: a rebuild of the index must not find it. */
		if (w->tmp[0] == '\0')
			(void)io_unlink(io, path, IO_OBJECT_PACK);
		return log_errno(r, "pack: cannot sync the folder %s", folder);
	}
	return 0;
}

int pack_writer_finish(struct pack_writer *w, struct pack_id *ret_id, uint64_t *ret_size)
{
	struct io *io = w->context->io;
	struct pack_id id;
	uint64_t size;
	int r;

	assert(w->magic == PACK_WRITER_MAGIC);
	assert(w->n_entries > 0);
	if (w->spoiled)
		return w->spoiled;
	r = flush(w);
	if (r < 0)
		return r;
	r = write_table(w, &id);
	if (r < 0)
		return spoil(w, log_errno(r, "pack: cannot write the table of %s", w->tmp));
	r = io_size(io, w->fd, &size);
	if (r == 0 && size != w->size)
		r = -EIO;
	if (r < 0)
		return spoil(w,
			     log_errno(r, "pack: %s has not the length that was written", w->tmp));
	r = io_fsync(io, w->fd, IO_OBJECT_PACK);
	if (r < 0)
		return spoil(w, log_errno(r, "pack: cannot sync %s", w->tmp));
	r = publish(w, &id);
	/* Done or not, this writer takes no more objects. */
	spoil(w, r < 0 ? r : -EALREADY);
	if (r < 0)
		return r;
	*ret_id = id;
	*ret_size = w->size;
	return 0;
}
