/* SPDX-License-Identifier: MIT */
#include "store/store.h"
#include "tools/cmd_table.h"
#include "tools/options.h"
#include "tools/output.h"

#ifndef YORE_VERSION
#define YORE_VERSION "0.1.0"
#endif

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	struct options o;

	options_init(&o, globals, &cmd_version, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	if (o.globals.json)
		return output_json(json_pack("{s:s, s:i}", "version", YORE_VERSION, "format",
					     FORMAT_VERSION)) < 0
			       ? EXIT_CODE_FAILED
			       : EXIT_CODE_DONE;
	(void)printf("yore %s (repository format %d)\n", YORE_VERSION, FORMAT_VERSION);
	return EXIT_CODE_DONE;
}

const struct cmd cmd_version = {
	.name = "version",
	.aliases = "",
	.summary = "version of the program and of its format",
	.help = "usage: yore version [--json]\n"
		"\n"
		"examples:\n"
		"  yore version\n",
	.run = run,
};
