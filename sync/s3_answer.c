/* SPDX-License-Identifier: MIT */
#include "sync/s3_answer.h"

#include "sync/xml.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ll

/* A page while it is read. Keys are decoded at its end: only then it is known whether they are
 * encoded. */
struct page_reader {
	struct s3_page page;
	struct byte_buf raw_keys;
	bool is_page;
	bool in_object;
	bool encoded;
	bool truncated;
	struct s3_object object;
	bool has_key;
	bool has_size;
};

static int open_page_element(void *context, const char *name, unsigned int depth)
{
	struct page_reader *r = context;

	if (depth == 1)
		r->is_page = strcmp(name, "ListBucketResult") == 0;
	if (!r->is_page)
		return -EPROTO;
	if (depth != 2 || strcmp(name, "Contents") != 0)
		return 0;
	if (r->page.n == S3_PAGE_OBJECTS_MAX)
		return -EPROTO;
	r->in_object = true;
	r->has_key = r->has_size = false;
	r->object = (struct s3_object){ 0 };
	return 0;
}

/* "2009-10-12T17:50:30.000Z"; 0 when it is something else. */
static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	int64_t s;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6 ||
	    tm.tm_year < 1970 || tm.tm_year > 2200)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	s = timegm(&tm);
	return s > 0 && s < INT64_MAX / NS_PER_S ? s * NS_PER_S : 0;
}

/* Digits only. */
static int parse_size(const char *text, uint64_t *ret_size)
{
	const size_t n = strlen(text);

	if (n == 0 || n > 18 || strspn(text, "0123456789") != n)
		return -EPROTO;
	*ret_size = strtoull(text, NULL, 10);
	return 0;
}

static int close_object_field(struct page_reader *r, const char *name, const char *text)
{
	if (strcmp(name, "Key") == 0) {
		if (r->has_key)
			return -EPROTO;
		r->has_key = true;
		r->object.key_at = r->raw_keys.n;
		byte_buf_append(&r->raw_keys, text, strlen(text) + 1);
	} else if (strcmp(name, "Size") == 0) {
		r->has_size = true;
		return parse_size(text, &r->object.size);
	} else if (strcmp(name, "LastModified") == 0) {
		r->object.mtime_ns = parse_time(text);
	}
	return r->raw_keys.failed ? -ENOMEM : 0;
}

static int close_object(struct page_reader *r)
{
	r->in_object = false;
	if (!r->has_key || !r->has_size)
		return -EPROTO;
	byte_buf_append(&r->page.objects, &r->object, sizeof(r->object));
	r->page.n++;
	return r->page.objects.failed ? -ENOMEM : 0;
}

static int close_page_field(struct page_reader *r, const char *name, const char *text)
{
	if (strcmp(name, "IsTruncated") == 0) {
		r->truncated = strcmp(text, "true") == 0;
	} else if (strcmp(name, "EncodingType") == 0) {
		r->encoded = strcmp(text, "url") == 0;
	} else if (strcmp(name, "NextContinuationToken") == 0) {
		free(r->page.next);
		r->page.next = strdup(text);
		return r->page.next ? 0 : -ENOMEM;
	}
	return 0;
}

static int close_page_element(void *context, const char *name, unsigned int depth, const char *text)
{
	struct page_reader *r = context;

	if (depth == 3 && r->in_object)
		return close_object_field(r, name, text);
	if (depth == 2)
		return r->in_object ? close_object(r) : close_page_field(r, name, text);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decode percent signs in place. False for what is wrongly encoded, or has a zero byte. */
static bool decode(char *key)
{
	char *to = key;

	for (const char *at = key; *at; at++, to++) {
		int high, low;

		*to = *at == '+' ? ' ' : *at;
		if (*at != '%')
			continue;
		high = hex_digit(at[1]);
		low = high < 0 ? -1 : hex_digit(at[2]);
		if (low < 0 || high + low == 0)
			return false;
		*to = (char)(high * 16 + low);
		at += 2;
	}
	*to = '\0';
	return true;
}

/* Move the keys over into the page, without those that are of no use. */
static int finish_keys(struct page_reader *r)
{
	struct s3_object *objects = (struct s3_object *)r->page.objects.data;
	size_t n = 0;

	for (size_t i = 0; i < r->page.n; i++) {
		char *key = (char *)r->raw_keys.data + objects[i].key_at;

		if ((r->encoded && !decode(key)) || strlen(key) > S3_KEY_BYTES_MAX || !*key)
			continue;
		objects[n] = objects[i];
		objects[n++].key_at = r->page.keys.n;
		byte_buf_append(&r->page.keys, key, strlen(key) + 1);
	}
	r->page.n = n;
	return r->page.keys.failed ? -ENOMEM : 0;
}

static void reader_done(struct page_reader *r)
{
	s3_page_done(&r->page);
	byte_buf_done(&r->raw_keys);
}

int s3_page_read(const void *data, size_t n, struct s3_page *ret_page)
{
	static const struct xml_visitor visitor = { open_page_element, close_page_element };
	CLEANUP(reader_done) struct page_reader reader = { 0 };
	int r;

	r = xml_read(data, n, &visitor, &reader);
	if (r < 0)
		return r;
	r = finish_keys(&reader);
	if (r < 0)
		return r;
	if (!reader.truncated)
		free(STEAL(reader.page.next));
	else if (!reader.page.next || !*reader.page.next)
		return -EPROTO; /* more, and no way to it */
	*ret_page = reader.page;
	reader.page = (struct s3_page){ 0 };
	return 0;
}

void s3_page_done(struct s3_page *p)
{
	byte_buf_done(&p->objects);
	byte_buf_done(&p->keys);
	free(STEAL(p->next));
}

const struct s3_object *s3_page_object(const struct s3_page *p, size_t i)
{
	assert(i < p->n);
	return (const struct s3_object *)p->objects.data + i;
}

const char *s3_page_key(const struct s3_page *p, size_t i)
{
	return (const char *)p->keys.data + s3_page_object(p, i)->key_at;
}

/* ---- errors ---- */

static void keep_printable(char *to, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n < room - 1; text++)
		if (*text >= ' ' && *text <= '~')
			to[n++] = *text;
	to[n] = '\0';
}

static int open_error_element(void *context, const char *name, unsigned int depth)
{
	(void)context;
	return depth == 1 && strcmp(name, "Error") != 0 ? -EPROTO : 0;
}

static int close_error_element(void *context, const char *name, unsigned int depth,
			       const char *text)
{
	struct s3_error *e = context;

	if (depth != 2)
		return 0;
	if (strcmp(name, "Code") == 0)
		keep_printable(e->code, sizeof(e->code), text);
	else if (strcmp(name, "Message") == 0)
		keep_printable(e->message, sizeof(e->message), text);
	else if (strcmp(name, "Region") == 0)
		keep_printable(e->region, sizeof(e->region), text);
	return 0;
}

void s3_error_read(const void *data, size_t n, struct s3_error *ret_error)
{
	static const struct xml_visitor visitor = { open_error_element, close_error_element };
	struct s3_error error = { 0 };

	if (n == 0 || xml_read(data, n, &visitor, &error) < 0)
		error = (struct s3_error){ 0 };
	*ret_error = error;
}
