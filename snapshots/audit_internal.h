/* SPDX-License-Identifier: MIT */
/*
 * audit_internal: what the parts of audit share.
 *
 *   audit.c          hosts and their records
 *   audit_tree.c     trees below them, each distinct node once
 *   audit_content.c  files' chunks, and the packs that they are in
 */
#ifndef SNAPSHOTS_AUDIT_INTERNAL_H
#define SNAPSHOTS_AUDIT_INTERNAL_H

#include "snapshots/audit.h"
#include "snapshots/content_internal.h"
#include "snapshots/tree_node.h"
#include "store/pack_writer.h"

#include <sys/stat.h>

/*
 * A set of ids: their first 16 bytes, which are keyed hashes, by open
 * addressing. Invariants: n_slots is a power of two, at most 3/4 full; the
 * all-zero key is an empty slot.
 */
struct id_set {
	uint8_t (*slots)[16];
	size_t n_slots;
	size_t n;
};
/** 1 when it is new, 0 when it was in, -ENOMEM. */
int id_set_add(struct id_set *set, const struct chunk_id *id);
void id_set_done(struct id_set *set);

/* A chunk looked up lately. Bounded and lossy: a miss is looked up again. */
#define MEMO_SLOTS 65536u
struct chunk_memo {
	struct chunk_id id;
	uint32_t raw_n;
	int status; /* 1: as below is known; 0: empty slot; negative: why it is bad */
};

enum pack_state { PACK_UNKNOWN, PACK_GOOD, PACK_MISSING, PACK_WRONG_SIZE };

struct audit {
	struct store *store;
	struct chunk_cache *cache;
	const struct audit_options *options;
	struct audit_result result;
	uint64_t seq; /* of the record being walked */
	uint64_t n_records;
	struct id_set nodes;    /* tree and list nodes visited */
	struct id_set promises; /* what parents said of children, hashed, and was looked into */
	struct id_set bad;      /* objects that were shunned */
	struct chunk_memo *memo;
	uint8_t *packs; /* enum pack_state by pack number */
	size_t n_packs;
	struct byte_buf path;
	struct entry_decoder decoder;
	struct extent *extents; /* PIECE_EXTENTS_MAX */
	/* audit_shun: take what is bad out of use */
	bool shun;
	bool (*damaged_chunk)(void *context, const struct chunk_id *chunk);
	void *damaged_context;
};

/* ---- audit.c ---- */
/** Count and name something bad; path NULL: the record itself. */
void audit_damaged(struct audit *a, const char *path, const struct chunk_id *object,
		   const char *what);
/** An object is bad: with `shun`, take it out of use. Returns 0 or -ENOMEM. */
int audit_bad_object(struct audit *a, const struct chunk_id *id);
/** Met a node as one of this type: 1 for the first time, 0 again, -ENOMEM. */
int audit_first_met(struct audit *a, const struct chunk_id *id, enum object_type type);
/** A parent says these bytes of a child: 1 for the first time, 0 again, -ENOMEM. */
int audit_first_said(struct audit *a, const void *said, size_t n);
/** -ECANCELED when asked to stop, else 0. */
int audit_stopped(const struct audit *a);

/* ---- audit_tree.c ---- */
/** Walk the tree of a record's encoded root entry. 0 or why the audit ends. */
int audit_tree(struct audit *a, const void *root, size_t n);

/* ---- audit_content.c ---- */
/** Check a regular file's content and any entry's attributes. The path is a->path. */
int audit_entry(struct audit *a, const struct tree_entry *entry);
/** Is the pack's file there with the right size? */
enum pack_state audit_pack_state(struct audit *a, uint32_t number);
/** Pin an object and check its form; bad ones are named and dealt with: then 0. 1: pinned. */
int audit_node(struct audit *a, const struct chunk_id *id, enum object_type type,
	       struct chunk_pin *ret_pin);

#endif
