/* SPDX-License-Identifier: MIT */
/*
 * mount_kind: what captures and the watch make of a mount, by its type alone.
 *
 * Threads: any.
 */
#ifndef SNAPSHOTS_MOUNT_KIND_H
#define SNAPSHOTS_MOUNT_KIND_H

#include "store/base/mount_table.h"

#include <stdbool.h>

#define MOUNT_TYPE "fuse.yore"

/** Is it one of yore's own mounts? */
bool mount_kind_is_own(const struct mount_row *row);
/** Does a capture leave it out: made up by the kernel, or a mount of yore's own? */
bool mount_kind_is_virtual(const struct mount_row *row);
/** May its files change without this machine's kernel knowing? */
bool mount_kind_is_remote(const struct mount_row *row);

#endif
