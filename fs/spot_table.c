/* SPDX-License-Identifier: MIT */
#include "fs/spot_table.h"

#include "store/base/lock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_START 64u

struct spot_node {
	struct spot_node *next_number; /* in its bucket by number */
	struct spot_node *next_name;   /* in its bucket by parent and name */
	struct spot_node *above;       /* NULL: the view's folder */
	uint64_t n_refs;               /* look-ups by the kernel, spots in it */
	struct open_snapshot *held[2];
	struct spot spot; /* without a path */
	char name[];
};

struct spot_table {
	struct lock lock; /* everything below */
	struct spot_node **by_number;
	struct spot_node **by_name;
	size_t n_buckets; /* a power of two, of each */
	size_t n;
	uint64_t last_number;
};

int spot_table_new(struct spot_table **ret_table)
{
	CLEANUP(spot_table_free_ptr) struct spot_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	lock_init(&t->lock, LOCK_RANK_MOUNT);
	t->n_buckets = BUCKETS_START;
	t->by_number = calloc(t->n_buckets, sizeof(struct spot_node *));
	t->by_name = calloc(t->n_buckets, sizeof(struct spot_node *));
	if (!t->by_number || !t->by_name)
		return -ENOMEM;
	*ret_table = STEAL(t);
	return 0;
}

static void node_free(struct spot_node *n)
{
	open_snapshot_unref(n->held[0]);
	open_snapshot_unref(n->held[1]);
	free(n);
}

void spot_table_free(struct spot_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->by_number && i < t->n_buckets; i++) {
		while (t->by_number[i]) {
			struct spot_node *n = t->by_number[i];

			t->by_number[i] = n->next_number;
			node_free(n);
		}
	}
	free(t->by_number);
	free(t->by_name);
	lock_done(&t->lock);
	free(t);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static struct spot_node **number_bucket(const struct spot_table *t, uint64_t node)
{
	return &t->by_number[mix(node) & (t->n_buckets - 1)];
}

static struct spot_node **name_bucket(const struct spot_table *t, uint64_t parent, const char *name)
{
	uint64_t h = mix(parent);

	for (const char *c = name; *c; c++)
		h = mix(h ^ (uint8_t)*c);
	return &t->by_name[h & (t->n_buckets - 1)];
}

static struct spot_node *find(const struct spot_table *t, uint64_t node)
{
	struct spot_node *n = *number_bucket(t, node);

	while (n && n->spot.node != node)
		n = n->next_number;
	return n;
}

static struct spot_node *find_name(const struct spot_table *t, const struct spot *like,
				   const char *name)
{
	struct spot_node *n = *name_bucket(t, like->parent, name);

	while (n && (n->spot.parent != like->parent || n->spot.before != like->before ||
		     n->spot.after != like->after || strcmp(n->name, name) != 0))
		n = n->next_name;
	return n;
}

static void link_node(struct spot_table *t, struct spot_node *n)
{
	struct spot_node **number = number_bucket(t, n->spot.node);
	struct spot_node **name = name_bucket(t, n->spot.parent, n->name);

	n->next_number = *number;
	*number = n;
	n->next_name = *name;
	*name = n;
}

static void unlink_node(struct spot_table *t, const struct spot_node *n)
{
	struct spot_node **at = number_bucket(t, n->spot.node);

	while (*at != n)
		at = &(*at)->next_number;
	*at = n->next_number;
	at = name_bucket(t, n->spot.parent, n->name);
	while (*at != n)
		at = &(*at)->next_name;
	*at = n->next_name;
}

/* More buckets keep chains short; without memory for them the old ones do. */
static void grow(struct spot_table *t)
{
	struct spot_table bigger = { .n_buckets = t->n_buckets * 2 };

	bigger.by_number = calloc(bigger.n_buckets, sizeof(struct spot_node *));
	bigger.by_name = calloc(bigger.n_buckets, sizeof(struct spot_node *));
	if (!bigger.by_number || !bigger.by_name) {
		free(bigger.by_number);
		free(bigger.by_name);
		return;
	}
	for (size_t i = 0; i < t->n_buckets; i++) {
		while (t->by_number[i]) {
			struct spot_node *n = t->by_number[i];

			t->by_number[i] = n->next_number;
			link_node(&bigger, n);
		}
	}
	free(t->by_number);
	free(t->by_name);
	t->by_number = bigger.by_number;
	t->by_name = bigger.by_name;
	t->n_buckets = bigger.n_buckets;
}

/* "/home/me", put together from the last name to the first. NULL on no memory. */
static char *path_of(const struct spot_node *n)
{
	size_t length = 0;
	char *path;

	for (const struct spot_node *at = n; at && at->spot.kind != SPOT_COMPARED; at = at->above)
		length += strlen(at->name) + 1;
	path = malloc(length + 1);
	if (!path)
		return NULL;
	path[length] = '\0';
	for (const struct spot_node *at = n; at && at->spot.kind != SPOT_COMPARED; at = at->above) {
		const size_t name_n = strlen(at->name);

		length -= name_n + 1;
		path[length] = '/';
		memcpy(path + length + 1, at->name, name_n);
	}
	return path;
}

/* Below a comparison the first name is "added" and so on: no part of the path. */
static char *spot_path(const struct spot_node *n)
{
	CLEANUP(free_ptr) char *path = path_of(n);
	const char *rest;

	if (!path || n->spot.view != FOLDER_DIFF || path[0] == '\0')
		return STEAL(path);
	rest = strchr(path + 1, '/');
	return strdup(rest ? rest : "");
}

int spot_table_get(struct spot_table *t, uint64_t node, struct spot *ret_spot)
{
	const struct spot_node *n;
	struct spot spot;
	LOCK_SCOPE(&t->lock);

	n = find(t, node);
	if (!n)
		return -ESTALE;
	spot = n->spot;
	spot.path = spot_path(n);
	if (!spot.path)
		return -ENOMEM;
	*ret_spot = spot;
	return 0;
}

void spot_done(struct spot *s)
{
	free(s->path);
	s->path = NULL;
}

static int add_node(struct spot_table *t, const struct spot *like, const char *name,
		    struct spot_node **ret_node)
{
	const size_t name_bytes = strlen(name) + 1;
	struct spot_node *above = NULL, *n;

	if (node_kind(like->parent) == NODE_SPOT) {
		above = find(t, like->parent);
		if (!above)
			return -ESTALE;
	}
	n = calloc(1, sizeof(*n) + name_bytes);
	if (!n)
		return -ENOMEM;
	if (t->n >= t->n_buckets)
		grow(t);
	n->spot = *like;
	n->spot.path = NULL;
	n->spot.node = node_of_spot(++t->last_number);
	memcpy(n->name, name, name_bytes);
	n->above = above;
	if (above)
		above->n_refs++;
	link_node(t, n);
	t->n++;
	*ret_node = n;
	return 0;
}

static void note(struct spot_node *n, const struct spot *s)
{
	n->spot.version = s->version;
	n->spot.st = s->st;
	n->spot.seq = s->seq;
	n->spot.of_parent = s->of_parent;
}

int spot_table_enter(struct spot_table *t, const struct spot *like, const char *name,
		     struct open_snapshot **held, uint64_t *ret_node)
{
	struct spot_node *n;
	int r;
	LOCK_SCOPE(&t->lock);

	n = find_name(t, like, name);
	if (!n) {
		r = add_node(t, like, name, &n);
		if (r < 0)
			return r;
		for (int i = 0; held && i < 2; i++)
			n->held[i] = STEAL(held[i]);
	}
	note(n, like);
	n->n_refs++;
	*ret_node = n->spot.node;
	return 0;
}

int spot_table_again(struct spot_table *t, uint64_t parent, const char *name, uint64_t version,
		     uint64_t *ret_node, struct stat *ret_st)
{
	const struct spot like = { .parent = parent };
	struct spot_node *n;
	LOCK_SCOPE(&t->lock);

	n = find_name(t, &like, name);
	if (!n || n->spot.version != version)
		return 0;
	n->n_refs++;
	*ret_node = n->spot.node;
	*ret_st = n->spot.st;
	return 1;
}

void spot_table_note(struct spot_table *t, const struct spot *s)
{
	struct spot_node *n;
	LOCK_SCOPE(&t->lock);

	n = find(t, s->node);
	if (n)
		note(n, s);
}

/* Take apart what nothing refers to any more; a chain of dead ones is returned. */
static struct spot_node *drop_refs(struct spot_table *t, uint64_t node, uint64_t count)
{
	struct spot_node *n, *dead = NULL;
	LOCK_SCOPE(&t->lock);

	n = find(t, node);
	if (!n || n->n_refs < count) {
		log_warning("mount: the kernel forgets folder %" PRIx64
			    " more often than it knows it",
			    node);
		return NULL;
	}
	n->n_refs -= count;
	while (n && n->n_refs == 0) {
		struct spot_node *above = n->above;

		unlink_node(t, n);
		t->n--;
		n->next_name = dead;
		dead = n;
		if (above)
			above->n_refs--;
		n = above;
	}
	return dead;
}

void spot_table_forget(struct spot_table *t, uint64_t node, uint64_t n)
{
	struct spot_node *dead = drop_refs(t, node, n);

	while (dead) {
		struct spot_node *next = dead->next_name;

		node_free(dead);
		dead = next;
	}
}

int spot_table_nodes(struct spot_table *t, uint32_t host, uint64_t **ret_nodes, size_t *ret_n)
{
	uint64_t *nodes;
	size_t n = 0;
	LOCK_SCOPE(&t->lock);

	nodes = calloc(t->n + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_buckets; i++)
		for (const struct spot_node *at = t->by_number[i]; at; at = at->next_number)
			if (at->spot.host == host)
				nodes[n++] = at->spot.node;
	*ret_nodes = nodes;
	*ret_n = n;
	return 0;
}
