/* SPDX-License-Identifier: MIT */
#include "snapshots/bundle.h"

#include "store/base/lock.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define MAP_SLOTS 65536u /* 5 MiB: about a gigabyte of small files */

/* Past half the target one file in eight closes the bundle: about ten files are left to choose
 * from. */
#define CUT_MASK 7u

struct bundle {
	atomic_uint refs;
	struct lock lock; /* guards sealed, result, id */
	pthread_cond_t done;
	bool sealed;
	int result;
	struct chunk_id id;
	uint8_t *data;
	size_t n;
};

struct map_slot {
	struct chunk_id id;
	struct bundle_place place;
	bool used;
};

struct bundler {
	size_t target;
	bundle_submit *submit;
	void *context;
	struct bundle *open;
	struct map_slot *map;
};

static struct bundle *bundle_new(size_t room)
{
	struct bundle *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->data = malloc(room);
	if (!b->data) {
		free(b);
		return NULL;
	}
	atomic_init(&b->refs, 1);
	lock_init(&b->lock, LOCK_RANK_LEAF);
	pthread_cond_init(&b->done, NULL);
	return b;
}

struct bundle *bundle_ref(struct bundle *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void bundle_unref(struct bundle *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	pthread_cond_destroy(&b->done);
	lock_done(&b->lock);
	free(b->data);
	free(b);
}

const uint8_t *bundle_data(const struct bundle *b, size_t *ret_n)
{
	*ret_n = b->n;
	return b->data;
}

void bundle_sealed(struct bundle *b, int r, const struct chunk_id *id)
{
	LOCK_SCOPE(&b->lock);
	free(b->data);
	b->data = NULL;
	b->result = r;
	if (r == 0)
		b->id = *id;
	b->sealed = true;
	pthread_cond_broadcast(&b->done);
}

int bundle_wait(struct bundle *b, struct chunk_id *ret_id)
{
	LOCK_SCOPE(&b->lock);
	while (!b->sealed)
		lock_wait(&b->lock, &b->done);
	if (b->result == 0)
		*ret_id = b->id;
	return b->result;
}

int bundler_new(size_t target, bundle_submit *submit, void *context, struct bundler **ret_bundler)
{
	struct bundler *b;

	assert(target >= CHUNK_MIN_FLOOR);
	assert(submit);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->map = calloc(MAP_SLOTS, sizeof(*b->map));
	if (!b->map) {
		free(b);
		return -ENOMEM;
	}
	b->target = target;
	b->submit = submit;
	b->context = context;
	*ret_bundler = b;
	return 0;
}

void bundler_free(struct bundler *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < MAP_SLOTS; i++)
		bundle_unref(b->map[i].place.bundle);
	free(b->map);
	if (b->open) { /* somebody may wait for it */
		bundle_sealed(b->open, -ECANCELED, NULL);
		bundle_unref(b->open);
	}
	free(b);
}

static struct map_slot *slot_of(struct bundler *b, const struct chunk_id *id)
{
	uint32_t h;

	memcpy(&h, id->bytes, sizeof(h));
	return &b->map[h % MAP_SLOTS];
}

/* Takes the place's reference over. */
static void map_put(struct bundler *b, const struct chunk_id *id, const struct bundle_place *place)
{
	struct map_slot *slot = slot_of(b, id);

	bundle_unref(slot->place.bundle);
	slot->id = *id;
	slot->place = *place;
	slot->used = true;
}

bool bundler_find(struct bundler *b, const struct chunk_id *id, struct bundle_place *ret_place)
{
	struct map_slot *slot = slot_of(b, id);

	if (!slot->used || memcmp(&slot->id, id, sizeof(*id)) != 0)
		return false;
	*ret_place = slot->place;
	if (ret_place->bundle)
		bundle_ref(ret_place->bundle);
	return true;
}

void bundler_note(struct bundler *b, const struct chunk_id *id, const struct chunk_id *chunk,
		  uint32_t offset)
{
	struct map_slot *slot = slot_of(b, id);

	if (slot->used && memcmp(&slot->id, id, sizeof(*id)) == 0)
		return;
	map_put(b, id, &(struct bundle_place){ .chunk = *chunk, .offset = offset });
}

bool bundler_is_open(const struct bundler *b)
{
	return b->open != NULL;
}

int bundler_close(struct bundler *b)
{
	struct bundle *closed = STEAL(b->open);
	struct bundle *kept;
	int r;

	if (!closed)
		return 0;
	kept = bundle_ref(closed);
	r = b->submit(b->context, closed);
	if (r < 0) /* whoever waits for it must learn of it */
		bundle_sealed(kept, r, NULL);
	bundle_unref(kept);
	return r;
}

int bundler_add(struct bundler *b, const struct chunk_id *id, const void *data, size_t n,
		struct bundle_place *ret_place)
{
	struct bundle_place place;
	bool cut;
	int r;

	assert(n > 0);
	assert(n <= CHUNK_RAW_MAX / 2);
	if (b->open && b->open->n + n > b->target && b->open->n >= b->target / 2) {
		r = bundler_close(b);
		if (r < 0)
			return r;
	}
	if (!b->open) {
		b->open = bundle_new(b->target + CHUNK_RAW_MAX / 2);
		if (!b->open)
			return -ENOMEM;
	}
	place = (struct bundle_place){ .bundle = bundle_ref(b->open),
				       .offset = (uint32_t)b->open->n };
	memcpy(b->open->data + b->open->n, data, n);
	b->open->n += n;
	bundle_ref(place.bundle);
	map_put(b, id, &place);
	cut = b->open->n >= b->target ||
	      (b->open->n >= b->target / 2 && (id->bytes[31] & CUT_MASK) == 0);
	r = cut ? bundler_close(b) : 0;
	if (r < 0) {
		bundle_unref(place.bundle);
		return r;
	}
	*ret_place = place;
	return 0;
}
