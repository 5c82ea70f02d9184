/* SPDX-License-Identifier: MIT */
/*
 * Expected signatures: AWS's published "Signature Version 4 test suite"
 * (aws-sig-v4-test-suite, also kept in awslabs/aws-c-auth and in botocore's
 * tests/unit/auth/aws4_testsuite), and the worked examples of "Authenticating
 * Requests: Using the Authorization Header (AWS Signature Version 4)" in the
 * Amazon S3 API reference. The suite's cases on normalised paths are left out:
 * S3 does not normalise.
 */
#include "sync/sigv4.h"

#include "store/crypto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FORM "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define STS_TOKEN                                                                                 \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRX"  \
	"mxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburED" \
	"y0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64" \
	"lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

struct vector {
	const char *name;
	const char *method;
	const char *path;
	struct sigv4_pair query[2];
	struct sigv4_pair headers[4]; /* besides host and x-amz-date */
	const char *payload;
	const char *signed_headers;
	const char *signature;
};

static const struct vector suite[] = {
	{ "get-vanilla",
	  "GET",
	  "/",
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-empty-query-key",
	  "GET",
	  "/",
	  { { "Param1", "value1" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
	{ "get-vanilla-query-order-key-case",
	  "GET",
	  "/",
	  { { "Param2", "value2" }, { "Param1", "value1" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-query-order-key",
	  "GET",
	  "/",
	  { { "Param1", "value2" }, { "Param1", "Value1" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1" },
	{ "get-vanilla-query-order-value",
	  "GET",
	  "/",
	  { { "Param1", "value2" }, { "Param1", "value1" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694" },
	{ "get-vanilla-query-unreserved",
	  "GET",
	  "/",
	  { { UNRESERVED, UNRESERVED } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-utf8-query",
	  "GET",
	  "/",
	  { { "\xe1\x88\xb4", "bar" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-unreserved",
	  "GET",
	  "/" UNRESERVED,
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
	{ "get-utf8",
	  "GET",
	  "/\xe1\x88\xb4",
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-space",
	  "GET",
	  "/example space/",
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-special-character",
	  "GET",
	  "/example/$delete",
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27" },
	{ "get-vanilla-with-session-token",
	  "GET",
	  "/",
	  { { 0 } },
	  { { "X-Amz-Security-Token",
	      "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267" } },
	  EMPTY,
	  "host;x-amz-date;x-amz-security-token",
	  "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
	{ "get-header-key-duplicate",
	  "GET",
	  "/",
	  { { 0 } },
	  { { "My-Header1", "value2" }, { "My-Header1", "value2" }, { "My-Header1", "value1" } },
	  EMPTY,
	  "host;my-header1;x-amz-date",
	  "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
	{ "get-header-value-multiline",
	  "GET",
	  "/",
	  { { 0 } },
	  { { "My-Header1", "value1\n  value2\n     value3" } },
	  EMPTY,
	  "host;my-header1;x-amz-date",
	  "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd" },
	{ "get-header-value-order",
	  "GET",
	  "/",
	  { { 0 } },
	  { { "My-Header1", "value4" },
	    { "My-Header1", "value1" },
	    { "My-Header1", "value3" },
	    { "My-Header1", "value2" } },
	  EMPTY,
	  "host;my-header1;x-amz-date",
	  "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
	{ "get-header-value-trim",
	  "GET",
	  "/",
	  { { 0 } },
	  { { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" } },
	  EMPTY,
	  "host;my-header1;my-header2;x-amz-date",
	  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "post-vanilla",
	  "POST",
	  "/",
	  { { 0 } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-vanilla-query",
	  "POST",
	  "/",
	  { { "Param1", "value1" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-date",
	  "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-header-key-sort",
	  "POST",
	  "/",
	  { { 0 } },
	  { { "My-Header1", "value1" } },
	  EMPTY,
	  "host;my-header1;x-amz-date",
	  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	{ "post-header-value-case",
	  "POST",
	  "/",
	  { { 0 } },
	  { { "My-Header1", "VALUE1" } },
	  EMPTY,
	  "host;my-header1;x-amz-date",
	  "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
	{ "post-x-www-form-urlencoded",
	  "POST",
	  "/",
	  { { 0 } },
	  { { "Content-Type", "application/x-www-form-urlencoded" } },
	  FORM,
	  "content-type;host;x-amz-date",
	  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
	{ "post-x-www-form-urlencoded-parameters",
	  "POST",
	  "/",
	  { { 0 } },
	  { { "Content-Type", "application/x-www-form-urlencoded; charset=utf8" } },
	  FORM,
	  "content-type;host;x-amz-date",
	  "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe" },
	{ "post-sts-header-before",
	  "POST",
	  "/",
	  { { 0 } },
	  { { "X-Amz-Security-Token", STS_TOKEN } },
	  EMPTY,
	  "host;x-amz-date;x-amz-security-token",
	  "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
};

/* Of the S3 reference: these sign x-amz-content-sha256 as well. */
static const struct vector examples[] = {
	{ "GET Object",
	  "GET",
	  "/test.txt",
	  { { 0 } },
	  { { "Range", "bytes=0-9" } },
	  EMPTY,
	  "host;range;x-amz-content-sha256;x-amz-date",
	  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT Object",
	  "PUT",
	  "/test$file.text",
	  { { 0 } },
	  { { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
	    { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
	  WELCOME,
	  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET Bucket Lifecycle",
	  "GET",
	  "/",
	  { { "lifecycle", "" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-content-sha256;x-amz-date",
	  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "List Objects",
	  "GET",
	  "/",
	  { { "prefix", "J" }, { "max-keys", "2" } },
	  { { 0 } },
	  EMPTY,
	  "host;x-amz-content-sha256;x-amz-date",
	  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void check(const struct vector *v, const struct sigv4_identity *who, const char *host,
		  const char *date, int64_t time_s)
{
	const char *const time = time_s == 1440938160 ? "20150830T123600Z" : "20130524T000000Z";
	struct sigv4_pair headers[8] = { { "Host", host }, { "X-Amz-Date", time } };
	struct sigv4_request request = { v->method, v->path, v->query,   0,
					 headers,   2,       v->payload, time_s };
	struct sigv4_signed made;
	char expected[512];

	if (strcmp(who->service, "s3") == 0)
		headers[request.n_headers++] =
			(struct sigv4_pair){ "x-amz-content-sha256", v->payload };
	for (size_t i = 0; i < 4 && v->headers[i].name; i++)
		headers[request.n_headers++] = v->headers[i];
	while (request.n_query < 2 && v->query[request.n_query].name)
		request.n_query++;
	assert_int_equal(sigv4_sign(who, &request, &made), 0);
	(void)snprintf(expected, sizeof(expected),
		       "AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/%s/aws4_request, "
		       "SignedHeaders=%s, Signature=%s",
		       who->access_key, date, who->service, v->signed_headers, v->signature);
	if (strcmp(made.authorization, expected) != 0)
		print_error("%s\n", v->name);
	assert_string_equal(made.authorization, expected);
	sigv4_signed_done(&made);
}

static void test_the_published_suite_is_reproduced(void **state)
{
	const struct sigv4_identity who = { "AKIDEXAMPLE",
					    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1",
					    "service" };

	(void)state;
	for (size_t i = 0; i < sizeof(suite) / sizeof(suite[0]); i++)
		check(&suite[i], &who, "example.amazonaws.com", "20150830", 1440938160);
}

static void test_the_examples_of_s3_are_reproduced(void **state)
{
	const struct sigv4_identity who = { "AKIAIOSFODNN7EXAMPLE",
					    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1",
					    "s3" };

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		check(&examples[i], &who, "examplebucket.s3.amazonaws.com", "20130524", 1369353600);
}

static void test_the_target_is_what_was_signed(void **state)
{
	const struct sigv4_identity who = { "A", "S", "r", "s3" };
	const struct sigv4_pair query[] = { { "prefix", "a b/c" }, { "list-type", "2" } };
	struct sigv4_request request = { .method = "GET",
					 .path = "/bucket//a+b/../%",
					 .query = query,
					 .n_query = 2,
					 .payload_sha256 = EMPTY };
	struct sigv4_signed made;

	(void)state;
	assert_int_equal(sigv4_sign(&who, &request, &made), 0);
	assert_string_equal(made.target, "/bucket//a%2Bb/../%25?list-type=2&prefix=a%20b%2Fc");
	sigv4_signed_done(&made);
}

static void test_what_has_no_form_is_refused(void **state)
{
	const struct sigv4_identity who = { "A", "S", "r", "s3" };
	struct sigv4_pair many[SIGV4_PAIRS_MAX + 1];
	struct sigv4_request request = { .method = "GET",
					 .path = "/",
					 .query = many,
					 .n_query = SIGV4_PAIRS_MAX + 1,
					 .payload_sha256 = EMPTY };
	struct sigv4_signed made;
	char text[SIGV4_TIME_BYTES];

	(void)state;
	for (size_t i = 0; i < SIGV4_PAIRS_MAX + 1; i++)
		many[i] = (struct sigv4_pair){ "a", "b" };
	assert_int_equal(sigv4_sign(&who, &request, &made), -EINVAL);
	assert_int_equal(sigv4_time(253402300799, text), 0);
	assert_string_equal(text, "99991231T235959Z");
	assert_int_equal(sigv4_time(253402300800, text), -EINVAL);
	assert_int_equal(sigv4_time(INT64_MAX, text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_published_suite_is_reproduced),
		cmocka_unit_test(test_the_examples_of_s3_are_reproduced),
		cmocka_unit_test(test_the_target_is_what_was_signed),
		cmocka_unit_test(test_what_has_no_form_is_refused),
	};

	return crypto_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
