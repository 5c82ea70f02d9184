/* SPDX-License-Identifier: MIT */
#include "sync/dav_listing.h"

#include "store/base/cleanup.h"
#include "sync/xml.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Where the walk is. */
struct reading {
	dav_visitor *visit;
	void *context;
	unsigned int response_depth; /* 0: outside */
	struct dav_resource resource;
	char path[XML_TEXT_MAX + 1];
	bool has_path;
};

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* "http://host/a%20b/" and "/a%20b/" become "/a b". */
static bool decode_href(const char *href, char to[static XML_TEXT_MAX + 1])
{
	const char *mark = strstr(href, "://");
	size_t n = 0;

	if (mark && memchr(href, '/', (size_t)(mark - href)) == NULL) {
		href = strchr(mark + 3, '/');
		if (!href)
			href = "/";
	}
	for (; *href; href++) {
		int byte = (unsigned char)*href;

		if (byte == '%') {
			const int high = hex_digit(href[1]);
			const int low = high >= 0 ? hex_digit(href[2]) : -1;

			if (low < 0)
				return false;
			byte = high * 16 + low;
			href += 2;
		}
		if (byte == 0)
			return false;
		to[n++] = (char)byte;
	}
	while (n > 0 && strchr("/ \t\r\n", to[n - 1]))
		n--;
	to[n] = '\0';
	return true;
}

/* Digits only, at most 18 of them. */
static bool parse_number(const char *text, uint64_t *ret_number)
{
	uint64_t number = 0;
	const size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 18 || text[n] != '\0')
		return false;
	for (size_t i = 0; i < n; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	*ret_number = number;
	return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; 0 for anything else. */
static int64_t parse_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	char month[4];
	const char *at;

	if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6) /* NOLINT(cert-err34-c): bounded */
		return 0;
	at = strstr(months, month);
	if (!at || (at - months) % 3 != 0 || strlen(month) != 3)
		return 0;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	return timegm(&tm);
}

static int on_open(void *context, const char *name, unsigned int depth)
{
	struct reading *g = context;

	if (strcmp(name, "response") == 0 && g->response_depth == 0) {
		g->response_depth = depth;
		g->resource = (struct dav_resource){ .quota_bytes = UINT64_MAX };
		g->has_path = false;
	} else if (strcmp(name, "collection") == 0) {
		g->resource.is_folder = true;
	}
	return 0;
}

/* Values that are empty are those of a "404 Not Found" beside the real ones. */
static void take_property(struct dav_resource *resource, const char *name, const char *text)
{
	uint64_t number;

	if (strcmp(name, "getcontentlength") == 0 && parse_number(text, &number)) {
		resource->has_size = true;
		resource->size = number;
	} else if (strcmp(name, "getlastmodified") == 0 && text[0]) {
		resource->modified_s = parse_date(text);
	} else if (strcmp(name, "quota-available-bytes") == 0 && parse_number(text, &number)) {
		resource->quota_bytes = number;
	}
}

static int on_close(void *context, const char *name, unsigned int depth, const char *text)
{
	struct reading *g = context;

	if (g->response_depth == 0)
		return 0;
	if (depth == g->response_depth) {
		g->response_depth = 0;
		g->resource.path = g->path;
		return g->has_path ? g->visit(g->context, &g->resource) : -EPROTO;
	}
	if (strcmp(name, "href") == 0 && depth == g->response_depth + 1)
		g->has_path = decode_href(text + strspn(text, " \t\r\n"), g->path);
	else
		take_property(&g->resource, name, text);
	return 0;
}

int dav_listing_parse(const void *data, size_t n, dav_visitor *visit, void *context)
{
	static const struct xml_visitor visitor = { .open = on_open, .close = on_close };
	CLEANUP(free_ptr) struct reading *g = NULL;

	assert(visit);
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->visit = visit;
	g->context = context;
	return xml_read(data, n, &visitor, g);
}

/* ---- children ---- */

struct levels {
	unsigned int top; /* the fewest parts */
	size_t n_top;
	bool top_is_folder;
	unsigned int children;
	dav_visitor *visit;
	void *context;
};

static unsigned int parts_of(const char *path)
{
	unsigned int n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int note_level(void *context, const struct dav_resource *resource)
{
	struct levels *l = context;
	const unsigned int parts = parts_of(resource->path);

	if (l->n_top == 0 || parts < l->top) {
		l->top = parts;
		l->n_top = 0;
		l->top_is_folder = resource->is_folder;
	}
	l->n_top += parts == l->top;
	return 0;
}

static int visit_child(void *context, const struct dav_resource *resource)
{
	const struct levels *l = context;
	struct dav_resource child = *resource;
	const char *slash = strrchr(resource->path, '/');

	if (parts_of(resource->path) != l->children || !slash)
		return 0;
	child.path = slash + 1;
	return l->visit(l->context, &child);
}

int dav_listing_children(const void *data, size_t n, dav_visitor *visit, void *context)
{
	struct levels l = { .visit = visit, .context = context };
	int r;

	r = dav_listing_parse(data, n, note_level, &l);
	if (r < 0)
		return r;
	l.children = l.n_top == 1 && l.top_is_folder ? l.top + 1 : l.top;
	return dav_listing_parse(data, n, visit_child, &l);
}
