/* SPDX-License-Identifier: MIT */
/*
 * cmd: what every command is: a name, its help with examples, and a run
 * function; main.c is the table of them. Exit codes as users know them.
 */
#ifndef TOOLS_CMD_H
#define TOOLS_CMD_H

#include <stdbool.h>
#include <stddef.h>

enum exit_code {
	EXIT_CODE_DONE = 0,
	EXIT_CODE_FAILED = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_PARTIAL = 3,
	EXIT_CODE_NO_REPOSITORY = 10,
	EXIT_CODE_BUSY = 11,
	EXIT_CODE_WRONG_KEY = 12,
	EXIT_CODE_VERIFY = 20,
	EXIT_CODE_REPLICA_BEHIND = 21,
	EXIT_CODE_STALE = 22,
	EXIT_CODE_INTERRUPTED = 130,
};

/* Options that stand before or after the command. */
struct cmd_globals {
	const char *repository; /* -r or YORE_REPOSITORY; NULL: the default place
				   (session_repository) */
	const char *config;
	const char *host; /* --host: whose snapshots to look at; NULL: as timeline_choose says */
	int verbosity;    /* -1 quiet, 0, 1, 2 */
	bool json;
};

struct cmd {
	const char *name;
	const char *aliases; /* space-separated, or "" */
	const char *summary; /* one line */
	const char *help;    /* usage, options, examples */
	/* argv[0] is the command's name. Returns an exit code. */
	int (*run)(const struct cmd_globals *globals, int argc, char **argv);
};

/* Every command, in the order in which help shows them. */
extern const struct cmd *const cmd_table[];
extern const size_t cmd_table_n;

/** The command of that name or alias, or NULL. */
const struct cmd *cmd_by_name(const char *name);
/** `mount SOURCE MOUNTPOINT -o OPTIONS` as fstab's fuse.yore has it called. */
int cmd_mount_fstab(const struct cmd_globals *globals, int argc, char **argv);

/* Set by SIGINT and SIGTERM; long work looks at it. */
extern volatile bool cmd_cancelled;

#endif
