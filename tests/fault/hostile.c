/* SPDX-License-Identifier: MIT */
#include "tests/fault/hostile.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

void hostile_must(bool good, const char *what, const char *file, int line)
{
	if (good)
		return;
	(void)fprintf(stderr, "%s:%d: cannot make the hostile repository: %s\n", file, line, what);
	abort();
}

/* ---- packs ---- */

void hostile_begin(struct hostile *h, struct store *s, const struct pack_context *context)
{
	*h = (struct hostile){ .store = s, .context = *context };
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX; type++)
		MUST(store_hasher(s, (enum object_type)type, &h->hashers[type]) == 0);
}

void hostile_flush(struct hostile *h, struct pack_id *ret_id)
{
	struct pack_info info = { .host = h->context.host, .kind = PACK_MIXED };

	if (!h->pack)
		return;
	MUST(pack_writer_finish(h->pack, &info.id, &info.size) == 0);
	if (!h->unlisted)
		MUST(chunk_index_add_pack(store_index(h->store), &info,
					  pack_writer_entries(h->pack),
					  pack_writer_count(h->pack)) == 0);
	pack_writer_close(STEAL(h->pack));
	if (ret_id)
		*ret_id = info.id;
}

void hostile_end(struct hostile *h)
{
	hostile_flush(h, NULL);
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX; type++)
		id_hasher_free(STEAL(h->hashers[type]));
}

void hostile_put_as(struct hostile *h, struct pack_entry entry, const void *stored)
{
	int r = -EFBIG;

	if (h->pack)
		r = pack_writer_append(h->pack, &entry, stored);
	if (r == -EFBIG) {
		hostile_flush(h, NULL);
		MUST(pack_writer_open(&h->context, PACK_MIXED, &h->pack) == 0);
		r = pack_writer_append(h->pack, &entry, stored);
	}
	MUST(r == 0);
}

void hostile_put_id(struct hostile *h, enum object_type type, const struct chunk_id *id,
		    const void *data, size_t n)
{
	hostile_put_as(h,
		       (struct pack_entry){ .id = *id,
					    .stored_n = (uint32_t)n,
					    .raw_n = (uint32_t)n,
					    .type = (uint8_t)type,
					    .codec = CODEC_RAW },
		       data);
}

struct chunk_id hostile_put(struct hostile *h, enum object_type type, const void *data, size_t n)
{
	struct chunk_id id;

	id_hasher_run(h->hashers[type], data, n, &id);
	hostile_put_id(h, type, &id, data, n);
	return id;
}

struct chunk_id hostile_id(unsigned int n)
{
	struct chunk_id id;

	sha256_of(&n, sizeof(n), id.bytes);
	return id;
}

/* ---- nodes ---- */

void raw_node_done(struct raw_node *node)
{
	byte_buf_done(&node->chunks);
	byte_buf_done(&node->body);
	byte_buf_done(&node->offsets);
	*node = (struct raw_node){ 0 };
}

struct byte_buf *raw_item(struct raw_node *node)
{
	byte_buf_u16(&node->offsets, (uint16_t)node->body.n);
	node->count++;
	return &node->body;
}

void raw_node_bytes(const struct raw_node *node, uint64_t total, struct byte_buf *to)
{
	byte_buf_u8(to, NODE_FORMAT);
	byte_buf_u8(to, node->level);
	byte_buf_u16(to, (uint16_t)(node->false_count ? (uint32_t)node->false_count : node->count));
	byte_buf_u16(to, (uint16_t)(node->chunks.n / sizeof(struct chunk_id)));
	byte_buf_append(to, node->chunks.data, node->chunks.n);
	if (node->level > 0)
		byte_buf_u64(to, total);
	byte_buf_append(to, node->body.data, node->body.n);
	byte_buf_append(to, node->offsets.data, node->offsets.n);
	MUST(!to->failed);
}

struct chunk_id raw_inner_put(struct hostile *h, struct raw_node *node, uint64_t total)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	struct chunk_id id;

	raw_node_bytes(node, total, &bytes);
	id = hostile_put(h, OBJECT_TREE, bytes.data, bytes.n);
	raw_node_done(node);
	return id;
}

struct chunk_id raw_node_put(struct hostile *h, struct raw_node *node)
{
	return raw_inner_put(h, node, 0);
}

void raw_front(struct byte_buf *to, const void *name, size_t n, uint32_t mode, uint32_t fields)
{
	/* Each its own: tools that look for loops go by it. */
	static uint64_t ino = 1000;

	byte_buf_u8(to, (uint8_t)n);
	byte_buf_append(to, name, n);
	byte_buf_u16(to, (uint16_t)mode);
	byte_buf_u16(to, (uint16_t)fields);
	byte_buf_varint(to, ++ino);
	byte_buf_zigzag(to, 1700000000);
	byte_buf_u32(to, 5);
}

void raw_directory(struct raw_node *leaf, const char *name, const struct chunk_id *tree)
{
	struct byte_buf *to = raw_item(leaf);

	raw_front(to, name, strlen(name), S_IFDIR | 0755, RAW_TREE);
	byte_buf_append(to, tree->bytes, sizeof(tree->bytes));
}

void raw_file(struct raw_node *leaf, const char *name, const struct chunk_id *piece,
	      uint64_t length)
{
	struct byte_buf *to = raw_item(leaf);

	raw_front(to, name, strlen(name), S_IFREG | 0644, 0);
	byte_buf_varint(to, 1);
	byte_buf_varint(to, length << 2 | 1);
	byte_buf_append(to, piece->bytes, sizeof(piece->bytes));
}

void raw_list_file(struct raw_node *leaf, const char *name, const struct chunk_id *root,
		   uint64_t length)
{
	const struct chunk_id content = hostile_id(77);
	struct byte_buf *to = raw_item(leaf);

	raw_front(to, name, strlen(name), S_IFREG | 0644, 0);
	byte_buf_varint(to, INLINE_PIECES_MAX + 1);
	byte_buf_append(to, content.bytes, sizeof(content.bytes));
	byte_buf_append(to, root->bytes, sizeof(root->bytes));
	byte_buf_varint(to, length);
}

void raw_symlink(struct raw_node *leaf, const char *name, const char *target)
{
	struct byte_buf *to = raw_item(leaf);

	raw_front(to, name, strlen(name), S_IFLNK | 0777, 0);
	byte_buf_blob(to, target, strlen(target));
}

void raw_child(struct raw_node *inner, const char *name, const struct chunk_id *id, uint64_t total)
{
	struct byte_buf *to = raw_item(inner);

	byte_buf_u8(to, (uint8_t)strlen(name));
	byte_buf_append(to, name, strlen(name));
	byte_buf_append(to, id->bytes, sizeof(id->bytes));
	byte_buf_varint(to, total);
}

struct chunk_id hostile_good_file(struct hostile *h, struct raw_node *leaf, const char *name)
{
	static const char bytes[] = "these bytes are as they were\n";

	if (chunk_id_is_zero(&h->good))
		h->good = hostile_put(h, OBJECT_DATA, bytes, sizeof(bytes) - 1);
	raw_file(leaf, name, &h->good, sizeof(bytes) - 1);
	return h->good;
}

struct chunk_id hostile_at_path(struct hostile *h, const char *path, const struct chunk_id *tree)
{
	CLEANUP(free_ptr) char *left = strdup(path);
	struct chunk_id id = *tree;
	char *slash;

	MUST(left != NULL);
	while ((slash = strrchr(left, '/'))) {
		struct raw_node leaf = { 0 };

		raw_directory(&leaf, slash + 1, &id);
		id = raw_node_put(h, &leaf);
		*slash = '\0';
	}
	return id;
}

/* ---- records ---- */

uint64_t hostile_record(struct timeline *t, const struct chunk_id *root, const char *source)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf encoded = { 0 };
	struct tree_entry entry = { .name = "", .mode = S_IFDIR | 0755, .nlink = 2, .tree = *root };
	CLEANUP(free_ptr) char *path = strdup(source);
	struct record_source one = { .path = path };
	struct file_system_identity none = { 0 };
	struct record r = { .kind = RECORD_SNAPSHOT,
			    .time_ns = clock_now_ns(),
			    .sources = &one,
			    .n_sources = 1,
			    .file_systems = &none,
			    .n_file_systems = 1 };
	struct snapshot_info info;

	MUST(tree_entry_encode(&encoded, &entry) == 0);
	r.root = encoded.data;
	r.root_n = encoded.n;
	MUST(timeline_append(t, &r, &info) == 0);
	return info.seq;
}

void hostile_raw_record(struct store *s, const struct host_id *host, uint64_t seq, const void *body,
			size_t n)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf sealed = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf plain = { 0 };
	char path[RECORD_PATH_BYTES];
	struct record_id id;
	uint8_t *at;

	byte_buf_append(&sealed, "yorerecd", 8);
	byte_buf_u8(&sealed, 1);
	byte_buf_u32(&sealed, key_ring_id(store_keys(s)));
	byte_buf_append(&sealed, store_config(s)->repository, REPOSITORY_ID_BYTES);
	byte_buf_append(&sealed, host->bytes, sizeof(host->bytes));
	byte_buf_u64(&sealed, seq);
	byte_buf_u32(&plain, (uint32_t)n);
	byte_buf_u8(&plain, CODEC_RAW);
	byte_buf_append(&plain, body, n);
	MUST(!sealed.failed && !plain.failed);
	at = byte_buf_reserve(&sealed, plain.n + WRAP_NONCE_BYTES + WRAP_TAG_BYTES);
	MUST(at != NULL);
	crypto_wrap(key_ring_get(store_keys(s), KEY_RECORD), sealed.data, sealed.n, plain.data,
		    plain.n, at);
	sealed.n += plain.n + WRAP_NONCE_BYTES + WRAP_TAG_BYTES;
	sha256_of(sealed.data, sealed.n, id.bytes);
	MUST(io_write_file(store_io(s), record_path(host, seq, &id, path), sealed.data, sealed.n,
			   false, IO_OBJECT_RECORD) == 0);
}
