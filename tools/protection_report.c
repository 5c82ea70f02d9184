/* SPDX-License-Identifier: MIT */
#include "store/base/clock.h"
#include "tools/protection.h"

#include "snapshots/timeline.h"
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "tools/output.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define REPORT_FILE "local/protection.json"
#define REPORT_BYTES_MAX MIB(16)
#define REPORT_FORMAT 1
#define SOURCES_MAX RECORD_SOURCES_MAX
/* Other programs' use of the disk is no news before it changed by so much. */
#define FREE_BYTES_STEP MIB(64)

/* In the published file times are nanoseconds; shown to people's programs, RFC 3339. */
enum form { FORM_FILE, FORM_SHOWN };

enum field_kind {
	FIELD_BOOL,
	FIELD_PID,
	FIELD_COUNT,
	FIELD_TIME,
	FIELD_REAL,
	FIELD_TEXT,
	FIELD_PATH,
	FIELD_BACKEND,
	FIELD_COLLECTION
};

/* One member of a struct and its key. */
struct field {
	const char *key;
	enum field_kind kind;
	size_t offset;
	size_t room; /* of FIELD_TEXT */
};

#define FIELD(type, key, kind, member)                                                       \
	{                                                                                    \
		key, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member) \
	}
#define FIELD_END                      \
	{                              \
		NULL, FIELD_BOOL, 0, 0 \
	}

static const struct field top_fields[] = {
	FIELD(protection, "protecting", FIELD_BOOL, protecting),
	FIELD(protection, "pid", FIELD_PID, pid),
	FIELD(protection, "started", FIELD_TIME, started_ns),
	FIELD(protection, "time", FIELD_TIME, now_ns),
	FIELD(protection, "stopped", FIELD_TEXT, stopped),
	FIELD(protection, "snapshots_taken", FIELD_COUNT, snapshots_taken),
	FIELD(protection, "last_capture", FIELD_TIME, last_snapshot_ns),
	FIELD(protection, "last_seconds", FIELD_REAL, last_seconds),
	FIELD(protection, "last_cpu_seconds", FIELD_REAL, last_cpu_seconds),
	FIELD(protection, "stale_after_seconds", FIELD_COUNT, stale_after_s),
	FIELD(protection, "collection", FIELD_COLLECTION, collection),
	FIELD(protection, "collection_share", FIELD_REAL, collection_share),
	FIELD(protection, "collected", FIELD_TIME, collected_ns),
	FIELD(protection, "collected_bytes", FIELD_COUNT, collected_bytes),
	FIELD(protection, "forgotten", FIELD_COUNT, forgotten),
	FIELD(protection, "verified", FIELD_TIME, verified_ns),
	FIELD(protection, "verify_errors", FIELD_COUNT, verify_errors),
	FIELD(protection, "repository_free_bytes", FIELD_COUNT, repository_free_bytes),
	FIELD(protection, "repository_size_bytes", FIELD_COUNT, repository_size_bytes),
	FIELD_END,
};

static const struct field source_fields[] = {
	FIELD(protection_source, "path", FIELD_PATH, path),
	FIELD(protection_source, "watch", FIELD_BACKEND, watch.backend),
	FIELD(protection_source, "watch_reason", FIELD_TEXT, watch.reason),
	FIELD(protection_source, "watch_guarantee", FIELD_TEXT, watch.guarantee),
	FIELD(protection_source, "watch_events", FIELD_COUNT, watch.events),
	FIELD(protection_source, "watch_overflows", FIELD_COUNT, watch.overflows),
	FIELD(protection_source, "watch_marks", FIELD_COUNT, watch.watches),
	FIELD(protection_source, "absent", FIELD_BOOL, absent),
	FIELD(protection_source, "pending", FIELD_TIME, pending_ns),
	FIELD(protection_source, "captured", FIELD_TIME, captured_ns),
	FIELD(protection_source, "walked", FIELD_TIME, walked_ns),
	FIELD(protection_source, "files", FIELD_COUNT, files),
	FIELD(protection_source, "directories", FIELD_COUNT, directories),
	FIELD(protection_source, "bytes", FIELD_COUNT, bytes),
	FIELD(protection_source, "errors", FIELD_COUNT, errors),
	FIELD(protection_source, "new_bytes_day", FIELD_COUNT, new_bytes_day),
	FIELD(protection_source, "files_changed", FIELD_COUNT, files_changed),
	FIELD(protection_source, "files_removed", FIELD_COUNT, files_removed),
	FIELD_END,
};

static const struct field error_fields[] = {
	FIELD(protection_error, "path", FIELD_PATH, path),
	FIELD(protection_error, "what", FIELD_TEXT, what),
	FIELD(protection_error, "time", FIELD_TIME, time_ns),
	FIELD_END,
};

/* ---- writing ---- */

static json_t *count_json(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *time_json(int64_t time_ns, enum form form)
{
	char text[OUTPUT_TIME_BYTES];

	if (form == FORM_FILE)
		return json_integer(time_ns);
	return time_ns ? json_string(output_time_utc(time_ns, text)) : json_null();
}

static int put_field(json_t *object, const struct field *f, const void *at, enum form form)
{
	json_t *value = NULL;

	switch (f->kind) {
	case FIELD_BOOL:
		value = json_boolean(*(const bool *)at);
		break;
	case FIELD_PID:
		value = json_integer(*(const pid_t *)at);
		break;
	case FIELD_COUNT:
		value = count_json(*(const uint64_t *)at);
		break;
	case FIELD_TIME:
		value = time_json(*(const int64_t *)at, form);
		break;
	case FIELD_REAL:
		value = json_real(isfinite(*(const double *)at) ? *(const double *)at : 0);
		break;
	case FIELD_TEXT:
		return output_json_name(object, f->key, at, strnlen(at, f->room));
	case FIELD_PATH:
		at = *(const char *const *)at;
		return output_json_name(object, f->key, at, strlen(at));
	case FIELD_BACKEND:
		value = json_string(watch_backend_name(*(const enum watch_backend *)at));
		break;
	case FIELD_COLLECTION:
		value = json_string(collection_state_name(*(const enum collection_state *)at));
		break;
	}
	return json_object_set_new(object, f->key, value) ? -ENOMEM : 0;
}

static json_t *struct_json(const struct field *fields, const void *from, enum form form)
{
	json_t *object = json_object();

	for (const struct field *f = fields; object && f->key; f++) {
		if (put_field(object, f, (const char *)from + f->offset, form) == 0)
			continue;
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Seconds that the oldest pending change has waited for. */
static json_t *behind_json(const struct protection *p, const struct protection_source *s)
{
	int64_t ns = s->pending_ns && p->now_ns > s->pending_ns ? p->now_ns - s->pending_ns : 0;

	return json_integer(ns / NS_PER_S);
}

static json_t *report_json(const struct protection *p, enum form form)
{
	json_t *top = struct_json(top_fields, p, form);
	json_t *sources = json_array(), *errors = json_array();
	int bad = !top;

	for (size_t i = 0; !bad && i < p->n_sources && i < SOURCES_MAX; i++) {
		json_t *source = struct_json(source_fields, &p->sources[i], form);

		if (source && form == FORM_SHOWN)
			bad |= json_object_set_new(source, "behind_seconds",
						   behind_json(p, &p->sources[i]));
		bad |= json_array_append_new(sources, source);
	}
	for (size_t i = 0; !bad && i < p->n_errors; i++)
		bad |= json_array_append_new(errors,
					     struct_json(error_fields, &p->errors[i], form));
	bad |= json_object_set_new(top, "sources", sources);
	bad |= json_object_set_new(top, "errors", errors);
	if (form == FORM_FILE)
		bad |= json_object_set_new(top, "format", json_integer(REPORT_FORMAT));
	if (!bad)
		return top;
	json_decref(top);
	return NULL;
}

json_t *protection_json(const struct protection *p)
{
	return report_json(p, FORM_SHOWN);
}

static char *report_text(const struct protection *p)
{
	json_t *report = report_json(p, FORM_FILE);
	char *text = report ? json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(report);
	return text;
}

/* The text without what changes all the time. */
static char *news_text(const struct protection *p, uint64_t known_free_bytes)
{
	struct protection news = *p; /* borrows the lists */
	uint64_t more = p->repository_free_bytes - known_free_bytes;

	news.now_ns = 0;
	if (more < FREE_BYTES_STEP || 0 - more < FREE_BYTES_STEP)
		news.repository_free_bytes = known_free_bytes;
	return report_text(&news);
}

/* Do others know all of it? An idle machine's disk must be able to sleep. */
static bool is_known(struct io *io, const struct protection *p)
{
	CLEANUP(protection_done) struct protection known = { 0 };
	CLEANUP(free_ptr) char *theirs = NULL;
	CLEANUP(free_ptr) char *ours = NULL;

	if (protection_read(io, &known) < 0 || known.now_ns > p->now_ns ||
	    p->now_ns - known.now_ns >= PROTECTION_PUBLISH_MOST_S * NS_PER_S)
		return false;
	theirs = news_text(&known, known.repository_free_bytes);
	ours = news_text(p, known.repository_free_bytes);
	return theirs && ours && strcmp(theirs, ours) == 0;
}

static int write_tmp(struct io *io, const char *tmp, const char *text)
{
	int fd = io_open(io, tmp, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, IO_OBJECT_LOCAL);
	int r;

	if (fd < 0)
		return fd;
	/* Held, or a sweep of dead writers' files might take it. */
	r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, false);
	if (r == 0)
		r = io_pwrite(io, fd, text, strlen(text), 0, IO_OBJECT_LOCAL);
	if (r == 0)
		r = io_rename(io, tmp, REPORT_FILE, true, IO_OBJECT_LOCAL);
	if (r < 0)
		(void)io_unlink(io, tmp, IO_OBJECT_LOCAL);
	io_close(io, fd);
	return r;
}

int protection_publish(struct io *io, const struct protection *p)
{
	CLEANUP(free_ptr) char *text = NULL;
	char tmp[40];
	int r;

	if (is_known(io, p))
		return 0;
	text = report_text(p);
	if (!text)
		return -ENOMEM;
	io_tmp_name(tmp);
	r = write_tmp(io, tmp, text);
	if (r == 0)
		return 0;
	/* Also on a full disk a file can be taken away: no report alarms, an old one does not. */
	(void)io_unlink(io, REPORT_FILE, IO_OBJECT_LOCAL);
	log_debug("%s/%s cannot be written: %s", io_real_path(io), REPORT_FILE, strerror(-r));
	return r;
}

/* ---- reading ---- */

/* The exact bytes of a name: those in hex beside it, where it is not valid UTF-8. */
static char *get_name(const json_t *object, const char *key, size_t max)
{
	const char *text = json_string_value(json_object_get(object, key)), *hex;
	char hex_key[64];
	size_t n;
	char *name;

	(void)snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	hex = json_string_value(json_object_get(object, hex_key));
	if (!hex)
		return text && strlen(text) <= max ? strdup(text) : NULL;
	n = strlen(hex) / 2;
	if (n > max || strlen(hex) % 2)
		return NULL;
	name = calloc(n + 1, 1);
	if (name && bytes_from_hex(hex, name, n) == 0 && strlen(name) == n)
		return name;
	free(name);
	return NULL;
}

static bool get_word(const json_t *value, const struct field *f, char *at)
{
	const char *word = json_string_value(value);

	for (int i = 0; word && f->kind == FIELD_BACKEND && i <= WATCH_POLL; i++)
		if (strcmp(word, watch_backend_name((enum watch_backend)i)) == 0) {
			*(enum watch_backend *)at = (enum watch_backend)i;
			return true;
		}
	for (int i = 0; word && f->kind == FIELD_COLLECTION && i <= COLLECTION_PAUSED; i++)
		if (strcmp(word, collection_state_name((enum collection_state)i)) == 0) {
			*(enum collection_state *)at = (enum collection_state)i;
			return true;
		}
	return false;
}

static bool get_text(const json_t *object, const struct field *f, char *at)
{
	CLEANUP(free_ptr) char *text = get_name(object, f->key, f->room - 1);

	if (!text)
		return false;
	memcpy(at, text, strlen(text) + 1);
	return true;
}

static bool get_field(const json_t *object, const struct field *f, void *at)
{
	const json_t *value = json_object_get(object, f->key);
	json_int_t n = json_integer_value(value);

	switch (f->kind) {
	case FIELD_BOOL:
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value);
	case FIELD_PID:
		*(pid_t *)at = (pid_t)n;
		return json_is_integer(value) && n >= 0 && n <= INT_MAX;
	case FIELD_COUNT:
		*(uint64_t *)at = (uint64_t)n;
		return json_is_integer(value) && n >= 0;
	case FIELD_TIME:
		*(int64_t *)at = n;
		return json_is_integer(value) && n >= 0;
	case FIELD_REAL:
		*(double *)at = json_number_value(value);
		return json_is_number(value);
	case FIELD_TEXT:
		return get_text(object, f, at);
	case FIELD_PATH:
		*(char **)at = get_name(object, f->key, PATH_MAX);
		return *(char **)at;
	case FIELD_BACKEND:
	case FIELD_COLLECTION:
		return get_word(value, f, at);
	}
	return false;
}

static bool get_struct(const json_t *object, const struct field *fields, void *to)
{
	for (const struct field *f = fields; f->key; f++)
		if (!get_field(object, f, (char *)to + f->offset))
			return false;
	return true;
}

/* Each item counts as soon as it may hold something to free. */
static int parse_into(const json_t *top, struct protection *p)
{
	const json_t *sources = json_object_get(top, "sources");
	const json_t *errors = json_object_get(top, "errors");
	const size_t n_sources = json_array_size(sources), n_errors = json_array_size(errors);

	if (json_integer_value(json_object_get(top, "format")) != REPORT_FORMAT ||
	    !json_is_array(sources) || !json_is_array(errors) || n_sources > SOURCES_MAX ||
	    n_errors > PROTECTION_ERRORS_MAX || !get_struct(top, top_fields, p))
		return -EUCLEAN;
	p->sources = calloc(n_sources + 1, sizeof(*p->sources));
	p->errors = calloc(n_errors + 1, sizeof(*p->errors));
	if (!p->sources || !p->errors)
		return -ENOMEM;
	for (size_t i = 0; i < n_sources; i++) {
		p->n_sources++;
		if (!get_struct(json_array_get(sources, i), source_fields, &p->sources[i]))
			return -EUCLEAN;
	}
	for (size_t i = 0; i < n_errors; i++) {
		p->n_errors++;
		if (!get_struct(json_array_get(errors, i), error_fields, &p->errors[i]))
			return -EUCLEAN;
	}
	return 0;
}

int protection_parse(const void *data, size_t n, struct protection *ret_protection)
{
	struct protection p = { 0 };
	json_t *top = json_loadb(data, n, JSON_REJECT_DUPLICATES, NULL);
	int r = top ? parse_into(top, &p) : -EUCLEAN;

	json_decref(top);
	if (r < 0) {
		protection_done(&p);
		return r;
	}
	*ret_protection = p;
	return 0;
}

int protection_read(struct io *io, struct protection *ret_protection)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = 0;
	int r = io_read_file(io, REPORT_FILE, REPORT_BYTES_MAX, &data, &n);

	if (r == -EFBIG)
		r = -EUCLEAN;
	if (r == 0)
		r = protection_parse(data, n, ret_protection);
	if (r == -EUCLEAN)
		log_debug("%s/%s is not what a daemon writes and is not used", io_real_path(io),
			  REPORT_FILE);
	return r;
}
