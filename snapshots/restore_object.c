/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void restore_temporary(struct restore *run, char to[static TEMPORARY_BYTES])
{
	const uint64_t number = run->temporary_seed + atomic_fetch_add(&run->temporary_next, 1);

	(void)snprintf(to, TEMPORARY_BYTES, ".yore-%016llx", (unsigned long long)number);
}

int restore_clear_way(struct restore_thread *t, const struct restore_item *item,
		      const struct stat *there)
{
	if (!S_ISDIR(there->st_mode))
		return 0; /* a rename replaces it */
	if (!t->run->options->delete_extra)
		return -EISDIR;
	if (t->run->options->dry_run) {
		restore_plan(t->run, item->dir, item->entry.name, "delete");
		return 0;
	}
	return restore_remove(item->dir->fd, item->entry.name);
}

static dev_t device_of(const struct tree_entry *entry)
{
	return makedev((unsigned int)(entry->rdev >> 32), (unsigned int)entry->rdev);
}

/* Is this symlink, device, FIFO or socket what the entry says, attributes aside? */
static bool is_equal(const struct restore_item *item, const struct stat *there)
{
	const struct tree_entry *entry = &item->entry;
	char target[PATH_MAX];
	ssize_t n;

	if ((there->st_mode & S_IFMT) != (entry->mode & S_IFMT))
		return false;
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
		return there->st_rdev == device_of(entry);
	if (!S_ISLNK(entry->mode))
		return true;
	n = readlinkat(item->dir->fd, entry->name, target, sizeof(target));
	return n >= 0 && (size_t)n == entry->link_n && memcmp(target, entry->link, (size_t)n) == 0;
}

static int make_as(const struct restore_item *item, const char *name)
{
	const struct tree_entry *entry = &item->entry;
	int r;

	if (S_ISLNK(entry->mode))
		r = symlinkat(entry->link, item->dir->fd, name);
	else
		r = mknodat(item->dir->fd, name, (entry->mode & S_IFMT) | 0600, device_of(entry));
	return r < 0 ? -errno : 0;
}

/* Over what is there: by rename, so that the name is never missing. */
static int make_over(struct restore_thread *t, const struct restore_item *item,
		     const struct stat *there)
{
	char temporary[TEMPORARY_BYTES];
	int r;

	restore_temporary(t->run, temporary);
	r = make_as(item, temporary);
	if (r < 0)
		return r;
	r = restore_clear_way(t, item, there);
	if (r == 0 && renameat(item->dir->fd, temporary, item->dir->fd, item->entry.name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(item->dir->fd, temporary, 0);
	return r;
}

/* Symlinks, devices, FIFOs and sockets: no contents, so they are made whole. */
static int restore_special(struct restore_thread *t, const struct restore_item *item,
			   const struct stat *there, struct stat *ret_made)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	struct restore_handle h = { .located = true, .dir = item->dir, .name = item->entry.name };
	const bool fresh = !there || !is_equal(item, there);
	int r = 0;

	if (t->run->options->dry_run) {
		if (fresh && there)
			r = restore_clear_way(t, item, there);
		if (fresh && r == 0)
			restore_plan(t->run, item->dir, h.name, "write");
		*ret_made = there ? *there : (struct stat){ 0 };
		return r;
	}
	if (fresh)
		r = there ? make_over(t, item, there) : make_as(item, h.name);
	if (r < 0)
		return r;
	fd = openat(item->dir->fd, h.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_made) < 0)
		return -errno;
	if ((ret_made->st_mode & S_IFMT) != (item->entry.mode & S_IFMT))
		return -ESTALE;
	h.fd = fd;
	restore_attributes(t, &h, &item->entry, ret_made, fresh);
	return 0;
}

static int restore_anew(struct restore_thread *t, const struct restore_item *item,
			const struct stat *there, struct stat *ret_made)
{
	if (S_ISREG(item->entry.mode))
		return restore_file(t, item, there, ret_made);
	return restore_special(t, item, there, ret_made);
}

static int restore_linked(struct restore_thread *t, const struct restore_item *item,
			  const struct stat *there)
{
	struct stat made;
	int r;

	if (t->run->options->dry_run) {
		if (!there)
			restore_plan(t->run, item->dir, item->entry.name, "link");
		return 0;
	}
	r = restore_link(t, item, there);
	if (r == 0)
		restore_progress_add(t->run, 0, S_ISREG(item->entry.mode) ? item->entry.size : 0);
	if (r == 0 || r == -EISDIR)
		return r;
	/* The file system may not take (more) links: a copy is better than nothing. */
	restore_shortfall(t->run, item->dir, item->entry.name,
			  "could not be hard-linked: restored as a file of its own", r);
	atomic_fetch_add(&t->run->incomplete, 1);
	return restore_anew(t, item, there, &made);
}

static int restore_item(struct restore_thread *t, const struct restore_item *item,
			const struct stat *there)
{
	struct stat made;
	int r;

	if (!item->link)
		return restore_anew(t, item, there, &made);
	if (!item->first && link_group_wait(t->run, item->link))
		return restore_linked(t, item, there);
	r = restore_anew(t, item, there, &made);
	link_group_made(t->run, item, &made, r);
	return r;
}

static void count(struct restore_thread *t, const struct tree_entry *entry)
{
	struct restore *run = t->run;

	if (!S_ISREG(entry->mode)) {
		atomic_fetch_add(&run->others, 1);
		return;
	}
	atomic_fetch_add(&run->files, 1);
	atomic_fetch_add(&run->bytes, entry->size);
}

static const char *reason_of(int r)
{
	switch (r) {
	case -EISDIR:
		return "a directory is in its place";
	case -ENODATA:
		return "its contents could not be read when the snapshot was taken";
	case -EBADMSG:
	case -EUCLEAN:
		return "its contents are damaged in the repository";
	default:
		return "could not be restored";
	}
}

void restore_item_run(struct restore_thread *t, struct restore_item *item)
{
	const struct tree_entry *entry = &item->entry;
	struct stat there;
	bool exists = false;
	int r = restore_stopped(t->run);

	assert(name_valid(entry->name, entry->name_n));
	if (r == 0 && item->dir->fd >= 0 && !item->dir->made) {
		exists = fstatat(item->dir->fd, entry->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
		if (!exists && errno != ENOENT)
			r = -errno;
	}
	if (r == 0)
		r = restore_item(t, item, exists ? &there : NULL);
	else if (item->link && item->first)
		link_group_made(t->run, item, NULL, r);
	if (r < 0) {
		restore_error(t->run, item->dir, entry->name, reason_of(r), r);
		return;
	}
	count(t, entry);
	restore_progress_add(t->run, 1, 0);
	if (entry->flags & ENTRY_UNREADABLE) {
		restore_shortfall(t->run, item->dir, entry->name,
				  "could not be read when the snapshot was taken: older contents",
				  -ENODATA);
		atomic_fetch_add(&t->run->incomplete, 1);
	}
}
