/* SPDX-License-Identifier: MIT */
/*
 * snapshot_fixture: puts a real folder into a store as a snapshot, in the
 * plainest way (a chunk for each 128 KiB), for tests of what reads snapshots.
 */
#ifndef TESTS_UNIT_SNAPSHOT_FIXTURE_H
#define TESTS_UNIT_SNAPSHOT_FIXTURE_H

#include "snapshots/tree_writer.h"
#include "snapshots/xattr_set.h"
#include "tests/unit/timeline_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define SNAPSHOT_PIECE KIB(128)

struct snapshot_maker {
	struct object_sink sink;
	struct store *store;
	struct store_writer *writer;
	struct compressor *compressor;
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
	uint32_t flags; /* ENTRY_* for every regular file */
};

static inline int snapshot_put(struct object_sink *sink, enum object_type type, const void *data,
			       size_t n, struct chunk_id *ret_id)
{
	struct snapshot_maker *m = (struct snapshot_maker *)sink;
	int r;

	id_hasher_run(m->hashers[type], data, n, ret_id);
	r = store_writer_put(m->writer, m->compressor, type, ret_id, data, n);
	return r < 0 ? r : 0;
}

static inline void snapshot_maker_init(struct snapshot_maker *m, struct store *s)
{
	*m = (struct snapshot_maker){ .sink.put = snapshot_put, .store = s };
	assert_int_equal(store_writer_new(s, &m->writer), 0);
	assert_int_equal(compressor_new(&m->compressor), 0);
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX; type++)
		assert_int_equal(store_hasher(s, (enum object_type)type, &m->hashers[type]), 0);
}

static inline void snapshot_maker_done(struct snapshot_maker *m)
{
	assert_int_equal(store_writer_finish(m->writer), 0);
	store_writer_free(m->writer);
	compressor_free(m->compressor);
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX; type++)
		id_hasher_free(m->hashers[type]);
}

static inline void snapshot_content(struct snapshot_maker *m, struct content_builder *b, int fd,
				    struct content *ret_content)
{
	static uint8_t bytes[SNAPSHOT_PIECE];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		struct piece piece = { .length = (uint64_t)n };
		struct extent extent = { .length = (uint32_t)n };

		if (n == SNAPSHOT_PIECE && bytes_are_zero(bytes, (size_t)n)) {
			assert_int_equal(content_builder_add(b, &piece, NULL), 0);
			continue;
		}
		assert_int_equal(
			snapshot_put(&m->sink, OBJECT_DATA, bytes, (size_t)n, &extent.chunk), 0);
		piece.id = extent.chunk;
		piece.n_extents = 1;
		assert_int_equal(content_builder_add(b, &piece, &extent), 0);
	}
	assert_int_equal(n, 0);
	assert_int_equal(content_builder_finish(b, ret_content), 0);
}

static inline void snapshot_entry_of(const struct stat *st, struct tree_entry *e)
{
	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->nlink = (uint32_t)st->st_nlink;
	e->ino = st->st_ino;
	e->size = (uint64_t)st->st_size;
	e->rdev = (uint64_t)major(st->st_rdev) << 32 | minor(st->st_rdev);
	e->mtime = (struct node_time){ st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec };
	e->ctime = (struct node_time){ st->st_ctim.tv_sec, (uint32_t)st->st_ctim.tv_nsec };
}

static inline int snapshot_name_order(const struct dirent **a, const struct dirent **b)
{
	return name_compare((*a)->d_name, (uint32_t)strlen((*a)->d_name), (*b)->d_name,
			    (uint32_t)strlen((*b)->d_name));
}

static inline struct chunk_id snapshot_folder(struct snapshot_maker *m, int dirfd);

static inline void snapshot_add(struct snapshot_maker *m, struct tree_writer *w, int dirfd,
				const char *name)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf xattrs = { 0 };
	CLEANUP(content_builder_free_ptr) struct content_builder *builder = NULL;
	CLEANUP(close_fd_ptr) int located = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP(close_fd_ptr) int fd = -1;
	struct tree_entry e = { .name = name, .name_n = (uint32_t)strlen(name) };
	char link[LINK_BYTES_MAX + 1], proc[40];
	struct stat st;

	assert_true(located >= 0);
	assert_int_equal(fstat(located, &st), 0);
	snapshot_entry_of(&st, &e);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", located);
	assert_int_equal(xattr_set_read(-1, proc, true, &xattrs), 0);
	e.xattrs = xattrs.data;
	e.xattrs_n = (uint32_t)xattrs.n;
	if (S_ISLNK(st.st_mode)) {
		e.link = link;
		e.link_n = (uint32_t)readlinkat(dirfd, name, link, sizeof(link));
	} else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		unsigned int flags = 0;

		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		assert_true(fd >= 0);
		if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
			e.attribute_flags = flags & (FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL);
	}
	if (S_ISDIR(st.st_mode))
		e.tree = snapshot_folder(m, fd);
	if (S_ISDIR(st.st_mode))
		e.size = 0;
	assert_int_equal(content_builder_new(&m->sink, m->hashers[OBJECT_LIST], &builder), 0);
	if (S_ISREG(st.st_mode)) {
		e.flags |= m->flags;
		snapshot_content(m, builder, fd, &e.content);
	}
	assert_int_equal(tree_writer_add(w, &e), 0);
}

static inline struct chunk_id snapshot_folder(struct snapshot_maker *m, int dirfd)
{
	CLEANUP(tree_writer_free_ptr) struct tree_writer *w = NULL;
	const struct key_ring *keys = store_keys(m->store);
	struct dirent **names = NULL;
	struct chunk_id root;
	uint64_t count;
	int n;

	assert_int_equal(tree_writer_new(&m->sink, key_ring_get(keys, KEY_PLACEMENT), &w), 0);
	n = scandirat(dirfd, ".", &names, NULL, snapshot_name_order);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0)
			snapshot_add(m, w, dirfd, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	assert_int_equal(tree_writer_finish(w, &root, &count), 0);
	return root;
}

/* A snapshot whose root is the contents of `path`. */
static inline void snapshot_take(struct timeline *t, const char *path, uint32_t file_flags,
				 struct snapshot_info *ret_info)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct snapshot_maker m;
	struct chunk_id root;

	assert_true(fd >= 0);
	snapshot_maker_init(&m, timeline_store(t));
	m.flags = file_flags;
	root = snapshot_folder(&m, fd);
	snapshot_maker_done(&m);
	fixture_append(t, clock_now_ns(), NULL, &root, ret_info);
}

#endif
