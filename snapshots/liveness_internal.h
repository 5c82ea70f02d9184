/* SPDX-License-Identifier: MIT */
/*
 * liveness_internal: what the files of liveness share.
 *
 *   liveness.c       records: which there are, which are dead
 *   liveness_walk.c  trees and lists below them
 */
#ifndef SNAPSHOTS_LIVENESS_INTERNAL_H
#define SNAPSHOTS_LIVENESS_INTERNAL_H

#include "snapshots/content_internal.h"
#include "snapshots/liveness.h"
#include "snapshots/tree_node.h"

/* What a record file is to a collection. */
enum record_state {
	RECORD_UNREAD,
	RECORD_TO_MARK, /* a snapshot, alive */
	RECORD_DEAD,    /* forgotten, nobody holds it; its file was still there */
	RECORD_SETTLED, /* marked, or a forget record, or gone */
};

struct live_record {
	uint64_t seq;
	struct record_id id;
	uint8_t *root; /* while it is to be marked */
	size_t root_n;
	enum record_state state;
};

/* A node on the way. */
struct live_node {
	struct chunk_id id;
	enum object_type type;
};

struct liveness {
	struct timeline *timeline;
	struct io *io;
	struct store *store;
	struct chunk_cache *cache;
	struct collector *collector;
	const struct collect_options *options;
	struct liveness_counts counts;
	uint64_t n_marked;           /* for the progress */
	struct live_record *records; /* ascending by sequence, then id */
	size_t n_records;
	struct sequence_range *ranges; /* forgotten; ascending and apart */
	size_t n_ranges, ranges_room;
	bool unsynced; /* records were read that may not be durable yet */
	uint64_t seq;  /* of the record being marked */
	struct live_node *nodes;
	size_t n_nodes, nodes_room;
	struct entry_decoder decoder;
	struct extent *extents; /* PIECE_EXTENTS_MAX */
};

/** Tell why nothing is deleted. Returns -EUCLEAN. */
int liveness_problem(struct liveness *l, uint64_t seq, const char *what);
/** Mark all that a snapshot's encoded root entry leads to. 0, -EUCLEAN (told), -errno. */
int liveness_walk(struct liveness *l, const uint8_t *root, size_t n);

#endif
