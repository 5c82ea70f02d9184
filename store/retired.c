/* SPDX-License-Identifier: MIT */
/* A line: u8 kind, 7 zero bytes, u64 first, u64 last, id (32), first 8 bytes of B(all that). */
#include "store/retired.h"

#include "store/base/bytes.h"
#include "store/base/log.h"

#include <errno.h>
#include <string.h>

#define RETIRED_PATH "local/retired"
#define LINE_BYTES 64
#define LINE_SUM_AT 56
#define WINDOW_LINES 1024

static void put_line(struct byte_buf *to, const struct retired_object *object)
{
	uint8_t sum[32];
	const size_t at = to->n;

	byte_buf_u64(to, (uint64_t)object->kind);
	byte_buf_u64(to, object->first);
	byte_buf_u64(to, object->last);
	byte_buf_append(to, object->id, sizeof(object->id));
	if (to->failed)
		return;
	crypto_blake2b(to->data + at, LINE_SUM_AT, sum);
	byte_buf_append(to, sum, LINE_BYTES - LINE_SUM_AT);
}

static int take_line(const uint8_t line[static LINE_BYTES], struct retired_object *ret)
{
	struct byte_reader in = byte_reader_make(line, LINE_BYTES);
	uint64_t kind = byte_reader_u64(&in);
	uint8_t sum[32];

	ret->first = byte_reader_u64(&in);
	ret->last = byte_reader_u64(&in);
	byte_reader_copy(&in, ret->id, sizeof(ret->id));
	crypto_blake2b(line, LINE_SUM_AT, sum);
	if (memcmp(sum, line + LINE_SUM_AT, LINE_BYTES - LINE_SUM_AT) != 0 ||
	    (kind != RETIRED_PACK && kind != RETIRED_TABLE))
		return -EUCLEAN;
	ret->kind = (enum retired_kind)kind;
	return 0;
}

/* Behind the last whole line, durably. */
static int append(struct io *io, int fd, const struct byte_buf *lines)
{
	uint64_t size;
	int r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, true);

	if (r == 0)
		r = io_size(io, fd, &size);
	if (r == 0)
		r = io_pwrite(io, fd, lines->data, lines->n, size / LINE_BYTES * LINE_BYTES,
			      IO_OBJECT_LOCAL);
	if (r == 0)
		r = io_fsync(io, fd, IO_OBJECT_LOCAL);
	return r;
}

int retired_note(struct io *io, const struct retired_object *objects, size_t n)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf lines = { 0 };
	struct io_stat st;
	int fd, r;

	if (n == 0 || io_stat(io, RETIRED_REMOTES, &st) == -ENOENT)
		return 0;
	for (size_t i = 0; i < n; i++)
		put_line(&lines, &objects[i]);
	if (lines.failed)
		return -ENOMEM;
	fd = io_open(io, RETIRED_PATH, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	r = fd < 0 ? fd : append(io, fd, &lines);
	io_close(io, fd);
	if (r == 0)
		r = io_fsync_folder(io, "local", IO_OBJECT_LOCAL);
	return r < 0 ? log_errno(r, "%s/" RETIRED_PATH ": cannot note what is needed no more",
				 io_real_path(io))
		     : 0;
}

static int visit_lines(struct io *io, int fd, retired_visitor *visit, void *context, uint64_t *next)
{
	CLEANUP(free_ptr) uint8_t *window = malloc((size_t)WINDOW_LINES * LINE_BYTES);
	int r = window ? 0 : -ENOMEM;

	while (r == 0) {
		int64_t n = io_pread(io, fd, window, (size_t)WINDOW_LINES * LINE_BYTES,
				     *next * LINE_BYTES);

		if (n < LINE_BYTES)
			return n < 0 ? (int)n : 0;
		for (int64_t i = 0; r == 0 && i + LINE_BYTES <= n; i += LINE_BYTES) {
			struct retired_object object;

			if (take_line(window + i, &object) == 0)
				r = visit(context, &object);
			if (r == 0)
				++*next;
		}
	}
	return r;
}

int retired_each(struct io *io, uint64_t from, retired_visitor *visit, void *context,
		 uint64_t *ret_next)
{
	uint64_t next = from;
	int fd = io_open(io, RETIRED_PATH, IO_OPEN_READ, IO_OBJECT_LOCAL);
	int r = fd;

	if (fd >= 0)
		r = visit_lines(io, fd, visit, context, &next);
	io_close(io, fd);
	*ret_next = next;
	if (fd == -ENOENT)
		return 0;
	return r;
}
