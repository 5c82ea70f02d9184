/* SPDX-License-Identifier: MIT */
/*
 * The first three bytes are the raw length that a header would claim, the rest
 * is unpacked as a frame; the guard behind the output must survive. Then the
 * rest is packed, and must come back.
 */
#include "store/compress.h"
#include "store/limits.h"

#include <stdlib.h>
#include <string.h>

#define GUARD 0xa5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(struct compressor *c, const uint8_t *data, size_t size, size_t raw_n)
{
	CLEANUP(free_ptr) uint8_t *to = NULL;

	to = malloc(raw_n + 1);
	if (!to)
		abort();
	to[raw_n] = GUARD;
	(void)compressor_unpack(c, data, size, to, raw_n);
	if (to[raw_n] != GUARD)
		abort();
}

static void round_trip(struct compressor *c, const uint8_t *data, size_t size)
{
	CLEANUP(free_ptr) uint8_t *packed = NULL;
	CLEANUP(free_ptr) uint8_t *back = NULL;
	int64_t n;

	packed = malloc(compressor_bound(size));
	back = malloc(size + 1);
	if (!packed || !back)
		abort();
	n = compressor_pack(c, 1, data, size, packed, compressor_bound(size));
	if (n < 0)
		abort();
	if (n == 0)
		return;
	if (compressor_unpack(c, packed, (size_t)n, back, size) != 0)
		abort();
	if (memcmp(back, data, size) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	size_t raw_n;

	if (size < 3)
		return 0;
	if (compressor_new(&c) < 0)
		abort();
	raw_n = ((size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % CHUNK_RAW_MAX;
	unpack(c, data + 3, size - 3, raw_n);
	round_trip(c, data + 3, size - 3);
	return 0;
}
