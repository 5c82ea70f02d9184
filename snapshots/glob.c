/* SPDX-License-Identifier: MIT */
#include "snapshots/glob.h"

#include <string.h>

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

static unsigned char upper(unsigned char c)
{
	return c >= 'a' && c <= 'z' ? (unsigned char)(c - 32) : c;
}

static bool in_range(unsigned char c, char first, char last)
{
	return c >= (unsigned char)first && c <= (unsigned char)last;
}

/* Is the byte in a [:name:] class? ASCII only, whatever the locale: excludes must not vary. */
static bool in_named_class(const char *name, size_t n, unsigned char c)
{
	bool digit = in_range(c, '0', '9');
	bool small = in_range(c, 'a', 'z');
	bool capital = in_range(c, 'A', 'Z');
	bool graphic = c > ' ' && c < 127;
	const struct {
		const char *name;
		bool is;
	} classes[] = {
		{ "alpha", small || capital },
		{ "digit", digit },
		{ "alnum", small || capital || digit },
		{ "lower", small },
		{ "upper", capital },
		{ "space", c == ' ' || in_range(c, '\t', '\r') },
		{ "blank", c == ' ' || c == '\t' },
		{ "cntrl", c < ' ' || c == 127 },
		{ "graph", graphic },
		{ "print", graphic || c == ' ' },
		{ "punct", graphic && !digit && !small && !capital },
		{ "xdigit", digit || in_range(c, 'a', 'f') || in_range(c, 'A', 'F') },
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == n && memcmp(classes[i].name, name, n) == 0)
			return classes[i].is;
	return false;
}

/* The length of "[:name:]" at p, or 0. */
static size_t named_class_length(const char *p, const char *end)
{
	const char *q = p + 2;

	if (end - p < 4 || p[0] != '[' || p[1] != ':')
		return 0;
	while (q < end && in_range((unsigned char)*q, 'a', 'z'))
		q++;
	return end - q >= 2 && q[0] == ':' && q[1] == ']' ? (size_t)(q + 2 - p) : 0;
}

/* One byte of a class, an escape undone. NULL when the pattern ends first. */
static const char *class_byte(const char *p, const char *end, unsigned char *ret_byte)
{
	if (p < end && *p == '\\')
		p++;
	if (p >= end)
		return NULL;
	*ret_byte = (unsigned char)*p;
	return p + 1;
}

/* Step over one member of a class (a byte, a range, a named class); NULL when it is open. */
static const char *class_member(const char *p, const char *end, unsigned char c, bool *hit)
{
	size_t named = named_class_length(p, end);
	unsigned char first = 0, last;

	if (named) {
		*hit |= in_named_class(p + 2, named - 4, c);
		return p + named;
	}
	p = class_byte(p, end, &first);
	if (!p)
		return NULL;
	*hit |= c == first;
	if (end - p >= 2 && p[0] == '-' && p[1] != ']') {
		p = class_byte(p + 1, end, &last);
		if (!p)
			return NULL;
		*hit |= c >= first && c <= last;
	}
	return p;
}

/* Match a class that begins at p with '['. Yields the byte behind it; NULL when it is open. */
static const char *class_match(const char *p, const char *end, unsigned char c, bool *ret_hit)
{
	bool negate = false, hit = false;
	const char *start;

	p++;
	if (p < end && (*p == '!' || *p == '^')) {
		negate = true;
		p++;
	}
	for (start = p; p && p < end; p = class_member(p, end, c, &hit)) {
		if (*p == ']' && p > start) {
			*ret_hit = hit != negate;
			return p + 1;
		}
	}
	return NULL;
}

/* Match one byte against what stands at p (not a '*'). Yields the pattern's rest, or NULL. */
static const char *match_byte(const char *p, const char *end, unsigned char c, bool fold)
{
	const char *rest;
	bool hit = false, other = false;

	if (c == '/')
		return NULL;
	if (*p == '?')
		return p + 1;
	if (*p == '[') {
		rest = class_match(p, end, fold ? lower(c) : c, &hit);
		if (rest && fold)
			(void)class_match(p, end, upper(c), &other);
		return rest && (hit || other) ? rest : NULL;
	}
	if (*p == '\\' && ++p == end)
		return NULL;
	if (fold)
		return lower((unsigned char)*p) == lower(c) ? p + 1 : NULL;
	return (unsigned char)*p == c ? p + 1 : NULL;
}

/*
 * Only the last '*' is ever gone back to: what stands before it has matched
 * as early as it can, and matching it later could not help the rest.
 */
bool glob_name(const char *pattern, size_t pattern_n, const char *name, size_t name_n, bool fold)
{
	const char *p = pattern, *p_end = pattern + pattern_n;
	const char *t = name, *t_end = name + name_n;
	const char *star_p = NULL, *star_t = NULL;

	while (t < t_end) {
		const char *next;

		if (p < p_end && *p == '*') {
			while (p < p_end && *p == '*')
				p++;
			star_p = p;
			star_t = t;
			continue;
		}
		next = p < p_end ? match_byte(p, p_end, (unsigned char)*t, fold) : NULL;
		if (next) {
			p = next;
			t++;
			continue;
		}
		if (!star_p || *star_t == '/')
			return false;
		p = star_p;
		t = ++star_t;
	}
	while (p < p_end && *p == '*')
		p++;
	return p == p_end;
}

/* One component of a path; `at` is NULL behind the last. */
struct component {
	const char *at;
	size_t n;
};

static struct component component_at(const char *at, const char *end)
{
	const char *slash = memchr(at, '/', (size_t)(end - at));

	return (struct component){ at, (size_t)((slash ? slash : end) - at) };
}

static struct component component_next(struct component c, const char *end)
{
	const char *slash = c.at + c.n;

	if (slash == end)
		return (struct component){ NULL, 0 };
	return component_at(slash + 1, end);
}

static bool is_double_star(struct component c)
{
	return c.at && c.n == 2 && c.at[0] == '*' && c.at[1] == '*';
}

bool glob_path(const char *pattern, size_t pattern_n, const char *path, size_t path_n, bool fold)
{
	const char *p_end = pattern + pattern_n, *t_end = path + path_n;
	struct component p = component_at(pattern, p_end), t = component_at(path, t_end);
	struct component star_p = { NULL, 0 }, star_t = { NULL, 0 };
	bool star = false;

	while (t.at) {
		if (is_double_star(p)) {
			star_p = component_next(p, p_end);
			if (!star_p.at)
				return true;
			p = star_p;
			star_t = t;
			star = true;
			continue;
		}
		if (p.at && glob_name(p.at, p.n, t.at, t.n, fold)) {
			p = component_next(p, p_end);
			t = component_next(t, t_end);
			continue;
		}
		if (!star)
			return false;
		p = star_p;
		star_t = component_next(star_t, t_end);
		t = star_t;
	}
	return !p.at;
}

bool glob_has_magic(const char *pattern, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strchr("*?[\\", pattern[i]) && pattern[i])
			return true;
	return false;
}

bool glob_valid(const char *pattern, size_t n)
{
	const char *p = pattern, *end = pattern + n;
	bool hit;

	while (p && p < end) {
		if (*p == '[')
			p = class_match(p, end, 'x', &hit);
		else
			p = *p == '\\' ? (end - p > 1 ? p + 2 : NULL) : p + 1;
	}
	return p != NULL;
}
