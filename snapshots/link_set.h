/* SPDX-License-Identifier: MIT */
/*
 * link_set: files with several names that a dirty set says were closed after
 * writing: the set knows each by the name it was opened by, but it changed
 * under all of them.
 *
 * Threads: made by one, then constant.
 */
#ifndef SNAPSHOTS_LINK_SET_H
#define SNAPSHOTS_LINK_SET_H

#include "snapshots/dirty_set.h"

#include <sys/types.h>

struct link_set;

/**
 * Look every DIRTY_CLOSED name below `root` up, where the source's root is at
 * `path`. Names that are gone, or are no such file, are none. *ret_set is NULL
 * when there are none at all. Returns 0 or -ENOMEM.
 */
int link_set_collect(const char *path, const struct dirty_name *root, struct link_set **ret_set);
bool link_set_has(const struct link_set *s, dev_t device, uint64_t ino);
void link_set_free(struct link_set *s);
CLEANUP_DEFINE(struct link_set, link_set_free)

#endif
