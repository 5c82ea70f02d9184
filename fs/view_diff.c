/* SPDX-License-Identifier: MIT */
/*
 * .diff/@a..@b: what differs between two snapshots, as three trees: added and
 * modified as in the second, removed as in the first. Modified is whose bytes,
 * rights, owner, attributes or time are others; of folders their time does not
 * count, it changes with every name. Nothing in here ever changes: the two
 * snapshots are held as long as somebody is in it.
 */
#include "fs/view_hosts.h"
#include "fs/view_root.h"
#include "fs/view_spots.h"
#include "snapshots/diff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	enum spot_kind kind;
} kinds[] = {
	{ "added", SPOT_ADDED },
	{ "removed", SPOT_REMOVED },
	{ "modified", SPOT_MODIFIED },
};
#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

/* ---- what belongs into which tree ---- */

static bool attributes_differ(const struct tree_entry *before, const struct tree_entry *after)
{
	struct tree_entry copy = *before;

	if (S_ISDIR(before->mode))
		copy.mtime = after->mtime;
	return diff_entries(&copy, after) >= 0;
}

/* For diff_trees: -ECANCELED as soon as something of the kind is found. */
static int seek_kind(void *context, enum diff_change change, const char *path,
		     const struct tree_entry *before, const struct tree_entry *after)
{
	const enum spot_kind kind = *(const enum spot_kind *)context;

	if (path[0] == '\0')
		return 0;
	switch (change) {
	case DIFF_ADDED:
		return kind == SPOT_ADDED ? -ECANCELED : 1;
	case DIFF_REMOVED:
		return kind == SPOT_REMOVED ? -ECANCELED : 1;
	case DIFF_TYPE:
		return kind != SPOT_MODIFIED ? -ECANCELED : 1;
	default:
		return kind == SPOT_MODIFIED && attributes_differ(before, after) ? -ECANCELED : 0;
	}
}

/* The entry that a name has in the tree of this kind: *ret_entry, or NULL for none. */
static int choose(struct view *v, enum spot_kind kind, const struct tree_entry *before,
		  const struct tree_entry *after, const struct tree_entry **ret_entry)
{
	const bool replaced = before && after && ((before->mode ^ after->mode) & S_IFMT) != 0;
	const struct tree_entry *side = kind == SPOT_REMOVED ? before : after;
	int r;

	*ret_entry = NULL;
	if (!before || !after || replaced) {
		if (kind != SPOT_MODIFIED)
			*ret_entry = side;
		return 0;
	}
	if (kind == SPOT_MODIFIED && attributes_differ(before, after)) {
		*ret_entry = side;
		return 0;
	}
	if (!S_ISDIR(after->mode))
		return 0;
	r = diff_trees(v->cache, before, after, seek_kind, &kind);
	if (r == -ECANCELED)
		*ret_entry = side;
	return r == -ECANCELED ? 0 : r;
}

/* ---- the two sides ---- */

/* The directory at the spot's path in a snapshot; an empty one if there is none. */
static int side_tree(struct view *v, const struct view_host *h, uint64_t seq, const char *path,
		     struct chunk_id *ret_tree)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	struct tree_entry entry = { 0 };
	struct snapshot_info info;
	int r;

	r = timeline_get(h->timeline, seq, &info);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	*ret_tree = info.root_tree;
	if (path[0] == '\0')
		return 0;
	r = tree_reader_new(v->cache, &reader);
	if (r >= 0)
		r = tree_reader_walk(reader, &info.root_tree, path, &entry);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	*ret_tree = S_ISDIR(entry.mode) ? entry.tree : (struct chunk_id){ 0 };
	return 0;
}

static int find_in(struct tree_reader *reader, const struct chunk_id *tree, const char *name,
		   struct tree_entry *entry, const struct tree_entry **ret_found)
{
	int r = tree_reader_set(reader, tree);

	if (r >= 0)
		r = tree_reader_find(reader, name, (uint32_t)strlen(name), entry, NULL);
	*ret_found = r < 0 ? NULL : entry;
	return r == -ENOENT ? 0 : r;
}

static int sides_of(struct view *v, const struct view_host *h, const struct spot *spot,
		    struct chunk_id *ret_before, struct chunk_id *ret_after)
{
	int r = side_tree(v, h, spot->before, spot->path, ret_before);

	return r < 0 ? r : side_tree(v, h, spot->after, spot->path, ret_after);
}

/* ---- look-up ---- */

/* "@a..@b" */
static int lookup_pair(struct view *v, const struct view_host *h, const struct spot *parent,
		       const char *name, struct node_info *ret_info)
{
	CLEANUP(open_snapshot_unref_ptr) struct open_snapshot *first = NULL;
	CLEANUP(open_snapshot_unref_ptr) struct open_snapshot *second = NULL;
	const char *middle = strstr(name, "..@");
	struct spot like = { .kind = SPOT_COMPARED, .version = 1 };
	struct open_snapshot *held[2];
	char before[NAME_BYTES_MAX + 1];
	bool exact_before, exact_after;
	int r;

	if (name[0] != '@' || !middle)
		return -ENOENT;
	memcpy(before, name, (size_t)(middle - name));
	before[middle - name] = '\0';
	r = view_root_resolve(h, before, false, &like.before, &exact_before);
	if (r >= 0)
		r = view_root_resolve(h, middle + 2, false, &like.after, &exact_after);
	if (r >= 0)
		r = view_root_open(v, h, like.before, &first);
	if (r >= 0)
		r = view_root_open(v, h, like.after, &second);
	if (r < 0)
		return r;
	view_stat_own(v, S_IFDIR | 0755, 0, 0, view_changed_ns(v->shown), &like.st);
	held[0] = STEAL(first);
	held[1] = STEAL(second);
	r = spot_enter_folder(v, parent, name, &like, held, ret_info);
	open_snapshot_unref(held[0]);
	open_snapshot_unref(held[1]);
	if (r >= 0 && (!exact_before || !exact_after))
		ret_info->entry_timeout = TIMEOUT_MOMENT;
	return r;
}

static int lookup_kind(struct view *v, const struct spot *parent, const char *name,
		       struct node_info *ret_info)
{
	struct spot like = { .before = parent->before, .after = parent->after, .version = 1 };

	for (size_t i = 0; i < N_KINDS; i++) {
		if (strcmp(name, kinds[i].name) != 0)
			continue;
		like.kind = kinds[i].kind;
		like.st = parent->st;
		return spot_enter_folder(v, parent, name, &like, NULL, ret_info);
	}
	return -ENOENT;
}

static int enter_entry(struct view *v, const struct view_host *h, const struct spot *parent,
		       const struct tree_entry *entry, const char *name, struct node_info *ret_info)
{
	struct spot like = {
		.before = parent->before, .after = parent->after, .kind = parent->kind, .version = 1
	};
	CLEANUP(free_ptr) char *path = NULL;
	int r;

	like.seq = parent->kind == SPOT_REMOVED ? parent->before : parent->after;
	if (!S_ISDIR(entry->mode)) {
		r = spot_enter_file(v, h, like.seq, parent->path, name, ret_info);
		ret_info->entry_timeout = TIMEOUT_ENDLESS;
		return r;
	}
	if (asprintf(&path, "%s/%s", parent->path, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	view_stat(v, entry, 0, &like.st);
	r = spot_check_loop(v, h, like.seq, path, &entry->tree);
	return r < 0 ? r : spot_enter_folder(v, parent, name, &like, NULL, ret_info);
}

int view_diff_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
		     const char *name, struct node_info *ret_info)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(tree_reader_free_ptr) struct tree_reader *other = NULL;
	struct tree_entry old_entry, new_entry;
	const struct tree_entry *old = NULL, *new = NULL, *shown;
	struct chunk_id before, after;
	int r;

	if (node_kind(parent->node) == NODE_FIXED)
		return lookup_pair(v, h, parent, name, ret_info);
	if (parent->kind == SPOT_COMPARED)
		return lookup_kind(v, parent, name, ret_info);
	r = sides_of(v, h, parent, &before, &after);
	if (r >= 0)
		r = tree_reader_new(v->cache, &reader);
	if (r >= 0)
		r = tree_reader_new(v->cache, &other);
	if (r >= 0)
		r = find_in(reader, &before, name, &old_entry, &old);
	if (r >= 0)
		r = find_in(other, &after, name, &new_entry, &new);
	if (r >= 0)
		r = choose(v, parent->kind, old, new, &shown);
	if (r < 0)
		return r;
	return shown ? enter_entry(v, h, parent, shown, name, ret_info) : -ENOENT;
}

/* ---- listing ---- */

struct fill {
	struct view *v;
	const struct view_host *h;
	const struct spot *spot;
	struct name_batch *batch;
};

static int add(struct fill *f, const char *name, size_t n, mode_t type, uint64_t ino)
{
	return name_batch_add(f->batch, name_cookie(f->v, name, n), name, n, type, ino);
}

static int visit(void *context, const struct tree_entry *before, const struct tree_entry *after)
{
	struct fill *f = context;
	const struct tree_entry *any = before ? before : after, *shown;
	const struct spot *s = f->spot;
	uint64_t ino, seq = s->kind == SPOT_REMOVED ? s->before : s->after;
	int r;

	if (!name_batch_wants(f->batch, name_cookie(f->v, any->name, any->name_n)))
		return 0;
	r = choose(f->v, s->kind, before, after, &shown);
	if (r < 0 || !shown)
		return r;
	if (S_ISDIR(shown->mode))
		ino = view_ino_of_name(f->v, s->ino, shown->name, shown->name_n);
	else
		ino = view_ino(f->v, snapshot_key(f->h->number, seq), 0, shown);
	return add(f, shown->name, shown->name_n, shown->mode & S_IFMT, ino);
}

int view_diff_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		   struct name_batch *batch)
{
	struct fill f = { .v = v, .h = h, .spot = spot, .batch = batch };
	struct chunk_id before, after;
	int r = 0;

	if (node_kind(spot->node) == NODE_FIXED)
		return 0; /* which two is for the user to say */
	for (size_t i = 0; r >= 0 && spot->kind == SPOT_COMPARED && i < N_KINDS; i++) {
		const size_t n = strlen(kinds[i].name);

		r = add(&f, kinds[i].name, n, S_IFDIR,
			view_ino_of_name(v, spot->ino, kinds[i].name, n));
	}
	if (r < 0 || spot->kind == SPOT_COMPARED)
		return r;
	r = sides_of(v, h, spot, &before, &after);
	return r < 0 ? r : diff_names(v->cache, &before, &after, visit, &f);
}
