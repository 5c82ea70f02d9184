/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/live_set.h"

#include <string.h>

static struct chunk_id id_number(uint64_t n)
{
	struct chunk_id id = { 0 };
	uint64_t mixed = n * 0x9e3779b97f4a7c15u;

	memcpy(id.bytes, &mixed, sizeof(mixed));
	memcpy(id.bytes + 8, &n, sizeof(n));
	return id;
}

static void test_what_was_added_is_in(void **state)
{
	static const size_t sizes[] = { 8, 16 };

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		struct live_set set = { .key_bytes = sizes[s] };

		for (uint64_t i = 0; i < 20000; i++) {
			struct chunk_id id = id_number(i);

			assert_int_equal(live_set_add(&set, &id), 1);
		}
		assert_int_equal(set.n, 20000);
		for (uint64_t i = 0; i < 40000; i++) {
			struct chunk_id id = id_number(i);

			assert_int_equal(live_set_has(&set, &id), i < 20000);
		}
		for (uint64_t i = 0; i < 20000; i++) {
			struct chunk_id id = id_number(i);

			assert_int_equal(live_set_add(&set, &id), 0);
		}
		live_set_done(&set);
		assert_int_equal(set.n, 0);
	}
}

static void test_nothing_is_in_an_empty_set(void **state)
{
	struct live_set set = { .key_bytes = 16 };
	struct chunk_id id = id_number(1);

	(void)state;
	assert_false(live_set_has(&set, &id));
}

/* Zeros mark an empty slot. */
static void test_an_id_of_zeros_is_one_like_others(void **state)
{
	struct live_set set = { .key_bytes = 8 };
	struct chunk_id zero = { 0 };

	(void)state;
	assert_int_equal(live_set_add(&set, &zero), 1);
	assert_int_equal(live_set_add(&set, &zero), 0);
	assert_true(live_set_has(&set, &zero));
	live_set_done(&set);
}

static void test_it_stays_within_its_memory(void **state)
{
	struct live_set set = { .key_bytes = 8 };

	(void)state;
	for (uint64_t i = 0; i < 1000000; i++) {
		struct chunk_id id = id_number(i);

		assert_int_equal(live_set_add(&set, &id), 1);
	}
	assert_true(set.n_slots * set.key_bytes <= 16u << 20);
	live_set_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_added_is_in),
		cmocka_unit_test(test_nothing_is_in_an_empty_set),
		cmocka_unit_test(test_an_id_of_zeros_is_one_like_others),
		cmocka_unit_test(test_it_stays_within_its_memory),
	};

	return cmocka_run_group_tests_name("live_set", tests, NULL, NULL);
}
