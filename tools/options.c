/* SPDX-License-Identifier: MIT */
#include "tools/options.h"

#include "store/base/log.h"
#include "tools/failure.h"
#include "tools/spelling.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GLOBAL_JSON = 256, GLOBAL_HOST, GLOBAL_VERSION };

static const struct option global_longs[] = {
	{ "repository", required_argument, NULL, 'r' },
	{ "repo", required_argument, NULL, 'r' },
	{ "config", required_argument, NULL, 'c' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "json", no_argument, NULL, GLOBAL_JSON },
	{ "host", required_argument, NULL, GLOBAL_HOST },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, GLOBAL_VERSION },
	{ 0 },
};

void options_init(struct options *o, const struct cmd_globals *globals, const struct cmd *cmd,
		  int argc, char **argv)
{
	*o = (struct options){ .globals = *globals, .cmd = cmd, .argc = argc, .argv = argv };
	/* '+' stops at the first word; ':' tells a missing value from an unknown option. */
	(void)snprintf(o->shorts, sizeof(o->shorts), "%s:", cmd ? "" : "+");
	optind = 0; /* start afresh, for glibc */
	opterr = 0;
	options_add(o, "r:c:vqh", global_longs);
}

void options_add(struct options *o, const char *shorts, const struct option *longs)
{
	size_t length = strlen(o->shorts);
	size_t n = 0;

	assert(length + strlen(shorts) < sizeof(o->shorts));
	(void)snprintf(o->shorts + length, sizeof(o->shorts) - length, "%s", shorts);
	while (o->longs[n].name)
		n++;
	for (; longs && longs->name; longs++) {
		assert(n + 1 < OPTIONS_LONG_MAX);
		o->longs[n++] = *longs;
	}
}

/* What getopt could not make sense of. */
static int unknown(struct options *o, bool no_value)
{
	struct spelling near = { 0 };
	const char *word = optind > 0 && optind <= o->argc ? o->argv[optind - 1] : "";
	char typed[SPELLING_BYTES_MAX + 1];

	if (no_value)
		return options_wrong(o, "option '%s' wants a value", word);
	if (optopt >= OPTIONS_FIRST_LONG / 2) /* the code of a long option: it takes no value */
		return options_wrong(o, "option '%s' takes no value", word);
	if (strncmp(word, "--", 2) != 0)
		return options_wrong(o, "unknown option '-%c'", optopt);

	(void)snprintf(typed, sizeof(typed), "%s", word + 2);
	typed[strcspn(typed, "=")] = '\0';
	for (const struct option *l = o->longs; l->name; l++)
		spelling_offer(&near, typed, l->name);
	if (near.word && strcmp(near.word, typed) == 0)
		return options_wrong(o, "option '--%s' takes no value", typed);
	if (near.word)
		return options_wrong(o, "unknown option '--%s'; did you mean '--%s'?", typed,
				     near.word);
	return options_wrong(o, "unknown option '--%s'", typed);
}

static void set_verbosity(struct cmd_globals *g, int by)
{
	g->verbosity = by < 0 ? -1 : g->verbosity < 0 ? 1 : g->verbosity + by;
	log_set_level(g->verbosity < 0    ? LOG_LEVEL_ERROR
		      : g->verbosity == 0 ? LOG_LEVEL_WARNING
		      : g->verbosity == 1 ? LOG_LEVEL_INFO
					  : LOG_LEVEL_DEBUG);
}

static int show(struct options *o, const char *command)
{
	const struct cmd *cmd = cmd_by_name(command);
	char name[16];
	char *arguments[2] = { name, NULL };

	(void)snprintf(name, sizeof(name), "%s", command);
	o->exit_code = cmd->run(&o->globals, 1, arguments);
	return OPTIONS_STOP;
}

/* 1: it was a global option. */
static int take_global(struct options *o, int c)
{
	switch (c) {
	case 'r':
		o->globals.repository = optarg;
		return 1;
	case 'c':
		o->globals.config = optarg;
		return 1;
	case 'v':
		set_verbosity(&o->globals, 1);
		return 1;
	case 'q':
		set_verbosity(&o->globals, -1);
		return 1;
	case GLOBAL_JSON:
		o->globals.json = true;
		return 1;
	case GLOBAL_HOST:
		o->globals.host = optarg;
		return 1;
	default:
		return 0;
	}
}

int options_next(struct options *o)
{
	for (;;) {
		int c = getopt_long(o->argc, o->argv, o->shorts, o->longs, NULL);

		if (take_global(o, c))
			continue;
		switch (c) {
		case 'h':
			if (!o->cmd)
				return show(o, "help");
			(void)fputs(o->cmd->help, stdout);
			o->exit_code = EXIT_CODE_DONE;
			return OPTIONS_STOP;
		case GLOBAL_VERSION:
			return show(o, "version");
		case '?':
		case ':':
			o->exit_code = unknown(o, c == ':');
			return OPTIONS_STOP;
		default:
			return c;
		}
	}
}

int options_wrong(const struct options *o, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!o->cmd)
		return failure(EXIT_CODE_USAGE, "%s; see 'yore --help'", text);
	return failure(EXIT_CODE_USAGE, "%s: %s; see 'yore %s --help'", o->cmd->name, text,
		       o->cmd->name);
}

int options_size(const char *text, size_t *ret_bytes)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long n;
	const char *unit;
	unsigned int shift = 0;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || (end[1] && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "B") != 0))
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (n > (SIZE_MAX >> shift))
		return -EINVAL;
	*ret_bytes = (size_t)n << shift;
	return 0;
}
