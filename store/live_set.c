/* SPDX-License-Identifier: MIT */
#include "store/live_set.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024
#define KEY_BYTES_MAX 16

static const uint8_t empty[KEY_BYTES_MAX];

static uint8_t *find_slot(const struct live_set *set, const uint8_t *key)
{
	uint64_t hash;
	uint8_t *slot;

	memcpy(&hash, key, sizeof(hash));
	for (size_t i = (size_t)hash;; i++) {
		slot = set->slots + (i & (set->n_slots - 1)) * set->key_bytes;
		if (memcmp(slot, empty, set->key_bytes) == 0 ||
		    memcmp(slot, key, set->key_bytes) == 0)
			return slot;
	}
}

/* Zeros would look like an empty slot. */
static void make_key(const struct live_set *set, const struct chunk_id *id,
		     uint8_t to[static KEY_BYTES_MAX])
{
	assert(set->key_bytes == 8 || set->key_bytes == KEY_BYTES_MAX);
	memcpy(to, id->bytes, KEY_BYTES_MAX);
	if (memcmp(to, empty, set->key_bytes) == 0)
		to[0] = 1;
}

static int grow(struct live_set *set)
{
	struct live_set grown = { .key_bytes = set->key_bytes,
				  .n_slots = set->n_slots ? 2 * set->n_slots : SLOTS_MIN,
				  .n = set->n };

	grown.slots = calloc(grown.n_slots, grown.key_bytes);
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_slots; i++) {
		const uint8_t *slot = set->slots + i * set->key_bytes;

		if (memcmp(slot, empty, set->key_bytes) != 0)
			memcpy(find_slot(&grown, slot), slot, set->key_bytes);
	}
	free(set->slots);
	*set = grown;
	return 0;
}

int live_set_add(struct live_set *set, const struct chunk_id *id)
{
	uint8_t key[KEY_BYTES_MAX];
	uint8_t *slot;

	make_key(set, id, key);
	if (set->n >= set->n_slots / 4 * 3) {
		int r = grow(set);

		if (r < 0)
			return r;
	}
	slot = find_slot(set, key);
	if (memcmp(slot, key, set->key_bytes) == 0)
		return 0;
	memcpy(slot, key, set->key_bytes);
	set->n++;
	return 1;
}

bool live_set_has(const struct live_set *set, const struct chunk_id *id)
{
	uint8_t key[KEY_BYTES_MAX];

	if (set->n == 0)
		return false;
	make_key(set, id, key);
	return memcmp(find_slot(set, key), key, set->key_bytes) == 0;
}

void live_set_done(struct live_set *set)
{
	free(set->slots);
	*set = (struct live_set){ .key_bytes = set->key_bytes };
}
