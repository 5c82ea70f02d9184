/* SPDX-License-Identifier: MIT */
/*
 * queue: a bounded first-in first-out queue of pointers between threads.
 *
 * A full queue blocks its writers, an empty one its readers. Closing wakes
 * everybody: writers are refused, readers drain what is left.
 *
 * Threads: any number of writers and readers.
 */
#ifndef STORE_BASE_QUEUE_H
#define STORE_BASE_QUEUE_H

#include "store/base/cleanup.h"

#include <stddef.h>

struct queue;

/** Returns 0, or -ENOMEM. `capacity` is at least 1. */
int queue_new(size_t capacity, struct queue **ret_queue);
/** NULL is fine. Items still inside are not touched. No thread may be waiting. */
void queue_free(struct queue *q);
CLEANUP_DEFINE(struct queue, queue_free)
/** Append, waiting for room. Returns 0, or -ECANCELED when the queue is closed (item not taken). */
int queue_push(struct queue *q, void *item);
/** Take the oldest, waiting for one. Returns 0, or -ECANCELED when closed and empty. */
int queue_pop(struct queue *q, void **ret_item);
/** Take the oldest if there is one. Returns 0, -EAGAIN, or -ECANCELED when closed and empty. */
int queue_try_pop(struct queue *q, void **ret_item);
/** Refuse writers from now on and let readers drain. May be called twice. */
void queue_close(struct queue *q);

#endif
