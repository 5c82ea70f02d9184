/* SPDX-License-Identifier: MIT */
#include "store/base/queue.h"

#include "store/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* Invariants: n <= capacity; the oldest item is items[first]; `closed` never goes back. */
struct queue {
	struct lock lock; /* guards all below but capacity */
	pthread_cond_t has_items;
	pthread_cond_t has_room;
	size_t capacity;
	size_t first;
	size_t n;
	bool closed;
	void *items[];
};

int queue_new(size_t capacity, struct queue **ret_queue)
{
	struct queue *q;
	int r;

	assert(capacity >= 1);
	assert(ret_queue);
	if (capacity > (SIZE_MAX - sizeof(*q)) / sizeof(q->items[0]))
		return -ENOMEM;
	q = calloc(1, sizeof(*q) + capacity * sizeof(q->items[0]));
	if (!q)
		return -ENOMEM;
	q->capacity = capacity;
	lock_init(&q->lock, LOCK_RANK_QUEUE);
	r = pthread_cond_init(&q->has_items, NULL);
	assert(r == 0);
	r = pthread_cond_init(&q->has_room, NULL);
	assert(r == 0);
	*ret_queue = q;
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	(void)pthread_cond_destroy(&q->has_items);
	(void)pthread_cond_destroy(&q->has_room);
	lock_done(&q->lock);
	free(q);
}

int queue_push(struct queue *q, void *item)
{
	LOCK_SCOPE(&q->lock);
	while (q->n == q->capacity && !q->closed)
		lock_wait(&q->lock, &q->has_room);
	if (q->closed)
		return -ECANCELED;
	q->items[(q->first + q->n) % q->capacity] = item;
	q->n++;
	(void)pthread_cond_signal(&q->has_items);
	return 0;
}

/* Called with the lock held and n > 0. */
static void *take_oldest(struct queue *q)
{
	void *item = q->items[q->first];

	q->first = (q->first + 1) % q->capacity;
	q->n--;
	(void)pthread_cond_signal(&q->has_room);
	return item;
}

int queue_pop(struct queue *q, void **ret_item)
{
	LOCK_SCOPE(&q->lock);
	while (q->n == 0 && !q->closed)
		lock_wait(&q->lock, &q->has_items);
	if (q->n == 0)
		return -ECANCELED;
	*ret_item = take_oldest(q);
	return 0;
}

int queue_try_pop(struct queue *q, void **ret_item)
{
	LOCK_SCOPE(&q->lock);
	if (q->n == 0)
		return q->closed ? -ECANCELED : -EAGAIN;
	*ret_item = take_oldest(q);
	return 0;
}

void queue_close(struct queue *q)
{
	LOCK_SCOPE(&q->lock);
	q->closed = true;
	(void)pthread_cond_broadcast(&q->has_items);
	(void)pthread_cond_broadcast(&q->has_room);
}
