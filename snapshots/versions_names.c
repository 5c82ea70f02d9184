/* SPDX-License-Identifier: MIT */
#include "snapshots/diff.h"
#include "snapshots/tree_internal.h"
#include "snapshots/versions_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Number of the next older run of another tree than that of run i (n: begin); SIZE_MAX: none. */
static size_t older_directory(const struct versions *v, size_t i)
{
	const struct chunk_id *tree = i < v->n_runs ? &v->runs[i].id : NULL;

	while (i-- > 0)
		if (S_ISDIR(v->runs[i].mode) && (!tree || !chunk_id_equal(tree, &v->runs[i].id)))
			return i;
	return SIZE_MAX;
}

int versions_find(const struct versions *v, struct tree_reader *reader, const char *name,
		  bool directories_only, struct tree_entry *ret_entry, uint64_t *ret_seq)
{
	const uint32_t n = (uint32_t)strlen(name);
	int damage = -ENOENT, r;

	for (size_t i = older_directory(v, v->n_runs); i != SIZE_MAX; i = older_directory(v, i)) {
		r = tree_reader_set(reader, &v->runs[i].id);
		if (r == 0)
			r = tree_reader_find(reader, name, n, ret_entry, NULL);
		if (r == 0 && (!directories_only || S_ISDIR(ret_entry->mode))) {
			*ret_seq = v->runs[i].last_seq;
			return 0;
		}
		if (r < 0 && !versions_damage(r))
			return r;
		if (r < 0 && r != -ENOENT)
			damage = r;
	}
	return damage;
}

/* ---- two states of a directory, one after the other ---- */

enum { OLDER, NEWER, SIDES };

struct pair {
	struct tree_reader *readers[SIDES];
	const char *names[SIDES];
	uint32_t names_n[SIDES];
	int have[SIDES];
	int order; /* of the names: negative: only the older has it */
};

static void pair_done(struct pair *p)
{
	tree_reader_free(p->readers[OLDER]);
	tree_reader_free(p->readers[NEWER]);
}

static int pair_init(struct pair *p, struct chunk_cache *cache)
{
	int r = tree_reader_new(cache, &p->readers[OLDER]);

	return r < 0 ? r : tree_reader_new(cache, &p->readers[NEWER]);
}

/* Stand at the next name of either; what both have alike in whole nodes is left out. 1, 0, -errno.
 */
static int pair_look(struct pair *p)
{
	int r = tree_reader_skip_equal(p->readers[OLDER], p->readers[NEWER]);

	if (r < 0)
		return r;
	for (int side = 0; side < SIDES; side++) {
		p->have[side] =
			tree_reader_peek_name(p->readers[side], &p->names[side], &p->names_n[side]);
		if (p->have[side] < 0)
			return p->have[side];
	}
	if (!p->have[OLDER]) /* names that only the newer has were visited with it */
		return 0;
	p->order = !p->have[NEWER] ? -1
				   : name_compare(p->names[OLDER], p->names_n[OLDER],
						  p->names[NEWER], p->names_n[NEWER]);
	return 1;
}

static void pair_step(struct pair *p)
{
	if (p->order <= 0)
		tree_reader_step(p->readers[OLDER]);
	if (p->order >= 0)
		tree_reader_step(p->readers[NEWER]);
}

static int pair_set(struct pair *p, const struct chunk_id *older, const struct chunk_id *newer)
{
	int r = tree_reader_set(p->readers[OLDER], older);

	return r < 0 ? r : tree_reader_set(p->readers[NEWER], newer);
}

/* ---- all names ---- */

static int visit_names_of(struct tree_reader *reader, const struct chunk_id *tree,
			  versions_name_visitor *visit, void *context)
{
	const char *name;
	uint32_t n;
	int r = tree_reader_set(reader, tree);

	while (r >= 0 && (r = tree_reader_peek_name(reader, &name, &n)) > 0) {
		r = visit(context, name, n);
		tree_reader_step(reader);
	}
	return r;
}

static int visit_older_names(struct pair *p, versions_name_visitor *visit, void *context)
{
	int r;

	while ((r = pair_look(p)) > 0) {
		r = p->order < 0 ? visit(context, p->names[OLDER], p->names_n[OLDER]) : 0;
		if (r < 0)
			return r;
		pair_step(p);
	}
	return r;
}

/* What cannot be read costs the names that it held. */
static int tolerate(int r)
{
	return versions_damage(r) ? 0 : r;
}

int versions_each_name(const struct versions *v, versions_name_visitor *visit, void *context)
{
	CLEANUP(pair_done) struct pair pair = { 0 };
	size_t newer = older_directory(v, v->n_runs), older;
	int r = pair_init(&pair, v->cache);

	if (r < 0 || newer == SIZE_MAX)
		return r;
	r = tolerate(visit_names_of(pair.readers[NEWER], &v->runs[newer].id, visit, context));
	while (r >= 0 && (older = older_directory(v, newer)) != SIZE_MAX) {
		r = pair_set(&pair, &v->runs[older].id, &v->runs[newer].id);
		if (r >= 0)
			r = visit_older_names(&pair, visit, context);
		/* Beside a state that cannot be read there is nothing to leave out. */
		if (r < 0 && versions_damage(r))
			r = tolerate(visit_names_of(pair.readers[OLDER], &v->runs[older].id, visit,
						    context));
		newer = older;
	}
	return r < 0 ? r : 0;
}

/* ---- what is gone ---- */

struct gone {
	const struct versions *v;
	const struct gone_visitor *visitor;
	void *context;
	struct pair pair;
	struct tree_reader *latest;         /* looks names up in the newest state */
	const struct chunk_id *latest_tree; /* NULL: the path itself is gone */
	struct tree_reader *below;          /* the same for something deeper */
	struct chunk_id below_tree;
	uint64_t seq; /* last snapshot of the older state */
};

static void gone_done(struct gone *g)
{
	pair_done(&g->pair);
	tree_reader_free(g->latest);
	tree_reader_free(g->below);
}

/* For diff_trees: ends it with -ECANCELED when something is found that is not there any more. */
static int seek_loss(void *context, enum diff_change change, const char *path,
		     const struct tree_entry *before, const struct tree_entry *after)
{
	struct gone *g = context;
	struct tree_entry entry;
	int r;

	(void)after;
	if (change == DIFF_ADDED)
		return 1;
	if (change != DIFF_REMOVED || path[0] == '\0')
		return 0;
	r = tree_reader_walk(g->below, &g->below_tree, path, &entry);
	if (r == -ENOENT || r == -ENOTDIR)
		return -ECANCELED;
	if (r == 0 && S_ISDIR(before->mode) && !S_ISDIR(entry.mode))
		return 0; /* what it held comes next */
	return r < 0 && !versions_damage(r) ? r : 0;
}

/* Has something been lost between two states of a directory that still is there? 1, 0, -errno. */
static int lost_something(struct gone *g, const struct tree_entry *older,
			  const struct tree_entry *newer, const struct tree_entry *now)
{
	int r;

	g->below_tree = now->tree;
	r = diff_trees(g->v->cache, older, newer, seek_loss, g);
	if (r == -ECANCELED)
		return 1;
	return tolerate(r);
}

/* A directory of the older state; `newer`: as it is in the newer one, NULL if it is none there. */
static int compare_directories(struct gone *g, const struct tree_entry *older,
			       const struct tree_entry *newer)
{
	struct tree_entry now;
	int r;

	if (newer && chunk_id_equal(&older->tree, &newer->tree))
		return 0;
	if (!g->visitor->wants(g->context, older->name, older->name_n))
		return 0;
	r = tree_reader_find(g->latest, older->name, older->name_n, &now, NULL);
	if (r == -ENOENT)
		return newer ? 0 : g->visitor->visit(g->context, older, g->seq);
	if (r < 0)
		return tolerate(r);
	if (!S_ISDIR(now.mode))
		return newer ? 0 : g->visitor->visit(g->context, older, g->seq);
	r = lost_something(g, older, newer, &now);
	return r > 0 ? g->visitor->visit(g->context, older, g->seq) : r;
}

/* The name where the pair stands is in both states. */
static int compare_both(struct gone *g)
{
	struct tree_entry older, newer;
	int r = tree_reader_peek(g->pair.readers[OLDER], &older);

	if (r <= 0 || !S_ISDIR(older.mode))
		return r < 0 ? r : 0;
	r = tree_reader_peek(g->pair.readers[NEWER], &newer);
	if (r <= 0)
		return r;
	if (!S_ISDIR(newer.mode))
		return compare_directories(g, &older, NULL);
	return compare_directories(g, &older, &newer);
}

/* It is only in the older state. */
static int take_older(struct gone *g)
{
	struct tree_entry entry, now;
	int r = tree_reader_peek(g->pair.readers[OLDER], &entry);

	if (r <= 0)
		return r;
	if (S_ISDIR(entry.mode))
		return compare_directories(g, &entry, NULL);
	r = tree_reader_find(g->latest, entry.name, entry.name_n, &now, NULL);
	if (r == -ENOENT)
		return g->visitor->visit(g->context, &entry, g->seq);
	return r < 0 ? tolerate(r) : 0;
}

static int visit_losses(struct gone *g)
{
	int r;

	while ((r = pair_look(&g->pair)) > 0) {
		r = g->pair.order < 0 ? take_older(g) : g->pair.order == 0 ? compare_both(g) : 0;
		if (r < 0)
			return r;
		pair_step(&g->pair);
	}
	return r;
}

/* The path is gone: so is all that its last state holds. */
static int visit_all(struct gone *g, const struct version *state)
{
	struct tree_entry entry;
	int r = tree_reader_set(g->below, &state->id);

	while (r >= 0 && (r = tree_reader_next(g->below, &entry)) > 0)
		r = g->visitor->visit(g->context, &entry, state->last_seq);
	return tolerate(r);
}

int versions_each_gone(const struct versions *v, const struct gone_visitor *visitor, void *context)
{
	static const struct chunk_id nothing;
	CLEANUP(gone_done)
	struct gone g = { .v = v, .visitor = visitor, .context = context };
	size_t newer = older_directory(v, v->n_runs), older;
	int r = pair_init(&g.pair, v->cache);

	if (r >= 0)
		r = tree_reader_new(v->cache, &g.latest);
	if (r >= 0)
		r = tree_reader_new(v->cache, &g.below);
	if (r < 0 || newer == SIZE_MAX)
		return r;
	if (newer + 1 == v->n_runs)
		g.latest_tree = &v->runs[newer].id;
	else
		r = visit_all(&g, &v->runs[newer]);
	while (r >= 0 && (older = older_directory(v, newer)) != SIZE_MAX) {
		g.seq = v->runs[older].last_seq;
		r = tree_reader_set(g.latest, g.latest_tree ? g.latest_tree : &nothing);
		if (r >= 0)
			r = pair_set(&g.pair, &v->runs[older].id, &v->runs[newer].id);
		if (r >= 0)
			r = visit_losses(&g);
		r = tolerate(r);
		newer = older;
	}
	return r < 0 ? r : 0;
}
