/* SPDX-License-Identifier: MIT */
/* What real S3 servers cannot be made to do, played by a scripted one. */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/transfer.h"
#include "tests/unit/http_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define EMPTY_TOKEN "<NextContinuationToken>t</NextContinuationToken>"
#define HOUR_S 3600

/* What the server does next, and what it saw last. */
static struct {
	int status;
	const char *headers;
	const char *body;
	int skew_s;          /* its clock: it refuses what is signed by another */
	bool wants_checksum; /* refuse PUTs without */
	char seen_authorization[512];
	char seen_token[512];
	char seen_checksum[512];
} script;

static struct http_server server;
static struct transfer *engine;
static struct remote *remote;
static _Atomic int n_lines;
static char last_line[1024];

static void keep_line(enum log_level level, const char *line)
{
	(void)level;
	n_lines++;
	(void)snprintf(last_line, sizeof(last_line), "%s", line);
}

static bool reply(int fd, const struct http_seen *seen, int status, const char *body)
{
	const time_t now = time(NULL) + script.skew_s;
	const size_t n = strcmp(seen->method, "HEAD") == 0 ? 0 : strlen(body);
	char date[64];
	char more[512];
	struct tm tm;

	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	(void)snprintf(more, sizeof(more), "Date: %s\r\n%s", date,
		       script.headers ? script.headers : "");
	return http_reply(fd, status, more, body, n);
}

/* Signed within five minutes of the server's clock? */
static bool in_time(const struct http_seen *seen)
{
	struct tm tm = { 0 };
	char value[512];
	int64_t off;

	(void)strptime(http_header(seen, "x-amz-date", value), "%Y%m%dT%H%M%SZ", &tm);
	off = timegm(&tm) - (time(NULL) + script.skew_s);
	return off > -300 && off < 300;
}

static bool answer(struct http_server *s, int fd, const struct http_seen *seen)
{
	(void)s;
	(void)http_header(seen, "authorization", script.seen_authorization);
	(void)http_header(seen, "x-amz-security-token", script.seen_token);
	(void)http_header(seen, "x-amz-checksum-sha256", script.seen_checksum);
	if (!in_time(seen))
		return reply(fd, seen, 403, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
	if (script.wants_checksum && !script.seen_checksum[0])
		return reply(fd, seen, 400,
			     "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR "
			     "x-amz-checksum- HTTP header is required for Put Object requests "
			     "with Object Lock parameters</Message></Error>");
	return reply(fd, seen, script.status, script.body ? script.body : "");
}

static int set_up(void **state)
{
	const struct remote_settings settings = { .access_key = "access",
						  .secret_key = "s3cret-value",
						  .session_token = "t0ken-value" };
	char url[128];
	char *wrong = NULL;

	(void)state;
	memset(&script, 0, sizeof(script));
	script.status = 200;
	n_lines = 0;
	log_set_sink(keep_line);
	http_server_start(&server, answer, NULL);
	(void)snprintf(url, sizeof(url), "s3+http://127.0.0.1:%u/bucket/pre/fix", server.port);
	if (transfer_new(NULL, &engine) < 0)
		return -1;
	return remote_open(url, &settings, engine, &remote, &wrong);
}

static int tear_down(void **state)
{
	(void)state;
	remote_free(remote);
	transfer_free(engine);
	http_server_stop(&server);
	log_set_sink(NULL);
	return 0;
}

static int put_something(void)
{
	struct remote_body body = { .data = "abc", .size = 3 };

	sha256_of("abc", 3, body.sha256);
	return remote_put(remote, "packs/one", &body, NULL);
}

static void test_a_wrong_clock_costs_one_more_request_once(void **state)
{
	struct remote_stat stat;

	(void)state;
	script.skew_s = HOUR_S;
	assert_int_equal(put_something(), 0);
	assert_int_equal(server.n_requests, 2);
	assert_int_equal(put_something(), 0);
	assert_int_equal(server.n_requests, 3);
	/* It may also be mended later; a HEAD's refusal has no body that says why. */
	script.skew_s = 0;
	assert_int_equal(remote_head(remote, "packs/one", &stat), 0);
	assert_int_equal(server.n_requests, 5);
	assert_int_equal(n_lines, 0);
}

static void test_refused_credentials_are_told_once_and_without_secrets(void **state)
{
	(void)state;
	script.status = 403;
	script.body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>";
	assert_int_equal(put_something(), -EACCES);
	assert_int_equal(put_something(), -EACCES);
	assert_int_equal(server.n_requests, 2);
	assert_int_equal(n_lines, 1);
	assert_non_null(strstr(last_line, "secret key"));
	assert_null(strstr(last_line, "s3cret-value"));
	script.status = 200;
	assert_int_equal(put_something(), 0);
	script.status = 403;
	assert_int_equal(put_something(), -EACCES);
	assert_int_equal(n_lines, 2); /* again, since it had worked between */
}

static void test_the_session_token_is_sent_and_signed(void **state)
{
	(void)state;
	assert_int_equal(put_something(), 0);
	assert_string_equal(script.seen_token, "t0ken-value");
	assert_non_null(strstr(script.seen_authorization,
			       "SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
			       "x-amz-security-token,"));
	assert_string_equal(script.seen_checksum, "");
}

static void test_a_checksum_is_added_where_the_server_wants_one(void **state)
{
	(void)state;
	script.wants_checksum = true;
	assert_int_equal(put_something(), 0);
	assert_int_equal(server.n_requests, 2);
	/* echo -n abc | openssl sha256 -binary | base64 */
	assert_string_equal(script.seen_checksum, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
	assert_non_null(strstr(script.seen_authorization, "x-amz-checksum-sha256"));
	assert_int_equal(put_something(), 0);
	assert_int_equal(server.n_requests, 3);
}

static void test_a_server_that_is_busy_says_how_long(void **state)
{
	(void)state;
	script.status = 503;
	script.headers = "Retry-After: 7\r\n";
	script.body = "<Error><Code>SlowDown</Code></Error>";
	assert_int_equal(put_something(), -EAGAIN);
	assert_int_equal(remote_retry_after_ms(remote), 7000);
	script.status = 429;
	script.headers = "Retry-After: 99999999\r\n";
	script.body = "";
	assert_int_equal(put_something(), -EAGAIN);
	assert_int_equal(remote_retry_after_ms(remote), 3600 * 1000);
}

static int64_t get(int status, const char *headers, const char *body)
{
	char to[4];

	script.status = status;
	script.headers = headers;
	script.body = body;
	return remote_get(remote, "packs/one", 10, to, sizeof(to), NULL);
}

static void test_only_the_range_that_was_asked_for_is_taken(void **state)
{
	(void)state;
	assert_int_equal(get(206, "Content-Range: bytes 10-13/100\r\n", "abcd"), 4);
	assert_int_equal(get(206, "Content-Range: bytes 10-12/13\r\n", "abc"), 3);
	assert_int_equal(get(200, "", "abcd"), -EPROTO);
	assert_int_equal(get(206, "", "abcd"), -EPROTO);
	assert_int_equal(get(206, "Content-Range: bytes 0-3/100\r\n", "abcd"), -EPROTO);
	assert_int_equal(get(206, "Content-Range: bytes 10-12/100\r\n", "abc"), -EPROTO);
	assert_int_equal(get(206, "Content-Range: bytes 10-14/100\r\n", "abcde"), -EBADMSG);
	assert_int_equal(get(204, "", ""), -EPROTO);
	assert_int_equal(get(416, "", "<Error><Code>InvalidRange</Code></Error>"), 0);
	assert_int_equal(get(302, "Location: http://127.0.0.1/\r\n", ""), -EPROTO);
}

static void test_only_a_missing_object_is_missing(void **state)
{
	struct remote_stat stat;

	(void)state;
	assert_int_equal(get(404, "", "<Error><Code>NoSuchKey</Code></Error>"), -ENOENT);
	assert_int_equal(remote_head(remote, "packs/one", &stat), -ENOENT);
	assert_int_equal(remote_remove(remote, "packs/one"), 0);
	assert_int_equal(get(404, "", "<html>no such page</html>"), -EREMOTEIO);
	assert_int_equal(remote_head(remote, "packs/one", &stat), -EREMOTEIO);
	assert_int_equal(remote_remove(remote, "packs/one"), -EREMOTEIO);
	assert_int_equal(get(404, "", "<Error><Code>NoSuchBucket</Code></Error>"), -EREMOTEIO);
	assert_int_equal(remote_head(remote, "packs/one", &stat), -EREMOTEIO);
	assert_int_equal(n_lines, 1);
}

static int count(void *context, const char *name, const struct remote_stat *stat)
{
	(void)name;
	(void)stat;
	++*(int *)context;
	return 0;
}

static int list(int status, const char *body, int *ret_n)
{
	*ret_n = 0;
	script.status = status;
	script.body = body;
	return remote_list(remote, "", count, ret_n, NULL);
}

#define OBJECT(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"

static void test_lists_that_lie_are_refused(void **state)
{
	int n;

	(void)state;
	assert_int_equal(list(200,
			      "<ListBucketResult>" OBJECT("pre/fix/a") OBJECT("pre/fix/b")
				      OBJECT("pre/fix/Ours_Not") "</ListBucketResult>",
			      &n),
			 0);
	assert_int_equal(n, 2); /* nobody's business is what no name of ours can be */
	assert_int_equal(list(200,
			      "<ListBucketResult>" OBJECT("pre/fix/b")
				      OBJECT("pre/fix/a") "</ListBucketResult>",
			      &n),
			 -EPROTO);
	assert_int_equal(list(200, "<ListBucketResult>" OBJECT("else/a") "</ListBucketResult>", &n),
			 -EPROTO);
	/* The same page for ever. */
	assert_int_equal(list(200,
			      "<ListBucketResult><IsTruncated>true</IsTruncated>" OBJECT(
				      "pre/fix/a") EMPTY_TOKEN "</ListBucketResult>",
			      &n),
			 -EPROTO);
	assert_int_equal(list(200,
			      "<ListBucketResult><IsTruncated>true</IsTruncated>" EMPTY_TOKEN
			      "</ListBucketResult>",
			      &n),
			 -EPROTO);
	assert_int_equal(list(200, "", &n), -EPROTO);
	assert_int_equal(list(404, "<Error><Code>NoSuchKey</Code></Error>", &n), -EREMOTEIO);
}

static void test_settings_that_cannot_work_are_refused_at_once(void **state)
{
	static const char *const urls[] = { "s3://ab/prefix", "s3://b%20cket/x",
					    "s3+https://host/bucket%0a/x" };
	const struct remote_settings keys = { .access_key = "a", .secret_key = "s" };
	const struct remote_settings none = { 0 };
	struct remote *r = NULL;
	char *wrong = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		assert_int_equal(remote_open(urls[i], &keys, engine, &r, &wrong), -EINVAL);
		assert_non_null(wrong);
		free(wrong);
		wrong = NULL;
	}
	assert_int_equal(remote_open("s3://bucket/x", &none, engine, &r, &wrong), -EINVAL);
	assert_non_null(strstr(wrong, "secret key"));
	free(wrong);
	assert_int_equal(remote_open("s3://bucket/x", &keys, engine, &r, &wrong), 0);
	remote_free(r);
	assert_int_equal(server.n_requests, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_wrong_clock_costs_one_more_request_once),
		TEST(test_refused_credentials_are_told_once_and_without_secrets),
		TEST(test_the_session_token_is_sent_and_signed),
		TEST(test_a_checksum_is_added_where_the_server_wants_one),
		TEST(test_a_server_that_is_busy_says_how_long),
		TEST(test_only_the_range_that_was_asked_for_is_taken),
		TEST(test_only_a_missing_object_is_missing),
		TEST(test_lists_that_lie_are_refused),
		TEST(test_settings_that_cannot_work_are_refused_at_once),
	};

	return crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
