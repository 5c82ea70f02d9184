/* SPDX-License-Identifier: MIT */
#include "store/base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define N_ITEMS 20000

static void test_items_leave_in_the_order_they_came(void **state)
{
	CLEANUP(queue_free_ptr) struct queue *q = NULL;
	int items[5];
	void *item;

	(void)state;
	assert_int_equal(queue_new(3, &q), 0);
	assert_int_equal(queue_try_pop(q, &item), -EAGAIN);
	for (int turn = 0; turn < 4; turn++) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(queue_push(q, &items[i]), 0);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(queue_pop(q, &item), 0);
			assert_ptr_equal(item, &items[i]);
		}
		assert_int_equal(queue_try_pop(q, &item), 0);
		assert_ptr_equal(item, &items[2]);
	}
}

static void test_a_closed_queue_refuses_writers_and_is_drained(void **state)
{
	CLEANUP(queue_free_ptr) struct queue *q = NULL;
	int a;
	void *item;

	(void)state;
	assert_int_equal(queue_new(2, &q), 0);
	assert_int_equal(queue_push(q, &a), 0);
	queue_close(q);
	queue_close(q);
	assert_int_equal(queue_push(q, &a), -ECANCELED);
	assert_int_equal(queue_pop(q, &item), 0);
	assert_ptr_equal(item, &a);
	assert_int_equal(queue_pop(q, &item), -ECANCELED);
	assert_int_equal(queue_try_pop(q, &item), -ECANCELED);
}

static _Atomic uint64_t sum;
static _Atomic uint64_t n_popped;

static void *write_items(void *arg)
{
	for (uintptr_t i = 1; i <= N_ITEMS; i++) {
		if (queue_push(arg, (void *)i) < 0)
			break;
	}
	return NULL;
}

static void *read_items(void *arg)
{
	void *item;

	while (queue_pop(arg, &item) == 0) {
		sum += (uintptr_t)item;
		n_popped++;
	}
	return NULL;
}

static void test_nothing_is_lost_among_many_threads(void **state)
{
	CLEANUP(queue_free_ptr) struct queue *q = NULL;
	pthread_t writers[3], readers[3];

	(void)state;
	assert_int_equal(queue_new(4, &q), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&writers[i], NULL, write_items, q), 0);
		assert_int_equal(pthread_create(&readers[i], NULL, read_items, q), 0);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(writers[i], NULL), 0);
	queue_close(q);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(readers[i], NULL), 0);
	assert_true(n_popped == 3 * N_ITEMS);
	assert_true(sum == 3ull * N_ITEMS * (N_ITEMS + 1) / 2);
}

static void *push_until_refused(void *arg)
{
	int item;

	while (queue_push(arg, &item) == 0)
		;
	return NULL;
}

static void test_closing_wakes_a_blocked_writer(void **state)
{
	CLEANUP(queue_free_ptr) struct queue *q = NULL;
	pthread_t writer;

	(void)state;
	assert_int_equal(queue_new(1, &q), 0);
	assert_int_equal(pthread_create(&writer, NULL, push_until_refused, q), 0);
	(void)usleep(10000);
	queue_close(q);
	assert_int_equal(pthread_join(writer, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_leave_in_the_order_they_came),
		cmocka_unit_test(test_a_closed_queue_refuses_writers_and_is_drained),
		cmocka_unit_test(test_nothing_is_lost_among_many_threads),
		cmocka_unit_test(test_closing_wakes_a_blocked_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
