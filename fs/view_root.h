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

/* The functions that take a node mean a host's root or .snapshots: see node_folder(). */

void view_root_stat(const struct view *v, uint64_t node, struct node_info *ret_info);
/** Look a name up. Returns 0, -ENOENT, -errno. Counts one look-up.
 */
int view_root_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info);
/** List from a cookie on: names only. Returns 0 or -errno. */
int view_root_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink);

/** Target of a NODE_LATEST, into `to`. Returns 0 or -errno. */
#define LATEST_TARGET_BYTES (1 + SNAPSHOT_NAME_BYTES)
int view_root_latest(struct view *v, uint64_t node, char to[static LATEST_TARGET_BYTES]);
/** Attributes of a NODE_LATEST. Returns 0 or -errno. */
int view_root_latest_stat(struct view *v, uint64_t node, struct node_info *ret_info);

/* ---- for the other views ---- */

/** st_ino of a host's folder. */
uint64_t view_root_ino(const struct view *v, const struct view_host *h, enum host_folder folder);
/** What a name after '@' means: exact names first. Returns 0, -ENOENT, -errno. */
int view_root_resolve(const struct view_host *h, const char *name, bool exact_only,
		      uint64_t *ret_seq, bool *ret_exact);
/** The snapshot, opened and held unless a node of it exists. Unref it. Returns
 * 0 or -errno. */
int view_root_open(struct view *v, const struct view_host *h, uint64_t seq,
		   struct open_snapshot **ret_snapshot);
/** Look a snapshot's root up, under an alias's name or (NULL) as itself: counts
 * one look-up. Sets all but the entry's timeout. */
int view_root_enter(struct view *v, const struct view_host *h, uint64_t seq, const char *alias,
		    struct node_info *ret_info);

/* ---- the listed days ---- */

/* Days with snapshots, as numbers like 20240501, ascending. Known until the timeline changes. */
struct day_list;
int day_list_new(struct day_list **ret_list);
void day_list_free(struct day_list *l);
/** Forget them: the timeline or the time zone has changed. */
void day_list_forget(struct day_list *l);
/** A copy; the caller frees *ret_days. Returns 0 or -errno. */
int view_root_days(struct view_host *h, uint32_t **ret_days, size_t *ret_n);
/** "@2024-05-01". */
#define DAY_NAME_BYTES 16
char *view_root_day_name(uint32_t day, char to[static DAY_NAME_BYTES]);

#endif
