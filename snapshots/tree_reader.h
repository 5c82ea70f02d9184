/* SPDX-License-Identifier: MIT */
/*
 * tree_reader: reads one directory out of the store: by name, by number, or
 * one entry after another.
 *
 * Holds pins on at most TREE_LEVELS_MAX nodes. Levels must descend by one from
 * node to node and names must lie in the parent's range, so that a forged tree
 * can neither loop nor grow deeper than that. Reused for many directories.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_TREE_READER_H
#define SNAPSHOTS_TREE_READER_H

#include "snapshots/tree_node.h"

struct tree_reader;

int tree_reader_new(struct chunk_cache *cache, struct tree_reader **ret_reader);
void tree_reader_free(struct tree_reader *r);
CLEANUP_DEFINE(struct tree_reader, tree_reader_free)
/** Read this directory from now on, at its first entry. All zero: an empty one. Returns 0 or
 * -errno. */
int tree_reader_set(struct tree_reader *r, const struct chunk_id *root);
/** From now on names are looked up here and there (or again listed in order): the next node is not
 * decoded ahead. */
void tree_reader_scattered(struct tree_reader *r, bool scattered);
/** Entries in the directory. */
uint64_t tree_reader_count(const struct tree_reader *r);
/** Go to the first entry with name >= the given one. Returns 0 or -errno. */
int tree_reader_seek_name(struct tree_reader *r, const char *name, uint32_t n);
/** Go to entry number i (i >= count: the end). Returns 0 or -errno. */
int tree_reader_seek_index(struct tree_reader *r, uint64_t i);
/** Number of the entry that _next would yield. */
uint64_t tree_reader_position(const struct tree_reader *r);
/** 1 and the next entry, valid until the next call on r; 0 at the end; -errno. */
int tree_reader_next(struct tree_reader *r, struct tree_entry *ret_entry);
/**
 * After _next failed with -EBADMSG, -EUCLEAN, -ENOENT or -EREMOTEIO: step over
 * what cannot be read, a node's share of the directory or one entry, so that
 * the rest is not lost with it. Returns how many entries that were; 0 when
 * nothing is left to step over.
 */
uint64_t tree_reader_skip_damaged(struct tree_reader *r);
/** Find by name: 0, -ENOENT, -errno. *ret_index may be NULL. */
int tree_reader_find(struct tree_reader *r, const char *name, uint32_t n,
		     struct tree_entry *ret_entry, uint64_t *ret_index);

/**
 * Follow a path of names from a directory root, '/'-separated, "" being the
 * root itself (then -EISDIR: the caller has its entry). Symlinks are not
 * followed. Returns 0; -ENOENT; -ENOTDIR; -errno. The entry is valid until the
 * next call on r.
 */
int tree_reader_walk(struct tree_reader *r, const struct chunk_id *root, const char *path,
		     struct tree_entry *ret_entry);

#endif
