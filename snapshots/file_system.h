/* SPDX-License-Identifier: MIT */
/*
 * file_system: which file system is this? Its kind and UUID, which stay the
 * same over reboots and re-plugging, as st_dev does not.
 *
 * Threads: any.
 */
#ifndef SNAPSHOTS_FILE_SYSTEM_H
#define SNAPSHOTS_FILE_SYSTEM_H

#include "snapshots/record.h"

#include <stdbool.h>

/**
 * Identity of the file system that an open file lies on (O_PATH will not do).
 * The UUID comes from the file system itself, else from the block device's
 * entry in /dev/disk/by-uuid, else it is all zero. Returns 0 or -errno.
 */
int file_system_identify(int fd, struct file_system_identity *ret_identity);
/**
 * Does the kernel make up what lies there (proc, sysfs, ...)? tmpfs is not: people keep
 * files there. devtmpfs has the f_type of tmpfs, but file_system_identify() names it apart.
 */
bool file_system_is_virtual(uint64_t f_type);
/** Same kind and same UUID; two without a UUID are equal when of one kind. */
bool file_system_equal(const struct file_system_identity *a, const struct file_system_identity *b);
/** Parse a UUID as /dev/disk/by-uuid names it: 1 to 32 hex digits among hyphens. 0 or -EINVAL. */
int file_system_parse_uuid(const char *text, uint8_t ret_uuid[static 16]);

#endif
