/* SPDX-License-Identifier: MIT */
#include "store/writer_list.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/chunk_index_collect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "local/writers"
#define TRIES 8
#define NUMBER_DIGITS 8
#define RANDOM_BYTES 8

/* A file of our own, locked. -EAGAIN when the collector took it for a dead one's before it was. */
static int make_file(struct io *io, uint32_t number, struct writer_ticket *t)
{
	char hex[2 * RANDOM_BYTES + 1];
	uint8_t dice[RANDOM_BYTES];
	struct io_stat st;
	int r;

	crypto_random(dice, sizeof(dice));
	(void)snprintf(t->path, sizeof(t->path), FOLDER "/%08" PRIx32 "-%s", number,
		       bytes_to_hex(dice, sizeof(dice), hex));
	t->fd = io_open(io, t->path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, IO_OBJECT_LOCAL);
	if (t->fd < 0)
		return t->fd;
	r = io_lock(io, t->fd, IO_LOCK_EXCLUSIVE, true);
	if (r == 0)
		r = io_stat(io, t->path, &st);
	if (r == 0)
		return 0;
	io_close(io, t->fd);
	return r == -ENOENT ? -EAGAIN : r;
}

int writer_list_join(struct io *io, struct chunk_index *x, struct writer_ticket *ret_ticket)
{
	struct writer_ticket t = { .fd = -1 };
	uint32_t number;
	int r;

	*ret_ticket = t;
	/* The number first: a pack of ours gets no lower one. */
	r = chunk_index_next_pack(x, &number);
	if (r < 0)
		return r;
	for (int i = 0; i < TRIES; i++) {
		r = make_file(io, number, &t);
		if (r == -ENOENT)
			r = io_mkdir(io, FOLDER, IO_OBJECT_LOCAL) < 0 ? r : -EAGAIN;
		if (r == 0)
			*ret_ticket = t;
		if (r != -EAGAIN && r != -EEXIST)
			return r;
	}
	return r;
}

void writer_list_leave(struct io *io, struct writer_ticket *ticket)
{
	if (ticket->fd < 0)
		return;
	(void)io_unlink(io, ticket->path, IO_OBJECT_LOCAL);
	io_close(io, ticket->fd);
	ticket->fd = -1;
}

struct census {
	struct io *io;
	uint32_t oldest;
	int n;
};

/* "<8 hex digits>-<16 hex digits>" */
static int parse_name(const char *name, uint32_t *ret_number)
{
	char digits[NUMBER_DIGITS + 1] = "";
	uint8_t bytes[NUMBER_DIGITS / 2];

	if (strlen(name) != NUMBER_DIGITS + 1 + 2ul * RANDOM_BYTES || name[NUMBER_DIGITS] != '-')
		return -EINVAL;
	memcpy(digits, name, NUMBER_DIGITS);
	if (bytes_from_hex(digits, bytes, sizeof(bytes)) < 0)
		return -EINVAL;
	*ret_number = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
		      (uint32_t)bytes[2] << 8 | bytes[3];
	return 0;
}

static int count_writer(void *context, const char *name)
{
	struct census *c = context;
	char path[WRITER_NAME_BYTES];
	uint32_t number;
	int fd;

	if (parse_name(name, &number) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), FOLDER "/%s", name);
	fd = io_open(c->io, path, IO_OPEN_WRITE, IO_OBJECT_LOCAL);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (io_lock(c->io, fd, IO_LOCK_EXCLUSIVE, false) == 0) {
		(void)io_unlink(c->io, path, IO_OBJECT_LOCAL);
	} else {
		c->n++;
		if (number < c->oldest)
			c->oldest = number;
	}
	io_close(c->io, fd);
	return 0;
}

int writer_list_oldest(struct io *io, uint32_t *ret_number)
{
	struct census c = { .io = io, .oldest = UINT32_MAX };
	int r = io_list(io, FOLDER, count_writer, &c);

	if (r < 0 && r != -ENOENT)
		return log_errno(r, "%s/" FOLDER ": cannot list it", io_real_path(io));
	*ret_number = c.oldest;
	return c.n;
}
