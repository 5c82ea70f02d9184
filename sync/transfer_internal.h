/* SPDX-License-Identifier: MIT */
/* transfer_internal: what the engine and the shaping of one request share. */
#ifndef SYNC_TRANSFER_INTERNAL_H
#define SYNC_TRANSFER_INTERNAL_H

#include "store/base/bytes.h"
#include "sync/transfer.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>

#define TRANSFER_CONNECT_MS 15000
#define TRANSFER_STALL_MS 30000
#define TRANSFER_CONNECTIONS 32
#define TRANSFER_COLLECT_BYTES ((size_t)1024 * 1024)
#define TRANSFER_HEADER_BYTES_MAX 65536

/*
 * Bytes that may move now: grows with time up to a tenth of a second's worth.
 * What libcurl hands over is taken whole, so it may fall below zero; nothing
 * moves until that is paid back. Owned by the engine's thread.
 */
struct rate_bucket {
	uint64_t rate; /* bytes a second; 0: no limit */
	int64_t tokens;
	int64_t filled_ns;
};

/* What the callbacks of a running request share with the engine; its thread only. */
struct transfer_flow {
	struct rate_bucket up;
	struct rate_bucket down;
	bool paused;
	_Atomic uint64_t sent_bytes; /* read by transfer_stats() */
	_Atomic uint64_t received_bytes;
};

/*
 * One request on its way. Built and taken down by the caller's thread, which
 * waits in between; from transfer.c's submit() to `done` it is the engine's.
 */
struct transfer_job {
	const struct transfer_request *request;
	struct transfer_flow *flow;
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *commands;
	char error_text[CURL_ERROR_SIZE];

	uint64_t read_at; /* of the body that is sent */
	struct byte_buf collected;
	struct transfer_answer answer;
	size_t header_bytes;
	int error;   /* found by ourselves: counts more than libcurl's */
	bool enough; /* an error's body is longer than anybody wants to know: not an error */
	CURLcode code;

	/* the engine's */
	bool started;
	bool held;      /* a callback said pause */
	uint64_t moved; /* bytes since then */
	int64_t moved_since_ms;
	bool done; /* under the engine's lock */
	pthread_cond_t ended;
	TAILQ_ENTRY(transfer_job) link;
};

/** True when bytes may move now. */
bool rate_bucket_open(const struct rate_bucket *b);

/**
 * Say in libcurl's terms what `job->request` asks for. `commands` are SFTP's
 * before the transfer. Returns 0, -EPERM, -EINVAL, -EKEYREJECTED, -ENOMEM.
 */
int transfer_job_shape(struct transfer_job *job, const char *const *commands,
		       const struct transfer_options *options);
/** What became of it; on 0 `job->answer` is whole. */
int transfer_job_result(struct transfer_job *job);
/** Release what it holds but for the easy handle, which is wiped for another request. */
void transfer_job_done(struct transfer_job *job);

#endif
