/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"
#include "snapshots/tree_internal.h"

#include <errno.h>
#include <string.h>

/* A directory on the way down. */
struct walk_frame {
	struct restore_dir *dir;
	struct chunk_id tree;
	uint64_t next; /* entry to go on with after a subdirectory */
};

struct restore_walker {
	struct restore_thread *t;
	struct restore *run;
	struct tree_reader *reader; /* the newest frame's directory */
	struct tree_reader *lookup; /* the same one by name, for what is to be deleted */
	struct link_table *links;
	struct restore_batch *batch; /* being filled, or NULL */
	struct chunk_id prefetched;  /* asked for last */
	struct walk_frame *frames;
	size_t n;
	size_t room;
};

static void walker_done(struct restore_walker *w)
{
	tree_reader_free(w->reader);
	tree_reader_free(w->lookup);
	link_table_free(w->links);
	free(w->frames);
}

/* ---- batches ---- */

static int flush(struct restore_walker *w)
{
	if (!w->batch)
		return 0;
	return queue_push(w->run->full, STEAL(w->batch));
}

/* Room for n bytes in the batch; there is, since full batches are sent before. */
static void *arena_take(struct restore_batch *b, size_t n)
{
	void *p = b->arena + b->arena_n;

	assert(n <= BATCH_ARENA_BYTES - b->arena_n);
	b->arena_n += (n + 7) & ~(size_t)7;
	if (b->arena_n > BATCH_ARENA_BYTES)
		b->arena_n = BATCH_ARENA_BYTES;
	return p;
}

static const void *arena_copy(struct restore_batch *b, const void *data, size_t n, bool terminate)
{
	uint8_t *to = arena_take(b, n + terminate);

	if (n > 0)
		memcpy(to, data, n);
	if (terminate)
		to[n] = 0;
	return to;
}

static size_t arena_need(const struct tree_entry *e)
{
	size_t need = e->name_n + 1 + e->link_n + 1 + e->xattrs_n + 5 * 8u;

	if (e->content.form == CONTENT_INLINE)
		need += e->content.n_pieces * sizeof(struct piece) +
			e->content.n_extents * sizeof(struct extent);
	return need;
}

/* A batch with room for the entry. */
static int ready_batch(struct restore_walker *w, size_t need)
{
	struct restore_batch *b = w->batch;
	void *empty;
	int r;

	if (b && (b->n == BATCH_ITEMS_MAX || need > BATCH_ARENA_BYTES - b->arena_n ||
		  b->content_bytes >= BATCH_CONTENT_BYTES ||
		  b->n_directories >= BATCH_DIRECTORIES_MAX)) {
		r = flush(w);
		if (r < 0)
			return r;
	}
	if (w->batch)
		return 0;
	r = queue_pop(w->run->empty, &empty);
	if (r < 0)
		return r;
	w->batch = empty;
	w->batch->n = 0;
	w->batch->n_directories = 0;
	w->batch->content_bytes = 0;
	w->batch->arena_n = 0;
	return 0;
}

static void copy_entry(struct restore_batch *b, struct tree_entry *e)
{
	struct content *c = &e->content;

	e->name = arena_copy(b, e->name, e->name_n, true);
	e->link = arena_copy(b, e->link, e->link_n, true);
	e->xattrs = arena_copy(b, e->xattrs, e->xattrs_n, false);
	if (c->form != CONTENT_INLINE)
		return;
	c->pieces = arena_copy(b, c->pieces, c->n_pieces * sizeof(struct piece), false);
	c->extents = arena_copy(b, c->extents, c->n_extents * sizeof(struct extent), false);
}

/* Have the bundle decoded that the next batch begins with. */
static void prefetch(struct restore_walker *w, const struct content *c)
{
	if (c->form != CONTENT_INLINE || c->n_extents == 0 ||
	    memcmp(&w->prefetched, &c->extents[0].chunk, sizeof(w->prefetched)) == 0)
		return;
	w->prefetched = c->extents[0].chunk;
	chunk_cache_prefetch(w->run->cache, &w->prefetched, OBJECT_DATA);
}

static int add_item(struct restore_walker *w, struct restore_dir *dir,
		    const struct tree_entry *entry)
{
	struct restore_item *item;
	struct restore_batch *b;
	int r = ready_batch(w, arena_need(entry));

	if (r < 0)
		return r;
	b = w->batch;
	item = &b->items[b->n];
	*item = (struct restore_item){ .dir = dir, .entry = *entry };
	copy_entry(b, &item->entry);
	if (entry->nlink > 1) {
		r = link_table_enter(w->links, item);
		if (r < 0)
			return r;
	}
	if (b->n == 0 || b->items[b->n - 1].dir != dir)
		b->n_directories++;
	if (S_ISREG(entry->mode)) {
		b->content_bytes += entry->size;
		if (!w->run->options->dry_run)
			prefetch(w, &entry->content);
	}
	b->n++;
	restore_dir_ref(dir);
	atomic_fetch_add(&dir->pending, 1);
	atomic_fetch_add(&dir->n_items, 1);
	return 0;
}

/* ---- directories ---- */

static int push(struct restore_walker *w, struct restore_dir *dir)
{
	if (w->n == w->room) {
		const size_t room = w->room ? w->room * 2 : 64;
		struct walk_frame *frames = reallocarray(w->frames, room, sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		w->frames = frames;
		w->room = room;
	}
	w->frames[w->n++] = (struct walk_frame){ .dir = dir, .tree = dir->entry.tree };
	/* Those that still have items waiting are tried again at the next push. */
	for (size_t i = w->n - 1, tries = 0; i >= OPEN_ANCESTORS_MAX && tries < 4; i--, tries++)
		restore_dir_suspend(w->frames[i - OPEN_ANCESTORS_MAX].dir);
	return 0;
}

/* Read the newest frame's directory from its next entry on. */
static int aim(struct restore_walker *w)
{
	struct walk_frame *frame = &w->frames[w->n - 1];
	int r = tree_reader_set(w->reader, &frame->tree);

	if (r == 0 && frame->next > 0)
		r = tree_reader_seek_index(w->reader, frame->next);
	return r;
}

static int clean(struct restore_walker *w, struct restore_dir *dir)
{
	int r;

	if (dir->fd < 0 || dir->made)
		return 0;
	if (!dir->may_delete)
		return restore_clean(w->t, dir, NULL);
	r = tree_reader_set(w->lookup, &dir->entry.tree);
	return r < 0 ? 0 : restore_clean(w->t, dir, w->lookup); /* the walk names the damage */
}

/* Begin with a directory; takes it over. */
static int begin_directory(struct restore_walker *w, struct restore_dir *dir)
{
	int r = push(w, dir);

	if (r < 0) {
		restore_dir_finish(w->t, dir);
		return r;
	}
	r = clean(w, dir);
	if (r < 0 && r != -ECANCELED)
		restore_error(w->run, dir, NULL, "could not be listed", r);
	if (dir->entry.flags & ENTRY_UNREADABLE) {
		restore_shortfall(w->run, dir, NULL,
				  "could not be read when the snapshot was taken", -ENODATA);
		atomic_fetch_add(&w->run->incomplete, 1);
	}
	r = aim(w);
	if (r == 0)
		return 0;
	restore_error(w->run, dir, NULL, "its entries are damaged in the repository", r);
	w->frames[w->n - 1].next = UINT64_MAX;
	return tree_reader_set(w->reader, &(struct chunk_id){ 0 });
}

static int enter_directory(struct restore_walker *w, struct restore_dir *parent,
			   const struct tree_entry *entry)
{
	char name[NAME_BYTES_MAX + 1];
	struct restore_dir *dir;
	int r;

	memcpy(name, entry->name, entry->name_n);
	name[entry->name_n] = 0;
	if (w->n == TREE_DEPTH_MAX ||
	    (w->n > 0 && !chunk_id_is_zero(&entry->tree) &&
	     tree_contains_itself(&entry->tree, &w->frames->tree, sizeof(*w->frames), w->n)))
		r = -ELOOP;
	else
		r = restore_dir_enter(w->t, parent, entry, &dir);
	if (r < 0) {
		restore_error(w->run, parent, name,
			      "the directory and all below it could not be restored", r);
		return restore_stopped(w->run);
	}
	return begin_directory(w, dir);
}

/* A malformed entry costs itself only. */
static int refuse(struct restore_walker *w, struct restore_dir *dir)
{
	restore_error(w->run, dir, NULL, "an entry is malformed in the repository", -EUCLEAN);
	return 0;
}

static int visit(struct restore_walker *w, struct restore_dir *dir, const struct tree_entry *entry)
{
	if (!name_valid(entry->name, entry->name_n))
		return refuse(w, dir);
	if (S_ISDIR(entry->mode)) {
		if (w->n > 0)
			w->frames[w->n - 1].next = tree_reader_position(w->reader);
		return enter_directory(w, dir, entry);
	}
	if (arena_need(entry) > BATCH_ARENA_BYTES ||
	    (entry->link_n > 0 && memchr(entry->link, 0, entry->link_n)))
		return refuse(w, dir);
	return add_item(w, dir, entry);
}

/* The newest directory is done: go on with its parent. */
static int leave_directory(struct restore_walker *w)
{
	struct restore_dir *dir = w->frames[--w->n].dir;
	struct walk_frame *parent;
	int r;

	if (w->n == 0) {
		restore_dir_finish(w->t, dir);
		return 0;
	}
	parent = &w->frames[w->n - 1];
	r = restore_dir_resume(w->run, parent->dir, dir);
	restore_dir_finish(w->t, dir);
	if (r == 0 && parent->next != UINT64_MAX)
		r = aim(w);
	if (r == 0)
		return 0;
	restore_error(w->run, parent->dir, NULL, "the rest of the directory could not be restored",
		      r);
	return tree_reader_set(w->reader, &(struct chunk_id){ 0 });
}

static int step(struct restore_walker *w)
{
	struct restore_dir *dir = w->frames[w->n - 1].dir;
	struct tree_entry entry;
	int r = tree_reader_next(w->reader, &entry);

	if (r == 0)
		return leave_directory(w);
	if (r == 1)
		return visit(w, dir, &entry);
	if (r == -ENOMEM)
		return r;
	/* A damaged node costs the entries in it, not those behind it. */
	restore_error(w->run, dir, NULL, "entries are damaged in the repository", r);
	if (tree_reader_skip_damaged(w->reader) > 0)
		return 0;
	return tree_reader_set(w->reader, &(struct chunk_id){ 0 });
}

static int walk(struct restore_walker *w)
{
	while (w->n > 0) {
		int r = restore_stopped(w->run);

		if (r == 0)
			r = step(w);
		if (r < 0)
			return r;
	}
	return 0;
}

int restore_walk(struct restore_thread *t, struct restore_dir *container,
		 const struct tree_entry *top)
{
	CLEANUP(walker_done) struct restore_walker w = { .t = t, .run = t->run };
	int r;

	r = tree_reader_new(t->run->cache, &w.reader);
	if (r == 0)
		r = tree_reader_new(t->run->cache, &w.lookup);
	if (r == 0)
		r = link_table_new(&w.links);
	if (r < 0) {
		restore_dir_finish(t, container);
		return r;
	}
	if (top) {
		r = clean(&w, container);
		if (r == 0)
			r = visit(&w, container, top);
	} else {
		r = begin_directory(&w, container);
	}
	if (r == 0)
		r = walk(&w);
	/* Ended early: the workers must find a reason to stop before they get the rest. */
	if (r < 0)
		atomic_compare_exchange_strong(&t->run->failure, &(int){ 0 }, r);
	while (w.n > 0)
		restore_dir_finish(t, w.frames[--w.n].dir);
	if (top)
		restore_dir_finish(t, container);
	(void)flush(&w);
	return r;
}

/* ---- counting ---- */

struct count_frame {
	struct chunk_id tree;
	uint64_t next;
};

static int count_push(struct count_frame **frames, size_t *n, size_t *room,
		      const struct chunk_id *tree)
{
	if (*n == TREE_DEPTH_MAX)
		return -ELOOP;
	if (*n == *room) {
		const size_t more = *room ? *room * 2 : 64;
		struct count_frame *grown = reallocarray(*frames, more, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		*frames = grown;
		*room = more;
	}
	(*frames)[(*n)++] = (struct count_frame){ .tree = *tree };
	return 0;
}

int restore_count(struct restore *run, const struct chunk_id *tree, uint64_t *ret_objects,
		  uint64_t *ret_bytes)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(free_ptr) struct count_frame *frames = NULL;
	uint64_t objects = 0, bytes = 0;
	size_t n = 0, room = 0;
	struct tree_entry entry;
	int r;

	r = tree_reader_new(run->cache, &reader);
	if (r == 0)
		r = count_push(&frames, &n, &room, tree);
	if (r == 0)
		r = tree_reader_set(reader, tree);
	while (r == 0 && n > 0) {
		r = tree_reader_next(reader, &entry);
		if (r == 1) {
			objects++;
			bytes += S_ISREG(entry.mode) ? entry.size : 0;
			r = restore_stopped(run);
			if (r < 0 || !S_ISDIR(entry.mode))
				continue;
			frames[n - 1].next = tree_reader_position(reader);
			r = count_push(&frames, &n, &room, &entry.tree);
		} else if (r == 0) {
			n--;
		}
		if (r < 0 || n == 0)
			break;
		r = tree_reader_set(reader, &frames[n - 1].tree);
		if (r == 0)
			r = tree_reader_seek_index(reader, frames[n - 1].next);
	}
	*ret_objects = objects;
	*ret_bytes = bytes;
	return r;
}
