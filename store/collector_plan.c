/* SPDX-License-Identifier: MIT */
/* Judging: which packs are freed as they are, which are rewritten, in which order. */
#include "store/base/log.h"
#include "store/collector_internal.h"
#include "store/writer_list.h"

#include <errno.h>
#include <string.h>

/* Packs with these numbers or higher: of living writers; not yet seen dead by a collection. */
struct bounds {
	uint32_t in_use;
	uint32_t young;
};

static int find_bounds(struct collector *c, struct bounds *to)
{
	int r = writer_list_oldest(c->store->io, &to->in_use);

	if (r < 0)
		return r;
	if (c->options->young_too) {
		to->young = UINT32_MAX;
		return 0;
	}
	return chunk_index_collected(c->store->index, &to->young);
}

/* More than it holds are not alive, whatever the index's lengths say. */
static uint32_t garbage(const struct pack_use *use)
{
	return use->live < use->size ? use->size - use->live : 0;
}

static bool is_sparse(const struct collector *c, const struct pack_use *use)
{
	uint32_t gain = garbage(use);

	return (uint64_t)use->live * 100 < (uint64_t)use->size * c->options->sparse_percent &&
	       (use->size >= SMALL_PACK_BYTES || gain >= SPARSE_GAIN_MIN);
}

static int judge_pack(struct collector *c, struct pack_use *use, const struct bounds *b)
{
	/* No record can lead to what was condemned, but a rebuilt index or a copied one may not
	 * know that. */
	if (use->condemned && use->live > 0) {
		use->condemned = false;
		return chunk_index_condemn(c->store->index, &use->id, false);
	}
	if (use->number >= b->in_use) {
		c->stats.packs_in_use++;
	} else if (use->live > 0) {
		use->fate = is_sparse(c, use) ? FATE_COPY : FATE_STAYS;
	} else if (use->number >= b->young && !use->condemned) {
		c->stats.packs_young++;
	} else {
		use->fate = FATE_DEAD;
		c->stats.packs_dead++;
		c->stats.bytes_dead += use->size;
	}
	return 0;
}

static int compare_live(const void *a, const void *b)
{
	const struct pack_use *const *p = a, *const *q = b;

	if ((*p)->live != (*q)->live)
		return (*p)->live < (*q)->live ? -1 : 1;
	return (*p)->number < (*q)->number ? -1 : (*p)->number > (*q)->number;
}

/*
 * Small packs, smallest first: as soon as several are of like size (each not
 * much larger than those of its group before it together), they are merged with
 * all that are smaller. So a byte is rewritten a few times in its life, not at
 * every collection.
 */
static void choose_small(struct pack_use **small, size_t n)
{
	size_t group = 0, end = 0;
	uint64_t sum = 0;

	if (n > 0)
		qsort(small, n, sizeof(struct pack_use *), compare_live);
	for (; end < n; end++) {
		if (end > group && small[end]->live > 2 * sum + MERGE_STEP_BYTES) {
			if (end - group >= MERGE_PACKS_MIN)
				break;
			group = end;
			sum = 0;
		}
		sum += small[end]->live;
	}
	if (end - group < MERGE_PACKS_MIN)
		return;
	for (size_t i = 0; i < end; i++)
		small[i]->fate = FATE_COPY;
}

static bool is_small(const struct pack_use *use, const struct bounds *b)
{
	return use->live > 0 && use->size < SMALL_PACK_BYTES && use->number < b->in_use &&
	       use->fate == FATE_STAYS;
}

/* The order of turns, at most rewrite_bytes of copying. Those with the least to copy come first. */
static void order_turns(struct collector *c)
{
	uint64_t left = c->options->rewrite_bytes;
	size_t from;

	for (size_t i = 0; i < c->n_packs; i++)
		if (c->packs[i].fate == FATE_DEAD)
			c->order[c->n_order++] = &c->packs[i];
	c->n_dead = c->n_order;
	from = c->n_order;
	for (size_t i = 0; i < c->n_packs; i++)
		if (c->packs[i].fate == FATE_COPY)
			c->order[c->n_order++] = &c->packs[i];
	if (c->n_order > from)
		qsort(c->order + from, c->n_order - from, sizeof(struct pack_use *), compare_live);
	for (size_t i = from; i < c->n_order; i++) {
		if (c->order[i]->live > left) {
			c->n_order = i;
			break;
		}
		left -= c->order[i]->live;
		c->stats.packs_chosen++;
		c->stats.bytes_chosen += c->order[i]->live;
	}
}

int collector_judge(struct collector *c)
{
	CLEANUP(free_ptr) struct pack_use **small = calloc(c->n_packs + 1, sizeof(*small));
	struct bounds b = { 0 };
	size_t n_small = 0;
	int r = find_bounds(c, &b);

	c->order = calloc(c->n_packs + 1, sizeof(struct pack_use *));
	if (!small || !c->order)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_packs && r == 0; i++) {
		r = judge_pack(c, &c->packs[i], &b);
		if (r == 0 && is_small(&c->packs[i], &b))
			small[n_small++] = &c->packs[i];
	}
	if (r < 0)
		return r;
	choose_small(small, n_small);
	order_turns(c);
	return 0;
}
