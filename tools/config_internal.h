/* SPDX-License-Identifier: MIT */
/*
 * config_internal: how a configuration is gathered, for tools/config*.c and
 * tests. Threads: one.
 */
#ifndef TOOLS_CONFIG_INTERNAL_H
#define TOOLS_CONFIG_INTERNAL_H

#include "tools/config_keys.h"

#define CONFIG_SOURCES_MAX 1000
#define CONFIG_PROBLEMS_MAX 20 /* told one by one; the rest is counted */
#define CONFIG_LISTS_MAX 1000  /* assignments to keys that add */

struct config_loader {
	struct config *c;
	const char *file;    /* being read */
	const char *section; /* a key's: its table is searched; NULL: an unknown one, skip it */
	size_t source;       /* the one that [source NAME] opened */
	size_t n_lists;
	size_t n_problems;
	/* What is wrong, with its place ("FILE:LINE: ..."); NULL: say it on stderr. */
	void (*problem)(void *context, const char *text);
	void *context;
};

/** Fill with defaults and entries. 0, -ENOENT (no home), -ENOMEM. */
int config_loader_begin(struct config_loader *l, struct config *c);
/** Take the text of one file over. Returns 0 or -ENOMEM; problems are told and counted. */
int config_loader_text(struct config_loader *l, const char *file, const char *data, size_t n);
/** Set by an option or a variable, `from`. 0 or -ENOMEM. */
int config_loader_set(struct config_loader *l, const char *section, const char *key,
		      const char *text, enum config_origin origin, const char *from);
/** Judge the whole: what belongs together. 0 or -ENOMEM. */
int config_loader_end(struct config_loader *l);
/** Tell a problem; line 0: of the whole file. */
void config_loader_problem(struct config_loader *l, const char *file, unsigned int line,
			   const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
