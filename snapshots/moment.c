/* SPDX-License-Identifier: MIT */
#include "snapshots/moment.h"

#include "store/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400LL
/* Further than any offset from UTC, and than any jump of one: from here, what holds on either side.
 */
#define OFFSET_REACH_S (36 * 3600LL)
#define AGO_COUNT_MAX 1000000000LL /* of any unit: well past what can be stored */

/* A time by the calendar and clock on the wall. Days may lie outside their month: they carry over.
 */
struct wall {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
};

/* Years past what 64 bits of nanoseconds hold are before, or after, everything. */
static int64_t ns_clamped(int64_t seconds)
{
	int64_t ns;

	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns))
		return seconds < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static int64_t add_clamped(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* ---- walls and instants ---- */

static int64_t utc_of(const struct wall *w)
{
	struct tm tm = {
		.tm_year = w->year - 1900,
		.tm_mon = w->month - 1,
		.tm_mday = w->day,
		.tm_hour = w->hour,
		.tm_min = w->minute,
		.tm_sec = w->second,
	};

	return timegm(&tm);
}

static int64_t offset_at(int64_t seconds)
{
	time_t t = seconds;
	struct tm tm = { 0 };

	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

static struct wall wall_at(int64_t seconds)
{
	time_t t = seconds;
	struct tm tm = { 0 };

	(void)localtime_r(&t, &tm);
	return (struct wall){ tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			      tm.tm_hour,        tm.tm_min,     tm.tm_sec };
}

/* When a wall time is shown: twice, once, or (skipped) never: then both are the instant of the
 * change. */
struct instants {
	int64_t first, last;
	bool skipped;
};

static struct instants local_instants(const struct wall *w)
{
	int64_t as_utc = utc_of(w);
	int64_t before = offset_at(as_utc - OFFSET_REACH_S);
	int64_t after = offset_at(as_utc + OFFSET_REACH_S);
	int64_t early = as_utc - before, late = as_utc - after;
	bool early_shown = offset_at(early) == before, late_shown = offset_at(late) == after;

	if (early_shown && late_shown)
		return early < late ? (struct instants){ early, late, false }
				    : (struct instants){ late, early, false };
	if (early_shown || late_shown)
		return early_shown ? (struct instants){ early, early, false }
				   : (struct instants){ late, late, false };
	/* Clocks went forward over it: the change is the first second of the new offset. */
	while (late < early) {
		int64_t middle = late + (early - late) / 2;

		if (offset_at(middle) == before)
			late = middle + 1;
		else
			early = middle;
	}
	return (struct instants){ early, early, true };
}

/* First second of a local day. */
static int64_t day_start(struct wall day)
{
	day.hour = day.minute = day.second = 0;
	return local_instants(&day).first;
}

static void set_day(struct wall day, struct moment *m)
{
	struct wall next = day;

	next.day++;
	m->start_ns = ns_clamped(day_start(day));
	m->end_ns = add_clamped(ns_clamped(day_start(next)), -1);
	if (m->end_ns < m->start_ns) /* a day that a zone left out when it crossed the date line */
		m->end_ns = m->start_ns;
}

void moment_day_range(int64_t time_ns, int64_t *ret_start_ns, int64_t *ret_end_ns)
{
	struct moment m = { 0 };

	set_day(wall_at(clock_floor_seconds(time_ns)), &m);
	*ret_start_ns = m.start_ns;
	*ret_end_ns = m.end_ns;
}

void moment_day(int64_t time_ns, char to[static 16])
{
	struct wall w = wall_at(clock_floor_seconds(time_ns));

	/* The year of 64 bits of nanoseconds has four digits. */
	(void)snprintf(to, 16, "%04u-%02u-%02u", (unsigned int)w.year % 10000,
		       (unsigned int)w.month % 100, (unsigned int)w.day % 100);
}

/* ---- pieces of text: each yields what follows, or NULL ---- */

static const char *take_number(const char *at, int digits, int max, int *ret)
{
	int n = 0;

	for (; digits > 0; digits--, at++) {
		if (*at < '0' || *at > '9')
			return NULL;
		n = 10 * n + (*at - '0');
	}
	if (n > max)
		return NULL;
	*ret = n;
	return at;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static const char *take_date(const char *at, struct wall *w)
{
	at = take_number(at, 4, 9999, &w->year);
	if (!at || *at != '-')
		return NULL;
	at = take_number(at + 1, 2, 12, &w->month);
	if (!at || *at != '-' || w->month == 0)
		return NULL;
	at = take_number(at + 1, 2, days_in_month(w->year, w->month), &w->day);
	return w->day == 0 ? NULL : at;
}

static bool is_separator(char c)
{
	return c == '-' || c == ':';
}

/* "14-30" or "14-30-05"; *ret_length is 60 or 1 seconds. */
static const char *take_clock(const char *at, struct wall *w, int *ret_length)
{
	at = take_number(at, 2, 23, &w->hour);
	if (!at || !is_separator(*at))
		return NULL;
	at = take_number(at + 1, 2, 59, &w->minute);
	if (!at)
		return NULL;
	*ret_length = 60;
	w->second = 0;
	if (!is_separator(*at))
		return at;
	*ret_length = 1;
	return take_number(at + 1, 2, 59, &w->second);
}

/* ---- forms; each returns whether the text has it ---- */

static void set_stretch(int64_t start, int64_t length_s, struct moment *m)
{
	m->start_ns = ns_clamped(start);
	m->end_ns = add_clamped(m->start_ns, length_s * NS_PER_S - 1);
}

/* The stretch that begins at a local time; a skipped time is an instant. */
static void set_local(const struct wall *w, int length, struct moment *m)
{
	struct instants i = local_instants(w);

	set_stretch(i.last, length, m);
	if (i.skipped)
		m->end_ns = m->start_ns;
}

/* The rest of "...Z": nothing, or ".n" without a leading zero. */
static bool is_suffix(const char *at)
{
	size_t n;

	if (*at == '\0')
		return true;
	if (at[0] != '.' || at[1] == '0')
		return false;
	n = strspn(at + 1, "0123456789");
	return n > 0 && n <= 10 && at[1 + n] == '\0';
}

static bool parse_dated(const char *text, struct moment *m)
{
	struct wall w = { 0 };
	const char *at = take_date(text, &w);
	int length = 0;

	if (!at)
		return false;
	if (*at == 'T') {
		at = take_clock(at + 1, &w, &length);
		if (!at)
			return false;
	}
	if (*at == '\0' && length == 0)
		set_day(w, m);
	else if (*at == '\0')
		set_local(&w, length, m);
	else if (*at == 'Z' && (at[1] == '\0' || (length == 1 && is_suffix(at + 1))))
		set_stretch(utc_of(&w), length ? length : DAY_S, m);
	else
		return false;
	m->form = MOMENT_TIME;
	if (*at == 'Z' && length == 1) {
		m->form = MOMENT_EXACT;
		(void)snprintf(m->word, sizeof(m->word), "%04d-%02d-%02dT%02d-%02d-%02dZ%s", w.year,
			       w.month, w.day, w.hour, w.minute, w.second, at + 1);
	}
	return true;
}

static void set_days_before(int64_t now_ns, int days, struct moment *m)
{
	struct wall w = wall_at(clock_floor_seconds(now_ns));

	w.day -= days;
	set_day(w, m);
	m->form = MOMENT_TIME;
}

static bool parse_day_word(const char *text, int64_t now_ns, struct moment *m)
{
	static const char *const days[] = { "sunday",   "monday", "tuesday", "wednesday",
					    "thursday", "friday", "saturday" };
	time_t now = clock_floor_seconds(now_ns);
	struct tm tm = { 0 };

	if (strcmp(text, "today") == 0 || strcmp(text, "yesterday") == 0) {
		set_days_before(now_ns, text[0] == 'y', m);
		return true;
	}
	for (int i = 0; i < 7; i++) {
		if (strcmp(text, days[i]) != 0)
			continue;
		(void)localtime_r(&now, &tm);
		set_days_before(now_ns, (tm.tm_wday - i + 7) % 7, m);
		return true;
	}
	return false;
}

/* A time of day: the most recent that has begun, be it today's later, today's earlier, or
 * yesterday's. */
static bool parse_clock(const char *text, int64_t now_ns, struct moment *m)
{
	struct wall clock = { 0 }, w;
	int length = 0;
	const char *at = take_clock(text, &clock, &length);

	if (!at || *at)
		return false;
	m->form = MOMENT_TIME;
	for (int days = 0; days < 3; days++) {
		struct instants i;

		w = wall_at(clock_floor_seconds(now_ns));
		w = (struct wall){ w.year,     w.month,      w.day - days,
				   clock.hour, clock.minute, clock.second };
		i = local_instants(&w);
		set_local(&w, length, m);
		if (m->start_ns <= now_ns)
			return true;
		if (ns_clamped(i.first) <= now_ns) {
			set_stretch(i.first, length, m);
			return true;
		}
	}
	return true;
}

enum ago_unit { AGO_SECONDS, AGO_DAYS, AGO_MONTHS };

static const struct {
	const char *name;
	enum ago_unit unit;
	int64_t factor;
} ago_units[] = {
	{ "s", AGO_SECONDS, 1 },        { "sec", AGO_SECONDS, 1 },   { "second", AGO_SECONDS, 1 },
	{ "seconds", AGO_SECONDS, 1 },  { "min", AGO_SECONDS, 60 },  { "minute", AGO_SECONDS, 60 },
	{ "minutes", AGO_SECONDS, 60 }, { "h", AGO_SECONDS, 3600 },  { "hour", AGO_SECONDS, 3600 },
	{ "hours", AGO_SECONDS, 3600 }, { "d", AGO_DAYS, 1 },        { "day", AGO_DAYS, 1 },
	{ "days", AGO_DAYS, 1 },        { "w", AGO_DAYS, 7 },        { "week", AGO_DAYS, 7 },
	{ "weeks", AGO_DAYS, 7 },       { "month", AGO_MONTHS, 1 },  { "months", AGO_MONTHS, 1 },
	{ "year", AGO_MONTHS, 12 },     { "years", AGO_MONTHS, 12 },
};

static void set_ago(int64_t now_ns, enum ago_unit unit, int64_t count, struct moment *m)
{
	struct wall w = wall_at(clock_floor_seconds(now_ns));
	int64_t months;

	m->form = MOMENT_TIME;
	if (unit == AGO_SECONDS) {
		m->start_ns = m->end_ns = add_clamped(now_ns, -ns_clamped(count));
		return;
	}
	/* Further back than nanoseconds reach: before everything. */
	m->start_ns = m->end_ns = INT64_MIN;
	if (count > (unit == AGO_DAYS ? 3000000 : 12000))
		return;
	if (unit == AGO_DAYS) {
		set_days_before(now_ns, (int)count, m);
		return;
	}
	months = (int64_t)w.year * 12 + w.month - 1 - count;
	if (months < 0)
		return;
	w.year = (int)(months / 12);
	w.month = (int)(months % 12) + 1;
	if (w.day > days_in_month(w.year, w.month))
		w.day = days_in_month(w.year, w.month);
	set_day(w, m);
}

/* "90s-ago", "3-days-ago". */
static bool parse_ago(const char *text, int64_t now_ns, struct moment *m)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	int64_t count = 0;
	size_t n;

	if (digits == 0)
		return false;
	for (size_t i = 0; i < digits; i++)
		count = count < AGO_COUNT_MAX ? 10 * count + (text[i] - '0') : AGO_COUNT_MAX;
	unit += *unit == '-';
	n = strcspn(unit, "-");
	if (strcmp(unit + n, "-ago") != 0)
		return false;
	for (size_t i = 0; i < sizeof(ago_units) / sizeof(ago_units[0]); i++) {
		if (strlen(ago_units[i].name) != n || memcmp(ago_units[i].name, unit, n) != 0)
			continue;
		set_ago(now_ns, ago_units[i].unit, count * ago_units[i].factor, m);
		return true;
	}
	return false;
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool parse_word(const char *text, struct moment *m)
{
	size_t n = 0;

	if (!is_letter_or_digit(text[0]))
		return false;
	while (is_letter_or_digit(text[n]) || text[n] == '_' || text[n] == '-')
		n++;
	if (text[n] || n > TAG_BYTES_MAX)
		return false;
	m->form = MOMENT_WORD;
	memcpy(m->word, text, n + 1);
	return true;
}

int moment_parse(const char *text, int64_t now_ns, struct moment *ret_moment)
{
	struct moment m = { 0 };

	static_assert(sizeof(m.word) > TAG_BYTES_MAX, "a tag has room");
	text += *text == '@';
	if (strcmp(text, "latest") == 0)
		m.form = MOMENT_LATEST;
	else if (!parse_dated(text, &m) && !parse_day_word(text, now_ns, &m) &&
		 !parse_clock(text, now_ns, &m) && !parse_ago(text, now_ns, &m) &&
		 !parse_word(text, &m))
		return -EINVAL;
	*ret_moment = m;
	return 0;
}

bool moment_tag_valid(const char *text)
{
	struct moment m;
	size_t n = strlen(text);

	if (text[0] == '@' || moment_parse(text, 0, &m) < 0 || m.form != MOMENT_WORD)
		return false;
	return n < 8 || strspn(text, "0123456789abcdefABCDEF") != n;
}

int moment_resolve(struct timeline *t, const char *text, int64_t now_ns,
		   struct snapshot_info *ret_info)
{
	struct moment m;
	int r;

	r = moment_parse(text, now_ns, &m);
	if (r < 0)
		return r;
	switch (m.form) {
	case MOMENT_LATEST:
		return timeline_latest(t, ret_info);
	case MOMENT_WORD:
		r = timeline_tagged(t, m.word, ret_info);
		return r == -ENOENT ? timeline_by_id(t, m.word, ret_info) : r;
	case MOMENT_EXACT:
		r = timeline_named(t, m.word, ret_info);
		/* ".n" names one snapshot and nothing else. */
		if (r != -ENOENT || strchr(m.word, '.'))
			return r;
		break;
	case MOMENT_TIME:
		break;
	}
	if (m.start_ns > now_ns)
		return -ENOENT;
	return timeline_as_of(t, m.end_ns, ret_info);
}

void moment_split(char *text, const char **ret_moment, const char **ret_path)
{
	char *colon = strstr(text, ":/");

	*ret_moment = text;
	*ret_path = colon ? colon + 1 : text + strlen(text);
	if (colon)
		*colon = '\0';
}
