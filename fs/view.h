/* SPDX-License-Identifier: MIT */
/*
 * view: what the views of one mount share: the timeline, the nodes, the
 * readers, and how a node is described to the kernel. No FUSE in here: only
 * fuse_ops and mount know libfuse.
 *
 * Threads: any; made before and freed after them.
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include "fs/node_table.h"
#include "fs/read_ahead.h"
#include "fs/reader_pool.h"

#include <stdatomic.h>
#include <sys/stat.h>

/* Timeouts in seconds. Endless: what cannot change. Kernels cut larger ones. */
#define TIMEOUT_ENDLESS (86400.0 * 365 * 10)
#define TIMEOUT_MOMENT 1.0

struct control_files;
struct day_list;
struct name_pool;
struct spot_table;
struct trail_pool;
struct view_hosts;

/* One host's snapshots. */
struct view_host {
	uint32_t number; /* HOST_SHOWN, or as the mount came to know it */
	struct host_id id;
	struct timeline *timeline;
	struct day_list *days;
	atomic_uint_fast64_t state;     /* of the timeline, as last seen */
	atomic_int_fast64_t changed_ns; /* mtime of its root and .snapshots */
	atomic_uint_fast64_t version;   /* grows with every change of the timeline or the day */
};

struct view {
	struct view_host *shown; /* by the root */
	struct view_hosts *hosts;
	struct timeline *timeline; /* of the host that is shown; borrowed */
	struct chunk_cache *cache;
	struct node_table *nodes;
	struct reader_pool *readers;
	struct read_ahead *file_ahead; /* bytes of a file */
	struct read_ahead *scan_ahead; /* files of a directory */
	struct control_files *control;
	struct spot_table *spots;
	struct trail_pool *trails;
	struct name_pool *names;
	uint8_t ino_key[16];
	uid_t uid; /* who mounts: owner of all that is not captured */
	gid_t gid;
	bool allow_other; /* the kernel checks modes and ACLs */
	/* As in mount_options; set before any request comes. */
	char *(*snapshot_xattr)(void *context, const struct snapshot_info *info, const char *name);
	void *snapshot_xattr_context;
};

/* A node as it is described in a reply. */
struct node_info {
	uint64_t node; /* 0: not there (to be remembered by the kernel), or names only */
	uint64_t generation;
	struct stat st;
	double entry_timeout;
	double attr_timeout;
};

static inline int64_t view_changed_ns(struct view_host *h)
{
	return atomic_load_explicit(&h->changed_ns, memory_order_relaxed);
}

/* Where a listing goes. */
struct dir_sink {
	bool plus; /* wants nodes, not only names */
	/* Is there room for one more with this name? */
	bool (*fits)(struct dir_sink *sink, const char *name);
	/* Append; `cookie` continues after it. Only after fits() said yes. */
	void (*add)(struct dir_sink *sink, const char *name, const struct node_info *info,
		    uint64_t cookie);
};

/** Borrows timeline and cache. `status_json` as in mount_options. */
int view_new(struct timeline *t, struct chunk_cache *cache, char *(*status_json)(void *context),
	     void *context, struct view **ret_view);
void view_free(struct view *v);
CLEANUP_DEFINE(struct view, view_free)

/**
 * Look for a host's snapshots made or forgotten since, here or by others;
 * cheap when there are none. Counts `version` up when there are.
 */
void view_refresh(struct view_host *h);
/** The timeline, or the day, is another one now. */
void view_changed(struct view_host *h);

/** A number that another snapshot, or one less, changes. */
uint64_t view_timeline_state(struct timeline *t);

/** st_ino of an object captured in the snapshot `key`: equal only for hard links within it. */
uint64_t view_ino(const struct view *v, uint64_t key, uint64_t parent_ino,
		  const struct tree_entry *entry);
/** st_ino of something that only the mount knows. */
uint64_t view_ino_of_name(const struct view *v, uint64_t parent_ino, const char *name, size_t n);
/** Fill attributes of a captured object. */
void view_stat(const struct view *v, const struct tree_entry *entry, uint64_t ino,
	       struct stat *ret_st);
/** Fill attributes of a folder or file of the mount's own. */
void view_stat_own(const struct view *v, mode_t mode, uint64_t ino, uint64_t size, int64_t time_ns,
		   struct stat *ret_st);

#endif
