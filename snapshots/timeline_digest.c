/* SPDX-License-Identifier: MIT */
#include "snapshots/timeline_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DIGEST_VERSION 2 /* others are made again from their records */

static void put_snapshot(struct byte_buf *to, const struct record *r, const struct chunk_id *tree)
{
	uint64_t errors = 0, n_absent = 0;
	size_t tags_n = 0;

	for (size_t i = 0; i < r->n_sources; i++) {
		errors += r->sources[i].errors;
		n_absent += r->sources[i].state == SOURCE_ABSENT;
	}
	for (size_t i = 0; i < r->n_tags; i++)
		tags_n += strlen(r->tags[i]) + (i > 0);

	byte_buf_append(to, tree->bytes, sizeof(tree->bytes));
	byte_buf_varint(to, r->files);
	byte_buf_varint(to, r->directories);
	byte_buf_varint(to, r->others);
	byte_buf_varint(to, r->bytes);
	byte_buf_varint(to, r->new_raw_bytes);
	byte_buf_varint(to, r->new_stored_bytes);
	byte_buf_varint(to, errors);
	byte_buf_varint(to, n_absent);
	byte_buf_varint(to, r->n_sources);
	byte_buf_varint(to, tags_n);
	for (size_t i = 0; i < r->n_tags; i++) {
		if (i > 0)
			byte_buf_u8(to, ',');
		byte_buf_append(to, r->tags[i], strlen(r->tags[i]));
	}
	byte_buf_blob(to, r->reason ? r->reason : "", r->reason ? strlen(r->reason) : 0);
	byte_buf_u8(to, (uint8_t)record_consistency(r));
}

static void put_forget(struct byte_buf *to, const struct record *r)
{
	bool missing = r->n_forgotten > DIGEST_RANGES_MAX;
	uint64_t last = 0;

	byte_buf_u8(to, missing);
	byte_buf_varint(to, missing ? 0 : r->n_forgotten);
	for (size_t i = 0; !missing && i < r->n_forgotten; i++) {
		byte_buf_varint(to, r->forgotten[i].first - last);
		byte_buf_varint(to, r->forgotten[i].last - r->forgotten[i].first);
		last = r->forgotten[i].last;
	}
}

int timeline_digest_make(const struct record *r, const struct record_id *id, struct byte_buf *to)
{
	struct entry_decoder decoder = { 0 };
	struct tree_entry root = { 0 };
	struct chunk_id tree = { 0 };
	int e;

	if (r->kind == RECORD_SNAPSHOT) {
		e = tree_entry_decode(r->root, r->root_n, &decoder, &root);
		tree = root.tree;
		entry_decoder_done(&decoder);
		if (e < 0)
			return e;
		if (!S_ISDIR(root.mode))
			return -EUCLEAN;
	}
	byte_buf_clear(to);
	byte_buf_u8(to, DIGEST_VERSION);
	byte_buf_u8(to, (uint8_t)r->kind);
	byte_buf_append(to, id->bytes, sizeof(id->bytes));
	byte_buf_zigzag(to, r->time_ns);
	byte_buf_varint(to, r->name_suffix);
	byte_buf_u8(to, r->n_tags > 0);
	if (r->kind == RECORD_SNAPSHOT)
		put_snapshot(to, r, &tree);
	else
		put_forget(to, r);
	return to->failed ? -ENOMEM : 0;
}

int timeline_digest_head(struct byte_reader *in, struct digest_head *ret_head)
{
	struct digest_head head = { 0 };
	uint8_t version = byte_reader_u8(in);

	head.kind = byte_reader_u8(in);
	byte_reader_copy(in, head.id.bytes, sizeof(head.id.bytes));
	head.time_ns = byte_reader_zigzag(in);
	head.suffix = (uint32_t)byte_reader_varint_max(in, RECORD_SUFFIX_MAX);
	head.tagged = byte_reader_u8(in) != 0;
	if (head.kind == RECORD_FORGET) {
		head.ranges_missing = byte_reader_u8(in) != 0;
		head.n_ranges = byte_reader_varint_max(in, DIGEST_RANGES_MAX);
	} else if (head.kind != RECORD_SNAPSHOT) {
		return -EUCLEAN;
	}
	if (in->bad || version != DIGEST_VERSION)
		return -EUCLEAN;
	*ret_head = head;
	return 0;
}

struct sequence_range timeline_digest_range(struct byte_reader *in, uint64_t *last)
{
	uint64_t gap = byte_reader_varint(in);
	uint64_t more = byte_reader_varint(in);
	struct sequence_range range = { *last + gap, *last + gap + more };

	if (gap > UINT64_MAX - *last || more > UINT64_MAX - *last - gap)
		in->bad = true;
	*last = range.last;
	return range;
}

static void take_text(struct byte_reader *in, char *to, size_t room)
{
	size_t n = 0;
	const uint8_t *text = byte_reader_blob(in, room - 1, &n);

	if (n > 0)
		memcpy(to, text, n);
	to[n] = '\0';
}

int timeline_digest_info(const void *data, size_t n, uint64_t seq, struct snapshot_info *ret_info)
{
	struct byte_reader in = byte_reader_make(data, n);
	struct snapshot_info *info = ret_info;
	struct digest_head head;
	uint8_t label;
	int r;

	r = timeline_digest_head(&in, &head);
	if (r < 0)
		return r;
	if (head.kind != RECORD_SNAPSHOT)
		return -EUCLEAN;
	info->seq = seq;
	info->kind = head.kind;
	info->id = head.id;
	info->time_ns = head.time_ns;
	snapshot_name(head.time_ns, head.suffix, info->name);
	byte_reader_copy(&in, info->root_tree.bytes, sizeof(info->root_tree.bytes));
	info->files = byte_reader_varint(&in);
	info->directories = byte_reader_varint(&in);
	info->others = byte_reader_varint(&in);
	info->bytes = byte_reader_varint(&in);
	info->new_raw_bytes = byte_reader_varint(&in);
	info->new_stored_bytes = byte_reader_varint(&in);
	info->errors = byte_reader_varint(&in);
	info->n_absent = (uint32_t)byte_reader_varint_max(&in, RECORD_SOURCES_MAX);
	info->n_sources = (uint32_t)byte_reader_varint_max(&in, RECORD_SOURCES_MAX);
	take_text(&in, info->tags, sizeof(info->tags));
	take_text(&in, info->reason, sizeof(info->reason));
	label = byte_reader_u8(&in);
	if (label > CONSISTENCY_HOOK)
		return -EUCLEAN;
	info->consistency = (enum consistency)label;
	return byte_reader_done(&in) ? 0 : -EUCLEAN;
}
