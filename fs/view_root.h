/* SPDX-License-Identifier: MIT */
/*
 * view_root: the root of the mount: `latest`, one folder per day, every other
 * moment by look-up, and .snapshots with every snapshot's exact name.
 *
 * Each name in the root is an alias: a node bound to one snapshot for life.
 * When a name comes to mean another snapshot, its next look-up gives another
 * node, and a process inside the old one stays there. The folders of
 * .snapshots are the canonical ones.
 *
 * Threads: any.
 */
#ifndef FS_VIEW_ROOT_H
#define FS_VIEW_ROOT_H

#include "fs/view.h"

/** Attributes of NODE_ROOT and NODE_SNAPSHOTS. */
void view_root_stat(const struct view *v, uint64_t node, struct node_info *ret_info);
/** Look a name up in NODE_ROOT or NODE_SNAPSHOTS. Returns 0, -ENOENT, -errno. Counts one look-up.
 */
int view_root_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info);
/** List NODE_ROOT or NODE_SNAPSHOTS from a cookie on: names only. Returns 0 or -errno. */
int view_root_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink);

/** Target of a NODE_LATEST, into `to`. Returns 0 or -errno. */
#define LATEST_TARGET_BYTES (1 + SNAPSHOT_NAME_BYTES)
int view_root_latest(struct view *v, uint64_t node, char to[static LATEST_TARGET_BYTES]);
/** Attributes of a NODE_LATEST. Returns 0 or -errno. */
int view_root_latest_stat(struct view *v, uint64_t node, struct node_info *ret_info);

/* ---- the listed days ---- */

/* Days with snapshots, as numbers like 20240501, ascending. Known until the timeline changes. */
struct day_list;
int day_list_new(struct day_list **ret_list);
void day_list_free(struct day_list *l);
/** Forget them: the timeline or the time zone has changed. */
void day_list_forget(struct day_list *l);
/** A copy; the caller frees *ret_days. Returns 0 or -errno. */
int view_root_days(struct view *v, uint32_t **ret_days, size_t *ret_n);
/** "@2024-05-01". */
#define DAY_NAME_BYTES 16
char *view_root_day_name(uint32_t day, char to[static DAY_NAME_BYTES]);

#endif
