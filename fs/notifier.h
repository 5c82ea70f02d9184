/* SPDX-License-Identifier: MIT */
/*
 * notifier: the thread beside a session. It says when the mount answers, tells
 * the kernel that the root's names mean something else since the last
 * snapshot, forget or midnight, and ends the session when asked to.
 *
 * It holds no lock while it talks to the kernel, which may wait for one of the
 * session's threads. While the session runs it may touch the mount; a
 * session's own thread never may.
 */
#ifndef FS_NOTIFIER_H
#define FS_NOTIFIER_H

#include "fs/fuse_ops.h"

struct notifier;

struct notifier_options {
	struct fuse_session *session;
	struct fuse_ops *ops;
	const char *mountpoint;
	void (*ready)(void *context); /* may be NULL */
	void *context;
};

/** Borrows what the options name (not the options). */
int notifier_new(const struct notifier_options *options, struct notifier **ret_notifier);
void notifier_free(struct notifier *n);
CLEANUP_DEFINE(struct notifier, notifier_free)
/** Start the thread; the caller is about to run the session's loop on its own thread. */
int notifier_start(struct notifier *n);
/** Ask it to end the loop. Async-signal-safe; also before notifier_start(). */
void notifier_stop(struct notifier *n);
/** The loop has ended: end the thread. Returns 0, or -ETIMEDOUT while the kernel keeps it: ask
 * again. */
int notifier_join(struct notifier *n);

#endif
