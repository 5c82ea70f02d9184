/* SPDX-License-Identifier: MIT */
/*
 * transfer: runs requests to servers, many at once, on one thread with
 * curl_multi: connections are kept and shared, rates are limited, stalled
 * transfers are ended. With transfer_request.c the only user of libcurl.
 *
 * A request is one round trip. Callers are threads that wait for theirs
 * (transfer_run); how many of them there are is the concurrency. Nothing is
 * retried here, no redirect is followed, and only the protocol that the URL
 * names is spoken: http, https or sftp. Certificates and host keys are always
 * verified. What went wrong is logged at level info; only a server that is not
 * the one it should be, and a refusal to send a password in clear, are errors.
 *
 * Threads: any number may run requests at once; the engine has one thread,
 * which reads the files that are sent.
 */
#ifndef SYNC_TRANSFER_H
#define SYNC_TRANSFER_H

#include "store/base/cleanup.h"
#include "sync/remote.h"

struct transfer;

/* A transfer that moves less than this in the time of a stall is ended: a slow line passes. */
#define TRANSFER_STALL_BYTES 4096

struct transfer_options {
	uint32_t connect_ms;      /* 0: 15,000 */
	uint32_t stall_ms;        /* fewer than TRANSFER_STALL_BYTES in so long; 0: 30,000 */
	uint32_t connections_max; /* kept open; 0: 32 */
};

/** `options` NULL: all defaults. Returns 0, -ENOMEM, or -errno of the thread. */
int transfer_new(const struct transfer_options *options, struct transfer **ret_transfer);
/** Ends what still runs with -ECANCELED and waits until its callers are out. NULL is fine. */
void transfer_free(struct transfer *t);
CLEANUP_DEFINE(struct transfer, transfer_free)
/** Bytes of bodies a second in each direction from now on, over all requests; 0: no limit. */
void transfer_limit(struct transfer *t, uint64_t up_bytes, uint64_t down_bytes);
/**
 * Hold all transfers where they are, or let them go on. New requests wait. A
 * server may drop a connection that is held for long: that is an error then.
 */
void transfer_pause(struct transfer *t, bool pause);

/* Where and as whom; strings borrowed for the call. */
struct transfer_server {
	const char *user;
	const char *password; /* HTTP basic (over TLS only, but for loopback); SFTP: login, or of
				 the key file when there is one */
	const char *key_file; /* SFTP; without it and a password: the agent of SSH_AUTH_SOCK */
	const char
		*known_hosts; /* SFTP; NULL: ~/.ssh/known_hosts; it must exist and know the host */
	const char *ca_file;
};

/* Headers and lines; NULL-ended array of "Name: value". */
struct transfer_request {
	const struct transfer_server *server; /* NULL: nobody, the system's authorities */
	const char *url; /* percent-encoded, sent as it is; without a user's name */
	/* HTTP: any method. SFTP: "GET" (a URL that ends in '/': the folder's long listing),
	 * "PUT", or "HEAD": the commands only, the URL ends in '/'. */
	const char *method;
	const char *const *headers;
	/* SFTP commands before and after the transfer, see CURLOPT_QUOTE; those after are sent
	 * once the transfer has succeeded. One that begins with '*' may fail. */
	const char *const *sftp_before;
	const char *const *sftp_after;
	const struct remote_body *body; /* what is sent; NULL: nothing */
	uint64_t range_offset;          /* with range_n > 0 */
	uint64_t range_n;
	void *to; /* where a success's body goes; NULL: it is collected in the answer */
	size_t room;
	size_t collect_max;          /* most bytes collected; 0: 1 MiB */
	const volatile bool *cancel; /* looked at every 100 ms; NULL: none */
};

struct transfer_answer {
	int status;    /* of HTTP; 0 for SFTP */
	size_t n;      /* bytes of body received */
	uint8_t *data; /* collected, with a zero byte behind it; with `to`: what an error said, cut
			  at collect_max; NULL: nothing */
	size_t data_n;
	uint64_t content_length;  /* as declared; UINT64_MAX: not */
	uint64_t range_offset;    /* of a Content-Range header; UINT64_MAX: none */
	uint64_t range_total;     /* the whole's size there; UINT64_MAX: unknown */
	uint32_t retry_after_s;   /* of a Retry-After header; 0: none */
	int64_t date_s;           /* of a Date header; 0: none */
	int64_t modified_s;       /* of Last-Modified, or SFTP's; 0: none */
	uint64_t sftp_free_bytes; /* after the command "statvfs FOLDER"; UINT64_MAX: not known */
	char etag[128];
	uint64_t sent_bytes; /* of body */
};
/** Release what it holds; usable again. */
void transfer_answer_done(struct transfer_answer *a);

/**
 * Run a request and wait. Returns 0 when there is an answer of any status (for
 * SFTP: success); then the caller owns *ret_answer (transfer_answer_done).
 *   -ENOENT, -EACCES, -ENOSPC, -EEXIST  SFTP says so
 *   -EACCES       also: the login is refused
 *   -ETIMEDOUT    no connection, it broke, or it stalled
 *   -EKEYREJECTED certificate or host key; known_hosts or ca_file cannot be read
 *   -EBADMSG      the body ended early, or was longer than there is room
 *   -EPROTO       not HTTP, or endless headers
 *   -ECANCELED
 *   -EPERM        a password would travel in clear, or stands in the URL
 *   -EINVAL       a URL that is none, or of another protocol
 *   -EIO          the file to be sent is shorter than its body says, or cannot be read
 *   -EREMOTEIO    all else; for SFTP also a command that "failed" without a
 *                 reason, such as a rename onto a name that is there
 */
int transfer_run(struct transfer *t, const struct transfer_request *request,
		 struct transfer_answer *ret_answer);
/** What HTTP's status means, as an -errno of remote.h (412: -EEXIST); 0 for 2xx. */
int transfer_status_error(int status);

/* Totals since the start, for progress and metrics. */
struct transfer_stats {
	uint64_t sent_bytes, received_bytes; /* of bodies, also of those sent in vain */
	uint64_t requests, failures;         /* ended; without an answer */
	uint32_t running;
};
void transfer_stats(struct transfer *t, struct transfer_stats *ret_stats);

#endif
