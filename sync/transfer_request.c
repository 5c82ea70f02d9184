/* SPDX-License-Identifier: MIT */
/*
 * One request in libcurl's terms: its options, its callbacks (run by the
 * engine's thread), what its end means.
 *
 * HTTP/1.1 always: connections give the parallelism, and uploads over HTTP/2
 * were reworked after the libcurl 7.88 that is the oldest we run with.
 */
#include "sync/transfer_internal.h"

#include "store/base/log.h"
#include "store/crypto.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BUFFER_BYTES (256l * 1024)
#define PIECE_BYTES_MIN 4096

/* curl_url_get() yields memory of libcurl's. */
static void curl_text_free(char **text)
{
	curl_free(*text);
}

static void url_free(CURLU **url)
{
	curl_url_cleanup(*url);
}

/* ---- callbacks ---- */

bool rate_bucket_open(const struct rate_bucket *b)
{
	return b->rate == 0 || b->tokens > 0;
}

static bool may_move(struct transfer_job *job, const struct rate_bucket *bucket)
{
	if (!job->flow->paused && rate_bucket_open(bucket))
		return true;
	job->held = true;
	return false;
}

/* As much as the bucket has, but no crumbs. What arrives cannot be cut so: see struct rate_bucket.
 */
static size_t allowed(const struct rate_bucket *bucket, size_t n)
{
	const size_t most =
		bucket->tokens > PIECE_BYTES_MIN ? (size_t)bucket->tokens : PIECE_BYTES_MIN;

	return bucket->rate == 0 || n < most ? n : most;
}

static void moved(struct transfer_job *job, struct rate_bucket *bucket, size_t n)
{
	job->moved += n;
	if (bucket->rate > 0)
		bucket->tokens -= (int64_t)n;
}

static size_t on_read(char *to, size_t size, size_t count, void *context)
{
	struct transfer_job *job = context;
	const struct remote_body *body = job->request->body;
	const uint64_t left = body->size - job->read_at;
	size_t n = size * count;

	if (left == 0)
		return 0;
	if (!may_move(job, &job->flow->up))
		return CURL_READFUNC_PAUSE;
	if (n > left)
		n = (size_t)left;
	n = allowed(&job->flow->up, n);
	if (body->data) {
		memcpy(to, (const uint8_t *)body->data + job->read_at, n);
	} else {
		const int64_t got = io_pread(body->io, body->fd, to, n, job->read_at);

		if (got != (int64_t)n) {
			job->error = got < 0 ? (int)got : -EIO;
			return CURL_READFUNC_ABORT;
		}
	}
	job->read_at += n;
	moved(job, &job->flow->up, n);
	atomic_fetch_add(&job->flow->sent_bytes, n);
	return n;
}

static int on_seek(void *context, curl_off_t offset, int origin)
{
	struct transfer_job *job = context;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > job->request->body->size)
		return CURL_SEEKFUNC_FAIL;
	job->read_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t collect_max(const struct transfer_request *request)
{
	return request->collect_max ? request->collect_max : TRANSFER_COLLECT_BYTES;
}

/* An error's body: the beginning is enough. */
static int keep_error_body(struct transfer_job *job, const char *data, size_t n)
{
	const size_t room = collect_max(job->request) - job->collected.n;

	byte_buf_append(&job->collected, data, n < room ? n : room);
	job->enough = n > room;
	return job->enough ? -ECANCELED : 0;
}

static int keep_body(struct transfer_job *job, const char *data, size_t n)
{
	const struct transfer_request *request = job->request;
	long status = 0;

	(void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300) /* SFTP has none: 0 */
		return keep_error_body(job, data, n);
	if (request->to) {
		if (n > request->room - job->answer.n)
			return -EBADMSG;
		memcpy((uint8_t *)request->to + job->answer.n, data, n);
		return 0;
	}
	if (n > collect_max(request) - job->collected.n)
		return -EBADMSG;
	byte_buf_append(&job->collected, data, n);
	return 0;
}

static size_t on_write(char *data, size_t size, size_t count, void *context)
{
	struct transfer_job *job = context;
	const size_t n = size * count;
	int r;

	if (!may_move(job, &job->flow->down))
		return CURL_WRITEFUNC_PAUSE;
	r = keep_body(job, data, n);
	if (r == 0 && job->collected.failed)
		r = -ENOMEM;
	if (r < 0) {
		job->error = job->enough ? 0 : r;
		return 0;
	}
	job->answer.n += n;
	moved(job, &job->flow->down, n);
	atomic_fetch_add(&job->flow->received_bytes, n);
	return n;
}

/* The value of a header when the line is this one; NULL when it is another. Cut at `room`. */
static const char *header_value(const char *line, size_t n, const char *name, char *to, size_t room)
{
	const size_t name_n = strlen(name);
	const char *at = line + name_n + 1;
	const char *end = line + n;

	if (n <= name_n || strncasecmp(line, name, name_n) != 0 || line[name_n] != ':')
		return NULL;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
		end--;
	(void)snprintf(to, room, "%.*s", (int)(end - at), at);
	return to;
}

/* "bytes 0-9/100", "bytes 0-9/" and a star, "bytes " a star "/100". */
static void read_content_range(struct transfer_answer *a, const char *value)
{
	uint64_t first, last, total;

	if (sscanf(value, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &first, &last, &total) == 3) {
		a->range_offset = first;
		a->range_total = total;
	} else if (sscanf(value, "bytes %" SCNu64 "-%" SCNu64 "/*", &first, &last) == 2) {
		a->range_offset = first;
	} else if (sscanf(value, "bytes */%" SCNu64, &total) == 1) {
		a->range_total = total;
	}
}

/* What libcurl makes of the answer to the SFTP command "statvfs": lines, all in one "header". */
static void read_free_space(struct transfer_answer *a, const char *lines, size_t n)
{
	char text[1024];
	const char *unit, *count;
	uint64_t unit_bytes, units;

	if (n >= sizeof(text))
		return;
	memcpy(text, lines, n);
	text[n] = '\0';
	unit = strstr(text, "f_frsize: ");
	count = strstr(text, "f_bavail: ");
	if (!unit || sscanf(unit, "f_frsize: %" SCNu64, &unit_bytes) != 1 || !count ||
	    sscanf(count, "f_bavail: %" SCNu64, &units) != 1)
		return;
	if (__builtin_mul_overflow(units, unit_bytes, &a->sftp_free_bytes))
		a->sftp_free_bytes = UINT64_MAX;
}

static void forget_headers(struct transfer_answer *a)
{
	a->range_offset = UINT64_MAX;
	a->range_total = UINT64_MAX;
	a->date_s = 0;
	a->etag[0] = '\0';
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	struct transfer_job *job = context;
	struct transfer_answer *a = &job->answer;
	const size_t n = size * count;
	char value[128];

	job->header_bytes += n;
	job->moved += n;
	if (job->header_bytes > TRANSFER_HEADER_BYTES_MAX) {
		job->error = -EPROTO;
		return 0;
	}
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0) {
		forget_headers(a); /* another answer: there may be "100 Continue" before */
	} else if (n > 8 && memcmp(line, "statvfs:", 8) == 0) {
		read_free_space(a, line, n);
	} else if (header_value(line, n, "Date", value, sizeof(value))) {
		const time_t date = curl_getdate(value, NULL);

		a->date_s = date > 0 ? date : 0;
	} else if (header_value(line, n, "ETag", value, sizeof(value))) {
		memcpy(a->etag, value, sizeof(a->etag));
	} else if (header_value(line, n, "Content-Range", value, sizeof(value))) {
		read_content_range(a, value);
	}
	return n;
}

/* ---- shaping ---- */

/* Options that fail for want of memory, or because this libcurl lacks them; the first counts. */
#define SET(option, value)                                                             \
	do {                                                                           \
		const CURLcode code_ = curl_easy_setopt(job->easy, (option), (value)); \
		if (job->code == CURLE_OK)                                             \
			job->code = code_;                                             \
	} while (0)

static int append_lines(struct curl_slist **list, const char *const *lines)
{
	for (; lines && *lines; lines++) {
		struct curl_slist *longer = curl_slist_append(*list, *lines);

		if (!longer)
			return -ENOMEM;
		*list = longer;
	}
	return 0;
}

static bool is_loopback(const char *host)
{
	const size_t n = strlen(host);
	const char *const last = strrchr(host, '.');

	return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	       (last && n > 10 && strcasecmp(host + n - 10, ".localhost") == 0) ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n);
}

/* Who is to be spoken to; what may not be sent there is refused. */
static int shape_server(struct transfer_job *job)
{
	const struct transfer_request *request = job->request;
	const struct transfer_server *server = request->server;
	CLEANUP(url_free) CURLU *url = curl_url();
	CLEANUP(curl_text_free) char *scheme = NULL;
	CLEANUP(curl_text_free) char *host = NULL;
	CLEANUP(curl_text_free) char *user = NULL;

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, request->url, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return -EINVAL;
	if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0 &&
	    strcmp(scheme, "sftp") != 0)
		return -EINVAL;
	if (curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_NO_USER)
		return -EPERM;
	if (server && server->password && strcmp(scheme, "http") == 0 && !is_loopback(host)) {
		log_error("%s: a password is not sent over plain http: use https", host);
		return -EPERM;
	}
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PROTOCOLS_STR, scheme);
	if (is_loopback(host))
		SET(CURLOPT_PROXY, ""); /* whatever the environment says */
	return 0;
}

/* known_hosts must be there: libcurl takes a missing file for "no need to check". */
static int shape_known_hosts(struct transfer_job *job, const char *path)
{
	char own[4096];
	const char *home = getenv("HOME");

	if (!path) {
		if (!home ||
		    (size_t)snprintf(own, sizeof(own), "%s/.ssh/known_hosts", home) >= sizeof(own))
			home = NULL;
		path = home ? own : "~/.ssh/known_hosts";
	}
	if (access(path, R_OK) < 0)
		return log_errno(-EKEYREJECTED,
				 "%s cannot be read, so that no server's key can be checked "
				 "(ssh-keyscan HOST writes such lines)",
				 path);
	SET(CURLOPT_SSH_KNOWNHOSTS, path);
	return 0;
}

static int shape_sftp(struct transfer_job *job, const char *const *commands)
{
	static const struct transfer_server nobody;
	const struct transfer_server *server =
		job->request->server ? job->request->server : &nobody;
	long kinds = CURLSSH_AUTH_NONE;
	int r;

	r = append_lines(&job->commands, commands);
	if (r < 0)
		return r;
	if (job->commands)
		SET(CURLOPT_QUOTE, job->commands);
	if (server->key_file) {
		kinds = CURLSSH_AUTH_PUBLICKEY;
		SET(CURLOPT_SSH_PRIVATE_KEYFILE, server->key_file);
		if (server->password)
			SET(CURLOPT_KEYPASSWD, server->password);
	} else if (server->password) {
		kinds = CURLSSH_AUTH_PASSWORD | CURLSSH_AUTH_KEYBOARD;
		SET(CURLOPT_PASSWORD, server->password);
	} else if (getenv("SSH_AUTH_SOCK")) {
		kinds = CURLSSH_AUTH_AGENT;
	}
	if (server->user)
		SET(CURLOPT_USERNAME, server->user);
	SET(CURLOPT_SSH_AUTH_TYPES, kinds);
	SET(CURLOPT_NEW_FILE_PERMS, 0600l);
	SET(CURLOPT_NEW_DIRECTORY_PERMS, 0700l);
	return shape_known_hosts(job, server->known_hosts);
}

static int shape_http(struct transfer_job *job)
{
	const struct transfer_request *request = job->request;
	const struct transfer_server *server = request->server;
	int r;

	r = append_lines(&job->headers, request->headers);
	if (r < 0)
		return r;
	SET(CURLOPT_HTTPHEADER, job->headers);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (server && server->password) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, server->user ? server->user : "");
		SET(CURLOPT_PASSWORD, server->password);
	}
	if (server && server->ca_file) {
		if (access(server->ca_file, R_OK) < 0)
			return log_errno(-EKEYREJECTED, "%s (certificates) cannot be read",
					 server->ca_file);
		SET(CURLOPT_CAINFO, server->ca_file);
	}
	return 0;
}

static void shape_body(struct transfer_job *job, bool sftp)
{
	const struct transfer_request *request = job->request;
	char range[64];

	if (request->body || strcmp(request->method, "PUT") == 0) {
		SET(CURLOPT_UPLOAD, 1l);
		SET(CURLOPT_INFILESIZE_LARGE,
		    (curl_off_t)(request->body ? request->body->size : 0));
		SET(CURLOPT_READFUNCTION, on_read);
		SET(CURLOPT_READDATA, job);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, job);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
	}
	if (strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1l);
	else if (!sftp)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	if (request->range_n > 0) {
		(void)snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, request->range_offset,
			       request->range_offset + request->range_n - 1);
		SET(CURLOPT_RANGE, range);
	}
}

static void shape_common(struct transfer_job *job, const struct transfer_options *options)
{
	SET(CURLOPT_PRIVATE, job);
	SET(CURLOPT_ERRORBUFFER, job->error_text);
	SET(CURLOPT_NOSIGNAL, 1l);
	SET(CURLOPT_NOPROGRESS, 1l);
	SET(CURLOPT_FOLLOWLOCATION, 0l);
	SET(CURLOPT_PATH_AS_IS, 1l);
	SET(CURLOPT_SSL_VERIFYPEER, 1l);
	SET(CURLOPT_SSL_VERIFYHOST, 2l);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
	SET(CURLOPT_TCP_KEEPALIVE, 1l);
	SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	SET(CURLOPT_FILETIME, 1l);
	SET(CURLOPT_USERAGENT, "yore/" YORE_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_WRITEDATA, job);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, job);
}

int transfer_job_shape(struct transfer_job *job, const char *const *commands,
		       const struct transfer_options *options)
{
	const struct transfer_request *request = job->request;
	const bool sftp = strncasecmp(request->url, "sftp:", 5) == 0;
	int r;

	assert(!request->body || request->body->data || request->body->size == 0 ||
	       request->body->io);
	job->answer.content_length = UINT64_MAX;
	job->answer.sftp_free_bytes = UINT64_MAX;
	forget_headers(&job->answer);
	shape_common(job, options);
	r = shape_server(job);
	if (r < 0)
		return r;
	r = sftp ? shape_sftp(job, commands) : shape_http(job);
	if (r < 0)
		return r;
	shape_body(job, sftp);
	if (job->code == CURLE_OK)
		return 0;
	return job->code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

/* ---- the end ---- */

/* A failed SFTP command: libcurl has but one code, and its text says why. */
static int command_error(const char *text)
{
	static const struct {
		const char *text;
		int error;
	} known[] = {
		{ "File not found", -ENOENT },
		{ "No such directory", -ENOENT },
		{ "No such file", -ENOENT },
		{ "Permission denied", -EACCES },
		{ "Write protected filesystem", -EACCES },
		{ "File already exists", -EEXIST },
		{ "Disk full", -ENOSPC },
		{ "out of quota", -ENOSPC },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasestr(text, known[i].text))
			return known[i].error;
	return -EREMOTEIO;
}

static int code_error(CURLcode code, const char *text)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return -ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_LOGIN_DENIED:
	case CURLE_REMOTE_ACCESS_DENIED:
		return -EACCES;
	case CURLE_REMOTE_FILE_NOT_FOUND:
		return -ENOENT;
	case CURLE_REMOTE_FILE_EXISTS:
		return -EEXIST;
	case CURLE_REMOTE_DISK_FULL:
		return -ENOSPC;
	case CURLE_PARTIAL_FILE:
		return -EBADMSG;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		return -EPROTO;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_QUOTE_ERROR:
	case CURLE_SSH:
		return command_error(text);
	default:
		return -EREMOTEIO;
	}
}

static void read_facts(struct transfer_job *job)
{
	struct transfer_answer *a = &job->answer;
	long status = 0;
	curl_off_t length = -1, sent = 0, wait = 0, modified = -1;

	(void)curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	(void)curl_easy_getinfo(job->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	(void)curl_easy_getinfo(job->easy, CURLINFO_RETRY_AFTER, &wait);
	(void)curl_easy_getinfo(job->easy, CURLINFO_FILETIME_T, &modified);
	a->status = (int)status;
	if (length >= 0)
		a->content_length = (uint64_t)length;
	a->sent_bytes = sent > 0 ? (uint64_t)sent : 0;
	if (wait > 0)
		a->retry_after_s = wait < UINT32_MAX ? (uint32_t)wait : UINT32_MAX;
	a->modified_s = modified > 0 ? modified : 0;
}

int transfer_job_result(struct transfer_job *job)
{
	struct transfer_answer *a = &job->answer;
	int r = job->error;

	if (r == 0 && !job->enough)
		r = code_error(job->code, job->error_text);
	if (r < 0) {
		const char *text =
			job->error_text[0] ? job->error_text : curl_easy_strerror(job->code);

		if (r == -EKEYREJECTED)
			log_error("%s: the server's certificate or key is not accepted, it may be "
				  "another server: %s",
				  job->request->url, text);
		else if (r != -ECANCELED)
			log_info("%s %s: %s", job->request->method, job->request->url, text);
		return r;
	}
	read_facts(job);
	if (job->collected.n > 0) {
		byte_buf_u8(&job->collected, 0); /* a text's end, not counted */
		if (job->collected.failed)
			return -ENOMEM;
		a->data_n = job->collected.n - 1;
		a->data = STEAL(job->collected.data);
		job->collected = (struct byte_buf){ 0 };
	}
	return 0;
}

static void lines_free(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		crypto_wipe(l->data, strlen(l->data)); /* signatures, session tokens */
	curl_slist_free_all(list);
}

void transfer_job_done(struct transfer_job *job)
{
	if (job->easy)
		curl_easy_reset(job->easy); /* before the lists that it points at */
	lines_free(STEAL(job->headers));
	lines_free(STEAL(job->commands));
	byte_buf_done(&job->collected);
}

void transfer_answer_done(struct transfer_answer *a)
{
	free(a->data);
	*a = (struct transfer_answer){ 0 };
}

int transfer_status_error(int status)
{
	switch (status) {
	case 200 ... 299:
		return 0;
	case 401:
	case 403:
		return -EACCES;
	case 404:
	case 410:
		return -ENOENT;
	case 408:
	case 504:
		return -ETIMEDOUT;
	case 412:
		return -EEXIST;
	case 429:
	case 503:
		return -EAGAIN;
	case 507:
		return -ENOSPC;
	default:
		return status >= 400 && status <= 599 ? -EREMOTEIO : -EPROTO;
	}
}
