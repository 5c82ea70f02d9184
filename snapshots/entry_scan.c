/* SPDX-License-Identifier: MIT */
/*
 * entry_scan: what one name in a folder is now, beside what the last snapshot
 * knows of it: unchanged, to be read, to be entered, or to be left out.
 */
#include "snapshots/capture_internal.h"
#include "snapshots/frozen_source.h"
#include "snapshots/xattr_set.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Is this entry certainly what the last snapshot saw? */
static bool entry_unchanged(const struct capture *c, const struct tree_entry *now,
			    const struct tree_entry *old)
{
	return (now->mode & S_IFMT) == (old->mode & S_IFMT) && now->ino == old->ino &&
	       now->size == old->size && now->file_system == old->file_system &&
	       node_time_equal(&now->mtime, &old->mtime) &&
	       node_time_equal(&now->ctime, &old->ctime) && node_time_certain(c, &now->mtime) &&
	       node_time_certain(c, &now->ctime) &&
	       !(old->flags & (ENTRY_UNREADABLE | ENTRY_PLACEHOLDER)) &&
	       old->consistency != CONSISTENCY_SMEARED;
}

/* Copy what an old entry borrows from its node into the segment's memory. */
static int keep_old_parts(struct arena *a, struct tree_entry *e)
{
	const struct content *k = &e->content;
	bool ok = true;

	if (e->xattrs_n)
		ok = (e->xattrs = arena_copy(a, e->xattrs, e->xattrs_n)) != NULL;
	if (ok && e->link_n)
		ok = (e->link = arena_copy(a, e->link, e->link_n)) != NULL;
	if (ok && k->n_pieces)
		ok = (e->content.pieces =
			      arena_copy(a, k->pieces, k->n_pieces * sizeof(*k->pieces))) != NULL;
	if (ok && k->n_extents)
		ok = (e->content.extents = arena_copy(a, k->extents,
						      k->n_extents * sizeof(*k->extents))) != NULL;
	return ok ? 0 : -ENOMEM;
}

static bool chunk_usable(struct worker *w, const struct chunk_id *id)
{
	return store_writer_has(w->capture->writer, id) == 1;
}

/* May what an unchanged file lies in still be relied on? The pieces of long lists are asked one by
 * one too. */
static bool content_usable(struct worker *w, const struct tree_entry *e)
{
	const struct content *k = &e->content;
	struct chunk_id xattrs;
	struct piece_view v;
	bool usable = true;
	int r;

	if (!w->capture->check_chunks)
		return true;
	if (e->flags & ENTRY_XATTRS_CHUNK) {
		memcpy(xattrs.bytes, e->xattrs, sizeof(xattrs.bytes));
		usable = chunk_usable(w, &xattrs);
	}
	if (k->form == CONTENT_EMPTY || !usable)
		return usable;
	if (k->form == CONTENT_LIST && !chunk_usable(w, &k->list))
		return false;
	r = content_reader_set(w->old_content, k);
	while (r == 0 && usable && (r = content_reader_next(w->old_content, &v)) == 1) {
		r = 0;
		for (uint32_t i = 0; i < v.piece.n_extents && usable; i++)
			usable = chunk_usable(w, &v.extents[i].chunk);
	}
	return r == 0 && usable;
}

/* Attributes of what is neither folder nor regular file, through an O_PATH descriptor. */
static int other_attributes(struct worker *w, struct segment *s, struct item *item)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	char path[64];
	int r;

	fd = openat(s->folder->fd, item->entry.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	byte_buf_clear(&w->scratch);
	r = xattr_set_read(-1, path, true, &w->scratch);
	if (r < 0 || w->scratch.n == 0)
		return r == -ENOTSUP || r == -EPERM ? 0 : r;
	item->entry.xattrs = arena_copy(&s->arena, w->scratch.data, w->scratch.n);
	item->entry.xattrs_n = (uint32_t)w->scratch.n;
	return item->entry.xattrs ? 0 : -ENOMEM;
}

static int scan_other(struct worker *w, struct segment *s, struct item *item)
{
	struct tree_entry *e = &item->entry;
	char target[LINK_BYTES_MAX + 1];
	ssize_t n;
	int r = other_attributes(w, s, item);

	if (r < 0)
		return r;
	if (!S_ISLNK(e->mode))
		return 0;
	n = readlinkat(s->folder->fd, e->name, target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == 0 || n > LINK_BYTES_MAX)
		return -ENAMETOOLONG;
	e->link = arena_copy(&s->arena, target, (size_t)n);
	e->link_n = (uint32_t)n;
	e->size = (uint64_t)n;
	return e->link ? 0 : -ENOMEM;
}

static int scan_folder(struct worker *w, struct segment *s, struct item *item,
		       const struct tree_entry *old)
{
	struct folder *child = folder_new(w->capture, s->folder, item->entry.name);

	if (!child)
		return -ENOMEM;
	child->self = item->entry;
	if (old && S_ISDIR(old->mode)) {
		child->has_old = true;
		child->old = *old;
		child->old.name = NULL;
		if (old->xattrs_n) {
			child->old_xattrs = malloc(old->xattrs_n);
			if (!child->old_xattrs)
				return -ENOMEM;
			memcpy(child->old_xattrs, old->xattrs, old->xattrs_n);
		}
	}
	item->kind = ITEM_FOLDER;
	item->child = child;
	child->hint = item->hint;
	if (!item->dirty || (item->dirty->flags & DIRTY_DEEP) || !child->has_old ||
	    (child->old.flags & (ENTRY_UNREADABLE | ENTRY_PLACEHOLDER)))
		return 0;
	child->mode = item->dirty->flags & DIRTY_LIST ? FOLDER_LIST : FOLDER_NAMES;
	child->dirty = item->dirty;
	return 0;
}

/* Was it written to and closed? Then its contents may differ though its attributes do not. */
static bool was_closed(const struct capture *c, const struct item *item, const struct statx *sx)
{
	if (item->hint && (item->hint->flags & DIRTY_CLOSED))
		return true;
	return c->closed_links && sx->stx_nlink > 1 &&
	       link_set_has(c->closed_links, statx_device(sx), sx->stx_ino);
}

/* An unchanged file: all as it was. */
static int take_over(struct segment *s, struct item *item, const struct tree_entry *old)
{
	const char *name = item->entry.name;
	uint32_t name_n = item->entry.name_n;
	uint32_t nlink = item->entry.nlink;

	item->entry = *old;
	item->entry.name = name;
	item->entry.name_n = name_n;
	item->entry.nlink = nlink;
	return keep_old_parts(&s->arena, &item->entry);
}

/* Have the last known state of a file that is read at hand. */
static int keep_old(struct segment *s, struct item *item, const struct tree_entry *old)
{
	struct tree_entry *copy = arena_copy(&s->arena, old, sizeof(*old));

	if (!copy || keep_old_parts(&s->arena, copy) < 0)
		return -ENOMEM;
	item->old = copy;
	return 0;
}

static int scan_file(struct worker *w, struct segment *s, struct item *item, const struct statx *sx,
		     const struct tree_entry *old)
{
	struct capture *c = w->capture;

	if (item->was_file && entry_unchanged(c, &item->entry, old) && content_usable(w, old)) {
		if (!was_closed(c, item, sx))
			return take_over(s, item, old);
		item->equal = true;
	}
	if (item->was_file && keep_old(s, item, old) < 0)
		return -ENOMEM;
	item->kind = ITEM_FILE;
	if (sx->stx_nlink > 1) {
		item->job = inode_table_find(c, statx_device(sx), sx->stx_ino);
		if (item->job)
			return 0;
	}
	item->job = file_job_new(s->folder, item->entry.name, &item->entry, statx_device(sx),
				 item->old ? &item->old->content : NULL);
	if (!item->job)
		return -ENOMEM;
	item->owns_job = true;
	return sx->stx_nlink > 1 ? inode_table_enter(c, statx_device(sx), sx->stx_ino, item->job)
				 : 0;
}

/* A folder of ours, in which frozen copies are made? Nobody but root can have made it so. */
static bool is_frozen_folder(struct capture *c, const struct folder *f, const char *name,
			     const struct statx *sx)
{
	if (strcmp(name, FROZEN_FOLDER) != 0 || sx->stx_uid != 0 ||
	    (sx->stx_mode & 07777) != FROZEN_FOLDER_MODE)
		return false;
	LOCK_SCOPE(&c->lock);
	return c->file_systems[f->file_system].type == BTRFS_SUPER_MAGIC;
}

/* Is it left out: by pattern, or because it is the repository or a mount of ours? */
static bool left_out(struct worker *w, struct segment *s, const char *name, const struct statx *sx)
{
	struct capture *c = w->capture;
	dev_t device = statx_device(sx);

	if (S_ISDIR(sx->stx_mode)) {
		if (device == c->repository_device && sx->stx_ino == c->repository_inode)
			return true;
		for (size_t i = 0; i < c->n_skipped_devices; i++)
			if (device == c->skipped_devices[i])
				return true;
		if (is_frozen_folder(c, s->folder, name, sx))
			return true;
	}
	if (!c->excludes || !s->folder->parent) /* the source's root itself is never left out */
		return false;
	byte_buf_clear(&w->scratch);
	byte_buf_append(&w->scratch, s->folder->path, strlen(s->folder->path));
	if (*s->folder->path)
		byte_buf_u8(&w->scratch, '/');
	byte_buf_append(&w->scratch, name, strlen(name) + 1);
	return !w->scratch.failed &&
	       exclude_match(c->excludes, (char *)w->scratch.data, S_ISDIR(sx->stx_mode)) == 1;
}

static void count_met(struct capture *c, const struct tree_entry *e)
{
	struct capture_progress *p = c->progress;

	if (S_ISREG(e->mode)) {
		atomic_fetch_add_explicit(&p->files, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&p->bytes, e->size, memory_order_relaxed);
	} else if (!S_ISDIR(e->mode)) {
		atomic_fetch_add_explicit(&p->others, 1, memory_order_relaxed);
	}
}

/* The old entry of that name, from a reader that goes along in order. NULL: none. */
const struct tree_entry *entry_scan_old(struct worker *w, const char *name, uint32_t n,
					struct tree_entry *at, bool *have)
{
	for (;;) {
		int order, r;

		if (!*have) {
			r = tree_reader_next(w->old, at);
			if (r < 0)
				atomic_store(&w->capture->old_lost, true);
			if (r != 1)
				return NULL;
		}
		*have = true;
		order = name_compare(at->name, at->name_n, name, n);
		if (order >= 0)
			return order == 0 ? at : NULL;
		*have = false;
	}
}

/* What to do about an entry that cannot be read: keep its last state, or leave it out. */
static int keep_last(struct worker *w, struct segment *s, struct item *item,
		     const struct tree_entry *old, int error)
{
	const char *name = item->entry.name;
	uint32_t name_n = item->entry.name_n;

	if (error == -ENOENT) { /* deleted since the names were read */
		item->kind = ITEM_GONE;
		return 0;
	}
	capture_problem(w->capture, s->folder, name, "cannot be read", -error);
	if (!old) {
		item->kind = ITEM_GONE;
		return 0;
	}
	item->entry = *old;
	item->entry.name = name;
	item->entry.name_n = name_n;
	item->entry.flags |= ENTRY_UNREADABLE;
	item->kind = ITEM_DONE;
	atomic_store(&w->capture->unverified, true);
	return keep_old_parts(&s->arena, &item->entry);
}

int entry_scan(struct worker *w, struct segment *s, struct item *item, const struct tree_entry *old)
{
	struct folder *f = s->folder;
	const char *name = item->entry.name;
	uint32_t name_n = item->entry.name_n;
	struct statx sx;
	int r;

	item->kind = ITEM_DONE;
	if (statx(f->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, &sx) < 0)
		return keep_last(w, s, item, old, -errno);
	if (left_out(w, s, name, &sx)) {
		if (w->capture->dirty && !S_ISDIR(sx.stx_mode) && sx.stx_nlink > 1)
			capture_want_whole(w->capture, "a file with several names changed");
		item->kind = ITEM_GONE;
		return 0;
	}
	entry_from_statx(&sx, &item->entry);
	item->entry.name = name;
	item->entry.name_n = name_n;
	item->entry.file_system = f->file_system;
	count_met(w->capture, &item->entry);
	if (S_ISDIR(sx.stx_mode))
		return scan_folder(w, s, item, old);
	if (S_ISREG(sx.stx_mode))
		return scan_file(w, s, item, &sx, old);
	if (old && entry_unchanged(w->capture, &item->entry, old)) {
		item->entry.xattrs = old->xattrs;
		item->entry.xattrs_n = old->xattrs_n;
		item->entry.flags |= old->flags & ENTRY_XATTRS_CHUNK;
		item->entry.link = old->link;
		item->entry.link_n = old->link_n;
		return keep_old_parts(&s->arena, &item->entry);
	}
	r = scan_other(w, s, item);
	return r < 0 && r != -ENOMEM ? keep_last(w, s, item, old, r) : r;
}
