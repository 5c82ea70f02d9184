/* SPDX-License-Identifier: MIT */
#include "snapshots/versions.h"

#include "snapshots/timeline_internal.h"
#include "snapshots/tree_internal.h"
#include "snapshots/versions_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Snapshots looked at together, level by level, so that their nodes are decoded ahead. */
#define BATCH 64u

struct batch {
	uint64_t seqs[BATCH];
	struct path_state states[BATCH];
	size_t n;
};

void versions_free(struct versions *v)
{
	if (!v)
		return;
	tree_reader_free(v->reader);
	free(v->runs);
	free(v->levels);
	free(v->path);
	free(v);
}

/* Cut the path into names; they point into it. */
static int split_path(struct versions *v)
{
	size_t n = 0;

	for (const char *at = v->path; *at; at += strcspn(at, "/")) {
		at += strspn(at, "/");
		n += *at != '\0';
	}
	v->levels = calloc(n + 1, sizeof(*v->levels));
	if (!v->levels)
		return -ENOMEM;
	for (const char *at = v->path; *at; at += strcspn(at, "/")) {
		at += strspn(at, "/");
		if (!*at)
			break;
		if (strcspn(at, "/") > NAME_BYTES_MAX)
			return -ENAMETOOLONG;
		v->levels[v->n_levels++] = (struct path_level){
			.name = at,
			.name_n = (uint32_t)strcspn(at, "/"),
		};
	}
	return 0;
}

int versions_new(struct timeline *t, struct chunk_cache *cache, const char *path,
		 struct versions **ret_versions)
{
	CLEANUP(versions_free_ptr) struct versions *v = NULL;
	int r;

	assert(t);
	assert(path);
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->timeline = t;
	v->cache = cache;
	v->path = strdup(path);
	if (!v->path)
		return -ENOMEM;
	r = split_path(v);
	if (r == 0)
		r = tree_reader_new(cache, &v->reader);
	if (r < 0)
		return r;
	tree_reader_scattered(v->reader, true);
	*ret_versions = STEAL(v);
	return 0;
}

/* ---- one look-up ---- */

bool versions_damage(int r)
{
	return r == -EBADMSG || r == -EUCLEAN || r == -ENOENT || r == -EIO || r == -EREMOTEIO ||
	       r == -ENOKEY || r == -ELOOP;
}

static void state_of(const struct tree_entry *e, struct path_state *ret_state)
{
	*ret_state = (struct path_state){
		.mode = e->mode,
		.file_system = e->file_system,
		.ino = e->ino,
	};
	if (S_ISDIR(e->mode))
		ret_state->id = e->tree;
	else if (S_ISREG(e->mode))
		ret_state->id = e->content.id;
	else if (S_ISLNK(e->mode))
		sha256_of(e->link, e->link_n, ret_state->id.bytes);
	else
		memcpy(ret_state->id.bytes, &e->rdev, sizeof(e->rdev));
}

static bool states_equal(uint32_t mode_a, const struct chunk_id *a, const struct path_state *b)
{
	return (mode_a & S_IFMT) == (b->mode & S_IFMT) && chunk_id_equal(a, &b->id);
}

/* The state of a level's name in the directory `tree`. */
static void look_up(struct versions *v, struct path_level *level, const struct chunk_id *tree,
		    struct path_state *ret_state)
{
	struct path_state found = { 0 };
	struct tree_entry entry = { 0 };
	int r;

	if (level->known && chunk_id_equal(&level->tree, tree)) {
		*ret_state = level->found;
		return;
	}
	r = tree_reader_set(v->reader, tree);
	if (r == -ENOENT)
		r = -EBADMSG; /* a directory, and not a name in it, is missing */
	if (r == 0)
		r = tree_reader_seek_name(v->reader, level->name, level->name_n);
	if (r == 0)
		r = tree_reader_peek(v->reader, &entry);
	if (r < 0) {
		*ret_state = (struct path_state){ .error = r == -ENOENT ? -EBADMSG : r };
		return;
	}
	if (r > 0 && name_compare(entry.name, entry.name_n, level->name, level->name_n) == 0)
		state_of(&entry, &found);
	level->known = true;
	level->tree = *tree;
	level->found = found;
	*ret_state = found;
}

/* ---- all snapshots ---- */

static int add_run(struct versions *v, uint64_t seq, const struct path_state *state)
{
	struct version *last = v->n_runs > 0 ? &v->runs[v->n_runs - 1] : NULL;
	int r;

	if (last && states_equal(last->mode, &last->id, state)) {
		last->last_seq = seq;
		return 0;
	}
	if (!last && state->mode == 0)
		return 0;
	r = timeline_grow(&v->runs, v->n_runs, &v->runs_room, sizeof(*v->runs));
	if (r < 0)
		return r;
	v->runs[v->n_runs++] = (struct version){
		.first_seq = seq,
		.last_seq = seq,
		.mode = state->mode,
		.id = state->id,
		.ino = state->ino,
		.file_system = state->file_system,
	};
	return 0;
}

/* A snapshot that could not be looked at: is it damaged, or only just forgotten? */
static int pass_over(struct versions *v, uint64_t seq, int error)
{
	struct snapshot_info info;

	if (!versions_damage(error))
		return error;
	if (timeline_get(v->timeline, seq, &info) < 0)
		return 0;
	(void)log_errno(error, "@%s: cannot look for %s; left out", info.name,
			v->path[0] ? v->path : "/");
	v->unreadable++;
	return 0;
}

static int take_batch(struct versions *v, struct batch *b)
{
	int r = 0;

	for (size_t k = 0; k < v->n_levels; k++) {
		for (size_t i = 0; i < b->n; i++) {
			struct path_state *state = &b->states[i];
			struct chunk_id tree = state->id;

			if (state->error)
				continue;
			if (!S_ISDIR(state->mode)) {
				*state = (struct path_state){ 0 };
				continue;
			}
			look_up(v, &v->levels[k], &tree, state);
			if (k + 1 < v->n_levels && S_ISDIR(state->mode) &&
			    !chunk_id_is_zero(&state->id) &&
			    !chunk_id_equal(&state->id, &v->levels[k + 1].tree))
				chunk_cache_prefetch(v->cache, &state->id, OBJECT_TREE);
		}
	}
	for (size_t i = 0; i < b->n && r == 0; i++)
		r = b->states[i].error ? pass_over(v, b->seqs[i], b->states[i].error)
				       : add_run(v, b->seqs[i], &b->states[i]);
	return r;
}

/* How many snapshots have a sequence of at most `seq`. */
static uint64_t count_until(struct timeline *t, uint64_t seq)
{
	uint64_t low = 0, high = 0, at;

	(void)timeline_count(t, &high);
	while (low < high) {
		const uint64_t middle = low + (high - low) / 2;

		if (timeline_at(t, middle, &at, NULL, NULL) < 0 || at > seq)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The next snapshots from number i on. */
static int fill_batch(struct versions *v, uint64_t i, struct batch *ret_batch)
{
	struct snapshot_info info;
	uint64_t seq;
	int r;

	ret_batch->n = 0;
	while (ret_batch->n < BATCH && timeline_at(v->timeline, i++, &seq, NULL, NULL) == 0) {
		if (seq <= v->last_seq)
			continue; /* some were forgotten meanwhile */
		r = timeline_get(v->timeline, seq, &info);
		if (r < 0 && r != -ENOENT)
			return r;
		v->last_seq = seq;
		v->n_snapshots++;
		if (r == -ENOENT)
			continue;
		ret_batch->seqs[ret_batch->n] = seq;
		ret_batch->states[ret_batch->n++] = (struct path_state){
			.mode = S_IFDIR | 0755,
			.id = info.root_tree,
		};
		if (v->n_levels > 0)
			chunk_cache_prefetch(v->cache, &info.root_tree, OBJECT_TREE);
	}
	return 0;
}

int versions_update(struct versions *v)
{
	static const struct chunk_id nothing;
	struct batch batch;
	int r;

	assert(v);
	if (count_until(v->timeline, v->last_seq) != v->n_snapshots) {
		v->n_runs = 0;
		v->last_seq = v->n_snapshots = v->unreadable = 0;
	}
	do {
		r = fill_batch(v, count_until(v->timeline, v->last_seq), &batch);
		if (r == 0)
			r = take_batch(v, &batch);
	} while (r == 0 && batch.n > 0);
	(void)tree_reader_set(v->reader, &nothing); /* pins no node meanwhile */
	/* Nothing half done: the next update begins anew. */
	if (r < 0)
		v->n_runs = v->last_seq = v->n_snapshots = v->unreadable = 0;
	return r;
}

const struct version *versions_all(const struct versions *v, size_t *ret_n)
{
	*ret_n = v->n_runs;
	return v->runs;
}

uint64_t versions_unreadable(const struct versions *v)
{
	return v->unreadable;
}

size_t versions_bytes(const struct versions *v)
{
	return sizeof(*v) + v->runs_room * sizeof(*v->runs) + v->n_levels * sizeof(*v->levels) +
	       strlen(v->path);
}
