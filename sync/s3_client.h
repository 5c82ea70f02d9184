/* SPDX-License-Identifier: MIT */
/*
 * s3_client: one bucket of an S3 server: signed requests, and what their
 * errors mean. Nothing is retried, but for two things that the server has to
 * tell us once: what its clock says, and that it wants a checksum.
 *
 * Threads: any number may use one client at once.
 */
#ifndef SYNC_S3_CLIENT_H
#define SYNC_S3_CLIENT_H

#include "sync/remote.h"
#include "sync/sigv4.h"
#include "sync/transfer.h"

struct s3_client;

/**
 * Of a URL as in remote.h. Strings are copied, `engine` and `remote` borrowed:
 * the latter is whom messages name and who keeps retry_after_ms. Returns 0;
 * -EINVAL with *ret_wrong; -EPERM; -ENOMEM.
 */
int s3_client_new(const char *url, const struct remote_settings *settings, struct transfer *engine,
		  struct remote *remote, struct s3_client **ret_client, char **ret_wrong);
/** Wipes the secrets. NULL is fine. */
void s3_client_free(struct s3_client *c);
CLEANUP_DEFINE(struct s3_client, s3_client_free)

struct s3_request {
	const char *method;
	const char *name; /* of an object below the prefix; NULL: the bucket */
	const struct sigv4_pair *query;
	size_t n_query;
	const struct remote_body *body;
	uint64_t range_offset, range_n; /* as in struct transfer_request, as what follows */
	void *to;
	size_t room;
	size_t collect_max;
	const volatile bool *cancel;
};

/**
 * Run a request. Returns 0 for 2xx, then the caller owns *ret_answer; else an
 * -errno of remote.h, or -ERANGE for a range beyond the end. People are told
 * once of what they must mend: credentials, the bucket, the region, the clock.
 */
int s3_client_run(struct s3_client *c, const struct s3_request *request,
		  struct transfer_answer *ret_answer);
/** What comes before a name in a key: "" or "prefix/". */
const char *s3_client_prefix(const struct s3_client *c);
/** Their clock minus ours, of the last answer. False: never said. */
bool s3_client_clock(const struct s3_client *c, int64_t *ret_skew_ms);

#endif
