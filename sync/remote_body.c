/* SPDX-License-Identifier: MIT */
#include "sync/remote_body.h"

#include "store/crypto.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PIECE_BYTES ((size_t)256 * 1024)

int remote_body_read(const struct remote_body *body, uint64_t offset, void *to, size_t n)
{
	int64_t got;

	assert(offset <= body->size);
	assert(n <= body->size - offset);
	if (n == 0)
		return 0;
	if (body->data) {
		memcpy(to, (const uint8_t *)body->data + offset, n);
		return 0;
	}
	got = io_pread(body->io, body->fd, to, n, offset);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -EIO;
}

int remote_body_check(const struct remote_body *body, const volatile bool *cancel)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	CLEANUP(free_ptr) uint8_t *piece = NULL;
	uint8_t digest[SHA256_BYTES];
	int r;

	r = sha256_new(&sha);
	if (r < 0)
		return r;
	piece = malloc(PIECE_BYTES);
	if (!piece)
		return -ENOMEM;
	for (uint64_t at = 0; at < body->size;) {
		const uint64_t left = body->size - at;
		const size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

		if (cancel && *cancel)
			return -ECANCELED;
		r = remote_body_read(body, at, piece, n);
		if (r < 0)
			return r;
		sha256_update(sha, piece, n);
		at += n;
	}
	sha256_final(sha, digest);
	return memcmp(digest, body->sha256, SHA256_BYTES) == 0 ? 0 : -EIO;
}
