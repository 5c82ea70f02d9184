/* SPDX-License-Identifier: MIT */
/*
 * mount_table: what is mounted where, as /proc/self/mountinfo tells it.
 *
 * Nothing is logged here: some can do without. Threads: a table belongs to one
 * thread at a time.
 */
#ifndef STORE_BASE_MOUNT_TABLE_H
#define STORE_BASE_MOUNT_TABLE_H

#include "store/base/cleanup.h"

#include <stddef.h>
#include <sys/types.h>

struct mount_row {
	unsigned int id;
	dev_t device;
	char *root; /* which folder of the file system is mounted; "/": all of it */
	char *point;
	char *type;   /* "ext4" */
	char *source; /* "/dev/sda1" */
};

/* In the order of mounting. All zeros: an empty one. */
struct mount_table {
	struct mount_row *rows;
	size_t n;
};

/** Parse the text of /proc/self/mountinfo; malformed lines are left out. Returns 0 or -ENOMEM. */
int mount_table_parse(const char *text, struct mount_table *ret_table);
/** Read it. Returns 0 or -errno. */
int mount_table_load(struct mount_table *ret_table);
/** Read it anew from an open descriptor of /proc/self/mountinfo. Returns 0 or -errno. */
int mount_table_read(int fd, struct mount_table *ret_table);
/** The table is empty and usable again. */
void mount_table_done(struct mount_table *t);
/** The mount of that id, or NULL. */
const struct mount_row *mount_table_find(const struct mount_table *t, unsigned int id);
/** What is mounted at a canonical path, the topmost; NULL: nothing. */
const struct mount_row *mount_table_top(const struct mount_table *t, const char *point);

#endif
