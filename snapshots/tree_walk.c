/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_walk.h"
#include "snapshots/tree_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

/* ---- shared with diff ---- */

void reader_ring_done(struct reader_ring *ring)
{
	for (uint32_t i = 0; i < READER_RING; i++) {
		tree_reader_free(ring->readers[i]);
		ring->readers[i] = NULL;
	}
}

void reader_ring_forget(struct reader_ring *ring, uint32_t depth)
{
	if (ring->owners[depth % READER_RING] == depth + 1)
		ring->owners[depth % READER_RING] = 0;
}

int reader_ring_get(struct reader_ring *ring, uint32_t depth, const struct chunk_id *root,
		    uint64_t position, struct tree_reader **ret_reader)
{
	struct tree_reader **slot = &ring->readers[depth % READER_RING];
	uint32_t *owner = &ring->owners[depth % READER_RING];
	int r = 0;

	if (*owner == depth + 1) {
		*ret_reader = *slot;
		return 0;
	}
	if (!*slot)
		r = tree_reader_new(ring->cache, slot);
	if (r == 0)
		r = tree_reader_set(*slot, root);
	if (r == 0)
		r = tree_reader_seek_index(*slot, position);
	*owner = r == 0 ? depth + 1 : 0;
	*ret_reader = *slot;
	return r;
}

int walk_path_set(struct byte_buf *path, size_t n, const char *name, uint32_t name_n)
{
	path->n = n;
	if (n > 0)
		byte_buf_u8(path, '/');
	byte_buf_append(path, name, name_n);
	byte_buf_u8(path, '\0');
	return path->failed ? -ENOMEM : 0;
}

/* ---- walking ---- */

/* A directory on the way to the current entry. */
struct walk_frame {
	struct chunk_id root;
	uint64_t position;
	size_t path_n;
};

struct walk {
	struct reader_ring ring;
	struct byte_buf path;
	struct walk_frame *frames;
	uint32_t n_frames;
	uint32_t room;
	tree_walk_visitor *visit;
	tree_walk_failed *failed;
	void *context;
};

static int push_frame(struct walk *w, const struct chunk_id *root)
{
	if (w->n_frames == TREE_DEPTH_MAX)
		return log_errno(-ELOOP,
				 "tree: more than %d directories inside one another at %.200s",
				 TREE_DEPTH_MAX, (const char *)w->path.data);
	if (w->n_frames > 0 &&
	    tree_contains_itself(root, &w->frames->root, sizeof(*w->frames), w->n_frames))
		return log_errno(-ELOOP, "tree: the directory at %.200s contains itself",
				 (const char *)w->path.data);
	if (w->n_frames == w->room) {
		const uint32_t room = w->room ? w->room * 2 : 32;
		struct walk_frame *frames = realloc(w->frames, room * sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		w->frames = frames;
		w->room = room;
	}
	reader_ring_forget(&w->ring, w->n_frames);
	/* Without the NUL. */
	w->frames[w->n_frames++] = (struct walk_frame){ .root = *root, .path_n = w->path.n - 1 };
	return 0;
}

/* Show an entry, whose path is set; go into it if it is a directory with something in it. */
static int visit_entry(struct walk *w, const struct tree_entry *e)
{
	const struct chunk_id tree = e->tree;
	const bool enter = S_ISDIR(e->mode) && !chunk_id_is_zero(&tree);
	int r;

	r = w->visit(w->context, (const char *)w->path.data, e, w->n_frames);
	if (r < 0)
		return r;
	return r == 0 && enter ? push_frame(w, &tree) : 0;
}

/* Part of the innermost directory cannot be read. */
static int report_damage(struct walk *w, struct tree_reader *reader, int error)
{
	struct walk_frame *f = &w->frames[w->n_frames - 1];
	uint64_t lost = 0;

	if (!w->failed || error == -ENOMEM || !reader)
		return error;
	/* Without an owner the root node itself is the bad one. */
	if (w->ring.owners[(w->n_frames - 1) % READER_RING] == w->n_frames)
		lost = tree_reader_skip_damaged(reader);
	f->position += lost;
	w->path.n = f->path_n;
	byte_buf_u8(&w->path, '\0');
	if (w->path.failed)
		return -ENOMEM;
	if (lost == 0)
		w->n_frames--;
	return w->failed(w->context, (const char *)w->path.data, error, lost);
}

static int walk_step(struct walk *w)
{
	struct walk_frame *f = &w->frames[w->n_frames - 1];
	struct tree_reader *reader = NULL;
	struct tree_entry e;
	int r;

	r = reader_ring_get(&w->ring, w->n_frames - 1, &f->root, f->position, &reader);
	if (r == 0)
		r = tree_reader_next(reader, &e);
	if (r < 0)
		return report_damage(w, reader, r);
	if (r == 0) {
		w->n_frames--;
		return 0;
	}
	f->position++;
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): set with every 1 */
	r = walk_path_set(&w->path, f->path_n, e.name, e.name_n);
	return r < 0 ? r : visit_entry(w, &e);
}

int tree_walk(struct chunk_cache *cache, const struct tree_entry *root, tree_walk_visitor *visit,
	      tree_walk_failed *failed, void *context)
{
	struct walk w = {
		.ring = { .cache = cache }, .visit = visit, .failed = failed, .context = context
	};
	int r;

	assert(cache);
	assert(root);
	assert(visit);
	r = walk_path_set(&w.path, 0, "", 0);
	if (r == 0)
		r = visit_entry(&w, root);
	while (r == 0 && w.n_frames > 0)
		r = walk_step(&w);
	reader_ring_done(&w.ring);
	byte_buf_done(&w.path);
	free(w.frames);
	return r;
}
