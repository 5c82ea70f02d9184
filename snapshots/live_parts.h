/* SPDX-License-Identifier: MIT */
/*
 * live_parts: what a frozen copy of a source does not hold, and must be read
 * where it lies: the file systems mounted below the source, and subvolumes
 * within the frozen one, which show in it as empty folders.
 *
 * Threads: any, once open.
 */
#ifndef SNAPSHOTS_LIVE_PARTS_H
#define SNAPSHOTS_LIVE_PARTS_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <sys/stat.h>

struct live_parts;

/** For the source at `path`, read at `read_path`. Returns 0 or -errno. */
int live_parts_open(const char *path, const char *read_path, struct live_parts **ret_parts);
void live_parts_free(struct live_parts *l);
CLEANUP_DEFINE(struct live_parts, live_parts_free)

/**
 * A folder of the frozen copy was opened: its path from the source's root, its
 * attributes, its descriptor. If the live tree has something else there, the
 * descriptor is replaced by one of that. Returns 1 when so, 0, or -errno.
 */
int live_parts_enter(struct live_parts *l, const char *path, const struct statx *sx, int *fd);
/** Does what lies on this device belong to the frozen copy? */
bool live_parts_is_frozen(const struct live_parts *l, dev_t device);
/** Was anything read live? */
bool live_parts_were_entered(const struct live_parts *l);
/**
 * Is something that is no folder mounted over a file below the source? Such a one cannot be told
 * from the file below it in a frozen copy. 1, 0 or -errno.
 */
int live_parts_over_files(const char *path);

#endif
