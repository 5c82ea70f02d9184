/* SPDX-License-Identifier: MIT */
#include "fs/mount.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/session.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int say_result(int r, const char *mountpoint)
{
	switch (-r) {
	case 0:
		return EXIT_CODE_DONE;
	case EINVAL:
	case ENOENT:
		return failure(EXIT_CODE_FAILED,
			       "no yore mount at %s; 'yore status' says where it is mounted",
			       mountpoint);
	case EBUSY:
		return failure(EXIT_CODE_BUSY,
			       "%s is in use; leave it with every shell and program, then try "
			       "again",
			       mountpoint);
	default:
		return failure_errno(r, "cannot unmount %s", mountpoint);
	}
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(free_ptr) char *mountpoint = NULL;
	struct options o;

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
	return say_result(mount_unmount(mountpoint), mountpoint);
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
