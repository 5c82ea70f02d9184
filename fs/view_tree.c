/* SPDX-License-Identifier: MIT */
#include "fs/view_tree.h"

#include "fs/view_spots.h"

#include <errno.h>
#include <string.h>

/* A node of the tree that is missing is damage; only names may be absent. */
static int damage(int r)
{
	return r == -ENOENT ? -EBADMSG : r;
}

static int dir_view_of(struct view *v, uint64_t node, struct dir_view *ret_dir)
{
	if (node_kind(node) != NODE_TREE)
		return -ESTALE;
	if (!node_is_directory(node))
		return -ENOTDIR;
	return node_table_view(v->nodes, node_slot(node), ret_dir);
}

/* ---- one entry ---- */

int entry_lease_open(struct view *v, uint64_t node, struct entry_lease *ret_lease)
{
	struct entry_lease *l = ret_lease;
	struct entry_place place;
	int r;

	*l = (struct entry_lease){ 0 };
	if (node_kind(node) == NODE_SPOT)
		return view_spot_lease(v, node, l);
	r = node_table_place(v->nodes, node, &place);
	if (r < 0)
		return r;
	l->key = place.key;
	l->parent_ino = place.parent_ino;
	l->snapshot = place.snapshot;
	if (place.snapshot) {
		l->parent_ino = NODE_ROOT;
		return open_snapshot_root(place.snapshot, &l->decoder, &l->entry);
	}
	r = reader_pool_get_tree(v->readers, &place.tree, place.index, &l->tree);
	if (r >= 0)
		r = tree_reader_seek_index(l->tree.reader, place.index);
	if (r >= 0)
		r = tree_reader_next(l->tree.reader, &l->entry);
	return r == 0 ? -EUCLEAN : r < 0 ? damage(r) : 0;
}

void entry_lease_done(struct entry_lease *l)
{
	reader_pool_put_tree(&l->tree);
	tree_reader_free(l->own);
	entry_decoder_done(&l->decoder);
	open_snapshot_unref(l->snapshot);
}

/* ---- attributes ---- */

static void describe(const struct view *v, const struct tree_entry *entry, uint64_t ino,
		     const struct node_handle *handle, struct node_info *ret_info)
{
	*ret_info = (struct node_info){
		.node = handle->node,
		.generation = handle->generation,
		.entry_timeout = TIMEOUT_ENDLESS,
		.attr_timeout = TIMEOUT_ENDLESS,
	};
	view_stat(v, entry, ino, &ret_info->st);
}

int view_tree_stat(struct view *v, uint64_t node, struct node_info *ret_info)
{
	struct node_handle handle = { .node = node };
	CLEANUP(entry_lease_done) struct entry_lease lease;
	int r;

	r = entry_lease_open(v, node, &lease);
	if (r < 0)
		return r;
	describe(v, &lease.entry, view_ino(v, lease.key, lease.parent_ino, &lease.entry), &handle,
		 ret_info);
	return 0;
}

int view_tree_link(struct view *v, uint64_t node, char to[static LINK_BYTES_MAX + 1])
{
	CLEANUP(entry_lease_done) struct entry_lease lease;
	int r;

	r = entry_lease_open(v, node, &lease);
	if (r < 0)
		return r;
	if (!S_ISLNK(lease.entry.mode))
		return -EINVAL;
	if (lease.entry.link_n > LINK_BYTES_MAX)
		return -EUCLEAN;
	memcpy(to, lease.entry.link, lease.entry.link_n);
	to[lease.entry.link_n] = 0;
	return 0;
}

/* ---- look-up ---- */

/*
 * The node of an entry. A directory's look-up is counted here; a file's is for
 * the caller to count, so that a listing does it once for all.
 */
static int enter(struct view *v, const struct dir_view *dir, const struct tree_entry *entry,
		 uint64_t index, struct node_info *ret_info)
{
	uint64_t ino = view_ino(v, dir->key, dir->ino, entry);
	struct node_handle handle;
	int r;

	if (index > NODE_INDEX_MAX)
		return -EOVERFLOW;
	if (S_ISDIR(entry->mode)) {
		r = node_table_enter_child(v->nodes, dir->slot, (uint32_t)index, &entry->tree, ino,
					   &handle);
		if (r < 0)
			return r;
	} else {
		handle.node = node_of_file(dir->canonical, (uint32_t)index);
		handle.generation = dir->canonical_generation;
	}
	describe(v, entry, ino, &handle, ret_info);
	return 0;
}

/* Like tree_reader_find(), but tells an absent name from an absent node. */
static int find(struct tree_reader *reader, const char *name, struct tree_entry *ret_entry,
		uint64_t *ret_index)
{
	uint32_t n = (uint32_t)strlen(name);
	int r;

	r = tree_reader_seek_name(reader, name, n);
	if (r < 0)
		return damage(r);
	*ret_index = tree_reader_position(reader);
	r = tree_reader_next(reader, ret_entry);
	if (r < 0)
		return damage(r);
	if (r == 0 || name_compare(ret_entry->name, ret_entry->name_n, name, n) != 0)
		return -ENOENT;
	return 0;
}

int view_tree_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info)
{
	CLEANUP(reader_pool_put_tree) struct tree_lease lease = { 0 };
	struct tree_entry entry;
	struct dir_view dir;
	uint64_t index;
	int r;

	r = dir_view_of(v, parent, &dir);
	if (r < 0)
		return r;
	if (strlen(name) > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	r = reader_pool_get_tree(v->readers, &dir.tree, UINT64_MAX, &lease);
	if (r < 0)
		return damage(r);
	r = find(lease.reader, name, &entry, &index);
	if (r == -ENOENT) {
		*ret_info = (struct node_info){ .entry_timeout = TIMEOUT_ENDLESS };
		return 0;
	}
	if (r >= 0)
		r = enter(v, &dir, &entry, index, ret_info);
	if (r >= 0 && !S_ISDIR(entry.mode))
		r = node_table_count_files(v->nodes, dir.canonical, 1);
	return r;
}

/* ---- listing ---- */

static bool add_dots(const struct dir_view *dir, uint64_t cookie, struct dir_sink *sink)
{
	static const char *const names[] = { ".", ".." };
	const uint64_t inos[] = { dir->ino, dir->parent_ino };
	struct node_info info = { .st = { .st_mode = S_IFDIR } };

	for (uint64_t i = cookie; i < 2; i++) {
		if (!sink->fits(sink, names[i]))
			return false;
		info.st.st_ino = inos[i];
		sink->add(sink, names[i], &info, i + 1);
	}
	return true;
}

/* Add entries while there is room. Counts the files given with nodes in
 * *n_files. */
static int add_entries(struct view *v, const struct dir_view *dir, struct tree_reader *reader,
		       struct dir_sink *sink, uint64_t *n_files)
{
	bool plus = sink->plus && tree_reader_count(reader) < LIST_PLUS_MAX;
	char name[NAME_BYTES_MAX + 1];
	struct tree_entry entry;
	int r;

	for (;;) {
		uint64_t index = tree_reader_position(reader);
		struct node_info info = { 0 };

		r = tree_reader_next(reader, &entry);
		if (r <= 0)
			return damage(r);
		if (entry.name_n > NAME_BYTES_MAX)
			return -EUCLEAN;
		memcpy(name, entry.name, entry.name_n);
		name[entry.name_n] = 0;
		if (!sink->fits(sink, name))
			return tree_reader_seek_index(reader, index);
		/* Without memory for its node an entry is still listed. */
		if (!plus || enter(v, dir, &entry, index, &info) < 0) {
			info = (struct node_info){ 0 };
			info.st.st_mode = entry.mode;
			info.st.st_ino = view_ino(v, dir->key, dir->ino, &entry);
		}
		if (info.node && !S_ISDIR(entry.mode))
			(*n_files)++;
		sink->add(sink, name, &info, index + 3);
	}
}

int view_tree_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink)
{
	CLEANUP(reader_pool_put_tree) struct tree_lease lease = { 0 };
	uint64_t n_files = 0, index = cookie > 2 ? cookie - 2 : 0;
	struct dir_view dir;
	int r, counted = 0;

	r = dir_view_of(v, node, &dir);
	if (r < 0)
		return r;
	if (!add_dots(&dir, cookie, sink))
		return 0;
	r = reader_pool_get_tree(v->readers, &dir.tree, index, &lease);
	if (r >= 0 && tree_reader_position(lease.reader) != index)
		r = tree_reader_seek_index(lease.reader, index);
	if (r < 0)
		return damage(r);
	r = add_entries(v, &dir, lease.reader, sink, &n_files);
	/* Before the reply: the kernel may forget a file as soon as it has it. */
	if (n_files > 0)
		counted = node_table_count_files(v->nodes, dir.canonical, n_files);
	return r < 0 ? r : counted;
}
