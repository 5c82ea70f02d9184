/* SPDX-License-Identifier: MIT */
#include "snapshots/record_internal.h"
#include "store/limits.h"

#include <errno.h>
#include <string.h>

/* Fewest bytes that one element takes: what bounds a count before memory is asked for. */
#define TAG_BYTES_MIN 2
#define FILE_SYSTEM_BYTES_MIN 17
#define SOURCE_BYTES_MIN 13
#define PACK_BYTES_MIN (SHA256_BYTES + 2)
#define RANGE_BYTES_MIN 2

#define SOURCE_FLAGS_ALL (SOURCE_ONE_FILE_SYSTEM | SOURCE_EXCLUDE_CACHES | SOURCE_STREAM)

/* ---- what both directions insist on ---- */

static bool tag_text_valid(const char *tag)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n;

	if (!*tag || !strchr(letters, *tag))
		return false;
	for (n = 1; tag[n]; n++)
		if (!strchr(letters, tag[n]) && tag[n] != '-' && tag[n] != '_')
			return false;
	return n <= TAG_BYTES_MAX;
}

/* Absolute, without empty, "." or ".." components, without a slash at its end. */
static bool path_canonical(const char *path)
{
	if (strlen(path) > RECORD_PATH_BYTES_MAX || path[0] != '/')
		return false;
	if (path[1] == '\0')
		return true;
	while (*path) {
		size_t n = strcspn(path + 1, "/");

		if (!name_valid(path + 1, (uint32_t)n))
			return false;
		path += 1 + n;
	}
	return true;
}

static bool sources_valid(const struct record *r)
{
	for (size_t i = 0; i < r->n_sources; i++) {
		const struct record_source *s = &r->sources[i];

		if (!s->path || !path_canonical(s->path))
			return false;
		if (i > 0 && strcmp(r->sources[i - 1].path, s->path) >= 0)
			return false;
		if (s->excludes && strlen(s->excludes) > RECORD_EXCLUDES_BYTES_MAX)
			return false;
		if ((s->flags & ~(uint32_t)SOURCE_FLAGS_ALL) || s->state > SOURCE_ABSENT ||
		    s->consistency > CONSISTENCY_HOOK || s->file_system >= r->n_file_systems)
			return false;
	}
	return true;
}

static bool ranges_valid(const struct record *r)
{
	uint64_t last = 0;

	for (size_t i = 0; i < r->n_forgotten; i++) {
		const struct sequence_range *range = &r->forgotten[i];

		if (range->first <= last || range->last < range->first || range->last >= r->seq)
			return false;
		last = range->last;
	}
	return true;
}

static bool record_valid(const struct record *r)
{
	bool snapshot = r->kind == RECORD_SNAPSHOT;

	if ((!snapshot && r->kind != RECORD_FORGET) || r->seq == 0 || r->seq == UINT64_MAX)
		return false;
	if (r->name_suffix > RECORD_SUFFIX_MAX || r->n_tags > RECORD_TAGS_MAX ||
	    r->n_sources > RECORD_SOURCES_MAX || r->n_file_systems > FILE_SYSTEMS_MAX ||
	    r->root_n > NODE_BYTES_MAX)
		return false;
	if ((snapshot && r->root_n == 0) || (snapshot && r->n_forgotten > 0))
		return false;
	if (r->host_name && strlen(r->host_name) > HOST_NAME_BYTES_MAX)
		return false;
	if (r->reason && strlen(r->reason) > RECORD_REASON_BYTES_MAX)
		return false;
	for (size_t i = 0; i < r->n_tags; i++)
		if (!r->tags[i] || !tag_text_valid(r->tags[i]))
			return false;
	for (size_t i = 0; i < r->n_packs; i++)
		if (r->packs[i].kind < PACK_DATA || r->packs[i].kind > PACK_MIXED)
			return false;
	return sources_valid(r) && ranges_valid(r);
}

/* ---- writing ---- */

static void put_text(struct byte_buf *to, const char *text)
{
	byte_buf_blob(to, text ? text : "", text ? strlen(text) : 0);
}

static void put_counts(struct byte_buf *to, uint64_t files, uint64_t directories, uint64_t others,
		       uint64_t bytes)
{
	byte_buf_varint(to, files);
	byte_buf_varint(to, directories);
	byte_buf_varint(to, others);
	byte_buf_varint(to, bytes);
}

static void put_source(struct byte_buf *to, const struct record_source *s)
{
	put_text(to, s->path);
	put_text(to, s->excludes);
	byte_buf_varint(to, s->flags);
	byte_buf_u8(to, (uint8_t)s->state);
	byte_buf_zigzag(to, s->walk_start_ns);
	byte_buf_zigzag(to, s->captured_ns);
	byte_buf_varint(to, s->file_system);
	byte_buf_u8(to, (uint8_t)s->consistency);
	put_counts(to, s->files, s->directories, s->others, s->bytes);
	byte_buf_varint(to, s->errors);
}

static void put_ranges(struct byte_buf *to, const struct record *r)
{
	uint64_t last = 0;

	byte_buf_varint(to, r->n_forgotten);
	for (size_t i = 0; i < r->n_forgotten; i++) {
		byte_buf_varint(to, r->forgotten[i].first - last);
		byte_buf_varint(to, r->forgotten[i].last - r->forgotten[i].first);
		last = r->forgotten[i].last;
	}
}

int record_body_encode(struct byte_buf *to, const struct record *r)
{
	if (!record_valid(r))
		return -EINVAL;
	byte_buf_u8(to, (uint8_t)r->kind);
	byte_buf_append(to, r->previous.bytes, sizeof(r->previous.bytes));
	byte_buf_zigzag(to, r->time_ns);
	byte_buf_zigzag(to, r->written_ns);
	byte_buf_varint(to, r->name_suffix);
	put_text(to, r->host_name);
	put_text(to, r->reason);
	byte_buf_varint(to, r->n_tags);
	for (size_t i = 0; i < r->n_tags; i++)
		put_text(to, r->tags[i]);
	byte_buf_varint(to, r->n_file_systems);
	for (size_t i = 0; i < r->n_file_systems; i++) {
		byte_buf_varint(to, r->file_systems[i].type);
		byte_buf_append(to, r->file_systems[i].uuid, sizeof(r->file_systems[i].uuid));
	}
	byte_buf_varint(to, r->n_sources);
	for (size_t i = 0; i < r->n_sources; i++)
		put_source(to, &r->sources[i]);
	byte_buf_blob(to, r->root, r->root_n);
	byte_buf_varint(to, r->n_packs);
	for (size_t i = 0; i < r->n_packs; i++) {
		byte_buf_append(to, r->packs[i].id.bytes, sizeof(r->packs[i].id.bytes));
		byte_buf_varint(to, r->packs[i].size);
		byte_buf_u8(to, (uint8_t)r->packs[i].kind);
	}
	put_counts(to, r->files, r->directories, r->others, r->bytes);
	byte_buf_varint(to, r->new_raw_bytes);
	byte_buf_varint(to, r->new_stored_bytes);
	put_ranges(to, r);
	return to->failed ? -ENOMEM : 0;
}

/* ---- reading: each step sets in->bad, or yields -ENOMEM ---- */

static int take_text(struct byte_reader *in, size_t max, char **ret_text)
{
	size_t n = 0;
	const uint8_t *data = byte_reader_blob(in, max, &n);
	char *text;

	if (in->bad || (n > 0 && memchr(data, 0, n))) {
		in->bad = true;
		n = 0;
	}
	text = malloc(n + 1);
	if (!text)
		return -ENOMEM;
	if (n > 0)
		memcpy(text, data, n);
	text[n] = '\0';
	*ret_text = text;
	return 0;
}

/* A count of elements that take at least `least` bytes each, and zeroed room for them. */
static int take_count(struct byte_reader *in, size_t max, size_t least, size_t element,
		      void *ret_array, size_t *ret_n)
{
	size_t left = byte_reader_left(in) / least;
	size_t n = (size_t)byte_reader_varint_max(in, left < max ? left : max);
	void *array;

	if (in->bad || n == 0)
		return 0;
	array = calloc(n, element);
	if (!array)
		return -ENOMEM;
	memcpy(ret_array, &array, sizeof(array));
	*ret_n = n;
	return 0;
}

static int take_tags(struct byte_reader *in, struct record *r)
{
	int e = take_count(in, RECORD_TAGS_MAX, TAG_BYTES_MIN, sizeof(*r->tags), &r->tags,
			   &r->n_tags);

	for (size_t i = 0; e == 0 && i < r->n_tags; i++)
		e = take_text(in, TAG_BYTES_MAX, &r->tags[i]);
	return e;
}

static int take_file_systems(struct byte_reader *in, struct record *r)
{
	int e = take_count(in, FILE_SYSTEMS_MAX, FILE_SYSTEM_BYTES_MIN, sizeof(*r->file_systems),
			   &r->file_systems, &r->n_file_systems);

	for (size_t i = 0; i < r->n_file_systems; i++) {
		r->file_systems[i].type = byte_reader_varint(in);
		byte_reader_copy(in, r->file_systems[i].uuid, sizeof(r->file_systems[i].uuid));
	}
	return e;
}

static int take_source(struct byte_reader *in, struct record_source *s)
{
	int e = take_text(in, RECORD_PATH_BYTES_MAX, &s->path);

	if (e == 0)
		e = take_text(in, RECORD_EXCLUDES_BYTES_MAX, &s->excludes);
	s->flags = (uint32_t)byte_reader_varint_max(in, SOURCE_FLAGS_ALL);
	s->state = byte_reader_u8(in);
	s->walk_start_ns = byte_reader_zigzag(in);
	s->captured_ns = byte_reader_zigzag(in);
	s->file_system = (uint32_t)byte_reader_varint_max(in, FILE_SYSTEMS_MAX);
	s->consistency = byte_reader_u8(in);
	s->files = byte_reader_varint(in);
	s->directories = byte_reader_varint(in);
	s->others = byte_reader_varint(in);
	s->bytes = byte_reader_varint(in);
	s->errors = byte_reader_varint(in);
	return e;
}

static int take_sources(struct byte_reader *in, struct record *r)
{
	int e = take_count(in, RECORD_SOURCES_MAX, SOURCE_BYTES_MIN, sizeof(*r->sources),
			   &r->sources, &r->n_sources);

	for (size_t i = 0; e == 0 && i < r->n_sources; i++)
		e = take_source(in, &r->sources[i]);
	return e;
}

static int take_root(struct byte_reader *in, struct record *r)
{
	const uint8_t *data = byte_reader_blob(in, NODE_BYTES_MAX, &r->root_n);

	if (in->bad || r->root_n == 0) {
		r->root_n = 0;
		return 0;
	}
	r->root = malloc(r->root_n);
	if (!r->root)
		return -ENOMEM;
	memcpy(r->root, data, r->root_n);
	return 0;
}

static int take_packs(struct byte_reader *in, struct record *r)
{
	int e = take_count(in, SIZE_MAX, PACK_BYTES_MIN, sizeof(*r->packs), &r->packs, &r->n_packs);

	for (size_t i = 0; i < r->n_packs; i++) {
		byte_reader_copy(in, r->packs[i].id.bytes, sizeof(r->packs[i].id.bytes));
		r->packs[i].size = byte_reader_varint(in);
		r->packs[i].kind = byte_reader_u8(in);
	}
	return e;
}

static int take_ranges(struct byte_reader *in, struct record *r)
{
	int e = take_count(in, SIZE_MAX, RANGE_BYTES_MIN, sizeof(*r->forgotten), &r->forgotten,
			   &r->n_forgotten);
	uint64_t last = 0;

	for (size_t i = 0; i < r->n_forgotten; i++) {
		uint64_t gap = byte_reader_varint(in);
		uint64_t more = byte_reader_varint(in);

		/* A sum that wraps comes out too small, which record_valid() cannot tell. */
		if (gap > UINT64_MAX - last || more > UINT64_MAX - last - gap)
			in->bad = true;
		r->forgotten[i] = (struct sequence_range){ last + gap, last + gap + more };
		last += gap + more;
	}
	return e;
}

static int take_front(struct byte_reader *in, struct record *r)
{
	int e;

	r->kind = byte_reader_u8(in);
	byte_reader_copy(in, r->previous.bytes, sizeof(r->previous.bytes));
	r->time_ns = byte_reader_zigzag(in);
	r->written_ns = byte_reader_zigzag(in);
	r->name_suffix = (uint32_t)byte_reader_varint_max(in, RECORD_SUFFIX_MAX);
	e = take_text(in, HOST_NAME_BYTES_MAX, &r->host_name);
	return e < 0 ? e : take_text(in, RECORD_REASON_BYTES_MAX, &r->reason);
}

static int take_back(struct byte_reader *in, struct record *r)
{
	r->files = byte_reader_varint(in);
	r->directories = byte_reader_varint(in);
	r->others = byte_reader_varint(in);
	r->bytes = byte_reader_varint(in);
	r->new_raw_bytes = byte_reader_varint(in);
	r->new_stored_bytes = byte_reader_varint(in);
	return take_ranges(in, r);
}

int record_body_decode(const void *data, size_t n, const struct host_id *host, uint64_t seq,
		       struct record *ret_record)
{
	static int (*const steps[])(struct byte_reader *, struct record *) = {
		take_front, take_tags,  take_file_systems, take_sources,
		take_root,  take_packs, take_back,
	};
	struct byte_reader in = byte_reader_make(data, n);
	struct record r = { .host = *host, .seq = seq };
	int e = 0;

	for (size_t i = 0; e == 0 && !in.bad && i < sizeof(steps) / sizeof(steps[0]); i++)
		e = steps[i](&in, &r);
	if (e == 0 && (!byte_reader_done(&in) || !record_valid(&r)))
		e = -EUCLEAN;
	if (e < 0) {
		record_done(&r);
		return e;
	}
	*ret_record = r;
	return 0;
}

void record_done(struct record *r)
{
	for (size_t i = 0; i < r->n_tags; i++)
		free(r->tags[i]);
	for (size_t i = 0; i < r->n_sources; i++) {
		free(r->sources[i].path);
		free(r->sources[i].excludes);
	}
	free(r->host_name);
	free(r->reason);
	free(r->tags);
	free(r->sources);
	free(r->file_systems);
	free(r->root);
	free(r->packs);
	free(r->forgotten);
	*r = (struct record){ 0 };
}
