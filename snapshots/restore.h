/* SPDX-License-Identifier: MIT */
/*
 * restore: brings a file or a tree of a snapshot back into a directory.
 *
 * Works by descriptors below the target, never follows a symlink out of it,
 * writes each file under a temporary name in its directory, verifies it,
 * renames it into place. What is there already and equal (type, size, mtime;
 * with `verify_existing` every byte) is left alone, so that a second run does
 * only what is left. Ownership, devices, attributes: what could not be set is
 * counted and named. Directory times are set last.
 *
 * Threads: restore_run() starts and ends its own.
 */
#ifndef SNAPSHOTS_RESTORE_H
#define SNAPSHOTS_RESTORE_H

#include "snapshots/timeline.h"
#include "store/chunk_cache.h"

#include <stdatomic.h>

struct restore_progress {
	atomic_uint_fast64_t objects_all; /* known after the planning walk; 0 before */
	atomic_uint_fast64_t bytes_all;
	atomic_uint_fast64_t objects;
	atomic_uint_fast64_t bytes;
};

struct restore_options {
	const char *target;    /* directory; made if missing */
	bool target_is_parent; /* true: PATH's base name is made inside target; false: contents go
				  into target itself */
	bool delete_extra;     /* remove what the snapshot does not have */
	bool verify_existing;  /* compare contents of files that look equal */
	bool no_ownership;     /* leave uid/gid alone (default when not root is to try and name
				  failures) */
	bool dry_run;
	unsigned int threads; /* 0: by number of processors */
	const volatile bool *cancel;
	struct restore_progress *progress;
	void (*problem)(void *context, const char *path, const char *what, int error);
	/* With dry_run: what would be done ("write", "delete", "mkdir", ...). May be NULL. */
	void (*planned)(void *context, const char *path, const char *what);
	void *context;
};

struct restore_result {
	uint64_t files, directories, others, bytes; /* restored or found equal */
	uint64_t written, written_bytes;            /* files really written */
	uint64_t deleted;
	uint64_t errors;     /* objects not restored */
	uint64_t incomplete; /* objects restored without some attribute */
};

/**
 * Restore `path` ("" or "/": everything) of a snapshot. Returns 0 (look at
 * errors and incomplete: exit 3); -ENOENT no such path in the snapshot;
 * -ECANCELED; -ENOSPC; another -errno. Never leaves a half-written file under
 * its final name.
 */
int restore_run(struct timeline *t, const struct snapshot_info *snapshot, struct chunk_cache *cache,
		const char *path, const struct restore_options *options,
		struct restore_result *ret_result);

#endif
