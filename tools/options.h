/* SPDX-License-Identifier: MIT */
/*
 * options: reads a command's options with getopt_long, the global ones among
 * them, before or after the command.
 *
 * A mistyped option is answered with the nearest right one. Threads: none.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include "tools/cmd.h"

#include <getopt.h>

#define OPTIONS_LONG_MAX 48
#define OPTIONS_SHORT_BYTES 64

/* Values for long options without a letter; commands number theirs from here. */
enum { OPTIONS_FIRST_LONG = 512 };

/* What options_next() says beside the command's own letters. */
enum { OPTIONS_END = -1, OPTIONS_STOP = -2 };

struct options {
	struct cmd_globals globals; /* with those after the command */
	const struct cmd *cmd;      /* NULL: before any command */
	int argc;
	char **argv;
	int exit_code; /* with OPTIONS_STOP */
	struct option longs[OPTIONS_LONG_MAX];
	char shorts[OPTIONS_SHORT_BYTES];
};

/**
 * Begin. `shorts` and `longs` (ended by a zeroed one) are the command's own;
 * with cmd == NULL parsing stops at the first word.
 */
void options_init(struct options *o, const struct cmd_globals *globals, const struct cmd *cmd,
		  int argc, char **argv);
void options_add(struct options *o, const char *shorts, const struct option *longs);
/**
 * The next option of the command's own (its value in optarg); OPTIONS_END:
 * words are argv[optind...]; OPTIONS_STOP: return o->exit_code (help was
 * printed, or what is wrong was said).
 */
int options_next(struct options *o);
/** Say what is wrong with the usage and where help is. Returns EXIT_CODE_USAGE. */
int options_wrong(const struct options *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** A size such as "256M", "1GiB", "4096". 0 or -EINVAL. */
int options_size(const char *text, size_t *ret_bytes);

#endif
