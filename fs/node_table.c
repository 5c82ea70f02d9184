/* SPDX-License-Identifier: MIT */
#include "fs/node_table.h"

#include "store/base/lock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_START 64u

/* Links are slots, not pointers: half the size, and 0 is none. */
struct dir_node {
	uint32_t slot;
	uint32_t parent;    /* 0: a root */
	uint32_t index;     /* in the parent; of a root: hash of key and name */
	uint32_t canonical; /* itself, or the node that this alias stands for */
	uint32_t generation;
	uint32_t next;      /* in its bucket; among the dead, while they are taken apart */
	uint64_t n_lookups; /* the kernel's, of the directory itself */
	uint64_t n_refs;    /* child nodes, alias nodes, look-ups of files */
	uint64_t key;       /* of the snapshot */
	uint64_t ino;
	struct chunk_id tree;
	struct open_snapshot *snapshot; /* a canonical root's */
	char name[];                    /* an alias root's; else empty */
};

struct node_table {
	struct lock lock;        /* everything below */
	struct dir_node **slots; /* by slot; NULL: free */
	uint32_t n_slots;        /* slots ever used + 1 */
	uint32_t slots_room;
	uint32_t *free_slots;
	uint32_t n_free;
	uint32_t *buckets;  /* of (parent, index) */
	uint32_t n_buckets; /* a power of two */
	uint32_t n_nodes;
	uint32_t generation;
};

int node_table_new(struct node_table **ret_table)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = NULL;

	assert(ret_table);

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	lock_init(&t->lock, LOCK_RANK_MOUNT);
	t->n_slots = 1; /* slot 0 means none */
	t->slots_room = SLOTS_START;
	t->n_buckets = SLOTS_START;
	t->slots = calloc(t->slots_room, sizeof(*t->slots));
	t->free_slots = calloc(t->slots_room, sizeof(*t->free_slots));
	t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
	if (!t->slots || !t->free_slots || !t->buckets)
		return -ENOMEM;
	*ret_table = STEAL(t);
	return 0;
}

void node_table_free(struct node_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 1; t->slots && i < t->n_slots; i++) {
		if (t->slots[i])
			open_snapshot_unref(t->slots[i]->snapshot);
		free(t->slots[i]);
	}
	free(t->slots);
	free(t->free_slots);
	free(t->buckets);
	lock_done(&t->lock);
	free(t);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static uint32_t *bucket_of(const struct node_table *t, uint32_t parent, uint32_t index)
{
	return &t->buckets[mix((uint64_t)parent << 32 | index) & (t->n_buckets - 1)];
}

/* Roots have no place in a directory: a hash stands in for the index. */
static uint32_t root_index(uint64_t key, const char *name)
{
	uint64_t h = mix(key + 1);

	for (const char *c = name; *c; c++)
		h = mix(h ^ (uint8_t)*c);
	return (uint32_t)(h ^ h >> 32);
}

static struct dir_node *at(const struct node_table *t, uint32_t slot)
{
	return slot < t->n_slots ? t->slots[slot] : NULL;
}

static struct dir_node *find_child(const struct node_table *t, uint32_t parent, uint32_t index)
{
	uint32_t slot = *bucket_of(t, parent, index);

	while (slot && (t->slots[slot]->parent != parent || t->slots[slot]->index != index))
		slot = t->slots[slot]->next;
	return slot ? t->slots[slot] : NULL;
}

static struct dir_node *find_root(const struct node_table *t, uint64_t key, const char *name)
{
	uint32_t index = root_index(key, name);
	uint32_t slot = *bucket_of(t, 0, index);

	for (; slot; slot = t->slots[slot]->next) {
		struct dir_node *n = t->slots[slot];

		if (n->parent == 0 && n->index == index && n->key == key && !strcmp(n->name, name))
			return n;
	}
	return NULL;
}

static int grow_slots(struct node_table *t)
{
	uint32_t room = t->slots_room * 2;
	struct dir_node **slots;
	uint32_t *free_slots;

	/* Both grow alike, so that a slot can always be given back. */
	slots = reallocarray(t->slots, room, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	free_slots = reallocarray(t->free_slots, room, sizeof(*free_slots));
	if (!free_slots)
		return -ENOMEM;
	t->free_slots = free_slots;
	t->slots_room = room;
	return 0;
}

static int take_slot(struct node_table *t, uint32_t *ret_slot)
{
	int r;

	if (t->n_free > 0) {
		*ret_slot = t->free_slots[--t->n_free];
		return 0;
	}
	if (t->n_slots > NODE_SLOT_MAX)
		return -ENFILE;
	if (t->n_slots == t->slots_room) {
		r = grow_slots(t);
		if (r < 0)
			return r;
	}
	*ret_slot = t->n_slots++;
	return 0;
}

/* More buckets keep chains short; without memory for them the old ones do. */
static void grow_buckets(struct node_table *t)
{
	uint32_t n = t->n_buckets * 2;
	uint32_t *buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return;
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = n;
	for (uint32_t i = 1; i < t->n_slots; i++) {
		struct dir_node *node = t->slots[i];
		uint32_t *bucket;

		if (!node)
			continue;
		bucket = bucket_of(t, node->parent, node->index);
		node->next = *bucket;
		*bucket = i;
	}
}

/* Make a node and enter it. `like` gives parent, index, key, ino and tree. */
static int add_node(struct node_table *t, const struct dir_node *like, const char *name,
		    struct dir_node **ret_node)
{
	size_t name_bytes = strlen(name) + 1;
	struct dir_node *n;
	uint32_t *bucket;
	uint32_t slot;
	int r;

	if (t->n_nodes >= t->n_buckets && t->n_buckets <= NODE_SLOT_MAX / 2)
		grow_buckets(t);
	n = malloc(sizeof(*n) + name_bytes);
	if (!n)
		return -ENOMEM;
	r = take_slot(t, &slot);
	if (r < 0) {
		free(n);
		return r;
	}
	*n = *like;
	memcpy(n->name, name, name_bytes);
	n->slot = slot;
	n->canonical = slot;
	n->generation = ++t->generation;
	n->n_lookups = 0;
	n->n_refs = 0;
	n->snapshot = NULL;
	bucket = bucket_of(t, n->parent, n->index);
	n->next = *bucket;
	*bucket = slot;
	t->slots[slot] = n;
	t->n_nodes++;
	if (n->parent)
		t->slots[n->parent]->n_refs++;
	*ret_node = n;
	return 0;
}

static void leave_bucket(struct node_table *t, struct dir_node *n)
{
	uint32_t *link = bucket_of(t, n->parent, n->index);

	while (*link != n->slot)
		link = &t->slots[*link]->next;
	*link = n->next;
}

static bool is_dead(const struct dir_node *n)
{
	return n->n_lookups == 0 && n->n_refs == 0;
}

static void drop_ref(struct node_table *t, uint32_t slot, uint32_t *dead)
{
	struct dir_node *n = t->slots[slot];

	assert(n->n_refs > 0);
	n->n_refs--;
	if (!is_dead(n))
		return;
	leave_bucket(t, n);
	n->next = *dead;
	*dead = slot;
}

/*
 * Take a node apart if nothing refers to it any more, and with it whatever
 * only it kept. At most one snapshot loses its canonical root by that: its
 * reference is handed to the caller, who drops it without the lock.
 */
static void collect(struct node_table *t, struct dir_node *n, struct open_snapshot **ret_snapshot)
{
	uint32_t dead = 0;

	if (!is_dead(n))
		return;
	leave_bucket(t, n);
	n->next = 0;
	dead = n->slot;
	while (dead) {
		n = t->slots[dead];
		dead = n->next;
		if (n->parent)
			drop_ref(t, n->parent, &dead);
		if (n->canonical != n->slot)
			drop_ref(t, n->canonical, &dead);
		if (n->snapshot)
			*ret_snapshot = n->snapshot;
		t->slots[n->slot] = NULL;
		t->free_slots[t->n_free++] = n->slot;
		t->n_nodes--;
		free(n);
	}
}

int node_table_view(struct node_table *t, uint32_t slot, struct dir_view *ret_view)
{
	const struct dir_node *n, *parent;
	LOCK_SCOPE(&t->lock);

	n = at(t, slot);
	if (!n)
		return -ESTALE;
	parent = n->parent ? t->slots[n->parent] : n;
	*ret_view = (struct dir_view){
		.slot = slot,
		.canonical = n->canonical,
		.canonical_generation = t->slots[n->canonical]->generation,
		.key = n->key,
		.ino = n->ino,
		.parent_ino = parent->ino,
		.tree = n->tree,
	};
	return 0;
}

int node_table_place(struct node_table *t, uint64_t node, struct entry_place *ret_place)
{
	const struct dir_node *n, *parent;
	struct entry_place place = { 0 };
	LOCK_SCOPE(&t->lock);

	n = at(t, node_slot(node));
	if (!n)
		return -ESTALE;
	place.key = n->key;
	if (node_is_directory(node) && n->parent == 0) {
		place.snapshot = open_snapshot_ref(t->slots[n->canonical]->snapshot);
	} else {
		parent = node_is_directory(node) ? t->slots[n->parent] : n;
		place.tree = parent->tree;
		place.parent_ino = parent->ino;
		place.index = node_is_directory(node) ? n->index : node_index(node);
	}
	*ret_place = place;
	return 0;
}

struct open_snapshot *node_table_snapshot(struct node_table *t, uint64_t key)
{
	const struct dir_node *n;
	LOCK_SCOPE(&t->lock);

	n = find_root(t, key, "");
	return n ? open_snapshot_ref(n->snapshot) : NULL;
}

static struct node_handle count_lookup(struct dir_node *n)
{
	n->n_lookups++;
	return (struct node_handle){ .node = node_of_directory(n->slot),
				     .generation = n->generation };
}

static void point_at(struct dir_node *alias, struct dir_node *canonical)
{
	alias->canonical = canonical->slot;
	canonical->n_refs++;
}

int node_table_enter_root(struct node_table *t, const char *alias, struct open_snapshot *snapshot,
			  const struct chunk_id *tree, uint64_t ino, struct node_handle *ret_handle)
{
	struct dir_node like = { .key = open_snapshot_key(snapshot), .ino = ino, .tree = *tree };
	struct dir_node *canonical, *n;
	int r;
	LOCK_SCOPE(&t->lock);

	assert(!alias || alias[0]);
	canonical = find_root(t, like.key, "");
	if (!canonical) {
		like.index = root_index(like.key, "");
		r = add_node(t, &like, "", &canonical);
		if (r < 0)
			return r;
		canonical->snapshot = open_snapshot_ref(snapshot);
	}
	n = alias ? find_root(t, like.key, alias) : canonical;
	if (!n) {
		like.index = root_index(like.key, alias);
		r = add_node(t, &like, alias, &n);
		if (r < 0) {
			struct open_snapshot *unused = NULL;

			collect(t, canonical, &unused);
			open_snapshot_unref(unused); /* not the last: the caller has one */
			return r;
		}
		point_at(n, canonical);
	}
	*ret_handle = count_lookup(n);
	return 0;
}

/*
 * Does a directory lie inside itself, or deeper than any that is captured? Only
 * forged ones do; tools that do not look for loops would go down for ever.
 */
static bool bottomless(const struct node_table *t, const struct dir_node *above,
		       const struct chunk_id *tree)
{
	static const struct chunk_id empty;
	const bool check = memcmp(tree, &empty, sizeof(empty)) != 0;
	uint32_t depth = 1;

	for (; depth <= TREE_DEPTH_MAX && above->parent != 0; depth++) {
		if (check && memcmp(&above->tree, tree, sizeof(*tree)) == 0)
			return true;
		above = t->slots[above->parent];
	}
	return depth > TREE_DEPTH_MAX || (check && memcmp(&above->tree, tree, sizeof(*tree)) == 0);
}

int node_table_enter_child(struct node_table *t, uint32_t parent, uint32_t index,
			   const struct chunk_id *tree, uint64_t ino,
			   struct node_handle *ret_handle)
{
	struct dir_node like = { .parent = parent, .index = index, .ino = ino, .tree = *tree };
	struct dir_node *above, *canonical, *n;
	struct open_snapshot *unused = NULL;
	int r;
	LOCK_SCOPE(&t->lock);

	above = at(t, parent);
	if (!above)
		return -ESTALE;
	n = find_child(t, parent, index);
	if (n) {
		*ret_handle = count_lookup(n);
		return 0;
	}
	if (bottomless(t, above, tree))
		return -ELOOP;
	like.key = above->key;
	like.parent = above->canonical;
	canonical = find_child(t, like.parent, index);
	if (!canonical) {
		r = add_node(t, &like, "", &canonical);
		if (r < 0)
			return r;
	}
	n = canonical;
	if (above->canonical != parent) {
		like.parent = parent;
		r = add_node(t, &like, "", &n);
		if (r < 0) {
			collect(t, canonical, &unused); /* its parent stays: `above` refers to it */
			return r;
		}
		point_at(n, canonical);
	}
	*ret_handle = count_lookup(n);
	return 0;
}

int node_table_count_files(struct node_table *t, uint32_t canonical, uint64_t n)
{
	struct dir_node *node;
	LOCK_SCOPE(&t->lock);

	node = at(t, canonical);
	if (!node)
		return -ESTALE;
	node->n_refs += n;
	return 0;
}

/* Returns the snapshot whose last node left, for the caller to let go. */
static struct open_snapshot *forget_locked(struct node_table *t, uint64_t node, uint64_t n)
{
	struct open_snapshot *snapshot = NULL;
	struct dir_node *dir;
	uint64_t *count;
	LOCK_SCOPE(&t->lock);

	dir = at(t, node_slot(node));
	count = !dir ? NULL : node_is_directory(node) ? &dir->n_lookups : &dir->n_refs;
	if (!count || *count < n) {
		log_warning("mount: the kernel forgets node %" PRIx64
			    " more often than it knows it",
			    node);
		return NULL;
	}
	*count -= n;
	collect(t, dir, &snapshot);
	return snapshot;
}

void node_table_forget(struct node_table *t, uint64_t node, uint64_t n)
{
	open_snapshot_unref(forget_locked(t, node, n));
}

/* Is this a root of the snapshot? */
static bool is_root_of(const struct dir_node *n, uint64_t key)
{
	return n && n->parent == 0 && n->key == key;
}

int node_table_root_names(struct node_table *t, uint64_t key, char **ret_names)
{
	size_t bytes = 1, end = 0;
	int n_names = 0;
	char *names;
	LOCK_SCOPE(&t->lock);

	*ret_names = NULL;
	if (!find_root(t, key, ""))
		return 0;
	for (uint32_t i = 1; i < t->n_slots; i++)
		if (is_root_of(t->slots[i], key))
			bytes += strlen(t->slots[i]->name) + 1;
	names = malloc(bytes);
	if (!names)
		return -ENOMEM;
	for (uint32_t i = 1; i < t->n_slots; i++) {
		if (!is_root_of(t->slots[i], key))
			continue;
		n_names++;
		end = (size_t)(stpcpy(names + end, t->slots[i]->name) - names) + 1;
	}
	*ret_names = names;
	return n_names;
}

uint64_t node_table_count(struct node_table *t)
{
	LOCK_SCOPE(&t->lock);

	return t->n_nodes;
}
