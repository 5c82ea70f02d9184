/* SPDX-License-Identifier: MIT */
/*
 * mount: shows a timeline as folders through FUSE's low-level interface.
 *
 * Handlers are thin: decode, ask snapshots/, reply exactly once. Names, views,
 * nodes, caching and rights are those of yore-design(7), "The mount". Nothing
 * is loaded at mount time.
 *
 * Threads: mount_run() makes its own; mount_stop() may be called from a signal
 * handler or another thread.
 */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include "snapshots/timeline.h"
#include "store/chunk_cache.h"

struct mount_options {
	const char *mountpoint;  /* absolute; an empty directory */
	bool allow_other;        /* all users, as modes and ACLs say */
	size_t read_ahead_bytes; /* 0: 1 MiB */
	unsigned int threads;    /* 0: by number of processors, at least 4 */
	/* Written to .yore/status.json at each look-up; the callee allocates, the
	 * mount frees. May be NULL. */
	char *(*status_json)(void *context);
	/* The same for .yore/metrics. May be NULL. */
	char *(*metrics)(void *context);
	/* Text of a file in the root that says that protection has stopped, or NULL while it has
	 * not; asked every 10 s. May be NULL. */
	char *(*banner)(void *context);
	/* What user.yore.NAME of a snapshot's root says beyond what fs/ knows; the
	 * callee allocates, the mount frees; NULL: no such attribute. Any thread. May
	 * be NULL. Its context is its own: set before mount_new(). */
	char *(*snapshot_xattr)(void *context, const struct snapshot_info *info, const char *name);
	void *snapshot_xattr_context;
	/* Called once when the mount answers (INIT is done and the root can be read). May be NULL.
	 */
	void (*ready)(void *context);
	void *context;
	bool debug;
};

struct mount;

/**
 * Mount. A dead FUSE mount of ours on that point (ENOTCONN) is unmounted
 * first. Returns 0; -ENOENT or -ENOTDIR mountpoint; -ENOTEMPTY; -EBUSY when
 * something is mounted there; -EACCES/-EPERM/-ENODEV no /dev/fuse; logs why.
 */
int mount_new(struct timeline *t, struct chunk_cache *cache, const struct mount_options *options,
	      struct mount **ret_mount);
/** Serve until unmounted or stopped. Returns 0 or -errno. Also watches the timeline and the day. */
int mount_run(struct mount *m);
/** Ask mount_run() to end. Async-signal-safe. */
void mount_stop(struct mount *m);
/** Unmounts if still mounted. NULL is fine. */
void mount_free(struct mount *m);
CLEANUP_DEFINE(struct mount, mount_free)

/** Counts of requests served, by kind, for status and tests. */
struct mount_stats {
	uint64_t requests;
	uint64_t lookups, getattrs, readdirs, reads, xattrs, others;
	uint64_t nodes; /* directory nodes in memory */
};
void mount_stats(struct mount *m, struct mount_stats *ret_stats);

/**
 * Unmount from outside. Returns 0; -EINVAL nothing mounted there, or not a yore
 * mount; -EBUSY with the pids that use it (some of them) in the log.
 */
int mount_unmount(const char *mountpoint);

#endif
