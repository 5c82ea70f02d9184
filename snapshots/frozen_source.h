/* SPDX-License-Identifier: MIT */
/*
 * frozen_source: one moment of a source on btrfs, to be captured from: a
 * read-only snapshot of the subvolume that the source lies in.
 *
 * It is made in the folder FROZEN_FOLDER at the subvolume's top, which belongs
 * to root alone and stays (made and removed each time, it would change the
 * times of the folder above); captures leave that folder out, and watches are
 * to ignore what happens in it. A snapshot left behind by a killed process is
 * removed by the next one that freezes something in the same subvolume.
 *
 * A subvolume snapshot ends where another subvolume or another file system
 * begins: the capture reads what lies there in the live tree
 * (capture_source.read_path), and does not label it as frozen.
 *
 * Threads: one at a time for one handle.
 */
#ifndef SNAPSHOTS_FROZEN_SOURCE_H
#define SNAPSHOTS_FROZEN_SOURCE_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define FROZEN_FOLDER ".yore-frozen"
#define FROZEN_FOLDER_MODE 0700u

struct frozen_source;

/**
 * Freeze the source at this path. Returns 0; -EOPNOTSUPP (no btrfs; a file is
 * mounted inside); -EPERM (only root may remove such snapshots); -EXDEV (the
 * top of its subvolume cannot be reached by this path); -EROFS, -ENOENT or
 * another -errno. Nothing is logged but a stale snapshot that cannot be
 * removed: *ret_why is a text for people, static.
 */
int frozen_source_make(const char *path, struct frozen_source **ret_frozen, const char **ret_why);
/** Where the source lies in the snapshot: capture_source.read_path. */
const char *frozen_source_path(const struct frozen_source *f);
/** Just before it was made: capture_source.read_ns. */
int64_t frozen_source_ns(const struct frozen_source *f);
/** Remove the snapshot. Failing is logged. NULL is fine. */
void frozen_source_free(struct frozen_source *f);
CLEANUP_DEFINE(struct frozen_source, frozen_source_free)

#endif
