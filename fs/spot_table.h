/* SPDX-License-Identifier: MIT */
/*
 * spot_table: the folders below .versions, .deleted and .diff that the kernel
 * knows.
 *
 * They belong to no one snapshot: a spot is a path, and what it shows is found
 * out from the timeline whenever it is asked for. Its attributes are kept with
 * the version of the timeline for which they hold.
 *
 * Invariants:
 * - a spot lives while the kernel has look-ups of it or a spot lies in it;
 * - (parent, name, before, after) is unique; numbers are never used again;
 * - a comparison of two snapshots holds both open, and so does all below it.
 *
 * Memory: about 300 bytes a spot. Threads: any; one lock (LOCK_RANK_MOUNT)
 * guards everything.
 */
#ifndef FS_SPOT_TABLE_H
#define FS_SPOT_TABLE_H

#include "fs/node_id.h"
#include "fs/open_snapshot.h"

#include <sys/stat.h>

struct spot_table;

enum spot_kind {
	SPOT_PATH,     /* a folder at a path */
	SPOT_COMPARED, /* @a..@b */
	SPOT_ADDED,
	SPOT_REMOVED,
	SPOT_MODIFIED,
};

/* A spot as a request needs it: a copy. */
struct spot {
	uint64_t node;
	uint64_t parent; /* a spot's node, or that of the view's folder */
	uint64_t ino;
	uint64_t parent_ino;
	uint32_t host;
	enum host_folder view;  /* FOLDER_VERSIONS, FOLDER_DELETED or FOLDER_DIFF */
	enum spot_kind kind;    /* below .diff: which change, for all that lies below, too */
	uint64_t before, after; /* of a comparison: sequences */
	char *path;             /* "" or "/home/me"; spot_done() frees it */
	/* what it showed last */
	uint64_t version; /* of the host, 0: not known */
	struct stat st;
	uint64_t seq;   /* the snapshot whose entry gave mode, owner and ACL; 0: the mount's own */
	bool of_parent; /* the entry is that of the folder above */
};

int spot_table_new(struct spot_table **ret_table);
void spot_table_free(struct spot_table *t);
CLEANUP_DEFINE(struct spot_table, spot_table_free)

/** Returns 0, -ESTALE, -ENOMEM; spot_done() when it succeeded. */
int spot_table_get(struct spot_table *t, uint64_t node, struct spot *ret_spot);
void spot_done(struct spot *s);
/**
 * Look a spot up, or make it: `like` gives everything but node and path, its
 * name is added to the parent's path when it is a folder at a path. Counts one
 * look-up. `held` (NULL, or two snapshots; taken when the spot is new) stay
 * open as long as the spot lives. Returns 0, -ESTALE, -ENOMEM.
 */
int spot_table_enter(struct spot_table *t, const struct spot *like, const char *name,
		     struct open_snapshot **held, uint64_t *ret_node);
/** The attributes of a spot, when they are known for this version: 1, and one look-up is counted;
 * else 0. */
int spot_table_again(struct spot_table *t, uint64_t parent, const char *name, uint64_t version,
		     uint64_t *ret_node, struct stat *ret_st);
/** Note what a spot shows now: version, st, seq, of_parent. */
void spot_table_note(struct spot_table *t, const struct spot *s);
/** The kernel drops n look-ups. */
void spot_table_forget(struct spot_table *t, uint64_t node, uint64_t n);
/** The nodes of all spots of a host; the caller frees *ret_nodes. Returns 0 or -ENOMEM. */
int spot_table_nodes(struct spot_table *t, uint32_t host, uint64_t **ret_nodes, size_t *ret_n);

#endif
