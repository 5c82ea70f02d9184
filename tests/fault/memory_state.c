/* SPDX-License-Identifier: MIT */
/* Trees as a whole: made, filled from outside, hashed, looked through. */
#include "tests/fault/memory_io_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct memory_tree *memory_tree_new(const char *real_path, size_t arena_bytes)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;
	struct memory_tree *t;

	assert(strlen(real_path) < PATH_ROOM);
	t = mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t == MAP_FAILED)
		return NULL;
	t->arena_bytes = arena_bytes;
	t->used = (sizeof(*t) + 15) & ~(size_t)15;
	(void)strcpy(t->real_path, real_path);
	(void)pthread_mutexattr_init(&mutex);
	(void)pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutex_init(&t->mutex, &mutex);
	(void)pthread_condattr_init(&condition);
	(void)pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	(void)pthread_cond_init(&t->unlocked, &condition);
	t->ops = memory_tree_alloc(t, OPS_MAX * sizeof(*t->ops));
	t->used_at_start = t->used;
	t->recording = true;
	return t;
}

void memory_tree_free(struct memory_tree *t)
{
	if (t)
		(void)munmap(t, t->arena_bytes);
}

void memory_tree_mark(struct memory_tree *t, uint32_t value)
{
	TREE_SCOPE(t);

	memory_record(t, MEMORY_MARK, IO_OBJECT_LOCAL)->value = value;
}

const struct memory_op *memory_tree_trace(const struct memory_tree *t, size_t *ret_n)
{
	*ret_n = t->n_ops;
	return t->ops;
}

void memory_tree_shake(struct memory_tree *t, uint64_t seed)
{
	t->shake = seed;
}

void memory_tree_clear(struct memory_tree *t)
{
	t->used = t->used_at_start;
	t->recording = false;
	t->n_inodes = 0;
	t->n_entries = 0;
	memset(t->slots, 0, sizeof(t->slots));
	memset(t->fds, 0, sizeof(t->fds));
}

void memory_tree_put_folder(struct memory_tree *t, const struct memory_name *name)
{
	memory_entry_add(t, name, memory_inode_new(t, true));
}

void memory_tree_put_file(struct memory_tree *t, const struct memory_name *name,
			  const uint8_t *data, size_t n, uint64_t hash)
{
	struct inode *inode = memory_inode_new(t, false);

	inode->data = (uint8_t *)data; /* never written to while it is borrowed */
	inode->n = n;
	inode->borrowed = true;
	inode->hash = hash;
	memory_entry_add(t, name, inode);
}

void memory_tree_prune(struct memory_tree *t)
{
	bool again;

	do {
		again = false;
		for (uint32_t i = t->n_entries; i-- > 0;) {
			const char *path = t->entries[i].path;

			if (memory_is_folder(t, path, memory_parent_length(path)))
				continue;
			memory_entry_remove(t, &t->entries[i]);
			again = true;
		}
	} while (again);
}

bool memory_tree_has(const struct memory_tree *t, const char *path)
{
	return memory_entry_find(t, path) != NULL;
}

void memory_tree_restore_index(struct memory_tree *t, int64_t mtime_ns)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime_ns / 1000000000, .tv_nsec = mtime_ns % 1000000000 },
	};
	CLEANUP(close_fd_ptr) int fd = -1;
	const struct entry *e = memory_entry_find(t, MEMORY_INDEX_PATH);
	char real[2 * PATH_ROOM];
	ssize_t done = 0;

	(void)snprintf(real, sizeof(real), "%s/index", t->real_path);
	(void)mkdir(real, 0700);
	if (!e) {
		(void)memory_unlink_lmdb(t, MEMORY_INDEX_PATH);
		(void)memory_unlink_lmdb(t, "index/lock.mdb");
		if (!memory_tree_has(t, "index"))
			(void)rmdir(real);
		return;
	}
	fd = memory_open_index(t, O_RDWR | O_CREAT);
	assert(fd >= 0);
	if (e->inode->n > 0)
		done = pwrite(fd, e->inode->data, e->inode->n, 0);
	assert(done == (ssize_t)e->inode->n);
	done = ftruncate(fd, (off_t)e->inode->n);
	assert(done == 0);
	/* The mark of a clean end names it. */
	done = futimens(fd, times);
	assert(done == 0);
}

static uint64_t inode_hash(struct inode *inode)
{
	if (inode->is_folder)
		return 2;
	if (!inode->hash)
		inode->hash = memory_hash(inode->data, inode->n);
	return inode->hash;
}

uint64_t memory_tree_hash(const struct memory_tree *t, const char *prefix)
{
	const size_t n = strlen(prefix);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < t->n_entries; i++) {
		const struct entry *e = &t->entries[i];
		uint64_t mixed;

		if (n > 0 && strncmp(e->path, prefix, n) != 0)
			continue;
		mixed = (e->hash ^ inode_hash(e->inode) * 0xd6e8feb86659fd93u) *
			0x94d049bb133111ebu;
		sum += mixed ^ mixed >> 31;
	}
	return sum;
}

uint64_t memory_tree_real_index_hash(const struct memory_tree *t)
{
	CLEANUP(close_fd_ptr) int fd = memory_open_index(t, O_RDONLY);
	struct stat st;
	uint64_t hash;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 0;
	hash = memory_hash(map, (size_t)st.st_size);
	(void)munmap(map, (size_t)st.st_size);
	return hash;
}

int memory_tree_each_file(const struct memory_tree *t, const char *prefix, memory_visitor *visit,
			  void *context)
{
	const size_t n = strlen(prefix);

	for (uint32_t i = 0; i < t->n_entries; i++) {
		const struct entry *e = &t->entries[i];
		int r;

		if (e->inode->is_folder || strncmp(e->path, prefix, n) != 0)
			continue;
		r = visit(context, e->path, e->inode->data, e->inode->n, inode_hash(e->inode));
		if (r != 0)
			return r;
	}
	return 0;
}
