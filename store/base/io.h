/* SPDX-License-Identifier: MIT */
/*
 * io: the seam through which every byte of a repository is read and written.
 *
 * A struct io stands for one repository folder; paths are relative to it, use
 * '/' and never begin with one. Behind it is the real file system
 * (io_posix_open) or, in the tests, a file tree in memory that forgets what
 * was not synced. Only LMDB, which does its own I/O, goes past it: it lives in
 * io_real_path(io)/index, and io_index_committed() tells the seam when its
 * file has become durable.
 *
 * Every mutating call says for which kind of object it works, so that a test
 * can switch off one step of the commit protocol ("the fsync of a record").
 *
 * All calls return 0 or a positive answer, or -errno; EINTR is retried, short
 * writes are continued. Only the calls for whole files, and io_posix_create,
 * log what goes wrong (not -ENOENT, -EEXIST, -EFBIG): elsewhere the caller
 * knows better what a failure means. Threads: calls may run in parallel; one descriptor is
 * used by one thread at a time, except for io_pread.
 */
#ifndef STORE_BASE_IO_H
#define STORE_BASE_IO_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a mutating call works on. */
enum io_object {
	IO_OBJECT_FOLDER, /* the folders made by init */
	IO_OBJECT_CONFIG,
	IO_OBJECT_KEY,
	IO_OBJECT_PACK,
	IO_OBJECT_RECORD,
	IO_OBJECT_LOCAL, /* local/: this machine's state */
	IO_OBJECT_INDEX, /* marker files beside LMDB */
	IO_OBJECT_TMP,   /* removal of dead files in tmp/ */
	IO_OBJECT_KINDS
};

/* Flags of io_open. Descriptors are close-on-exec and never follow a final symlink. */
enum {
	IO_OPEN_READ = 1,   /* for reading */
	IO_OPEN_WRITE = 2,  /* for reading and writing */
	IO_OPEN_CREATE = 4, /* make it if missing, mode 0600 */
	IO_OPEN_NEW = 8,    /* with CREATE: -EEXIST if it is there */
};

enum io_lock { IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE, IO_LOCK_NONE };

struct io_stat {
	uint64_t size;
	int64_t mtime_ns;
	bool is_folder;
};

struct io;

/* Called once per name, in no order. Return 0 to go on; all else ends the listing, which yields it.
 */
typedef int io_list_visitor(void *context, const char *name);

struct io_ops {
	int (*open)(struct io *io, const char *path, int flags, enum io_object object);
	int (*close)(struct io *io, int fd);
	int64_t (*pread)(struct io *io, int fd, void *to, size_t n, uint64_t offset);
	int64_t (*pwrite)(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
			  enum io_object object);
	int (*size)(struct io *io, int fd, uint64_t *ret_size);
	int (*fsync)(struct io *io, int fd, enum io_object object);
	int (*fsync_folder)(struct io *io, const char *path, enum io_object object);
	int (*rename)(struct io *io, const char *from, const char *to, bool replace,
		      enum io_object object);
	int (*unlink)(struct io *io, const char *path, enum io_object object);
	int (*mkdir)(struct io *io, const char *path, enum io_object object);
	int (*list)(struct io *io, const char *path, io_list_visitor *visit, void *context);
	int (*stat)(struct io *io, const char *path, struct io_stat *ret_stat);
	int (*lock)(struct io *io, int fd, enum io_lock lock, bool wait);
	void (*index_committed)(struct io *io);
	void (*free)(struct io *io);
};

struct io {
	const struct io_ops *ops;
	char *real_path; /* absolute path of the folder on this machine */
};

/**
 * Open an existing folder on the real file system. Returns 0, or -errno
 * (-ENOENT, -ENOTDIR, -EACCES). Free with io_free().
 */
int io_posix_open(const char *path, struct io **ret_io);
/** Make the folder (mode 0700) if it is missing, its parent must exist, sync it, and open it. */
int io_posix_create(const char *path, struct io **ret_io);
void io_free(struct io *io);
CLEANUP_DEFINE(struct io, io_free)

/** Where the folder is on this machine: for LMDB and for messages. */
const char *io_real_path(const struct io *io);

/** Yields a descriptor of the seam (0 or more), not always a kernel one. */
int io_open(struct io *io, const char *path, int flags, enum io_object object);
/** A negative descriptor is fine. */
void io_close(struct io *io, int fd);
/** Read up to n bytes; fewer only at the end of the file. Returns the count. */
int64_t io_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset);
/** Write all n bytes. Returns 0. */
int io_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
	      enum io_object object);
int io_size(struct io *io, int fd, uint64_t *ret_size);
/** On failure the file's contents are unknown for ever: never call it again on this descriptor. */
int io_fsync(struct io *io, int fd, enum io_object object);
/** Make the names inside a folder durable ("" is the repository's own). */
int io_fsync_folder(struct io *io, const char *path, enum io_object object);
/** Without `replace`: -EEXIST if `to` is there. Durable after io_fsync_folder of both parents. */
int io_rename(struct io *io, const char *from, const char *to, bool replace, enum io_object object);
int io_unlink(struct io *io, const char *path, enum io_object object);
/** Returns 0 also when the folder is there already. */
int io_mkdir(struct io *io, const char *path, enum io_object object);
/** Visit the names in a folder, without "." and "..". The set is read before the first visit. */
int io_list(struct io *io, const char *path, io_list_visitor *visit, void *context);
/** Returns 0, -ENOENT, or another -errno. Never follows a final symlink. */
int io_stat(struct io *io, const char *path, struct io_stat *ret_stat);
/** flock(2). Without `wait`: -EWOULDBLOCK when another descriptor holds it. */
int io_lock(struct io *io, int fd, enum io_lock lock, bool wait);
/** Tell the seam that the index's file is durable as it now stands. */
void io_index_committed(struct io *io);

/**
 * Write a whole small file durably: a new file in tmp/, length check, fsync,
 * rename to `path` (with or without replacing), fsync of its folder. On
 * failure nothing is at `path` that was not there before (with -EEXIST: the
 * other file). Returns 0 or -errno.
 */
int io_write_file(struct io *io, const char *path, const void *data, size_t n, bool replace,
		  enum io_object object);

/**
 * Read a whole file of at most `max` bytes. The caller frees *ret_data.
 * Returns 0, -ENOENT, -EFBIG when it is larger, or another -errno.
 */
int io_read_file(struct io *io, const char *path, size_t max, uint8_t **ret_data, size_t *ret_n);

/** A name in tmp/ that nothing else uses: "tmp/<32 hex digits>". `to` holds 40 bytes. */
void io_tmp_name(char to[static 40]);

#endif
