/* SPDX-License-Identifier: MIT */
/* What memory_io.c (the seam's calls) and memory_state.c (trees made from outside) share. */
#ifndef TESTS_FAULT_MEMORY_IO_INTERNAL_H
#define TESTS_FAULT_MEMORY_IO_INTERNAL_H

#include "tests/fault/memory_io.h"

#include <pthread.h>

#define ENTRIES_MAX 2048u
#define SLOTS 8192u
#define FDS_MAX 512
#define OPS_MAX 65536u
#define PATH_ROOM 512

struct inode {
	uint32_t number;
	bool is_folder;
	bool borrowed; /* data is somebody else's: copy before writing */
	uint8_t *data;
	size_t n;
	size_t room;
	uint64_t hash; /* 0: not known */
	int64_t mtime_ns;
	int exclusive; /* descriptor + 1 that holds it, or 0 */
	int shared;    /* number of holders */
};

struct entry {
	const char *path;
	uint64_t hash;
	uint64_t parent; /* hash of the folder's path */
	struct inode *inode;
};

struct fd {
	struct inode *inode;
	uint64_t owner; /* number of its struct io; pointers repeat after fork */
	enum io_lock lock;
	int flags;
};

struct memory_tree {
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t unlocked;
	char real_path[PATH_ROOM];
	size_t arena_bytes;
	size_t used;
	size_t used_at_start;
	bool recording;
	uint64_t shake;
	uint32_t n_inodes;
	uint32_t n_entries;
	struct entry entries[ENTRIES_MAX];
	uint16_t slots[SLOTS]; /* entry + 1 */
	struct fd fds[FDS_MAX];
	uint64_t n_owners;
	uint64_t index_ino; /* of LMDB's real file as the tree knows it */
	struct memory_op *ops;
	size_t n_ops;
};

/* All with the mutex held, or while nobody else uses the tree. */
size_t memory_parent_length(const char *path);
struct entry *memory_entry_find(const struct memory_tree *t, const char *path);
void memory_entry_add(struct memory_tree *t, const struct memory_name *name, struct inode *inode);
void memory_entry_remove(struct memory_tree *t, struct entry *e);
bool memory_is_folder(const struct memory_tree *t, const char *path, size_t n);
struct inode *memory_inode_new(struct memory_tree *t, bool folder);
struct memory_op *memory_record(struct memory_tree *t, enum memory_op_kind kind,
				enum io_object object);
int memory_unlink_lmdb(struct memory_tree *t, const char *path);
int memory_open_index(const struct memory_tree *t, int flags);

static inline void memory_unlock(pthread_mutex_t **mutex)
{
	(void)pthread_mutex_unlock(*mutex);
}

#define TREE_SCOPE(t)                                        \
	CLEANUP(memory_unlock)                               \
	__attribute__((unused)) pthread_mutex_t *scope_ = ({ \
		(void)pthread_mutex_lock(&(t)->mutex);       \
		&(t)->mutex;                                 \
	})

#endif
