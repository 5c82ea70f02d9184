/* SPDX-License-Identifier: MIT */
#include "tests/unit/report_fixture.h"

#include "tools/alert_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#define ALERTS "local/alerts.json"

static const char *const paths[] = { "/home/me", "/srv/a\xff\"\nb" };

/* A daemon's life with alerts, on a clock of its own. */
struct watcher {
	struct desk *desk;
	struct alerts *alerts;
	struct protection p;
	struct config config;
	char command[256];
};

static int setup(void **state)
{
	struct watcher *w = calloc(1, sizeof(*w));
	void *desk;

	assert_non_null(w);
	assert_int_equal(desk_setup(&desk), 0);
	w->desk = desk;
	/* Each event is a line of the file `heard`. */
	(void)snprintf(w->command, sizeof(w->command), "cat >>%s/heard", w->desk->path);
	w->config.on_alert = w->command;
	w->config.changed_share = 50;
	w->config.disk_free_min_bytes = UINT64_C(10) << 30;
	protection_make(&w->p, paths, 2);
	assert_int_equal(alerts_new(w->desk->io, &w->alerts), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct watcher *w = *state;
	void *desk = w->desk;

	alerts_free(w->alerts);
	protection_done(&w->p);
	free(w);
	return desk_teardown(&desk);
}

static void evaluate_after(struct watcher *w, int64_t seconds)
{
	w->p.now_ns += seconds * SECOND;
	alerts_evaluate(w->alerts, &w->p, &w->config);
}

/* Nothing is left to tell or to write. */
static void wait_until_told(struct watcher *w)
{
	for (int i = 0; i < 1000; i++) {
		bool busy;

		lock_take(&w->alerts->lock);
		busy = w->alerts->dirty;
		for (size_t j = 0; j < w->alerts->conditions.n; j++)
			busy |= w->alerts->conditions.items[j].tell != TELL_NOTHING;
		lock_drop(&w->alerts->lock);
		if (!busy)
			return;
		(void)poll(NULL, 0, 5);
	}
	fail_msg("alerts are not told");
}

/* What was told since the last call: "event condition object;" each. The objects are cut short. */
static const char *heard(struct watcher *w)
{
	static char all[4096];
	CLEANUP(free_ptr) char *text = NULL;
	char *save = NULL;
	size_t at = 0;

	wait_until_told(w);
	text = desk_text(w->desk, "heard");
	all[0] = '\0';
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(o);
		assert_string_equal(json_string_value(json_object_get(o, "repository")),
				    w->desk->path);
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s %s;",
				       json_string_value(json_object_get(o, "event")),
				       json_string_value(json_object_get(o, "condition")));
		json_decref(o);
	}
	(void)io_unlink(w->desk->io, "heard", IO_OBJECT_LOCAL);
	return all;
}

static void test_a_condition_is_told_when_it_begins_and_ends(void **state)
{
	struct watcher *w = *state;

	evaluate_after(w, 10);
	assert_string_equal(heard(w), "");
	w->p.sources[0].absent = true;
	evaluate_after(w, 10);
	assert_string_equal(heard(w), "begin source-unreadable;");
	evaluate_after(w, 10);
	assert_string_equal(heard(w), "");
	w->p.sources[0].absent = false;
	evaluate_after(w, 10);
	evaluate_after(w, 50);
	assert_string_equal(heard(w), "");
	evaluate_after(w, 10);
	assert_string_equal(heard(w), "end source-unreadable;");
}

static void test_an_event_says_what_and_where(void **state)
{
	struct watcher *w = *state;
	CLEANUP(free_ptr) char *text = NULL;
	json_t *o;

	w->p.sources[1].pending_ns = NOW - 7200 * SECOND;
	evaluate_after(w, 0);
	wait_until_told(w);
	text = desk_text(w->desk, "heard");
	assert_non_null(text);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
	o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_string_equal(json_string_value(json_object_get(o, "event")), "begin");
	assert_string_equal(json_string_value(json_object_get(o, "condition")), "behind");
	assert_string_equal(json_string_value(json_object_get(o, "object")),
			    "/srv/a\xef\xbf\xbd\"\nb");
	assert_string_equal(json_string_value(json_object_get(o, "object_hex")),
			    "2f7372762f61ff220a62");
	assert_string_equal(json_string_value(json_object_get(o, "message")),
			    "changes have waited for a snapshot for 2 h 0 min");
	assert_string_equal(json_string_value(json_object_get(o, "since")),
			    "2023-11-14T22:13:20.000000000Z");
	assert_int_equal(json_integer_value(json_object_get(o, "repeated")), 0);
	assert_true(*json_string_value(json_object_get(o, "host")));
	json_decref(o);
}

static void test_every_condition_is_noticed(void **state)
{
	struct watcher *w = *state;
	const struct {
		enum alert_kind kind;
		const char *object;
	} want[] = {
		{ ALERT_STOPPED, w->desk->path }, { ALERT_VERIFICATION, w->desk->path },
		{ ALERT_DISK, w->desk->path },    { ALERT_BEHIND, paths[0] },
		{ ALERT_UNREADABLE, paths[1] },
	};

	w->config.on_alert = "";
	strcpy(w->p.stopped, "no snapshot could be taken");
	w->p.verify_errors = 3;
	w->p.repository_free_bytes = UINT64_C(9) << 30;
	w->p.sources[0].pending_ns = NOW - 900 * SECOND;
	w->p.sources[1].absent = true;
	evaluate_after(w, 0);
	wait_until_told(w);
	assert_int_equal(w->alerts->conditions.n, 5);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		assert_non_null(
			condition_find(&w->alerts->conditions, want[i].kind, want[i].object));
}

static void test_it_is_repeated_while_it_lasts(void **state)
{
	struct watcher *w = *state;
	struct condition *c;

	w->config.repeat_every_ms = 3600 * 1000;
	w->p.sources[0].absent = true;
	evaluate_after(w, 0);
	assert_string_equal(heard(w), "begin source-unreadable;");
	evaluate_after(w, 3599);
	assert_string_equal(heard(w), "");
	evaluate_after(w, 1);
	assert_string_equal(heard(w), "begin source-unreadable;");
	c = condition_find(&w->alerts->conditions, ALERT_UNREADABLE, paths[0]);
	assert_int_equal(c->told, 2);
}

/* There for 10 s, gone for 65 s, and so on for an hour. */
static void test_who_flaps_is_told_less_and_less(void **state)
{
	struct watcher *w = *state;
	unsigned int begins = 0;

	w->config.on_alert = "";
	for (int i = 0; i < 48; i++) {
		struct condition *c;

		w->p.sources[0].absent = true;
		evaluate_after(w, 10);
		c = condition_find(&w->alerts->conditions, ALERT_UNREADABLE, paths[0]);
		lock_take(&w->alerts->lock);
		begins += c->since_ns == w->p.now_ns;
		lock_drop(&w->alerts->lock);
		wait_until_told(w);
		w->p.sources[0].absent = false;
		evaluate_after(w, 5);
		evaluate_after(w, 60);
		wait_until_told(w);
	}
	assert_int_equal(begins, 2);
}

static void test_the_disk_has_room_again_only_with_a_margin(void **state)
{
	struct watcher *w = *state;

	w->p.repository_free_bytes = (UINT64_C(10) << 30) - 1;
	evaluate_after(w, 0);
	assert_string_equal(heard(w), "begin disk-nearly-full;");
	w->p.repository_free_bytes = (UINT64_C(10) << 30) + 4096;
	evaluate_after(w, 10);
	evaluate_after(w, 100);
	assert_string_equal(heard(w), "");
	w->p.repository_free_bytes = UINT64_C(11) << 30;
	evaluate_after(w, 10);
	evaluate_after(w, 100);
	assert_string_equal(heard(w), "end disk-nearly-full;");
}

/* The next snapshot of the first source: so many files in it, rewritten or removed. */
static void captured(struct watcher *w, uint64_t files, uint64_t spoilt)
{
	w->p.sources[0].captured_ns = w->p.now_ns + SECOND;
	w->p.sources[0].files = files;
	w->p.sources[0].files_spoilt += spoilt;
}

static void captured_and_judged(struct watcher *w, uint64_t files, uint64_t spoilt)
{
	captured(w, files, spoilt);
	evaluate_after(w, 2);
}

static bool is_unusual(struct watcher *w)
{
	struct condition *c = condition_find(&w->alerts->conditions, ALERT_UNUSUAL, paths[0]);

	return c && c->ended_ns == 0 && c->gone_ns == 0;
}

static void test_an_unusual_share_is_of_what_was_there(void **state)
{
	static const struct {
		uint64_t files, spoilt;
		bool unusual;
	} rows[] = {
		{ 1000, 499, false }, { 1000, 500, true },
		{ 1000, 10, false },  { 3000, 0, false }, /* 2000 new ones */
		{ 1400, 1600, true },                     /* deleted */
		{ 1400, 1400, true },                     /* all under other names */
		{ 20, 1380, true },   { 20, 20, false },  /* few files: an ordinary day */
	};
	struct watcher *w = *state;

	w->config.on_alert = "";
	evaluate_after(w, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		captured_and_judged(w, rows[i].files, rows[i].spoilt);
		assert_int_equal(is_unusual(w), rows[i].unusual);
	}
}

static void test_a_first_snapshot_is_not_unusual(void **state)
{
	struct watcher *w = *state;

	w->config.on_alert = "";
	w->p.sources[0].captured_ns = 0;
	w->p.sources[0].files = 0;
	evaluate_after(w, 0);
	captured_and_judged(w, 1000, 0);
	assert_false(is_unusual(w));
	captured_and_judged(w, 1000, 1000);
	assert_true(is_unusual(w));
}

static void test_a_snapshot_that_nobody_looked_at_counts(void **state)
{
	struct watcher *w = *state;

	w->config.on_alert = "";
	evaluate_after(w, 0);
	captured_and_judged(w, 1000, 0);
	captured(w, 1000, 600);
	captured(w, 1000, 1);
	evaluate_after(w, 2);
	assert_true(is_unusual(w));
	captured_and_judged(w, 1000, 1);
	assert_false(is_unusual(w));
}

static void test_an_end_is_told_after_a_restart(void **state)
{
	struct watcher *w = *state;

	w->p.sources[0].absent = true;
	evaluate_after(w, 0);
	assert_string_equal(heard(w), "begin source-unreadable;");
	alerts_free(STEAL(w->alerts));
	assert_int_equal(alerts_new(w->desk->io, &w->alerts), 0);
	evaluate_after(w, 10);
	assert_string_equal(heard(w), "");
	w->p.sources[0].absent = false;
	evaluate_after(w, 10);
	evaluate_after(w, 60);
	assert_string_equal(heard(w), "end source-unreadable;");
}

static void test_others_see_what_holds(void **state)
{
	struct watcher *w = *state;
	json_t *list;

	w->p.sources[1].absent = true;
	evaluate_after(w, 0);
	wait_until_told(w);
	list = alerts_json(w->desk->io);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(list, 0), "condition")),
		"source-unreadable");
	json_decref(list);
	w->p.sources[1].absent = false;
	evaluate_after(w, 10);
	evaluate_after(w, 60);
	wait_until_told(w);
	list = alerts_json(w->desk->io);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

static void test_a_damaged_file_costs_no_more_than_itself(void **state)
{
	struct watcher *w = *state;
	CLEANUP(free_ptr) char *text = NULL;

	w->p.sources[1].absent = true;
	evaluate_after(w, 0);
	wait_until_told(w);
	alerts_free(STEAL(w->alerts));
	text = desk_text(w->desk, ALERTS);
	for (size_t i = 0; text[i]; i++) {
		struct condition_list l = { 0 };
		char good = text[i];
		int r;

		text[i] = (char)(good ^ 1);
		r = condition_list_parse(text, strlen(text), &l);
		assert_true(r == 0 || r == -EUCLEAN);
		condition_list_done(&l);
		text[i] = good;
		assert_int_equal(condition_list_parse(text, i, &l), -EUCLEAN);
	}
	assert_int_equal(io_write_file(w->desk->io, ALERTS, "{", 1, true, IO_OBJECT_LOCAL), 0);
	assert_int_equal(alerts_new(w->desk->io, &w->alerts), 0);
	assert_int_equal(w->alerts->conditions.n, 0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_a_command_that_hangs_keeps_nobody_waiting(void **state)
{
	struct watcher *w = *state;
	int64_t begin;
	char began[128];

	(void)snprintf(began, sizeof(began), "%s/began", w->desk->path);
	(void)snprintf(w->command, sizeof(w->command), "echo >%s; sleep 60", began);
	w->p.sources[0].absent = true;
	begin = now_ms();
	evaluate_after(w, 0);
	evaluate_after(w, 10);
	assert_true(now_ms() - begin < 1000);
	for (int i = 0; i < 1000 && access(began, F_OK) < 0; i++)
		(void)poll(NULL, 0, 5);
	assert_int_equal(access(began, F_OK), 0);
	/* Nor does the end of the daemon; the next one tells it. */
	begin = now_ms();
	alerts_free(STEAL(w->alerts));
	assert_true(now_ms() - begin < 10000);
	(void)snprintf(w->command, sizeof(w->command), "cat >>%s/heard", w->desk->path);
	assert_int_equal(alerts_new(w->desk->io, &w->alerts), 0);
	evaluate_after(w, 10);
	assert_string_equal(heard(w), "begin source-unreadable;");
}

static void test_a_command_that_fails_is_tried_again(void **state)
{
	struct watcher *w = *state;
	struct condition *c;
	char tried[128];

	(void)snprintf(tried, sizeof(tried), "%s/tried", w->desk->path);
	(void)snprintf(w->command, sizeof(w->command), "echo >>%s; exit 3", tried);
	w->p.sources[0].absent = true;
	evaluate_after(w, 0);
	for (int i = 0; i < 1000; i++) {
		unsigned int tries;

		lock_take(&w->alerts->lock);
		c = condition_find(&w->alerts->conditions, ALERT_UNREADABLE, paths[0]);
		tries = c->tries;
		lock_drop(&w->alerts->lock);
		if (tries > 0)
			break;
		(void)poll(NULL, 0, 5);
	}
	assert_int_equal(c->tries, 1);
	assert_int_equal(c->tell, TELL_BEGIN);
	assert_int_equal(c->told, 0);
	assert_true(c->not_before_s > now_ms() / 1000);
	(void)unlink(tried);
}

static void test_many_events_wait_for_the_next_minute(void **state)
{
	struct watcher *w = *state;
	CLEANUP(free_ptr) char *text = NULL;
	size_t lines = 0, untold = 0;

	protection_done(&w->p);
	protection_make(&w->p,
			(const char *const[]){ "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9",
					       "/10", "/11", "/12", "/13" },
			13);
	for (size_t i = 0; i < 13; i++)
		w->p.sources[i].absent = true;
	evaluate_after(w, 0);
	for (int i = 0; i < 1000 && untold != 3; i++) {
		(void)poll(NULL, 0, 5);
		lock_take(&w->alerts->lock);
		untold = 0;
		for (size_t j = 0; j < w->alerts->conditions.n; j++)
			untold += w->alerts->conditions.items[j].tell != TELL_NOTHING;
		lock_drop(&w->alerts->lock);
	}
	assert_int_equal(untold, 13 - ALERTS_PER_MINUTE);
	(void)poll(NULL, 0, 50); /* none of them slips through */
	text = desk_text(w->desk, "heard");
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, ALERTS_PER_MINUTE);
}

static void test_a_test_tells_how_the_command_ended(void **state)
{
	struct watcher *w = *state;
	CLEANUP(free_ptr) char *text = NULL;
	char end[64], said[512];

	assert_int_equal(alert_test(w->command, w->desk->path, end, said), 0);
	assert_string_equal(end, "exit status 0");
	text = desk_text(w->desk, "heard");
	assert_non_null(strstr(text, "\"event\":\"test\""));
	assert_int_equal(alert_test("echo no such mailbox; exit 5", "/r", end, said), -EIO);
	assert_string_equal(end, "exit status 5");
	assert_string_equal(said, "no such mailbox");
	/* One that does not read its input is no trouble. */
	assert_int_equal(alert_test("exec <&-", "/r", end, said), 0);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_a_condition_is_told_when_it_begins_and_ends),
		CLAIM(test_an_event_says_what_and_where),
		CLAIM(test_every_condition_is_noticed),
		CLAIM(test_it_is_repeated_while_it_lasts),
		CLAIM(test_who_flaps_is_told_less_and_less),
		CLAIM(test_the_disk_has_room_again_only_with_a_margin),
		CLAIM(test_an_unusual_share_is_of_what_was_there),
		CLAIM(test_a_first_snapshot_is_not_unusual),
		CLAIM(test_a_snapshot_that_nobody_looked_at_counts),
		CLAIM(test_an_end_is_told_after_a_restart),
		CLAIM(test_others_see_what_holds),
		CLAIM(test_a_damaged_file_costs_no_more_than_itself),
		CLAIM(test_a_command_that_hangs_keeps_nobody_waiting),
		CLAIM(test_a_command_that_fails_is_tried_again),
		CLAIM(test_many_events_wait_for_the_next_minute),
		CLAIM(test_a_test_tells_how_the_command_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
