/* SPDX-License-Identifier: MIT */
#include "fs/view_tree.h"
#include "snapshots/xattr_set.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- what was captured ---- */

/* The encoded set of an entry; with a pin, when it lies in a chunk of its own.
 */
struct set_lease {
	const uint8_t *data;
	size_t n;
	struct chunk_pin pin;
};

static int open_set(struct view *v, const struct tree_entry *entry, struct set_lease *ret_set)
{
	struct chunk_id id;
	int r;

	*ret_set = (struct set_lease){ .data = entry->xattrs, .n = entry->xattrs_n };
	if (!(entry->flags & ENTRY_XATTRS_CHUNK))
		return 0;
	if (entry->xattrs_n != sizeof(id))
		return -EUCLEAN;
	memcpy(&id, entry->xattrs, sizeof(id));
	r = chunk_cache_get(v->cache, &id, OBJECT_DATA, &ret_set->pin);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	ret_set->data = ret_set->pin.data;
	ret_set->n = ret_set->pin.n;
	return 0;
}

static int captured_xattr(struct view *v, const struct tree_entry *entry, const char *name,
			  struct byte_buf *to)
{
	const uint8_t *value;
	struct set_lease set;
	size_t n;
	int r;

	r = open_set(v, entry, &set);
	if (r < 0)
		return r;
	r = set.n ? xattr_set_find(set.data, set.n, name, &value, &n) : -ENOENT;
	if (r >= 0)
		byte_buf_append(to, value, n);
	chunk_cache_unpin(v->cache, &set.pin);
	if (r != -ENOENT)
		return r;
	/* ls(1) then asks no other file of this mount: a request less for each. */
	return strcmp(name, "security.selinux") == 0 ? -EOPNOTSUPP : -ENODATA;
}

/* ---- what yore knows: answered by name, never listed ---- */

static void append_text(struct byte_buf *to, const char *text)
{
	byte_buf_append(to, text, strlen(text));
}

static int consistency_xattr(const struct tree_entry *entry, struct byte_buf *to)
{
	append_text(to, entry->flags & ENTRY_UNREADABLE ? "unreadable"
							: consistency_name(entry->consistency));
	return 0;
}

static int btime_xattr(const struct tree_entry *entry, struct byte_buf *to)
{
	time_t seconds = (time_t)entry->btime.seconds;
	char day[32], text[64];
	struct tm tm;

	if (!(entry->flags & ENTRY_HAS_BTIME))
		return -ENODATA;
	if (!gmtime_r(&seconds, &tm) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
		return -EUCLEAN;
	(void)snprintf(text, sizeof(text), "%s.%09" PRIu32 "Z", day, entry->btime.nanoseconds);
	append_text(to, text);
	return 0;
}

/* Letters as lsattr(1) prints them. */
static int flags_xattr(const struct tree_entry *entry, struct byte_buf *to)
{
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = {
		{ FS_SECRM_FL, 's' },       { FS_UNRM_FL, 'u' },         { FS_SYNC_FL, 'S' },
		{ FS_DIRSYNC_FL, 'D' },     { FS_IMMUTABLE_FL, 'i' },    { FS_APPEND_FL, 'a' },
		{ FS_NODUMP_FL, 'd' },      { FS_NOATIME_FL, 'A' },      { FS_COMPR_FL, 'c' },
		{ FS_ENCRYPT_FL, 'E' },     { FS_JOURNAL_DATA_FL, 'j' }, { FS_INDEX_FL, 'I' },
		{ FS_NOTAIL_FL, 't' },      { FS_TOPDIR_FL, 'T' },       { FS_EXTENT_FL, 'e' },
		{ FS_NOCOW_FL, 'C' },       { FS_DAX_FL, 'x' },          { FS_CASEFOLD_FL, 'F' },
		{ FS_INLINE_DATA_FL, 'N' }, { FS_PROJINHERIT_FL, 'P' },  { FS_VERITY_FL, 'V' },
		{ FS_NOCOMP_FL, 'm' },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++)
		if (entry->attribute_flags & letters[i].flag)
			byte_buf_append(to, &letters[i].letter, 1);
	return 0;
}

static int id_xattr(const struct tree_entry *entry, struct byte_buf *to)
{
	char text[2 * sizeof(entry->content.id) + 1];

	if (!S_ISREG(entry->mode))
		return -ENODATA;
	append_text(to, bytes_to_hex(&entry->content.id, sizeof(entry->content.id), text));
	return 0;
}

static int own_xattr(const struct tree_entry *entry, const char *name, struct byte_buf *to)
{
	static const struct {
		const char *name;
		int (*answer)(const struct tree_entry *entry, struct byte_buf *to);
	} own[] = {
		{ "consistency", consistency_xattr },
		{ "btime", btime_xattr },
		{ "flags", flags_xattr },
		{ "id", id_xattr },
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strcmp(name, own[i].name) == 0)
			return own[i].answer(entry, to);
	return -ENODATA;
}

/* Of a snapshot's root: what only those above know. */
static int snapshot_xattr(struct view *v, uint64_t key, const char *name, struct byte_buf *to)
{
	CLEANUP(free_ptr) char *value = NULL;
	struct snapshot_info info;

	if (!v->snapshot_xattr || key_host(key) != HOST_SHOWN ||
	    timeline_get(v->timeline, key_seq(key), &info) < 0)
		return -ENODATA;
	value = v->snapshot_xattr(v->snapshot_xattr_context, &info, name);
	if (!value)
		return -ENODATA;
	append_text(to, value);
	return 0;
}

/* ---- both ---- */

int view_tree_xattr(struct view *v, uint64_t node, const char *name, struct byte_buf *to)
{
	static const char prefix[] = "user.yore.";
	CLEANUP(entry_lease_done) struct entry_lease lease;
	int r;

	r = entry_lease_open(v, node, &lease);
	if (r < 0)
		return r;
	if (lease.snapshot && strcmp(name, "user.yore.consistency") == 0)
		append_text(to, consistency_name(open_snapshot_consistency(lease.snapshot)));
	else if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		r = own_xattr(&lease.entry, name + sizeof(prefix) - 1, to);
	else
		r = captured_xattr(v, &lease.entry, name, to);
	if (r == -ENODATA && lease.snapshot && strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		r = snapshot_xattr(v, open_snapshot_key(lease.snapshot), name + sizeof(prefix) - 1,
				   to);
	return r < 0 ? r : to->failed ? -ENOMEM : 0;
}

int view_tree_xattr_names(struct view *v, uint64_t node, struct byte_buf *to)
{
	CLEANUP(entry_lease_done) struct entry_lease lease;
	const uint8_t *value;
	struct set_lease set;
	size_t position = 0, n;
	const char *name;
	int r;

	r = entry_lease_open(v, node, &lease);
	if (r < 0)
		return r;
	r = open_set(v, &lease.entry, &set);
	if (r < 0)
		return r;
	while (set.n && (r = xattr_set_next(set.data, set.n, &position, &name, &value, &n)) > 0)
		byte_buf_append(to, name, strlen(name) + 1);
	chunk_cache_unpin(v->cache, &set.pin);
	return r < 0 ? r : to->failed ? -ENOMEM : 0;
}
