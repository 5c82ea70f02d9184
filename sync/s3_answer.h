/* SPDX-License-Identifier: MIT */
/*
 * s3_answer: what an S3 server says in XML: a page of ListObjectsV2, an error.
 * Bytes from outside.
 *
 * Threads: no state.
 */
#ifndef SYNC_S3_ANSWER_H
#define SYNC_S3_ANSWER_H

#include "store/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_PAGE_OBJECTS_MAX 10000 /* asked for are 1,000 */
#define S3_KEY_BYTES_MAX 1024

struct s3_object {
	size_t key_at; /* in the page's keys */
	uint64_t size;
	int64_t mtime_ns; /* 0: not said */
};

struct s3_page {
	struct byte_buf objects; /* of struct s3_object */
	size_t n;
	struct byte_buf keys; /* decoded, each with a zero byte */
	char *next;           /* token of the next page; NULL: this is the last */
};

/**
 * Read a page. Objects without a usable key are left out (nobody's but ours
 * are asked for). Returns 0, then the caller owns *ret_page; -EPROTO for all
 * that is no such page; -ENOMEM.
 */
int s3_page_read(const void *data, size_t n, struct s3_page *ret_page);
/** Release what it holds; zeroed is fine. */
void s3_page_done(struct s3_page *p);
static inline void s3_page_done_ptr(struct s3_page *p)
{
	s3_page_done(p);
}
/** Object i < n, and its key. */
const struct s3_object *s3_page_object(const struct s3_page *p, size_t i);
const char *s3_page_key(const struct s3_page *p, size_t i);

/* Printable ASCII only, cut where it is long. */
struct s3_error {
	char code[64]; /* "NoSuchKey"; "": it was no error document */
	char message[256];
	char region[64]; /* that the bucket is in, where the error says so */
};

/** Read an error; one that cannot be read is empty. */
void s3_error_read(const void *data, size_t n, struct s3_error *ret_error);

#endif
