/* SPDX-License-Identifier: MIT */
/*
 * watch: notices that something below a source changed, by the best means that
 * the system grants, and says which means that is.
 *
 * What it tells is a hint: the walk is the truth. Where hints may be missing
 * (at the start, after an overflow, when a file system came or went below the
 * source) the set says "everything", and the next capture walks it all.
 *
 *   watch.c           sources, pending sets, the reader's thread
 *   watch_setup.c     choosing a backend, mount changes, sources that come and go
 *   watch_fanotify.c  marks on whole file systems, with folder handles and names
 *   watch_inotify.c   a watch for each folder
 *   (poll)            no hints: "everything" at each interval
 *
 * Not noticed by events, and left to the whole walk: a write through a hard
 * link outside the source, through a descriptor whose name was deleted, by a
 * file server in the kernel; stores through a map that stays open. A file
 * system below the source of which no events come (a network's) is looked at
 * whole at each poll interval; `reason` then names it.
 *
 * Threads: watch_new() starts one thread that reads events; all functions may
 * be called from any thread; a lock (LOCK_RANK_WATCH) guards the pending sets.
 */
#ifndef SNAPSHOTS_WATCH_H
#define SNAPSHOTS_WATCH_H

#include "snapshots/dirty_set.h"

enum watch_backend { WATCH_FANOTIFY, WATCH_INOTIFY, WATCH_POLL };

struct watch_source {
	const char *path; /* canonical, absolute; may be missing for now */
	/*
	 * gitignore lines; NULL: none. What they leave out is no event: only the folder that such a
	 * name comes to or goes from is marked for the next capture, which it does not bring on.
	 */
	const char *excludes;
	bool one_file_system;    /* mounts below it are not captured */
	enum watch_backend best; /* none better than this for it, nor than the options' */
};

struct watch_options {
	const struct watch_source *sources; /* copied */
	size_t n_sources;
	enum watch_backend best; /* WATCH_FANOTIFY: try all in turn */
	const char *const
		*ignored; /* absolute folders whose events are yore's own: the repository */
	size_t n_ignored;
	uint32_t poll_interval_s; /* of WATCH_POLL; 0: 300 */
	size_t names_max;         /* of each pending set; 0: 100,000 */
};

/* How one source is watched, for status. */
struct watch_state {
	enum watch_backend backend;
	char reason[160];    /* why not by a better one; "" */
	char guarantee[200]; /* what is noticed and when, for people */
	uint64_t events, overflows;
	uint64_t watches; /* marks or watches held */
	int64_t first_ns; /* CLOCK_MONOTONIC, oldest event not taken yet; 0: none */
	int64_t last_ns;  /* newest one */
	bool everything;  /* the pending set says so */
};

struct watch;

/**
 * Start watching. Every source begins with "everything" pending. Returns 0 or -errno. With
 * inotify it lists all folders first: what changes once it has returned is noticed.
 */
int watch_new(const struct watch_options *options, struct watch **ret_watch);
void watch_free(struct watch *w);
CLEANUP_DEFINE(struct watch, watch_free)
/**
 * Wait until the pending sets change, `also_fd` (-1: none) can be read, a signal was caught, or
 * this long. 1: they changed; 0: something else. Reads nothing from also_fd.
 */
int watch_wait(struct watch *w, int also_fd, int timeout_ms);
/**
 * Take the pending set of source i, frozen; the caller owns it. An empty one
 * when nothing is pending. Events that come during the capture go to the next.
 * Returns 0 or -ENOMEM (everything stays pending).
 */
int watch_take(struct watch *w, size_t i, struct dirty_set **ret_set);
/** Give a set back whose capture failed (borrowed), or NULL for "everything". */
void watch_give_back(struct watch *w, size_t i, const struct dirty_set *set);
void watch_state(struct watch *w, size_t i, struct watch_state *ret_state);
const char *watch_backend_name(enum watch_backend backend); /* "fanotify", ... */

#endif
