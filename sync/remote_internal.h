/* SPDX-License-Identifier: MIT */
/* remote_internal: what only this folder and its tests use of the kinds. */
#ifndef SYNC_REMOTE_INTERNAL_H
#define SYNC_REMOTE_INTERNAL_H

#include "sync/remote.h"

/**
 * A folder remote over a seam that is open already (borrowed), such as the one
 * in memory that loses what was not synced. `url` is unset: remote_free() it
 * all the same.
 */
int remote_dir_new_over(struct io *io, struct remote **ret_remote);

#endif
