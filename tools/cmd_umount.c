/* SPDX-License-Identifier: MIT */
#include "fs/mount.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/session.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(free_ptr) char *mountpoint = NULL;
	struct options o;
	int r;

	options_init(&o, globals, &cmd_umount, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind + 1 < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind + 1]);
	if (optind < argc) {
		/* A dead mount cannot be resolved; its name as given must do. */
		mountpoint = realpath(argv[optind], NULL);
		if (!mountpoint)
			mountpoint = strdup(argv[optind]);
	} else {
		mountpoint = session_mountpoint();
	}
	if (!mountpoint)
		return failure_errno(-ENOMEM, "umount");
	/* What is wrong, and what to do about it, is in the log. */
	r = mount_unmount(mountpoint);
	return r < 0 ? (int)failure_code(r) : EXIT_CODE_DONE;
}

const struct cmd cmd_umount = {
	.name = "umount",
	.aliases = "unmount",
	.summary = "take the mount away",
	.help = "usage: yore umount [MOUNTPOINT]\n"
		"\n"
		"Unmounts MOUNTPOINT, or the default one (/backups for root, ~/backups for\n"
		"others). Exit 11 while something uses it.\n"
		"\n"
		"examples:\n"
		"  yore umount\n"
		"  yore umount /mnt/past\n",
	.run = run,
};
