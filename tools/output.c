/* SPDX-License-Identifier: MIT */
#include "tools/output.h"

#include "store/base/bytes.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define JSON_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY)

char *output_size(uint64_t bytes, char to[static OUTPUT_SIZE_BYTES])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		(void)snprintf(to, OUTPUT_SIZE_BYTES, "%" PRIu64 " B", bytes);
		return to;
	}
	/* 1023.95 and more would be printed as 1024. */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(to, OUTPUT_SIZE_BYTES, value < 9.95 ? "%.1f %s" : "%.0f %s", value,
		       units[unit]);
	return to;
}

/* Seconds rounded down, so that times before 1970 stay right. */
static time_t split_ns(int64_t time_ns, int64_t *ret_ns)
{
	int64_t s = time_ns / NS_PER_S;
	int64_t rest = time_ns % NS_PER_S;

	if (rest < 0) {
		rest += NS_PER_S;
		s--;
	}
	*ret_ns = rest;
	return (time_t)s;
}

char *output_time(int64_t time_ns, char to[static OUTPUT_TIME_BYTES])
{
	int64_t rest;
	time_t s = split_ns(time_ns, &rest);
	struct tm tm;

	if (!localtime_r(&s, &tm) || strftime(to, OUTPUT_TIME_BYTES, "%F %T %Z", &tm) == 0)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "?");
	return to;
}

char *output_time_utc(int64_t time_ns, char to[static OUTPUT_TIME_BYTES])
{
	int64_t rest;
	time_t s = split_ns(time_ns, &rest);
	struct tm tm;
	char day[40];

	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%FT%T", &tm) == 0)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "?");
	else
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%s.%09" PRId64 "Z", day, rest);
	return to;
}

char *output_duration(int64_t ns, char to[static OUTPUT_TIME_BYTES])
{
	int64_t s = ns / NS_PER_S;

	if (ns < 0)
		ns = s = 0;
	if (s < 10)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%.1f s", (double)ns / NS_PER_S);
	else if (s < 60)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%" PRId64 " s", s);
	else if (s < 3600)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%" PRId64 " min %" PRId64 " s", s / 60,
			       s % 60);
	else if (s < 172800)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%" PRId64 " h %" PRId64 " min", s / 3600,
			       s / 60 % 60);
	else
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%" PRId64 " days", s / 86400);
	return to;
}

static bool utf8_tail(const unsigned char *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

const char *output_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

size_t output_utf8(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return n >= 2 && utf8_tail(p, 2) ? 2 : 0;
	if (p[0] >= 0xe0 && p[0] <= 0xef) {
		bool bad;

		if (n < 3 || !utf8_tail(p, 3))
			return 0;
		bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f);
		return bad ? 0 : 3;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		bool bad;

		if (n < 4 || !utf8_tail(p, 4))
			return 0;
		bad = (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
		return bad ? 0 : 4;
	}
	return 0;
}

/* Characters that drive a terminal or turn the text around: C0, DEL, C1, U+202A-E, U+2066-9. */
static bool unsafe(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *)text;

	if (length == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	if (length == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (length == 3 && p[0] == 0xe2)
		return (p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
		       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
	return false;
}

size_t output_escape(const char *text, size_t n, char *to, size_t room)
{
	size_t at = 0, i = 0;

	while (i < n) {
		size_t length = output_utf8(text + i, n - i);

		if (length > 0 && !unsafe(text + i, length)) {
			if (at + length + 1 > room)
				break;
			memcpy(to + at, text + i, length);
			at += length;
			i += length;
			continue;
		}
		if (at + 5 > room)
			break;
		(void)snprintf(to + at, 5, "\\x%02x", (unsigned char)text[i]);
		at += 4;
		i++;
	}
	to[at] = '\0';
	return at;
}

void output_name(FILE *stream, const char *name, size_t n)
{
	CLEANUP(free_ptr) char *escaped = NULL;

	if (!isatty(fileno(stream))) {
		(void)fwrite(name, 1, n, stream);
		return;
	}
	escaped = malloc(n * 4 + 1);
	if (escaped)
		(void)fwrite(escaped, 1, output_escape(name, n, escaped, n * 4 + 1), stream);
}

static bool json_plain(const char *name, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t length = output_utf8(name + i, n - i);

		if (length == 0 || name[i] == '\0')
			return false;
		i += length;
	}
	return true;
}

static json_t *json_lossy(const char *name, size_t n)
{
	CLEANUP(free_ptr) char *text = malloc(n * 3 + 1);
	size_t at = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < n;) {
		size_t length = name[i] == '\0' ? 0 : output_utf8(name + i, n - i);

		memcpy(text + at, length > 0 ? name + i : "\xef\xbf\xbd", length > 0 ? length : 3);
		at += length > 0 ? length : 3;
		i += length > 0 ? length : 1;
	}
	return json_stringn(text, at);
}

int output_json_name(json_t *object, const char *key, const char *name, size_t n)
{
	CLEANUP(free_ptr) char *hex = NULL;
	char hex_key[64];

	if (json_plain(name, n))
		return json_object_set_new(object, key, json_stringn(name, n)) ? -ENOMEM : 0;

	hex = malloc(n * 2 + 1);
	if (!hex || json_object_set_new(object, key, json_lossy(name, n)))
		return -ENOMEM;
	(void)snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	if (json_object_set_new(object, hex_key, json_string(bytes_to_hex(name, n, hex))))
		return -ENOMEM;
	return 0;
}

int output_json(json_t *value)
{
	if (!value)
		return -ENOMEM;
	(void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	(void)fputc('\n', stdout);
	json_decref(value);
	return 0;
}

void json_list_begin(struct json_list *list, FILE *stream)
{
	*list = (struct json_list){ .stream = stream };
	(void)fputc('[', stream);
}

int json_list_add(struct json_list *list, json_t *item)
{
	if (!item)
		return -ENOMEM;
	(void)fputs(list->n++ ? ",\n" : "\n", list->stream);
	(void)json_dumpf(item, list->stream, JSON_FLAGS);
	json_decref(item);
	return 0;
}

void json_list_end(struct json_list *list)
{
	(void)fputs(list->n ? "\n]\n" : "]\n", list->stream);
}
