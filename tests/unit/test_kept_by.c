/* SPDX-License-Identifier: MIT */
#include "tools/kept_by.h"

#include "timeline_fixture.h"

#include <errno.h>
#include <stdlib.h>

#define S 1000000000LL
#define HOUR (3600 * S)
#define T0 (1714564800LL * S)

static struct retention_policy policy_of(const char *text)
{
	struct retention_policy policy = { 0 };
	char *bad = NULL;

	assert_int_equal(retention_parse(text, &policy, &bad), 0);
	return policy;
}

static void expect(struct kept_by *k, uint64_t seq, const char *name, const char *wanted)
{
	struct snapshot_info info = { .seq = seq };
	CLEANUP(free_ptr) char *got = kept_by_xattr(k, &info, name);

	if (!wanted) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, wanted);
}

static void test_each_snapshot_says_what_keeps_it(void **state)
{
	struct retention_policy policy = policy_of("all for 2h, yearly"), none = { 0 };
	struct fixture *f = fixture_open();
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	CLEANUP(kept_by_free_ptr) struct kept_by *k = NULL;
	struct snapshot_info info = { .seq = 3 };
	CLEANUP(free_ptr) char *expires = NULL;

	(void)state;
	assert_int_equal(timeline_choose(f->store, NULL, &t), 0);
	for (int i = 0; i < 5; i++)
		fixture_append(t, T0 + i * HOUR, i == 0 ? "golden" : NULL, NULL, NULL);
	assert_int_equal(kept_by_new(t, &policy, &k), 0);
	expect(k, 1, "kept-by", "tag golden");
	expect(k, 1, "expires", "never");
	expect(k, 2, "kept-by", "no rule");
	expect(k, 3, "kept-by", "all for 2h");
	expect(k, 5, "kept-by", "latest");
	expect(k, 5, "expires", NULL);
	expect(k, 5, "consistency", NULL);
	expect(k, 9, "kept-by", NULL);
	expires = kept_by_xattr(k, &info, "expires");
	assert_non_null(expires);
	assert_non_null(strchr(expires, 'T'));

	/* A new snapshot, and another policy, are noticed at once. */
	fixture_append(t, T0 + 5 * HOUR, NULL, NULL, NULL);
	expect(k, 3, "kept-by", "no rule");
	expect(k, 5, "kept-by", "all for 2h");
	policy = policy_of("last 4");
	kept_by_set(k, &policy);
	expect(k, 3, "kept-by", "last 4");
	expect(k, 3, "expires", NULL);
	kept_by_set(k, &none);
	expect(k, 3, "kept-by", "no policy");
	expect(k, 3, "expires", "never");
	kept_by_free(STEAL(k));
	timeline_close(STEAL(t));
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_snapshot_says_what_keeps_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
