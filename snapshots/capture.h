/* SPDX-License-Identifier: MIT */
/*
 * capture: takes a snapshot: walks the sources, reads what changed, stores it,
 * and commits one record.
 *
 * Everything protected on this host is in every snapshot: sources that this
 * run does not visit, or finds absent, keep their last state. Data is captured
 * without a lock; only the graft onto the newest record's root and the record
 * itself are written under the host's commit lock. When capture_run() returns
 * 0 the snapshot survives a power cut.
 *
 * Threads: capture_run() starts and ends its own; one run a call.
 */
#ifndef SNAPSHOTS_CAPTURE_H
#define SNAPSHOTS_CAPTURE_H

#include "snapshots/dirty_set.h"
#include "snapshots/pacer.h"
#include "snapshots/timeline.h"

#include <stdatomic.h>

/* A path to capture in this run. */
struct capture_source {
	const char *path;     /* as the user gave it */
	const char *excludes; /* newline-separated gitignore lines; NULL: as last time */
	uint32_t flags;       /* SOURCE_*; with excludes == NULL: as last time */
	bool accept; /* take its present state though its file system is another or it is gone */
	/*
	 * Look only at what may have changed since the newest record, frozen; NULL, or one that
	 * says "everything": the whole tree. Costs the change, not the tree. A source that the
	 * newest record does not have, or has absent, is walked whole all the same, and so is one
	 * where a file with several names was met. A file that it names as DIRTY_CLOSED is read
	 * even where size and times are those of the newest record; without such a hint, stores
	 * through a memory map that moved no time stamp are not seen.
	 */
	const struct dirty_set *dirty;
	/* Read it here instead (a file system snapshot of it); NULL: at `path`. */
	const char *read_path;
	int64_t read_ns; /* with read_path: no later than the moment that it shows */
	/* Label of its files and of itself: FROZEN or HOOK; STEADY: as each file turns out. */
	enum consistency consistency;
	/*
	 * >= 0 with `is_stream`: no tree but one regular file at `path`, whose contents come from
	 * this descriptor until its end. Carried along by later snapshots like any source.
	 */
	bool is_stream;
	int stream_fd;
};

/* Counters for progress, updated while the run goes on. */
struct capture_progress {
	atomic_uint_fast64_t files; /* regular files met */
	atomic_uint_fast64_t directories;
	atomic_uint_fast64_t others;
	atomic_uint_fast64_t bytes;      /* sizes of the files met */
	atomic_uint_fast64_t files_read; /* opened and read */
	atomic_uint_fast64_t bytes_read;
	atomic_uint_fast64_t errors;
};

/* What became of one source, beside the newest record from before. */
struct capture_source_result {
	const char *path;                    /* canonical; lent */
	const struct capture_source *source; /* of the options; NULL: it was not named there */
	bool compared;        /* false: there was no last state to compare with, all counts are 0 */
	bool whole_walk;      /* everything in it was looked at */
	uint64_t files_added; /* regular files under names that had none */
	uint64_t files_changed;    /* those, and the ones whose contents differ */
	uint64_t files_removed;    /* regular files under names that have none any more */
	uint64_t new_stored_bytes; /* that reading it added to the repository */
};

struct capture_options {
	const struct capture_source *sources;
	size_t n_sources;           /* 0: every source of the newest record, streams aside */
	const char *const *dropped; /* canonical paths of sources that are protected no longer */
	size_t n_dropped;
	/* Commit nothing, and return -EALREADY, when tree and sources are as in the newest record.
	 */
	bool skip_unchanged;
	/* Asked when a stream has ended, before anything is committed: 0, or why not (-errno). */
	int (*stream_ended)(void *context, const struct capture_source *source);
	const char *const *tags;
	size_t n_tags;
	const char *reason;          /* "manual" */
	const volatile bool *cancel; /* may be NULL */
	/* May be NULL. Begins again at 0 when the capture has to: another process took away what
	 * it relied on. Problems are then told again. */
	struct capture_progress *progress;
	/* An object that could not be captured as it is, for people; never NULL-pathed. May be
	 * NULL. */
	void (*problem)(void *context, const char *path, const char *what, int error);
	/* Told of each source once, when the capture has succeeded (-EALREADY too). May be NULL. */
	void (*source_done)(void *context, const struct capture_source_result *result);
	void *context;
	struct pacer *pacer; /* keeps reading within a budget; may be NULL */
	bool dry_run;        /* walk and compare only; nothing is written */
};

struct capture_result {
	struct snapshot_info snapshot; /* the record written */
	uint64_t files, directories, others, bytes;
	uint64_t files_read, bytes_read;
	uint64_t errors;    /* objects named through `problem` */
	uint32_t n_absent;  /* sources carried along absent */
	uint32_t n_smeared; /* files that kept changing while they were read */
	bool partial;       /* only what was dirty was looked at, in every source */
};

/**
 * Take a snapshot. Returns 0 (look at errors and n_absent: exit 3); -EALREADY
 * with skip_unchanged (then *ret_result names the newest record); -ENOENT
 * when a path never protected before does not exist, or there is nothing to
 * protect; -ECANCELED; or another -errno: then nothing was committed.
 */
int capture_run(struct timeline *t, const struct capture_options *options,
		struct capture_result *ret_result);

#endif
