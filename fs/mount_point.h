/* SPDX-License-Identifier: MIT */
/*
 * mount_point: the folder on which a mount sits: is it fit for one, what is
 * mounted there, who uses it, and away with it.
 *
 * Asks a mounted file system nothing, except one of ours whether it lives.
 * Threads: any.
 */
#ifndef FS_MOUNT_POINT_H
#define FS_MOUNT_POINT_H

#include <stdbool.h>

/** Canonical path, the last name not followed; the caller frees *ret_path. Returns 0 or -errno. */
int mount_point_resolve(const char *path, char **ret_path);
/** Type of what is mounted at a canonical path, the topmost. Returns 0, -ENOENT nothing, -errno. */
int mount_point_type(const char *path, char ret_type[static 64]);
/**
 * Is this a place for a mount? A dead one of ours is unmounted first. Returns
 * 0; -ENOENT, -ENOTDIR, -ENOTEMPTY, -EBUSY, -errno: logged, with what to do.
 */
int mount_point_prepare(const char *path);
/** Log up to 5 processes that use what is mounted at a canonical path. */
void mount_point_log_users(const char *path);
/** Unmount. `lazy`: also while it is used. Returns 0, -EBUSY, -EPERM, -errno. Logs nothing. */
int mount_point_unmount(const char *path, bool lazy);

#endif
