/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARENA_BLOCK 16384u
#define DENTS_BYTES KIB(64)

/* ---- memory of a segment ---- */

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	uint8_t data[];
};

void *arena_get(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	void *at;

	n = (n + 15) & ~(size_t)15;
	if (!b || b->room - b->used < n) {
		size_t room = n > ARENA_BLOCK ? n : ARENA_BLOCK;

		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .next = a->blocks, .room = room };
		a->blocks = b;
	}
	at = b->data + b->used;
	b->used += n;
	return at;
}

void *arena_copy(struct arena *a, const void *data, size_t n)
{
	void *at = arena_get(a, n ? n : 1);

	if (at && n)
		memcpy(at, data, n);
	return at;
}

void arena_done(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}

/* ---- workers ---- */

int worker_new(struct capture *c, struct worker **ret_worker)
{
	CLEANUP(worker_free_ptr) struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->capture = c;
	w->dents = malloc(DENTS_BYTES);
	if (!w->dents)
		return -ENOMEM;
	r = tree_reader_new(c->cache, &w->old);
	if (r == 0)
		r = content_reader_new(c->cache, &w->old_content);
	if (r == 0)
		r = store_hasher(c->store, OBJECT_DATA, &w->hasher);
	if (r < 0)
		return r;
	*ret_worker = STEAL(w);
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	tree_reader_free(w->old);
	content_reader_free(w->old_content);
	id_hasher_free(w->hasher);
	ingest_free(w->ingest);
	byte_buf_done(&w->scratch);
	free(w->dents);
	free(w);
}

/* ---- tasks ---- */

void task_queue(struct task_list *list, struct task *task, bool first)
{
	task->state = TASK_NEW;
	if (first) {
		task->previous = NULL;
		task->next = list->first;
		*(list->first ? &list->first->previous : &list->last) = task;
		list->first = task;
	} else {
		task->next = NULL;
		task->previous = list->last;
		*(list->last ? &list->last->next : &list->first) = task;
		list->last = task;
	}
}

static void task_begin(struct capture *c, struct task_list *list, struct task *task)
{
	*(task->previous ? &task->previous->next : &list->first) = task->next;
	*(task->next ? &task->next->previous : &list->last) = task->previous;
	task->state = TASK_RUNNING;
	c->bytes_ahead += task->bytes;
}

/* Run a task that has begun; called and returns with the lock held. */
static void task_run(struct worker *w, struct task *task)
{
	struct capture *c = w->capture;

	lock_drop(&c->lock);
	task->run(w, task);
	lock_take(&c->lock);
	task->state = TASK_DONE;
	pthread_cond_broadcast(&c->changed);
}

void task_finish(struct worker *w, struct task_list *list, struct task *task)
{
	struct capture *c = w->capture;

	LOCK_SCOPE(&c->lock);
	if (task->state == TASK_NEW) {
		task_begin(c, list, task);
		task_run(w, task);
	}
	while (task->state != TASK_DONE)
		lock_wait(&c->lock, &c->changed);
}

void *capture_walk_thread(void *worker)
{
	struct worker *w = worker;
	struct capture *c = w->capture;

	(void)pthread_setname_np(pthread_self(), "yore-walk");
	LOCK_SCOPE(&c->lock);
	while (!c->stopping) {
		struct task *task = c->walks.first;

		if (!task || c->items_ahead > LOOKAHEAD_ITEMS ||
		    c->folders_ahead > c->folders_max) {
			lock_wait(&c->lock, &c->changed);
			continue;
		}
		task_begin(c, &c->walks, task);
		task_run(w, task);
	}
	return NULL;
}

void *capture_read_thread(void *worker)
{
	struct worker *w = worker;
	struct capture *c = w->capture;

	(void)pthread_setname_np(pthread_self(), "yore-read");
	LOCK_SCOPE(&c->lock);
	while (!c->stopping) {
		struct task *task = c->reads.first;

		if (!task || c->bytes_ahead > LOOKAHEAD_BYTES) {
			lock_wait(&c->lock, &c->changed);
			continue;
		}
		task_begin(c, &c->reads, task);
		task_run(w, task);
	}
	return NULL;
}

/* ---- failures ---- */

void capture_fail(struct capture *c, int r)
{
	LOCK_SCOPE(&c->lock);
	assert(r < 0);
	if (c->failure == 0)
		c->failure = r;
	pthread_cond_broadcast(&c->changed);
}

bool capture_failed(struct capture *c)
{
	if (c->options->cancel && *c->options->cancel)
		capture_fail(c, -ECANCELED);
	LOCK_SCOPE(&c->lock);
	return c->failure != 0;
}

void capture_want_whole(struct capture *c, const char *why)
{
	LOCK_SCOPE(&c->lock);
	if (c->failure != 0)
		return;
	log_debug("%s: %s: it is walked whole", c->source_path, why);
	c->want_whole = true;
	c->failure = -EAGAIN;
	pthread_cond_broadcast(&c->changed);
}

void capture_problem(struct capture *c, const struct folder *folder, const char *name,
		     const char *what, int error)
{
	CLEANUP(free_ptr) char *path = NULL;
	const char *source = strcmp(c->source_path, "/") == 0 ? "" : c->source_path;
	const char *below = folder && folder->parent ? folder->path : "";
	bool is_root = !folder || !folder->parent;

	if (is_root) /* the name is the source's own */
		path = strdup(c->source_path);
	else if (asprintf(&path, "%s%s%s%s%s", source, *below ? "/" : "", below, name ? "/" : "",
			  name ? name : "") < 0)
		path = NULL;
	atomic_fetch_add_explicit(&c->progress->errors, 1, memory_order_relaxed);
	LOCK_SCOPE(&c->lock);
	c->errors++;
	if (c->options->problem)
		c->options->problem(c->options->context, path ? path : c->source_path, what, error);
}
