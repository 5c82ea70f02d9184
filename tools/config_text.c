/* SPDX-License-Identifier: MIT */
#include "tools/config_text.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <string.h>

struct parser {
	const struct config_text_handlers *handlers;
	void *context;
	struct byte_buf key;
	struct byte_buf value;
	unsigned int line;     /* of the line looked at */
	unsigned int key_line; /* 0: no setting is open */
	size_t key_indent;
};

/* A line without its end; not terminated. */
struct span {
	const char *at;
	size_t n;
};

static void parser_done(struct parser *p)
{
	byte_buf_done(&p->key);
	byte_buf_done(&p->value);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct span trim(struct span s)
{
	while (s.n > 0 && is_blank(s.at[0])) {
		s.at++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.at[s.n - 1])) {
		/* A blank that is meant: "name\ " */
		if (s.n > 1 && s.at[s.n - 2] == '\\' && s.at[s.n - 1] == ' ')
			break;
		s.n--;
	}
	return s;
}

/* The setting that has been gathered is complete. */
static int finish_setting(struct parser *p)
{
	unsigned int line = p->key_line;

	if (line == 0)
		return 0;
	p->key_line = 0;
	byte_buf_u8(&p->key, '\0');
	byte_buf_u8(&p->value, '\0');
	if (p->key.failed || p->value.failed)
		return -ENOMEM;
	return p->handlers->setting(p->context, (const char *)p->key.data,
				    (const char *)p->value.data, line);
}

static int wrong(struct parser *p, const char *what)
{
	int r = finish_setting(p);

	return r != 0 ? r : p->handlers->wrong(p->context, what, p->line);
}

static char *copy(struct span s)
{
	return strndup(s.at, s.n);
}

/* "[section NAME]"; `s` begins with the bracket. */
static int take_section(struct parser *p, struct span s)
{
	CLEANUP(free_ptr) char *section = NULL, *name = NULL;
	struct span inner, rest;
	size_t n = 0;
	int r = finish_setting(p);

	if (r != 0)
		return r;
	if (s.at[s.n - 1] != ']')
		return wrong(p, "a section's line ends with ']'");
	inner = trim((struct span){ s.at + 1, s.n - 2 });
	while (n < inner.n && !is_blank(inner.at[n]))
		n++;
	rest = trim((struct span){ inner.at + n, inner.n - n });
	if (rest.n >= 2 && rest.at[0] == '"' && rest.at[rest.n - 1] == '"')
		rest = (struct span){ rest.at + 1, rest.n - 2 };
	section = copy((struct span){ inner.at, n });
	name = copy(rest);
	if (!section || !name)
		return -ENOMEM;
	return p->handlers->section(p->context, section, name, p->line);
}

static int take_setting(struct parser *p, struct span s, size_t indent)
{
	const char *equals = memchr(s.at, '=', s.n);
	struct span key, value;
	int r;

	if (!equals)
		return wrong(p, "this is neither [section] nor key = value");
	r = finish_setting(p);
	if (r != 0)
		return r;
	key = trim((struct span){ s.at, (size_t)(equals - s.at) });
	if (key.n == 0)
		return wrong(p, "no key stands before the '='");
	value = trim((struct span){ equals + 1, s.n - (size_t)(equals + 1 - s.at) });
	byte_buf_clear(&p->key);
	byte_buf_clear(&p->value);
	byte_buf_append(&p->key, key.at, key.n);
	byte_buf_append(&p->value, value.at, value.n);
	p->key_line = p->line;
	p->key_indent = indent;
	return 0;
}

static void continue_setting(struct parser *p, struct span s)
{
	if (p->value.n > 0)
		byte_buf_u8(&p->value, '\n');
	byte_buf_append(&p->value, s.at, s.n);
}

static int take_line(struct parser *p, struct span raw)
{
	struct span s = trim(raw);
	size_t indent = (size_t)(s.at - raw.at);

	if (memchr(raw.at, '\0', raw.n))
		return wrong(p, "a zero byte: this is no text");
	if (s.n == 0 || s.at[0] == '#' || s.at[0] == ';')
		return 0;
	if (p->key_line && indent > p->key_indent) {
		continue_setting(p, s);
		return 0;
	}
	if (s.at[0] == '[')
		return take_section(p, s);
	return take_setting(p, s, indent);
}

int config_text_parse(const char *data, size_t n, const struct config_text_handlers *handlers,
		      void *context)
{
	CLEANUP(parser_done) struct parser p = { .handlers = handlers, .context = context };
	static const char mark[] = "\xef\xbb\xbf"; /* as some editors write it */
	int r = 0;

	if (n >= 3 && memcmp(data, mark, 3) == 0) {
		data += 3;
		n -= 3;
	}
	while (n > 0 && r == 0) {
		const char *end = memchr(data, '\n', n);
		size_t length = end ? (size_t)(end - data) : n;

		p.line++;
		r = take_line(&p, (struct span){ data, length });
		length += end != NULL;
		data += length;
		n -= length;
	}
	return r != 0 ? r : finish_setting(&p);
}
