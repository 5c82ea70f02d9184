/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS_MIN 256

/* Invariants: n_buckets is a power of two; a group leaves when all its names were seen. */
struct link_table {
	struct link_group **buckets;
	size_t n_buckets;
	size_t n;
};

int link_table_new(struct link_table **ret_table)
{
	CLEANUP(link_table_free_ptr) struct link_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->buckets = calloc(BUCKETS_MIN, sizeof(struct link_group *));
	if (!table->buckets)
		return -ENOMEM;
	table->n_buckets = BUCKETS_MIN;
	*ret_table = STEAL(table);
	return 0;
}

void link_table_free(struct link_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_buckets; i++) {
		while (table->buckets[i]) {
			struct link_group *group = table->buckets[i];

			table->buckets[i] = group->next;
			link_group_unref(group);
		}
	}
	free(table->buckets);
	free(table);
}

void link_group_unref(struct link_group *group)
{
	if (!group || atomic_fetch_sub(&group->refs, 1) != 1)
		return;
	restore_dir_unref(group->dir);
	free(group->name);
	free(group);
}

static size_t bucket_of(const struct link_table *table, uint64_t ino, uint32_t file_system)
{
	const uint64_t mixed = (ino + file_system) * 0x9e3779b97f4a7c15u;

	return (size_t)(mixed >> 32) & (table->n_buckets - 1);
}

/* Twice the buckets; without memory for them the chains just get longer. */
static void grow(struct link_table *table)
{
	struct link_group **old = table->buckets;
	const size_t n_old = table->n_buckets;
	struct link_group **buckets;

	buckets = calloc(n_old * 2, sizeof(struct link_group *));
	if (!buckets)
		return;
	table->buckets = buckets;
	table->n_buckets = n_old * 2;
	for (size_t i = 0; i < n_old; i++) {
		while (old[i]) {
			struct link_group *group = old[i];
			size_t to;

			old[i] = group->next;
			to = bucket_of(table, group->ino, group->file_system);
			group->next = buckets[to];
			buckets[to] = group;
		}
	}
	free(old);
}

static int add_group(struct link_table *table, struct restore_item *item)
{
	const struct tree_entry *e = &item->entry;
	struct link_group *group;
	size_t bucket;

	if (table->n >= table->n_buckets)
		grow(table);
	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	atomic_init(&group->refs, 2); /* the table and the item */
	group->file_system = e->file_system;
	group->ino = e->ino;
	group->nlink = e->nlink;
	group->seen = 1;
	group->size = e->size;
	group->mode = e->mode;
	group->mtime = e->mtime;
	bucket = bucket_of(table, e->ino, e->file_system);
	group->next = table->buckets[bucket];
	table->buckets[bucket] = group;
	table->n++;
	item->link = group;
	item->first = true;
	return 0;
}

int link_table_enter(struct link_table *table, struct restore_item *item)
{
	const struct tree_entry *e = &item->entry;
	struct link_group **at;

	at = &table->buckets[bucket_of(table, e->ino, e->file_system)];
	while (*at && ((*at)->ino != e->ino || (*at)->file_system != e->file_system))
		at = &(*at)->next;
	if (!*at)
		return add_group(table, item);
	/* It changed between two looks at it: each name then has what was seen under it. */
	if ((*at)->size != e->size || (*at)->mode != e->mode ||
	    (*at)->mtime.seconds != e->mtime.seconds ||
	    (*at)->mtime.nanoseconds != e->mtime.nanoseconds)
		return 0;
	item->link = *at;
	item->first = false;
	if (++item->link->seen >= item->link->nlink) {
		*at = item->link->next; /* the table's reference is now the item's */
		table->n--;
	} else {
		atomic_fetch_add(&item->link->refs, 1);
	}
	return 0;
}

bool link_group_wait(struct restore *run, struct link_group *group)
{
	LOCK_SCOPE(&run->lock);
	while (group->state == LINK_PENDING)
		lock_wait(&run->lock, &run->link_done);
	if (group->state == LINK_DONE)
		return true;
	group->state = LINK_PENDING;
	return false;
}

void link_group_made(struct restore *run, const struct restore_item *item, const struct stat *made,
		     int r)
{
	struct link_group *group = item->link;
	CLEANUP(free_ptr) char *name = r == 0 ? strdup(item->entry.name) : NULL;

	LOCK_SCOPE(&run->lock);
	assert(group->state == LINK_PENDING);
	group->state = name ? LINK_DONE : LINK_FAILED;
	if (name) {
		group->name = STEAL(name);
		group->dir = item->dir;
		restore_dir_ref(item->dir);
		group->target_dev = made->st_dev;
		group->target_ino = made->st_ino;
	}
	(void)pthread_cond_broadcast(&run->link_done);
}

static bool same_inode(const struct link_group *group, const struct stat *st)
{
	return st->st_dev == group->target_dev && st->st_ino == group->target_ino;
}

/* Somebody else may have put another object under the first name meanwhile. */
static int check_link(const struct link_group *group, int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (same_inode(group, &st))
		return 0;
	(void)unlinkat(dirfd, name, 0);
	return -ESTALE;
}

static int link_over(struct restore_thread *t, int from, const struct restore_item *item)
{
	char temporary[TEMPORARY_BYTES];
	int r;

	restore_temporary(t->run, temporary);
	if (linkat(from, item->link->name, item->dir->fd, temporary, 0) < 0)
		return -errno;
	r = check_link(item->link, item->dir->fd, temporary);
	if (r < 0)
		return r;
	if (renameat(item->dir->fd, temporary, item->dir->fd, item->entry.name) == 0)
		return 0;
	r = -errno;
	(void)unlinkat(item->dir->fd, temporary, 0);
	return r;
}

int restore_link(struct restore_thread *t, const struct restore_item *item,
		 const struct stat *there)
{
	CLEANUP(close_fd_ptr) int located = -1;
	const struct link_group *group = item->link; /* done: it does not change any more */
	int from = item->dir->fd;
	int r;

	if (there && same_inode(group, there))
		return 0;
	if (group->dir != item->dir) {
		located = restore_dir_locate(t->run, group->dir);
		if (located < 0)
			return located;
		from = located;
	}
	if (there) {
		r = restore_clear_way(t, item, there);
		return r < 0 ? r : link_over(t, from, item);
	}
	if (linkat(from, group->name, item->dir->fd, item->entry.name, 0) < 0)
		return -errno;
	return check_link(group, item->dir->fd, item->entry.name);
}
