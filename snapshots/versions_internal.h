/* SPDX-License-Identifier: MIT */
/* versions_internal: versions.c finds the runs, versions_names.c what directories held. */
#ifndef SNAPSHOTS_VERSIONS_INTERNAL_H
#define SNAPSHOTS_VERSIONS_INTERNAL_H

#include "snapshots/versions.h"

/* What a path is in one snapshot. */
struct path_state {
	int error; /* it could not be found out; the rest is zero */
	uint32_t mode;
	uint32_t file_system;
	uint64_t ino;
	struct chunk_id id;
};

/* One name of the path, looked up in the directory that stands before it. */
struct path_level {
	const char *name;
	uint32_t name_n;
	bool known; /* this look-up has been made: */
	struct chunk_id tree;
	struct path_state found;
};

struct versions {
	struct timeline *timeline;
	struct chunk_cache *cache;
	struct tree_reader *reader;
	char *path;
	struct path_level *levels;
	size_t n_levels;
	struct version *runs;
	size_t n_runs;
	size_t runs_room;
	uint64_t last_seq;    /* newest snapshot looked at; 0: none */
	uint64_t n_snapshots; /* how many were looked at */
	uint64_t unreadable;
};

/** Is this an object that cannot be read, and not a reason to stop? */
bool versions_damage(int r);

#endif
