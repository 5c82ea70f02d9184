/* SPDX-License-Identifier: MIT */
/*
 * .deleted: what was in some snapshot and is not in the newest one, as it last
 * was; and the folders that lead there. A folder that still is there is listed
 * if something below it is gone; whoever knows its name gets it anyway, and
 * finds it empty: nothing was deleted there.
 */
#include "fs/trail_pool.h"
#include "fs/view_spots.h"

#include <errno.h>
#include <string.h>

#define KNOWN 1024u

int view_deleted_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
			const char *name, struct node_info *ret_info)
{
	struct spot_found found;
	int r;

	r = spot_resolve(v, h, parent->path, name, false, &found);
	if (r < 0)
		return r;
	/* A file that still is there is not deleted; what it may have been before as a folder is.
	 */
	if (S_ISDIR(found.st.st_mode) || found.is_latest)
		return spot_enter_described(v, h, parent, name, ret_info);
	return spot_enter_file(v, h, found.seq, parent->path, name, ret_info);
}

struct fill {
	struct view *v;
	const struct view_host *h;
	const struct spot *spot;
	struct name_batch *batch;
	uint64_t known[KNOWN]; /* some of the names that are in the batch already */
};

static bool wants(void *context, const char *name, uint32_t n)
{
	struct fill *f = context;
	const uint64_t cookie = name_cookie(f->v, name, n);

	return name_batch_wants(f->batch, cookie) && f->known[cookie % KNOWN] != cookie;
}

static int add_entry(void *context, const struct tree_entry *entry, uint64_t seq)
{
	struct fill *f = context;
	const uint64_t cookie = name_cookie(f->v, entry->name, entry->name_n);
	uint64_t ino;

	if (!name_batch_wants(f->batch, cookie))
		return 0;
	if (S_ISDIR(entry->mode))
		ino = view_ino_of_name(f->v, f->spot->ino, entry->name, entry->name_n);
	else
		ino = view_ino(f->v, snapshot_key(f->h->number, seq), 0, entry);
	f->known[cookie % KNOWN] = cookie;
	return name_batch_add(f->batch, cookie, entry->name, entry->name_n, entry->mode & S_IFMT,
			      ino);
}

int view_deleted_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		      struct name_batch *batch)
{
	static const struct gone_visitor visitor = { .wants = wants, .visit = add_entry };
	CLEANUP(trail_release) struct trail_lease trail = { 0 };
	struct fill f = { .v = v, .h = h, .spot = spot, .batch = batch };
	int r = trail_take(v, h, spot->path, &trail);

	return r < 0 ? r : versions_each_gone(trail.versions, &visitor, &f);
}
