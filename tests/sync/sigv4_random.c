/* SPDX-License-Identifier: MIT */
/*
 * sigv4_random COUNT SEED: sign random requests and print one a line, for
 * sigv4_check.py to sign again. Fields are separated by tabs, in hex:
 * access key, secret key, region, service, method, path, queries, headers,
 * body's hash, time; then target and authorization. Queries and headers are
 * "name=value" pairs joined by commas, each side in hex.
 */
#include "store/base/bytes.h"
#include "store/crypto.h"
#include "sync/sigv4.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 48

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t below(size_t n)
{
	return (size_t)(next() >> 11) % n;
}

/* Any bytes but the zero byte: what a path or a query may hold. */
static void random_bytes(char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(below(4) == 0 ? 1 + below(255) : 33 + below(94));
	to[n] = '\0';
}

/* Printable ASCII with blanks, as headers hold. */
static void random_value(char *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(below(4) == 0 ? ' ' : 33 + below(94));
	to[n] = '\0';
}

static void random_name(char *to, size_t n)
{
	static const char bytes[] = "abcXYZ019-";

	for (size_t i = 0; i < n; i++)
		to[i] = bytes[below(sizeof(bytes) - 1)];
	to[n] = '\0';
}

static void print_hex(const char *text, const char *end)
{
	char hex[2 * 512 + 1];

	(void)printf("%s%s", bytes_to_hex(text, strlen(text), hex), end);
}

static void print_pairs(const struct sigv4_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		print_hex(pairs[i].name, "=");
		print_hex(pairs[i].value, i + 1 < n ? "," : "");
	}
	(void)printf("\t");
}

struct texts {
	char name[TEXT_MAX + 1];
	char value[TEXT_MAX + 1];
};

static void make_queries(struct texts *texts, struct sigv4_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		random_bytes(texts[i].name, 1 + below(3)); /* short: equal ones occur */
		random_bytes(texts[i].value, below(TEXT_MAX));
		pairs[i] = (struct sigv4_pair){ texts[i].name, texts[i].value };
	}
}

static void make_headers(struct texts *texts, struct sigv4_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		random_name(texts[i].name, 1 + below(4));
		random_value(texts[i].value, below(TEXT_MAX));
		pairs[i] = (struct sigv4_pair){ texts[i].name, texts[i].value };
	}
}

static int sign_one(void)
{
	static const char *const methods[] = { "GET", "PUT", "HEAD", "DELETE", "POST" };
	struct texts queries[8], headers[8];
	struct sigv4_pair query[8], header[8];
	char access[TEXT_MAX + 1], secret[TEXT_MAX + 1], region[16], path[202] = "/";
	char hash[2 * SHA256_BYTES + 1];
	uint8_t digest[SHA256_BYTES];
	const struct sigv4_identity who = { access, secret, region, "s3" };
	struct sigv4_request request = { .method = methods[below(5)],
					 .path = path,
					 .query = query,
					 .n_query = below(9),
					 .headers = header,
					 .n_headers = 1 + below(8),
					 .payload_sha256 = hash,
					 .time_s = (int64_t)below(4102444800) };
	struct sigv4_signed made;

	random_name(access, 20);
	random_bytes(secret, 1 + below(TEXT_MAX));
	random_name(region, 10);
	random_bytes(path + 1, below(200));
	make_queries(queries, query, request.n_query);
	make_headers(headers, header, request.n_headers);
	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)below(256);
	(void)bytes_to_hex(digest, sizeof(digest), hash);
	if (sigv4_sign(&who, &request, &made) < 0)
		return -1;
	print_hex(access, "\t");
	print_hex(secret, "\t");
	print_hex(region, "\t");
	print_hex(who.service, "\t");
	print_hex(request.method, "\t");
	print_hex(path, "\t");
	print_pairs(query, request.n_query);
	print_pairs(header, request.n_headers);
	(void)printf("%s\t%" PRId64 "\t%s\t%s\n", hash, request.time_s, made.target,
		     made.authorization);
	sigv4_signed_done(&made);
	return 0;
}

int main(int argc, char **argv)
{
	long count;

	if (argc != 3 || crypto_init() < 0)
		return 2;
	count = strtol(argv[1], NULL, 10);
	state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
	for (long i = 0; i < count; i++)
		if (sign_one() < 0)
			return 1;
	return 0;
}
