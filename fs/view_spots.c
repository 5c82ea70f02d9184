/* SPDX-License-Identifier: MIT */
#include "fs/view_spots.h"

#include "fs/trail_pool.h"
#include "fs/view_hosts.h"
#include "fs/view_root.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t version_of(const struct view_host *h)
{
	return atomic_load(&h->version);
}

/* "/a/b" is "/a" and "b"; the folder is the caller's to free. Not for "". */
static const char *split(const char *path, char **ret_folder)
{
	const char *slash = strrchr(path, '/');

	*ret_folder = strndup(path, (size_t)(slash - path));
	return slash + 1;
}

int spot_check_loop(const struct view *v, const struct view_host *h, uint64_t seq, const char *path,
		    const struct chunk_id *tree)
{
	static const struct chunk_id empty;
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	struct chunk_id above = { 0 };
	struct snapshot_info info;
	struct tree_entry entry;
	int r;

	if (memcmp(tree, &empty, sizeof(empty)) == 0)
		return 0;
	r = timeline_get(h->timeline, seq, &info);
	if (r >= 0)
		r = tree_reader_new(v->cache, &reader);
	above = info.root_tree;
	while (r >= 0) {
		const size_t n = strcspn(path += strspn(path, "/"), "/");

		if (memcmp(&above, tree, sizeof(above)) == 0)
			return -ELOOP;
		if (path[n] == '\0')
			return 0; /* that is the directory itself */
		r = tree_reader_set(reader, &above);
		if (r >= 0)
			r = tree_reader_find(reader, path, (uint32_t)n, &entry, NULL);
		if (r >= 0)
			above = entry.tree;
		path += n;
	}
	return r;
}

/* ---- what a path last was ---- */

static bool fits(const struct tree_entry *entry, bool directories_only)
{
	return !directories_only || S_ISDIR(entry->mode);
}

/* In the newest snapshot: most of what is looked up still is there. */
static int resolve_latest(const struct view *v, const struct view_host *h,
			  struct tree_reader *reader, const char *path, bool directories_only,
			  struct spot_found *ret_found)
{
	struct snapshot_info latest;
	struct tree_entry entry;
	int r;

	r = timeline_latest(h->timeline, &latest);
	if (r >= 0)
		r = tree_reader_walk(reader, &latest.root_tree, path, &entry);
	if (r == -ENOTDIR || (r >= 0 && !fits(&entry, directories_only)))
		return -ENOENT;
	if (r < 0)
		return r;
	ret_found->seq = latest.seq;
	ret_found->is_latest = true;
	view_stat(v, &entry, 0, &ret_found->st);
	return S_ISDIR(entry.mode) ? spot_check_loop(v, h, latest.seq, path, &entry.tree) : 0;
}

int spot_resolve(struct view *v, const struct view_host *h, const char *folder, const char *name,
		 bool directories_only, struct spot_found *ret_found)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(trail_release) struct trail_lease trail = { 0 };
	CLEANUP(free_ptr) char *path = NULL;
	struct tree_entry entry;
	int latest, r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = tree_reader_new(v->cache, &reader);
	if (r < 0)
		return r;
	tree_reader_scattered(reader, true);
	*ret_found = (struct spot_found){ 0 };
	latest = resolve_latest(v, h, reader, path, directories_only, ret_found);
	if (latest == 0 || latest == -ENOMEM || latest == -ELOOP)
		return latest;
	r = trail_take(v, h, folder, &trail);
	if (r >= 0)
		r = versions_find(trail.versions, reader, name, directories_only, &entry,
				  &ret_found->seq);
	/* What cannot be read is not absent. */
	if (r < 0)
		return r == -ENOENT ? latest : r;
	view_stat(v, &entry, 0, &ret_found->st);
	return S_ISDIR(entry.mode) ? spot_check_loop(v, h, ret_found->seq, path, &entry.tree) : 0;
}

/* Attributes that the directory at a path last had. */
static int resolve_folder(struct view *v, const struct view_host *h, const char *path,
			  struct spot_found *ret_found)
{
	CLEANUP(free_ptr) char *folder = NULL;
	const char *name;

	if (path[0] == '\0') {
		*ret_found = (struct spot_found){ 0 };
		view_stat_own(v, S_IFDIR | 0755, 0, 0, view_changed_ns(v->shown), &ret_found->st);
		return 0;
	}
	name = split(path, &folder);
	return folder ? spot_resolve(v, h, folder, name, true, ret_found) : -ENOMEM;
}

/* Attributes of a folder of .versions or .deleted at folder/name: st, seq, of_parent. */
static int describe_spot(struct view *v, const struct view_host *h, const char *folder,
			 const char *name, struct spot *to)
{
	struct spot_found found;
	struct timespec time;
	int r;

	to->version = version_of(h);
	r = spot_resolve(v, h, folder, name, to->view == FOLDER_DELETED, &found);
	if (r < 0)
		return r;
	to->of_parent = !S_ISDIR(found.st.st_mode);
	if (to->of_parent) {
		/* Who may see the file may see that it had versions. */
		time = found.st.st_mtim;
		r = resolve_folder(v, h, folder, &found);
		if (r < 0)
			return r;
		found.st.st_mtim = found.st.st_ctim = found.st.st_atim = time;
	}
	to->st = found.st;
	to->seq = found.seq;
	return 0;
}

/* ---- nodes ---- */

static void describe(const struct spot *s, struct node_info *ret_info)
{
	const double timeout = s->view == FOLDER_DIFF ? TIMEOUT_ENDLESS : TIMEOUT_MOMENT;

	*ret_info = (struct node_info){
		.node = s->node,
		.st = s->st,
		.entry_timeout = timeout,
		.attr_timeout = timeout,
	};
}

int spot_enter_folder(struct view *v, const struct spot *parent, const char *name,
		      struct spot *like, struct open_snapshot **held, struct node_info *ret_info)
{
	int r;

	like->parent = parent->node;
	like->parent_ino = parent->ino;
	like->host = parent->host;
	like->view = parent->view;
	like->ino = view_ino_of_name(v, parent->ino, name, strlen(name));
	like->st.st_ino = like->ino;
	like->st.st_nlink = 1; /* not counted */
	r = spot_table_enter(v->spots, like, name, held, &like->node);
	if (r < 0)
		return r;
	describe(like, ret_info);
	return 0;
}

int spot_enter_described(struct view *v, const struct view_host *h, const struct spot *parent,
			 const char *name, struct node_info *ret_info)
{
	struct spot like = { .view = parent->view };
	int r;

	like.version = version_of(h);
	if (spot_table_again(v->spots, parent->node, name, like.version, &like.node, &like.st)) {
		describe(&like, ret_info);
		return 0;
	}
	r = describe_spot(v, h, parent->path, name, &like);
	return r < 0 ? r : spot_enter_folder(v, parent, name, &like, NULL, ret_info);
}

/* One name further down; drops the look-up of the directory. */
static int step_down(struct view *v, const char *name, size_t n, struct node_info *at)
{
	char text[NAME_BYTES_MAX + 1];
	struct node_info next;
	int r;

	if (n > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	memcpy(text, name, n);
	text[n] = '\0';
	r = node_is_directory(at->node) ? view_tree_lookup(v, at->node, text, &next) : -ENOENT;
	if (r >= 0 && next.node == 0)
		r = -ENOENT;
	if (r < 0)
		return r;
	node_table_forget(v->nodes, at->node, 1);
	*at = next;
	return 0;
}

int spot_enter_file(struct view *v, const struct view_host *h, uint64_t seq, const char *folder,
		    const char *name, struct node_info *ret_info)
{
	const char *const parts[] = { folder, name ? name : "" };
	struct node_info at;
	int r;

	r = view_root_enter(v, h, seq, NULL, &at);
	if (r < 0)
		return r;
	for (size_t i = 0; i < 2; i++) {
		for (const char *c = parts[i]; r >= 0 && *c; c += strcspn(c, "/")) {
			c += strspn(c, "/");
			if (*c)
				r = step_down(v, c, strcspn(c, "/"), &at);
		}
	}
	if (r >= 0 && node_is_directory(at.node))
		r = -EISDIR;
	if (r < 0) {
		node_table_forget(v->nodes, at.node, 1);
		return r;
	}
	at.entry_timeout = TIMEOUT_MOMENT;
	*ret_info = at;
	return 0;
}

/* ---- one spot ---- */

/* A view's own folder. */
static int fixed_spot(struct view *v, uint64_t node, struct spot *ret_spot)
{
	const struct view_host *h = view_host(v, node_host(node));

	if (!h)
		return -ESTALE;
	*ret_spot = (struct spot){
		.node = node,
		.host = h->number,
		.view = node_folder(node),
		.ino = view_root_ino(v, h, node_folder(node)),
		.parent_ino = view_root_ino(v, h, FOLDER_ROOT),
		.path = strdup(""),
	};
	return ret_spot->path ? 0 : -ENOMEM;
}

/* Find out anew what it shows, if the timeline is another one now. */
static int refresh_spot(struct view *v, const struct view_host *h, struct spot *s)
{
	CLEANUP(free_ptr) char *folder = NULL;
	const char *name;
	int r;

	if (s->view == FOLDER_DIFF || s->version == version_of(h) || s->path[0] == '\0')
		return 0;
	name = split(s->path, &folder);
	if (!folder)
		return -ENOMEM;
	r = describe_spot(v, h, folder, name, s);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	s->st.st_ino = s->ino;
	s->st.st_nlink = 1;
	spot_table_note(v->spots, s);
	return 0;
}

/* With what it shows now; spot_done() in any case. */
static int open_spot(struct view *v, uint64_t node, struct spot *ret_spot,
		     struct view_host **ret_host)
{
	int r;

	if (node_kind(node) == NODE_SPOT)
		r = spot_table_get(v->spots, node, ret_spot);
	else
		r = fixed_spot(v, node, ret_spot);
	if (r < 0)
		return r;
	*ret_host = view_host(v, ret_spot->host);
	if (!*ret_host)
		return -ESTALE;
	return refresh_spot(v, *ret_host, ret_spot);
}

int view_spot_stat(struct view *v, uint64_t node, struct node_info *ret_info)
{
	CLEANUP(spot_done) struct spot s = { 0 };
	struct view_host *h;
	int r;

	if (node_kind(node) == NODE_FIXED) {
		view_root_stat(v, node, ret_info);
		return 0;
	}
	r = open_spot(v, node, &s, &h);
	if (r < 0)
		return r;
	describe(&s, ret_info);
	return 0;
}

int view_spot_lease(struct view *v, uint64_t node, struct entry_lease *ret_lease)
{
	CLEANUP(spot_done) struct spot s = { 0 };
	CLEANUP(free_ptr) char *folder = NULL;
	struct snapshot_info info;
	struct view_host *h;
	int r;

	r = open_spot(v, node, &s, &h);
	if (r < 0)
		return r;
	ret_lease->entry = (struct tree_entry){ .mode = S_IFDIR | 0755, .name = "" };
	if (s.seq == 0)
		return 0;
	ret_lease->key = snapshot_key(h->number, s.seq);
	if (s.of_parent)
		(void)split(s.path, &folder);
	if (s.of_parent && !folder)
		return -ENOMEM;
	r = timeline_get(h->timeline, s.seq, &info);
	if (r >= 0)
		r = tree_reader_new(v->cache, &ret_lease->own);
	if (r >= 0)
		r = tree_reader_walk(ret_lease->own, &info.root_tree, folder ? folder : s.path,
				     &ret_lease->entry);
	return r == -ENOENT ? -ESTALE : r;
}

/* ---- look-up and listing ---- */

int view_spot_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info)
{
	CLEANUP(spot_done) struct spot s = { 0 };
	struct view_host *h;
	int r;

	if (strlen(name) > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	r = open_spot(v, parent, &s, &h);
	if (r < 0)
		return r;
	if (s.view == FOLDER_DIFF)
		return view_diff_lookup(v, h, &s, name, ret_info);
	view_refresh(h);
	if (s.view == FOLDER_VERSIONS)
		return view_versions_lookup(v, h, &s, name, ret_info);
	return view_deleted_lookup(v, h, &s, name, ret_info);
}

static bool add_dots(const struct spot *s, uint64_t *cookie, struct dir_sink *sink)
{
	static const char *const names[] = { ".", ".." };
	const uint64_t inos[] = { s->ino, s->parent_ino };
	struct node_info info = { .st = { .st_mode = S_IFDIR } };

	for (; *cookie < 2; (*cookie)++) {
		if (!sink->fits(sink, names[*cookie]))
			return false;
		info.st.st_ino = inos[*cookie];
		sink->add(sink, names[*cookie], &info, *cookie + 1);
	}
	return true;
}

static int make_batch(struct view *v, const struct view_host *h, const struct spot *s,
		      uint64_t version, uint64_t cookie, struct name_batch **ret_batch)
{
	CLEANUP(name_batch_free_ptr) struct name_batch *batch = NULL;
	int r = name_batch_new(s->node, version, cookie, &batch);

	if (r < 0)
		return r;
	if (s->view == FOLDER_VERSIONS)
		r = view_versions_fill(v, h, s, batch);
	else if (s->view == FOLDER_DELETED)
		r = view_deleted_fill(v, h, s, batch);
	else
		r = view_diff_fill(v, h, s, batch);
	if (r < 0)
		return r;
	name_batch_finish(batch);
	*ret_batch = STEAL(batch);
	return 0;
}

int view_spot_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink)
{
	CLEANUP(spot_done) struct spot s = { 0 };
	enum batch_end end = BATCH_MORE;
	struct view_host *h;
	uint64_t version;
	int r;

	r = open_spot(v, node, &s, &h);
	if (r < 0)
		return r;
	if (cookie == 0)
		view_refresh(h);
	if (!add_dots(&s, &cookie, sink))
		return 0;
	version = s.view == FOLDER_DIFF ? 1 : version_of(h);
	if (s.view == FOLDER_VERSIONS && cookie < NAME_COOKIE_FIRST) {
		r = view_versions_list(v, h, &s, &cookie, sink);
		if (r <= 0)
			return r;
	}
	while (end == BATCH_MORE) {
		struct name_batch *batch = name_pool_take(v->names, node, version, cookie);

		r = batch ? 0 : make_batch(v, h, &s, version, cookie, &batch);
		if (r < 0)
			return r;
		end = name_batch_list(batch, &cookie, sink);
		name_pool_keep(v->names, batch);
	}
	return 0;
}
