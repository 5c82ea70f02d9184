/* SPDX-License-Identifier: MIT */
/*
 * dav_listing: reads the answer to PROPFIND (RFC 4918, "multistatus"). Bytes
 * from outside: depth and lengths are bounded, document types are refused.
 *
 * Threads: no state.
 */
#ifndef SYNC_DAV_LISTING_H
#define SYNC_DAV_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dav_resource {
	const char *path; /* decoded, without scheme and host, without a slash at its end */
	bool is_folder;
	bool has_size;
	uint64_t size;
	int64_t modified_s;   /* 0: unknown */
	uint64_t quota_bytes; /* what may still be written; UINT64_MAX: unknown */
};

/** Return 0 to go on; a negative answer ends the reading, which yields it. */
typedef int dav_visitor(void *context, const struct dav_resource *resource);

/** Visit all resources in their order. Returns 0, -EPROTO, -ENOMEM, or the visitor's. */
int dav_listing_parse(const void *data, size_t n, dav_visitor *visit, void *context);

/**
 * Visit what a folder holds (of an answer to "Depth: 1"): its own entry is left
 * out, and `path` is only the last part. Proxies may show other paths than
 * those asked for, so levels are compared, not names.
 */
int dav_listing_children(const void *data, size_t n, dav_visitor *visit, void *context);

#endif
