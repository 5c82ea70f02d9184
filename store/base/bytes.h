/* SPDX-License-Identifier: MIT */
/*
 * bytes: bounded reading and growing writing of byte strings.
 *
 * A byte_reader never reads past its end: the first read that would sets
 * `bad`, and from then on every read yields zero. A parser reads all its
 * fields, then looks at `bad` once. A byte_buf grows; a failed allocation sets
 * `failed`, and later appends do nothing. Integers are little-endian; varints
 * are LEB128 of at most 10 bytes, in their shortest form (anything longer is
 * bad, so that every value has one encoding).
 *
 * Threads: objects are owned by one thread at a time.
 */
#ifndef STORE_BASE_BYTES_H
#define STORE_BASE_BYTES_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct byte_reader byte_reader_make(const void *data, size_t n)
{
	return (struct byte_reader){ .at = data, .end = (const uint8_t *)data + n };
}

static inline size_t byte_reader_left(const struct byte_reader *r)
{
	return r->bad ? 0 : (size_t)(r->end - r->at);
}

/** Yield a pointer to the next n bytes and step over them; NULL (and bad) when there are fewer. */
const uint8_t *byte_reader_take(struct byte_reader *r, size_t n);
/** Copy the next n bytes to `to`; zeros when there are fewer. */
void byte_reader_copy(struct byte_reader *r, void *to, size_t n);
uint8_t byte_reader_u8(struct byte_reader *r);
uint16_t byte_reader_u16(struct byte_reader *r);
uint32_t byte_reader_u32(struct byte_reader *r);
uint64_t byte_reader_u64(struct byte_reader *r);
uint64_t byte_reader_varint(struct byte_reader *r);
/** A varint that must not exceed `max`; more is bad. */
uint64_t byte_reader_varint_max(struct byte_reader *r, uint64_t max);
/** A signed number in zigzag varint form. */
int64_t byte_reader_zigzag(struct byte_reader *r);
/** A varint length up to `max`, then that many bytes: sets *ret_n, yields a pointer to them. */
const uint8_t *byte_reader_blob(struct byte_reader *r, size_t max, size_t *ret_n);
/** True when nothing went wrong and nothing is left. */
bool byte_reader_done(const struct byte_reader *r);

struct byte_buf {
	uint8_t *data;
	size_t n;
	size_t capacity;
	bool failed;
};

/** Release the memory; the buffer is empty and usable again. NULL is fine. */
void byte_buf_done(struct byte_buf *b);
/** Forget the contents, keep the memory. */
void byte_buf_clear(struct byte_buf *b);
/** Make room for n more bytes and yield where they go (not counted yet); NULL on no memory. */
uint8_t *byte_buf_reserve(struct byte_buf *b, size_t n);
void byte_buf_append(struct byte_buf *b, const void *data, size_t n);
void byte_buf_u8(struct byte_buf *b, uint8_t v);
void byte_buf_u16(struct byte_buf *b, uint16_t v);
void byte_buf_u32(struct byte_buf *b, uint32_t v);
void byte_buf_u64(struct byte_buf *b, uint64_t v);
void byte_buf_varint(struct byte_buf *b, uint64_t v);
void byte_buf_zigzag(struct byte_buf *b, int64_t v);
/** A varint length, then the bytes. */
void byte_buf_blob(struct byte_buf *b, const void *data, size_t n);

static inline void byte_buf_done_ptr(struct byte_buf *b)
{
	byte_buf_done(b);
}

/** Lower-case hex of n bytes into `to`, which holds 2n + 1. Returns `to`. */
char *bytes_to_hex(const void *data, size_t n, char *to);
/** Parse exactly n bytes of lower-case hex. Returns 0, or -EINVAL on any other text. */
int bytes_from_hex(const char *text, void *to, size_t n);
/** What a hex digit of either case stands for, or -1. */
int bytes_hex_digit(char c);
/** For qsort() and bsearch(): two uint32_t, ascending. */
int compare_u32(const void *a, const void *b);

/**
 * Length of the UTF-8 character at the start of NUL-terminated text, or 0 when
 * it is none that may be shown: the NUL, a control (C0, DEL, C1), an overlong
 * form, a surrogate, a cut sequence.
 */
size_t bytes_printable(const uint8_t *text);

#endif
