/* SPDX-License-Identifier: MIT */
/* The codec of one directory entry. */
#include "snapshots/tree_internal.h"
#include "snapshots/xattr_set.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#define NS 1000000000
/* Deltas up to this many seconds are stored as nanoseconds; it leaves room for their sum. */
#define DELTA_SECONDS_MAX 4000000000ll

/* What follows the fixed part of an entry. A field that is left out has its plain value. */
enum field {
	FIELD_UID = 1 << 0,   /* else 0 */
	FIELD_GID = 1 << 1,   /* else the uid */
	FIELD_NLINK = 1 << 2, /* else 1 */
	FIELD_FS = 1 << 3,    /* else 0 */
	FIELD_SIZE = 1 << 4,  /* else what the kind of object implies */
	FIELD_CTIME = 1 << 5, /* else the mtime */
	FIELD_BTIME = 1 << 6, /* else none */
	FIELD_WIDE = 1 << 7,  /* ctime and btime are whole times, not distances */
	FIELD_XATTRS = 1 << 8,
	FIELD_MORE = 1 << 9,  /* flags, attribute flags, consistency; else all 0 */
	FIELD_TREE = 1 << 10, /* else an empty directory */
};
#define FIELDS_ALL 0x7ffu

#define FLAGS_STORED (ENTRY_SPARSE | ENTRY_XATTRS_CHUNK | ENTRY_PLACEHOLDER | ENTRY_UNREADABLE)
#define FIXED_MAX 160u /* all numbers of an entry, at their longest */
#define CONTENT_LISTED (INLINE_PIECES_MAX + 1u)

/* An entry must fit a node whatever it holds. */
static_assert(NODE_HEADER_BYTES + FIXED_MAX + NAME_BYTES_MAX + XATTR_INLINE_MAX + 80u +
			      (size_t)INLINE_PIECES_MAX *
				      (PIECE_BYTES_MAX + PIECE_EXTENTS_MAX * EXTENT_BYTES_MAX +
				       PIECE_CHUNKS_MAX * 32u) +
			      2u <=
		      NODE_BYTES_MAX,
	      "an entry fits a node");

bool name_valid(const char *name, uint32_t n)
{
	if (n == 0 || n > NAME_BYTES_MAX)
		return false;
	if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (name[i] == '/' || name[i] == '\0')
			return false;
	}
	return true;
}

/* ---- what may be ---- */

static bool content_valid(const struct content *c)
{
	const struct extent *extents = c->extents;
	uint64_t sum = 0, n_extents = 0;

	if (c->form == CONTENT_EMPTY)
		return c->length == 0 && c->n_pieces == 0 && chunk_id_is_zero(&c->id);
	if (c->length == 0 || c->length > INT64_MAX || chunk_id_is_zero(&c->id))
		return false;
	if (c->form == CONTENT_LIST)
		return !chunk_id_is_zero(&c->list);
	if (c->form != CONTENT_INLINE || c->n_pieces == 0 || c->n_pieces > INLINE_PIECES_MAX)
		return false;
	for (uint32_t i = 0; i < c->n_pieces; i++) {
		const struct piece *p = &c->pieces[i];

		if (n_extents + p->n_extents > c->n_extents || !piece_valid(p, extents) ||
		    p->length > c->length - sum)
			return false;
		sum += p->length;
		extents += p->n_extents;
		n_extents += p->n_extents;
	}
	if (c->n_pieces == 1 && !piece_is_hole(c->pieces) &&
	    !chunk_id_equal(&c->pieces->id, &c->id))
		return false;
	return sum == c->length && n_extents == c->n_extents;
}

static bool xattrs_valid(const struct tree_entry *e)
{
	if (e->flags & ENTRY_XATTRS_CHUNK)
		return e->xattrs_n == sizeof(struct chunk_id);
	return e->xattrs_n <= XATTR_INLINE_MAX;
}

static bool symlink_valid(const struct tree_entry *e)
{
	if (e->link_n > LINK_BYTES_MAX || (e->link_n > 0 && memchr(e->link, '\0', e->link_n)))
		return false;
	return e->link_n > 0 || (e->flags & ENTRY_UNREADABLE);
}

static bool kind_valid(const struct tree_entry *e)
{
	const uint32_t type = e->mode & S_IFMT;

	switch (type) {
	case S_IFREG:
		return content_valid(&e->content) && e->size == e->content.length;
	case S_IFLNK:
		return symlink_valid(e);
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

/* Nothing that belongs to another kind of object, which would be lost without a word. */
static bool kind_alone(const struct tree_entry *e)
{
	const uint32_t type = e->mode & S_IFMT;

	if (type != S_IFREG && e->content.form != CONTENT_EMPTY)
		return false;
	if (type != S_IFLNK && e->link_n > 0)
		return false;
	if (type != S_IFDIR && !chunk_id_is_zero(&e->tree))
		return false;
	return type == S_IFCHR || type == S_IFBLK || e->rdev == 0;
}

static bool scalars_valid(const struct tree_entry *e)
{
	const uint32_t known = FLAGS_STORED | ENTRY_HAS_BTIME;

	return e->mode <= 0xffff && e->mtime.nanoseconds < NS && e->ctime.nanoseconds < NS &&
	       (!(e->flags & ENTRY_HAS_BTIME) || e->btime.nanoseconds < NS) &&
	       (e->flags & ~known) == 0 && (uint32_t)e->consistency <= CONSISTENCY_HOOK &&
	       e->file_system < FILE_SYSTEMS_MAX;
}

bool entry_valid(const struct tree_entry *e, bool alone)
{
	if (!name_valid(e->name, e->name_n) && !(alone && e->name_n == 0))
		return false;
	if (!scalars_valid(e) || !xattrs_valid(e) || !kind_valid(e) || !kind_alone(e))
		return false;
	return e->xattrs_n == 0 || (e->flags & ENTRY_XATTRS_CHUNK) ||
	       xattr_set_check(e->xattrs, e->xattrs_n) == 0;
}

/* ---- writing ---- */

size_t entry_bytes_max(const struct tree_entry *e)
{
	return FIXED_MAX + (size_t)e->name_n + e->link_n + e->xattrs_n + 2ul * 32 +
	       (size_t)e->content.n_pieces * PIECE_BYTES_MAX +
	       (size_t)e->content.n_extents * EXTENT_BYTES_MAX;
}

static uint64_t implied_size(const struct tree_entry *e)
{
	if (S_ISREG(e->mode))
		return e->content.length;
	return S_ISLNK(e->mode) ? e->link_n : 0;
}

static bool times_near(const struct node_time *a, const struct node_time *b)
{
	int64_t seconds;

	return !__builtin_sub_overflow(a->seconds, b->seconds, &seconds) &&
	       seconds <= DELTA_SECONDS_MAX && seconds >= -DELTA_SECONDS_MAX;
}

static uint32_t entry_fields(const struct tree_entry *e)
{
	const bool ctime = e->ctime.seconds != e->mtime.seconds ||
			   e->ctime.nanoseconds != e->mtime.nanoseconds;
	const bool btime = e->flags & ENTRY_HAS_BTIME;
	const bool wide = (ctime && !times_near(&e->ctime, &e->mtime)) ||
			  (btime && !times_near(&e->btime, &e->mtime));
	const bool more = (e->flags & FLAGS_STORED) || e->attribute_flags || e->consistency;

	return (e->uid ? FIELD_UID : 0u) | (e->gid != e->uid ? FIELD_GID : 0u) |
	       (e->nlink != 1 ? FIELD_NLINK : 0u) | (e->file_system ? FIELD_FS : 0u) |
	       (e->size != implied_size(e) ? FIELD_SIZE : 0u) | (ctime ? FIELD_CTIME : 0u) |
	       (btime ? FIELD_BTIME : 0u) | (wide ? FIELD_WIDE : 0u) |
	       (e->xattrs_n ? FIELD_XATTRS : 0u) | (more ? FIELD_MORE : 0u) |
	       (chunk_id_is_zero(&e->tree) ? 0u : FIELD_TREE);
}

static uint8_t *time_put(uint8_t *to, const struct node_time *t, const struct node_time *base,
			 bool wide)
{
	if (!wide)
		return put_zigzag(to, (t->seconds - base->seconds) * NS +
					      ((int64_t)t->nanoseconds - base->nanoseconds));
	return put_u32(put_zigzag(to, t->seconds), t->nanoseconds);
}

static uint8_t *times_put(uint8_t *to, const struct tree_entry *e, uint32_t fields)
{
	to = put_u32(put_zigzag(to, e->mtime.seconds), e->mtime.nanoseconds);
	if (fields & FIELD_CTIME)
		to = time_put(to, &e->ctime, &e->mtime, fields & FIELD_WIDE);
	if (fields & FIELD_BTIME)
		to = time_put(to, &e->btime, &e->mtime, fields & FIELD_WIDE);
	return to;
}

static uint8_t *content_put(uint8_t *to, struct chunk_table *t, const struct content *c)
{
	const struct extent *extents = c->extents;

	if (c->form == CONTENT_EMPTY)
		return put_varint(to, 0);
	if (c->form == CONTENT_LIST) {
		to = put_varint(to, CONTENT_LISTED);
		to = put_bytes(to, c->id.bytes, sizeof(c->id.bytes));
		to = put_bytes(to, c->list.bytes, sizeof(c->list.bytes));
		return put_varint(to, c->length);
	}
	to = put_varint(to, c->n_pieces);
	for (uint32_t i = 0; i < c->n_pieces; i++) {
		to = piece_put(to, t, &c->pieces[i], extents);
		if (!to)
			return NULL;
		extents += c->pieces[i].n_extents;
	}
	if (c->n_pieces > 1 || piece_is_hole(c->pieces))
		to = put_bytes(to, c->id.bytes, sizeof(c->id.bytes));
	return to;
}

static uint8_t *kind_put(uint8_t *to, struct chunk_table *t, const struct tree_entry *e,
			 uint32_t fields)
{
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		return content_put(to, t, &e->content);
	case S_IFLNK:
		return put_bytes(put_varint(to, e->link_n), e->link, e->link_n);
	case S_IFCHR:
	case S_IFBLK:
		return put_varint(put_varint(to, e->rdev >> 32), e->rdev & UINT32_MAX);
	default:
		return fields & FIELD_TREE ? put_bytes(to, e->tree.bytes, sizeof(e->tree.bytes))
					   : to;
	}
}

uint8_t *entry_put(uint8_t *to, struct chunk_table *t, const struct tree_entry *e)
{
	const uint32_t fields = entry_fields(e);

	*to++ = (uint8_t)e->name_n;
	to = put_bytes(to, e->name, e->name_n);
	to = put_u16(to, (uint16_t)e->mode);
	to = put_u16(to, (uint16_t)fields);
	to = put_varint(to, e->ino);
	to = times_put(to, e, fields);
	if (fields & FIELD_UID)
		to = put_varint(to, e->uid);
	if (fields & FIELD_GID)
		to = put_varint(to, e->gid);
	if (fields & FIELD_NLINK)
		to = put_varint(to, e->nlink);
	if (fields & FIELD_FS)
		to = put_varint(to, e->file_system);
	if (fields & FIELD_SIZE)
		to = put_varint(to, e->size);
	if (fields & FIELD_MORE) {
		to = put_varint(to, e->flags & FLAGS_STORED);
		to = put_varint(to, e->attribute_flags);
		*to++ = (uint8_t)e->consistency;
	}
	if (fields & FIELD_XATTRS)
		to = put_bytes(put_varint(to, e->xattrs_n), e->xattrs, e->xattrs_n);
	return kind_put(to, t, e, fields);
}

/* ---- reading ---- */

void entry_decoder_done(struct entry_decoder *d)
{
	if (!d)
		return;
	free(d->pieces);
	free(d->extents);
	*d = (struct entry_decoder){ 0 };
}

static int decoder_reserve(struct entry_decoder *d, size_t n)
{
	struct extent *extents;

	if (!d->pieces) {
		d->pieces = calloc(INLINE_PIECES_MAX, sizeof(*d->pieces));
		if (!d->pieces)
			return -ENOMEM;
	}
	if (n <= d->extents_room)
		return 0;
	extents = realloc(d->extents, n * sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	d->extents = extents;
	d->extents_room = n;
	return 0;
}

static int list_get(struct byte_reader *r, struct content *c)
{
	const uint8_t *ids = get_take(r, 2 * sizeof(struct chunk_id));

	if (!ids)
		return -EUCLEAN;
	c->form = CONTENT_LIST;
	memcpy(&c->id, ids, sizeof(c->id));
	memcpy(&c->list, ids + sizeof(c->id), sizeof(c->list));
	c->length = get_varint(r);
	if (r->bad || c->length == 0 || c->length > INT64_MAX || chunk_id_is_zero(&c->id) ||
	    chunk_id_is_zero(&c->list))
		return -EUCLEAN;
	return 0;
}

static int content_get(struct byte_reader *r, const struct chunk_list *chunks,
		       struct entry_decoder *d, struct content *c)
{
	const uint64_t n = get_varint(r);
	const uint8_t *id;

	if (r->bad || n > CONTENT_LISTED)
		return -EUCLEAN;
	if (n == 0)
		return 0;
	if (n == CONTENT_LISTED)
		return list_get(r, c);
	c->form = CONTENT_INLINE;
	c->n_pieces = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++) {
		int x = decoder_reserve(d, c->n_extents + PIECE_EXTENTS_MAX);

		if (x == 0)
			x = piece_get(r, chunks, &d->pieces[i], d->extents + c->n_extents);
		if (x < 0)
			return x;
		/* Never overflows: each length is at most INT64_MAX, checked in turn. */
		c->length += d->pieces[i].length;
		if (c->length > INT64_MAX)
			return -EUCLEAN;
		c->n_extents += d->pieces[i].n_extents;
	}
	c->pieces = d->pieces;
	c->extents = d->extents;
	c->id = d->pieces[0].id;
	if (n == 1 && !piece_is_hole(d->pieces))
		return 0;
	id = get_take(r, sizeof(c->id));
	if (!id)
		return -EUCLEAN;
	memcpy(&c->id, id, sizeof(c->id));
	return chunk_id_is_zero(&c->id) ? -EUCLEAN : 0;
}

static void time_get(struct byte_reader *r, const struct node_time *base, bool wide,
		     struct node_time *ret_time)
{
	int64_t ns;

	if (wide) {
		ret_time->seconds = get_zigzag(r);
		ret_time->nanoseconds = byte_reader_u32(r);
		r->bad |= ret_time->nanoseconds >= NS;
		return;
	}
	ns = get_zigzag(r);
	ret_time->seconds = ns / NS;
	ns = ns % NS + base->nanoseconds;
	/* Now in (-NS, 2 NS). */
	ret_time->seconds += (ns >= NS) - (ns < 0);
	ns += ns < 0 ? NS : 0;
	ns -= ns >= NS ? NS : 0;
	ret_time->nanoseconds = (uint32_t)ns;
	r->bad |= __builtin_add_overflow(ret_time->seconds, base->seconds, &ret_time->seconds);
}

static void times_get(struct byte_reader *r, uint32_t fields, struct tree_entry *e)
{
	const uint8_t *ns;

	e->mtime.seconds = get_zigzag(r);
	ns = get_take(r, 4);
	e->mtime.nanoseconds = ns ? (uint32_t)(get_u16(ns) | (uint32_t)get_u16(ns + 2) << 16) : 0;
	r->bad |= e->mtime.nanoseconds >= NS;
	e->ctime = e->mtime;
	if (fields & FIELD_CTIME)
		time_get(r, &e->mtime, fields & FIELD_WIDE, &e->ctime);
	if (fields & FIELD_BTIME) {
		time_get(r, &e->mtime, fields & FIELD_WIDE, &e->btime);
		e->flags |= ENTRY_HAS_BTIME;
	}
}

static uint32_t get_number(struct byte_reader *r, uint32_t max)
{
	const uint64_t v = get_varint(r);

	r->bad |= v > max;
	return (uint32_t)v;
}

static void scalars_get(struct byte_reader *r, uint32_t fields, struct tree_entry *e)
{
	e->uid = fields & FIELD_UID ? get_number(r, UINT32_MAX) : 0;
	e->gid = fields & FIELD_GID ? get_number(r, UINT32_MAX) : e->uid;
	e->nlink = fields & FIELD_NLINK ? get_number(r, UINT32_MAX) : 1;
	e->file_system = fields & FIELD_FS ? get_number(r, FILE_SYSTEMS_MAX - 1) : 0;
	e->size = fields & FIELD_SIZE ? get_varint(r) : 0;
	if (fields & FIELD_MORE) {
		const uint32_t flags = get_number(r, UINT32_MAX);

		r->bad |= (flags & ~(uint32_t)FLAGS_STORED) != 0;
		e->flags |= flags;
		e->attribute_flags = get_number(r, UINT32_MAX);
		e->consistency = (enum consistency)get_number(r, CONSISTENCY_HOOK);
	}
	if (fields & FIELD_XATTRS) {
		e->xattrs_n = get_number(r, XATTR_INLINE_MAX);
		e->xattrs = get_take(r, e->xattrs_n);
		r->bad |= e->xattrs_n == 0;
	}
}

static int kind_get(struct byte_reader *r, const struct chunk_list *chunks, uint32_t fields,
		    struct entry_decoder *d, struct tree_entry *e)
{
	const uint32_t type = e->mode & S_IFMT;
	const uint8_t *tree;

	if (type == S_IFREG)
		return content_get(r, chunks, d, &e->content);
	if (type == S_IFLNK) {
		e->link_n = get_number(r, LINK_BYTES_MAX);
		e->link = (const char *)get_take(r, e->link_n);
		return !r->bad && symlink_valid(e) ? 0 : -EUCLEAN;
	}
	if (type == S_IFCHR || type == S_IFBLK) {
		e->rdev = (uint64_t)get_number(r, UINT32_MAX) << 32;
		e->rdev |= get_number(r, UINT32_MAX);
		return 0;
	}
	if (type == S_IFDIR && (fields & FIELD_TREE)) {
		tree = get_take(r, sizeof(e->tree));
		if (!tree)
			return -EUCLEAN;
		memcpy(&e->tree, tree, sizeof(e->tree));
		return 0;
	}
	return type == S_IFDIR || type == S_IFIFO || type == S_IFSOCK ? 0 : -EUCLEAN;
}

int entry_get(const uint8_t *data, size_t n, const struct chunk_list *chunks, bool alone,
	      struct entry_decoder *d, struct tree_entry *ret_entry)
{
	struct byte_reader r = byte_reader_make(data, n);
	struct tree_entry *e = ret_entry;
	const uint8_t *fixed;
	uint32_t fields;
	int x;

	if (n == 0)
		return -EUCLEAN;
	memset(e, 0, sizeof(*e));
	e->name_n = *get_take(&r, 1);
	e->name = (const char *)get_take(&r, e->name_n);
	fixed = get_take(&r, 4);
	if (!e->name || !fixed || (!name_valid(e->name, e->name_n) && !(alone && e->name_n == 0)))
		return -EUCLEAN;
	e->mode = get_u16(fixed);
	fields = get_u16(fixed + 2);
	e->ino = get_varint(&r);
	times_get(&r, fields, e);
	scalars_get(&r, fields, e);
	if (r.bad || (fields & ~FIELDS_ALL) || ((fields & FIELD_TREE) && !S_ISDIR(e->mode)))
		return -EUCLEAN;
	x = kind_get(&r, chunks, fields, d, e);
	if (x < 0)
		return x;
	if (!byte_reader_done(&r) || !xattrs_valid(e) ||
	    (S_ISREG(e->mode) && (fields & FIELD_SIZE)))
		return -EUCLEAN;
	if (!(fields & FIELD_SIZE))
		e->size = implied_size(e);
	return 0;
}

int tree_entry_encode(struct byte_buf *to, const struct tree_entry *entry)
{
	struct chunk_table table = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };
	uint8_t *at, *end;

	if (!entry_valid(entry, true))
		return -EINVAL;
	at = byte_buf_reserve(&body, entry_bytes_max(entry));
	end = at ? entry_put(at, &table, entry) : NULL;
	if (end) {
		byte_buf_u8(to, NODE_FORMAT);
		byte_buf_varint(to, table.n);
		byte_buf_append(to, table.ids, (size_t)table.n * sizeof(*table.ids));
		byte_buf_append(to, at, (size_t)(end - at));
	}
	chunk_table_done(&table);
	return end && !to->failed ? 0 : -ENOMEM;
}

int tree_entry_decode(const void *data, size_t n, struct entry_decoder *d,
		      struct tree_entry *ret_entry)
{
	struct byte_reader r = byte_reader_make(data, n);
	struct chunk_list chunks;
	int x;

	if (byte_reader_u8(&r) != NODE_FORMAT)
		return -EUCLEAN;
	chunks.n = (uint32_t)byte_reader_varint_max(&r, NODE_BYTES_MAX / 32);
	chunks.ids = byte_reader_take(&r, (size_t)chunks.n * sizeof(struct chunk_id));
	if (r.bad)
		return -EUCLEAN;
	x = entry_get(r.at, byte_reader_left(&r), &chunks, true, d, ret_entry);
	if (x < 0)
		return x;
	return entry_valid(ret_entry, true) ? 0 : -EUCLEAN;
}
