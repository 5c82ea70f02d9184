/* SPDX-License-Identifier: MIT */
#include "snapshots/exclude.h"

#include "snapshots/glob.h"
#include "store/base/log.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

enum {
	PATTERN_NEGATE = 1,
	PATTERN_FOLDER = 2,  /* matches folders only */
	PATTERN_PATH = 4,    /* compared with the whole path, not only the last name */
	PATTERN_LITERAL = 8, /* no wildcard: equal or not */
	PATTERN_SUFFIX = 16, /* was '*' and a literal: the text is what the name ends in */
};

struct pattern {
	const char *text; /* in exclude.text */
	size_t n;
	unsigned int flags;
};

struct exclude {
	char *text;
	struct pattern *patterns;
	size_t n_patterns;
};

void exclude_free(struct exclude *e)
{
	if (!e)
		return;
	free(e->patterns);
	free(e->text);
	free(e);
}

/* The line's length without blanks at its end, unless a '\' keeps them, and without a CR. */
static size_t trimmed_length(const char *line, size_t n)
{
	size_t keep = 0;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	for (size_t i = 0; i < n; i++) {
		if (line[i] == '\\' && i + 1 < n)
			i++;
		else if (line[i] == ' ')
			continue;
		keep = i + 1;
	}
	return keep;
}

/* Take '\' away from in front of '/': it protects nothing there and would cut a component. */
static size_t drop_slash_escapes(char *text, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\\' && i + 1 < n && text[i + 1] != '/')
			text[to++] = text[i++];
		else if (text[i] == '\\' && i + 1 < n)
			i++;
		text[to++] = text[i];
	}
	return to;
}

static size_t unescape(char *text, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\\')
			i++;
		text[to++] = text[i];
	}
	return to;
}

static bool is_literal(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\\')
			i++;
		else if (memchr("*?[", text[i], 3))
			return false;
	}
	return true;
}

/* Find the cheapest way to compare: most lines are a plain name or "*.ext". */
static void choose_comparison(struct pattern *p, char *text, size_t n)
{
	p->text = text;
	p->n = n;
	if (is_literal(text, n)) {
		p->flags |= PATTERN_LITERAL;
		p->n = unescape(text, n);
	} else if (!(p->flags & PATTERN_PATH) && text[0] == '*' && is_literal(text + 1, n - 1)) {
		p->flags |= PATTERN_SUFFIX;
		p->text = text + 1;
		p->n = unescape(text + 1, n - 1);
	}
}

/* Compile one line in place. False when it says nothing. */
static bool compile(char *line, size_t n, struct pattern *ret_pattern)
{
	struct pattern p = { 0 };

	n = trimmed_length(line, n);
	if (n == 0 || line[0] == '#')
		return false;
	if (line[0] == '!') {
		p.flags |= PATTERN_NEGATE;
		line++;
		n--;
	}
	n = drop_slash_escapes(line, n);
	if (n > 0 && line[n - 1] == '/') {
		p.flags |= PATTERN_FOLDER;
		n--;
	}
	if (n > 0 && memchr(line, '/', n))
		p.flags |= PATTERN_PATH;
	if (n > 0 && line[0] == '/') {
		line++;
		n--;
	}
	if (n == 0)
		return false;
	if (!glob_valid(line, n)) {
		log_warning("exclude: \"%.*s\" is malformed and matches nothing", (int)n, line);
		return false;
	}
	choose_comparison(&p, line, n);
	*ret_pattern = p;
	return true;
}

int exclude_new(const char *lines, struct exclude **ret_exclude)
{
	CLEANUP(exclude_free_ptr) struct exclude *e = calloc(1, sizeof(*e));
	size_t n_lines = 1;
	char *line, *end;

	if (!e)
		return -ENOMEM;
	e->text = strdup(lines);
	if (!e->text)
		return -ENOMEM;
	for (const char *c = lines; *c; c++)
		n_lines += *c == '\n';
	e->patterns = calloc(n_lines, sizeof(*e->patterns));
	if (!e->patterns)
		return -ENOMEM;

	for (line = e->text; line; line = end ? end + 1 : NULL) {
		size_t n;

		end = strchr(line, '\n');
		n = end ? (size_t)(end - line) : strlen(line);
		if (compile(line, n, &e->patterns[e->n_patterns]))
			e->n_patterns++;
	}
	*ret_exclude = STEAL(e);
	return 0;
}

static bool pattern_matches(const struct pattern *p, const char *text, size_t n)
{
	if (p->flags & PATTERN_LITERAL)
		return p->n == n && memcmp(p->text, text, n) == 0;
	if (p->flags & PATTERN_SUFFIX)
		return p->n <= n && memcmp(p->text, text + (n - p->n), p->n) == 0;
	if (p->flags & PATTERN_PATH)
		return glob_path(p->text, p->n, text, n, false);
	return glob_name(p->text, p->n, text, n, false);
}

int exclude_match(const struct exclude *e, const char *relative_path, bool is_folder)
{
	size_t path_n, name_n;
	const char *name;

	if (e->n_patterns == 0)
		return 0;
	path_n = strlen(relative_path);
	name = memrchr(relative_path, '/', path_n);
	name = name ? name + 1 : relative_path;
	name_n = path_n - (size_t)(name - relative_path);

	for (size_t i = e->n_patterns; i-- > 0;) {
		const struct pattern *p = &e->patterns[i];
		bool whole = p->flags & PATTERN_PATH;

		if ((p->flags & PATTERN_FOLDER) && !is_folder)
			continue;
		if (pattern_matches(p, whole ? relative_path : name, whole ? path_n : name_n))
			return !(p->flags & PATTERN_NEGATE);
	}
	return 0;
}
