/* SPDX-License-Identifier: MIT */
/*
 * memory_io: a repository folder in memory that remembers every change made
 * through the seam, in order, so that a test can ask what a power cut would
 * have left behind (see crash_states.h).
 *
 * A memory_tree is the folder; each struct io over it is one "process": its
 * descriptors and flocks end with io_free(). The tree lies in shared memory,
 * so that after fork() parent and child work on the same one. LMDB's two files
 * lie in a real folder; io_index_committed() copies data.mdb into the trace.
 *
 * What a change means for durability is not decided here: the trace has it all.
 *
 * Threads: everything may be called from any thread and process.
 */
#ifndef TESTS_FAULT_MEMORY_IO_H
#define TESTS_FAULT_MEMORY_IO_H

#include "store/base/io.h"

#define MEMORY_INDEX_PATH "index/data.mdb"

enum memory_op_kind {
	MEMORY_CREATE,       /* path, inode */
	MEMORY_WRITE,        /* inode, offset, data */
	MEMORY_FSYNC,        /* inode */
	MEMORY_FSYNC_FOLDER, /* path */
	MEMORY_RENAME,       /* path -> to, inode */
	MEMORY_UNLINK,       /* path */
	MEMORY_MKDIR,        /* path */
	MEMORY_INDEX, /* data: the index's file as it is durable now; offset: its mtime in ns */
	MEMORY_MARK,  /* value: said by the test */
	MEMORY_OP_KINDS
};

struct memory_op {
	enum memory_op_kind kind;
	enum io_object object;
	const char *path;
	const char *to;
	uint32_t inode;
	uint32_t value;
	uint64_t offset;
	const uint8_t *data;
	size_t n;
};

struct memory_tree;

/** An empty tree that records. `real_path` is an existing private folder for LMDB. NULL: no memory.
 */
struct memory_tree *memory_tree_new(const char *real_path, size_t arena_bytes);
void memory_tree_free(struct memory_tree *t);

/** Another process on the tree. */
int memory_io_open(struct memory_tree *t, struct io **ret_io);

/** Put a mark of the test into the trace. */
void memory_tree_mark(struct memory_tree *t, uint32_t value);
/** The trace so far; stays valid for the tree's life. */
const struct memory_op *memory_tree_trace(const struct memory_tree *t, size_t *ret_n);
/** Delay changes at random, so that processes interleave in many ways. 0: never. */
void memory_tree_shake(struct memory_tree *t, uint64_t seed);

/* ---- a tree as a crash left it ---- */

/** Forget everything, stop recording. */
void memory_tree_clear(struct memory_tree *t);

/* A path with its hash and its folder's. */
struct memory_name {
	const char *path;
	uint64_t hash;
	uint64_t parent;
};
struct memory_name memory_name_of(const char *path);

/** Names and data are borrowed for as long as the tree is used. */
void memory_tree_put_folder(struct memory_tree *t, const struct memory_name *name);
/** `hash` is memory_hash() of the data. */
void memory_tree_put_file(struct memory_tree *t, const struct memory_name *name,
			  const uint8_t *data, size_t n, uint64_t hash);
/** Remove whatever lies in folders that are not there. */
void memory_tree_prune(struct memory_tree *t);
bool memory_tree_has(const struct memory_tree *t, const char *path);
/** Memory that lives until the next clear. */
void *memory_tree_alloc(struct memory_tree *t, size_t n);
/** Make LMDB's real files what the tree says, with this time of change. */
void memory_tree_restore_index(struct memory_tree *t, int64_t mtime_ns);
/** Hash over all names below `prefix` ("" for all) and their contents. Not what LMDB did to its
 * file since. */
uint64_t memory_tree_hash(const struct memory_tree *t, const char *prefix);
/** Hash of LMDB's real file as it is; 0 when there is none. */
uint64_t memory_tree_real_index_hash(const struct memory_tree *t);

/** Call for every file below `prefix`. A non-zero answer ends it. */
typedef int memory_visitor(void *context, const char *path, const uint8_t *data, size_t n,
			   uint64_t hash);
int memory_tree_each_file(const struct memory_tree *t, const char *prefix, memory_visitor *visit,
			  void *context);

uint64_t memory_hash(const void *data, size_t n);
/** Next number of a small generator; never used for secrets. */
uint64_t memory_random(uint64_t *state);

#endif
