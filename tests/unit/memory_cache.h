/* SPDX-License-Identifier: MIT */
/*
 * memory_cache: objects in memory behind the interface of chunk_cache, and a
 * sink that puts them there, so that trees and contents are tested without a
 * repository. Include it in one file of a test; it takes chunk_cache's place.
 */
#ifndef TESTS_UNIT_MEMORY_CACHE_H
#define TESTS_UNIT_MEMORY_CACHE_H

#include "snapshots/content_internal.h"
#include "store/chunk_cache.h"
#include "store/compress.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MEMORY_SLOTS (1u << 20)

struct memory_object {
	struct chunk_id id;
	enum object_type type;
	size_t n;
	bool damaged;
	uint8_t data[];
};

struct chunk_cache {
	struct object_sink sink; /* first: the sink is the cache */
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
	struct memory_object **slots;
	uint64_t objects;
	uint64_t puts;
	uint64_t gets;
	uint64_t prefetches;
	int64_t pins;
};

static uint32_t memory_slot(const struct chunk_cache *c, const struct chunk_id *id,
			    enum object_type type)
{
	uint32_t slot = (uint32_t)get_u64(id->bytes + 8) % MEMORY_SLOTS;

	while (c->slots[slot] &&
	       (c->slots[slot]->type != type || !chunk_id_equal(&c->slots[slot]->id, id)))
		slot = (slot + 1) % MEMORY_SLOTS;
	return slot;
}

static struct memory_object *memory_find(const struct chunk_cache *c, const struct chunk_id *id,
					 enum object_type type)
{
	return c->slots[memory_slot(c, id, type)];
}

static int memory_put(struct object_sink *sink, enum object_type type, const void *data, size_t n,
		      struct chunk_id *ret_id)
{
	struct chunk_cache *c = (struct chunk_cache *)sink;
	struct memory_object **slot;

	assert_true(n > 0 && n <= CHUNK_RAW_MAX);
	assert_true(type == OBJECT_DATA || n <= NODE_BYTES_MAX);
	id_hasher_run(c->hashers[type], data, n, ret_id);
	c->puts++;
	slot = &c->slots[memory_slot(c, ret_id, type)];
	if (*slot)
		return 0;
	*slot = calloc(1, sizeof(**slot) + n);
	assert_non_null(*slot);
	(*slot)->id = *ret_id;
	(*slot)->type = type;
	(*slot)->n = n;
	memcpy((*slot)->data, data, n);
	c->objects++;
	return 0;
}

static inline struct chunk_cache *memory_new(void)
{
	struct chunk_cache *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->slots = calloc(MEMORY_SLOTS, sizeof(*c->slots));
	assert_non_null(c->slots);
	assert_int_equal(crypto_init(), 0);
	c->sink.put = memory_put;
	for (int i = 1; i <= OBJECT_TYPE_MAX; i++) {
		uint8_t key[KEY_BYTES] = { (uint8_t)i };

		assert_int_equal(id_hasher_new(HASH_HMAC_SHA256, key, &c->hashers[i]), 0);
	}
	return c;
}

static inline void memory_free(struct chunk_cache *c)
{
	assert_int_equal(c->pins, 0);
	for (uint32_t i = 0; i < MEMORY_SLOTS; i++)
		free(c->slots[i]);
	for (int i = 1; i <= OBJECT_TYPE_MAX; i++)
		id_hasher_free(c->hashers[i]);
	free(c->slots);
	free(c);
}

int chunk_cache_get(struct chunk_cache *c, const struct chunk_id *id, enum object_type type,
		    struct chunk_pin *ret_pin)
{
	struct memory_object *o = memory_find(c, id, type);

	c->gets++;
	if (!o)
		return -ENOENT;
	if (o->damaged)
		return -EBADMSG;
	*ret_pin = (struct chunk_pin){ .data = o->data, .n = o->n, .slot = o };
	c->pins++;
	return 0;
}

void chunk_cache_unpin(struct chunk_cache *c, struct chunk_pin *pin)
{
	if (pin->slot)
		c->pins--;
	*pin = (struct chunk_pin){ 0 };
}

void chunk_cache_prefetch(struct chunk_cache *c, const struct chunk_id *id, enum object_type type)
{
	(void)id;
	(void)type;
	c->prefetches++;
}

/* Small repeatable randomness. */
static inline uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline struct chunk_id test_id(uint64_t n)
{
	struct chunk_id id;

	for (int i = 0; i < 4; i++) {
		const uint64_t v = test_random(&n);

		memcpy(id.bytes + i * 8, &v, 8);
	}
	return id;
}

#endif
