/* SPDX-License-Identifier: MIT */
/* Preparing a turn: looking into dead packs, copying what is alive out of others. */
#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/collector_internal.h"
#include "store/pack_format.h"
#include "store/writer_list.h"

#include <errno.h>
#include <string.h>

#define NS_PER_MS 1000000LL
#define WRITER_NAP_NS (10 * NS_PER_MS)

void turn_clear(struct turn *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->packs[i]->in_turn = false;
	t->n = 0;
	t->n_keys = 0;
	t->keys_unknown = false;
}

void turn_done(struct turn *t)
{
	free(t->keys);
}

static int turn_add(struct turn *t, struct pack_use *use, const struct pack_entry *entries,
		    size_t n)
{
	if (t->n_keys + n > t->keys_room) {
		size_t room = 2 * t->keys_room > t->n_keys + n ? 2 * t->keys_room : t->n_keys + n;
		uint8_t(*keys)[16] = reallocarray(t->keys, room, sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		t->keys = keys;
		t->keys_room = room;
	}
	for (size_t i = 0; i < n; i++)
		memcpy(t->keys[t->n_keys++], entries[i].id.bytes, 16);
	use->in_turn = true;
	t->packs[t->n++] = use;
	return 0;
}

/* Open a pack of this host and read its table; the caller frees *ret_entries. 0 or -errno. */
static int open_table(struct collector *c, const struct pack_use *use,
		      struct pack_reader **ret_reader, struct pack_entry **ret_entries,
		      size_t *ret_n, enum pack_kind *ret_kind)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	int r = pack_reader_open(&c->store->context, &use->id, &reader);

	if (r == 0)
		r = pack_reader_table(reader, &c->scratch, ret_entries, ret_n, ret_kind);
	if (r == 0)
		*ret_reader = STEAL(reader);
	return r;
}

/* ---- dead packs ---- */

/*
 * Does the index have the object in another pack, one that is there and stays,
 * or out of which this turn has copied it? 1, 0, -errno.
 */
static int is_elsewhere(struct collector *c, const struct pack_use *use,
			const struct pack_entry *entry)
{
	const struct pack_use *other;
	struct chunk_place place = { 0 };
	char path[PACK_PATH_BYTES];
	struct pack_info info = { 0 };
	struct io_stat st;
	int r = chunk_index_get(c->store->index, &entry->id, &place);

	if (r == 0 && (place.pack == use->number || place.shunned || place.type != entry->type))
		return 0;
	if (r == 0)
		r = chunk_index_pack(c->store->index, place.pack, &info);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	other = collector_find(c, place.pack);
	if (info.condemned || (other && other->in_turn && !c->turn.rewriting))
		return 0;
	r = io_stat(c->store->io, pack_path(&info.host, &info.id, path), &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return st.size == info.size;
}

/* Take a pack back that turns out to hold the only copy of something: the index shall know it. */
static int keep_alive(struct collector *c, struct pack_use *use, const struct pack_entry *entries,
		      size_t n, enum pack_kind kind)
{
	struct pack_info info = {
		.host = c->store->context.host, .id = use->id, .size = use->size, .kind = kind
	};
	char hex[2 * SHA256_BYTES + 1];
	int r = 0;

	log_warning("pack %s holds what snapshots need and the index has nowhere else: it stays",
		    bytes_to_hex(use->id.bytes, SHA256_BYTES, hex));
	use->fate = FATE_STAYS;
	use->live = use->size;
	if (use->condemned)
		r = chunk_index_condemn(c->store->index, &use->id, false);
	return r < 0 ? r : chunk_index_add_pack(c->store->index, &info, entries, n);
}

/* 1 when nothing in it is needed, 0, -errno. */
static int nothing_needed(struct collector *c, const struct pack_use *use,
			  const struct pack_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!collector_alive(c, &entries[i]))
			continue;
		r = is_elsewhere(c, use, &entries[i]);
		if (r <= 0)
			return r;
	}
	return 1;
}

static int add_dead(struct collector *c, struct pack_use *use)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	CLEANUP(free_ptr) struct pack_entry *entries = NULL;
	enum pack_kind kind = PACK_MIXED;
	size_t n = 0;
	int r = open_table(c, use, &reader, &entries, &n, &kind);

	if (r == -ENOENT) {
		c->turn.keys_unknown = true;
		return turn_add(&c->turn, use, NULL, 0);
	}
	if (r == -EBADMSG || r == -EUCLEAN) {
		/* It cannot say what it holds. While something is missing, that may be it. */
		if (c->stats.missing > 0)
			return 0;
		c->turn.keys_unknown = true;
		return turn_add(&c->turn, use, NULL, 0);
	}
	if (r < 0)
		return r;
	r = nothing_needed(c, use, entries, n);
	if (r < 0)
		return r;
	return r == 1 ? turn_add(&c->turn, use, entries, n) : keep_alive(c, use, entries, n, kind);
}

static int next_dead(struct collector *c)
{
	int r = 0;

	c->turn.rewriting = false;
	while (r == 0 && c->at < c->n_dead && c->turn.n < TURN_PACKS_MAX &&
	       c->turn.n_keys < TURN_KEYS_MAX) {
		r = collector_breathe(c);
		if (r == 0)
			r = add_dead(c, c->order[c->at++]);
	}
	return r;
}

/* ---- copying ---- */

enum lane { LANE_DATA, LANE_NODES, LANES };

/* A turn of copying under way. */
struct copying {
	struct collector *c;
	struct pack_writer *writers[LANES];
	uint64_t bytes;
	size_t n_objects;
};

static void copying_done(struct copying *k)
{
	for (int lane = 0; lane < LANES; lane++)
		pack_writer_close(k->writers[lane]);
}

/* Is this the living copy, as far as the index knows? */
static int is_wanted(struct collector *c, const struct pack_use *use,
		     const struct pack_entry *entry)
{
	int r;

	if (!collector_alive(c, entry))
		return 0;
	r = is_elsewhere(c, use, entry);
	return r < 0 ? r : !r;
}

/* Keep to the rate: what was copied so far may have taken so long. */
static int throttle(struct copying *k)
{
	struct collector *c = k->c;
	uint64_t rate = c->options->bytes_per_second;
	int64_t due;

	if (rate == 0)
		return collector_breathe(c);
	due = c->started_ns + (int64_t)((double)c->stats.bytes_copied / (double)rate * 1e9);
	if (collector_sleep(c, due - clock_monotonic_ns()) < 0)
		return -ECANCELED;
	return collector_breathe(c);
}

/* 1 when it was copied, 0 when it cannot be read, -errno. */
static int copy_object(struct copying *k, struct pack_reader *reader,
		       const struct pack_entry *entry)
{
	const enum lane lane = entry->type == OBJECT_DATA ? LANE_DATA : LANE_NODES;
	struct collector *c = k->c;
	struct pack_entry copy = *entry;
	const uint8_t *stored = NULL;
	int r = pack_reader_stored(reader, entry, &c->scratch, &stored);

	if (r == -EBADMSG || r == -EUCLEAN || r == -EIO)
		return 0;
	if (r == 0 && !k->writers[lane])
		r = pack_writer_open(&c->store->context, lane == LANE_DATA ? PACK_DATA : PACK_NODES,
				     &k->writers[lane]);
	if (r == 0)
		r = pack_writer_append(k->writers[lane], &copy, stored);
	if (r < 0)
		return r;
	k->bytes += pack_object_bytes(entry->stored_n);
	k->n_objects++;
	c->stats.bytes_copied += pack_object_bytes(entry->stored_n);
	r = throttle(k);
	return r < 0 ? r : 1;
}

/* Copy what is alive in a pack, and enter it into the turn unless something has to stay in it. */
static int copy_pack(struct copying *k, struct pack_use *use)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	CLEANUP(free_ptr) struct pack_entry *entries = NULL;
	struct collector *c = k->c;
	uint32_t stay = 0;
	enum pack_kind kind;
	size_t n = 0;
	int r = open_table(c, use, &reader, &entries, &n, &kind);

	use->fate = FATE_STAYS;
	if (r == -ENOENT || r == -EBADMSG || r == -EUCLEAN) {
		c->stats.damaged += use->n_live;
		return 0;
	}
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = is_wanted(c, use, &entries[i]);
		if (r <= 0)
			continue;
		r = copy_object(k, reader, &entries[i]);
		stay += r == 0;
	}
	if (r < 0)
		return r;
	c->stats.damaged += stay;
	if (stay > 0)
		return 0;
	use->fate = FATE_COPY;
	return turn_add(&c->turn, use, entries, n);
}

/* Make one lane's pack durable and let the index find its objects there. */
static int publish_lane(struct copying *k, struct pack_writer *w, const uint32_t *from, size_t n)
{
	struct collector *c = k->c;
	struct pack_info info = { .host = c->store->context.host };
	int r;

	if (!w)
		return 0;
	info.kind = pack_writer_kind(w);
	r = pack_writer_finish(w, &info.id, &info.size);
	if (r == 0)
		r = chunk_index_move(c->store->index, &info, pack_writer_entries(w),
				     pack_writer_count(w), from, n);
	if (r < 0)
		return r;
	c->stats.packs_new++;
	c->stats.bytes_new += info.size;
	return 0;
}

/* Also what was copied out of packs that stay is moved: it may be the better copy. */
static int publish(struct copying *k, size_t first)
{
	struct collector *c = k->c;
	size_t n = c->at - first;
	CLEANUP(free_ptr) uint32_t *from = calloc(n + 1, sizeof(*from));
	int r = 0;

	if (!from)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		from[i] = c->order[first + i]->number;
	qsort(from, n, sizeof(*from), compare_u32);
	for (int lane = 0; lane < LANES && r == 0; lane++)
		r = publish_lane(k, k->writers[lane], from, n);
	/* Nothing known to be alive lies there any more; what becomes alive counts anew. */
	for (size_t i = 0; i < c->turn.n && r == 0; i++)
		c->turn.packs[i]->live = 0;
	return r;
}

static bool fits(const struct copying *k, const struct pack_use *use)
{
	const struct turn *t = &k->c->turn;

	return t->n == 0 ||
	       (k->bytes + use->live <= TURN_COPY_BYTES && t->n < TURN_PACKS_MAX &&
		t->n_keys < TURN_KEYS_MAX && k->n_objects + use->n_live <= PACK_ENTRIES_MAX);
}

static int next_copies(struct collector *c)
{
	CLEANUP(copying_done) struct copying k = { .c = c };
	size_t first = c->at;
	int r = 0;

	c->turn.rewriting = true;
	if (!c->started_ns)
		c->started_ns = clock_monotonic_ns();
	while (r == 0 && c->at < c->n_order && fits(&k, c->order[c->at])) {
		r = copy_pack(&k, c->order[c->at++]);
		collector_report(c, true);
	}
	if (r == 0)
		r = publish(&k, first);
	if (r == 0)
		return 0;
	/* Not copied is not moved: everything is where it was. */
	turn_clear(&c->turn);
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	c->stats.no_space = true;
	c->at = c->n_order;
	return 0;
}

/* ---- turns ---- */

/* Captures under way would have to begin anew: let them end first, if that is soon. */
static int wait_for_writers(struct collector *c)
{
	const int64_t end = clock_monotonic_ns() + c->options->patience_ms * NS_PER_MS;
	uint32_t oldest;
	int r;

	while (!c->impatient) {
		r = writer_list_oldest(c->store->io, &oldest);
		if (r <= 0)
			return r;
		c->impatient = clock_monotonic_ns() >= end;
		if (!c->impatient && collector_sleep(c, WRITER_NAP_NS) < 0)
			return -ECANCELED;
	}
	return 0;
}

int collector_next(struct collector *c)
{
	int r = 0;

	turn_clear(&c->turn);
	/* Nothing may come of a turn: then the next. */
	while (r == 0 && c->turn.n == 0 && c->at < c->n_order)
		r = c->at < c->n_dead ? next_dead(c) : next_copies(c);
	if (r == 0 && c->turn.n > 0)
		r = wait_for_writers(c);
	if (r < 0) {
		turn_clear(&c->turn);
		return r;
	}
	return c->turn.n > 0;
}
