/* SPDX-License-Identifier: MIT */
#include "tests/unit/report_fixture.h"

#include "tools/metrics.h"

/* That the text as a whole is OpenMetrics, tests/system/status-check.sh asks another reader. */
static const char *const paths[] = { "/home/me", "/a\\b\"c\nd", "/x\xffy" };

static char *make_text(struct status *s)
{
	char *text;

	s->now_ns = NOW;
	s->report_ns = NOW;
	s->daemon = getpid();
	s->has_report = true;
	protection_make(&s->report, paths, 3);
	s->report.sources[0].pending_ns = NOW - 1500 * (SECOND / 1000);
	s->report.sources[0].watch.events = 42;
	s->report.sources[1].captured_ns = 0;
	s->report.snapshots_taken = 7;
	s->report.collection = COLLECTION_MARKING;
	text = metrics_text(s);
	protection_done(&s->report);
	assert_non_null(text);
	return text;
}

/* The text has this line. */
static void has(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
		if (strncmp(p, line, n) == 0 && p[n] == '\n')
			return;
	fail_msg("no line '%s'", line);
}

static void test_values_have_their_names_and_units(void **state)
{
	struct status s = { 0 };
	CLEANUP(free_ptr) char *text = make_text(&s);

	(void)state;
	has(text, "# TYPE yore_source_behind_seconds gauge");
	has(text, "# UNIT yore_source_behind_seconds seconds");
	has(text, "yore_source_behind_seconds{source=\"/home/me\"} 1.500000000");
	has(text, "yore_source_watch_info{source=\"/home/me\",backend=\"inotify\"} 1");
	has(text, "yore_source_watch_events_total{source=\"/home/me\"} 42");
	has(text, "# TYPE yore_snapshots_taken counter");
	has(text, "yore_snapshots_taken_total 7");
	has(text, "yore_collection{yore_collection=\"idle\"} 0");
	has(text, "yore_collection{yore_collection=\"marking\"} 1");
	has(text, "yore_protection{yore_protection=\"on\"} 1");
	has(text, "yore_capture_timestamp_seconds 1699999995.000000000");
}

static void test_any_path_is_a_label(void **state)
{
	struct status s = { 0 };
	CLEANUP(free_ptr) char *text = make_text(&s);

	(void)state;
	has(text, "yore_source_files{source=\"/a\\\\b\\\"c\\nd\"} 1000");
	has(text, "yore_source_files{source=\"/x\xef\xbf\xbdy\",source_hex=\"2f78ff79\"} 1000");
}

static void test_what_has_not_happened_has_no_time(void **state)
{
	struct status s = { 0 };
	CLEANUP(free_ptr) char *text = make_text(&s);

	(void)state;
	assert_null(strstr(text, "yore_verification_timestamp_seconds "
				 "0"));
	assert_null(strstr(text, "yore_source_captured_timestamp_seconds{source=\"/a"));
	has(text, "yore_source_captured_timestamp_seconds{source=\"/home/me\"} "
		  "1699999995.000000000");
}

static void test_the_text_says_where_it_ends(void **state)
{
	struct status s = { 0 };
	CLEANUP(free_ptr) char *text = make_text(&s);
	size_t n = strlen(text);

	(void)state;
	assert_string_equal(text + n - strlen("\n# EOF\n"), "\n# EOF\n");
	assert_ptr_equal(strstr(text, "# EOF"), text + n - strlen("# EOF\n"));
	assert_null(strstr(text, "\n\n"));
}

static void test_a_dead_daemon_is_not_measured(void **state)
{
	struct status s = { .now_ns = NOW, .has_report = true, .n_configured = 3 };
	CLEANUP(free_ptr) char *text = NULL;

	(void)state;
	protection_make(&s.report, paths, 3);
	text = metrics_text(&s);
	protection_done(&s.report);
	has(text, "yore_daemon_up 0");
	has(text, "yore_protection{yore_protection=\"stopped\"} 1");
	assert_null(strstr(text, "yore_source"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_have_their_names_and_units),
		cmocka_unit_test(test_any_path_is_a_label),
		cmocka_unit_test(test_what_has_not_happened_has_no_time),
		cmocka_unit_test(test_the_text_says_where_it_ends),
		cmocka_unit_test(test_a_dead_daemon_is_not_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
