/* SPDX-License-Identifier: MIT */
#include "fs/view.h"

#include "fs/control_files.h"
#include "fs/name_batch.h"
#include "fs/spot_table.h"
#include "fs/trail_pool.h"
#include "fs/view_hosts.h"
#include "fs/view_root.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BLOCK 512u
#define NS_PER_SECOND 1000000000

/* The kernel asks for up to 1 MiB at a time, twice in a row. */
static const struct read_ahead_limits FILE_LIMITS = {
	.slack = MIB(2),
	.min = MIB(1),
	.max = MIB(4),
};
/* Entries: readers skip some (directories, links), and a bundle holds dozens. */
static const struct read_ahead_limits SCAN_LIMITS = {
	.slack = 64,
	.min = 32,
	.max = 256,
};

uint64_t view_timeline_state(struct timeline *t)
{
	uint64_t count, seq = 0;
	uint32_t suffix;
	int64_t time_ns;

	if (timeline_count(t, &count) < 0)
		return 0;
	if (count > 0 && timeline_at(t, count - 1, &seq, &time_ns, &suffix) < 0)
		seq = 0;
	return seq << 32 ^ count;
}

int view_new(struct timeline *t, struct chunk_cache *cache, char *(*status_json)(void *context),
	     void *context, struct view **ret_view)
{
	CLEANUP(view_free_ptr) struct view *v = NULL;
	const struct key_ring *keys = store_keys(timeline_store(t));
	int r;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->timeline = t;
	v->cache = cache;
	memcpy(v->ino_key, key_ring_get(keys, KEY_PLACEMENT), sizeof(v->ino_key));
	v->uid = getuid();
	v->gid = getgid();

	r = node_table_new(&v->nodes);
	if (r >= 0)
		r = reader_pool_new(cache, &v->readers);
	if (r >= 0)
		r = read_ahead_new(&FILE_LIMITS, &v->file_ahead);
	if (r >= 0)
		r = read_ahead_new(&SCAN_LIMITS, &v->scan_ahead);
	if (r >= 0)
		r = view_hosts_new(t, &v->hosts, &v->shown);
	if (r >= 0)
		r = spot_table_new(&v->spots);
	if (r >= 0)
		r = trail_pool_new(&v->trails);
	if (r >= 0)
		r = name_pool_new(&v->names);
	if (r >= 0)
		r = control_files_new(v, status_json, context, &v->control);
	if (r < 0)
		return r;
	*ret_view = STEAL(v);
	return 0;
}

void view_free(struct view *v)
{
	if (!v)
		return;
	control_files_free(v->control);
	name_pool_free(v->names);
	trail_pool_free(v->trails);
	spot_table_free(v->spots);
	read_ahead_free(v->scan_ahead);
	read_ahead_free(v->file_ahead);
	reader_pool_free(v->readers);
	node_table_free(v->nodes);
	view_hosts_free(v->hosts);
	crypto_wipe(v->ino_key, sizeof(v->ino_key));
	free(v);
}

void view_changed(struct view_host *h)
{
	atomic_store_explicit(&h->changed_ns, clock_now_ns(), memory_order_relaxed);
	day_list_forget(h->days);
	(void)atomic_fetch_add(&h->version, 1);
}

void view_refresh(struct view_host *h)
{
	bool changed = timeline_refresh(h->timeline) > 0;
	uint64_t state = view_timeline_state(h->timeline);

	/* Whoever uses the same timeline object may have refreshed it already. */
	if (atomic_exchange(&h->state, state) != state || changed)
		view_changed(h);
}

static uint8_t *put_u64(uint8_t *to, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*to++ = (uint8_t)(value >> 8 * i);
	return to;
}

/* Numbers below 16 are taken, or mean something, in one program or another. */
static uint64_t usable(uint64_t ino)
{
	return ino < 16 ? ino + 16 : ino;
}

uint64_t view_ino_of_name(const struct view *v, uint64_t parent_ino, const char *name, size_t n)
{
	uint8_t text[1 + 8 + NAME_BYTES_MAX];

	if (n > NAME_BYTES_MAX)
		n = NAME_BYTES_MAX;
	text[0] = 'n';
	(void)put_u64(text + 1, parent_ino);
	memcpy(text + 9, name, n);
	return usable(crypto_short_hash(v->ino_key, text, 9 + n));
}

uint64_t view_ino(const struct view *v, uint64_t key, uint64_t parent_ino,
		  const struct tree_entry *entry)
{
	uint8_t text[1 + HOST_ID_BYTES + 3 * 8];
	const struct view_host *host = view_host(v, key_host(key));
	uint8_t *to = text;

	/* Made up on the way to a source: no inode of its own. */
	if (entry->ino == 0)
		return view_ino_of_name(v, parent_ino ^ key, entry->name, entry->name_n);
	*to++ = 'i';
	memcpy(to, host->id.bytes, HOST_ID_BYTES);
	to = put_u64(to + HOST_ID_BYTES, key_seq(key));
	to = put_u64(to, entry->file_system);
	(void)put_u64(to, entry->ino);
	return usable(crypto_short_hash(v->ino_key, text, sizeof(text)));
}

/*
 * Blocks as the source had them, nearly: programs look only whether there are
 * fewer than the size needs, and then ask for the holes.
 */
static uint64_t blocks_of(const struct tree_entry *entry)
{
	uint64_t full = entry->size / BLOCK + (entry->size % BLOCK != 0);
	uint64_t bytes = 0;

	if (!S_ISREG(entry->mode) || !(entry->flags & ENTRY_SPARSE) || full == 0)
		return full;
	if (entry->content.form == CONTENT_LIST)
		return full - 1;
	for (uint32_t i = 0; i < entry->content.n_pieces; i++)
		bytes += piece_is_hole(&entry->content.pieces[i]) ? 0
								  : entry->content.pieces[i].length;
	bytes = bytes / BLOCK + (bytes % BLOCK != 0);
	return bytes < full ? bytes : full - 1;
}

void view_stat(const struct view *v, const struct tree_entry *entry, uint64_t ino,
	       struct stat *ret_st)
{
	(void)v;
	*ret_st = (struct stat){
		.st_ino = ino,
		.st_mode = entry->mode,
		.st_nlink = entry->nlink ? entry->nlink : 1,
		.st_uid = entry->uid,
		.st_gid = entry->gid,
		.st_size = (off_t)entry->size,
		.st_blocks = (blkcnt_t)blocks_of(entry),
		.st_blksize = 4096,
		.st_mtim = { .tv_sec = entry->mtime.seconds,
			     .tv_nsec = (long)entry->mtime.nanoseconds },
		.st_ctim = { .tv_sec = entry->ctime.seconds,
			     .tv_nsec = (long)entry->ctime.nanoseconds },
	};
	ret_st->st_atim = ret_st->st_mtim;
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
		ret_st->st_rdev =
			makedev((unsigned int)(entry->rdev >> 32), (unsigned int)entry->rdev);
}

void view_stat_own(const struct view *v, mode_t mode, uint64_t ino, uint64_t size, int64_t time_ns,
		   struct stat *ret_st)
{
	/* One link of a folder: "not counted", so that nobody infers the number of folders in it.
	 */
	*ret_st = (struct stat){
		.st_ino = ino,
		.st_mode = mode,
		.st_nlink = 1,
		.st_uid = v->uid,
		.st_gid = v->gid,
		.st_size = (off_t)size,
		.st_blocks = (blkcnt_t)(size / BLOCK + (size % BLOCK != 0)),
		.st_blksize = 4096,
		.st_mtim = { .tv_sec = time_ns / NS_PER_SECOND,
			     .tv_nsec = (long)(time_ns % NS_PER_SECOND) },
	};
	ret_st->st_atim = ret_st->st_mtim;
	ret_st->st_ctim = ret_st->st_mtim;
}
