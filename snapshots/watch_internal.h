/* SPDX-License-Identifier: MIT */
/*
 * watch_internal: what the files of watch share. All of it belongs to the
 * reader's thread, but for what `lock` guards. (Until the thread is started
 * watch_new() does its work.)
 */
#ifndef SNAPSHOTS_WATCH_INTERNAL_H
#define SNAPSHOTS_WATCH_INTERNAL_H

#include "snapshots/exclude.h"
#include "snapshots/mount_kind.h"
#include "snapshots/watch.h"
#include "store/base/bytes.h"
#include "store/base/lock.h"

#include <poll.h>
#include <stdatomic.h>

#define WATCH_EVENT_BYTES 65536u
#define WATCH_READS_MAX 64u /* in a row from one descriptor, so that no source starves another */

struct fanotify_group;
struct inotify_tree;

/* One source. */
struct watched {
	char *path;
	struct exclude *excludes;
	bool one_file_system;
	enum watch_backend best;

	/* guarded by watch.lock */
	struct dirty_set *pending;
	struct watch_state state;

	/* the reader's */
	struct inotify_tree *tree; /* with WATCH_INOTIFY */
	uint64_t mounts_hash;      /* of the mounts at, above and below it */
	bool there;                /* its root was found, as below */
	dev_t device;
	ino_t inode;
	unsigned int mount_id; /* of its root, or of its nearest folder that is there */
	char **polled;         /* mounts below it of which no events come, relative */
	size_t n_polled;
	uint64_t watches_needed; /* WATCH_POLL for want of inotify watches: so many it takes */
	int64_t poll_ns;         /* when next, CLOCK_MONOTONIC */
	bool refresh;            /* set up anew: its place in the tree has changed */
};

struct watch {
	struct watched *sources;
	size_t n_sources;
	char **ignored;
	size_t n_ignored;
	uint32_t poll_interval_s;
	size_t names_max;

	struct lock lock; /* the parts of `sources` that say so */
	int changed_fd;   /* the reader has added something */
	int kick_fd;      /* for the reader: stop, pause */
	atomic_bool stop;
	atomic_bool pause;
	atomic_bool paused;
	atomic_int gather_ms; /* between two readings */
	pthread_t thread;
	bool started;

	/* the reader's */
	int mounts_fd;
	struct mount_table mounts;
	struct fanotify_group *groups;
	int64_t check_ns; /* when to look for sources that came or went */
	uint8_t *events;  /* WATCH_EVENT_BYTES */
};

/* ---- watch.c: for the backends ---- */

/** Is it the folder, or below it? The rest of the path (no leading '/'), or NULL. */
const char *watch_below(const char *path, const char *folder);
/** Does a capture leave out this folder of a source, or one above it? */
bool watch_leaves_out(const struct watch *w, const struct watched *s, const char *folder);
/* With the DIRTY_* flags of an event. */
enum {
	WATCH_LISTED = 0x100, /* the folder's list of names has changed */
	WATCH_FOLDER = 0x200, /* the name is a folder's */
};
/**
 * An event in a folder of a source that is not left out: `name`, or "." for the
 * folder itself. `flags`: DIRTY_* and WATCH_*.
 */
void watch_note(struct watch *w, struct watched *s, const char *folder, const char *name,
		unsigned int flags);
/** Hints were lost, or could not be understood. */
void watch_note_all(struct watch *w, struct watched *s);
/** As watch_note_all(), and counted. */
void watch_note_overflow(struct watch *w, struct watched *s);
/** Append a name to a path. */
void watch_join(struct byte_buf *to, const char *folder, const char *name);
/** Stop reading events (for tests): they pile up in the kernel. Returns when it has stopped. */
void watch_pause(struct watch *w, bool pause);

/* ---- watch_fanotify.c ---- */

/** See to it that events of this mount come, marked through `fd`, which lies on it. */
int fanotify_cover(struct watch *w, const struct mount_row *row, int fd);
/** Mounts have changed: find out anew what of each file system can be seen where. */
int fanotify_update(struct watch *w);
/** Drop file systems that are mounted no more. */
void fanotify_free(struct watch *w);
/** Descriptors to wait for: fills at most `room`, returns how many there are. */
size_t fanotify_polls(const struct watch *w, struct pollfd *fds, size_t room);
void fanotify_read(struct watch *w);

/* ---- watch_inotify.c ---- */

/** Watch all folders of a source. Returns 0; -ENOSPC: too few watches; -errno. */
int inotify_tree_new(struct watch *w, struct watched *s);
void inotify_tree_free(struct inotify_tree *t);
/** Folders of the source: how many watches it takes. */
uint64_t inotify_tree_count(const struct watch *w, const struct watched *s);
/** What the system grants a user, or 0 when it does not say. */
uint64_t inotify_watches_max(void);
int inotify_tree_fd(const struct inotify_tree *t);
size_t inotify_tree_watches(const struct inotify_tree *t);
void inotify_tree_read(struct watch *w, struct watched *s);

#endif
