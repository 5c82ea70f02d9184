/* SPDX-License-Identifier: MIT */
/*
 * drop_in: the configuration file that `yore protect` and `unprotect` write;
 * what else stands in it, comments too, is kept.
 *
 * A change becomes durable as a whole: a new file, synced, is renamed over the
 * old one. Between drop_in_open() and drop_in_close() other processes' changes
 * wait. Threads: one.
 */
#ifndef TOOLS_DROP_IN_H
#define TOOLS_DROP_IN_H

#include "store/base/bytes.h"

struct drop_in {
	const char *path; /* borrowed */
	int folder_fd;
	struct byte_buf text;
};

/** Make its folder if missing, lock it, read the file. Returns 0 or -errno; close it in both cases.
 */
int drop_in_open(struct drop_in *d, const char *folder, const char *path);
/** Take every section [source NAME] away. Returns 1 when there was one, 0, -ENOMEM. */
int drop_in_remove(struct drop_in *d, const char *name);
/** Write it durably, mode 0644. Returns 0 or -errno: then the old file is there. */
int drop_in_write(struct drop_in *d);
void drop_in_close(struct drop_in *d);

#endif
