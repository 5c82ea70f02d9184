/* SPDX-License-Identifier: MIT */
#include "fs/trail_pool.h"

#include "store/base/lock.h"

#include <errno.h>
#include <string.h>

#define SLOTS 32u
#define BYTES_MAX MIB(16)

struct trail {
	struct versions *versions; /* NULL: free */
	uint32_t host;
	char *path;
};

struct trail_pool {
	struct lock lock;           /* everything below */
	struct trail trails[SLOTS]; /* the newest first, free ones last */
};

int trail_pool_new(struct trail_pool **ret_pool)
{
	struct trail_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	lock_init(&p->lock, LOCK_RANK_LEAF);
	*ret_pool = p;
	return 0;
}

static void trail_done(struct trail *t)
{
	versions_free(t->versions);
	free(t->path);
	*t = (struct trail){ 0 };
}

void trail_pool_free(struct trail_pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < SLOTS; i++)
		trail_done(&p->trails[i]);
	lock_done(&p->lock);
	free(p);
}

static struct trail take(struct trail_pool *p, uint32_t host, const char *path)
{
	LOCK_SCOPE(&p->lock);

	for (uint32_t i = 0; i < SLOTS && p->trails[i].versions; i++) {
		struct trail found = p->trails[i];

		if (found.host != host || strcmp(found.path, path) != 0)
			continue;
		for (; i + 1 < SLOTS; i++)
			p->trails[i] = p->trails[i + 1];
		p->trails[SLOTS - 1] = (struct trail){ 0 };
		return found;
	}
	return (struct trail){ 0 };
}

int trail_take(struct view *v, const struct view_host *h, const char *path,
	       struct trail_lease *ret_lease)
{
	struct trail trail = take(v->trails, h->number, path);
	int r;

	*ret_lease = (struct trail_lease){
		.versions = trail.versions,
		.path = trail.path,
		.view = v,
		.host = h->number,
	};
	if (!ret_lease->versions) {
		ret_lease->path = strdup(path);
		if (!ret_lease->path)
			return -ENOMEM;
		r = versions_new(h->timeline, v->cache, path, &ret_lease->versions);
		if (r < 0)
			return r;
	}
	return versions_update(ret_lease->versions);
}

/* Put it first; returns what has to go for it, the last one of which is not in use. */
static void keep(struct trail_pool *p, struct trail trail, struct trail *ret_old)
{
	size_t bytes = versions_bytes(trail.versions);
	uint32_t n_old = 0;
	LOCK_SCOPE(&p->lock);

	ret_old[n_old++] = p->trails[SLOTS - 1];
	for (uint32_t i = SLOTS - 1; i > 0; i--)
		p->trails[i] = p->trails[i - 1];
	p->trails[0] = trail;
	for (uint32_t i = 1; i < SLOTS && p->trails[i].versions; i++) {
		bytes += versions_bytes(p->trails[i].versions);
		if (bytes <= BYTES_MAX)
			continue;
		/* This one and all behind it. */
		for (; i < SLOTS; i++) {
			ret_old[n_old++] = p->trails[i];
			p->trails[i] = (struct trail){ 0 };
		}
	}
}

void trail_release(struct trail_lease *l)
{
	struct trail trail = { .versions = l->versions, .host = l->host, .path = l->path };
	struct trail old[SLOTS + 1] = { 0 };

	*l = (struct trail_lease){ .view = l->view };
	if (!trail.versions) {
		trail_done(&trail);
		return;
	}
	keep(l->view->trails, trail, old);
	for (uint32_t i = 0; i < SLOTS + 1; i++)
		trail_done(&old[i]);
}
