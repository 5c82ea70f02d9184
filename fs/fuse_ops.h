/* SPDX-License-Identifier: MIT */
/*
 * fuse_ops: libfuse's low-level handlers: decode, ask the views, reply once.
 *
 * `open` and `opendir` are answered with ENOSYS: the kernel then asks for
 * neither again, and keeps pages of files and of directories by itself.
 *
 * Threads: handlers run on any of the session's threads; each thread has a
 * buffer of its own for what it replies.
 */
#ifndef FS_FUSE_OPS_H
#define FS_FUSE_OPS_H

#include "fs/mount.h"
#include "fs/view.h"

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse_lowlevel.h>
#include <pthread.h>

/* What the handlers get as libfuse's userdata. */
struct fuse_ops {
	struct view *view;
	bool allow_other;
	size_t read_ahead_bytes;
	atomic_bool can_expire; /* the kernel can expire a name without dropping it */
	pthread_key_t buffers;  /* struct reply_buffer of each thread */
	atomic_uint_fast64_t lookups, getattrs, readdirs, reads, xattrs, others;
};

/** `ops` is borrowed by the session's handlers. Returns 0 or -errno. */
int fuse_ops_init(struct fuse_ops *ops, struct view *view, bool allow_other,
		  size_t read_ahead_bytes);
void fuse_ops_done(struct fuse_ops *ops);
void fuse_ops_stats(struct fuse_ops *ops, struct mount_stats *ret_stats);
extern const struct fuse_lowlevel_ops fuse_ops_table;

#endif
