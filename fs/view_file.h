/* SPDX-License-Identifier: MIT */
/*
 * view_file: the contents of captured files, and what is fetched ahead of
 * those who read them one byte, or one file, after another.
 *
 * Threads: any.
 */
#ifndef FS_VIEW_FILE_H
#define FS_VIEW_FILE_H

#include "fs/view.h"

/* A read under way: between the reply and view_file_read_end() the next bytes are asked for. */
struct file_read {
	struct iovec spans[CONTENT_SPANS_MAX]; /* the bytes, where the cache has them */
	uint32_t n_spans;
	struct content_lease content;
	struct entry_place place;
	uint64_t offset;
	uint64_t n;
};

/**
 * Read up to n bytes of a file at an offset. Returns the count, or -errno
 * (damage is never -ENOENT); -EFBIG when they are too scattered to be named:
 * call view_file_read_copy(). Reply, then call view_file_read_end() in any
 * case.
 */
int64_t view_file_read_begin(struct view *v, uint64_t node, uint64_t offset, size_t n,
			     struct file_read *ret_read);
/** After -EFBIG: copy the bytes into `to`. Returns the count or -errno. */
int64_t view_file_read_copy(struct file_read *read, void *to, size_t n);
/** Ask for what will be read next, and let go of the file. */
void view_file_read_end(struct view *v, struct file_read *read);
/** SEEK_DATA, or SEEK_HOLE with `hole`. Returns the offset, -ENXIO past the end, -errno. */
int64_t view_file_seek(struct view *v, uint64_t node, uint64_t offset, bool hole);

#endif
