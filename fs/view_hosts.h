/* SPDX-License-Identifier: MIT */
/*
 * view_hosts: the hosts in the repository: the one whose snapshots the root
 * shows, and the others as folders of .hosts.
 *
 * A host gets a number when the mount first sees it and keeps it as long as
 * the mount lives. Its folder has its display name; where several hosts have
 * the same one, the beginning of the id is put behind it.
 *
 * Threads: any; a lock (LOCK_RANK_LEAF) guards the list, which only grows.
 */
#ifndef FS_VIEW_HOSTS_H
#define FS_VIEW_HOSTS_H

#include "fs/view.h"

struct view_hosts;

/** Borrows the timeline: that of the host that the root shows. */
int view_hosts_new(struct timeline *shown, struct view_hosts **ret_hosts,
		   struct view_host **ret_shown);
void view_hosts_free(struct view_hosts *l);
CLEANUP_DEFINE(struct view_hosts, view_hosts_free)

/** The host with this number, or NULL. Valid as long as the view. */
struct view_host *view_host(const struct view *v, uint32_t number);

/** The folder .hosts itself. */
void view_hosts_stat(const struct view *v, struct node_info *ret_info);
uint64_t view_hosts_ino(const struct view *v);
/** Returns 0, -ENOENT, -errno. */
int view_hosts_lookup(struct view *v, const char *name, struct node_info *ret_info);
/** List it from a cookie on: names only. Returns 0 or -errno. */
int view_hosts_list(struct view *v, uint64_t cookie, struct dir_sink *sink);

#endif
