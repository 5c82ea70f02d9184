/* SPDX-License-Identifier: MIT */
/*
 * remote_url: where a remote lies, taken apart and checked. Bytes from outside.
 *
 *   /path  file:///path                     a folder
 *   sftp://[user@]host[:port]/path          "/~/path": below the home folder
 *   dav://  davs://[user@]host[:port]/path  WebDAV without and with TLS
 *   s3://bucket[/prefix]                    Amazon
 *   s3+https://  s3+http://host[:port]/bucket[/prefix]
 *
 * A plain path is taken as it is; in all others %XX stands for a byte. Paths
 * hold no control characters, and those of a URL no part "." or "..".
 *
 * Threads: no state.
 */
#ifndef SYNC_REMOTE_URL_H
#define SYNC_REMOTE_URL_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define REMOTE_URL_BYTES_MAX 2048

enum remote_kind { REMOTE_KIND_FOLDER, REMOTE_KIND_SFTP, REMOTE_KIND_WEBDAV, REMOTE_KIND_S3 };

struct remote_url {
	enum remote_kind kind;
	bool tls;       /* WebDAV, S3 */
	bool from_home; /* SFTP: `path` begins at the home folder */
	uint16_t port;  /* 0: the protocol's own */
	char *user;     /* SFTP, WebDAV; NULL: none named */
	char *host;     /* in lower case, IPv6 in its brackets; NULL: a folder, or Amazon's S3 */
	/* Decoded, without a slash at its end. A folder's: absolute. Of others: without a slash at
	 * its beginning, may be empty; S3: bucket and prefix. But SFTP's is absolute ("/" is the
	 * server's root) unless from_home. */
	char *path;
};

/**
 * Take a URL apart. Returns 0; -EINVAL, or -EPERM for one that holds a
 * password, with *ret_wrong (the caller frees it; NULL on no memory) saying
 * what is wrong and how it is written right, without repeating a secret; -ENOMEM.
 */
int remote_url_parse(const char *url, struct remote_url *ret_url, char **ret_wrong);
/** Release what it holds; zeroed is fine. */
void remote_url_done(struct remote_url *u);
static inline void remote_url_done_ptr(struct remote_url *u)
{
	remote_url_done(u);
}

/** Percent-encode all but [A-Za-z0-9._~/-]. NULL on no memory; the caller frees it. */
char *remote_url_encode(const char *path);

#endif
