/* SPDX-License-Identifier: MIT */
/*
 * The rule, which depends on nothing but the chunk's own bytes d[0], d[1], ...:
 *
 *   G[0..255]: 64-bit numbers; G[4b + j] is the j-th little-endian number of
 *              the 32 bytes derived from the key with context "yoregear" and
 *              number b (b = 0..63, j = 0..3).
 *   h(L)     = sum over i = 0..63 of G[d[L - 1 - i]] * 2^i, modulo 2^64:
 *              a hash of the 64 bytes in front of a cut after L bytes.
 *   A chunk is as long as the least L from min to max - 1 for which the
 *   topmost bits of h(L) are all zero: log2(avg) + 2 bits while L < avg,
 *   log2(avg) - 2 bits from there on. Without such an L it is max bytes long,
 *   or ends with the file.
 *
 * The highest bits are used because all 64 bytes reach them; a shift by one
 * for each byte drops by itself what is older.
 */
#include "store/chunker.h"

#include "store/limits.h"

#include <assert.h>
#include <errno.h>

#define WINDOW_BYTES 64
#define NORMAL_BITS 2 /* level of normalisation */
#define GEAR_CONTEXT "yoregear"
#define NUMBERS_PER_KEY (KEY_BYTES / 8)

static_assert(CHUNK_MIN_FLOOR >= WINDOW_BYTES, "the window lies inside the chunk");

struct chunker {
	uint64_t gear[256];
	struct chunker_sizes sizes;
	uint64_t limit_short; /* a hash below it cuts: before avg */
	uint64_t limit_long;  /* from avg on */
};

static bool sizes_valid(struct chunker_sizes s)
{
	return s.min >= CHUNK_MIN_FLOOR && s.min < s.avg && s.avg < s.max &&
	       s.max <= CHUNK_RAW_MAX && (s.avg & (s.avg - 1)) == 0;
}

static void fill_gear(const uint8_t key[static KEY_BYTES], uint64_t gear[static 256])
{
	uint8_t block[KEY_BYTES];

	for (size_t b = 0; b < 256 / NUMBERS_PER_KEY; b++) {
		crypto_derive(key, GEAR_CONTEXT, b, block);
		for (size_t i = 0; i < KEY_BYTES; i++)
			gear[b * NUMBERS_PER_KEY + i / 8] |= (uint64_t)block[i] << (8 * (i % 8));
	}
	crypto_wipe(block, sizeof(block));
}

int chunker_new(const uint8_t key[static KEY_BYTES], struct chunker_sizes sizes,
		struct chunker **ret_chunker)
{
	struct chunker *c;
	int bits;

	assert(ret_chunker);
	if (!sizes_valid(sizes))
		return -EINVAL;
	c = crypto_secret_new(sizeof(*c)); /* comes zeroed */
	if (!c)
		return -ENOMEM;
	fill_gear(key, c->gear);
	c->sizes = sizes;
	bits = __builtin_ctz(sizes.avg);
	c->limit_short = UINT64_C(1) << (64 - (bits + NORMAL_BITS));
	c->limit_long = UINT64_C(1) << (64 - (bits - NORMAL_BITS));
	*ret_chunker = c;
	return 0;
}

void chunker_free(struct chunker *c)
{
	crypto_secret_free(c);
}

struct chunker_sizes chunker_sizes(const struct chunker *c)
{
	return c->sizes;
}

/*
 * Take in data[at..end) and stop after the first byte that leaves the hash
 * below the limit. Yields the length up to there, or 0. Four bytes a turn,
 * each hash computed from the turn's first one, so that only one shift and
 * one addition of each turn wait for the turn before.
 */
static size_t scan(const uint64_t *gear, const uint8_t *data, size_t at, size_t end, uint64_t limit,
		   uint64_t *hash)
{
	uint64_t h = *hash;

	for (; end - at >= 4; at += 4) {
		const uint64_t g1 = gear[data[at]];
		const uint64_t g2 = (g1 << 1) + gear[data[at + 1]];
		const uint64_t g3 = (g2 << 1) + gear[data[at + 2]];
		const uint64_t g4 = (g3 << 1) + gear[data[at + 3]];

		if ((h << 1) + g1 < limit)
			return at + 1;
		if ((h << 2) + g2 < limit)
			return at + 2;
		if ((h << 3) + g3 < limit)
			return at + 3;
		h = (h << 4) + g4;
		if (h < limit)
			return at + 4;
	}
	for (; at < end; at++) {
		h = (h << 1) + gear[data[at]];
		if (h < limit)
			return at + 1;
	}
	*hash = h;
	return 0;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t chunker_next(const struct chunker *c, const uint8_t *data, size_t n, bool last)
{
	const size_t max = c->sizes.max;
	const size_t end = smaller(n, max);
	uint64_t h = 0;
	size_t at, cut;

	assert(data || n == 0);
	if (n < c->sizes.min)
		return last ? n : 0;

	/* The window of the first candidate but its last byte. */
	for (at = c->sizes.min - WINDOW_BYTES; at < c->sizes.min - 1; at++)
		h = (h << 1) + c->gear[data[at]];
	cut = scan(c->gear, data, at, smaller(end, c->sizes.avg - 1), c->limit_short, &h);
	if (!cut && end >= c->sizes.avg)
		cut = scan(c->gear, data, c->sizes.avg - 1, end, c->limit_long, &h);
	if (cut)
		return cut;
	if (n >= max)
		return max;
	return last ? n : 0;
}
