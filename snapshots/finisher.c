/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SPARE_PATCHES (sizeof(((struct capture *)0)->spare_patches) / sizeof(struct tree_patch *))

/* Room for the content of a small file while its entry is written. */
struct small_content {
	struct piece piece;
	struct extent extent;
};

static int small_content(const struct file_job *job, struct small_content *room,
			 struct content *ret_content)
{
	int r = 0;

	*ret_content = (struct content){ 0 };
	if (job->n == 0)
		return 0;
	room->piece = (struct piece){ .id = job->id, .length = job->n, .n_extents = 1 };
	room->extent = (struct extent){ .chunk = job->place.chunk,
					.offset = job->place.offset,
					.length = (uint32_t)job->n };
	if (job->place.bundle)
		r = bundle_wait(job->place.bundle, &room->extent.chunk);
	*ret_content = (struct content){ .form = CONTENT_INLINE,
					 .id = job->id,
					 .length = job->n,
					 .pieces = &room->piece,
					 .n_pieces = 1,
					 .extents = &room->extent,
					 .n_extents = 1 };
	return r;
}

/* A file could not be read: its last known state, or nothing. */
static void keep_last_file(struct capture *c, struct segment *s, struct item *item)
{
	const struct file_job *job = item->job;

	if (job->outcome == JOB_FAILED)
		capture_problem(c, s->folder, item->entry.name, "cannot be read", -job->error);
	if (!item->old || job->outcome == JOB_VANISHED) {
		item->kind = ITEM_GONE;
		return;
	}
	item->entry.content = item->old->content;
	item->entry.size = item->old->content.length;
	item->entry.flags |= ENTRY_UNREADABLE;
	atomic_store(&c->unverified, true);
}

static bool same_content(const struct content *a, const struct content *b)
{
	return a->length == b->length && chunk_id_equal(&a->id, &b->id);
}

/* Was it read in vain? Then its entry stays what it was, labels and all. */
static bool is_as_it_was(const struct item *item)
{
	const struct tree_entry *now = &item->job->seen, *old = item->old;

	return item->equal && !item->rewritten && now->ino == old->ino &&
	       now->consistency != CONSISTENCY_SMEARED &&
	       node_time_equal(&now->mtime, &old->mtime) &&
	       node_time_equal(&now->ctime, &old->ctime);
}

/* What was read, beside what the last snapshot has. A dry run has read nothing. */
static void compare_file(struct capture *c, struct item *item)
{
	struct tree_entry *e = &item->entry;
	const char *name = e->name;
	uint32_t name_n = e->name_n;

	if (!item->old)
		return;
	item->rewritten = c->options->dry_run ? !item->equal
					      : !same_content(&e->content, &item->old->content);
	if (!is_as_it_was(item))
		return;
	*e = *item->old;
	e->name = name;
	e->name_n = name_n;
	e->nlink = item->job->seen.nlink;
}

static int complete_file(struct capture *c, struct segment *s, struct item *item,
			 struct small_content *room)
{
	const struct file_job *job = item->job;
	struct tree_entry *e = &item->entry;
	const char *name = e->name;
	uint32_t name_n = e->name_n;
	int r = 0;

	if (job->outcome != JOB_SMALL && job->outcome != JOB_CONTENT) {
		keep_last_file(c, s, item);
		return 0;
	}
	*e = job->seen;
	e->name = name;
	e->name_n = name_n;
	if (job->outcome == JOB_SMALL)
		r = small_content(job, room, &e->content);
	else
		e->content = job->content;
	e->size = e->content.length;
	if (r == 0)
		compare_file(c, item);
	return r;
}

static void complete_folder(struct capture *c, struct item *item)
{
	struct folder *f = item->child;
	struct tree_entry *e = &item->entry;
	const char *name = e->name;
	uint32_t name_n = e->name_n;

	if (f->error == -ENOENT || f->error == -ENOTDIR) {
		item->kind = ITEM_GONE;
		return;
	}
	if (f->error == 0) {
		*e = f->self;
	} else if (f->has_old) {
		*e = f->old;
		e->xattrs = f->old_xattrs;
		e->flags |= ENTRY_UNREADABLE;
		atomic_store(&c->unverified, true);
	} else {
		e->flags |= ENTRY_UNREADABLE;
	}
	e->name = name;
	e->name_n = name_n;
}

/* Attribute sets that are too large for a node become chunks. */
static int move_large_xattrs(struct capture *c, struct tree_entry *e, struct chunk_id *id)
{
	int r;

	if (e->xattrs_n <= XATTR_INLINE_MAX || (e->flags & ENTRY_XATTRS_CHUNK))
		return 0;
	r = c->nodes->put(c->nodes, OBJECT_DATA, e->xattrs, e->xattrs_n, id);
	e->xattrs = id->bytes;
	e->xattrs_n = sizeof(id->bytes);
	e->flags |= ENTRY_XATTRS_CHUNK;
	return r;
}

/* How patching went: an old folder that cannot be read is no base, everything is walked then. */
static int patched(struct capture *c, const struct folder *f, int r)
{
	if (f->mode == FOLDER_WHOLE ||
	    (r != -ENOENT && r != -EBADMSG && r != -EUCLEAN && r != -EREMOTEIO))
		return r;
	capture_want_whole(c, "a folder of the last snapshot cannot be read");
	return -EAGAIN;
}

/* Leave out the old entries below a name (NULL: all that follow) of a folder that was listed. */
static int remove_unlisted(struct capture *c, struct folder *f, const struct tree_entry *up_to)
{
	struct tree_entry old;
	int r;

	if (f->mode != FOLDER_LIST)
		return 0;
	do {
		r = tree_patch_remove_before(f->patch, up_to ? up_to->name : NULL,
					     up_to ? up_to->name_n : 0, &old);
		if (r == 1 && tally_removed(c, &old) < 0)
			r = -ENOMEM;
	} while (r == 1);
	return r;
}

/* Put an item into its folder's tree, or take its name out of it. */
static int store_item(struct capture *c, struct folder *f, struct item *item)
{
	struct tree_entry old;
	int r = remove_unlisted(c, f, &item->entry);

	if (r < 0)
		return patched(c, f, r);
	if (item->kind != ITEM_GONE) {
		r = tree_patch_put(f->patch, &item->entry, &old);
		return r < 0 ? patched(c, f, r) : tally_put(c, item, r == 1 ? &old : NULL);
	}
	if (f->mode != FOLDER_NAMES)
		return 0;
	r = tree_patch_remove(f->patch, item->entry.name, item->entry.name_n, &old);
	if (r == 1)
		r = tally_removed(c, &old);
	return patched(c, f, r);
}

static int finish_item(struct capture *c, struct segment *s, struct item *item)
{
	struct small_content room;
	struct chunk_id xattrs;
	int r = 0;

	if (item->kind == ITEM_FILE)
		r = complete_file(c, s, item, &room);
	else if (item->kind == ITEM_FOLDER)
		complete_folder(c, item);
	if (r == 0 && item->kind != ITEM_GONE)
		r = move_large_xattrs(c, &item->entry, &xattrs);
	if (r == 0 && s->folder->parent) {
		r = store_item(c, s->folder, item);
	} else if (r == 0 && item->kind != ITEM_GONE) { /* the source's root */
		byte_buf_clear(&c->result);
		r = tree_entry_encode(&c->result, &item->entry);
		c->has_result = r == 0;
		if (r == 0)
			r = tally_root(c, item);
	}
	if (item->kind == ITEM_FOLDER || item->child) {
		folder_free(c, item->child);
		item->child = NULL;
	}
	return r;
}

/* What the folder's tree is made with: from its old one, or from nothing. */
static int begin_folder(struct capture *c, struct folder *f)
{
	static const struct chunk_id empty;
	int r = 0;

	if (f->patch || !f->parent)
		return 0;
	if (c->n_spare_patches > 0)
		f->patch = c->spare_patches[--c->n_spare_patches];
	else
		r = tree_patch_new(c->cache, c->nodes,
				   key_ring_get(store_keys(c->store), KEY_PLACEMENT), &f->patch);
	if (r == 0)
		r = tree_patch_begin(f->patch, f->mode == FOLDER_WHOLE ? &empty : &f->old.tree);
	return patched(c, f, r);
}

static int end_folder(struct capture *c, struct folder *f)
{
	uint64_t count;
	int r;

	if (!f->parent)
		return 0;
	r = remove_unlisted(c, f, NULL);
	if (r == 0)
		r = tree_patch_finish(f->patch, &f->self.tree, &count);
	if (r == 0 && c->n_spare_patches < SPARE_PATCHES)
		c->spare_patches[c->n_spare_patches++] = STEAL(f->patch);
	return patched(c, f, r);
}

static int finish_segment(struct capture *c, struct segment *s)
{
	struct folder *f = s->folder;
	int r = begin_folder(c, f);

	for (uint32_t i = 0; r == 0 && i < s->n_items; i++)
		r = finish_item(c, s, &s->items[i]);
	if (r == 0 && s == &f->segments[f->n_segments - 1])
		r = end_folder(c, f);
	return r;
}

void *finisher_thread(void *capture)
{
	struct capture *c = capture;
	void *at;

	(void)pthread_setname_np(pthread_self(), "yore-finish");
	while (queue_pop(c->finished, &at) == 0) {
		struct segment *s = at;
		uint32_t n = s->n_items + 1;
		int r;

		if (capture_failed(c))
			continue;
		r = finish_segment(c, s);
		if (r < 0) {
			capture_fail(c, r);
			continue;
		}
		segment_done(c, s);
		LOCK_SCOPE(&c->lock);
		c->items_unfinished -= n;
		pthread_cond_broadcast(&c->changed);
	}
	return NULL;
}
