/* SPDX-License-Identifier: MIT */
#include "fs/view_file.h"

#include "fs/view_tree.h"

#include <errno.h>
#include <string.h>

/* Stored chunks asked for at once; more than the cache's threads take is dropped anyway. */
#define AHEAD_CHUNKS_MAX 32u
/* Of a larger file in a directory that is read file by file only its beginning is fetched. */
#define SCAN_PIECES_MAX 4u

static int64_t damage(int64_t r)
{
	return r == -ENOENT ? -EBADMSG : r;
}

/* ---- fetching ahead ---- */

/* Chunks already asked for on this occasion: neighbours often lie in one chunk. */
struct asked {
	struct chunk_id last;
	unsigned int n;
};

static void ask(struct view *v, struct asked *asked, const struct chunk_id *chunk)
{
	if (asked->n > 0 && memcmp(&asked->last, chunk, sizeof(*chunk)) == 0)
		return;
	asked->last = *chunk;
	asked->n++;
	chunk_cache_prefetch(v->cache, chunk, OBJECT_DATA);
}

static void fetch_bytes(struct view *v, struct content_reader *reader, uint64_t from, uint64_t to)
{
	struct asked asked = { 0 };
	struct piece_view piece;

	if (content_reader_seek(reader, from) < 0)
		return;
	while (asked.n < AHEAD_CHUNKS_MAX && content_reader_next(reader, &piece) > 0) {
		if (piece.offset >= to)
			return;
		for (uint32_t i = 0; i < piece.piece.n_extents; i++)
			ask(v, &asked, &piece.extents[i].chunk);
	}
}

static void fetch_entry(struct view *v, const struct tree_entry *entry, struct asked *asked)
{
	const struct content *content = &entry->content;
	uint32_t extent = 0;

	if (!S_ISREG(entry->mode) || content->form != CONTENT_INLINE)
		return;
	for (uint32_t i = 0; i < content->n_pieces && i < SCAN_PIECES_MAX; i++)
		for (uint32_t j = 0; j < content->pieces[i].n_extents; j++)
			ask(v, asked, &content->extents[extent++].chunk);
}

static void fetch_files(struct view *v, const struct chunk_id *tree, uint64_t from, uint64_t to)
{
	CLEANUP(reader_pool_put_tree) struct tree_lease lease = { 0 };
	struct asked asked = { 0 };
	struct tree_entry entry;

	if (reader_pool_get_tree(v->readers, tree, from, &lease) < 0 ||
	    tree_reader_seek_index(lease.reader, from) < 0)
		return;
	while (from++ < to && asked.n < AHEAD_CHUNKS_MAX &&
	       tree_reader_next(lease.reader, &entry) > 0)
		fetch_entry(v, &entry, &asked);
}

/* ---- reading ---- */

static struct read_ahead_key key_of(const struct chunk_id *tree, uint64_t number)
{
	struct read_ahead_key key = { .number = number };

	memcpy(key.id, tree->bytes, sizeof(key.id));
	return key;
}

/* Set the leased reader to the file at the node, unless it is already. */
static int set_content(struct view *v, uint64_t node, struct content_lease *content)
{
	CLEANUP(entry_lease_done) struct entry_lease entry = { 0 };
	int r;

	if (content->is_set)
		return 0;
	r = entry_lease_open(v, node, &entry);
	if (r < 0)
		return r;
	if (!S_ISREG(entry.entry.mode))
		return S_ISDIR(entry.entry.mode) ? -EISDIR : -EINVAL;
	r = content_reader_set(content->reader, &entry.entry.content);
	if (r < 0)
		return (int)damage(r);
	content->size = entry.entry.content.length;
	content->is_set = true;
	return 0;
}

static int open_content(struct view *v, uint64_t node, struct entry_place *ret_place,
			struct content_lease *ret_content)
{
	int r;

	if (node_kind(node) != NODE_TREE)
		return -ESTALE;
	if (node_is_directory(node))
		return -EISDIR;
	r = node_table_place(v->nodes, node, ret_place);
	if (r < 0)
		return r;
	r = reader_pool_get_content(v->readers, &ret_place->tree, ret_place->index, ret_content);
	return r < 0 ? r : set_content(v, node, ret_content);
}

int64_t view_file_read_begin(struct view *v, uint64_t node, uint64_t offset, size_t n,
			     struct file_read *ret_read)
{
	int64_t r;

	ret_read->n_spans = 0;
	ret_read->content = (struct content_lease){ 0 };
	ret_read->offset = offset;
	ret_read->n = 0;
	r = open_content(v, node, &ret_read->place, &ret_read->content);
	if (r < 0)
		return r;
	r = content_pin(ret_read->content.reader, offset, n, ret_read->spans, &ret_read->n_spans);
	if (r >= 0)
		ret_read->n = (uint64_t)r;
	return damage(r);
}

int64_t view_file_read_copy(struct file_read *read, void *to, size_t n)
{
	int64_t r = content_read(read->content.reader, read->offset, to, n);

	if (r >= 0)
		read->n = (uint64_t)r;
	return damage(r);
}

void view_file_read_end(struct view *v, struct file_read *read)
{
	const struct chunk_id *tree = &read->place.tree;
	struct content_lease *content = &read->content;
	struct read_ahead_key file = key_of(tree, read->place.index);
	struct read_ahead_key directory = key_of(tree, UINT64_MAX);
	uint64_t from, to;

	if (content->reader)
		content_unpin(content->reader);
	if (read->n == 0) {
		reader_pool_put_content(content);
		return;
	}
	if (content->size > read->n &&
	    read_ahead_note(v->file_ahead, &file, read->offset, read->n, content->size, &from, &to))
		fetch_bytes(v, content->reader, from, to);
	reader_pool_put_content(content);

	/* How many entries there are does not matter: the reader ends where they end. */
	if (read->offset == 0 && read_ahead_note(v->scan_ahead, &directory, read->place.index, 1,
						 UINT64_MAX - 1, &from, &to))
		fetch_files(v, tree, from, to);
}

int64_t view_file_seek(struct view *v, uint64_t node, uint64_t offset, bool hole)
{
	CLEANUP(reader_pool_put_content) struct content_lease content = { 0 };
	struct entry_place place;
	int64_t r;

	r = open_content(v, node, &place, &content);
	if (r < 0)
		return r;
	return damage(content_seek_hole(content.reader, offset, hole));
}
