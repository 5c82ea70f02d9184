/* SPDX-License-Identifier: MIT */
/*
 * watch_mounts: the table of mounts, as far as noticing changes needs it.
 *
 * Threads: a table belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_WATCH_MOUNTS_H
#define SNAPSHOTS_WATCH_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mount_row {
	unsigned int id;
	dev_t device;
	char *root; /* which folder of the file system is mounted; "/": all of it */
	char *point;
	char *type; /* "ext4" */
};

struct mount_table {
	struct mount_row *rows;
	size_t n;
};

/** Parse the text of /proc/self/mountinfo; malformed lines are left out. Returns 0 or -ENOMEM. */
int mount_table_parse(const char *text, struct mount_table *ret_table);
/** Read it anew from an open descriptor of /proc/self/mountinfo. Returns 0 or -errno. */
int mount_table_read(int fd, struct mount_table *ret_table);
/** The table is empty and usable again. */
void mount_table_done(struct mount_table *t);
/** The mount of that id, or NULL. */
const struct mount_row *mount_table_find(const struct mount_table *t, unsigned int id);
/** Does a capture leave it out: made up by the kernel, or a mount of yore's own? */
bool mount_row_is_virtual(const struct mount_row *row);
/** May its files change without this machine's kernel knowing? */
bool mount_row_is_remote(const struct mount_row *row);

#endif
