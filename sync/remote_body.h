/* SPDX-License-Identifier: MIT */
/*
 * remote_body: reading and checking what is to be put, wherever it lies.
 *
 * Threads: no state; a body is used by one thread at a time.
 */
#ifndef SYNC_REMOTE_BODY_H
#define SYNC_REMOTE_BODY_H

#include "sync/remote.h"

/** Copy n bytes from `offset`. Returns 0; -EIO when the body's file is shorter; another -errno. */
int remote_body_read(const struct remote_body *body, uint64_t offset, void *to, size_t n);

/**
 * Read all of it and compare with its hash: a file that was damaged on this
 * machine is not sent out into the world. Returns 0; -EIO when it is not what
 * it should be, or cannot be read; -ECANCELED; -ENOMEM.
 */
int remote_body_check(const struct remote_body *body, const volatile bool *cancel);

#endif
