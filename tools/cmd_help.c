/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"

#include <stdio.h>

static void print_overview(FILE *stream)
{
	(void)fputs("usage: yore [-r REPOSITORY] [-v|-q] [--json] COMMAND [...]\n"
		    "\n"
		    "A time-travel backup filesystem: every snapshot is whole, and looks like\n"
		    "ordinary folders.\n"
		    "\n"
		    "commands:\n",
		    stream);
	for (size_t i = 0; i < cmd_table_n; i++)
		(void)fprintf(stream, "  %-11s %s\n", cmd_table[i]->name, cmd_table[i]->summary);
	(void)fputs(
		"\n"
		"options, before or after the command:\n"
		"  -r, --repository DIR  the repository (or YORE_REPOSITORY; default\n"
		"                        /var/lib/yore for root, ~/.local/share/yore for others)\n"
		"  -c, --config FILE     configuration file (or YORE_CONFIG)\n"
		"      --host NAME       look at the snapshots of another host\n"
		"      --json            results for programs\n"
		"  -v, --verbose         say more; twice: even more\n"
		"  -q, --quiet           errors only, no progress\n"
		"  -h, --help            this, or help for a command\n"
		"      --version         version of the program and its format\n"
		"\n"
		"to begin:\n"
		"  yore init\n"
		"  yore protect ~/Documents\n"
		"  yore mount            protects from now on; look into ~/backups (root: "
		"/backups)\n"
		"  yore restore yesterday:/home/me/report.odt --to /tmp\n",
		stream);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	const struct cmd *cmd;
	struct options o;

	if (argc == 0) {
		print_overview(stderr);
		return EXIT_CODE_USAGE;
	}
	options_init(&o, globals, &cmd_help, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind >= argc) {
		print_overview(stdout);
		return EXIT_CODE_DONE;
	}
	cmd = cmd_by_name(argv[optind]);
	if (!cmd)
		return options_wrong(&o, "no command '%s'", argv[optind]);
	(void)fputs(cmd->help, stdout);
	return EXIT_CODE_DONE;
}

const struct cmd cmd_help = {
	.name = "help",
	.aliases = "",
	.summary = "help for a command",
	.help = "usage: yore help [COMMAND]\n"
		"\n"
		"The same as yore COMMAND --help.\n"
		"\n"
		"examples:\n"
		"  yore help\n"
		"  yore help restore\n",
	.run = run,
};
