/* SPDX-License-Identifier: MIT */
#include "store/base/bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define VARINT_BYTES_MAX 10
#define BUF_CAPACITY_MIN 64

const uint8_t *byte_reader_take(struct byte_reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->bad || n > (size_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	return at;
}

void byte_reader_copy(struct byte_reader *r, void *to, size_t n)
{
	const uint8_t *at = byte_reader_take(r, n);

	if (n == 0)
		return;
	if (at)
		memcpy(to, at, n);
	else
		memset(to, 0, n);
}

static uint64_t read_le(struct byte_reader *r, size_t n)
{
	const uint8_t *at = byte_reader_take(r, n);
	uint64_t v = 0;

	if (!at)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

uint8_t byte_reader_u8(struct byte_reader *r)
{
	return (uint8_t)read_le(r, 1);
}

uint16_t byte_reader_u16(struct byte_reader *r)
{
	return (uint16_t)read_le(r, 2);
}

uint32_t byte_reader_u32(struct byte_reader *r)
{
	return (uint32_t)read_le(r, 4);
}

uint64_t byte_reader_u64(struct byte_reader *r)
{
	return read_le(r, 8);
}

uint64_t byte_reader_varint(struct byte_reader *r)
{
	const size_t left = byte_reader_left(r);
	uint64_t v = 0;

	for (size_t i = 0; i < VARINT_BYTES_MAX && i < left; i++) {
		const uint8_t b = r->at[i];

		/* The tenth byte holds bit 63 alone. */
		if (i == VARINT_BYTES_MAX - 1 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b & 0x80)
			continue;
		if (b == 0 && i > 0)
			break; /* not the shortest form */
		r->at += i + 1;
		return v;
	}
	r->bad = true;
	return 0;
}

uint64_t byte_reader_varint_max(struct byte_reader *r, uint64_t max)
{
	const uint64_t v = byte_reader_varint(r);

	if (v > max) {
		r->bad = true;
		return 0;
	}
	return v;
}

int64_t byte_reader_zigzag(struct byte_reader *r)
{
	const uint64_t v = byte_reader_varint(r);

	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

const uint8_t *byte_reader_blob(struct byte_reader *r, size_t max, size_t *ret_n)
{
	const size_t n = (size_t)byte_reader_varint_max(r, max);
	const uint8_t *at = byte_reader_take(r, n);

	*ret_n = at ? n : 0;
	return at;
}

bool byte_reader_done(const struct byte_reader *r)
{
	return !r->bad && r->at == r->end;
}

void byte_buf_done(struct byte_buf *b)
{
	if (!b)
		return;
	free(b->data);
	*b = (struct byte_buf){ 0 };
}

void byte_buf_clear(struct byte_buf *b)
{
	b->n = 0;
	b->failed = false;
}

static bool buf_grow(struct byte_buf *b, size_t n)
{
	size_t needed, capacity;
	uint8_t *data;

	if (__builtin_add_overflow(b->n, n, &needed))
		return false;
	/* Half as much again keeps appends linear and waste small. */
	if (__builtin_add_overflow(b->capacity, b->capacity / 2, &capacity) || capacity < needed)
		capacity = needed;
	if (capacity < BUF_CAPACITY_MIN)
		capacity = BUF_CAPACITY_MIN;
	data = realloc(b->data, capacity);
	if (!data)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

uint8_t *byte_buf_reserve(struct byte_buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	/* An empty buffer has no memory yet; yield a real pointer even for n = 0. */
	if (!b->data || n > b->capacity - b->n) {
		if (!buf_grow(b, n)) {
			b->failed = true;
			return NULL;
		}
	}
	return b->data + b->n;
}

void byte_buf_append(struct byte_buf *b, const void *data, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return;
	to = byte_buf_reserve(b, n);
	if (!to)
		return;
	memcpy(to, data, n);
	b->n += n;
}

static void append_le(struct byte_buf *b, uint64_t v, size_t n)
{
	uint8_t *to = byte_buf_reserve(b, n);

	if (!to)
		return;
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> (8 * i));
	b->n += n;
}

void byte_buf_u8(struct byte_buf *b, uint8_t v)
{
	append_le(b, v, 1);
}

void byte_buf_u16(struct byte_buf *b, uint16_t v)
{
	append_le(b, v, 2);
}

void byte_buf_u32(struct byte_buf *b, uint32_t v)
{
	append_le(b, v, 4);
}

void byte_buf_u64(struct byte_buf *b, uint64_t v)
{
	append_le(b, v, 8);
}

void byte_buf_varint(struct byte_buf *b, uint64_t v)
{
	uint8_t *to = byte_buf_reserve(b, VARINT_BYTES_MAX);
	size_t n = 0;

	if (!to)
		return;
	while (v >= 0x80) {
		to[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	to[n++] = (uint8_t)v;
	b->n += n;
}

void byte_buf_zigzag(struct byte_buf *b, int64_t v)
{
	byte_buf_varint(b, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void byte_buf_blob(struct byte_buf *b, const void *data, size_t n)
{
	byte_buf_varint(b, n);
	byte_buf_append(b, data, n);
}

char *bytes_to_hex(const void *data, size_t n, char *to)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = data;

	for (size_t i = 0; i < n; i++) {
		to[2 * i] = digits[from[i] >> 4];
		to[2 * i + 1] = digits[from[i] & 15];
	}
	to[2 * n] = '\0';
	return to;
}

int bytes_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int compare_u32(const void *a, const void *b)
{
	const uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;

	return p < q ? -1 : p > q;
}

/* Each id is written in one way only, hence no capitals. */
static bool is_lower_hex(char c)
{
	return bytes_hex_digit(c) >= 0 && !(c >= 'A' && c <= 'F');
}

int bytes_from_hex(const char *text, void *to, size_t n)
{
	uint8_t *out = to;

	assert(text);
	/* The whole text first: outputs stay untouched on failure. */
	for (size_t i = 0; i < 2 * n; i++) {
		if (!is_lower_hex(text[i])) /* stops at the NUL, too */
			return -EINVAL;
	}
	if (text[2 * n] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)((unsigned int)bytes_hex_digit(text[2 * i]) * 16 +
				   (unsigned int)bytes_hex_digit(text[2 * i + 1]));
	return 0;
}

size_t bytes_printable(const uint8_t *text)
{
	uint32_t c;
	size_t n;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;

	n = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	c = text[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80) /* stops at the NUL, too */
			return 0;
		c = c << 6 | (text[i] & 0x3fu);
	}
	if (c < 0xa0 || (n == 3 && c < 0x800) || (n == 4 && c < 0x10000))
		return 0;
	if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	return n;
}
