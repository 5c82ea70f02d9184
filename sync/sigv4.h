/* SPDX-License-Identifier: MIT */
/*
 * sigv4: signs HTTP requests as AWS's Signature Version 4 wants it, in the
 * Authorization header; in the way of S3: each byte of the path is encoded
 * once, and the path is not normalised.
 *
 * All input is raw, nothing percent-encoded. What is signed is also what must
 * be sent: the target comes back in its canonical form, so that client and
 * server cannot read it in two ways.
 *
 * Threads: no state.
 */
#ifndef SYNC_SIGV4_H
#define SYNC_SIGV4_H

#include "store/base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

#define SIGV4_PAIRS_MAX 16
#define SIGV4_TIME_BYTES 17 /* "20130524T000000Z" and its end */

struct sigv4_identity {
	const char *access_key;
	const char *secret_key;
	const char *region;
	const char *service; /* "s3" */
};

struct sigv4_pair {
	const char *name;
	const char *value;
};

struct sigv4_request {
	const char *method;
	const char *path;               /* begins with '/' */
	const struct sigv4_pair *query; /* in any order */
	size_t n_query;                 /* at most SIGV4_PAIRS_MAX, as n_headers */
	/* All that are signed, in any order, "host" and "x-amz-date" (of `time_s`) among them. */
	const struct sigv4_pair *headers;
	size_t n_headers;
	const char *payload_sha256; /* of the body, in hex */
	int64_t time_s;
};

struct sigv4_signed {
	char *target;        /* path and query, encoded: what the request line says */
	char *authorization; /* the header's value */
};
/** Release what it holds; zeroed is fine. */
void sigv4_signed_done(struct sigv4_signed *s);
static inline void sigv4_signed_done_ptr(struct sigv4_signed *s)
{
	sigv4_signed_done(s);
}

/** Sign. Returns 0, -EINVAL (too many pairs, a time past the year 9999), -ENOMEM. */
int sigv4_sign(const struct sigv4_identity *who, const struct sigv4_request *request,
	       struct sigv4_signed *ret_signed);
/** A time as x-amz-date has it. Returns 0, or -EINVAL for one that has no such form. */
int sigv4_time(int64_t time_s, char ret_text[static SIGV4_TIME_BYTES]);

#endif
