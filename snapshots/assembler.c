/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Where the assembler is in one folder. */
struct frame {
	struct folder *folder;
	uint32_t segment;
	uint32_t item;
};

struct assembler {
	struct capture *capture;
	struct frame *frames;
	size_t n, room;
};

/* The batch's bytes are being used up: let the readers go on. */
static void release_batch(struct capture *c, struct batch *b)
{
	LOCK_SCOPE(&c->lock);
	if (b->task.bytes == 0)
		return;
	c->bytes_ahead -= b->task.bytes;
	b->task.bytes = 0;
	pthread_cond_broadcast(&c->changed);
}

/* Have a file read; a hard link's batch may still be in another walker's hands. */
static void finish_job(struct capture *c, struct file_job *job)
{
	lock_take(&c->lock);
	while (!job->batch && c->failure == 0)
		lock_wait(&c->lock, &c->changed);
	lock_drop(&c->lock);
	if (!job->batch)
		return;
	task_finish(c->self, &c->reads, &job->batch->task);
	release_batch(c, job->batch);
}

/* Does the file hold what it last held? Then it stays where that lies. */
static bool place_kept(struct capture *c, struct file_job *job)
{
	const struct content *old = job->old;

	if (!old || old->form != CONTENT_INLINE || old->n_pieces != 1 || old->n_extents != 1 ||
	    old->length != job->n || !chunk_id_equal(&old->pieces[0].id, &job->id) ||
	    store_writer_has(c->writer, &old->extents[0].chunk) != 1)
		return false;
	job->place = (struct bundle_place){ .chunk = old->extents[0].chunk,
					    .offset = old->extents[0].offset };
	return true;
}

/* Have these bytes been laid down before, where they may be relied on? */
static bool place_known(struct capture *c, struct file_job *job)
{
	struct bundle_place place;

	if (place_kept(c, job))
		return true;
	if (!bundler_find(c->bundler, &job->id, &place))
		return false;
	if (!place.bundle && store_writer_has(c->writer, &place.chunk) != 1)
		return false;
	job->place = place;
	return true;
}

/* Lay a small file into the open bundle, unless its bytes are known. */
static int place_small(struct capture *c, struct file_job *job)
{
	int r = 0;

	if (!place_known(c, job))
		r = bundler_add(c->bundler, &job->id, job->data, job->n, &job->place);
	free(STEAL(job->data));
	return r;
}

/* A small unchanged file: remember where it is, for others with the same bytes. */
static void note_small(struct capture *c, const struct tree_entry *e)
{
	const struct content *k = &e->content;

	if (k->form == CONTENT_INLINE && k->n_pieces == 1 && k->n_extents == 1 &&
	    k->length < c->small_max)
		bundler_note(c->bundler, &k->pieces[0].id, &k->extents[0].chunk,
			     k->extents[0].offset);
}

/* The name by which a hard link was to be read is gone, or another file's: read it by this one. */
static int read_by_own_name(struct capture *c, struct segment *s, struct item *item)
{
	struct file_job *gone = item->job;
	struct file_job *job = file_job_new(s->folder, item->entry.name, &item->entry, gone->device,
					    item->old ? &item->old->content : NULL);
	struct batch *b = job ? batch_new(s->folder) : NULL;

	if (!b) {
		free(job);
		return -ENOMEM;
	}
	b->jobs[b->n++] = job;
	b->refs = 1;
	job->batch = b;
	item->job = job;
	item->owns_job = true;
	lock_take(&c->lock);
	file_job_unref(gone);
	s->folder->fd_users++;
	lock_drop(&c->lock);
	b->task.run(c->self, &b->task);
	b->task.state = TASK_DONE;
	return 0;
}

static int assemble_file(struct capture *c, struct segment *s, struct item *item)
{
	struct file_job *job;
	int r = 0;

	finish_job(c, item->job);
	if (!item->owns_job) {
		if (item->job->outcome == JOB_VANISHED || item->job->seen.ino != item->entry.ino)
			r = read_by_own_name(c, s, item);
		LOCK_SCOPE(&c->lock);
		folder_release_fd(s->folder);
	}
	job = item->job;
	if (r < 0 || job->placed || job->outcome != JOB_SMALL)
		return r;
	job->placed = true;
	return job->n > 0 ? place_small(c, job) : 0;
}

/* The finisher may wait for the open bundle: never let it starve. */
static int hand_over(struct capture *c, struct segment *s)
{
	bool full;
	int r;

	lock_take(&c->lock);
	c->items_ahead -= s->n_items;
	c->items_unfinished += s->n_items + 1; /* a folder without entries counts too */
	full = c->items_unfinished > UNFINISHED_MAX;
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	r = queue_push(c->finished, s);
	if (r < 0 || !full)
		return r;
	r = bundler_close(c->bundler);
	LOCK_SCOPE(&c->lock);
	while (r == 0 && c->items_unfinished > UNFINISHED_MAX / 2 && c->failure == 0)
		lock_wait(&c->lock, &c->changed);
	return r;
}

static int push_frame(struct assembler *a, struct folder *f)
{
	struct capture *c = a->capture;

	if (a->n == a->room) {
		size_t room = a->room ? a->room * 2 : 64;
		struct frame *grown = reallocarray(a->frames, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		a->frames = grown;
		a->room = room;
	}
	if (f->parent) {
		task_finish(c->self, &c->walks, &f->task);
		LOCK_SCOPE(&c->lock);
		c->folders_ahead--;
	}
	a->frames[a->n++] = (struct frame){ .folder = f };
	return 0;
}

/* Go on in the innermost folder until it ends or a folder below it begins. */
static int step(struct assembler *a)
{
	struct capture *c = a->capture;
	struct frame *at = &a->frames[a->n - 1];
	struct segment *s;
	int r = 0;

	if (at->segment == at->folder->n_segments) {
		a->n--;
		return 0;
	}
	s = &at->folder->segments[at->segment];
	if (at->item == 0)
		task_finish(c->self, &c->walks, &s->task);
	while (r == 0 && at->item < s->n_items) {
		struct item *item = &s->items[at->item++];

		if (item->kind == ITEM_FOLDER)
			return push_frame(a, item->child);
		if (item->kind == ITEM_FILE)
			r = assemble_file(c, s, item);
		else
			note_small(c, &item->entry);
	}
	at->segment++;
	at->item = 0;
	return r < 0 ? r : hand_over(c, s);
}

int assembler_run(struct capture *c, struct folder *root)
{
	struct assembler a = { .capture = c };
	int r = push_frame(&a, root);

	while (r == 0 && a.n > 0) {
		r = step(&a);
		if (r == 0 && capture_failed(c))
			break;
	}
	if (r == 0)
		r = bundler_close(c->bundler);
	if (r < 0)
		capture_fail(c, r);
	free(a.frames);
	LOCK_SCOPE(&c->lock);
	return c->failure;
}
