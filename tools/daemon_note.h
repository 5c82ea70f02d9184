/* SPDX-License-Identifier: MIT */
/*
 * daemon_note: REPOSITORY/local/daemon, by which other processes find the
 * daemon that protects with this repository; it keeps the file locked as long
 * as it lives, so that there is one at a time and a dead one is known as such.
 *
 * First line: its process id; second: where it is mounted, or nothing; then a
 * zero byte. What follows is of older ones. Threads: any.
 */
#ifndef TOOLS_DAEMON_NOTE_H
#define TOOLS_DAEMON_NOTE_H

#include "store/base/io.h"

#include <sys/types.h>

/**
 * Be the daemon: lock the note and write it. `mountpoint` may be NULL. Call it in
 * the process that stays. Returns a seam descriptor for daemon_note_end(); -EBUSY
 * when another one lives; -errno.
 */
int daemon_note_write(struct io *io, const char *mountpoint);
/** Let go of it. A negative descriptor is fine. */
void daemon_note_end(struct io *io, int fd);
/** The living daemon's process id, and where it is mounted ("" nowhere; the caller frees it;
 * ret_mountpoint may be NULL). -ENOENT: none lives; -errno. */
pid_t daemon_note_read(struct io *io, char **ret_mountpoint);
/** Send it a signal. Returns 0; -ENOENT: none lives; -EPERM; -errno. */
int daemon_note_signal(struct io *io, int signal_number);

#endif
