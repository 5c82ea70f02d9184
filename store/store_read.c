/* SPDX-License-Identifier: MIT */
/* Reading objects: open packs are kept, damage is asked of the chunk_source. */
#include "store/base/log.h"
#include "store/pack_format.h"
#include "store/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SOURCE_COPIES_MAX 16 /* tried of one object */

struct store_reader {
	struct store *store;
	struct read_scratch scratch;
};

int store_reader_new(struct store *s, struct store_reader **ret_reader)
{
	CLEANUP(free_ptr) struct store_reader *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	reader->store = s;
	r = read_scratch_init(&reader->scratch);
	if (r < 0)
		return r;
	*ret_reader = STEAL(reader);
	return 0;
}

void store_reader_free(struct store_reader *r)
{
	if (!r)
		return;
	read_scratch_done(&r->scratch);
	free(r);
}

/* ---- open packs ---- */

static void pack_free(struct open_pack *pack)
{
	if (!pack)
		return;
	pack_reader_close(pack->reader);
	free(pack);
}

/* With the lock held. */
static struct open_pack *find_open(struct store *s, uint32_t number, bool remote)
{
	for (size_t i = 0; i < s->n_packs; i++) {
		struct open_pack *pack = s->packs[i];

		if (pack->number == number && pack->remote == remote) {
			pack->users++;
			pack->used_at = ++s->clock;
			return pack;
		}
	}
	return NULL;
}

/* With the lock held: take a pack out of the table. Yields it when nobody uses it any more. */
static struct open_pack *unlist(struct store *s, size_t at)
{
	struct open_pack *pack = s->packs[at];

	s->packs[at] = s->packs[--s->n_packs];
	pack->listed = false;
	return pack->users == 0 ? pack : NULL;
}

/* Enter a pack, or take the one that another thread entered meanwhile. */
static struct open_pack *list_pack(struct store *s, struct open_pack *pack)
{
	struct open_pack *other, *leaves = NULL;
	size_t oldest = 0;

	lock_take(&s->lock);
	other = find_open(s, pack->number, pack->remote);
	if (!other) {
		for (size_t i = 1; i < s->n_packs; i++)
			if (s->packs[i]->used_at < s->packs[oldest]->used_at)
				oldest = i;
		if (s->n_packs == OPEN_PACKS_MAX)
			leaves = unlist(s, oldest);
		pack->users = 1;
		pack->used_at = ++s->clock;
		pack->listed = true;
		s->packs[s->n_packs++] = pack;
	}
	lock_drop(&s->lock);
	pack_free(leaves);
	if (other)
		pack_free(pack);
	return other ? other : pack;
}

int store_pack_open(struct store *s, uint32_t number, bool remote, struct open_pack **ret_pack)
{
	struct pack_context context = s->context;
	struct pack_info info;
	struct open_pack *pack;
	int r;

	lock_take(&s->lock);
	pack = find_open(s, number, remote);
	lock_drop(&s->lock);
	if (pack) {
		*ret_pack = pack;
		return 0;
	}
	r = chunk_index_pack(s->index, number, &info);
	if (r < 0)
		return r;
	pack = calloc(1, sizeof(*pack));
	if (!pack)
		return -ENOMEM;
	pack->number = number;
	pack->remote = remote;
	context.host = info.host;
	if (remote)
		r = pack_reader_open_source(&context, &info.id, s->source, info.size,
					    &pack->reader);
	else
		r = pack_reader_open(&context, &info.id, &pack->reader);
	if (r < 0) {
		pack_free(pack);
		return r;
	}
	*ret_pack = list_pack(s, pack);
	return 0;
}

void store_pack_release(struct store *s, struct open_pack *pack)
{
	bool last;

	lock_take(&s->lock);
	last = --pack->users == 0 && !pack->listed;
	lock_drop(&s->lock);
	if (last)
		pack_free(pack);
}

/* Take a pack out of the table by its number, here and remote. */
static void unlist_number(struct store *s, uint32_t number)
{
	struct open_pack *leaves[OPEN_PACKS_MAX];
	size_t n = 0;

	lock_take(&s->lock);
	for (size_t i = s->n_packs; i-- > 0;) {
		if (s->packs[i]->number != number)
			continue;
		leaves[n] = unlist(s, i);
		n += leaves[n] != NULL;
	}
	lock_drop(&s->lock);
	while (n > 0)
		pack_free(leaves[--n]);
}

void store_upkeep(struct store *s)
{
	uint32_t numbers[OPEN_PACKS_MAX];
	struct pack_info info;
	size_t n;

	chunk_index_clear_dead_readers(s->index);
	lock_take(&s->lock);
	n = s->n_packs;
	for (size_t i = 0; i < n; i++)
		numbers[i] = s->packs[i]->number;
	lock_drop(&s->lock);
	for (size_t i = 0; i < n; i++)
		if (chunk_index_pack(s->index, numbers[i], &info) == -ENOENT)
			unlist_number(s, numbers[i]);
}

void store_packs_done(struct store *s)
{
	while (s->n_packs > 0) {
		struct open_pack *pack = unlist(s, s->n_packs - 1);

		assert(pack); /* somebody still reads */
		pack_free(pack);
	}
}

/* ---- objects ---- */

static int find_place(struct store *s, const struct chunk_id *id, enum object_type type,
		      struct chunk_place *ret_place)
{
	struct chunk_place place;
	int r = chunk_index_get(s->index, id, &place);

	if (r < 0)
		return r;
	if (place.type != type)
		return -EBADMSG;
	*ret_place = place;
	return 0;
}

int64_t store_length(struct store *s, const struct chunk_id *id, enum object_type type)
{
	struct chunk_place place;
	int r = find_place(s, id, type, &place);

	return r < 0 ? r : (int64_t)place.raw_n;
}

static struct pack_entry entry_of(const struct chunk_id *id, const struct chunk_place *place)
{
	return (struct pack_entry){ .id = *id,
				    .offset = place->offset,
				    .stored_n = place->stored_n,
				    .raw_n = place->raw_n,
				    .type = place->type,
				    .codec = place->codec };
}

/* Read from where the index says, here. */
static int read_place(struct store_reader *reader, const struct chunk_id *id,
		      const struct chunk_place *place, void *to)
{
	const struct pack_entry entry = entry_of(id, place);
	struct open_pack *pack;
	int r = store_pack_open(reader->store, place->pack, false, &pack);

	if (r < 0)
		return r;
	r = pack_reader_get(pack->reader, &entry, &reader->scratch, to);
	store_pack_release(reader->store, pack);
	return r;
}

/* What was read there is no good. Is there another copy? */
static bool refuse(struct store *s, const struct pack_info *info, uint64_t offset, size_t n)
{
	return s->source->refuse &&
	       s->source->refuse(s->source, &info->host, &info->id, offset, n) == 0;
}

/* Open a pack through the source: the header at its front or end must come from somewhere. */
static int open_at_source(struct store *s, const struct pack_info *info, uint32_t number,
			  struct open_pack **ret_pack)
{
	bool more = true;
	int r = -EBADMSG;

	for (int i = 0; i < SOURCE_COPIES_MAX && r == -EBADMSG && more; i++) {
		r = store_pack_open(s, number, true, ret_pack);
		if (r != -EBADMSG)
			break;
		more = refuse(s, info, 0, PACK_HEADER_BYTES);
		if (info->size > PACK_TRAILER_BYTES)
			more |= refuse(s, info, info->size - PACK_TRAILER_BYTES,
				       PACK_TRAILER_BYTES);
	}
	return r;
}

/* The same through the source, from one copy after another until one is good. */
static int read_source(struct store_reader *reader, const struct chunk_id *id,
		       const struct chunk_place *place, void *to)
{
	const struct pack_entry entry = entry_of(id, place);
	struct store *s = reader->store;
	struct open_pack *pack = NULL;
	struct pack_info info;
	int r = chunk_index_pack(s->index, place->pack, &info);

	if (r == 0)
		r = open_at_source(s, &info, place->pack, &pack);
	if (r < 0)
		return r;
	assert(pack);
	for (int i = 0; i < SOURCE_COPIES_MAX; i++) {
		r = pack_reader_get(pack->reader, &entry, &reader->scratch, to);
		if (r != -EBADMSG ||
		    !refuse(s, &info, entry.offset, (size_t)pack_object_bytes(entry.stored_n)))
			break;
	}
	store_pack_release(s, pack);
	return r;
}

static void lose_pack(struct store *s, uint32_t number)
{
	struct pack_info info;

	if (chunk_index_pack(s->index, number, &info) == 0)
		(void)chunk_index_lose_pack(s->index, &info.id);
}

/* The local pack failed with `r`: have the source mend it, and read again. */
static int read_healed(struct store_reader *reader, const struct chunk_id *id,
		       const struct chunk_place *place, int r, void *to)
{
	struct store *s = reader->store;
	struct pack_info info;

	if (!s->source || !s->source->heal || s->mode != STORE_READ_WRITE ||
	    (r != -ENOENT && r != -EBADMSG && r != -EIO) ||
	    chunk_index_pack(s->index, place->pack, &info) < 0)
		return r;
	if (s->source->heal(s->source, &info.host, &info.id, r == -ENOENT) < 0)
		return r;
	unlist_number(s, place->pack);
	return read_place(reader, id, place, to);
}

/*
 * The local pack failed with `r`, and was not healed. Let new data no longer
 * rely on this copy, so that the next capture stores it afresh, and ask the
 * replicas.
 */
static int read_elsewhere(struct store_reader *reader, const struct chunk_id *id,
			  const struct chunk_place *place, int r, void *to)
{
	struct store *s = reader->store;
	char hex[2 * sizeof(id->bytes) + 1];
	bool named;
	int again;

	bytes_to_hex(id->bytes, sizeof(id->bytes), hex);
	/* The whole pack is gone: without a replica to ask, nothing in it may be relied on. */
	if (r == -ENOENT && !s->source && s->mode == STORE_READ_WRITE)
		lose_pack(s, place->pack);
	/* What is wrong inside a pack was named by its reader. */
	named = r != -ENOENT;
	/* Damage is never absence. */
	if (r == -ENOENT)
		r = s->source ? -ENOENT : -EBADMSG;
	if (s->mode == STORE_READ_WRITE && !place->shunned && (r == -EBADMSG || r == -EUCLEAN))
		(void)chunk_index_shun(s->index, id, true);
	if (s->source && r != -ENOMEM) {
		again = read_source(reader, id, place, to);
		if (again == 0)
			return 0;
		if (r == -ENOENT)
			r = again == -ENOENT ? -EBADMSG : again;
	}
	return named ? r : log_errno(r, "object %s cannot be read: its pack is missing", hex);
}

int64_t store_get(struct store_reader *r, const struct chunk_id *id, enum object_type type,
		  void *to, size_t room)
{
	struct chunk_place place;
	int x = 0;

	/* A pack may be merged away between look-up and open: look once more. */
	for (int i = 0; i < 2; i++) {
		x = find_place(r->store, id, type, &place);
		if (x < 0)
			return x;
		if (place.raw_n > room)
			return -EFBIG;
		x = read_place(r, id, &place, to);
		if (x == 0)
			return (int64_t)place.raw_n;
		if (x != -ENOENT)
			break;
	}
	x = read_healed(r, id, &place, x, to);
	if (x < 0)
		x = read_elsewhere(r, id, &place, x, to);
	return x < 0 ? x : (int64_t)place.raw_n;
}
