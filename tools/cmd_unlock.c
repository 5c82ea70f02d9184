/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/options.h"

#include <stdio.h>

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	struct options o;

	options_init(&o, globals, &cmd_unlock, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	(void)puts("There is nothing to unlock: the kernel drops a lock together with the process\n"
		   "that held it. After a crash or a power cut the next command just works.");
	return EXIT_CODE_DONE;
}

const struct cmd cmd_unlock = {
	.name = "unlock",
	.aliases = "",
	.summary = "says why there is nothing to unlock",
	.help = "usage: yore unlock\n"
		"\n"
		"Locks of a repository vanish with the process that held them, so there are\n"
		"never stale ones. This command exists for the habits of other tools.\n"
		"\n"
		"examples:\n"
		"  yore unlock\n",
	.run = run,
};
