/* SPDX-License-Identifier: MIT */
#include "fs/name_batch.h"

#include "store/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ROOM (2u * NAME_BATCH_MAX) /* then the further half is dropped */
#define POOL_SLOTS 8u

struct name_item {
	uint64_t cookie;
	uint64_t ino;
	uint32_t name; /* where it begins */
	uint32_t order;
	mode_t type;
};

struct name_batch {
	uint64_t node, version, from;
	uint64_t last; /* no cookie behind this one is taken; UINT64_MAX: all are */
	bool finished;
	struct name_item *items;
	uint32_t n, room;
	uint32_t n_added;
	struct byte_buf names; /* NUL-terminated */
};

uint64_t name_cookie(const struct view *v, const char *name, size_t n)
{
	uint8_t text[1 + NAME_BYTES_MAX];

	if (n > NAME_BYTES_MAX)
		n = NAME_BYTES_MAX;
	text[0] = 'c';
	memcpy(text + 1, name, n);
	return NAME_COOKIE_FIRST | crypto_short_hash(v->ino_key, text, 1 + n) >> 4;
}

int name_batch_new(uint64_t node, uint64_t version, uint64_t from, struct name_batch **ret_batch)
{
	struct name_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->node = node;
	b->version = version;
	b->from = from < NAME_COOKIE_FIRST ? 0 : from;
	b->last = UINT64_MAX;
	*ret_batch = b;
	return 0;
}

void name_batch_free(struct name_batch *b)
{
	if (!b)
		return;
	byte_buf_done(&b->names);
	free(b->items);
	free(b);
}

bool name_batch_wants(const struct name_batch *b, uint64_t cookie)
{
	return cookie > b->from && cookie <= b->last;
}

static int compare_items(const void *a, const void *b)
{
	const struct name_item *x = a, *y = b;

	if (x->cookie != y->cookie)
		return x->cookie < y->cookie ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Sort, leave doubles out, keep at most NAME_BATCH_MAX. */
static void settle(struct name_batch *b)
{
	uint32_t n = 0;

	if (b->n > 0)
		qsort(b->items, b->n, sizeof(*b->items), compare_items);
	for (uint32_t i = 0; i < b->n; i++)
		if (n == 0 || b->items[i].cookie != b->items[n - 1].cookie)
			b->items[n++] = b->items[i];
	b->n = n;
	if (n <= NAME_BATCH_MAX)
		return;
	b->n = NAME_BATCH_MAX;
	b->last = b->items[NAME_BATCH_MAX - 1].cookie;
}

/* Drop the text of names that are not in it any more. */
static int compact_names(struct name_batch *b)
{
	struct byte_buf names = { 0 };

	for (uint32_t i = 0; i < b->n; i++) {
		const char *name = (const char *)b->names.data + b->items[i].name;

		b->items[i].name = (uint32_t)names.n;
		byte_buf_append(&names, name, strlen(name) + 1);
	}
	byte_buf_done(&b->names);
	b->names = names;
	return names.failed ? -ENOMEM : 0;
}

static int make_room(struct name_batch *b)
{
	struct name_item *items;

	if (b->n == ROOM) {
		settle(b);
		return compact_names(b);
	}
	if (b->n < b->room)
		return 0;
	b->room = b->room ? b->room * 2 : 64;
	items = reallocarray(b->items, b->room, sizeof(*items));
	if (!items)
		return -ENOMEM;
	b->items = items;
	return 0;
}

int name_batch_add(struct name_batch *b, uint64_t cookie, const char *name, size_t n, mode_t type,
		   uint64_t ino)
{
	int r;

	assert(!b->finished);
	if (!name_batch_wants(b, cookie))
		return 0;
	r = make_room(b);
	if (r < 0)
		return r;
	b->items[b->n++] = (struct name_item){
		.cookie = cookie,
		.ino = ino,
		.name = (uint32_t)b->names.n,
		.order = b->n_added++,
		.type = type,
	};
	byte_buf_append(&b->names, name, n);
	byte_buf_u8(&b->names, '\0');
	return b->names.failed ? -ENOMEM : 0;
}

void name_batch_finish(struct name_batch *b)
{
	settle(b);
	b->finished = true;
}

enum batch_end name_batch_list(const struct name_batch *b, uint64_t *cookie, struct dir_sink *sink)
{
	uint32_t low = 0, high = b->n;

	assert(b->finished);
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (b->items[middle].cookie <= *cookie)
			low = middle + 1;
		else
			high = middle;
	}
	for (uint32_t i = low; i < b->n; i++) {
		const char *name = (const char *)b->names.data + b->items[i].name;
		const struct node_info info = {
			.st = { .st_mode = b->items[i].type, .st_ino = b->items[i].ino },
		};

		if (!sink->fits(sink, name))
			return BATCH_NO_ROOM;
		sink->add(sink, name, &info, b->items[i].cookie);
		*cookie = b->items[i].cookie;
	}
	return b->last == UINT64_MAX ? BATCH_DONE : BATCH_MORE;
}

/* ---- the pool ---- */

struct name_pool {
	struct lock lock;                     /* everything below */
	struct name_batch *slots[POOL_SLOTS]; /* the newest first */
};

int name_pool_new(struct name_pool **ret_pool)
{
	struct name_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	lock_init(&p->lock, LOCK_RANK_LEAF);
	*ret_pool = p;
	return 0;
}

void name_pool_free(struct name_pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < POOL_SLOTS; i++)
		name_batch_free(p->slots[i]);
	lock_done(&p->lock);
	free(p);
}

struct name_batch *name_pool_take(struct name_pool *p, uint64_t node, uint64_t version,
				  uint64_t cookie)
{
	LOCK_SCOPE(&p->lock);

	for (uint32_t i = 0; i < POOL_SLOTS; i++) {
		struct name_batch *b = p->slots[i];

		if (!b || b->node != node || b->version != version || cookie < b->from ||
		    cookie >= b->last)
			continue;
		for (; i + 1 < POOL_SLOTS; i++)
			p->slots[i] = p->slots[i + 1];
		p->slots[POOL_SLOTS - 1] = NULL;
		return b;
	}
	return NULL;
}

static struct name_batch *push(struct name_pool *p, struct name_batch *b)
{
	struct name_batch *oldest;
	LOCK_SCOPE(&p->lock);

	oldest = p->slots[POOL_SLOTS - 1];
	for (uint32_t i = POOL_SLOTS - 1; i > 0; i--)
		p->slots[i] = p->slots[i - 1];
	p->slots[0] = b;
	return oldest;
}

void name_pool_keep(struct name_pool *p, struct name_batch *b)
{
	assert(b->finished);
	name_batch_free(push(p, b));
}
