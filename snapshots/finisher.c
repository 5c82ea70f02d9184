/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SPARE_WRITERS (sizeof(((struct capture *)0)->spare_writers) / sizeof(struct tree_writer *))

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
	item->entry.content = *item->old;
	item->entry.size = item->old->length;
	item->entry.flags |= ENTRY_UNREADABLE;
	atomic_store(&c->unverified, true);
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
	if (r == 0 && item->kind != ITEM_GONE && s->folder->parent)
		r = tree_writer_add(s->folder->writer, &item->entry);
	else if (r == 0 && item->kind != ITEM_GONE) { /* the source's root */
		byte_buf_clear(&c->result);
		r = tree_entry_encode(&c->result, &item->entry);
		c->has_result = r == 0;
	}
	if (item->kind == ITEM_FOLDER || item->child) {
		folder_free(c, item->child);
		item->child = NULL;
	}
	return r;
}

static int take_writer(struct capture *c, struct folder *f)
{
	if (f->writer || !f->parent)
		return 0;
	if (c->n_spare_writers > 0) {
		f->writer = c->spare_writers[--c->n_spare_writers];
		return 0;
	}
	return tree_writer_new(c->nodes, key_ring_get(store_keys(c->store), KEY_PLACEMENT),
			       &f->writer);
}

static int end_folder(struct capture *c, struct folder *f)
{
	uint64_t count;
	int r;

	if (!f->parent)
		return 0;
	r = tree_writer_finish(f->writer, &f->self.tree, &count);
	if (r == 0 && c->n_spare_writers < SPARE_WRITERS)
		c->spare_writers[c->n_spare_writers++] = STEAL(f->writer);
	return r;
}

static int finish_segment(struct capture *c, struct segment *s)
{
	struct folder *f = s->folder;
	int r = take_writer(c, f);

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
