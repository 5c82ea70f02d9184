/* SPDX-License-Identifier: MIT */
#include "snapshots/diff.h"
#include "snapshots/tree_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

enum side { BEFORE, AFTER, SIDES };

/* A pair of directories being compared; a side that is not there is an empty directory. */
struct diff_frame {
	struct chunk_id roots[SIDES];
	uint64_t positions[SIDES];
	size_t path_n;
};

struct diff {
	struct reader_ring rings[SIDES];
	struct byte_buf path;
	struct diff_frame *frames;
	uint32_t n_frames;
	uint32_t room;
	diff_visitor *visit;
	void *context;
};

static bool bytes_equal(const void *a, size_t a_n, const void *b, size_t b_n)
{
	return a_n == b_n && (a_n == 0 || memcmp(a, b, a_n) == 0);
}

static bool metadata_equal(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->mtime.seconds == b->mtime.seconds &&
	       a->mtime.nanoseconds == b->mtime.nanoseconds &&
	       a->attribute_flags == b->attribute_flags &&
	       (a->flags & ENTRY_XATTRS_CHUNK) == (b->flags & ENTRY_XATTRS_CHUNK) &&
	       bytes_equal(a->xattrs, a->xattrs_n, b->xattrs, b->xattrs_n);
}

static bool substance_equal(const struct tree_entry *a, const struct tree_entry *b)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return a->size == b->size && chunk_id_equal(&a->content.id, &b->content.id);
	case S_IFLNK:
		return bytes_equal(a->link, a->link_n, b->link, b->link_n);
	case S_IFCHR:
	case S_IFBLK:
		return a->rdev == b->rdev;
	default:
		return true;
	}
}

int diff_entries(const struct tree_entry *before, const struct tree_entry *after)
{
	if ((before->mode & S_IFMT) != (after->mode & S_IFMT))
		return DIFF_TYPE;
	if (!substance_equal(before, after))
		return DIFF_MODIFIED;
	return metadata_equal(before, after) ? -1 : DIFF_METADATA;
}

static int push_frame(struct diff *d, const struct chunk_id roots[static SIDES])
{
	struct diff_frame *f;

	if (d->n_frames == TREE_DEPTH_MAX)
		return log_errno(-ELOOP,
				 "tree: more than %d directories inside one another at %.200s",
				 TREE_DEPTH_MAX, (const char *)d->path.data);
	for (int side = 0; side < SIDES && d->n_frames > 0; side++)
		if (!chunk_id_is_zero(&roots[side]) &&
		    tree_contains_itself(&roots[side], &d->frames->roots[side], sizeof(*d->frames),
					 d->n_frames))
			return log_errno(-ELOOP, "tree: the directory at %.200s contains itself",
					 (const char *)d->path.data);
	if (d->n_frames == d->room) {
		const uint32_t room = d->room ? d->room * 2 : 32;
		struct diff_frame *frames = realloc(d->frames, room * sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		d->frames = frames;
		d->room = room;
	}
	f = &d->frames[d->n_frames];
	*f = (struct diff_frame){ .path_n = d->path.n - 1 };
	for (int side = 0; side < SIDES; side++) {
		f->roots[side] = roots[side];
		reader_ring_forget(&d->rings[side], d->n_frames);
	}
	d->n_frames++;
	return 0;
}

/* Report one name, whose path is set, and go below it where something may differ. */
static int compare(struct diff *d, const struct tree_entry *before, const struct tree_entry *after)
{
	struct chunk_id roots[SIDES] = { 0 };
	int change;
	int r = 0;

	if (before && S_ISDIR(before->mode))
		roots[BEFORE] = before->tree;
	if (after && S_ISDIR(after->mode))
		roots[AFTER] = after->tree;
	if (before && after)
		change = diff_entries(before, after);
	else
		change = before ? DIFF_REMOVED : DIFF_ADDED;
	if (change >= 0)
		r = d->visit(d->context, (enum diff_change)change, (const char *)d->path.data,
			     before, after);
	if (r != 0)
		return r < 0 ? r : 0;
	return chunk_id_equal(&roots[BEFORE], &roots[AFTER]) ? 0 : push_frame(d, roots);
}

/* Negative, zero or positive: which side's name comes first. A side at its end comes last. */
static int name_order(const struct tree_entry entries[static SIDES], const int have[static SIDES])
{
	if (!have[BEFORE] || !have[AFTER])
		return have[BEFORE] ? -1 : 1;
	return name_compare(entries[BEFORE].name, entries[BEFORE].name_n, entries[AFTER].name,
			    entries[AFTER].name_n);
}

static int diff_step(struct diff *d)
{
	struct diff_frame *f = &d->frames[d->n_frames - 1];
	struct tree_reader *readers[SIDES];
	struct tree_entry entries[SIDES];
	const struct tree_entry *shown[SIDES] = { NULL, NULL };
	int have[SIDES];
	int order, r;

	for (int side = 0; side < SIDES; side++) {
		r = reader_ring_get(&d->rings[side], d->n_frames - 1, &f->roots[side],
				    f->positions[side], &readers[side]);
		if (r < 0)
			return r;
	}
	r = tree_reader_skip_equal(readers[BEFORE], readers[AFTER]);
	if (r < 0)
		return r;
	for (int side = 0; side < SIDES; side++) {
		have[side] = tree_reader_peek(readers[side], &entries[side]);
		if (have[side] < 0)
			return have[side];
	}
	if (!have[BEFORE] && !have[AFTER]) {
		d->n_frames--;
		return 0;
	}
	order = name_order(entries, have);
	for (int side = 0; side < SIDES; side++) {
		if (order == 0 || (order < 0) == (side == BEFORE)) {
			shown[side] = &entries[side];
			tree_reader_step(readers[side]);
		}
		f->positions[side] = tree_reader_position(readers[side]);
	}
	r = walk_path_set(&d->path, f->path_n, entries[order <= 0 ? BEFORE : AFTER].name,
			  entries[order <= 0 ? BEFORE : AFTER].name_n);
	return r < 0 ? r : compare(d, shown[BEFORE], shown[AFTER]);
}

int diff_trees(struct chunk_cache *cache, const struct tree_entry *before,
	       const struct tree_entry *after, diff_visitor *visit, void *context)
{
	struct diff d = { .visit = visit, .context = context };
	int r = 0;

	assert(cache);
	assert(visit);
	d.rings[BEFORE].cache = cache;
	d.rings[AFTER].cache = cache;
	if (before || after) {
		r = walk_path_set(&d.path, 0, "", 0);
		if (r == 0)
			r = compare(&d, before, after);
	}
	while (r == 0 && d.n_frames > 0)
		r = diff_step(&d);
	reader_ring_done(&d.rings[BEFORE]);
	reader_ring_done(&d.rings[AFTER]);
	byte_buf_done(&d.path);
	free(d.frames);
	return r;
}

static int visit_names(struct tree_reader *readers[static SIDES], diff_name_visitor *visit,
		       void *context)
{
	struct tree_entry entries[SIDES];
	const struct tree_entry *shown[SIDES];
	int have[SIDES];
	int order, r;

	for (;;) {
		r = tree_reader_skip_equal(readers[BEFORE], readers[AFTER]);
		if (r < 0)
			return r;
		for (int side = 0; side < SIDES; side++) {
			have[side] = tree_reader_peek(readers[side], &entries[side]);
			if (have[side] < 0)
				return have[side];
		}
		if (!have[BEFORE] && !have[AFTER])
			return 0;
		order = name_order(entries, have);
		shown[BEFORE] = order <= 0 ? &entries[BEFORE] : NULL;
		shown[AFTER] = order >= 0 ? &entries[AFTER] : NULL;
		r = visit(context, shown[BEFORE], shown[AFTER]);
		if (r != 0)
			return r;
		for (int side = 0; side < SIDES; side++)
			if (shown[side])
				tree_reader_step(readers[side]);
	}
}

int diff_names(struct chunk_cache *cache, const struct chunk_id *before,
	       const struct chunk_id *after, diff_name_visitor *visit, void *context)
{
	struct tree_reader *readers[SIDES] = { NULL, NULL };
	int r;

	r = tree_reader_new(cache, &readers[BEFORE]);
	if (r == 0)
		r = tree_reader_new(cache, &readers[AFTER]);
	if (r == 0)
		r = tree_reader_set(readers[BEFORE], before);
	if (r == 0)
		r = tree_reader_set(readers[AFTER], after);
	if (r == 0)
		r = visit_names(readers, visit, context);
	tree_reader_free(readers[BEFORE]);
	tree_reader_free(readers[AFTER]);
	return r;
}
