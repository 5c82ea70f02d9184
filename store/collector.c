/* SPDX-License-Identifier: MIT */
#include "store/collector.h"

#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/collector_internal.h"
#include "store/pack_format.h"
#include "store/reserve.h"
#include "store/retired.h"
#include "store/writer_list.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define COLLECT_LOCK "local/collect"
#define NAP_NS (50 * NS_PER_MS)

static bool cancelled(const struct collector *c)
{
	return c->options->cancel && *c->options->cancel;
}

int collector_sleep(struct collector *c, int64_t ns)
{
	while (ns > 0 && !cancelled(c)) {
		int64_t nap = ns < NAP_NS ? ns : NAP_NS;
		const struct timespec time = { .tv_nsec = (long)nap };

		(void)nanosleep(&time, NULL);
		ns -= nap;
	}
	return cancelled(c) ? -ECANCELED : 0;
}

int collector_breathe(struct collector *c)
{
	int r = cancelled(c) ? -ECANCELED : 0;

	while (r == 0 && c->options->paused && c->options->paused(c->options->context))
		r = collector_sleep(c, NAP_NS);
	return r;
}

void collector_report(struct collector *c, bool rewriting)
{
	const struct collector_stats *s = &c->stats;

	if (!c->options->progress)
		return;
	if (rewriting)
		c->options->progress(c->options->context, true, s->bytes_copied, s->bytes_chosen);
	else
		c->options->progress(c->options->context, false, s->bytes_freed, s->bytes_dead);
}

/* ---- beginning ---- */

static int take_lock(struct collector *c)
{
	struct io *io = c->store->io;
	int r;

	c->lock = io_open(io, COLLECT_LOCK, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (c->lock == -ENOSPC && reserve_release(io) == 1)
		c->lock =
			io_open(io, COLLECT_LOCK, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (c->lock < 0)
		return log_errno(c->lock, "%s/" COLLECT_LOCK ": cannot open", io_real_path(io));
	r = io_lock(io, c->lock, IO_LOCK_EXCLUSIVE, false);
	if (r == -EWOULDBLOCK)
		return -EBUSY;
	return r < 0 ? log_errno(r, "%s/" COLLECT_LOCK ": cannot lock", io_real_path(io)) : 0;
}

static int visit_pack(void *context, uint32_t number, const struct pack_info *info)
{
	struct collector *c = context;

	if (number >= c->next_pack ||
	    memcmp(&info->host, &c->store->context.host, sizeof(info->host)) != 0)
		return 0;
	if (c->n_packs == c->packs_room) {
		size_t room = c->packs_room ? 2 * c->packs_room : 256;
		struct pack_use *packs = reallocarray(c->packs, room, sizeof(*packs));

		if (!packs)
			return -ENOMEM;
		c->packs = packs;
		c->packs_room = room;
	}
	c->packs[c->n_packs++] = (struct pack_use){ .number = number,
						    .size = (uint32_t)info->size,
						    .condemned = info->condemned,
						    .id = info->id };
	c->stats.packs_before++;
	c->stats.bytes_before += info->size;
	return 0;
}

/* On a full disk, once more with the reserve's space. */
static int with_reserve(struct collector *c, int (*step)(struct collector *c))
{
	int r = step(c);

	if (r == -ENOSPC && reserve_release(c->store->io) == 1)
		r = step(c);
	return r;
}

static int enter_unlisted(struct collector *c)
{
	return store_enter_unlisted(c->store);
}

int collector_new(struct store *s, const struct collector_options *options,
		  struct collector **ret_collector)
{
	CLEANUP(collector_free_ptr) struct collector *c = NULL;
	int r;

	if (s->mode != STORE_READ_WRITE)
		return -EROFS;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->store = s;
	c->options = options;
	c->lock = -1;
	c->data.key_bytes = 8;
	c->nodes.key_bytes = 16;
	c->missing.key_bytes = 16;
	r = take_lock(c);
	if (r == 0)
		r = read_scratch_init(&c->scratch);
	if (r == 0)
		r = with_reserve(c, enter_unlisted);
	/* The number after those, before what others enter from here on. */
	if (r == 0)
		r = chunk_index_next_pack(s->index, &c->next_pack);
	if (r == 0)
		r = chunk_index_each_pack(s->index, visit_pack, c);
	if (r < 0)
		return r;
	*ret_collector = STEAL(c);
	return 0;
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	if (c->lock >= 0)
		io_close(c->store->io, c->lock);
	read_scratch_done(&c->scratch);
	live_set_done(&c->data);
	live_set_done(&c->nodes);
	live_set_done(&c->missing);
	turn_done(&c->turn);
	free(c->order);
	free(c->packs);
	free(c);
}

/* ---- marking ---- */

struct pack_use *collector_find(const struct collector *c, uint32_t number)
{
	size_t low = 0, high = c->n_packs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->packs[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->n_packs && c->packs[low].number == number ? &c->packs[low] : NULL;
}

bool collector_alive(const struct collector *c, const struct pack_entry *entry)
{
	return live_set_has(entry->type == OBJECT_DATA ? &c->data : &c->nodes, &entry->id);
}

static void count_living(struct collector *c, const struct chunk_place *place)
{
	const uint32_t bytes = (uint32_t)pack_object_bytes(place->stored_n);
	struct pack_use *use = collector_find(c, place->pack);

	c->stats.bytes_live += bytes;
	if (!use)
		return;
	use->live += bytes;
	use->n_live++;
}

int collector_mark(struct collector *c, const struct chunk_id *id, enum object_type type)
{
	struct chunk_place place;
	int r = live_set_add(type == OBJECT_DATA ? &c->data : &c->nodes, id);

	if (r <= 0)
		return r;
	c->stats.objects++;
	r = chunk_index_get(c->store->index, id, &place);
	if (r == 0 && place.type == type) {
		count_living(c, &place);
		return 1;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	c->stats.missing++;
	r = live_set_add(&c->missing, id);
	return r < 0 ? r : 1;
}

/* ---- the end of a turn ---- */

static void turn_ids(const struct turn *t, struct pack_id *ids)
{
	for (size_t i = 0; i < t->n; i++)
		ids[i] = t->packs[i]->id;
}

static int condemn(struct collector *c)
{
	CLEANUP(free_ptr) struct pack_id *ids = calloc(TURN_PACKS_MAX, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	turn_ids(&c->turn, ids);
	return chunk_index_condemn_dead(c->store->index, ids, c->turn.n);
}

int collector_condemn(struct collector *c)
{
	struct turn *t = &c->turn;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		/* A record that came meanwhile leads to it. */
		if (t->packs[i]->live > 0)
			t->packs[i]->in_turn = false;
		else
			t->packs[n++] = t->packs[i];
	}
	t->n = n;
	return n == 0 ? 0 : with_reserve(c, condemn);
}

static int visit_foreign(void *context, uint32_t number, const struct pack_info *info)
{
	const struct store *s = context;

	(void)number;
	return memcmp(&info->host, &s->context.host, sizeof(info->host)) != 0;
}

/* The decision, for whoever keeps copies elsewhere: before anything of the packs is lost. */
static int note_retired(struct collector *c)
{
	CLEANUP(free_ptr) struct retired_object *objects = calloc(TURN_PACKS_MAX, sizeof(*objects));
	const struct turn *t = &c->turn;

	if (!objects)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		objects[i].kind = RETIRED_PACK;
		memcpy(objects[i].id, t->packs[i]->id.bytes, SHA256_BYTES);
	}
	return retired_note(c->store->io, objects, t->n);
}

static int drop(struct collector *c)
{
	CLEANUP(free_ptr) struct pack_id *ids = calloc(TURN_PACKS_MAX, sizeof(*ids));
	struct turn *t = &c->turn;
	int r = ids ? note_retired(c) : -ENOMEM;

	if (r < 0)
		return r;
	turn_ids(t, ids);
	if (t->keys_unknown)
		return chunk_index_drop_packs(c->store->index, ids, t->n);
	return chunk_index_drop_dead(c->store->index, ids, t->n, t->keys, t->n_keys);
}

static void unlink_packs(struct collector *c)
{
	struct io *io = c->store->io;
	struct turn *t = &c->turn;

	for (size_t i = 0; i < t->n; i++) {
		struct pack_use *use = t->packs[i];
		char path[PACK_PATH_BYTES];
		int r = io_unlink(io, pack_path(&c->store->context.host, &use->id, path),
				  IO_OBJECT_PACK);

		/* The next collection finds it unlisted, and dead. */
		if (r < 0 && r != -ENOENT)
			(void)log_errno(r, "%s: cannot remove the pack", path);
		use->in_turn = false;
		use->fate = FATE_DONE;
		if (t->rewriting) {
			c->stats.packs_rewritten++;
			c->stats.bytes_rewritten += use->size;
		} else {
			c->stats.packs_freed++;
			c->stats.bytes_freed += use->size;
		}
	}
}

int collector_retire(struct collector *c)
{
	struct turn *t = &c->turn;
	int lock, r;

	if (t->n == 0)
		return 0;
	/* An object that another host has as well must be found there from now on. */
	r = chunk_index_each_pack(c->store->index, visit_foreign, c->store);
	if (r == 1)
		r = store_enter_foreign(c->store);
	if (r < 0)
		return r;
	lock = store_lock_packs(c->store, IO_LOCK_EXCLUSIVE);
	if (lock < 0)
		return lock;
	r = with_reserve(c, drop);
	if (r == 0)
		unlink_packs(c);
	io_close(c->store->io, lock);
	store_upkeep(c->store);
	collector_report(c, t->rewriting);
	turn_clear(t);
	return r;
}

static int note_collected(struct collector *c)
{
	return chunk_index_note_collected(c->store->index, c->next_pack);
}

int collector_finish(struct collector *c)
{
	return with_reserve(c, note_collected);
}

void collector_stats(const struct collector *c, struct collector_stats *ret_stats)
{
	*ret_stats = c->stats;
}
