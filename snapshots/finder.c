/* SPDX-License-Identifier: MIT */
#include "snapshots/finder.h"

#include "snapshots/glob.h"
#include "snapshots/timeline_internal.h"
#include "snapshots/tree_internal.h"
#include "store/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- a table from 64-bit hashes to numbers: open addressing, 0 is no key ---- */

struct hash_table {
	uint64_t *keys;
	uint64_t *values; /* NULL in a set */
	size_t n, room;   /* room is a power of two, or 0 */
	bool has_values;
};

static void hash_table_done(struct hash_table *h)
{
	free(h->keys);
	free(h->values);
	h->keys = h->values = NULL;
	h->n = h->room = 0;
}

/* Where the key is, or where it would go. */
static size_t hash_table_slot(const struct hash_table *h, uint64_t key)
{
	size_t i = (size_t)key & (h->room - 1);

	while (h->keys[i] && h->keys[i] != key)
		i = (i + 1) & (h->room - 1);
	return i;
}

static int hash_table_grow(struct hash_table *h)
{
	struct hash_table bigger = { .room = h->room ? 2 * h->room : 1024,
				     .n = h->n,
				     .has_values = h->has_values };

	bigger.keys = calloc(bigger.room, sizeof(*bigger.keys));
	if (h->has_values)
		bigger.values = calloc(bigger.room, sizeof(*bigger.values));
	if (!bigger.keys || (h->has_values && !bigger.values)) {
		hash_table_done(&bigger);
		return -ENOMEM;
	}
	for (size_t i = 0; i < h->room; i++) {
		size_t to;

		if (!h->keys[i])
			continue;
		to = hash_table_slot(&bigger, h->keys[i]);
		bigger.keys[to] = h->keys[i];
		if (h->has_values)
			bigger.values[to] = h->values[i];
	}
	free(h->keys);
	free(h->values);
	*h = bigger;
	return 0;
}

/* Enter a key unless it is there. 1 when it is new, 0, -ENOMEM. */
static int hash_table_add(struct hash_table *h, uint64_t key, uint64_t value)
{
	size_t i;
	int r;

	if (h->n >= h->room / 4 * 3) {
		r = hash_table_grow(h);
		if (r < 0)
			return r;
	}
	i = hash_table_slot(h, key);
	if (h->keys[i])
		return 0;
	h->keys[i] = key;
	if (h->has_values)
		h->values[i] = value;
	h->n++;
	return 1;
}

/* ---- the search ---- */

/* A directory on the way down: where to go on when what lies below is done. */
struct frame {
	struct chunk_id tree;
	uint64_t position;
	size_t path_n; /* of this directory's path, without a '/' at the end */
};

struct finder {
	struct timeline *t;
	const struct finder_options *options;
	finder_visitor *visit;
	void *context;
	struct tree_reader *reader;
	uint8_t hash_key[16];
	bool whole_path;      /* the pattern holds a '/' */
	struct byte_buf glob; /* the pattern, made ready */
	const char *below;    /* without slashes at its ends */
	size_t below_n;

	struct frame *frames;
	size_t n_frames, frames_room;
	struct byte_buf path; /* "" or "/a/b", NUL-terminated when handed out */
	struct byte_buf key;  /* scratch for hashing */

	bool counting;           /* first pass: fill `first` */
	struct hash_table seen;  /* (path, directory node) */
	struct hash_table first; /* version -> oldest sequence */
	struct hash_table told;  /* versions reported */
	const struct snapshot_info *now;
	struct finder_hit hit;
	uint64_t unreadable;
};

static void finder_done(struct finder *f)
{
	tree_reader_free(f->reader);
	byte_buf_done(&f->glob);
	byte_buf_done(&f->path);
	byte_buf_done(&f->key);
	free(f->frames);
	hash_table_done(&f->seen);
	hash_table_done(&f->first);
	hash_table_done(&f->told);
}

/* Hash of the current path and what `key` holds so far; never 0. */
static int hash_key(struct finder *f, uint64_t *ret_hash)
{
	byte_buf_append(&f->key, f->path.data, f->path.n);
	if (f->key.failed)
		return -ENOMEM;
	*ret_hash = crypto_short_hash(f->hash_key, f->key.data, f->key.n);
	*ret_hash += *ret_hash == 0;
	return 0;
}

/* What makes a version a version: what a user would see differ, not when ctime moved. */
static int hash_version(struct finder *f, const struct tree_entry *e, uint64_t *ret_hash)
{
	byte_buf_clear(&f->key);
	byte_buf_u8(&f->key, 'v');
	byte_buf_u32(&f->key, e->mode);
	byte_buf_u32(&f->key, e->uid);
	byte_buf_u32(&f->key, e->gid);
	if (!S_ISDIR(e->mode)) {
		byte_buf_u64(&f->key, e->size);
		byte_buf_u64(&f->key, e->rdev);
		byte_buf_u64(&f->key, (uint64_t)e->mtime.seconds);
		byte_buf_u32(&f->key, e->mtime.nanoseconds);
		byte_buf_append(&f->key, e->content.id.bytes, sizeof(e->content.id.bytes));
		byte_buf_blob(&f->key, e->link, e->link_n);
	}
	return hash_key(f, ret_hash);
}

/* Has this directory been looked through at this path? 1, 0 (and noted), -ENOMEM. */
static int directory_seen(struct finder *f, const struct chunk_id *tree)
{
	uint64_t hash = 0;
	int r;

	byte_buf_clear(&f->key);
	byte_buf_u8(&f->key, 'd');
	byte_buf_append(&f->key, tree->bytes, sizeof(tree->bytes));
	r = hash_key(f, &hash);
	if (r < 0)
		return r;
	if (f->seen.n >= FINDER_SEEN_MAX)
		return f->seen.keys[hash_table_slot(&f->seen, hash)] == hash;
	r = hash_table_add(&f->seen, hash, 0);
	return r < 0 ? r : r == 0;
}

/* How the current path lies to the wanted part of the tree. */
enum position { POSITION_BESIDE, POSITION_ABOVE, POSITION_WITHIN };

static enum position path_position(const struct finder *f)
{
	const char *path = (const char *)f->path.data + 1;
	size_t n = f->path.n - 1;
	size_t common = n < f->below_n ? n : f->below_n;

	if (f->below_n == 0)
		return POSITION_WITHIN;
	if (memcmp(path, f->below, common) != 0)
		return POSITION_BESIDE;
	if (n >= f->below_n)
		return n == f->below_n || path[f->below_n] == '/' ? POSITION_WITHIN
								  : POSITION_BESIDE;
	return f->below[n] == '/' ? POSITION_ABOVE : POSITION_BESIDE;
}

static bool matches(const struct finder *f, const struct tree_entry *e)
{
	const char *glob = (const char *)f->glob.data;
	bool fold = f->options->ignore_case;

	if (f->whole_path)
		return glob_path(glob, f->glob.n, (const char *)f->path.data + 1, f->path.n - 1,
				 fold);
	return glob_name(glob, f->glob.n, e->name, e->name_n, fold);
}

/* Name of the oldest snapshot that has the version; it may have been forgotten meanwhile. */
static void name_first(struct finder *f, uint64_t seq)
{
	struct snapshot_info info;

	if (f->hit.first_seq == seq && f->hit.first_name[0])
		return;
	if (seq != f->now->seq && timeline_get(f->t, seq, &info) == 0) {
		memcpy(f->hit.first_name, info.name, sizeof(info.name));
	} else {
		memcpy(f->hit.first_name, f->now->name, sizeof(f->now->name));
		seq = f->now->seq;
	}
	f->hit.first_seq = seq;
}

static int report(struct finder *f, const struct tree_entry *e)
{
	uint64_t hash = 0, first = f->now->seq;
	size_t slot;
	int r;

	r = hash_version(f, e, &hash);
	if (r < 0)
		return r;
	if (f->counting) {
		r = hash_table_add(&f->first, hash, f->now->seq);
		return r < 0 ? r : 0;
	}
	r = hash_table_add(&f->told, hash, 0);
	if (r <= 0)
		return r;
	if (f->first.room > 0) {
		slot = hash_table_slot(&f->first, hash);
		if (f->first.keys[slot] && f->first.values[slot] < first)
			first = f->first.values[slot];
	}
	if (!byte_buf_reserve(&f->path, 1))
		return -ENOMEM;
	f->path.data[f->path.n] = '\0';
	name_first(f, first);
	f->hit.path = (const char *)f->path.data;
	f->hit.entry = e;
	f->hit.last_seq = f->now->seq;
	memcpy(f->hit.last_name, f->now->name, sizeof(f->now->name));
	return f->visit(f->context, &f->hit);
}

/* Begin a directory, the path being its own, unless it was seen before. 1 when begun, 0, -errno. */
static int enter_directory(struct finder *f, const struct chunk_id *tree)
{
	int r = directory_seen(f, tree);

	if (r != 0)
		return r < 0 ? r : 0;
	if (f->n_frames >= TREE_DEPTH_MAX ||
	    (f->n_frames > 0 &&
	     tree_contains_itself(tree, &f->frames->tree, sizeof(*f->frames), f->n_frames)))
		return -ELOOP;
	r = timeline_grow(&f->frames, f->n_frames, &f->frames_room, sizeof(*f->frames));
	if (r < 0)
		return r;
	r = tree_reader_set(f->reader, tree);
	if (r < 0)
		return r;
	f->frames[f->n_frames++] = (struct frame){ .tree = *tree, .path_n = f->path.n };
	return 1;
}

/* A damaged directory costs what it holds; everything else ends the search. */
static int tolerate(struct finder *f, int r)
{
	if (r != -EBADMSG && r != -EUCLEAN && r != -ENOENT && r != -ELOOP && r != -EIO &&
	    r != -EREMOTEIO)
		return r;
	if (f->counting)
		return 0;
	(void)log_errno(r, "@%s: cannot look through %.*s/", f->now->name, (int)f->path.n,
			f->path.data);
	f->unreadable++;
	return 0;
}

/* One entry of the directory on top. */
static int take_entry(struct finder *f, const struct tree_entry *e)
{
	struct frame *top = &f->frames[f->n_frames - 1];
	struct chunk_id tree = e->tree;
	bool directory = S_ISDIR(e->mode);
	enum position position;
	int r = 0;

	byte_buf_u8(&f->path, '/');
	byte_buf_append(&f->path, e->name, e->name_n);
	if (f->path.failed)
		return -ENOMEM;
	position = path_position(f);
	if (position == POSITION_WITHIN && matches(f, e))
		r = report(f, e);
	if (r == 0 && directory && position != POSITION_BESIDE) {
		/* `top` and `e` are gone after this. */
		top->position = tree_reader_position(f->reader);
		r = enter_directory(f, &tree);
		if (r > 0)
			return 0;
		if (r < 0) {
			r = tolerate(f, r);
			top = &f->frames[f->n_frames - 1];
			if (r == 0)
				r = tree_reader_set(f->reader, &top->tree);
			if (r == 0)
				r = tree_reader_seek_index(f->reader, top->position);
		}
	}
	f->path.n = f->frames[f->n_frames - 1].path_n;
	return r;
}

/* Leave the directory on top and go on in the one above it. */
static int leave_directory(struct finder *f)
{
	struct frame *top;
	int r;

	f->n_frames--;
	if (f->n_frames == 0)
		return 0;
	top = &f->frames[f->n_frames - 1];
	f->path.n = top->path_n;
	r = tree_reader_set(f->reader, &top->tree);
	return r < 0 ? r : tree_reader_seek_index(f->reader, top->position);
}

static int search_snapshot(void *context, const struct snapshot_info *info)
{
	struct finder *f = context;
	struct tree_entry entry;
	int r;

	if (info->seq < f->options->first_seq ||
	    (f->options->last_seq && info->seq > f->options->last_seq))
		return 0;
	f->now = info;
	f->n_frames = 0;
	byte_buf_clear(&f->path);
	r = enter_directory(f, &info->root_tree);
	if (r < 0)
		return tolerate(f, r);
	while (f->n_frames > 0) {
		f->path.n = f->frames[f->n_frames - 1].path_n;
		r = tree_reader_next(f->reader, &entry);
		if (r > 0) {
			r = take_entry(f, &entry);
			if (r != 0)
				return r;
			continue;
		}
		if (r < 0)
			r = tolerate(f, r);
		/* A node that was just read and cannot be read again is tolerated a level up. */
		for (; r == 0 && f->n_frames > 0; r = tolerate(f, r)) {
			r = leave_directory(f);
			if (r == 0)
				break;
		}
		if (r != 0)
			return r;
	}
	return 0;
}

/* Make the pattern ready: from any directory on unless it begins with '/'; plain text taken as it
 * is. */
static int prepare_pattern(struct finder *f)
{
	const char *pattern = f->options->pattern;
	size_t n = strlen(pattern);

	while (n > 1 && pattern[n - 1] == '/')
		n--;
	f->whole_path = memchr(pattern, '/', n) != NULL;
	if (f->whole_path && pattern[0] != '/')
		byte_buf_append(&f->glob, "**/", 3);
	if (pattern[0] == '/') {
		pattern++;
		n--;
	}
	if (n == 0 || !glob_valid(pattern, n))
		return -EINVAL;
	byte_buf_append(&f->glob, pattern, n);
	return f->glob.failed ? -ENOMEM : 0;
}

static void prepare_below(struct finder *f)
{
	f->below = f->options->below ? f->options->below : "";
	while (*f->below == '/')
		f->below++;
	f->below_n = strlen(f->below);
	while (f->below_n > 0 && f->below[f->below_n - 1] == '/')
		f->below_n--;
}

int finder_run(struct timeline *t, struct chunk_cache *cache, const struct finder_options *options,
	       finder_visitor *visit, void *context, uint64_t *ret_unreadable)
{
	CLEANUP(finder_done)
	struct finder f = { .t = t, .options = options, .visit = visit, .context = context };
	int r;

	f.first.has_values = true;
	r = prepare_pattern(&f);
	if (r == 0)
		r = tree_reader_new(cache, &f.reader);
	if (r < 0)
		return r;
	prepare_below(&f);
	crypto_random(f.hash_key, sizeof(f.hash_key));

	f.counting = true;
	r = timeline_each(t, false, search_snapshot, &f);
	if (r < 0)
		return r;
	/* Nothing matches anywhere: no need to look again, but for counting what could not be read.
	 */
	f.counting = false;
	hash_table_done(&f.seen);
	r = timeline_each(t, true, search_snapshot, &f);
	if (r == 0 && ret_unreadable)
		*ret_unreadable = f.unreadable;
	return r;
}
