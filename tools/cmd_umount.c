/* SPDX-License-Identifier: MIT */
#include "fs/mount.h"
#include "snapshots/mount_kind.h"
#include "tools/cmd_table.h"
#include "tools/config.h"
#include "tools/daemon_note.h"
#include "tools/failure.h"
#include "tools/options.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define END_TRIES 300
#define END_TRY_MS 100

/* The repository that a mount shows, as its source names it; the caller frees it. NULL: unknown. */
static char *repository_of(const char *mountpoint)
{
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };
	const struct mount_row *row;

	(void)mount_table_load(&mounts);
	row = mount_table_top(&mounts, mountpoint);
	if (!row || !mount_kind_is_own(row) || strncmp(row->source, "yore:", 5) != 0)
		return NULL;
	return strdup(row->source + 5);
}

/* The daemon that protects behind this mount would mount again: it is asked to end, and waited
 * for, since its last snapshot may take a while. */
static void end_daemon(struct io *io, const char *mountpoint)
{
	CLEANUP(free_ptr) char *its = NULL;
	pid_t pid = daemon_note_read(io, &its);

	if (pid <= 0 || strcmp(its, mountpoint) != 0)
		return;
	if (daemon_note_signal(io, SIGTERM) < 0) {
		failure_note("the daemon behind %s (process %d) cannot be ended; it will mount "
			     "again",
			     mountpoint, (int)pid);
		return;
	}
	for (int i = 0; i < END_TRIES && !cmd_cancelled; i++) {
		if (daemon_note_read(io, NULL) != pid)
			return;
		(void)poll(NULL, 0, END_TRY_MS);
	}
	failure_note("the daemon (process %d) still takes its last snapshot", (int)pid);
}

static int unmount(const char *mountpoint)
{
	CLEANUP(free_ptr) char *repository = repository_of(mountpoint);
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int r;

	if (repository && io_posix_open(repository, &io) < 0)
		io = NULL;
	/* What is wrong, and what to do about it, is in the log. */
	r = mount_unmount(mountpoint);
	if (r == 0 && io)
		end_daemon(io, mountpoint);
	return r < 0 ? (int)failure_code(r) : EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(config_done) struct config config = { 0 };
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
		r = config_load(&o.globals, &config);
		if (r != EXIT_CODE_DONE)
			return r;
		mountpoint = STEAL(config.mountpoint);
		if (mountpoint && !mountpoint[0])
			return options_wrong(&o, "the configuration mounts nowhere (its [mount] "
						 "path is empty); name the mountpoint");
	}
	if (!mountpoint)
		return failure_errno(-ENOMEM, "umount");
	return unmount(mountpoint);
}

const struct cmd cmd_umount = {
	.name = "umount",
	.aliases = "unmount",
	.summary = "take the mount away",
	.help = "usage: yore umount [MOUNTPOINT]\n"
		"\n"
		"Unmounts MOUNTPOINT, or the configured one (/backups for root, ~/backups for\n"
		"others), and ends the daemon behind it, which first takes a last snapshot\n"
		"of what had changed. Exit 11 while something uses it.\n"
		"\n"
		"examples:\n"
		"  yore umount\n"
		"  yore umount /mnt/past\n",
	.run = run,
};
