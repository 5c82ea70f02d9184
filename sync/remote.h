/* SPDX-License-Identifier: MIT */
/*
 * remote: a place elsewhere that holds the repository's objects under the same
 * names: a folder, an SFTP or WebDAV server, an S3 bucket.
 *
 * Names are write-once: what is at a name never changes, so putting an object
 * again that is there is no harm, and never destroys it. An object is visible
 * under its final name only when it is whole. Which objects may be put when
 * (packs before tables before records) is the replicator's business.
 *
 * All calls wait for their answer, at most as long as the remote's timeouts
 * allow, and log nothing but what people must know (credentials refused).
 * Errors, by meaning:
 *   -ENOENT      no such object (never used for "cannot tell")
 *   -EACCES      the credentials are refused, or lack a right
 *   -ENOSPC      no space, or a quota
 *   -EAGAIN      the remote asks to slow down (remote_retry_after_ms)
 *   -ETIMEDOUT   no connection, a stalled transfer, no answer
 *   -EBADMSG     what arrived is not what was sent, or was asked for
 *   -EPROTO      an answer that makes no sense; a redirect to elsewhere
 *   -EKEYREJECTED the server is not the one that it should be (host key, certificate)
 *   -ECANCELED   *cancel became true
 *   -EIO         what should be put is damaged, or cannot be read, on this machine
 *   -EREMOTEIO   anything else that went wrong there
 *
 * Threads: any number may use one remote at once; each call is independent.
 */
#ifndef SYNC_REMOTE_H
#define SYNC_REMOTE_H

#include "store/base/cleanup.h"
#include "store/base/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REMOTE_NAME_BYTES_MAX 255 /* of an object's name: [a-z0-9/-] */
#define REMOTE_LIST_PAGE 1000

struct remote;
struct transfer;

/* What is put: bytes in memory (data != NULL), or a whole file of the repository. */
struct remote_body {
	const void *data;
	struct io *io;
	int fd; /* of the seam; read with io_pread from 0 */
	uint64_t size;
	uint8_t sha256[32]; /* of all of it: the caller knows it, or has computed it */
};

struct remote_stat {
	uint64_t size;
	int64_t mtime_ns; /* the remote's clock; 0: unknown */
};

/* What a remote can and cannot promise; texts for people come from remote_probe(). */
struct remote_abilities {
	bool checks_uploads;   /* the server refuses a body that is not what its checksum says */
	bool atomic_put;       /* nobody ever sees half an object */
	bool ranges;           /* parts can be read */
	bool deletes;          /* false: append-only, or not allowed */
	int64_t clock_skew_ms; /* theirs minus ours, if `has_clock` */
	bool has_clock;
	uint64_t free_bytes; /* UINT64_MAX: unknown */
};

/* Secrets and settings beside the URL; borrowed for the call, copied. NULL: none. */
struct remote_settings {
	const char *user, *password;                                  /* WebDAV; SFTP */
	const char *key_file, *known_hosts;                           /* SFTP */
	const char *access_key, *secret_key, *session_token, *region; /* S3 */
	bool virtual_host;   /* S3: bucket in the host's name */
	const char *ca_file; /* TLS: a private CA */
	bool append_only;    /* never delete */
	/* It has been filled before: a folder without a config is then an unmounted disk, not an
	 * empty remote, and every call on it fails with -EREMOTEIO. */
	bool known;
};

/** Called once per object, in the order of names. Return 0 to go on; all else ends it and is
 * returned. */
typedef int remote_list_visitor(void *context, const char *name, const struct remote_stat *stat);

struct remote_ops {
	int (*put)(struct remote *r, const char *name, const struct remote_body *body,
		   const volatile bool *cancel);
	int64_t (*get)(struct remote *r, const char *name, uint64_t offset, void *to, size_t n,
		       const volatile bool *cancel);
	int (*head)(struct remote *r, const char *name, struct remote_stat *ret_stat);
	int (*list)(struct remote *r, const char *prefix, remote_list_visitor *visit, void *context,
		    const volatile bool *cancel);
	int (*remove)(struct remote *r, const char *name);
	int (*probe)(struct remote *r, struct remote_abilities *ret_abilities);
	void (*free)(struct remote *r);
};

/* The beginning of every kind's own struct. url and append_only are set by remote_open() and
 * freed by remote_free(); a kind's `free` frees the rest, and its struct. */
struct remote {
	const struct remote_ops *ops;
	char *url; /* without secrets: fit for messages */
	bool append_only;
	_Atomic uint32_t retry_after_ms; /* set with each -EAGAIN */
};

/** How long the remote last asked to be left alone, with -EAGAIN; 0: it did not say. */
static inline uint32_t remote_retry_after_ms(const struct remote *r)
{
	return r->retry_after_ms;
}

/**
 * Make a remote of a URL: a path or file:///path; sftp://user@host[:port]/path
 * ("/~/path" below home); dav:// or davs://host[:port]/path;
 * s3://bucket/prefix; s3+https:// or s3+http://host[:port]/bucket/prefix. A
 * password in a URL is refused (-EPERM): it would be seen by others. Touches
 * nothing yet. `engine` is borrowed; folders need none. Returns 0; -EINVAL with
 * *ret_wrong (the caller frees it) saying what is wrong; -EPERM; -ENOMEM.
 */
int remote_open(const char *url, const struct remote_settings *settings, struct transfer *engine,
		struct remote **ret_remote, char **ret_wrong);
void remote_free(struct remote *r);
CLEANUP_DEFINE(struct remote, remote_free)

/** Put an object durably, whole or not at all. Returns 0, also when it was there already;
 * -EBADMSG when another one, of another size, has its name (which is left as it is). Never makes
 * the remote's own folder: -EREMOTEIO without one. */
int remote_put(struct remote *r, const char *name, const struct remote_body *body,
	       const volatile bool *cancel);
/** Read up to n bytes at an offset; fewer only at the end. Returns the count or -errno. */
int64_t remote_get(struct remote *r, const char *name, uint64_t offset, void *to, size_t n,
		   const volatile bool *cancel);
int remote_head(struct remote *r, const char *name, struct remote_stat *ret_stat);
/** Visit all objects whose name begins with `prefix` ("packs/", ""), page by page. */
int remote_list(struct remote *r, const char *prefix, remote_list_visitor *visit, void *context,
		const volatile bool *cancel);
/** Remove an object; gone already is fine. -EPERM on an append-only remote. */
int remote_remove(struct remote *r, const char *name);
/** Try it all with a small object of its own, and look at what the remote can do. Makes the
 * remote's own folder on a server (one level; not a remote that is `known`), and removes uploads
 * that were given up a day ago. */
int remote_probe(struct remote *r, struct remote_abilities *ret_abilities);
/** [a-z0-9/-], no empty part, at most REMOTE_NAME_BYTES_MAX. */
bool remote_name_valid(const char *name);

/* ---- one function a kind ---- */
int remote_dir_new(const char *path, bool known, struct remote **ret_remote);
int remote_s3_new(const char *url, const struct remote_settings *settings, struct transfer *engine,
		  struct remote **ret_remote, char **ret_wrong);
int remote_webdav_new(const char *url, const struct remote_settings *settings,
		      struct transfer *engine, struct remote **ret_remote, char **ret_wrong);
int remote_sftp_new(const char *url, const struct remote_settings *settings,
		    struct transfer *engine, struct remote **ret_remote, char **ret_wrong);

#endif
