/* SPDX-License-Identifier: MIT */
#include "sync/s3_client.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_url.h"
#include "sync/s3_answer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REGION_DEFAULT "us-east-1"
#define BUCKET_BYTES_MIN 3
#define BUCKET_BYTES_MAX 63
#define PREFIX_BYTES_MAX 512
#define SKEW_S_MAX 300 /* servers refuse from 900 on */
#define RETRY_AFTER_S_MAX 3600
#define BASE64_SHA256_BYTES 45 /* with its end */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* A code of S3, its meaning, and what people must know of it, if anything. */
struct known_error {
	const char *code;
	int error;
	const char *text;
};

struct s3_client {
	struct transfer *engine;
	struct remote *remote;
	struct transfer_server server;
	char *ca_file;
	char *origin; /* "https://host:port" */
	char *host;   /* as the Host header has it */
	char *bucket_path;
	char *key_path; /* of what comes before a name: ends in '/' */
	char *prefix;
	char *access_key, *region;
	char *secret_key, *session_token;
	_Atomic int64_t skew_s;  /* added to our clock when signing */
	_Atomic int64_t clock_s; /* theirs minus ours, as last seen */
	atomic_bool has_clock;
	atomic_bool send_checksum;
	_Atomic(const struct known_error *)
		said; /* what people were told last; NULL since it works */
};

/* ---- making ---- */

__attribute__((format(printf, 2, 3))) static int wrong(char **ret_wrong, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(ret_wrong, format, args) < 0)
		*ret_wrong = NULL;
	va_end(args);
	return *ret_wrong ? -EINVAL : -ENOMEM;
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static void secret_free(char *secret)
{
	if (secret)
		crypto_wipe(secret, strlen(secret));
	free(secret);
}

void s3_client_free(struct s3_client *c)
{
	if (!c)
		return;
	secret_free(c->secret_key);
	secret_free(c->session_token);
	free(c->ca_file);
	free(c->origin);
	free(c->host);
	free(c->bucket_path);
	free(c->key_path);
	free(c->prefix);
	free(c->access_key);
	free(c->region);
	free(c);
}

static int check_bucket(const char *bucket, size_t n, char **ret_wrong)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

	if (n < BUCKET_BYTES_MIN || n > BUCKET_BYTES_MAX || strspn(bucket, bytes) < n)
		return wrong(ret_wrong,
			     "\"%.*s\" cannot be a bucket's name (%d to %d letters, "
			     "digits, dots and hyphens)",
			     (int)n, bucket, BUCKET_BYTES_MIN, BUCKET_BYTES_MAX);
	return 0;
}

static char *format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *pattern, ...)
{
	char *text;
	va_list args;

	va_start(args, pattern);
	if (vasprintf(&text, pattern, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

/* Where Amazon has a region's buckets. */
static char *amazon_host(const char *region)
{
	return format("s3.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

/* Host, origin and paths of a URL whose path is bucket[/prefix]. */
static int place(struct s3_client *c, const struct remote_url *url, bool virtual_host,
		 char **ret_wrong)
{
	CLEANUP(free_ptr) char *host = url->host ? copy(url->host) : amazon_host(c->region);
	const size_t bucket_n = strcspn(url->path, "/");
	const int n = (int)bucket_n;
	const char *rest = url->path[bucket_n] ? url->path + bucket_n + 1 : "";
	const char *slash = *rest ? "/" : "";
	const uint16_t usual = url->tls ? 443 : 80;
	char port[8] = "";
	int r;

	r = check_bucket(url->path, bucket_n, ret_wrong);
	if (r < 0)
		return r;
	if (strlen(rest) > PREFIX_BYTES_MAX)
		return wrong(ret_wrong, "the prefix is longer than %d bytes", PREFIX_BYTES_MAX);
	/* A wildcard certificate does not hold for a bucket with a dot. */
	if (!url->host)
		virtual_host = !memchr(url->path, '.', bucket_n);
	if (url->port && url->port != usual)
		(void)snprintf(port, sizeof(port), ":%u", url->port);
	if (!host)
		return -ENOMEM;
	c->prefix = format("%s%s", rest, slash);
	if (virtual_host) {
		c->host = format("%.*s.%s%s", n, url->path, host, port);
		c->bucket_path = copy("/");
		c->key_path = format("/%s%s", rest, slash);
	} else {
		c->host = format("%s%s", host, port);
		c->bucket_path = format("/%.*s", n, url->path);
		c->key_path = format("/%.*s/%s%s", n, url->path, rest, slash);
	}
	c->origin = c->host ? format("http%s://%s", url->tls ? "s" : "", c->host) : NULL;
	return c->origin && c->bucket_path && c->key_path && c->prefix ? 0 : -ENOMEM;
}

int s3_client_new(const char *url, const struct remote_settings *settings, struct transfer *engine,
		  struct remote *remote, struct s3_client **ret_client, char **ret_wrong)
{
	CLEANUP(s3_client_free_ptr) struct s3_client *c = calloc(1, sizeof(*c));
	CLEANUP(remote_url_done_ptr) struct remote_url parsed = { 0 };
	int r;

	if (!c)
		return -ENOMEM;
	r = remote_url_parse(url, &parsed, ret_wrong);
	if (r < 0)
		return r;
	assert(parsed.kind == REMOTE_KIND_S3);
	if (!settings->access_key || !settings->secret_key)
		return wrong(ret_wrong, "S3 needs an access key and a secret key");
	c->engine = engine;
	c->remote = remote;
	c->access_key = copy(settings->access_key);
	c->secret_key = copy(settings->secret_key);
	c->region = copy(settings->region ? settings->region : REGION_DEFAULT);
	if (settings->session_token)
		c->session_token = copy(settings->session_token);
	if (settings->ca_file)
		c->ca_file = copy(settings->ca_file);
	if (!c->access_key || !c->secret_key || !c->region ||
	    (settings->session_token && !c->session_token) || (settings->ca_file && !c->ca_file))
		return -ENOMEM;
	c->server.ca_file = c->ca_file;
	r = place(c, &parsed, settings->virtual_host, ret_wrong);
	if (r < 0)
		return r;
	*ret_client = STEAL(c);
	return 0;
}

const char *s3_client_prefix(const struct s3_client *c)
{
	return c->prefix;
}

bool s3_client_clock(const struct s3_client *c, int64_t *ret_skew_ms)
{
	if (!c->has_clock)
		return false;
	*ret_skew_ms = c->clock_s * 1000;
	return true;
}

/* ---- what errors mean ---- */

static const struct known_error known_errors[] = {
	{ "NoSuchKey", -ENOENT, NULL },
	{ "InvalidRange", -ERANGE, NULL },
	{ "NoSuchBucket", -EREMOTEIO, "there is no such bucket: make it, or correct the URL" },
	{ "AccessDenied", -EACCES,
	  "access is denied: these credentials lack a right (reading, writing and listing below "
	  "the "
	  "prefix are needed)" },
	{ "AllAccessDisabled", -EACCES, "access is denied: this account is disabled" },
	{ "InvalidAccessKeyId", -EACCES, "the access key is not known there" },
	{ "SignatureDoesNotMatch", -EACCES,
	  "the signature is refused: the secret key is not that of the access key" },
	{ "ExpiredToken", -EACCES, "the session token has expired: renew the credentials" },
	{ "InvalidToken", -EACCES, "the session token is not valid: renew the credentials" },
	{ "RequestTimeTooSkewed", -EACCES, "the clocks differ by too much: set this machine's" },
	{ "AuthorizationHeaderMalformed", -EPROTO, "the region is wrong" },
	{ "PermanentRedirect", -EPROTO,
	  "the bucket is elsewhere: the region or the host is wrong" },
	{ "TemporaryRedirect", -EAGAIN, NULL },
	{ "IllegalLocationConstraintException", -EPROTO, "the region is wrong" },
	{ "SlowDown", -EAGAIN, NULL },
	{ "ServiceUnavailable", -EAGAIN, NULL },
	{ "TooManyRequests", -EAGAIN, NULL },
	{ "RequestTimeout", -ETIMEDOUT, NULL },
	{ "XAmzContentSHA256Mismatch", -EBADMSG, NULL },
	{ "XAmzContentChecksumMismatch", -EBADMSG, NULL },
	{ "BadDigest", -EBADMSG, NULL },
	{ "InvalidDigest", -EBADMSG, NULL },
	{ "IncompleteBody", -EBADMSG, NULL },
	{ "QuotaExceeded", -ENOSPC, NULL },
	{ "XMinioStorageFull", -ENOSPC, NULL },
	{ "StorageFull", -ENOSPC, NULL },
};

static const struct known_error *find_error(const char *code)
{
	for (size_t i = 0; i < sizeof(known_errors) / sizeof(known_errors[0]); i++)
		if (strcmp(known_errors[i].code, code) == 0)
			return &known_errors[i];
	return NULL;
}

/* Once, until something works again: requests come by the thousand. */
static void tell(struct s3_client *c, const struct known_error *known, const struct s3_error *error)
{
	const bool message = error->message[0] != '\0';
	const bool region = error->region[0] != '\0';

	if (atomic_exchange(&c->said, known) == known)
		return;
	log_error("%s: %s (the server says: %s%s%s%s%s)", c->remote->url, known->text, error->code,
		  message ? ", " : "", error->message, region ? ", region " : "", error->region);
}

static int meaning(struct s3_client *c, const struct transfer_answer *a,
		   const struct s3_error *error)
{
	const struct known_error *known = find_error(error->code);
	int r;

	if (known && known->text)
		tell(c, known, error);
	if (known)
		r = known->error;
	else if (a->status == 416)
		r = -ERANGE;
	else
		r = transfer_status_error(a->status);
	if (r == -EAGAIN)
		c->remote->retry_after_ms =
			1000 * (a->retry_after_s < RETRY_AFTER_S_MAX ? a->retry_after_s
								     : RETRY_AFTER_S_MAX);
	/* Nobody has said that it is the object that is missing. */
	if (r == -ENOENT && !known)
		r = -EREMOTEIO;
	if (!known)
		log_info("%s: status %d, %s, \"%s\"", c->remote->url, a->status, error->code,
			 error->message);
	return r;
}

/* ---- a request ---- */

static void base64_sha256(const uint8_t digest[static SHA256_BYTES],
			  char to[static BASE64_SHA256_BYTES])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < SHA256_BYTES; i += 3) { /* 32 bytes: the last group has two */
		const uint32_t last = i + 2 < SHA256_BYTES ? digest[i + 2] : 0;
		const uint32_t bits =
			(uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | last;

		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = digits[bits >> 6 & 63];
		*to++ = digits[bits & 63];
	}
	to[-1] = '=';
	*to = '\0';
}

/* The headers that are signed and sent; host is sent by itself. */
struct signing {
	struct sigv4_pair headers[8];
	size_t n;
	char time[SIGV4_TIME_BYTES];
	char hash[2 * SHA256_BYTES + 1];
	char checksum[BASE64_SHA256_BYTES];
	char *lines[8];
};

static void signing_done(struct signing *s)
{
	for (size_t i = 0; i < sizeof(s->lines) / sizeof(s->lines[0]); i++)
		secret_free(s->lines[i]);
}

static void add(struct signing *s, const char *name, const char *value)
{
	assert(s->n < sizeof(s->headers) / sizeof(s->headers[0]));
	s->headers[s->n++] = (struct sigv4_pair){ name, value };
}

static int collect_headers(struct s3_client *c, const struct s3_request *request, int64_t time_s,
			   struct signing *s)
{
	int r;

	r = sigv4_time(time_s, s->time);
	if (r < 0)
		return r;
	if (request->body)
		(void)bytes_to_hex(request->body->sha256, SHA256_BYTES, s->hash);
	else
		(void)strcpy(s->hash, EMPTY_SHA256);
	add(s, "host", c->host);
	add(s, "x-amz-content-sha256", s->hash);
	add(s, "x-amz-date", s->time);
	if (c->session_token)
		add(s, "x-amz-security-token", c->session_token);
	if (request->body && c->send_checksum) {
		base64_sha256(request->body->sha256, s->checksum);
		add(s, "x-amz-checksum-sha256", s->checksum);
	}
	return 0;
}

/* As lines for the transfer, with the signature, without the host. */
static int make_lines(struct signing *s, const char *authorization)
{
	for (size_t i = 1; i < s->n; i++) {
		s->lines[i - 1] = format("%s: %s", s->headers[i].name, s->headers[i].value);
		if (!s->lines[i - 1])
			return -ENOMEM;
	}
	s->lines[s->n - 1] = format("authorization: %s", authorization);
	return s->lines[s->n - 1] ? 0 : -ENOMEM;
}

static int run_signed(struct s3_client *c, const struct s3_request *request, int64_t time_s,
		      struct transfer_answer *ret_answer)
{
	const struct sigv4_identity who = { c->access_key, c->secret_key, c->region, "s3" };
	CLEANUP(signing_done) struct signing signing = { 0 };
	CLEANUP(sigv4_signed_done_ptr) struct sigv4_signed made = { 0 };
	CLEANUP(free_ptr) char *path = NULL;
	CLEANUP(free_ptr) char *url = NULL;
	int r;

	path = request->name ? format("%s%s", c->key_path, request->name) : copy(c->bucket_path);
	if (!path)
		return -ENOMEM;
	r = collect_headers(c, request, time_s, &signing);
	if (r < 0)
		return r;
	r = sigv4_sign(&who,
		       &(struct sigv4_request){ request->method, path, request->query,
						request->n_query, signing.headers, signing.n,
						signing.hash, time_s },
		       &made);
	if (r == 0)
		r = make_lines(&signing, made.authorization);
	if (r < 0)
		return r;
	url = format("%s%s", c->origin, made.target);
	if (!url)
		return -ENOMEM;
	return transfer_run(c->engine,
			    &(struct transfer_request){
				    .server = &c->server,
				    .url = url,
				    .method = request->method,
				    .headers = (const char *const *)signing.lines,
				    .body = request->body,
				    .range_offset = request->range_offset,
				    .range_n = request->range_n,
				    .to = request->to,
				    .room = request->room,
				    .collect_max = request->collect_max,
				    .cancel = request->cancel,
			    },
			    ret_answer);
}

/* Look at their clock. Returns whether a refusal may be because of ours. */
static bool note_clock(struct s3_client *c, const struct transfer_answer *a, int64_t now_s,
		       int64_t signed_s)
{
	const int64_t off = a->date_s - signed_s;

	if (a->date_s == 0)
		return false;
	c->clock_s = a->date_s - now_s;
	c->has_clock = true;
	if (a->status != 403 || (off >= -SKEW_S_MAX && off <= SKEW_S_MAX))
		return false;
	c->skew_s = a->date_s - now_s;
	return true;
}

/* With Object Lock, Amazon wants a checksum that it keeps; others do not know the header. */
static bool wants_checksum(struct s3_client *c, const struct s3_request *request,
			   const struct s3_error *error)
{
	if (!request->body || !strstr(error->message, "x-amz-checksum"))
		return false;
	return !atomic_exchange(&c->send_checksum, true);
}

/* Run once. *ret_again: it was refused for a reason that is mended now. */
static int run_once(struct s3_client *c, const struct s3_request *request,
		    struct transfer_answer *ret_answer, bool *ret_again)
{
	const int64_t now_s = time(NULL);
	const int64_t signed_s = now_s + c->skew_s;
	struct s3_error error;
	struct transfer_answer a;
	int r;

	*ret_again = false;
	r = run_signed(c, request, signed_s, &a);
	if (r < 0)
		return r;
	if (transfer_status_error(a.status) == 0) {
		(void)note_clock(c, &a, now_s, signed_s);
		if (c->said)
			c->said = NULL;
		*ret_answer = a;
		return 0;
	}
	s3_error_read(a.data, a.data_n, &error);
	*ret_again = note_clock(c, &a, now_s, signed_s) || wants_checksum(c, request, &error);
	r = *ret_again ? -EAGAIN : meaning(c, &a, &error);
	transfer_answer_done(&a);
	return r;
}

int s3_client_run(struct s3_client *c, const struct s3_request *request,
		  struct transfer_answer *ret_answer)
{
	bool again = true;
	int r = -EAGAIN;

	/* A clock and a checksum at most: each is found once. */
	for (int i = 0; i < 3 && again; i++)
		r = run_once(c, request, ret_answer, &again);
	return r;
}
