/* SPDX-License-Identifier: MIT */
#include "fs/reader_pool.h"

#include "store/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each may pin a few nodes of 64 KiB. */
#define POOL_TREES 16u
#define POOL_CONTENTS 48u

struct slot {
	struct chunk_id tree;
	uint64_t number; /* a tree reader's position; a file's index */
	uint64_t size;   /* of a file */
	uint64_t used;
	bool is_set;
	bool busy;
	struct tree_reader *tree_reader;
	struct content_reader *content_reader;
};

struct reader_pool {
	struct chunk_cache *cache;
	struct lock lock; /* everything below */
	uint64_t clock;
	struct slot trees[POOL_TREES];
	struct slot contents[POOL_CONTENTS];
};

int reader_pool_new(struct chunk_cache *cache, struct reader_pool **ret_pool)
{
	struct reader_pool *p;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->cache = cache;
	lock_init(&p->lock, LOCK_RANK_LEAF);
	*ret_pool = p;
	return 0;
}

static void slot_done(struct slot *s)
{
	tree_reader_free(s->tree_reader);
	content_reader_free(s->content_reader);
}

void reader_pool_free(struct reader_pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < POOL_TREES; i++)
		slot_done(&p->trees[i]);
	for (size_t i = 0; i < POOL_CONTENTS; i++)
		slot_done(&p->contents[i]);
	lock_done(&p->lock);
	free(p);
}

static bool same_tree(const struct slot *s, const struct chunk_id *tree)
{
	return s->is_set && memcmp(&s->tree, tree, sizeof(*tree)) == 0;
}

/* How gladly a free slot is taken: the thing itself, its directory, an unset one, the oldest. */
static uint64_t rank(const struct slot *s, const struct chunk_id *tree, uint64_t number,
		     bool tree_is_enough)
{
	bool same = same_tree(s, tree);

	if (same && s->number == number)
		return 0;
	if (same && tree_is_enough)
		return 1;
	return s->is_set ? 2 + s->used : 2;
}

/* Mark the best free slot busy; NULL when none is free. */
static struct slot *take(struct reader_pool *p, struct slot *slots, size_t n,
			 const struct chunk_id *tree, uint64_t number)
{
	bool tree_is_enough = slots == p->trees;
	struct slot *best = NULL;
	uint64_t best_rank = UINT64_MAX;
	LOCK_SCOPE(&p->lock);

	for (size_t i = 0; i < n && best_rank > 0; i++) {
		uint64_t r;

		if (slots[i].busy)
			continue;
		r = rank(&slots[i], tree, number, tree_is_enough);
		if (r < best_rank) {
			best = &slots[i];
			best_rank = r;
		}
	}
	if (best) {
		best->busy = true;
		best->used = ++p->clock;
	}
	return best;
}

static bool owns(const struct reader_pool *p, const struct slot *s)
{
	uintptr_t begin = (uintptr_t)p, at = (uintptr_t)s;

	return at >= begin && at < begin + sizeof(*p);
}

static void put(struct reader_pool *p, struct slot *s)
{
	if (!owns(p, s)) {
		slot_done(s);
		free(s);
		return;
	}
	LOCK_SCOPE(&p->lock);
	s->busy = false;
}

int reader_pool_get_tree(struct reader_pool *p, const struct chunk_id *tree, uint64_t position,
			 struct tree_lease *ret_lease)
{
	struct slot *s = take(p, p->trees, POOL_TREES, tree, position);
	int r = 0;

	*ret_lease = (struct tree_lease){ 0 };
	if (!s)
		s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*ret_lease = (struct tree_lease){ .slot = s, .pool = p };
	if (!s->tree_reader)
		r = tree_reader_new(p->cache, &s->tree_reader);
	if (r < 0)
		return r;
	ret_lease->reader = s->tree_reader;
	if (same_tree(s, tree))
		return 0;
	s->is_set = false;
	r = tree_reader_set(s->tree_reader, tree);
	if (r < 0)
		return r;
	s->tree = *tree;
	s->is_set = true;
	return 0;
}

void reader_pool_put_tree(struct tree_lease *lease)
{
	struct slot *s = lease->slot;

	if (!s)
		return;
	if (s->is_set)
		s->number = tree_reader_position(s->tree_reader);
	put(lease->pool, s);
	*lease = (struct tree_lease){ 0 };
}

int reader_pool_get_content(struct reader_pool *p, const struct chunk_id *tree, uint64_t index,
			    struct content_lease *ret_lease)
{
	struct slot *s = take(p, p->contents, POOL_CONTENTS, tree, index);
	int r = 0;

	*ret_lease = (struct content_lease){ 0 };
	if (!s)
		s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*ret_lease = (struct content_lease){ .slot = s, .pool = p };
	if (!s->content_reader)
		r = content_reader_new(p->cache, &s->content_reader);
	if (r < 0)
		return r;
	ret_lease->reader = s->content_reader;
	ret_lease->is_set = same_tree(s, tree) && s->number == index;
	ret_lease->size = s->size;
	s->tree = *tree;
	s->number = index;
	s->is_set = false;
	return 0;
}

void reader_pool_put_content(struct content_lease *lease)
{
	struct slot *s = lease->slot;

	if (!s)
		return;
	s->is_set = lease->is_set;
	s->size = lease->size;
	put(lease->pool, s);
	*lease = (struct content_lease){ 0 };
}
