/* SPDX-License-Identifier: MIT */
#include "store/base/log.h"

#include "store/base/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 2048
#define ESCAPE_BYTES 4 /* \xNN */

/* What marks a cut line; room for it and the NUL is always kept. */
static const char cut_mark[] = "...";

static _Atomic int current_level = LOG_LEVEL_WARNING;
static _Atomic(log_sink *) current_sink;

struct line {
	char text[LINE_BYTES];
	size_t n;
};

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_sink(log_sink *sink)
{
	atomic_store(&current_sink, sink);
}

/*
 * Add text in printable form, keeping `reserve` bytes free. The mark of a cut
 * line follows when it does not fit, or when `cut` says that it is not whole.
 */
static void line_add(struct line *line, const char *text, bool cut, size_t reserve)
{
	static const char digits[] = "0123456789abcdef";
	const size_t end = LINE_BYTES - sizeof(cut_mark) - reserve;
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		const size_t n = bytes_printable(s);
		char *to = line->text + line->n;

		if (line->n + (n ? n : ESCAPE_BYTES) > end) {
			cut = true;
			break;
		}
		if (n) {
			memcpy(to, s, n);
		} else {
			to[0] = '\\';
			to[1] = 'x';
			to[2] = digits[*s >> 4];
			to[3] = digits[*s & 15];
		}
		line->n += n ? n : ESCAPE_BYTES;
		s += n ? n : 1;
	}
	if (cut) {
		memcpy(line->text + line->n, cut_mark, sizeof(cut_mark) - 1);
		line->n += sizeof(cut_mark) - 1;
	}
	line->text[line->n] = '\0';
}

__attribute__((format(printf, 2, 0))) static void line_format(struct line *line, const char *format,
							      va_list args, size_t reserve)
{
	char raw[LINE_BYTES];
	int n;

	n = vsnprintf(raw, sizeof(raw), format, args);
	if (n < 0) {
		/* Only a broken wide-character argument leads here. */
		line_add(line, format, false, reserve);
		return;
	}
	line_add(line, raw, (size_t)n >= sizeof(raw), reserve);
}

static void say(enum log_level level, const char *line)
{
	static const char *const prefixes[] = {
		[LOG_LEVEL_ERROR] = "yore: ",
		[LOG_LEVEL_WARNING] = "yore: warning: ",
		[LOG_LEVEL_INFO] = "yore: ",
		[LOG_LEVEL_DEBUG] = "yore: debug: ",
	};
	log_sink *sink = atomic_load(&current_sink);

	if (sink)
		sink(level, line);
	else
		(void)fprintf(stderr, "%s%s\n", prefixes[level], line);
}

/* The words of our own meanings (see STYLE) instead of the kernel's. */
static const char *error_text(int error, char *buffer, size_t n)
{
	switch (error) {
	case EBADMSG:
		return "contents do not match their checksum";
	case EUCLEAN:
		return "contents are malformed";
	case ENOKEY:
		return "no key fits";
	default:
		return strerror_r(error, buffer, n);
	}
}

void log_line(enum log_level level, const char *format, ...)
{
	const int saved = errno;
	struct line line;
	va_list args;

	assert(level <= LOG_LEVEL_DEBUG);
	if (level > log_get_level())
		return;

	line.n = 0;
	va_start(args, format);
	line_format(&line, format, args, 0);
	va_end(args);
	say(level, line.text);
	errno = saved;
}

void log_reason(int r, const char *format, ...)
{
	const int saved = errno;
	char buffer[128];
	const char *text;
	struct line line;
	va_list args;

	assert(r < 0);
	text = error_text(-r, buffer, sizeof(buffer));
	line.n = 0;
	/* However long the rest is, the reason is never cut off. */
	va_start(args, format);
	line_format(&line, format, args, strlen(text) + sizeof(": ") + sizeof(cut_mark));
	va_end(args);
	line_add(&line, ": ", false, 0);
	line_add(&line, text, false, 0);
	say(LOG_LEVEL_ERROR, line.text);
	errno = saved;
}
