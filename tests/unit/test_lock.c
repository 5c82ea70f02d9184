/* SPDX-License-Identifier: MIT */
#include "store/base/lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct lock low, high;

/* Run a body in a child and tell whether an assertion ended it. */
static bool aborts(void (*body)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit none = { 0 };

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(SIGABRT, SIG_DFL);
		(void)close(STDERR_FILENO);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void ascend(void)
{
	lock_take(&low);
	lock_take(&high);
	lock_drop(&high);
	lock_take(&high);
	lock_drop(&high);
	lock_drop(&low);
	lock_take(&low);
	lock_drop(&low);
}

static void descend(void)
{
	lock_take(&high);
	lock_take(&low);
}

static void take_twice(void)
{
	lock_take(&low);
	lock_take(&low);
}

static void drop_older_first(void)
{
	lock_take(&low);
	lock_take(&high);
	lock_drop(&low);
}

static void test_ranks_may_only_rise(void **state)
{
	(void)state;
	assert_false(aborts(ascend));
	assert_true(aborts(descend));
	assert_true(aborts(take_twice));
	assert_true(aborts(drop_older_first));
}

static void test_a_scope_ends_its_lock(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		LOCK_SCOPE(&low);
		{
			LOCK_SCOPE(&high);
		}
	}
	assert_int_equal(pthread_mutex_trylock(&low.mutex), 0);
	assert_int_equal(pthread_mutex_unlock(&low.mutex), 0);
}

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *other_thread(void *arg)
{
	(void)arg;
	LOCK_SCOPE(&high); /* without `low` below it: another previous rank */
	turn = 1;
	(void)pthread_cond_signal(&changed);
	while (turn != 2)
		lock_wait(&high, &changed);
	return NULL;
}

static void test_waiting_restores_the_rank_below(void **state)
{
	pthread_t thread;

	(void)state;
	lock_take(&low);
	lock_take(&high);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
	while (turn != 1)
		lock_wait(&high, &changed);
	turn = 2;
	(void)pthread_cond_signal(&changed);
	lock_drop(&high);
	lock_take(&high); /* fails unless the rank of `low` was restored */
	lock_drop(&high);
	lock_drop(&low);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static int start(void **state)
{
	(void)state;
	lock_init(&low, LOCK_RANK_CACHE);
	lock_init(&high, LOCK_RANK_LEAF);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	lock_done(&low);
	lock_done(&high);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks_may_only_rise),
		cmocka_unit_test(test_a_scope_ends_its_lock),
		cmocka_unit_test(test_waiting_restores_the_rank_below),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
