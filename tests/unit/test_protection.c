/* SPDX-License-Identifier: MIT */
#include "tests/unit/report_fixture.h"

#include <errno.h>

#define REPORT "local/protection.json"

static const char *const paths[] = { "/home/me", "/srv/a\xff\"\nb" };

static void make(struct protection *p)
{
	protection_make(p, paths, 2);
	p->errors = calloc(2, sizeof(*p->errors));
	assert_non_null(p->errors);
	p->errors[0].path = strdup("/home/me/locked\x80");
	assert_non_null(p->errors[0].path);
	strcpy(p->errors[0].what, "cannot be read: permission denied");
	p->errors[0].time_ns = NOW - 7 * SECOND;
	p->n_errors = 1;
	p->sources[1].absent = true;
	p->sources[1].pending_ns = NOW - 3 * SECOND;
	p->sources[1].watch.backend = WATCH_FANOTIFY;
	p->sources[1].watch.events = 12345678901234;
	p->collection = COLLECTION_SWEEPING;
	p->collection_share = 0.5;
	p->verify_errors = UINT64_C(1) << 62;
}

static void assert_equal(const struct protection *a, const struct protection *b)
{
	json_t *x = protection_json(a), *y = protection_json(b);

	assert_non_null(x);
	assert_true(json_equal(x, y));
	json_decref(x);
	json_decref(y);
	assert_int_equal(a->now_ns, b->now_ns);
	for (size_t i = 0; i < a->n_sources; i++)
		assert_string_equal(a->sources[i].path, b->sources[i].path);
	for (size_t i = 0; i < a->n_errors; i++)
		assert_string_equal(a->errors[i].path, b->errors[i].path);
}

static void test_a_copy_is_equal_and_its_own(void **state)
{
	CLEANUP(protection_done) struct protection a, b;

	(void)state;
	make(&a);
	assert_int_equal(protection_copy(&a, &b), 0);
	assert_equal(&a, &b);
	assert_ptr_not_equal(a.sources[0].path, b.sources[0].path);
	assert_ptr_not_equal(a.errors[0].path, b.errors[0].path);
}

static void test_what_is_published_is_read_again(void **state)
{
	struct desk *d = *state;
	CLEANUP(protection_done) struct protection a, b = { 0 };

	assert_int_equal(protection_read(d->io, &b), -ENOENT);
	make(&a);
	assert_int_equal(protection_publish(d->io, &a), 0);
	assert_int_equal(protection_read(d->io, &b), 0);
	assert_equal(&a, &b);
}

static void test_no_news_is_not_written(void **state)
{
	struct desk *d = *state;
	CLEANUP(protection_done) struct protection p;
	CLEANUP(free_ptr) char *first = NULL;
	CLEANUP(free_ptr) char *second = NULL;
	CLEANUP(free_ptr) char *third = NULL;
	CLEANUP(free_ptr) char *fourth = NULL;

	make(&p);
	assert_int_equal(protection_publish(d->io, &p), 0);
	first = desk_text(d, REPORT);
	p.now_ns += 10 * SECOND;
	p.repository_free_bytes -= 4096;
	assert_int_equal(protection_publish(d->io, &p), 0);
	second = desk_text(d, REPORT);
	assert_string_equal(first, second);
	p.sources[0].pending_ns = p.now_ns;
	assert_int_equal(protection_publish(d->io, &p), 0);
	third = desk_text(d, REPORT);
	assert_string_not_equal(first, third);
	/* But a hanging daemon can be told from an idle one. */
	p.now_ns += PROTECTION_PUBLISH_MOST_S * SECOND;
	assert_int_equal(protection_publish(d->io, &p), 0);
	fourth = desk_text(d, REPORT);
	assert_string_not_equal(third, fourth);
}

static void test_a_file_that_cannot_be_used_is_replaced(void **state)
{
	static const char *const wrong[] = { "", "{", "[]", "{\"format\":1}", "{\"format\":2}" };
	struct desk *d = *state;
	CLEANUP(protection_done) struct protection p, q = { 0 };

	make(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(io_write_file(d->io, REPORT, wrong[i], strlen(wrong[i]), true,
					       IO_OBJECT_LOCAL),
				 0);
		assert_int_equal(protection_read(d->io, &q), -EUCLEAN);
	}
	assert_int_equal(protection_publish(d->io, &p), 0);
	assert_int_equal(protection_read(d->io, &q), 0);
	assert_equal(&p, &q);
}

/* Every text that one damaged byte makes is refused, or is a whole report. */
static void test_damage_is_refused_or_harmless(void **state)
{
	struct desk *d = *state;
	CLEANUP(protection_done) struct protection p;
	CLEANUP(free_ptr) char *text = NULL;
	unsigned int refused = 0;

	make(&p);
	assert_int_equal(protection_publish(d->io, &p), 0);
	text = desk_text(d, REPORT);
	for (size_t i = 0; text[i]; i++) {
		struct protection q = { 0 };
		char good = text[i];
		int r;

		text[i] = (char)(good ^ 1);
		r = protection_parse(text, strlen(text), &q);
		assert_true(r == 0 || r == -EUCLEAN);
		refused += r == -EUCLEAN;
		protection_done(&q);
		text[i] = good;
		r = protection_parse(text, i, &q);
		assert_int_equal(r, -EUCLEAN);
	}
	assert_true(refused > 100);
}

static void test_what_cannot_be_told_does_not_leave_an_old_report(void **state)
{
	struct desk *d = *state;
	CLEANUP(protection_done) struct protection p, q = { 0 };
	char path[128];

	make(&p);
	assert_int_equal(protection_publish(d->io, &p), 0);
	(void)snprintf(path, sizeof(path), "%s/tmp", d->path);
	assert_int_equal(rmdir(path), 0); /* nothing can be made there */
	p.snapshots_taken++;
	assert_int_equal(protection_publish(d->io, &p), -ENOENT);
	assert_int_equal(protection_read(d->io, &q), -ENOENT);
}

static void test_changes_become_stale_with_time(void **state)
{
	char why[PROTECTION_TEXT_BYTES];
	CLEANUP(protection_done) struct protection p;

	(void)state;
	make(&p);
	assert_false(protection_is_stale(&p, why));
	assert_string_equal(why, "");
	p.sources[0].pending_ns = NOW - 899 * SECOND;
	assert_false(protection_is_stale(&p, why));
	p.sources[0].pending_ns = NOW - 7200 * SECOND;
	assert_true(protection_is_stale(&p, why));
	assert_string_equal(why, "changes below /home/me have waited for a snapshot for 2 h 0 min");
	p.sources[1].pending_ns = NOW - 10800 * SECOND;
	assert_true(protection_is_stale(&p, why));
	assert_string_equal(why, "changes below /srv/a\\xff\"\\x0ab have waited for a snapshot for "
				 "3 h 0 min, and those of 1 more");
	p.stale_after_s = 0;
	assert_false(protection_is_stale(&p, why));
}

static void test_growth_is_that_of_the_last_24_hours(void **state)
{
	struct protection_source s = { 0 };

	(void)state;
	protection_source_grow(&s, 1000, 5);
	protection_source_grow(&s, 1000, 2);
	protection_source_grow(&s, 1003, 10);
	assert_int_equal(s.new_bytes_day, 17);
	protection_source_grow(&s, 1023, 0);
	assert_int_equal(s.new_bytes_day, 17);
	protection_source_grow(&s, 1024, 100);
	assert_int_equal(s.new_bytes_day, 110);
	protection_source_grow(&s, 1027, 0);
	assert_int_equal(s.new_bytes_day, 100);
	protection_source_grow(&s, 900000, 3);
	assert_int_equal(s.new_bytes_day, 3);
	protection_source_grow(&s, 900023, 0);
	assert_int_equal(s.new_bytes_day, 3);
	protection_source_grow(&s, 900024, 0);
	assert_int_equal(s.new_bytes_day, 0);
}

static void test_a_clock_that_was_set_back_makes_nothing_stale(void **state)
{
	char why[PROTECTION_TEXT_BYTES];
	CLEANUP(protection_done) struct protection p;

	(void)state;
	make(&p);
	p.sources[0].pending_ns = NOW + 7200 * SECOND;
	assert_false(protection_is_stale(&p, why));
}

static void test_who_stopped_says_why_and_who_only_shows_is_not_stale(void **state)
{
	char why[PROTECTION_TEXT_BYTES];
	CLEANUP(protection_done) struct protection p;

	(void)state;
	make(&p);
	strcpy(p.stopped, "no snapshot could be taken: \x1b[2J");
	assert_true(protection_is_stale(&p, why));
	assert_string_equal(why, "no snapshot could be taken: \\x1b[2J");
	p.protecting = false;
	assert_false(protection_is_stale(&p, why));
	assert_string_equal(why, "");
}

static void test_shown_times_are_text_or_null(void **state)
{
	CLEANUP(protection_done) struct protection p;
	json_t *o, *s;

	(void)state;
	make(&p);
	o = protection_json(&p);
	assert_string_equal(json_string_value(json_object_get(o, "time")),
			    "2023-11-14T22:13:20.000000000Z");
	assert_true(json_is_null(json_object_get(o, "verified")));
	s = json_array_get(json_object_get(o, "sources"), 1);
	assert_int_equal(json_integer_value(json_object_get(s, "behind_seconds")), 3);
	assert_string_equal(json_string_value(json_object_get(s, "watch")), "fanotify");
	assert_string_equal(json_string_value(json_object_get(s, "path_hex")),
			    "2f7372762f61ff220a62");
	json_decref(o);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_a_copy_is_equal_and_its_own),
		CLAIM(test_what_is_published_is_read_again),
		CLAIM(test_no_news_is_not_written),
		CLAIM(test_a_file_that_cannot_be_used_is_replaced),
		CLAIM(test_damage_is_refused_or_harmless),
		CLAIM(test_what_cannot_be_told_does_not_leave_an_old_report),
		CLAIM(test_changes_become_stale_with_time),
		CLAIM(test_growth_is_that_of_the_last_24_hours),
		CLAIM(test_a_clock_that_was_set_back_makes_nothing_stale),
		CLAIM(test_who_stopped_says_why_and_who_only_shows_is_not_stale),
		CLAIM(test_shown_times_are_text_or_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
