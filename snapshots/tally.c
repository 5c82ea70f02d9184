/* SPDX-License-Identifier: MIT */
/*
 * tally: counts what a source holds while its entries are written, and sees
 * where looking at dirty names only is not enough: a file with several names
 * changes under all of them, but is known to be dirty by one.
 */
#include "snapshots/capture_internal.h"
#include "snapshots/content_internal.h"
#include "snapshots/tree_walk.h"

#include <errno.h>

static void count(struct tally *t, const struct tree_entry *e, uint64_t sign)
{
	if (S_ISDIR(e->mode)) {
		t->directories += sign;
	} else if (S_ISREG(e->mode)) {
		t->files += sign;
		t->bytes += sign * e->size;
		*(sign == 1 ? &t->files_on : &t->files_off) += 1;
	} else {
		t->others += sign;
	}
}

static void count_on(struct capture *c, const struct item *item)
{
	struct tree_entry e = item->entry;

	if (c->options->dry_run && item->job) /* it has no contents yet */
		e.size = item->job->seen.size;
	count(&c->tally, &e, 1);
	if (!S_ISREG(e.mode) || !item->was_file)
		return;
	c->tally.files_kept++;
	c->tally.files_rewritten += item->rewritten;
}

static void count_off(struct capture *c, const struct tree_entry *old)
{
	count(&c->tally, old, UINT64_MAX);
	c->tally.unreadable_off += (old->flags & ENTRY_UNREADABLE) != 0;
}

static bool has_other_names(const struct tree_entry *e)
{
	return !S_ISDIR(e->mode) && e->nlink > 1;
}

/* Might other names of a file need the same look? */
static void check_names(struct capture *c, const struct tree_entry *now,
			const struct tree_entry *old)
{
	if (!c->dirty || (!(now && has_other_names(now)) && !(old && has_other_names(old))))
		return;
	if (now && old && now->ino == old->ino && now->nlink == old->nlink &&
	    node_time_equal(&now->ctime, &old->ctime) &&
	    chunk_id_equal(&now->content.id, &old->content.id))
		return;
	capture_want_whole(c, "a file with several names changed");
}

/* ---- old subtrees: those that go cost what they hold, as the new ones do ---- */

static int visit_off(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	struct capture *c = context;

	(void)path;
	if (depth == 0)
		return 0;
	count_off(c, e);
	check_names(c, NULL, e);
	return capture_failed(c) ? -ECANCELED : 0;
}

static int visit_on(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	struct capture *c = context;

	(void)path;
	if (depth == 0)
		return 0;
	count(&c->tally, e, 1);
	c->tally.files_kept += S_ISREG(e->mode);
	return 0;
}

static int visit_lost(void *context, const char *path, int error, uint64_t lost)
{
	struct capture *c = context;

	atomic_store(&c->old_lost, true);
	(void)path;
	(void)error;
	(void)lost;
	return 0;
}

static int subtree_off(struct capture *c, const struct tree_entry *old)
{
	int r = tree_walk(c->cache, old, visit_off, NULL, c);

	if (r < 0)
		atomic_store(&c->old_lost, true);
	if (r < 0 && r != -ENOMEM && c->dirty)
		capture_want_whole(c, "a folder of the last snapshot cannot be read");
	return r == -ENOMEM ? r : 0;
}

/* A folder that could not be looked at holds what it last held. */
static int subtree_on(struct capture *c, const struct tree_entry *kept)
{
	int r = tree_walk(c->cache, kept, visit_on, visit_lost, c);

	if (r < 0)
		atomic_store(&c->old_lost, true);
	return r == -ENOMEM ? r : 0;
}

/* ---- entries ---- */

/* Is the folder's tree the old one, not looked at? */
static bool tree_kept(const struct item *item)
{
	return S_ISDIR(item->entry.mode) && (!item->child || item->child->error != 0);
}

/* Has what lies below the folder been counted as a difference? */
static bool tree_patched(const struct item *item)
{
	return item->child && !item->child->error && item->child->mode != FOLDER_WHOLE;
}

int tally_put(struct capture *c, const struct item *item, const struct tree_entry *replaced)
{
	int r = 0;

	if (replaced) {
		count_off(c, replaced);
		if (S_ISDIR(replaced->mode) && !tree_patched(item) && !tree_kept(item))
			r = subtree_off(c, replaced);
	} else if (tree_kept(item)) {
		r = subtree_on(c, &item->entry);
	}
	count_on(c, item);
	check_names(c, &item->entry, replaced);
	return r;
}

int tally_removed(struct capture *c, const struct tree_entry *old)
{
	count_off(c, old);
	check_names(c, NULL, old);
	return S_ISDIR(old->mode) ? subtree_off(c, old) : 0;
}

int tally_root(struct capture *c, const struct item *item)
{
	c->tally.absolute = !c->dirty || !(tree_kept(item) || tree_patched(item));
	if (!c->tally.absolute)
		return 0;
	count_on(c, item);
	return tree_kept(item) ? subtree_on(c, &item->entry) : 0;
}
