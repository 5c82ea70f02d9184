/* SPDX-License-Identifier: MIT */
#include "tools/alert_internal.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/limits.h"
#include "tools/output.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define ALERTS_FILE "local/alerts.json"
#define ALERTS_FORMAT 1
#define ALERTS_BYTES_MAX MIB(8)
#define COUNT_MAX 1000000

const char *alert_kind_name(enum alert_kind kind)
{
	static const char *const names[ALERT_KINDS] = {
		[ALERT_STOPPED] = "protection-stopped",
		[ALERT_BEHIND] = "behind",
		[ALERT_UNREADABLE] = "source-unreadable",
		[ALERT_UNUSUAL] = "unusual-change",
		[ALERT_DISK] = "disk-nearly-full",
		[ALERT_VERIFICATION] = "verification-failed",
	};

	return names[kind];
}

/* ---- the list ---- */

void condition_list_done(struct condition_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].object);
	free(l->items);
	*l = (struct condition_list){ 0 };
}

struct condition *condition_find(const struct condition_list *l, enum alert_kind kind,
				 const char *object)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].kind == kind && strcmp(l->items[i].object, object) == 0)
			return &l->items[i];
	return NULL;
}

struct condition *condition_add(struct condition_list *l, enum alert_kind kind, const char *object)
{
	struct condition *c;

	if (l->n == CONDITIONS_MAX)
		return NULL;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct condition *items = reallocarray(l->items, room, sizeof(*items));

		if (!items)
			return NULL;
		l->items = items;
		l->room = room;
	}
	c = &l->items[l->n];
	*c = (struct condition){ .kind = kind, .object = strdup(object) };
	if (!c->object)
		return NULL;
	l->n++;
	return c;
}

void condition_drop(struct condition_list *l, size_t i)
{
	free(l->items[i].object);
	l->items[i] = l->items[--l->n];
}

/* ---- its file ---- */

static json_t *condition_json(const struct condition *c)
{
	json_t *o = json_object();
	int bad = !o;

	bad |= json_object_set_new(o, "condition", json_string(alert_kind_name(c->kind)));
	if (!bad)
		bad |= output_json_name(o, "object", c->object, strlen(c->object)) < 0 ||
		       output_json_name(o, "message", c->message, strlen(c->message)) < 0;
	bad |= json_object_set_new(o, "since", json_integer(c->since_ns));
	bad |= json_object_set_new(o, "gone", json_integer(c->gone_ns));
	bad |= json_object_set_new(o, "ended", json_integer(c->ended_ns));
	bad |= json_object_set_new(o, "told_at", json_integer(c->told_ns));
	bad |= json_object_set_new(o, "told", json_integer(c->told));
	bad |= json_object_set_new(o, "returns", json_integer(c->returns));
	bad |= json_object_set_new(o, "tell", json_integer(c->tell));
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}

char *condition_list_text(const struct condition_list *l)
{
	json_t *top = json_object(), *list = json_array();
	char *text = NULL;
	int bad = !top || !list;

	for (size_t i = 0; i < l->n; i++)
		bad |= json_array_append_new(list, condition_json(&l->items[i]));
	bad |= json_object_set_new(top, "format", json_integer(ALERTS_FORMAT));
	bad |= json_object_set_new(top, "conditions", list);
	if (!bad)
		text = json_dumps(top, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(top);
	return text;
}

int condition_list_write(struct io *io, const char *text)
{
	return io_write_file(io, ALERTS_FILE, text, strlen(text), true, IO_OBJECT_LOCAL);
}

/* A text's exact bytes, as output_json_name wrote them. */
static bool get_name(const json_t *o, const char *key, const char *hex_key, char *to, size_t room)
{
	const char *text = json_string_value(json_object_get(o, key));
	const char *hex = json_string_value(json_object_get(o, hex_key));
	size_t n = hex ? strlen(hex) / 2 : text ? strlen(text) : SIZE_MAX;

	if (n >= room || (hex && strlen(hex) % 2))
		return false;
	to[n] = '\0';
	if (hex)
		return bytes_from_hex(hex, to, n) == 0 && strlen(to) == n;
	memcpy(to, text, n);
	return true;
}

static bool get_number(const json_t *o, const char *key, int64_t max, int64_t *ret_n)
{
	const json_t *value = json_object_get(o, key);

	*ret_n = json_integer_value(value);
	return json_is_integer(value) && *ret_n >= 0 && *ret_n <= max;
}

static bool get_kind(const json_t *o, enum alert_kind *ret_kind)
{
	const char *name = json_string_value(json_object_get(o, "condition"));

	for (int kind = 0; name && kind < ALERT_KINDS; kind++) {
		if (strcmp(name, alert_kind_name((enum alert_kind)kind)) != 0)
			continue;
		*ret_kind = (enum alert_kind)kind;
		return true;
	}
	return false;
}

static int parse_condition(const json_t *o, struct condition_list *l)
{
	char object[PATH_MAX], message[PROTECTION_TEXT_BYTES];
	int64_t since, gone, ended, told_at, told, returns, tell;
	enum alert_kind kind;
	struct condition *c;

	if (!get_kind(o, &kind) || !get_name(o, "object", "object_hex", object, sizeof(object)) ||
	    !get_name(o, "message", "message_hex", message, sizeof(message)) ||
	    !get_number(o, "since", INT64_MAX, &since) ||
	    !get_number(o, "gone", INT64_MAX, &gone) ||
	    !get_number(o, "ended", INT64_MAX, &ended) ||
	    !get_number(o, "told_at", INT64_MAX, &told_at) ||
	    !get_number(o, "told", COUNT_MAX, &told) ||
	    !get_number(o, "returns", COUNT_MAX, &returns) ||
	    !get_number(o, "tell", TELL_END, &tell) || condition_find(l, kind, object))
		return -EUCLEAN;
	c = condition_add(l, kind, object);
	if (!c)
		return -ENOMEM;
	memcpy(c->message, message, sizeof(message));
	c->since_ns = since;
	c->gone_ns = gone;
	c->ended_ns = ended;
	c->told_ns = told_at;
	c->told = (uint32_t)told;
	c->returns = (uint32_t)returns;
	c->tell = (enum alert_tell)tell;
	return 0;
}

static int parse_into(const json_t *top, struct condition_list *l)
{
	const json_t *list = json_object_get(top, "conditions");
	const size_t n = json_array_size(list);
	int r = 0;

	if (json_integer_value(json_object_get(top, "format")) != ALERTS_FORMAT ||
	    !json_is_array(list) || n > CONDITIONS_MAX)
		return -EUCLEAN;
	for (size_t i = 0; i < n && r == 0; i++)
		r = parse_condition(json_array_get(list, i), l);
	return r;
}

int condition_list_parse(const void *data, size_t n, struct condition_list *ret_list)
{
	struct condition_list l = { 0 };
	json_t *top = json_loadb(data, n, JSON_REJECT_DUPLICATES, NULL);
	int r = top ? parse_into(top, &l) : -EUCLEAN;

	json_decref(top);
	if (r < 0) {
		condition_list_done(&l);
		return r;
	}
	*ret_list = l;
	return 0;
}

int condition_list_read(struct io *io, struct condition_list *ret_list)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = 0;
	int r = io_read_file(io, ALERTS_FILE, ALERTS_BYTES_MAX, &data, &n);

	*ret_list = (struct condition_list){ 0 };
	if (r == 0)
		r = condition_list_parse(data, n, ret_list);
	if (r == 0 || r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	/* It only costs ends that nobody is told, and begins that are told again. */
	log_warning("%s/%s cannot be used: alerts begin afresh", io_real_path(io), ALERTS_FILE);
	return 0;
}

json_t *alerts_json(struct io *io)
{
	struct condition_list l = { 0 };
	json_t *list = json_array();
	char time[OUTPUT_TIME_BYTES];

	if (!list || condition_list_read(io, &l) < 0)
		return list;
	for (size_t i = 0; i < l.n; i++) {
		const struct condition *c = &l.items[i];
		json_t *o;

		if (c->ended_ns)
			continue;
		o = json_object();
		(void)json_object_set_new(o, "condition", json_string(alert_kind_name(c->kind)));
		if (o)
			(void)output_json_name(o, "object", c->object, strlen(c->object));
		(void)json_object_set_new(o, "since",
					  json_string(output_time_utc(c->since_ns, time)));
		if (o)
			(void)output_json_name(o, "message", c->message, strlen(c->message));
		(void)json_array_append_new(list, o);
	}
	condition_list_done(&l);
	return list;
}
