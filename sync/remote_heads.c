/* SPDX-License-Identifier: MIT */
/* The file: "yorehead", u32 version, u32 count, lines of 56 bytes (host, u64 sequence, record id),
 * B(all that). */
#include "sync/remote_heads.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/retired.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADS_MAGIC "yorehead"
#define HEADS_VERSION 1
#define LINE_BYTES (HOST_ID_BYTES + 8 + SHA256_BYTES)
#define FIXED_BYTES (8 + 4 + 4 + 32)
#define PATH_BYTES 128

static void path_of(const char *remote, char to[static PATH_BYTES])
{
	(void)snprintf(to, PATH_BYTES, RETIRED_REMOTES "/%s.heads", remote);
}

void remote_heads_done(struct remote_heads *h)
{
	free(h->heads);
	*h = (struct remote_heads){ 0 };
}

static int parse(const uint8_t *data, size_t n, struct remote_heads *to)
{
	struct byte_reader in = byte_reader_make(data, n);
	const uint8_t *magic = byte_reader_take(&in, 8);
	uint32_t version = byte_reader_u32(&in), count = byte_reader_u32(&in);
	uint8_t sum[32];

	if (in.bad || memcmp(magic, HEADS_MAGIC, 8) != 0 || version != HEADS_VERSION ||
	    count > REMOTE_HEADS_MAX || n != FIXED_BYTES + (size_t)count * LINE_BYTES)
		return -EUCLEAN;
	crypto_blake2b(data, n - sizeof(sum), sum);
	if (memcmp(sum, data + n - sizeof(sum), sizeof(sum)) != 0)
		return -EUCLEAN;
	for (uint32_t i = 0; i < count; i++) {
		struct remote_head head;
		int r;

		byte_reader_copy(&in, head.host.bytes, HOST_ID_BYTES);
		head.seq = byte_reader_u64(&in);
		byte_reader_copy(&in, head.id.bytes, SHA256_BYTES);
		r = remote_heads_raise(to, &head);
		if (r < 0)
			return r;
	}
	to->changed = false;
	return 0;
}

int remote_heads_load(struct io *io, const char *remote, struct remote_heads *ret_heads)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct remote_heads heads = { 0 };
	char path[PATH_BYTES];
	size_t n = 0;
	int r;

	path_of(remote, path);
	r = io_read_file(io, path, FIXED_BYTES + (size_t)REMOTE_HEADS_MAX * LINE_BYTES, &data, &n);
	if (r == 0)
		r = parse(data, n, &heads);
	if (r == -EUCLEAN || r == -EFBIG) {
		remote_heads_done(&heads);
		log_warning("%s/%s: damaged; what the remote showed before is not known",
			    io_real_path(io), path);
		r = 0;
	}
	if (r < 0 && r != -ENOENT) {
		remote_heads_done(&heads);
		return r;
	}
	*ret_heads = heads;
	return 0;
}

int remote_heads_save(struct io *io, const char *remote, struct remote_heads *h)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf all = { 0 };
	char path[PATH_BYTES];
	uint8_t sum[32];
	int r;

	if (!h->changed)
		return 0;
	byte_buf_append(&all, HEADS_MAGIC, 8);
	byte_buf_u32(&all, HEADS_VERSION);
	byte_buf_u32(&all, (uint32_t)h->n);
	for (size_t i = 0; i < h->n; i++) {
		byte_buf_append(&all, h->heads[i].host.bytes, HOST_ID_BYTES);
		byte_buf_u64(&all, h->heads[i].seq);
		byte_buf_append(&all, h->heads[i].id.bytes, SHA256_BYTES);
	}
	if (all.failed)
		return -ENOMEM;
	crypto_blake2b(all.data, all.n, sum);
	byte_buf_append(&all, sum, sizeof(sum));
	if (all.failed)
		return -ENOMEM;
	path_of(remote, path);
	r = io_write_file(io, path, all.data, all.n, true, IO_OBJECT_LOCAL);
	h->changed = r < 0;
	return r;
}

/* Where the host is, or would be. */
static size_t place_of(const struct remote_heads *h, const struct host_id *host)
{
	size_t low = 0, high = h->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(&h->heads[middle].host, host, sizeof(*host)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct remote_head *remote_heads_find(const struct remote_heads *h,
					    const struct host_id *host)
{
	const size_t at = place_of(h, host);

	return at < h->n && memcmp(&h->heads[at].host, host, sizeof(*host)) == 0 ? &h->heads[at]
										 : NULL;
}

int remote_heads_raise(struct remote_heads *h, const struct remote_head *head)
{
	const size_t at = place_of(h, &head->host);
	struct remote_head *grown;

	if (at < h->n && memcmp(&h->heads[at].host, &head->host, sizeof(head->host)) == 0) {
		if (head->seq > h->heads[at].seq) {
			h->heads[at] = *head;
			h->changed = true;
		}
		return 0;
	}
	if (h->n == REMOTE_HEADS_MAX)
		return -ENOSPC;
	grown = reallocarray(h->heads, h->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	h->heads = grown;
	memmove(&grown[at + 1], &grown[at], (h->n - at) * sizeof(*grown));
	grown[at] = *head;
	h->n++;
	h->changed = true;
	return 0;
}
