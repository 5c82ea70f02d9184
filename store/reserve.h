/* SPDX-License-Identifier: MIT */
/*
 * reserve: a file that keeps some space, so that on a full disk there is
 * enough for the few pages by which space is given back: the forget record, the
 * index's transactions. local/reserve holds random bytes, which no file system
 * makes smaller.
 *
 * Threads: any; two that make it at once make it twice.
 */
#ifndef STORE_RESERVE_H
#define STORE_RESERVE_H

#include "store/base/io.h"

#define RESERVE_BYTES (8ul << 20)

/** Make it, unless it is there in that size. Returns 0; -ENOSPC (not logged) and nothing is kept.
 */
int reserve_make(struct io *io, uint64_t bytes);
/** Give its space back. 1 when there was one, 0 when not, -errno. */
int reserve_release(struct io *io);

#endif
