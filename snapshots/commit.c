/* SPDX-License-Identifier: MIT */
#include "snapshots/commit.h"

#include "snapshots/content_internal.h"
#include "snapshots/file_system.h"
#include "snapshots/graft.h"
#include "snapshots/stream_capture.h"
#include "snapshots/tree_walk.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Below this many stored bytes everything goes into one pack, written under the lock. */
#define FLUSH_BEFORE_LOCK (SNAPSHOT_SMALL_BYTES / 2)

/* ---- which sources ---- */

static const struct record_source *find_source(const struct record *head, const char *path)
{
	for (size_t i = 0; head && i < head->n_sources; i++)
		if (strcmp(head->sources[i].path, path) == 0)
			return &head->sources[i];
	return NULL;
}

static bool is_dropped(const struct capture *c, const char *path)
{
	for (size_t i = 0; i < c->options->n_dropped; i++)
		if (strcmp(c->options->dropped[i], path) == 0)
			return true;
	return false;
}

static int init_source(struct captured_set *set, struct captured_source *s, const char *path,
		       const struct capture_source *asked)
{
	const struct record *head = set->has_head ? &set->head : NULL;
	const char *excludes = asked ? asked->excludes : NULL;

	s->head = head;
	s->known = find_source(head, path);
	s->asked = asked;
	s->accept = asked && asked->accept;
	s->dirty = asked ? asked->dirty : NULL;
	if (s->known) {
		s->result.flags = s->known->flags;
		s->result.file_system = s->known->file_system;
	}
	if (excludes)
		s->result.flags = asked->flags;
	else if (s->known)
		excludes = s->known->excludes;
	s->result.path = strdup(path);
	s->result.excludes = strdup(excludes ? excludes : "");
	return s->result.path && s->result.excludes ? 0 : -ENOMEM;
}

/* Add a source unless it is in the set already. */
static int add_source(struct captured_set *set, const char *path,
		      const struct capture_source *asked, struct source_path *place)
{
	struct captured_source *s = &set->sources[set->n];

	for (size_t i = 0; i < set->n; i++)
		/* A source in the set has its path.
		 * NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
		if (strcmp(set->sources[i].result.path, path) == 0)
			return 0;
	set->n++;
	if (place) {
		s->place = *place;
		*place = (struct source_path){ 0 };
	}
	return init_source(set, s, path, asked);
}

static int add_asked(struct captured_set *set, const struct capture_source *asked)
{
	struct source_path place = { 0 };
	int r;

	if (asked->is_stream) { /* a name, nothing that lies on disk */
		if (!stream_path_valid(asked->path))
			return log_errno(-EINVAL, "%s cannot be the name of a stream", asked->path);
		return add_source(set, asked->path, asked, NULL);
	}
	r = source_path_resolve(asked->path, &place);
	if (r == 0) {
		CLEANUP(free_ptr) char *path = strdup(place.path);

		r = path ? add_source(set, path, asked, &place) : -ENOMEM;
	} else {
		log_errno(r, "%s: cannot be resolved", asked->path);
	}
	source_path_done(&place);
	return r;
}

static int order_sources(const void *a, const void *b)
{
	return strcmp(((const struct captured_source *)a)->result.path,
		      ((const struct captured_source *)b)->result.path);
}

static int read_head(struct captured_set *set, struct capture *c)
{
	struct snapshot_info info;
	int r = timeline_latest(c->timeline, &info);

	set->hold = -1;
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = timeline_read(c->timeline, info.seq, &set->head);
	if (r < 0)
		return r;
	set->has_head = true;
	set->seq = info.seq;
	set->hold = timeline_hold(c->timeline, info.seq);
	if (set->hold < 0 && set->hold != -EROFS && set->hold != -EACCES)
		return set->hold;
	free(c->file_systems);
	c->n_file_systems = set->head.n_file_systems;
	c->file_systems = calloc(c->n_file_systems + 1, sizeof(*c->file_systems));
	if (!c->file_systems)
		return -ENOMEM;
	if (c->n_file_systems)
		memcpy(c->file_systems, set->head.file_systems,
		       c->n_file_systems * sizeof(*c->file_systems));
	return 0;
}

/* The generation first: what becomes unusable from here on is seen at the commit. */
static int begin_generation(struct captured_set *set, struct capture *c)
{
	int r = chunk_index_generation(store_index(c->store), &c->generation);

	if (r == 0)
		r = chunk_index_in_doubt(store_index(c->store), set->has_head ? set->seq : 0);
	if (r < 0)
		return r;
	c->check_chunks = r == 1;
	atomic_store(&c->unverified, false);
	return 0;
}

int captured_set_begin(struct captured_set *set, struct capture *c)
{
	const struct capture_options *o = c->options;
	size_t room;
	int r = read_head(set, c);

	if (r == 0)
		r = begin_generation(set, c);

	c->n_devices = 0;
	set->io = store_io(c->store);
	if (r < 0)
		return r;
	room = o->n_sources ? o->n_sources : set->head.n_sources;
	if (room == 0)
		return -ENOENT;
	set->sources = calloc(room + 1, sizeof(*set->sources));
	if (!set->sources)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < o->n_sources; i++)
		r = add_asked(set, &o->sources[i]);
	for (size_t i = 0; r == 0 && o->n_sources == 0 && i < set->head.n_sources; i++)
		if (!(set->head.sources[i].flags & SOURCE_STREAM) &&
		    !is_dropped(c, set->head.sources[i].path))
			r = add_source(set, set->head.sources[i].path, NULL, NULL);
	if (r == 0 && set->n == 0 && o->n_dropped == 0)
		r = -ENOENT;
	/* Outer sources first: an inner one is grafted onto what the outer one captured. */
	qsort(set->sources, set->n, sizeof(*set->sources), order_sources);
	return r;
}

void captured_set_done(struct captured_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct captured_source *s = &set->sources[i];

		free(s->result.path);
		free(s->result.excludes);
		source_path_done(&s->place);
		byte_buf_done(&s->entry);
	}
	free(set->sources);
	if (set->hold >= 0 && set->io)
		io_close(set->io, set->hold);
	record_done(&set->head);
	*set = (struct captured_set){ .hold = -1 };
}

/* ---- the tree ---- */

static const struct captured_source *find_captured(const struct captured_set *set, const char *path)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->sources[i].result.path, path) == 0)
			return &set->sources[i];
	return NULL;
}

/* Is this source's present state part of what was captured? */
static bool is_captured(const struct captured_source *s)
{
	return !s->removed && !s->carried && s->result.state == SOURCE_PRESENT;
}

static int placeholder(void *context, const char *path, struct tree_entry *ret_entry)
{
	return walker_placeholder(context, path, ret_entry);
}

/* The root of a host that protects nothing. */
static int empty_root(struct capture *c, struct byte_buf *root)
{
	struct tree_entry e;
	int r = walker_placeholder(c, "/", &e);

	return r < 0 ? r : tree_entry_encode(root, &e);
}

/* What was just written is in no pack yet, but the next graft reads it. */
static int settle(struct capture *c, int r)
{
	return r < 0 ? r : store_writer_finish(c->writer);
}

/* The symlinks by which the user reached a source. */
static int graft_links(struct graft *g, struct capture *c, struct byte_buf *root,
		       const struct source_path *place)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < place->n_links; i++) {
		const struct source_link *l = &place->links[i];
		struct tree_entry e = { .mode = S_IFLNK | 0777,
					.nlink = 1,
					.flags = ENTRY_PLACEHOLDER,
					.link = l->target,
					.link_n = (uint32_t)strlen(l->target),
					.size = strlen(l->target) };

		r = settle(c, 0);
		if (r == 0)
			r = graft_apply(g, root, l->path, &e, true);
	}
	return r;
}

static int graft_source(struct graft *g, struct capture *c, struct byte_buf *root,
			const struct captured_source *s)
{
	CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
	struct tree_entry e;
	int r;

	if (s->removed)
		return graft_apply(g, root, s->result.path, NULL, false);
	if (s->entry.n == 0)
		return 0;
	r = tree_entry_decode(s->entry.data, s->entry.n, &d, &e);
	if (r == 0)
		r = graft_apply(g, root, s->result.path, &e, false);
	return r < 0 ? r : graft_links(g, c, root, &s->place);
}

/* A copy of what a root has at a path. 0, -ENOENT, -errno. */
static int copy_entry(struct graft *g, const void *root, size_t root_n, const char *path,
		      struct byte_buf *ret_entry)
{
	CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
	struct tree_entry e;
	int r = tree_entry_decode(root, root_n, &d, &e);

	if (r == 0 && path[1] != '\0')
		r = tree_reader_walk(g->reader, &e.tree, path + 1, &e);
	if (r == -ENOTDIR)
		return -ENOENT;
	byte_buf_clear(ret_entry);
	return r < 0 ? r : tree_entry_encode(ret_entry, &e);
}

/*
 * Was a source inside a captured one seen with it? A folder that is empty now
 * may be the place where its file system belongs.
 */
static int seen_with_outer(struct graft *g, const struct byte_buf *root, const char *path)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf entry = { 0 };
	CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
	struct tree_entry e = { 0 };
	int r = copy_entry(g, root->data, root->n, path, &entry);

	if (r == 0)
		r = tree_entry_decode(entry.data, entry.n, &d, &e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return !S_ISDIR(e.mode) || !chunk_id_is_zero(&e.tree);
}

/* What stood inside a source that has been grafted or taken out, and is a source itself that this
 * run has no new state of, keeps its last state. */
static int keep_inner(struct graft *g, struct capture *c, struct byte_buf *root,
		      const struct captured_set *set, const struct record *head, const char *outer)
{
	int r = 0;

	for (size_t i = 0; r == 0 && head && i < head->n_sources; i++) {
		CLEANUP(byte_buf_done_ptr) struct byte_buf entry = { 0 };
		CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
		const char *path = head->sources[i].path;
		const struct captured_source *s = find_captured(set, path);
		bool stream = (head->sources[i].flags & SOURCE_STREAM) != 0;
		struct tree_entry e;

		if (strcmp(path, outer) == 0 || !source_path_within(path, outer) ||
		    is_dropped(c, path) || (s && (s->removed || is_captured(s))))
			continue;
		r = settle(c, 0);
		if (r == 0 && !s && !stream)
			r = seen_with_outer(g, root, path);
		if (r == 0)
			r = copy_entry(g, head->root, head->root_n, path, &entry);
		if (r == 0)
			r = tree_entry_decode(entry.data, entry.n, &d, &e);
		if (r == 0)
			r = graft_apply(g, root, path, &e, false);
		r = r == 1 || r == -ENOENT ? 0 : r;
	}
	return r;
}

/* Take a source out that is protected no longer, unless another one holds it. */
static int drop_source(struct graft *g, struct capture *c, struct byte_buf *root,
		       const struct captured_set *set, const struct record *head, const char *path)
{
	const struct record_source *known = find_source(head, path);
	int r;

	if (!known)
		return 0;
	for (size_t i = 0; i < head->n_sources && !(known->flags & SOURCE_STREAM); i++)
		if (!is_dropped(c, head->sources[i].path) &&
		    source_path_within(path, head->sources[i].path))
			return 0;
	r = settle(c, 0);
	if (r == 0 && path[1] == '\0') {
		byte_buf_clear(root);
		r = empty_root(c, root);
	} else if (r == 0) {
		r = graft_apply(g, root, path, NULL, false);
	}
	return r < 0 ? r : keep_inner(g, c, root, set, head, path);
}

/* Symlinks that led to sources which were dropped. */
struct dead_links {
	const struct capture *capture;
	const struct captured_set *set;
	const struct record *head;
	char **paths;
	size_t n;
};

static void dead_links_done(struct dead_links *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->paths[i]);
	free(d->paths);
}

/* Append a path's parts to `to` at *at, ".." taken as text. */
static void append_parts(char *to, size_t *at, const char *from, size_t n)
{
	while (n > 0) {
		const char *slash = memchr(from, '/', n);
		size_t part = slash ? (size_t)(slash - from) : n;

		if (part == 2 && memcmp(from, "..", 2) == 0) {
			while (*at > 0 && to[--*at] != '/')
				;
		} else if (part > 0 && !(part == 1 && *from == '.')) {
			to[(*at)++] = '/';
			memcpy(to + *at, from, part);
			*at += part;
		}
		from += part + (slash != NULL);
		n -= part + (slash != NULL);
	}
	to[*at] = '\0';
}

/* Where a link of the tree, at a path without its first slash, points to. NULL: out of memory. */
static char *link_target(const char *path, const struct tree_entry *link)
{
	const char *name = strrchr(path, '/');
	char *to = malloc(strlen(path) + link->link_n + 3);
	size_t at = 0;

	if (!to)
		return NULL;
	if (name && !(link->link_n > 0 && link->link[0] == '/'))
		append_parts(to, &at, path, (size_t)(name - path));
	append_parts(to, &at, link->link, link->link_n);
	return to;
}

/* Is one of them on the way to the other? */
static bool on_one_way(const char *a, const char *b)
{
	return source_path_within(a, b) || source_path_within(b, a);
}

static bool leads_nowhere(const struct dead_links *d, const char *target)
{
	const struct capture_options *o = d->capture->options;
	bool dropped = false;

	for (size_t i = 0; i < d->head->n_sources; i++)
		if (!is_dropped(d->capture, d->head->sources[i].path) &&
		    on_one_way(d->head->sources[i].path, target))
			return false;
	for (size_t i = 0; i < d->set->n; i++)
		if (on_one_way(d->set->sources[i].result.path, target))
			return false;
	for (size_t i = 0; i < o->n_dropped; i++)
		dropped |= source_path_within(target, o->dropped[i]);
	for (size_t i = 0; i < d->n; i++) /* a link to a link */
		dropped |= source_path_within(target, d->paths[i]);
	return dropped;
}

static int find_dead_link(void *context, const char *path, const struct tree_entry *e,
			  uint32_t depth)
{
	CLEANUP(free_ptr) char *target = NULL;
	struct dead_links *d = context;
	char **grown, *found;

	if (S_ISDIR(e->mode))
		return depth > 0 && !(e->flags & ENTRY_PLACEHOLDER);
	if (!S_ISLNK(e->mode) || !(e->flags & ENTRY_PLACEHOLDER))
		return 0;
	target = link_target(path, e);
	if (!target)
		return -ENOMEM;
	if (!leads_nowhere(d, target))
		return 0;
	grown = reallocarray(d->paths, d->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	d->paths = grown;
	if (asprintf(&found, "/%s", path) < 0)
		return -ENOMEM;
	grown[d->n++] = found;
	return 0;
}

/* Placeholders that lead to no source any more go, too. */
static int drop_links(struct graft *g, struct capture *c, struct byte_buf *root,
		      struct dead_links *dead)
{
	size_t done;
	int r = 0;

	do {
		CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
		struct tree_entry top;

		done = dead->n;
		r = settle(c, r);
		if (r == 0)
			r = tree_entry_decode(root->data, root->n, &d, &top);
		if (r == 0)
			r = tree_walk(c->cache, &top, find_dead_link, NULL, dead);
		for (size_t i = done; r == 0 && i < dead->n; i++) {
			r = settle(c, 0);
			if (r == 0)
				r = graft_apply(g, root, dead->paths[i], NULL, false);
		}
	} while (r == 0 && dead->n > done);
	return r;
}

static int drop_sources(struct graft *g, struct capture *c, struct byte_buf *root,
			const struct captured_set *set, const struct record *head,
			bool *ret_written)
{
	CLEANUP(dead_links_done)
	struct dead_links dead = { .capture = c, .set = set, .head = head };
	const struct capture_options *o = c->options;
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->n_dropped; i++) {
		r = drop_source(g, c, root, set, head, o->dropped[i]);
		*ret_written = true;
	}
	return r == 0 && *ret_written ? drop_links(g, c, root, &dead) : r;
}

/* The head's root, or that of an empty first snapshot. */
static int begin_root(struct capture *c, const struct record *head, struct byte_buf *root)
{
	if (head && head->root_n) {
		byte_buf_append(root, head->root, head->root_n);
		return root->failed ? -ENOMEM : 0;
	}
	return empty_root(c, root);
}

static int build_root_on(struct capture *c, const struct captured_set *set,
			 const struct record *head, struct byte_buf *root)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(tree_patch_free_ptr) struct tree_patch *patch = NULL;
	struct graft g = { .placeholder = placeholder, .context = c };
	bool written = false;
	int r = tree_reader_new(c->cache, &reader);

	if (r == 0)
		r = tree_patch_new(c->cache, c->nodes,
				   key_ring_get(store_keys(c->store), KEY_PLACEMENT), &patch);
	if (r == 0)
		r = begin_root(c, head, root);
	g.reader = reader;
	g.patch = patch;
	if (r == 0 && head)
		r = drop_sources(&g, c, root, set, head, &written);
	for (size_t i = 0; r == 0 && i < set->n; i++) {
		const struct captured_source *s = &set->sources[i];

		if (!s->removed && s->entry.n == 0)
			continue;
		if (written)
			r = settle(c, r);
		if (r == 0)
			r = graft_source(&g, c, root, s);
		if (r == 0)
			r = keep_inner(&g, c, root, set, head, s->result.path);
		written = true;
	}
	return r;
}

/* Does this run say all there is to say of the head's sources? */
static bool replaces_all(const struct capture *c, const struct captured_set *set,
			 const struct record *head, bool streams_too)
{
	for (size_t i = 0; i < set->n; i++)
		if (!set->sources[i].removed && !is_captured(&set->sources[i]))
			return false;
	for (size_t i = 0; head && i < head->n_sources; i++)
		if (!is_dropped(c, head->sources[i].path) &&
		    (streams_too || !(head->sources[i].flags & SOURCE_STREAM)) &&
		    !find_captured(set, head->sources[i].path))
			return false;
	return true;
}

/* A head whose folders cannot be read any more must not end protection. */
static int build_root(struct capture *c, struct captured_set *set, const struct record *head,
		      struct byte_buf *root)
{
	int r = build_root_on(c, set, head, root);

	if (!head || (r != -ENOENT && r != -EBADMSG && r != -EUCLEAN))
		return r;
	if (!replaces_all(c, set, head, false))
		return log_errno(-EBADMSG, "folders of the newest snapshot are lost; take one of "
					   "everything: 'yore snapshot' without a path");
	log_warning("folders of the newest snapshot are lost; this one is made without them");
	set->lost_head = true;
	byte_buf_clear(root);
	return build_root_on(c, set, NULL, root);
}

/* ---- the record ---- */

static int merge_file_systems(struct record *record, const struct record *head,
			      const struct capture *c)
{
	size_t n = c->n_file_systems;

	if (head && head->n_file_systems > n)
		n = head->n_file_systems;
	record->file_systems = calloc(n + 1, sizeof(*record->file_systems));
	if (!record->file_systems)
		return -ENOMEM;
	record->n_file_systems = n;
	for (size_t i = 0; i < n; i++) {
		struct file_system_identity zero = { 0 };
		struct file_system_identity ours =
			i < c->n_file_systems ? c->file_systems[i] : zero;
		struct file_system_identity theirs =
			head && i < head->n_file_systems ? head->file_systems[i] : zero;

		if (ours.type && theirs.type && !file_system_equal(&ours, &theirs))
			return -ESTALE;
		record->file_systems[i] = ours.type ? ours : theirs;
	}
	return 0;
}

static int copy_source(struct record *record, const struct record_source *from)
{
	struct record_source *to = &record->sources[record->n_sources];

	*to = *from;
	to->path = strdup(from->path);
	to->excludes = strdup(from->excludes);
	record->n_sources++;
	if (!to->path || !to->excludes)
		return -ENOMEM;
	record->files += to->files;
	record->directories += to->directories;
	record->others += to->others;
	record->bytes += to->bytes;
	return 0;
}

static int order_record_sources(const void *a, const void *b)
{
	return strcmp(((const struct record_source *)a)->path,
		      ((const struct record_source *)b)->path);
}

/* The head's sources, ours in place of theirs; an absent one keeps what is known of it, one that is
 * accepted as gone is none any more. */
static int merge_sources(struct record *record, const struct record *head, const struct capture *c,
			 const struct captured_set *set)
{
	size_t n_head = head ? head->n_sources : 0;
	int r = 0;

	if (n_head + set->n > RECORD_SOURCES_MAX)
		return -E2BIG;
	record->sources = calloc(n_head + set->n + 1, sizeof(*record->sources));
	if (!record->sources)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n_head; i++) {
		const struct captured_source *s = find_captured(set, head->sources[i].path);
		struct record_source carried = head->sources[i];

		if ((s && (s->removed || is_captured(s))) || is_dropped(c, carried.path))
			continue;
		if (set->lost_head && (carried.flags & SOURCE_STREAM))
			continue; /* its program will be asked again */
		if (s && !s->carried)
			carried.state = SOURCE_ABSENT;
		r = copy_source(record, &carried);
	}
	for (size_t i = 0; r == 0 && i < set->n; i++)
		if (is_captured(&set->sources[i]))
			r = copy_source(record, &set->sources[i].result);
	qsort(record->sources, record->n_sources, sizeof(*record->sources), order_record_sources);
	return r;
}

/* The moment: when the last walk began; not before what the head shows, unless that lies in the
 * future. */
static int64_t record_moment(const struct captured_set *set, const struct record *head)
{
	int64_t now = clock_now_ns(), moment = 0;

	for (size_t i = 0; i < set->n; i++)
		if (set->sources[i].began_ns > moment)
			moment = set->sources[i].began_ns;
	if (moment == 0)
		moment = now;
	if (head && head->time_ns > moment && head->time_ns <= now)
		moment = head->time_ns;
	return moment;
}

static int fill_words(struct record *record, const struct capture_options *o)
{
	char host[HOST_NAME_BYTES_MAX + 1] = "";

	(void)gethostname(host, sizeof(host) - 1);
	record->host_name = strdup(host);
	record->reason = strdup(o->reason ? o->reason : "manual");
	record->tags = calloc(o->n_tags + 1, sizeof(*record->tags));
	if (!record->host_name || !record->reason || !record->tags)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_tags; i++) {
		record->tags[i] = strdup(o->tags[i]);
		if (!record->tags[i])
			return -ENOMEM;
		record->n_tags++;
	}
	return 0;
}

static int fill_packs(struct record *record, struct capture *c)
{
	struct store_writer_stats stats;
	const struct new_pack *packs = store_writer_packs(c->writer, &record->n_packs);

	store_writer_stats(c->writer, &stats);
	record->new_raw_bytes = stats.raw_bytes_new;
	record->new_stored_bytes = stats.stored_bytes_new;
	record->packs = calloc(record->n_packs + 1, sizeof(*record->packs));
	if (!record->packs)
		return -ENOMEM;
	if (record->n_packs)
		memcpy(record->packs, packs, record->n_packs * sizeof(*packs));
	return 0;
}

/*
 * Is all that was relied on still there? Which chunks those are nobody has
 * written down: whatever became unusable since the beginning may be one. What
 * is captured again costs little: its data is stored by now.
 */
static int check_generation(struct capture *c)
{
	uint32_t generation;
	int r = chunk_index_generation(store_index(c->store), &generation);

	if (r < 0 || generation == c->generation)
		return r;
	log_info("objects that this snapshot may rely on became unusable: capturing again");
	return -ESTALE;
}

/* Was something captured as a difference to the head of then? */
static bool any_partial(const struct captured_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->sources[i].partial)
			return true;
	return false;
}

/* Does the head say all of it already? What was stored all the same heals something. */
static bool same_snapshot(struct capture *c, const struct record *record,
			  const struct byte_buf *root, const struct record *head)
{
	struct store_writer_stats stats;

	store_writer_stats(c->writer, &stats);
	if (stats.stored_bytes_new > 0 || root->n != head->root_n ||
	    memcmp(root->data, head->root, root->n) != 0 || record->n_sources != head->n_sources)
		return false;
	for (size_t i = 0; i < record->n_sources; i++) {
		const struct record_source *a = &record->sources[i], *b = &head->sources[i];

		if (a->state != b->state || a->flags != b->flags || strcmp(a->path, b->path) != 0 ||
		    strcmp(a->excludes, b->excludes) != 0)
			return false;
	}
	return true;
}

/* Only so that the next capture need not look every chunk up: no failure of this one. */
static void trust_chunks(struct capture *c, const struct captured_set *set,
			 const struct record *head, uint64_t seq)
{
	if (c->check_chunks && !atomic_load(&c->unverified) && replaces_all(c, set, head, true))
		(void)chunk_index_trust(store_index(c->store), seq, c->generation);
}

/* Everything between taking the commit lock and dropping it. */
static int commit_locked(struct capture *c, struct captured_set *set, struct record *record,
			 struct snapshot_info *ret_info)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf root = { 0 };
	CLEANUP(record_done) struct record head = { 0 };
	const struct record *h = NULL;
	struct snapshot_info info = { 0 };
	int r = timeline_refresh(c->timeline);

	if (r >= 0)
		r = timeline_latest(c->timeline, &info);
	if (r == 0)
		r = timeline_read(c->timeline, info.seq, &head);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		h = &head;
	if (h && info.seq != set->seq && any_partial(set)) {
		log_info("another snapshot was taken meanwhile: capturing again");
		return -ESTALE;
	}
	r = merge_file_systems(record, h, c);
	if (r == 0)
		r = check_generation(c);
	if (r == 0)
		r = build_root(c, set, h, &root);
	if (r == 0)
		r = merge_sources(record, h, c, set);
	if (r == 0 && c->options->skip_unchanged && h && same_snapshot(c, record, &root, h)) {
		*ret_info = info;
		trust_chunks(c, set, h, info.seq);
		return -EALREADY;
	}
	if (r == 0)
		r = fill_words(record, c->options);
	if (r == 0)
		r = store_writer_finish(c->writer);
	if (r == 0)
		r = fill_packs(record, c);
	if (r < 0)
		return r;
	record->kind = RECORD_SNAPSHOT;
	record->time_ns = record_moment(set, h);
	record->root_n = root.n;
	record->root = STEAL(root.data);
	r = timeline_append(c->timeline, record, ret_info);
	if (r == 0)
		trust_chunks(c, set, h, ret_info->seq);
	return r;
}

int commit_snapshot(struct capture *c, struct captured_set *set, struct snapshot_info *ret_info)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct store_writer_stats stats;
	int lock;
	int r = 0;

	store_writer_stats(c->writer, &stats);
	if (stats.stored_bytes_new > FLUSH_BEFORE_LOCK) /* others must not wait for our disk */
		r = store_writer_finish(c->writer);
	if (r < 0)
		return r;
	lock = timeline_lock(c->timeline);
	if (lock < 0)
		return lock;
	r = commit_locked(c, set, &record, ret_info);
	io_close(store_io(c->store), lock);
	return r;
}
