/* SPDX-License-Identifier: MIT */
#include "store/base/lock.h"

#include <assert.h>
#include <errno.h>

/* Rank of this thread's newest lock; 0 when it holds none. */
static __thread int current_rank;

void lock_init(struct lock *l, enum lock_rank rank)
{
	int r;

	assert(rank > 0);
	r = pthread_mutex_init(&l->mutex, NULL);
	assert(r == 0);
	l->rank = rank;
	l->previous = 0;
}

void lock_done(struct lock *l)
{
	int r = pthread_mutex_destroy(&l->mutex);

	assert(r == 0);
}

void lock_take(struct lock *l)
{
	int r;

	assert((int)l->rank > current_rank);
	r = pthread_mutex_lock(&l->mutex);
	assert(r == 0);
	l->previous = current_rank;
	current_rank = (int)l->rank;
}

void lock_drop(struct lock *l)
{
	int r;

	assert(current_rank == (int)l->rank);
	current_rank = l->previous;
	r = pthread_mutex_unlock(&l->mutex);
	assert(r == 0);
}

void lock_wait(struct lock *l, pthread_cond_t *condition)
{
	/* Others hold the lock meanwhile and write their own `previous` into it. */
	const int previous = l->previous;
	int r;

	assert(current_rank == (int)l->rank);
	r = pthread_cond_wait(condition, &l->mutex);
	assert(r == 0);
	l->previous = previous;
}

bool lock_wait_until(struct lock *l, pthread_cond_t *condition, const struct timespec *until)
{
	const int previous = l->previous;
	int r;

	assert(current_rank == (int)l->rank);
	r = pthread_cond_clockwait(condition, &l->mutex, CLOCK_MONOTONIC, until);
	assert(r == 0 || r == ETIMEDOUT);
	l->previous = previous;
	return r == 0;
}
