/* SPDX-License-Identifier: MIT */
#include "snapshots/bundle.h"
#include "store/limits.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TARGET KIB(64)
#define BUNDLES_MAX 256

/* Closed bundles, in order; sealed at once with a made-up id. */
struct sink {
	size_t n;
	size_t sizes[BUNDLES_MAX];
	uint8_t first[BUNDLES_MAX]; /* first byte of each */
	struct bundle *kept;        /* with `hold`: not sealed yet */
	bool hold;
	int failure;
};

static struct chunk_id chunk_number(size_t n)
{
	struct chunk_id id = { { 0xcc } };

	id.bytes[1] = (uint8_t)n;
	return id;
}

static int take(void *context, struct bundle *b)
{
	struct sink *s = context;
	struct chunk_id id = chunk_number(s->n);
	const uint8_t *data;

	if (s->failure) {
		bundle_unref(b);
		return s->failure;
	}
	assert_true(s->n < BUNDLES_MAX);
	data = bundle_data(b, &s->sizes[s->n]);
	s->first[s->n++] = data[0];
	if (s->hold) {
		s->kept = b;
		return 0;
	}
	bundle_sealed(b, 0, &id);
	bundle_unref(b);
	return 0;
}

/* File number n: its id decides about cuts by its last byte. */
static struct chunk_id file_id(uint32_t n, uint8_t last)
{
	struct chunk_id id = { 0 };

	memcpy(id.bytes, &n, sizeof(n));
	id.bytes[31] = last;
	return id;
}

static struct bundle_place add(struct bundler *b, uint32_t n, uint8_t last, size_t length)
{
	struct chunk_id id = file_id(n, last);
	struct bundle_place place;
	uint8_t data[TARGET];

	assert_true(length <= sizeof(data));
	memset(data, (int)n, length);
	assert_int_equal(bundler_add(b, &id, data, length, &place), 0);
	return place;
}

static void drop(struct bundle_place place)
{
	bundle_unref(place.bundle);
}

static void test_files_lie_one_after_another(void **state)
{
	struct sink sink = { 0 };
	struct bundle_place a, c;
	struct bundler *b;
	struct chunk_id id, zero = chunk_number(0);

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	assert_false(bundler_is_open(b));
	a = add(b, 1, 1, 100);
	c = add(b, 2, 1, 50);
	assert_true(bundler_is_open(b));
	assert_int_equal(a.offset, 0);
	assert_int_equal(c.offset, 100);
	assert_ptr_equal(a.bundle, c.bundle);
	assert_int_equal(sink.n, 0);
	assert_int_equal(bundler_close(b), 0);
	assert_int_equal(bundler_close(b), 0); /* nothing left to close */
	assert_int_equal(sink.n, 1);
	assert_int_equal(sink.sizes[0], 150);
	assert_int_equal(bundle_wait(c.bundle, &id), 0);
	assert_memory_equal(&id, &zero, sizeof(id));
	drop(a);
	drop(c);
	bundler_free(b);
}

static void test_a_full_bundle_is_closed(void **state)
{
	struct sink sink = { 0 };
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	for (uint32_t i = 0; i < 1000; i++)
		drop(add(b, i, 1, 1000)); /* no id asks for a cut */
	assert_int_equal(bundler_close(b), 0);
	assert_in_range(sink.n, 1000 * 1000 / TARGET, 1000 * 1000 / TARGET + 2);
	for (size_t i = 0; i < sink.n; i++)
		assert_in_range(sink.sizes[i], 1, TARGET + 1000);
	bundler_free(b);
}

/* Bundles begin at the same files soon after the streams have become equal. */
static void test_equal_trees_give_equal_bundles(void **state)
{
	struct sink sinks[2] = { 0 };
	size_t i = 0;

	(void)state;
	for (uint32_t run = 0; run < 2; run++) {
		struct bundler *b;

		assert_int_equal(bundler_new(TARGET, take, &sinks[run], &b), 0);
		for (uint32_t n = 0; n < 7 * run; n++)
			drop(add(b, 100000 + n, 1, 3000)); /* one of them has more in front */
		for (uint32_t n = 0; n < 1000; n++)
			drop(add(b, n, (uint8_t)(n * 2654435761u >> 13), 2000));
		assert_int_equal(bundler_close(b), 0);
		bundler_free(b);
	}
	while (i < 20 && (sinks[0].first[sinks[0].n - 1 - i] == sinks[1].first[sinks[1].n - 1 - i]))
		i++;
	assert_int_equal(i, 20);
}

static void test_identical_files_are_found(void **state)
{
	struct sink sink = { 0 };
	struct chunk_id id = file_id(1, 1), other = file_id(2, 1);
	struct bundle_place place, found;
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	assert_false(bundler_find(b, &id, &found));
	drop(add(b, 7, 1, 10));
	place = add(b, 1, 1, 10);
	assert_true(bundler_find(b, &id, &found));
	assert_ptr_equal(found.bundle, place.bundle);
	assert_int_equal(found.offset, 10);
	drop(found);
	drop(place);
	assert_int_equal(bundler_close(b), 0);
	assert_true(bundler_find(b, &id, &found)); /* closed: still known */
	drop(found);
	assert_false(bundler_find(b, &other, &found));
	bundler_free(b);
}

static void test_places_of_the_last_snapshot_are_found(void **state)
{
	struct chunk_id id = file_id(3, 1), chunk = chunk_number(9);
	struct bundle_place found;
	struct sink sink = { 0 };
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	bundler_note(b, &id, &chunk, 4711);
	assert_true(bundler_find(b, &id, &found));
	assert_null(found.bundle);
	assert_memory_equal(&found.chunk, &chunk, sizeof(chunk));
	assert_int_equal(found.offset, 4711);
	bundler_free(b);
}

static void test_a_failed_submit_reaches_who_waits(void **state)
{
	struct sink sink = { .failure = -EIO };
	struct bundle_place place;
	struct chunk_id id;
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	place = add(b, 1, 1, 10);
	assert_int_equal(bundler_close(b), -EIO);
	assert_int_equal(bundle_wait(place.bundle, &id), -EIO);
	drop(place);
	bundler_free(b);
}

static void test_the_end_of_the_bundler_wakes_who_waits(void **state)
{
	struct sink sink = { 0 };
	struct bundle_place place;
	struct chunk_id id;
	struct bundler *b;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	place = add(b, 1, 1, 10);
	bundler_free(b);
	assert_int_equal(bundle_wait(place.bundle, &id), -ECANCELED);
	drop(place);
}

static void *wait_for(void *bundle)
{
	static struct chunk_id id;

	return bundle_wait(bundle, &id) == 0 ? &id : NULL;
}

static void test_waiting_ends_when_it_is_sealed(void **state)
{
	struct sink sink = { .hold = true };
	struct chunk_id id = chunk_number(5);
	struct bundle_place place;
	pthread_t thread;
	struct bundler *b;
	void *got;

	(void)state;
	assert_int_equal(bundler_new(TARGET, take, &sink, &b), 0);
	place = add(b, 1, 1, 10);
	assert_int_equal(bundler_close(b), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for, place.bundle), 0);
	bundle_sealed(sink.kept, 0, &id);
	assert_int_equal(pthread_join(thread, &got), 0);
	assert_non_null(got);
	assert_memory_equal(got, &id, sizeof(id));
	bundle_unref(sink.kept);
	drop(place);
	bundler_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_lie_one_after_another),
		cmocka_unit_test(test_a_full_bundle_is_closed),
		cmocka_unit_test(test_equal_trees_give_equal_bundles),
		cmocka_unit_test(test_identical_files_are_found),
		cmocka_unit_test(test_places_of_the_last_snapshot_are_found),
		cmocka_unit_test(test_a_failed_submit_reaches_who_waits),
		cmocka_unit_test(test_the_end_of_the_bundler_wakes_who_waits),
		cmocka_unit_test(test_waiting_ends_when_it_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
