/* SPDX-License-Identifier: MIT */
/*
 * xattr_set: the extended attributes of one object as one canonical byte
 * string: (name, value) pairs sorted by name. POSIX ACLs and capabilities are
 * attributes like others (system.posix_acl_*, security.capability).
 * Bytes: yore-format(5), "Trees".
 */
#ifndef SNAPSHOTS_XATTR_SET_H
#define SNAPSHOTS_XATTR_SET_H

#include "store/base/bytes.h"

/**
 * Read all readable attributes: of an open descriptor, or with fd < 0 of
 * `path` without following a final symlink (pass "/proc/self/fd/N" of an
 * O_PATH descriptor: then with `follow`). Leaves out user.yore.* and
 * security.selinux is kept. Appends the encoded set to `to` (nothing when there are none).
 * Returns 0; 1 when some attribute could not be read; -E2BIG past
 * XATTR_BYTES_MAX; -errno.
 */
int xattr_set_read(int fd, const char *path, bool follow, struct byte_buf *to);

/** Step through an encoded set: 1 and the next pair (borrowed; the name is NUL-terminated), 0 at
 * the end, -EUCLEAN. Start with *position = 0. */
int xattr_set_next(const uint8_t *set, size_t n, size_t *position, const char **ret_name,
		   const uint8_t **ret_value, size_t *ret_value_n);
/** Find one by name: 0, -ENOENT, -EUCLEAN. */
int xattr_set_find(const uint8_t *set, size_t n, const char *name, const uint8_t **ret_value,
		   size_t *ret_value_n);
/** Check the whole set: 0 or -EUCLEAN. */
int xattr_set_check(const uint8_t *set, size_t n);

#endif
