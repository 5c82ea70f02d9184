/* SPDX-License-Identifier: MIT */
#include "store/reserve.h"

#include "store/base/log.h"
#include "store/crypto.h"

#include <errno.h>
#include <stdlib.h>

#define PATH "local/reserve"
#define BLOCK_BYTES (256ul << 10)

static int fill(struct io *io, int fd, uint64_t bytes)
{
	CLEANUP(free_ptr) uint8_t *block = malloc(BLOCK_BYTES);
	int r = 0;

	if (!block)
		return -ENOMEM;
	for (uint64_t at = 0; at < bytes && r == 0; at += BLOCK_BYTES) {
		uint64_t n = bytes - at < BLOCK_BYTES ? bytes - at : BLOCK_BYTES;

		crypto_random(block, (size_t)n);
		r = io_pwrite(io, fd, block, (size_t)n, at, IO_OBJECT_LOCAL);
	}
	/* Only now a file system that allocates late says that there is no space. */
	return r < 0 ? r : io_fsync(io, fd, IO_OBJECT_LOCAL);
}

int reserve_make(struct io *io, uint64_t bytes)
{
	struct io_stat st;
	int fd, r;

	r = io_stat(io, PATH, &st);
	if (r == 0 && st.size == bytes)
		return 0;
	if (r == 0)
		(void)io_unlink(io, PATH, IO_OBJECT_LOCAL);
	fd = io_open(io, PATH, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (fd < 0)
		return fd;
	r = fill(io, fd, bytes);
	io_close(io, fd);
	if (r < 0)
		(void)io_unlink(io, PATH, IO_OBJECT_LOCAL);
	if (r < 0 && r != -ENOSPC)
		return log_errno(r, "%s/" PATH ": cannot make it", io_real_path(io));
	return r;
}

int reserve_release(struct io *io)
{
	int r = io_unlink(io, PATH, IO_OBJECT_LOCAL);

	/* The space of what is unlinked comes back with the file system's next commit. */
	if (r == 0)
		(void)io_fsync_folder(io, "local", IO_OBJECT_LOCAL);
	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}
