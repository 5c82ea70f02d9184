/* SPDX-License-Identifier: MIT */
#include "snapshots/retention.h"

#include "timeline_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define S 1000000000LL
#define MIN (60 * S)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
/* Wednesday 2024-05-01 12:00 UTC. */
#define NOON (1714564800LL * S)
#define N_MAX 4000

static struct retention_item items[N_MAX];
static struct retention_verdict verdicts[N_MAX];
static size_t n_items;

static int setup(void **state)
{
	(void)state;
	n_items = 0;
	setenv("TZ", "UTC0", 1);
	tzset();
	return 0;
}

static void add_tagged(int64_t time_ns, const char *tags)
{
	assert_true(n_items < N_MAX);
	items[n_items] = (struct retention_item){ n_items + 1, time_ns, tags };
	n_items++;
}

static void add(int64_t time_ns)
{
	add_tagged(time_ns, "");
}

/* n snapshots `step` apart, the last one at `end`. */
static void add_run(int64_t end_ns, size_t n, int64_t step_ns)
{
	for (size_t i = n; i-- > 0;)
		add(end_ns - (int64_t)i * step_ns);
}

static struct retention_policy policy_of(const char *text)
{
	struct retention_policy policy = { 0 };
	char *bad = NULL;

	if (retention_parse(text, &policy, &bad) < 0)
		fail_msg("%s", bad);
	return policy;
}

static void evaluate_at(const char *text, int64_t now_ns)
{
	struct retention_policy policy = policy_of(text);

	assert_int_equal(retention_evaluate(&policy, items, n_items, now_ns, verdicts), 0);
}

static void evaluate(const char *text)
{
	evaluate_at(text, items[n_items - 1].time_ns);
}

static size_t kept_from(size_t first, size_t end)
{
	size_t n = 0;

	for (size_t i = first; i < end; i++)
		n += verdicts[i].keep;
	return n;
}

static size_t kept(void)
{
	return kept_from(0, n_items);
}

/* ---- the grammar ---- */

static void test_the_default_policy_parses(void **state)
{
	struct retention_policy p = policy_of(RETENTION_DEFAULT);

	(void)state;
	assert_int_equal(p.n_rules, 6);
	assert_int_equal(p.rules[0].slot, SLOT_ALL);
	assert_int_equal(p.rules[0].for_ns, HOUR);
	assert_int_equal(p.rules[1].slot, SLOT_SECONDS);
	assert_int_equal(p.rules[1].seconds, 600);
	assert_int_equal(p.rules[1].for_ns, DAY);
	assert_string_equal(p.rules[2].text, "hourly for 7d");
	assert_int_equal(p.rules[2].seconds, 3600);
	assert_int_equal(p.rules[3].slot, SLOT_DAY);
	assert_int_equal(p.rules[3].for_ns, 93 * DAY);
	assert_int_equal(p.rules[4].slot, SLOT_WEEK);
	assert_int_equal(p.rules[4].for_ns, 366 * DAY);
	assert_int_equal(p.rules[5].slot, SLOT_MONTH);
	assert_int_equal(p.rules[5].for_ns, 0);
}

static void test_every_rule_and_spelling_is_understood(void **state)
{
	struct retention_policy p = policy_of(
		"  ALL for 90 seconds ,every 2 hours for 3 months, every 1d, every week for "
		"1 y,yearly for ever, last 10, tag before-upgrade_2 ");

	(void)state;
	assert_int_equal(p.n_rules, 7);
	assert_int_equal(p.rules[0].for_ns, 90 * S);
	assert_string_equal(p.rules[0].text, "ALL for 90 seconds");
	assert_int_equal(p.rules[1].seconds, 7200);
	assert_int_equal(p.rules[1].for_ns, 93 * DAY);
	assert_int_equal(p.rules[2].slot, SLOT_DAY);
	assert_int_equal(p.rules[3].slot, SLOT_WEEK);
	assert_int_equal(p.rules[4].slot, SLOT_YEAR);
	assert_int_equal(p.rules[4].for_ns, 0);
	assert_int_equal(p.rules[5].count, 10);
	assert_string_equal(p.rules[6].tag, "before-upgrade_2");
}

static void test_what_is_wrong_is_named_and_nothing_is_added(void **state)
{
	static const char *const bad[] = {
		"",
		"hourli",
		"hourly,",
		"all for",
		"all for x",
		"all for 0d",
		"all for 5 parsecs",
		"all for -3d",
		"every",
		"every 2mo",
		"every 0min",
		"last",
		"last 0",
		"last -1",
		"last 10 eggs",
		"last 99999999999999999999",
		"tag",
		"tag a b",
		"tag -x",
		"for 1h",
		"all for 999999999y",
		"every 99999999d",
		"daily 7",
		"a rule that nobody would ever want to write down since it is so long that it has "
		"no "
		"end",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct retention_policy p = { 0 };
		char *text = NULL;
		char both[256];

		assert_int_equal(retention_parse(bad[i], &p, &text), -EINVAL);
		assert_non_null(text);
		free(text);
		text = NULL;
		(void)snprintf(both, sizeof(both), "daily, %s", bad[i]);
		assert_int_equal(retention_parse(both, &p, &text), -EINVAL);
		assert_int_equal(p.n_rules, 0);
		free(text);
	}
}

static void test_more_rules_than_fit_are_refused(void **state)
{
	struct retention_policy p = { 0 };
	char *bad = NULL;

	(void)state;
	for (int i = 0; i < RETENTION_RULES_MAX; i++)
		assert_int_equal(retention_parse("daily", &p, &bad), 0);
	assert_int_equal(retention_parse("daily", &p, &bad), -E2BIG);
	assert_non_null(bad);
	free(bad);
	assert_int_equal(p.n_rules, RETENTION_RULES_MAX);
	assert_int_equal(retention_add_count(&p, SLOT_DAY, 0, 3, "x"), -E2BIG);
}

/* ---- an honest clock ---- */

static void test_a_slot_keeps_its_last(void **state)
{
	(void)state;
	add_run(NOON - MIN, 360, MIN); /* 06:00 to 11:59 */
	evaluate("hourly for 1d");
	assert_int_equal(kept(), 6);
	for (size_t i = 0; i < n_items; i++)
		assert_int_equal(verdicts[i].keep, i % 60 == 59);
	assert_string_equal(verdicts[59].rule, "hourly for 1d");
	assert_string_equal(verdicts[359].rule, "latest");
	assert_string_equal(verdicts[0].rule, "");
}

static void test_the_default_policy_thins_by_age(void **state)
{
	(void)state;
	add_run(NOON, 100 * 24, HOUR);
	add_run(NOON + 2 * HOUR, 120, MIN);
	evaluate(RETENTION_DEFAULT);
	/* The last hour whole, then one per ten minutes. */
	assert_int_equal(kept_from(n_items - 61, n_items), 61);
	assert_int_equal(kept_from(n_items - 120, n_items - 61), 6);
	/* Hourly for a week; the one of noon gave its slot to later ones. */
	assert_int_equal(kept_from(2400 - 160, 2400), 159);
	/* Daily behind it. */
	assert_int_equal(kept_from(2233 - 240, 2233), 10);
}

static void test_thinning_step_by_step_keeps_what_thinning_at_once_keeps(void **state)
{
	struct retention_policy policy = policy_of(RETENTION_DEFAULT);
	static bool at_once[N_MAX];
	static struct retention_item left[N_MAX];
	size_t n_left = 0, n_at_once;

	(void)state;
	add_run(NOON, N_MAX, 47 * MIN);
	evaluate(RETENTION_DEFAULT);
	n_at_once = kept();
	for (size_t i = 0; i < n_items; i++)
		at_once[i] = verdicts[i].keep;
	for (size_t i = 0; i < n_items; i++) {
		size_t n = 0;

		left[n_left++] = items[i];
		if (i % 40 && i + 1 < n_items)
			continue;
		assert_int_equal(retention_evaluate(&policy, left, n_left, NOON, verdicts), 0);
		for (size_t k = 0; k < n_left; k++)
			if (verdicts[k].keep)
				left[n++] = left[k];
		n_left = n;
	}
	for (size_t i = 0, k = 0; i < n_items; i++)
		if (at_once[i]) {
			while (k < n_left && left[k].seq < items[i].seq)
				k++;
			assert_true(k < n_left && left[k].seq == items[i].seq);
		}
	/* Nor does much more stay: the same but for what shorter silences kept a little longer. */
	assert_in_range(n_left, n_at_once, n_at_once + 4);
}

static void test_counts_keep_so_many_slots_that_have_snapshots(void **state)
{
	struct retention_policy policy = { 0 };

	(void)state;
	for (int i = 9; i >= 0; i--) {
		add(NOON - i * 3 * DAY - HOUR);
		add(NOON - i * 3 * DAY);
	}
	assert_int_equal(retention_add_count(&policy, SLOT_DAY, 0, 4, "daily 4"), 0);
	assert_int_equal(retention_evaluate(&policy, items, n_items, NOON, verdicts), 0);
	assert_int_equal(kept(), 4);
	assert_true(verdicts[n_items - 3].keep);
	assert_false(verdicts[n_items - 2].keep);
	assert_string_equal(verdicts[n_items - 3].rule, "daily 4");
	assert_true(verdicts[n_items - 3].expires_ns == INT64_MAX);
	evaluate("last 5");
	assert_int_equal(kept(), 5);
	assert_int_equal(kept_from(n_items - 5, n_items), 5);
}

static void test_weeks_begin_on_monday(void **state)
{
	(void)state;
	add(NOON - 4 * DAY); /* Saturday */
	add(NOON - 3 * DAY); /* Sunday */
	add(NOON - 2 * DAY); /* Monday */
	add(NOON - DAY);     /* Tuesday */
	evaluate("weekly");
	assert_false(verdicts[0].keep);
	assert_true(verdicts[1].keep);
	assert_false(verdicts[2].keep);
	assert_true(verdicts[3].keep);
}

static void test_months_and_years_follow_the_calendar_before_1970_too(void **state)
{
	int64_t start = -40 * YEAR;

	(void)state;
	for (int i = 0; i < 2 * 365; i++)
		add(start + i * DAY);
	evaluate("monthly");
	assert_in_range(kept(), 24, 26);
	evaluate("yearly");
	assert_in_range(kept(), 2, 3);
	evaluate("daily");
	assert_int_equal(kept(), 730);
}

static void test_days_are_local_and_no_hour_is_lost_when_clocks_go_back(void **state)
{
	/* Berlin, 2024-10-27: 03:00 summer time becomes 02:00 at 01:00 UTC. */
	int64_t change = 1729990800LL * S;

	(void)state;
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	for (int i = -60; i < 60; i += 10)
		add(change + i * MIN);
	evaluate("hourly");
	assert_true(verdicts[5].keep); /* 02:50 the first time */
	assert_true(verdicts[11].keep);
	assert_int_equal(kept(), 2);
	n_items = 0;
	add(change - 3 * HOUR - MIN); /* 23:59 of the day before */
	add(change - 3 * HOUR);       /* 00:00 */
	add(change + 21 * HOUR);      /* 23:00 of a day of 25 hours */
	evaluate("daily");
	assert_true(verdicts[0].keep);
	assert_false(verdicts[1].keep);
}

static void test_tags_pin(void **state)
{
	(void)state;
	add_tagged(NOON - 5 * DAY, "first,keepme");
	add_tagged(NOON - 4 * DAY, "other");
	add(NOON - 3 * DAY);
	add(NOON);
	evaluate("last 1");
	assert_true(verdicts[0].keep);
	assert_string_equal(verdicts[0].rule, "tag first");
	assert_true(verdicts[0].expires_ns == INT64_MAX);
	assert_true(verdicts[1].keep);
	assert_false(verdicts[2].keep);
	/* A policy that names tags means those. */
	evaluate("last 1, tag keepme");
	assert_true(verdicts[0].keep);
	assert_string_equal(verdicts[0].rule, "tag keepme");
	assert_false(verdicts[1].keep);
	evaluate("last 1, tag keep");
	assert_false(verdicts[0].keep);
}

static void test_expiry_is_when_the_last_rule_lets_go(void **state)
{
	(void)state;
	add_run(NOON, 25, HOUR);
	evaluate_at("all for 2h, hourly for 7d, daily for 30d", NOON + MIN);
	assert_string_equal(verdicts[0].rule, "hourly for 7d");
	assert_true(verdicts[0].expires_ns == NOON + MIN + 6 * DAY);
	/* 23:00, the last of its day. */
	assert_string_equal(verdicts[11].rule, "daily for 30d");
	assert_true(verdicts[11].expires_ns == NOON + MIN + 30 * DAY - 13 * HOUR);
	assert_true(verdicts[24].expires_ns == INT64_MAX);
	evaluate_at("last 1", NOON + MIN);
	assert_false(verdicts[0].keep);
	assert_true(verdicts[0].expires_ns == NOON + MIN);
}

static void test_the_newest_stays_whatever_the_policy_says(void **state)
{
	struct retention_policy none = { 0 };

	(void)state;
	assert_int_equal(retention_evaluate(&none, items, 0, NOON, verdicts), 0);
	add_run(NOON, 3, DAY);
	assert_int_equal(retention_evaluate(&none, items, n_items, NOON, verdicts), 0);
	assert_int_equal(kept(), 1);
	assert_true(verdicts[2].keep);
}

/* ---- clocks that are wrong ---- */

/* What a policy keeps of a day of snapshots, one a minute, and of the week before, hourly. */
static void add_history(void)
{
	add_run(NOON - DAY, 6 * 24, HOUR);
	add_run(NOON, 1440, MIN);
}

static void expect_same(const bool *expected, size_t n, size_t allowed)
{
	size_t lost = 0;

	for (size_t i = 0; i < n; i++)
		lost += expected[i] && !verdicts[i].keep;
	assert_in_range(lost, 0, allowed);
}

static bool expected[N_MAX];

static void remember(void)
{
	for (size_t i = 0; i < n_items; i++)
		expected[i] = verdicts[i].keep;
}

static void test_the_clock_of_this_moment_has_no_say(void **state)
{
	static const int64_t nows[] = { 0, INT64_MIN, INT64_MAX, NOON - YEAR, NOON + 10 * YEAR };

	(void)state;
	add_history();
	evaluate(RETENTION_DEFAULT);
	remember();
	for (size_t k = 0; k < sizeof(nows) / sizeof(nows[0]); k++) {
		evaluate_at(RETENTION_DEFAULT, nows[k]);
		for (size_t i = 0; i < n_items; i++)
			assert_int_equal(verdicts[i].keep, expected[i]);
	}
}

static void test_one_snapshot_ten_years_ahead_costs_nothing(void **state)
{
	size_t n;

	(void)state;
	add_history();
	evaluate(RETENTION_DEFAULT);
	remember();
	n = n_items;
	/* Thinned at once, while the clock is still wrong: ten years count as one hour, so what a
	 * rule would have let go within the hour goes. */
	add(NOON + 10 * YEAR);
	evaluate(RETENTION_DEFAULT);
	expect_same(expected, n - 121, 6);
	assert_int_equal(kept_from(n - 121, n), 61 / 10 * 2 + 1);
	/* Clock corrected. */
	add(NOON + MIN);
	evaluate(RETENTION_DEFAULT);
	expect_same(expected, n - 60, 2);
	add(NOON + 2 * MIN);
	evaluate(RETENTION_DEFAULT);
	expect_same(expected, n - 60, 2);
	assert_int_equal(kept_from(n - 50, n), 50);
}

static void test_one_snapshot_in_1970_costs_nothing(void **state)
{
	size_t n;

	(void)state;
	add_history();
	evaluate(RETENTION_DEFAULT);
	remember();
	n = n_items;
	add(5 * S);
	evaluate(RETENTION_DEFAULT);
	expect_same(expected, n, 1);
	add(NOON + MIN);
	evaluate(RETENTION_DEFAULT);
	expect_same(expected, n, 3);
	assert_true(verdicts[n].keep);
}

static void test_an_hour_with_a_wrong_clock_keeps_its_shape(void **state)
{
	(void)state;
	/* Two hours of the past, one with a clock ten years ahead, then right again. */
	add_run(NOON, 120, MIN);
	add_run(NOON + 10 * YEAR, 60, MIN);
	add_run(NOON + 3 * HOUR, 120, MIN);
	evaluate("all for 1h, every 10min for 1d");
	/* It lies between the two, ten minutes apart, like everything else. */
	assert_in_range(kept_from(120, 180), 6, 8);
	assert_in_range(kept_from(0, 120), 12, 13);
	assert_int_equal(kept_from(300 - 61, 300), 61);
}

static void test_a_long_time_ahead_and_back_loses_nothing_good(void **state)
{
	size_t n;

	(void)state;
	add_run(NOON, 300, MIN);
	evaluate("all for 1h, every 10min for 1d, daily");
	remember();
	n = n_items;
	add_run(NOON + 10 * YEAR, 30, MIN);
	evaluate("all for 1h, every 10min for 1d, daily");
	assert_in_range(kept_from(0, n), 30, 90);
	/* Corrected: the order of sequences goes on. */
	add_run(NOON + HOUR, 30, MIN);
	evaluate("all for 1h, every 10min for 1d, daily");
	assert_in_range(kept_from(0, n), 30, 90);
	assert_in_range(kept_from(n, n_items), 55, 60);
}

static void test_a_machine_that_was_off_for_a_month_finds_its_last_hour(void **state)
{
	size_t n;

	(void)state;
	add_history();
	n = n_items;
	add(NOON + 31 * DAY);
	evaluate("all for 2h, every 10min for 1d");
	assert_int_equal(kept_from(n - 61, n), 61);
	/* Whoever is sure of the clock can say so. */
	{
		struct retention_policy policy = policy_of("all for 2h, every 10min for 1d");

		policy.trust_clock = true;
		assert_int_equal(retention_evaluate(&policy, items, n_items, NOON, verdicts), 0);
		assert_int_equal(kept(), 1);
	}
	/* The silence gets its weight back while the machine runs. */
	add_run(NOON + 31 * DAY + 10 * HOUR, 600, MIN);
	evaluate("all for 2h, every 10min for 1d");
	assert_in_range(kept_from(n - 600, n), 20, 32);
	n = n_items;
	add_run(NOON + 62 * DAY, 31 * 24, HOUR);
	evaluate("all for 2h, hourly for 7d, daily for 40d");
	assert_in_range(kept_from(0, n - 601), 0, 1);
}

static void test_a_rhythm_of_days_or_weeks_is_no_silence(void **state)
{
	(void)state;
	add_run(NOON, 60, DAY);
	evaluate("all for 7d");
	assert_int_equal(kept(), 8);
	n_items = 0;
	add_run(NOON, 60, 7 * DAY);
	evaluate("all for 30d");
	assert_int_equal(kept(), 5);
}

static void test_equal_descending_and_extreme_times_are_survived(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		add(NOON);
	evaluate("all for 1h");
	assert_int_equal(kept(), 100);
	evaluate("daily");
	assert_int_equal(kept(), 1);

	n_items = 0;
	for (int i = 0; i < 100; i++)
		add(NOON - i * DAY);
	evaluate("all for 1h");
	assert_int_equal(kept(), 100);

	n_items = 0;
	for (int i = 0; i < 100; i++)
		add(i % 2 ? INT64_MAX - i : INT64_MIN + i);
	evaluate(RETENTION_DEFAULT);
	assert_true(verdicts[99].keep);

	n_items = 0;
	add(INT64_MIN);
	add(INT64_MAX);
	evaluate(RETENTION_DEFAULT);
	assert_int_equal(kept(), 2);
}

static void test_a_clock_that_jumps_to_and_fro_expires_nothing_early(void **state)
{
	size_t n;
	uint32_t seed = 7;

	(void)state;
	add_history();
	evaluate(RETENTION_DEFAULT);
	remember();
	n = n_items;
	/* Every other one is right, the others lie between 1970 and 2110. */
	for (int i = 1; i <= 40; i++) {
		seed = seed * 1664525u + 1013904223u;
		add(i % 2 ? (int64_t)(seed >> 8) % 140 * YEAR + i * MIN : NOON + i * MIN);
		evaluate(RETENTION_DEFAULT);
		/* An hour and forty minutes of ageing at the most, but for the finest end, whose
		 * hour it is. */
		expect_same(expected, n - 121, 11);
	}
	assert_int_equal(kept_from(n, n_items), 40);
}

/* ---- a timeline ---- */

static void test_a_plan_covers_a_timeline_with_its_tags(void **state)
{
	struct fixture *f = fixture_open();
	struct retention_policy policy = policy_of("last 1");
	CLEANUP(retention_plan_done) struct retention_plan plan = { 0 };
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;

	(void)state;
	assert_int_equal(timeline_choose(f->store, NULL, &t), 0);
	assert_int_equal(retention_plan_make(t, &policy, NOON, &plan), 0);
	assert_int_equal(plan.n, 0);
	retention_plan_done(&plan);
	for (int i = 0; i < 40; i++)
		fixture_append(t, NOON + i * S, i == 3 ? "golden" : NULL, NULL, NULL);
	assert_int_equal(retention_plan_make(t, &policy, NOON, &plan), 0);
	assert_int_equal(plan.n, 40);
	assert_string_equal(plan.items[3].tags, "golden");
	assert_true(retention_plan_find(&plan, 4)->keep);
	assert_false(retention_plan_find(&plan, 5)->keep);
	assert_true(retention_plan_find(&plan, 40)->keep);
	assert_null(retention_plan_find(&plan, 41));
	timeline_close(t);
	t = NULL;
	fixture_close(f);
}

#define EACH(claim) cmocka_unit_test_setup(claim, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_the_default_policy_parses),
		EACH(test_every_rule_and_spelling_is_understood),
		EACH(test_what_is_wrong_is_named_and_nothing_is_added),
		EACH(test_more_rules_than_fit_are_refused),
		EACH(test_a_slot_keeps_its_last),
		EACH(test_the_default_policy_thins_by_age),
		EACH(test_thinning_step_by_step_keeps_what_thinning_at_once_keeps),
		EACH(test_counts_keep_so_many_slots_that_have_snapshots),
		EACH(test_weeks_begin_on_monday),
		EACH(test_months_and_years_follow_the_calendar_before_1970_too),
		EACH(test_days_are_local_and_no_hour_is_lost_when_clocks_go_back),
		EACH(test_tags_pin),
		EACH(test_expiry_is_when_the_last_rule_lets_go),
		EACH(test_the_newest_stays_whatever_the_policy_says),
		EACH(test_the_clock_of_this_moment_has_no_say),
		EACH(test_one_snapshot_ten_years_ahead_costs_nothing),
		EACH(test_one_snapshot_in_1970_costs_nothing),
		EACH(test_an_hour_with_a_wrong_clock_keeps_its_shape),
		EACH(test_a_long_time_ahead_and_back_loses_nothing_good),
		EACH(test_a_machine_that_was_off_for_a_month_finds_its_last_hour),
		EACH(test_a_rhythm_of_days_or_weeks_is_no_silence),
		EACH(test_equal_descending_and_extreme_times_are_survived),
		EACH(test_a_clock_that_jumps_to_and_fro_expires_nothing_early),
		EACH(test_a_plan_covers_a_timeline_with_its_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
