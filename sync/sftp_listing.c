/* SPDX-License-Identifier: MIT */
#include "sync/sftp_listing.h"

#include <assert.h>
#include <string.h>

#define SIZE_FIELD 4 /* of: mode, links, owner, group, size, month, day, time or year, name */
#define NAME_FIELD 8
#define DIGITS_MAX 18

/* The start of field `number`, counted from 0; NULL when there are fewer. */
static const char *field(const char *line, unsigned int number)
{
	for (;;) {
		line += strspn(line, " \t");
		if (*line == '\0')
			return NULL;
		if (number-- == 0)
			return line;
		line += strcspn(line, " \t");
	}
}

static bool parse_size(const char *text, uint64_t *ret_size)
{
	const size_t n = strspn(text, "0123456789");
	uint64_t size = 0;

	if (n == 0 || n > DIGITS_MAX || (text[n] != ' ' && text[n] != '\t'))
		return false;
	for (size_t i = 0; i < n; i++)
		size = size * 10 + (uint64_t)(text[i] - '0');
	*ret_size = size;
	return true;
}

/* One line, without its end. False: it is about nothing that we may see. */
static bool parse_line(const char *line, struct sftp_entry *ret_entry)
{
	struct sftp_entry e = { 0 };
	const char *size = field(line, SIZE_FIELD);
	const char *name = field(line, NAME_FIELD);

	/* Names of ours have no spaces: whatever stands last is one. */
	e.name = strrchr(line, ' ');
	e.name = e.name ? e.name + 1 : line;
	if (*e.name == '\0' || strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
		return false;
	e.is_folder = line[0] == 'd';
	if (name && (line[0] == '-' || line[0] == 'd')) {
		if (strpbrk(name, " \t"))
			return false; /* a name with spaces: not ours, and its end is not, either */
		e.known = size && parse_size(size, &e.size);
	} else if (name && strchr("lpsbc", line[0])) {
		return false;
	}
	*ret_entry = e;
	return true;
}

int sftp_listing_parse(const void *data, size_t n, sftp_visitor *visit, void *context)
{
	const char *at = data;
	const char *const end = at + n;
	char line[SFTP_LINE_BYTES_MAX];

	assert(visit);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((newline ? newline : end) - at);
		struct sftp_entry entry;
		int r;

		if (length > 0 && length < sizeof(line) && !memchr(at, '\0', length)) {
			memcpy(line, at, length);
			if (line[length - 1] == '\r')
				length--;
			line[length] = '\0';
			if (parse_line(line, &entry)) {
				r = visit(context, &entry);
				if (r != 0)
					return r;
			}
		}
		at = newline ? newline + 1 : end;
	}
	return 0;
}
