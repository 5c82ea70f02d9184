/* SPDX-License-Identifier: MIT */
/*
 * local/host, as it lies on the disk. With an odd last byte the checksum is
 * made right first, so that the fields behind it are reached.
 */
#include "store/base/log.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES 88
#define SUM_BYTES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder in which every file holds the input. */
struct input_io {
	struct io base;
	const uint8_t *data;
	size_t n;
};

static int input_open(struct io *io, const char *path, int flags, enum io_object object)
{
	(void)io;
	(void)path;
	(void)flags;
	(void)object;
	return 1;
}

static int input_close(struct io *io, int fd)
{
	(void)io;
	(void)fd;
	return 0;
}

static int input_size(struct io *io, int fd, uint64_t *ret_size)
{
	(void)fd;
	*ret_size = ((struct input_io *)io)->n;
	return 0;
}

static int64_t input_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	const struct input_io *input = (struct input_io *)io;

	(void)fd;
	if (offset >= input->n)
		return 0;
	if (n > input->n - offset)
		n = (size_t)(input->n - offset);
	memcpy(to, input->data + offset, n);
	return (int64_t)n;
}

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t repository[REPOSITORY_ID_BYTES] = { 1 };
	static const struct io_ops ops = {
		.open = input_open, .close = input_close, .size = input_size, .pread = input_pread
	};
	static char folder[] = "/input";
	struct input_io io = { .base = { .ops = &ops, .real_path = folder },
			       .data = data,
			       .n = size };
	uint8_t mended[HOST_BYTES];
	struct host_id host;

	log_set_sink(drop_line);
	if (crypto_init() < 0)
		abort();
	if (size == HOST_BYTES && data[size - 1] & 1) {
		memcpy(mended, data, size);
		crypto_blake2b(mended, HOST_BYTES - SUM_BYTES, mended + HOST_BYTES - SUM_BYTES);
		io.data = mended;
	}
	if (host_identity_load(&io.base, repository, "fuzz", STORE_READ_ONLY, &host) < 0)
		abort(); /* for reading there is always an id */
	return 0;
}
