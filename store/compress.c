/* SPDX-License-Identifier: MIT */
#include "store/compress.h"

#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL_MIN 1
#define LEVEL_MAX 19

/* Inputs from this size on are sampled first. */
#define SAMPLED_BYTES_MIN KIB(64)
#define SAMPLES 3ul
#define SAMPLE_BYTES KIB(4)
/* Stored raw unless a sample shrinks by a 32nd, and the whole by a 64th. */
#define SAMPLE_GAIN 32
#define WHOLE_GAIN 64

/* No frame needs a larger window than an object has bytes (2^20 = CHUNK_RAW_MAX, records more). */
#define WINDOW_LOG_MAX 27

static const uint8_t frame_magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };

static_assert(SAMPLES * SAMPLE_BYTES < SAMPLED_BYTES_MIN, "samples do not overlap");

struct compressor {
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
	int level; /* set in packer; 0 for none yet */
	uint8_t samples[SAMPLES * SAMPLE_BYTES];
};

static int set_up(struct compressor *c)
{
	/* The object's header holds the length, its seal the checksum: frames need neither. */
	static const struct {
		ZSTD_cParameter parameter;
		int value;
	} settings[] = {
		{ ZSTD_c_contentSizeFlag, 0 },
		{ ZSTD_c_checksumFlag, 0 },
		{ ZSTD_c_dictIDFlag, 0 },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (ZSTD_isError(ZSTD_CCtx_setParameter(c->packer, settings[i].parameter,
							settings[i].value)))
			return -EIO;
	}
	if (ZSTD_isError(ZSTD_DCtx_setParameter(c->unpacker, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return -EIO;
	return 0;
}

int compressor_new(struct compressor **ret_compressor)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	int r;

	assert(ret_compressor);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->packer = ZSTD_createCCtx();
	c->unpacker = ZSTD_createDCtx();
	if (!c->packer || !c->unpacker)
		return -ENOMEM;
	r = set_up(c);
	if (r < 0)
		return r;
	*ret_compressor = STEAL(c);
	return 0;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	(void)ZSTD_freeCCtx(c->packer);
	(void)ZSTD_freeDCtx(c->unpacker);
	free(c);
}

size_t compressor_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

/* Yields the length, 0 when it does not fit, or -errno. */
static int64_t packed_length(size_t result)
{
	if (!ZSTD_isError(result))
		return (int64_t)result;
	switch (ZSTD_getErrorCode(result)) {
	case ZSTD_error_dstSize_tooSmall:
		return 0;
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* Try pieces from three places, as one. Yields 1 when they shrink, 0 when not, or -errno. */
static int samples_shrink(struct compressor *c, const uint8_t *from, size_t n, void *to,
			  size_t capacity)
{
	const size_t total = sizeof(c->samples);
	int64_t r;

	for (size_t i = 0; i < SAMPLES; i++) {
		const size_t middle = n / (2 * SAMPLES) * (2 * i + 1);

		memcpy(c->samples + i * SAMPLE_BYTES, from + middle - SAMPLE_BYTES / 2,
		       SAMPLE_BYTES);
	}
	r = packed_length(ZSTD_compressCCtx(c->packer, to, capacity, c->samples, total, LEVEL_MIN));
	if (r < 0)
		return (int)r;
	return r > 0 && (size_t)r <= total - total / SAMPLE_GAIN;
}

int64_t compressor_pack(struct compressor *c, int level, const void *from, size_t n, void *to,
			size_t capacity)
{
	int64_t r;

	assert(level >= LEVEL_MIN);
	assert(level <= LEVEL_MAX);
	if (n == 0)
		return 0;
	if (n >= SAMPLED_BYTES_MIN) {
		r = samples_shrink(c, from, n, to, capacity);
		if (r <= 0)
			return r;
	}
	if (level != c->level) {
		c->level = 0;
		if (ZSTD_isError(ZSTD_CCtx_setParameter(c->packer, ZSTD_c_compressionLevel, level)))
			return -EIO;
		c->level = level;
	}
	r = packed_length(ZSTD_compress2(c->packer, to, capacity, from, n));
	if (r > 0 && (uint64_t)r >= n - n / WHOLE_GAIN)
		return 0;
	return r;
}

int compressor_unpack(struct compressor *c, const void *from, size_t n, void *to, size_t raw_n)
{
	size_t r;

	/* The library would take skippable frames, old formats and several frames in a row. */
	if (n < sizeof(frame_magic) || memcmp(from, frame_magic, sizeof(frame_magic)) != 0)
		return -EUCLEAN;
	if (ZSTD_findFrameCompressedSize(from, n) != n)
		return -EUCLEAN;

	r = ZSTD_decompressDCtx(c->unpacker, to, raw_n, from, n);
	if (ZSTD_isError(r))
		return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM : -EUCLEAN;
	return r == raw_n ? 0 : -EUCLEAN;
}
