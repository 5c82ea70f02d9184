/* SPDX-License-Identifier: MIT */
/*
 * config_text: the bytes of one configuration file: sections, keys, values,
 * each with its line. What they mean is config's business.
 *
 *   # a comment, as is a line that begins with ';'
 *   [section NAME]        NAME may stand in double quotes
 *   key = value           to the end of the line, of any length
 *       more of it        a line indented deeper than its key
 *
 * Made for the job, since libini_config (0.6.2) cannot tell where a section
 * stands, takes [source a] and [source A] for one, forgets where the lines of a
 * value ended, refuses names that are not UTF-8, and needs a minute for 60,000
 * sections.
 *
 * Threads: pure functions.
 */
#ifndef TOOLS_CONFIG_TEXT_H
#define TOOLS_CONFIG_TEXT_H

#include <stddef.h>

#define CONFIG_BYTES_TEXT_MAX ((size_t)1 << 20)

/* Called in the order of the file; strings are valid during the call. Non-zero ends it. */
struct config_text_handlers {
	/* `name` is "" when there is none. */
	int (*section)(void *context, const char *section, const char *name, unsigned int line);
	/*
	 * `value` is without the blanks around it, but for one that a backslash stands before.
	 * A value of several lines has them joined by newlines; lines of nothing are not there.
	 */
	int (*setting)(void *context, const char *key, const char *value, unsigned int line);
	/* A line that makes no sense; parsing goes on with the next one. */
	int (*wrong)(void *context, const char *what, unsigned int line);
};

/** Parse n bytes. Returns 0, what a handler returned to end it, or -ENOMEM. */
int config_text_parse(const char *data, size_t n, const struct config_text_handlers *handlers,
		      void *context);

#endif
