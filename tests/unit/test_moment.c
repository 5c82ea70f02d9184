/* SPDX-License-Identifier: MIT */
#include "snapshots/moment.h"

#include "timeline_fixture.h"

#include <errno.h>
#include <time.h>

#define S 1000000000LL
#define HOUR (3600 * S)
/* Wednesday, 2024-05-01T14:30:20Z; 16:30:20 in Berlin. */
#define NOW (1714573820 * S)

static void zone(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

static int berlin(void **state)
{
	(void)state;
	zone("Europe/Berlin");
	return 0;
}

static int utc(void **state)
{
	(void)state;
	zone("UTC");
	return 0;
}

/* Nanoseconds of a UTC time. */
static int64_t at(int y, int mo, int d, int h, int mi, int s)
{
	struct tm tm = { .tm_year = y - 1900,
			 .tm_mon = mo - 1,
			 .tm_mday = d,
			 .tm_hour = h,
			 .tm_min = mi,
			 .tm_sec = s };

	return timegm(&tm) * S;
}

static void expect(const char *text, int64_t now, int64_t start, int64_t end)
{
	struct moment m;

	assert_int_equal(moment_parse(text, now, &m), 0);
	if (m.start_ns != start || m.end_ns != end)
		print_error("%s: %lld..%lld, wanted %lld..%lld\n", text, (long long)m.start_ns,
			    (long long)m.end_ns, (long long)start, (long long)end);
	assert_true(m.start_ns == start);
	assert_true(m.end_ns == end);
}

static void test_dates_and_times_are_local_and_end_with_what_they_name(void **state)
{
	(void)state;
	expect("@2024-05-01", NOW, at(2024, 4, 30, 22, 0, 0), at(2024, 5, 1, 22, 0, 0) - 1);
	expect("2024-05-01T14-30", NOW, at(2024, 5, 1, 12, 30, 0), at(2024, 5, 1, 12, 31, 0) - 1);
	expect("2024-05-01T14:30", NOW, at(2024, 5, 1, 12, 30, 0), at(2024, 5, 1, 12, 31, 0) - 1);
	expect("2024-05-01T14-30-05", NOW, at(2024, 5, 1, 12, 30, 5),
	       at(2024, 5, 1, 12, 30, 6) - 1);
	expect("2024-05-01T14-30Z", NOW, at(2024, 5, 1, 14, 30, 0), at(2024, 5, 1, 14, 31, 0) - 1);
	expect("2024-05-01Z", NOW, at(2024, 5, 1, 0, 0, 0), at(2024, 5, 2, 0, 0, 0) - 1);
	expect("1969-07-20", NOW, at(1969, 7, 19, 23, 0, 0), at(1969, 7, 20, 23, 0, 0) - 1);
	expect("0001-01-01Z", NOW, INT64_MIN, INT64_MIN + 86400 * S - 1);
}

static void test_a_repeated_time_means_the_later_one(void **state)
{
	(void)state;
	/* 2024-10-27, 03:00 summer time becomes 02:00: 02:30 is 00:30Z and again 01:30Z. */
	expect("2024-10-27T02-30", at(2025, 1, 1, 0, 0, 0), at(2024, 10, 27, 1, 30, 0),
	       at(2024, 10, 27, 1, 31, 0) - 1);
	expect("2024-10-27T01-59", at(2025, 1, 1, 0, 0, 0), at(2024, 10, 26, 23, 59, 0),
	       at(2024, 10, 27, 0, 0, 0) - 1);
	expect("2024-10-27T03-00", at(2025, 1, 1, 0, 0, 0), at(2024, 10, 27, 2, 0, 0),
	       at(2024, 10, 27, 2, 1, 0) - 1);
	/* Between the two only the first has begun. */
	expect("02-30", at(2024, 10, 27, 1, 0, 0), at(2024, 10, 27, 0, 30, 0),
	       at(2024, 10, 27, 0, 31, 0) - 1);
}

static void test_a_skipped_time_means_the_instant_of_the_change(void **state)
{
	(void)state;
	expect("2024-03-31T02-30", NOW, at(2024, 3, 31, 1, 0, 0), at(2024, 3, 31, 1, 0, 0));
	expect("2024-03-31T02-00", NOW, at(2024, 3, 31, 1, 0, 0), at(2024, 3, 31, 1, 0, 0));
	expect("2024-03-31T03-00", NOW, at(2024, 3, 31, 1, 0, 0), at(2024, 3, 31, 1, 1, 0) - 1);
	expect("2024-03-31T01-59-59", NOW, at(2024, 3, 31, 0, 59, 59),
	       at(2024, 3, 31, 1, 0, 0) - 1);
}

static void test_days_are_as_long_as_they_were(void **state)
{
	int64_t start, end;
	char day[16];

	(void)state;
	moment_day_range(at(2024, 10, 27, 12, 0, 0), &start, &end);
	assert_true(end + 1 - start == 25 * HOUR);
	moment_day_range(at(2024, 3, 31, 12, 0, 0), &start, &end);
	assert_true(end + 1 - start == 23 * HOUR);
	moment_day_range(NOW, &start, &end);
	assert_true(end + 1 - start == 24 * HOUR);
	moment_day(at(2024, 5, 1, 22, 30, 0), day);
	assert_string_equal(day, "2024-05-02");
	moment_day(-1, day);
	assert_string_equal(day, "1970-01-01");
	expect("1-day-ago", at(2024, 4, 1, 12, 0, 0), at(2024, 3, 30, 23, 0, 0),
	       at(2024, 3, 31, 22, 0, 0) - 1);
}

static void test_zones_that_skip_a_day_or_change_at_midnight(void **state)
{
	(void)state;
	zone("Pacific/Apia"); /* had no 2011-12-30 */
	expect("2011-12-30", NOW, at(2011, 12, 30, 10, 0, 0), at(2011, 12, 30, 10, 0, 0));
	expect("2011-12-29", NOW, at(2011, 12, 29, 10, 0, 0), at(2011, 12, 30, 10, 0, 0) - 1);
	zone("America/Sao_Paulo"); /* 2018-11-04 began at 01:00 */
	expect("2018-11-04", NOW, at(2018, 11, 4, 3, 0, 0), at(2018, 11, 5, 2, 0, 0) - 1);
	expect("2018-02-17", NOW, at(2018, 2, 17, 2, 0, 0), at(2018, 2, 18, 3, 0, 0) - 1);
	zone("America/Havana"); /* 2024-11-03: 00:00 to 01:00 twice */
	expect("2024-11-03", NOW, at(2024, 11, 3, 4, 0, 0), at(2024, 11, 4, 5, 0, 0) - 1);
}

static void test_words_mean_the_most_recent_that_has_begun(void **state)
{
	(void)state;
	expect("today", NOW, at(2024, 5, 1, 0, 0, 0), at(2024, 5, 2, 0, 0, 0) - 1);
	expect("@yesterday", NOW, at(2024, 4, 30, 0, 0, 0), at(2024, 5, 1, 0, 0, 0) - 1);
	expect("wednesday", NOW, at(2024, 5, 1, 0, 0, 0), at(2024, 5, 2, 0, 0, 0) - 1);
	expect("thursday", NOW, at(2024, 4, 25, 0, 0, 0), at(2024, 4, 26, 0, 0, 0) - 1);
	expect("monday", at(2024, 4, 29, 0, 0, 0), at(2024, 4, 29, 0, 0, 0),
	       at(2024, 4, 30, 0, 0, 0) - 1);
	expect("14-30", NOW, at(2024, 5, 1, 14, 30, 0), at(2024, 5, 1, 14, 31, 0) - 1);
	expect("14:30:20", NOW, at(2024, 5, 1, 14, 30, 20), at(2024, 5, 1, 14, 30, 21) - 1);
	expect("14-30-21", NOW, at(2024, 4, 30, 14, 30, 21), at(2024, 4, 30, 14, 30, 22) - 1);
	expect("14-31", NOW, at(2024, 4, 30, 14, 31, 0), at(2024, 4, 30, 14, 32, 0) - 1);
}

static void test_ago_is_an_instant_or_the_end_of_that_day(void **state)
{
	(void)state;
	expect("@90s-ago", NOW, NOW - 90 * S, NOW - 90 * S);
	expect("15min-ago", NOW, NOW - 900 * S, NOW - 900 * S);
	expect("2h-ago", NOW, NOW - 2 * HOUR, NOW - 2 * HOUR);
	expect("2-hours-ago", NOW, NOW - 2 * HOUR, NOW - 2 * HOUR);
	expect("3-days-ago", NOW, at(2024, 4, 28, 0, 0, 0), at(2024, 4, 29, 0, 0, 0) - 1);
	expect("2-weeks-ago", NOW, at(2024, 4, 17, 0, 0, 0), at(2024, 4, 18, 0, 0, 0) - 1);
	expect("2-months-ago", at(2024, 4, 30, 9, 0, 0), at(2024, 2, 29, 0, 0, 0),
	       at(2024, 3, 1, 0, 0, 0) - 1);
	expect("1-year-ago", at(2024, 2, 29, 9, 0, 0), at(2023, 2, 28, 0, 0, 0),
	       at(2023, 3, 1, 0, 0, 0) - 1);
	expect("99999999999999999999-weeks-ago", NOW, INT64_MIN, INT64_MIN);
	expect("999999999-hours-ago", NOW, NOW - INT64_MAX, NOW - INT64_MAX);
}

static enum moment_form form_of(const char *text)
{
	struct moment m;

	assert_int_equal(moment_parse(text, NOW, &m), 0);
	return m.form;
}

static void test_forms_are_told_apart(void **state)
{
	static const char *const wrong[] = { "",
					     "@",
					     "a b",
					     ".",
					     "a/b",
					     "-x",
					     "@@x",
					     "x.1",
					     "2024-05-01T14-30-00Z.",
					     "2024-05-01T14-30-00Z.01",
					     "2024-05-01T14:30:",
					     "ä" };
	struct moment m;

	(void)state;
	assert_int_equal(form_of("latest"), MOMENT_LATEST);
	assert_int_equal(form_of("@latest"), MOMENT_LATEST);
	assert_int_equal(form_of("2024-05-01T14-30-00Z"), MOMENT_EXACT);
	assert_int_equal(form_of("2024-05-01T14-30-00Z.12"), MOMENT_EXACT);
	assert_int_equal(form_of("before-upgrade"), MOMENT_WORD);
	assert_int_equal(form_of("deadbeef"), MOMENT_WORD);
	assert_int_equal(form_of("2024-02-30"), MOMENT_WORD);
	assert_int_equal(moment_parse("@2024-05-01T14:30:00Z.1", NOW, &m), 0);
	assert_string_equal(m.word, "2024-05-01T14-30-00Z.1");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(moment_parse(wrong[i], NOW, &m), -EINVAL);
}

static void test_tags_may_not_look_like_moments(void **state)
{
	(void)state;
	assert_true(moment_tag_valid("before-upgrade_2"));
	assert_true(moment_tag_valid("abcdef0"));
	assert_true(moment_tag_valid("deadbeefs"));
	assert_false(moment_tag_valid("deadbeef"));
	assert_false(moment_tag_valid("DEADBEEF00"));
	assert_false(moment_tag_valid("latest"));
	assert_false(moment_tag_valid("today"));
	assert_false(moment_tag_valid("14-30"));
	assert_false(moment_tag_valid("2024-05-01"));
	assert_false(moment_tag_valid("2h-ago"));
	assert_false(moment_tag_valid("-x"));
	assert_false(moment_tag_valid("@x"));
	assert_false(moment_tag_valid(""));
	assert_false(moment_tag_valid(
		"x1234567890123456789012345678901234567890123456789012345678901234"));
}

static void test_moment_and_path_are_split_at_the_first_colon_slash(void **state)
{
	char a[] = "2024-05-01T14:30:/home/a:/b", b[] = "latest", c[] = "14:30";
	const char *moment, *path;

	(void)state;
	moment_split(a, &moment, &path);
	assert_string_equal(moment, "2024-05-01T14:30");
	assert_string_equal(path, "/home/a:/b");
	moment_split(b, &moment, &path);
	assert_string_equal(moment, "latest");
	assert_string_equal(path, "");
	moment_split(c, &moment, &path);
	assert_string_equal(moment, "14:30");
}

static uint64_t resolve(struct timeline *t, const char *text)
{
	struct snapshot_info info;
	int r = moment_resolve(t, text, NOW, &info);

	if (r == -ENOENT)
		return 0;
	assert_int_equal(r, 0);
	return info.seq;
}

static void test_moments_find_their_snapshots(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	struct fixture *f = fixture_open();
	char hex[2 * SHA256_BYTES + 1];
	struct snapshot_info info;

	(void)state;
	assert_int_equal(timeline_open(f->store, store_host(f->store), &t), 0);
	fixture_append(t, at(2024, 4, 29, 10, 0, 0), "big", NULL, &info);
	fixture_append(t, at(2024, 4, 30, 23, 0, 0), NULL, NULL, NULL);
	fixture_append(t, at(2024, 5, 1, 14, 0, 0), "big", NULL, NULL);
	fixture_append(t, at(2024, 5, 1, 14, 0, 0) + 1, NULL, NULL, NULL);
	assert_int_equal(resolve(t, "latest"), 4);
	assert_int_equal(resolve(t, "@yesterday"), 2);
	assert_int_equal(resolve(t, "monday"), 1);
	assert_int_equal(resolve(t, "sunday"), 0);
	assert_int_equal(resolve(t, "today"), 4);
	assert_int_equal(resolve(t, "2024-05-02"), 0);
	assert_int_equal(resolve(t, "2024-05-01T14-30-21"), 0);
	assert_int_equal(resolve(t, "2h-ago"), 2);
	assert_int_equal(resolve(t, "big"), 3);
	assert_int_equal(resolve(t, "small"), 0);
	assert_int_equal(resolve(t, "2024-05-01T14-00-00Z"), 3);
	assert_int_equal(resolve(t, "2024-05-01T14-00-00Z.1"), 4);
	assert_int_equal(resolve(t, "2024-05-01T14-00-00Z.2"), 0);
	assert_int_equal(resolve(t, "2024-05-01T13-59-59Z"), 2);
	(void)bytes_to_hex(info.id.bytes, SHA256_BYTES, hex);
	hex[12] = '\0';
	assert_int_equal(resolve(t, hex), 1);
	timeline_close(STEAL(t));
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_dates_and_times_are_local_and_end_with_what_they_name,
				       berlin),
		cmocka_unit_test_setup(test_a_repeated_time_means_the_later_one, berlin),
		cmocka_unit_test_setup(test_a_skipped_time_means_the_instant_of_the_change, berlin),
		cmocka_unit_test_setup(test_days_are_as_long_as_they_were, berlin),
		cmocka_unit_test_setup(test_zones_that_skip_a_day_or_change_at_midnight, berlin),
		cmocka_unit_test_setup(test_words_mean_the_most_recent_that_has_begun, utc),
		cmocka_unit_test_setup(test_ago_is_an_instant_or_the_end_of_that_day, utc),
		cmocka_unit_test_setup(test_forms_are_told_apart, utc),
		cmocka_unit_test_setup(test_tags_may_not_look_like_moments, utc),
		cmocka_unit_test_setup(test_moment_and_path_are_split_at_the_first_colon_slash,
				       utc),
		cmocka_unit_test_setup(test_moments_find_their_snapshots, utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
