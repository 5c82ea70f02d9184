/* SPDX-License-Identifier: MIT */
#include "sync/sigv4.h"

#include "store/base/bytes.h"
#include "store/crypto.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_CHARS 8 /* of the time: the day */
#define HEX_BYTES (2 * SHA256_BYTES + 1)

/* A pair in its canonical form: a query's encoded, a header's name in lower case. */
struct canonical_pair {
	char *name;
	char *value;
	size_t number; /* as given: headers of one name keep their order */
};

struct canonical_pairs {
	struct canonical_pair pairs[SIGV4_PAIRS_MAX];
	size_t n;
};

static void pairs_done(struct canonical_pairs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->pairs[i].name);
		free(p->pairs[i].value);
	}
}

static void append_text(struct byte_buf *to, const char *text)
{
	byte_buf_append(to, text, strlen(text));
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/* `also` is one more byte that stays as it is. */
static void append_encoded(struct byte_buf *to, const char *text, char also)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text; text++) {
		const uint8_t byte = (uint8_t)*text;

		if (is_unreserved(*text) || *text == also) {
			byte_buf_u8(to, byte);
			continue;
		}
		byte_buf_u8(to, '%');
		byte_buf_u8(to, (uint8_t)digits[byte >> 4]);
		byte_buf_u8(to, (uint8_t)digits[byte & 15]);
	}
}

/* End the text and hand it over; NULL on no memory. */
static char *take_text(struct byte_buf *b)
{
	char *text;

	byte_buf_u8(b, 0);
	if (b->failed) {
		byte_buf_done(b);
		return NULL;
	}
	text = (char *)STEAL(b->data);
	*b = (struct byte_buf){ 0 };
	return text;
}

static char *encoded(const char *text)
{
	struct byte_buf b = { 0 };

	append_encoded(&b, text, 0);
	return take_text(&b);
}

static char *lower_case(const char *text)
{
	struct byte_buf b = { 0 };

	for (; *text; text++)
		byte_buf_u8(&b, (uint8_t)(*text >= 'A' && *text <= 'Z' ? *text + 32 : *text));
	return take_text(&b);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks at both ends go; a run of them within becomes one space. */
static char *trimmed(const char *text)
{
	struct byte_buf b = { 0 };
	bool blank = false;

	for (; *text; text++) {
		if (is_blank(*text)) {
			blank = true;
			continue;
		}
		if (blank && b.n > 0)
			byte_buf_u8(&b, ' ');
		blank = false;
		byte_buf_u8(&b, (uint8_t)*text);
	}
	return take_text(&b);
}

static int compare_queries(const void *a, const void *b)
{
	const struct canonical_pair *x = a;
	const struct canonical_pair *y = b;
	const int names = strcmp(x->name, y->name);

	return names ? names : strcmp(x->value, y->value);
}

static int compare_headers(const void *a, const void *b)
{
	const struct canonical_pair *x = a;
	const struct canonical_pair *y = b;
	const int names = strcmp(x->name, y->name);

	return names ? names : (x->number > y->number) - (x->number < y->number);
}

static int canonicalise(struct canonical_pairs *to, const struct sigv4_pair *from, size_t n,
			bool headers)
{
	if (n > SIGV4_PAIRS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		struct canonical_pair *p = &to->pairs[i];

		to->n = i + 1;
		p->number = i;
		p->name = headers ? lower_case(from[i].name) : encoded(from[i].name);
		p->value = headers ? trimmed(from[i].value) : encoded(from[i].value);
		if (!p->name || !p->value)
			return -ENOMEM;
	}
	if (n > 0)
		qsort(to->pairs, n, sizeof(to->pairs[0]),
		      headers ? compare_headers : compare_queries);
	return 0;
}

static void append_query(struct byte_buf *to, const struct canonical_pairs *query)
{
	for (size_t i = 0; i < query->n; i++) {
		if (i > 0)
			byte_buf_u8(to, '&');
		append_text(to, query->pairs[i].name);
		byte_buf_u8(to, '=');
		append_text(to, query->pairs[i].value);
	}
}

static bool same_name_as_before(const struct canonical_pairs *headers, size_t i)
{
	return i > 0 && strcmp(headers->pairs[i - 1].name, headers->pairs[i].name) == 0;
}

static void append_header_lines(struct byte_buf *to, const struct canonical_pairs *headers)
{
	for (size_t i = 0; i < headers->n; i++) {
		if (same_name_as_before(headers, i)) {
			byte_buf_u8(to, ',');
		} else {
			if (i > 0)
				byte_buf_u8(to, '\n');
			append_text(to, headers->pairs[i].name);
			byte_buf_u8(to, ':');
		}
		append_text(to, headers->pairs[i].value);
	}
	append_text(to, "\n");
}

static void append_header_names(struct byte_buf *to, const struct canonical_pairs *headers)
{
	for (size_t i = 0; i < headers->n; i++) {
		if (same_name_as_before(headers, i))
			continue;
		if (i > 0)
			byte_buf_u8(to, ';');
		append_text(to, headers->pairs[i].name);
	}
}

static void append_scope(struct byte_buf *to, const struct sigv4_identity *who, const char *time)
{
	byte_buf_append(to, time, DATE_CHARS);
	byte_buf_u8(to, '/');
	append_text(to, who->region);
	byte_buf_u8(to, '/');
	append_text(to, who->service);
	append_text(to, "/aws4_request");
}

/* HMAC after HMAC over day, region, service and a fixed word: the key of a day. */
static int derive_key(const struct sigv4_identity *who, const char *time,
		      uint8_t ret_key[static SHA256_BYTES])
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf first = { 0 };

	append_text(&first, "AWS4");
	if (!byte_buf_reserve(&first, strlen(who->secret_key)))
		return -ENOMEM; /* all at once: growing would leave copies behind */
	append_text(&first, who->secret_key);
	crypto_hmac_sha256(first.data, first.n, time, DATE_CHARS, ret_key);
	crypto_wipe(first.data, first.n);
	crypto_hmac_sha256(ret_key, SHA256_BYTES, who->region, strlen(who->region), ret_key);
	crypto_hmac_sha256(ret_key, SHA256_BYTES, who->service, strlen(who->service), ret_key);
	crypto_hmac_sha256(ret_key, SHA256_BYTES, "aws4_request", strlen("aws4_request"), ret_key);
	return 0;
}

/* The signature in hex of a canonical request. */
static int sign_text(const struct sigv4_identity *who, const char *time,
		     const struct byte_buf *canonical, char ret_hex[static HEX_BYTES])
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf text = { 0 };
	uint8_t digest[SHA256_BYTES];
	uint8_t key[SHA256_BYTES];
	int r;

	sha256_of(canonical->data, canonical->n, digest);
	append_text(&text, ALGORITHM "\n");
	append_text(&text, time);
	byte_buf_u8(&text, '\n');
	append_scope(&text, who, time);
	byte_buf_u8(&text, '\n');
	append_text(&text, bytes_to_hex(digest, sizeof(digest), ret_hex));
	if (text.failed)
		return -ENOMEM;
	r = derive_key(who, time, key);
	if (r < 0)
		return r;
	crypto_hmac_sha256(key, sizeof(key), text.data, text.n, digest);
	crypto_wipe(key, sizeof(key));
	(void)bytes_to_hex(digest, sizeof(digest), ret_hex);
	return 0;
}

static char *authorization(const struct sigv4_identity *who, const char *time,
			   const struct canonical_pairs *headers, const char *signature)
{
	struct byte_buf b = { 0 };

	append_text(&b, ALGORITHM " Credential=");
	append_text(&b, who->access_key);
	byte_buf_u8(&b, '/');
	append_scope(&b, who, time);
	append_text(&b, ", SignedHeaders=");
	append_header_names(&b, headers);
	append_text(&b, ", Signature=");
	append_text(&b, signature);
	return take_text(&b);
}

static char *target(const char *path, const struct canonical_pairs *query)
{
	struct byte_buf b = { 0 };

	append_encoded(&b, path, '/');
	if (query->n > 0) {
		byte_buf_u8(&b, '?');
		append_query(&b, query);
	}
	return take_text(&b);
}

static void append_canonical_request(struct byte_buf *to, const struct sigv4_request *request,
				     const struct canonical_pairs *query,
				     const struct canonical_pairs *headers)
{
	append_text(to, request->method);
	byte_buf_u8(to, '\n');
	append_encoded(to, request->path, '/');
	byte_buf_u8(to, '\n');
	append_query(to, query);
	byte_buf_u8(to, '\n');
	append_header_lines(to, headers);
	byte_buf_u8(to, '\n');
	append_header_names(to, headers);
	byte_buf_u8(to, '\n');
	append_text(to, request->payload_sha256);
}

int sigv4_time(int64_t time_s, char ret_text[static SIGV4_TIME_BYTES])
{
	const time_t time = time_s;
	struct tm parts;

	if (!gmtime_r(&time, &parts) || parts.tm_year < 0 || parts.tm_year > 9999 - 1900)
		return -EINVAL;
	return strftime(ret_text, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &parts) > 0 ? 0 : -EINVAL;
}

int sigv4_sign(const struct sigv4_identity *who, const struct sigv4_request *request,
	       struct sigv4_signed *ret_signed)
{
	CLEANUP(pairs_done) struct canonical_pairs query = { 0 };
	CLEANUP(pairs_done) struct canonical_pairs headers = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf canonical = { 0 };
	CLEANUP(sigv4_signed_done_ptr) struct sigv4_signed made = { 0 };
	char signature[HEX_BYTES];
	char time[SIGV4_TIME_BYTES];
	int r;

	assert(request->path[0] == '/');
	r = sigv4_time(request->time_s, time);
	if (r < 0)
		return r;
	r = canonicalise(&query, request->query, request->n_query, false);
	if (r < 0)
		return r;
	r = canonicalise(&headers, request->headers, request->n_headers, true);
	if (r < 0)
		return r;
	append_canonical_request(&canonical, request, &query, &headers);
	if (canonical.failed)
		return -ENOMEM;
	r = sign_text(who, time, &canonical, signature);
	if (r < 0)
		return r;
	made.target = target(request->path, &query);
	made.authorization = authorization(who, time, &headers, signature);
	if (!made.target || !made.authorization)
		return -ENOMEM;
	*ret_signed = (struct sigv4_signed){ STEAL(made.target), STEAL(made.authorization) };
	return 0;
}

void sigv4_signed_done(struct sigv4_signed *s)
{
	free(s->target);
	free(s->authorization);
	*s = (struct sigv4_signed){ 0 };
}
