/* SPDX-License-Identifier: MIT */
#include "store/base/io.h"

#include "store/base/bytes.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#define TMP_FOLDER "tmp/"
#define TMP_RANDOM_BYTES 16
#define TMP_TRIES 4

static_assert(sizeof(TMP_FOLDER) + 2ul * TMP_RANDOM_BYTES <= 40, "a tmp name fits its buffer");

void io_free(struct io *io)
{
	if (io)
		io->ops->free(io);
}

const char *io_real_path(const struct io *io)
{
	return io->real_path;
}

int io_open(struct io *io, const char *path, int flags, enum io_object object)
{
	assert(io);
	assert(path[0] != '\0');
	assert(path[0] != '/');
	assert(flags & (IO_OPEN_READ | IO_OPEN_WRITE));
	assert(!(flags & IO_OPEN_CREATE) || (flags & IO_OPEN_WRITE));
	assert(!(flags & IO_OPEN_NEW) || (flags & IO_OPEN_CREATE));
	assert(object < IO_OBJECT_KINDS);
	return io->ops->open(io, path, flags, object);
}

void io_close(struct io *io, int fd)
{
	/* What matters was synced before: nothing is learned from close. */
	if (fd >= 0)
		(void)io->ops->close(io, fd);
}

int64_t io_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	size_t done = 0;

	assert(fd >= 0);
	if (n > INT64_MAX || offset > INT64_MAX - n)
		return -EINVAL;
	while (done < n) {
		int64_t r = io->ops->pread(io, fd, (uint8_t *)to + done, n - done, offset + done);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		if (r == 0)
			break;
		assert((uint64_t)r <= n - done);
		done += (size_t)r;
	}
	return (int64_t)done;
}

int io_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
	      enum io_object object)
{
	size_t done = 0;

	assert(fd >= 0);
	assert(object < IO_OBJECT_KINDS);
	if (n > INT64_MAX || offset > INT64_MAX - n)
		return -EFBIG;
	while (done < n) {
		int64_t r = io->ops->pwrite(io, fd, (const uint8_t *)from + done, n - done,
					    offset + done, object);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		if (r == 0)
			return -EIO; /* no progress and no reason: never loop on it */
		assert((uint64_t)r <= n - done);
		done += (size_t)r;
	}
	return 0;
}

int io_size(struct io *io, int fd, uint64_t *ret_size)
{
	assert(fd >= 0);
	return io->ops->size(io, fd, ret_size);
}

int io_fsync(struct io *io, int fd, enum io_object object)
{
	assert(fd >= 0);
	assert(object < IO_OBJECT_KINDS);
	return io->ops->fsync(io, fd, object);
}

int io_fsync_folder(struct io *io, const char *path, enum io_object object)
{
	assert(path[0] != '/');
	assert(object < IO_OBJECT_KINDS);
	return io->ops->fsync_folder(io, path, object);
}

int io_rename(struct io *io, const char *from, const char *to, bool replace, enum io_object object)
{
	assert(from[0] != '\0');
	assert(from[0] != '/');
	assert(to[0] != '\0');
	assert(to[0] != '/');
	assert(object < IO_OBJECT_KINDS);
	return io->ops->rename(io, from, to, replace, object);
}

int io_unlink(struct io *io, const char *path, enum io_object object)
{
	assert(path[0] != '\0');
	assert(path[0] != '/');
	assert(object < IO_OBJECT_KINDS);
	return io->ops->unlink(io, path, object);
}

int io_mkdir(struct io *io, const char *path, enum io_object object)
{
	assert(path[0] != '\0');
	assert(path[0] != '/');
	assert(object < IO_OBJECT_KINDS);
	return io->ops->mkdir(io, path, object);
}

int io_list(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	assert(path[0] != '/');
	assert(visit);
	return io->ops->list(io, path, visit, context);
}

int io_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	assert(path[0] != '/');
	return io->ops->stat(io, path, ret_stat);
}

int io_lock(struct io *io, int fd, enum io_lock lock, bool wait)
{
	assert(fd >= 0);
	return io->ops->lock(io, fd, lock, wait);
}

void io_index_committed(struct io *io)
{
	io->ops->index_committed(io);
}

void io_tmp_name(char to[static 40])
{
	uint8_t random[TMP_RANDOM_BYTES];
	ssize_t n;

	do {
		n = getrandom(random, sizeof(random), 0);
	} while (n < 0 && errno == EINTR);
	/* A kernel without randomness is one on which no key is safe, either. */
	assert(n == (ssize_t)sizeof(random));
	memcpy(to, TMP_FOLDER, sizeof(TMP_FOLDER) - 1);
	(void)bytes_to_hex(random, sizeof(random), to + sizeof(TMP_FOLDER) - 1);
}

/*
 * Make and lock a file in tmp/. Between the two another process may take it
 * for the leftover of a dead writer; then it holds the lock, or the name is
 * gone, and a new name is tried.
 */
static int open_tmp(struct io *io, enum io_object object, char name[static 40])
{
	for (int i = 0; i < TMP_TRIES; i++) {
		struct io_stat stat;
		int fd, r;

		io_tmp_name(name);
		fd = io_open(io, name, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, object);
		if (fd < 0)
			return fd;
		r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, false);
		if (r == 0)
			r = io_stat(io, name, &stat);
		if (r == 0)
			return fd;
		io_close(io, fd);
		if (r != -EWOULDBLOCK && r != -ENOENT) {
			(void)io_unlink(io, name, object);
			return r;
		}
	}
	return -EBUSY;
}

static int fill_tmp(struct io *io, int fd, const void *data, size_t n, enum io_object object)
{
	uint64_t size;
	int r;

	r = io_pwrite(io, fd, data, n, 0, object);
	if (r < 0)
		return r;
	r = io_size(io, fd, &size);
	if (r < 0)
		return r;
	if (size != n)
		return -EIO;
	return io_fsync(io, fd, object);
}

static int fsync_parent(struct io *io, const char *path, enum io_object object)
{
	CLEANUP(free_ptr) char *folder = NULL;
	const char *slash = strrchr(path, '/');

	folder = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
	if (!folder)
		return -ENOMEM;
	return io_fsync_folder(io, folder, object);
}

int io_write_file(struct io *io, const char *path, const void *data, size_t n, bool replace,
		  enum io_object object)
{
	char tmp[40];
	int fd, r;

	assert(path);
	fd = open_tmp(io, object, tmp);
	if (fd < 0)
		return log_errno(fd, "%s/%s: cannot make a temporary file for it", io->real_path,
				 path);
	r = fill_tmp(io, fd, data, n, object);
	if (r == 0)
		r = io_rename(io, tmp, path, replace, object);
	io_close(io, fd);
	if (r < 0) {
		(void)io_unlink(io, tmp, object);
		if (r == -EEXIST && !replace)
			return r;
		return log_errno(r, "%s/%s: cannot write", io->real_path, path);
	}
	r = fsync_parent(io, path, object);
	if (r < 0) {
		/* Not known to be durable: it must not be found by somebody who relies on it. */
		if (!replace)
			(void)io_unlink(io, path, object);
		return log_errno(r, "%s/%s: cannot make the name durable", io->real_path, path);
	}
	return 0;
}

static int read_opened(struct io *io, int fd, size_t max, uint8_t **ret_data, size_t *ret_n)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	uint64_t size;
	int64_t got;
	int r;

	r = io_size(io, fd, &size);
	if (r < 0)
		return r;
	if (size > max)
		return -EFBIG;
	data = malloc(size ? (size_t)size : 1);
	if (!data)
		return -ENOMEM;
	got = io_pread(io, fd, data, (size_t)size, 0);
	if (got < 0)
		return (int)got;
	*ret_data = STEAL(data);
	*ret_n = (size_t)got;
	return 0;
}

int io_read_file(struct io *io, const char *path, size_t max, uint8_t **ret_data, size_t *ret_n)
{
	int fd, r;

	fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_LOCAL);
	if (fd == -ENOENT)
		return fd;
	if (fd < 0)
		return log_errno(fd, "%s/%s: cannot open", io->real_path, path);
	r = read_opened(io, fd, max, ret_data, ret_n);
	io_close(io, fd);
	if (r < 0 && r != -EFBIG)
		return log_errno(r, "%s/%s: cannot read", io->real_path, path);
	return r;
}
