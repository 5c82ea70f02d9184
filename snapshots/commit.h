/* SPDX-License-Identifier: MIT */
/*
 * commit: the two ends of a capture: which sources it is about, as the newest
 * record knows them; and grafting what was captured onto the record that is
 * newest by then, as one new record.
 *
 * Threads: one at a time, the capture's own.
 */
#ifndef SNAPSHOTS_COMMIT_H
#define SNAPSHOTS_COMMIT_H

#include "snapshots/capture_internal.h"
#include "snapshots/source_path.h"

/* One source of this run. */
struct captured_source {
	struct record_source result;        /* owns path and excludes */
	struct source_path place;           /* symlinks that lead to it */
	const struct record *head;          /* newest record when the run began; NULL: none */
	const struct record_source *known;  /* in head, or NULL */
	const struct dirty_set *dirty;      /* borrowed from the options, or NULL */
	int64_t began_ns;                   /* when this run began to look at it */
	const struct capture_source *asked; /* NULL: it was in the head, and all are captured */
	bool accept;
	bool removed;                         /* accepted as gone */
	bool carried;                         /* nothing is dirty: it was not looked at */
	bool partial;                         /* only what is dirty was */
	struct capture_source_result changes; /* path and source are filled in when it is told */
	struct byte_buf entry;                /* its root, encoded; empty when not captured */
};

struct captured_set {
	struct captured_source *sources;
	size_t n;
	struct record head;
	bool has_head;
	bool lost_head; /* its folders cannot be read: nothing of it is carried along */
	uint64_t seq;   /* head's */
	struct io *io;
	int hold; /* keeps the head record from being forgotten */
};

/**
 * List the sources of this run: those asked for, or all that the newest record
 * has. Loads that record's file systems into the capture. Returns 0; -ENOENT
 * when there is nothing to protect; -errno.
 */
int captured_set_begin(struct captured_set *set, struct capture *c);
void captured_set_done(struct captured_set *set);

/**
 * Under the commit lock: graft, make everything durable, write the record.
 * Returns 0; -ESTALE when another process gave one of our file system numbers
 * to another file system meanwhile, or a chunk that this capture may rely on
 * became unusable: capture again; -errno: nothing committed.
 */
int commit_snapshot(struct capture *c, struct captured_set *set, struct snapshot_info *ret_info);

#endif
