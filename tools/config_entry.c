/* SPDX-License-Identifier: MIT */
#include "tools/config_internal.h"

#include "snapshots/source_path.h"
#include "tools/config_text.h"
#include "tools/failure.h"
#include "tools/spelling.h"
#include "tools/usual.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLACE_BYTES 4096

void config_loader_problem(struct config_loader *l, const char *file, unsigned int line,
			   const char *format, ...)
{
	char what[1024], place[32] = "", text[sizeof(what) + PLACE_BYTES + 64];
	va_list arguments;

	if (l->n_problems++ >= CONFIG_PROBLEMS_MAX)
		return;
	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	if (line)
		(void)snprintf(place, sizeof(place), ":%u", line);
	(void)snprintf(text, sizeof(text), "%.*s%s: %s", PLACE_BYTES, file, place, what);
	if (l->problem)
		l->problem(l->context, text);
	else
		failure_note("%s", text);
}

/* ---- entries: what is set, and by whom ---- */

static int add_entry(struct config *c, const struct config_key *k, const char *name)
{
	struct config_entry *grown, *e;

	grown = reallocarray(c->entries, c->n_entries + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->entries = grown;
	e = &grown[c->n_entries++];
	*e = (struct config_entry){ .section = strdup(k->section),
				    .name = strdup(name),
				    .key = k->key,
				    .value = strdup(k->fallback ? k->fallback : ""),
				    .from = strdup("") };
	return e->section && e->name && e->value && e->from ? 0 : -ENOMEM;
}

static void *base_of(struct config *c, const struct config_key *k, size_t source)
{
	return strcmp(k->section, "source") == 0 ? (void *)&c->sources[source] : (void *)c;
}

static struct config_entry *entry_of(struct config *c, const struct config_key *k, size_t source)
{
	if (strcmp(k->section, "source") != 0)
		return &c->entries[k - config_keys];
	return &c->entries[config_keys_n + source * config_source_keys_n +
			   (size_t)(k - config_source_keys)];
}

/* The value as it is shown. */
static char *shown(const struct config_key *k, const void *base, const char *text)
{
	char *const *string = (char *const *)((const char *)base + k->offset);

	switch (k->kind) {
	case CONFIG_KIND_PATH:
	case CONFIG_KIND_PLACE:
	case CONFIG_KIND_LINES:
	case CONFIG_KIND_POLICY:
		return strdup(*string);
	default:
		return strdup(text);
	}
}

static int note(struct config_loader *l, const struct config_key *k, const char *text,
		const struct config_entry *by)
{
	struct config_entry *e = entry_of(l->c, k, l->source);
	char *value = shown(k, base_of(l->c, k, l->source), text);
	char *from = strdup(by->from);

	if (!value || !from) {
		free(value);
		free(from);
		return -ENOMEM;
	}
	free(e->value);
	free(e->from);
	e->value = value;
	e->from = from;
	e->origin = by->origin;
	e->line = by->line;
	return 0;
}

/* ---- sections ---- */

static const struct config_key *keys_of(const char *section, size_t *ret_n)
{
	if (strcmp(section, "source") == 0) {
		*ret_n = config_source_keys_n;
		return config_source_keys;
	}
	*ret_n = config_keys_n;
	return config_keys;
}

static bool section_known(const char *section)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (strcmp(config_keys[i].section, section) == 0)
			return true;
	return strcmp(section, "source") == 0;
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* As people write it who have other programs' habits: "OneFileSystem", "one_file_system". */
static void plain_word(const char *typed, char to[static SPELLING_BYTES_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; typed[i] && n < SPELLING_BYTES_MAX - 1; i++) {
		if (is_upper(typed[i]) && i > 0 && !is_upper(typed[i - 1]) && typed[i - 1] != '-')
			to[n++] = '-';
		to[n] = typed[i] == '_' ? '-' : typed[i];
		if (is_upper(to[n]))
			to[n] = (char)(to[n] + ('a' - 'A'));
		n++;
	}
	to[n] = '\0';
}

static int unknown_section(struct config_loader *l, const char *section, unsigned int line)
{
	struct spelling near = { 0 };
	char typed[SPELLING_BYTES_MAX + 1];

	plain_word(section, typed);
	for (size_t i = 0; i < config_keys_n; i++)
		spelling_offer(&near, typed, config_keys[i].section);
	spelling_offer(&near, typed, "source");
	if (near.word)
		config_loader_problem(l, l->file, line,
				      "unknown section [%s]; did you mean [%s%s]?", section,
				      near.word, strcmp(near.word, "source") == 0 ? " NAME" : "");
	else
		config_loader_problem(l, l->file, line,
				      "unknown section [%s]; yore.conf(5) lists them", section);
	l->section = NULL;
	return 0;
}

static int set_defaults(struct config *c, const struct config_key *keys, size_t n, void *base)
{
	(void)c;
	for (size_t i = 0; i < n; i++) {
		CLEANUP(free_ptr) char *wrong = NULL;
		int r;

		if (!keys[i].fallback)
			continue;
		r = config_key_set(&keys[i], base, keys[i].fallback, &wrong);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_source(struct config_loader *l, const char *name, unsigned int line)
{
	struct config *c = l->c;
	struct config_source *grown, *s;
	int r = 0;

	grown = reallocarray(c->sources, c->n_sources + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->sources = grown;
	s = &grown[c->n_sources];
	*s = (struct config_source){
		.name = strdup(name), .excludes = strdup(""), .file = strdup(l->file), .line = line
	};
	l->source = c->n_sources++;
	if (!s->name || !s->excludes || !s->file)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < config_source_keys_n; i++)
		r = add_entry(c, &config_source_keys[i], name);
	return r < 0 ? r : set_defaults(c, config_source_keys, config_source_keys_n, s);
}

static int open_source(struct config_loader *l, const char *name, unsigned int line)
{
	l->section = NULL;
	if (!name[0]) {
		config_loader_problem(l, l->file, line,
				      "a source has a name of your choice: [source NAME]");
		return 0;
	}
	l->section = "source";
	for (size_t i = 0; i < l->c->n_sources; i++) {
		if (strcmp(l->c->sources[i].name, name) == 0) {
			l->source = i;
			return 0;
		}
	}
	if (l->c->n_sources == CONFIG_SOURCES_MAX) {
		config_loader_problem(l, l->file, line, "more than %d sources", CONFIG_SOURCES_MAX);
		l->section = NULL;
		return 0;
	}
	return add_source(l, name, line);
}

static int take_section(void *context, const char *section, const char *name, unsigned int line)
{
	struct config_loader *l = context;

	if (strcmp(section, "source") == 0)
		return open_source(l, name, line);
	if (!section_known(section))
		return unknown_section(l, section, line);
	for (size_t i = 0; i < config_keys_n; i++)
		if (strcmp(config_keys[i].section, section) == 0)
			l->section = config_keys[i].section;
	if (name[0])
		config_loader_problem(l, l->file, line, "[%s] takes no name", section);
	return 0;
}

/* ---- settings ---- */

static const struct config_key *find_key(const char *section, const char *key)
{
	size_t n;
	const struct config_key *keys = keys_of(section, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, key) == 0)
			return &keys[i];
	return NULL;
}

/* The section that has this key, or NULL. */
static const char *other_section(const char *key)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (strcmp(config_keys[i].key, key) == 0)
			return config_keys[i].section;
	for (size_t i = 0; i < config_source_keys_n; i++)
		if (strcmp(config_source_keys[i].key, key) == 0)
			return "source NAME";
	return NULL;
}

static int unknown_key(struct config_loader *l, const char *key, unsigned int line)
{
	struct spelling near = { 0 };
	char typed[SPELLING_BYTES_MAX + 1];
	size_t n;
	const struct config_key *keys = keys_of(l->section, &n);
	const char *other;

	plain_word(key, typed);
	other = other_section(typed);
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].section, l->section) == 0)
			spelling_offer(&near, typed, keys[i].key);
	if (near.word && (strcmp(near.word, typed) == 0 || !other))
		config_loader_problem(l, l->file, line, "unknown key '%s'; did you mean '%s'?", key,
				      near.word);
	else if (other)
		config_loader_problem(l, l->file, line, "[%s] has no key '%s'; it belongs to [%s]",
				      l->section, key, other);
	else
		config_loader_problem(l, l->file, line,
				      "unknown key '%s'; yore.conf(5) lists those of [%s]", key,
				      l->section);
	return 0;
}

/* A line of a list that is a setting which somebody indented. */
static const char *swallowed(const char *value)
{
	char word[SPELLING_BYTES_MAX];

	for (const char *at = strchr(value, '\n'); at; at = strchr(at, '\n')) {
		size_t n = strcspn(++at, " \t=\n");

		if (n == 0 || n >= sizeof(word) || at[n + strspn(at + n, " \t")] != '=')
			continue;
		memcpy(word, at, n);
		word[n] = '\0';
		if (find_key("source", word))
			return find_key("source", word)->key;
	}
	return NULL;
}

/* 1: it may be set; 0: what is wrong has been told. */
static int admit(struct config_loader *l, const struct config_key *k, const char *value,
		 unsigned int line)
{
	const struct config_entry *e = entry_of(l->c, k, l->source);
	const char *lost;

	if (k->kind == CONFIG_KIND_LINES) {
		lost = swallowed(value);
		if (lost)
			config_loader_problem(l, l->file, line,
					      "'%s =' is indented, and so taken for one more "
					      "pattern of '%s'; take the blanks before it away",
					      lost, k->key);
		else if (l->n_lists++ >= CONFIG_LISTS_MAX)
			config_loader_problem(l, l->file, line,
					      "too many lines '%s ='; indent the patterns below "
					      "one of them",
					      k->key);
		else
			return 1;
		return 0;
	}
	if (e->origin == CONFIG_FILE && strcmp(e->from, l->file) == 0) {
		config_loader_problem(l, l->file, line, "'%s' is set twice: first in line %u",
				      k->key, e->line);
		return 0;
	}
	return 1;
}

static int apply(struct config_loader *l, const struct config_key *k, const char *text,
		 const struct config_entry *by)
{
	CLEANUP(free_ptr) char *wrong = NULL;
	int r;

	if (k->kind != CONFIG_KIND_LINES && k->kind != CONFIG_KIND_POLICY && strchr(text, '\n')) {
		config_loader_problem(l, by->from, by->line,
				      "'%s' takes one line, but the next one is indented as if it "
				      "went on; take the blanks before it away",
				      k->key);
		return 0;
	}
	r = config_key_set(k, base_of(l->c, k, l->source), text, &wrong);
	if (r == -EINVAL) {
		config_loader_problem(l, by->from, by->line, "%s = %.100s: %s", k->key, text,
				      wrong ? wrong : "wrong value");
		return 0;
	}
	return r < 0 ? r : note(l, k, text, by);
}

static int take_setting(void *context, const char *key, const char *value, unsigned int line)
{
	struct config_loader *l = context;
	struct config_entry by = { .origin = CONFIG_FILE, .from = (char *)l->file, .line = line };
	const struct config_key *k;

	if (!l->section)
		return 0; /* of a section that has been complained about */
	if (!l->section[0]) {
		config_loader_problem(l, l->file, line, "'%s' stands before the first [section]",
				      key);
		return 0;
	}
	k = find_key(l->section, key);
	if (!k)
		return unknown_key(l, key, line);
	if (admit(l, k, value, line) == 0)
		return 0;
	/* Where a source is edited: there its path is. */
	if (strcmp(k->section, "source") == 0 && k->kind == CONFIG_KIND_PATH) {
		struct config_source *s = &l->c->sources[l->source];
		char *file = strdup(l->file);

		if (!file)
			return -ENOMEM;
		free(s->file);
		s->file = file;
		s->line = line;
	}
	return apply(l, k, value, &by);
}

static int take_wrong(void *context, const char *what, unsigned int line)
{
	struct config_loader *l = context;

	config_loader_problem(l, l->file, line, "%s", what);
	return 0;
}

int config_loader_text(struct config_loader *l, const char *file, const char *data, size_t n)
{
	static const struct config_text_handlers handlers = { .section = take_section,
							      .setting = take_setting,
							      .wrong = take_wrong };

	l->file = file;
	l->section = "";
	l->n_lists = 0;
	return config_text_parse(data, n, &handlers, l);
}

int config_loader_set(struct config_loader *l, const char *section, const char *key,
		      const char *text, enum config_origin origin, const char *from)
{
	struct config_entry by = { .origin = origin, .from = (char *)from };
	const struct config_key *k = find_key(section, key);

	return k ? apply(l, k, text, &by) : -EINVAL;
}

/* What depends on the user. */
static int set_usual(struct config *c)
{
	c->repository = usual_repository();
	c->mountpoint = usual_mountpoint();
	c->allow_other = geteuid() == 0;
	if (!c->repository || !c->mountpoint)
		return usual_home() ? -ENOMEM : -ENOENT;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		char **value = &entry_of(c, k, 0)->value;

		if (k->fallback)
			continue;
		free(*value);
		*value = k->kind == CONFIG_KIND_BOOL ? strdup(c->allow_other ? "yes" : "no")
						     : shown(k, c, "");
		if (!*value)
			return -ENOMEM;
	}
	return 0;
}

int config_loader_begin(struct config_loader *l, struct config *c)
{
	int r = 0;

	l->c = c;
	l->n_problems = 0;
	for (size_t i = 0; r == 0 && i < config_keys_n; i++)
		r = add_entry(c, &config_keys[i], "");
	if (r == 0)
		r = set_defaults(c, config_keys, config_keys_n, c);
	return r < 0 ? r : set_usual(c);
}

/* ---- the whole ---- */

static const struct config_entry *source_entry(const struct config *c, size_t i, const char *key)
{
	return entry_of((struct config *)c, find_key("source", key), i);
}

static void judge_source(struct config_loader *l, size_t i)
{
	static const char *const of_trees[] = { "exclude", "one-file-system", "exclude-caches",
						"method", "watch" };
	const struct config_source *s = &l->c->sources[i];
	const struct config_entry *every = source_entry(l->c, i, "every");

	if (!s->path)
		config_loader_problem(
			l, s->file, s->line, "[source %s] wants a line 'path = ...'%s", s->name,
			s->command[0] ? ": the name under which the output appears" : "");
	if (!s->command[0] && every->origin != CONFIG_DEFAULT)
		config_loader_problem(l, every->from, every->line,
				      "'every' is for sources with a 'command'; others are "
				      "captured when they change");
	for (size_t k = 0; s->command[0] && k < sizeof(of_trees) / sizeof(of_trees[0]); k++) {
		const struct config_entry *e = source_entry(l->c, i, of_trees[k]);

		if (e->origin != CONFIG_DEFAULT)
			config_loader_problem(l, e->from, e->line,
					      "'%s' is for folders, and this source is what a "
					      "command prints",
					      e->key);
	}
}

static int by_canonical(const void *a, const void *b)
{
	const struct config_source *const *s = a, *const *t = b;

	return strcmp((*s)->canonical, (*t)->canonical);
}

static int refuse_twins(struct config_loader *l)
{
	CLEANUP(free_ptr) const struct config_source **sorted = NULL;
	size_t n = 0;

	sorted = calloc(l->c->n_sources + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < l->c->n_sources; i++)
		if (l->c->sources[i].canonical)
			sorted[n++] = &l->c->sources[i];
	if (n > 1)
		qsort(sorted, n, sizeof(const struct config_source *), by_canonical);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(sorted[i - 1]->canonical, sorted[i]->canonical) != 0)
			continue;
		config_loader_problem(l, sorted[i]->file, sorted[i]->line,
				      "[source %s] is the same folder as [source %s] of %s:%u",
				      sorted[i]->name, sorted[i - 1]->name, sorted[i - 1]->file,
				      sorted[i - 1]->line);
	}
	return 0;
}

int config_loader_end(struct config_loader *l)
{
	struct config *c = l->c;
	const struct config_entry *longest = entry_of(c, find_key("snapshot", "longest"), 0);
	const struct config_entry *quiet = entry_of(c, find_key("snapshot", "quiet"), 0);
	const struct config_entry *blame = longest->line ? longest : quiet;

	if (c->quiet_ms > c->longest_ms)
		config_loader_problem(l, blame->from, blame->line,
				      "'quiet' (%s) is longer than 'longest' (%s)", quiet->value,
				      longest->value);
	c->mount_default = entry_of(c, find_key("mount", "path"), 0)->origin == CONFIG_DEFAULT;
	for (size_t i = 0; i < c->n_sources; i++) {
		struct config_source *s = &c->sources[i];
		struct source_path where = { 0 };

		judge_source(l, i);
		if (!s->path)
			continue;
		/* What cannot be resolved is away or closed for now; the capture says so. */
		if (source_path_resolve(s->path, &where) == 0)
			s->canonical = STEAL(where.path);
		else
			s->canonical = strdup(s->path);
		source_path_done(&where);
		if (!s->canonical)
			return -ENOMEM;
	}
	return refuse_twins(l);
}
