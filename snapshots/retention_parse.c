/* SPDX-License-Identifier: MIT */
#include "snapshots/retention.h"
#include "store/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_S 86400LL
#define RULES_HELP                                                                              \
	"rules are: all, every 10min, hourly, daily, weekly, monthly, yearly, each with \"for " \
	"7d\" "                                                                                 \
	"or for ever; last 10; tag NAME"
#define DURATION_HELP "durations are like 90s, 10min, 1h, 7d, 2w, 3mo, 1y"

/* Months and years count their longest, so that a rule never holds for less than its name says. */
static const struct {
	const char *name;
	int64_t seconds;
} units[] = {
	{ "s", 1 },           { "sec", 1 },
	{ "second", 1 },      { "m", 60 },
	{ "min", 60 },        { "minute", 60 },
	{ "h", 3600 },        { "hour", 3600 },
	{ "d", DAY_S },       { "day", DAY_S },
	{ "w", 7 * DAY_S },   { "week", 7 * DAY_S },
	{ "mo", 31 * DAY_S }, { "month", 31 * DAY_S },
	{ "y", 366 * DAY_S }, { "year", 366 * DAY_S },
};

static const struct {
	const char *name;
	enum retention_slot slot;
	uint32_t seconds;
} slots[] = {
	{ "all", SLOT_ALL, 0 },     { "hourly", SLOT_SECONDS, 3600 }, { "daily", SLOT_DAY, 0 },
	{ "weekly", SLOT_WEEK, 0 }, { "monthly", SLOT_MONTH, 0 },     { "yearly", SLOT_YEAR, 0 },
};

__attribute__((format(printf, 2, 3))) static int wrong(char **ret_wrong, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	*ret_wrong = text;
	return -EINVAL;
}

static const char *skip_blanks(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* ---- durations ---- */

/* A word of letters; an "s" for many may follow ("3 months"). 0: no such unit. */
static int64_t unit_seconds(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t length = strlen(units[i].name);

		if (strncasecmp(units[i].name, name, length < n ? length : n) != 0)
			continue;
		if (n == length || (n == length + 1 && length > 1 && (name[length] | 0x20) == 's'))
			return units[i].seconds;
	}
	return 0;
}

static int parse_seconds(const char *text, int64_t *ret_count, int64_t *ret_unit)
{
	int64_t count = 0, unit;
	size_t n = 0;

	text = skip_blanks(text);
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		count = count * 10 + (*text - '0');
		if (count > RETENTION_COUNT_MAX * 1000LL)
			return -EINVAL;
	}
	text = skip_blanks(text);
	while (isalpha((unsigned char)text[n]))
		n++;
	unit = unit_seconds(text, n);
	if (count == 0 || unit == 0 || *skip_blanks(text + n))
		return -EINVAL;
	*ret_count = count;
	*ret_unit = unit;
	return 0;
}

/* Parse "90s", "10min", "3mo", "1 week". 0 or -EINVAL (nothing, zero, too long, another unit). */
static int parse_duration(const char *text, int64_t *ret_ns)
{
	int64_t count, unit, ns;
	int r = parse_seconds(text, &count, &unit);

	if (r < 0)
		return r;
	if (__builtin_mul_overflow(count, unit * NS_PER_S, &ns))
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}

/* ---- one rule ---- */

static int parse_every(const char *text, struct retention_rule *rule, char **ret_wrong)
{
	char one[32]; /* "every week" */
	int64_t count, unit;

	(void)snprintf(one, sizeof(one), "1 %s", text);
	if (parse_seconds(isdigit((unsigned char)*text) ? text : one, &count, &unit) < 0)
		return wrong(ret_wrong, "\"every %s\": " DURATION_HELP, text);
	if (count == 1 && unit >= DAY_S) {
		rule->slot = unit == DAY_S        ? SLOT_DAY
			     : unit == 7 * DAY_S  ? SLOT_WEEK
			     : unit == 31 * DAY_S ? SLOT_MONTH
						  : SLOT_YEAR;
		return 0;
	}
	if (unit > 7 * DAY_S)
		return wrong(ret_wrong, "\"every %s\": say \"monthly\" or \"yearly\"", text);
	if (count * unit > UINT32_MAX)
		return wrong(ret_wrong, "\"every %s\" is too long; say \"yearly\"", text);
	rule->slot = SLOT_SECONDS;
	rule->seconds = (uint32_t)(count * unit);
	return 0;
}

static int parse_last(const char *text, struct retention_rule *rule, char **ret_wrong)
{
	char *end = NULL;
	unsigned long count = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;

	if (count == 0 || count > RETENTION_COUNT_MAX || *skip_blanks(end))
		return wrong(ret_wrong, "\"last %s\": say how many, as in \"last 10\"", text);
	rule->slot = SLOT_ALL;
	rule->count = (uint32_t)count;
	return 0;
}

static int parse_tag(const char *text, struct retention_rule *rule, char **ret_wrong)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || (n > 0 && (text[n] == '-' || text[n] == '_')))
		n++;
	if (n == 0 || n > TAG_BYTES_MAX || text[n])
		return wrong(ret_wrong,
			     "\"tag %s\": a tag begins with a letter or digit and holds those, '-' "
			     "and '_'",
			     text);
	memcpy(rule->tag, text, n);
	return 0;
}

/* Does the text begin with this word? What follows it, or NULL. */
static const char *after_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	if (strncasecmp(text, word, n) != 0 || (text[n] && !isspace((unsigned char)text[n])))
		return NULL;
	return skip_blanks(text + n);
}

/* Cut " for DURATION" off the end of a rule. */
static int cut_age(char *text, struct retention_rule *rule, char **ret_wrong)
{
	char *word = NULL;
	const char *age;
	size_t n;

	for (char *at = text; *at; at++)
		if (at > text && isspace((unsigned char)at[-1]) && after_word(at, "for"))
			word = at;
	if (!word)
		return 0;
	age = after_word(word, "for");
	if (strcasecmp(age, "ever") != 0 && parse_duration(age, &rule->for_ns) < 0)
		return wrong(ret_wrong, "\"for %s\": " DURATION_HELP ", or \"for ever\"", age);
	for (n = (size_t)(word - text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
		;
	text[n] = '\0';
	return 0;
}

static int parse_slot(const char *text, struct retention_rule *rule, char **ret_wrong)
{
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		if (strcasecmp(text, slots[i].name) != 0)
			continue;
		rule->slot = slots[i].slot;
		rule->seconds = slots[i].seconds;
		return 0;
	}
	return wrong(ret_wrong, "unknown rule \"%s\"; " RULES_HELP, text);
}

static int parse_kind(char *text, struct retention_rule *rule, char **ret_wrong)
{
	const char *rest;
	int r;

	rest = after_word(text, "last");
	if (rest)
		return parse_last(rest, rule, ret_wrong);
	rest = after_word(text, "tag");
	if (rest)
		return parse_tag(rest, rule, ret_wrong);
	r = cut_age(text, rule, ret_wrong);
	if (r < 0)
		return r;
	rest = after_word(text, "every");
	return rest ? parse_every(rest, rule, ret_wrong) : parse_slot(text, rule, ret_wrong);
}

static int add_rule(struct retention_policy *policy, const struct retention_rule *rule)
{
	if (policy->n_rules == RETENTION_RULES_MAX)
		return -E2BIG;
	policy->rules[policy->n_rules++] = *rule;
	return 0;
}

int retention_parse_rule(const char *text, struct retention_policy *policy, char **ret_wrong)
{
	struct retention_rule rule = { 0 };
	char copy[sizeof(rule.text)];
	size_t n;
	int r;

	text = skip_blanks(text);
	for (n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
		;
	if (n == 0)
		return wrong(ret_wrong, "an empty rule; " RULES_HELP);
	if (n >= sizeof(copy))
		return wrong(ret_wrong, "\"%.40s...\" is too long for a rule; " RULES_HELP, text);
	memcpy(copy, text, n);
	copy[n] = '\0';
	memcpy(rule.text, copy, n + 1);
	r = parse_kind(copy, &rule, ret_wrong);
	if (r < 0)
		return r;
	r = add_rule(policy, &rule);
	if (r == -E2BIG)
		r = wrong(ret_wrong, "more than %d rules", RETENTION_RULES_MAX) == -ENOMEM ? -ENOMEM
											   : -E2BIG;
	return r;
}

int retention_add_count(struct retention_policy *policy, enum retention_slot slot, uint32_t seconds,
			uint32_t count, const char *text)
{
	struct retention_rule rule = { .slot = slot, .seconds = seconds, .count = count };

	(void)snprintf(rule.text, sizeof(rule.text), "%s", text);
	return add_rule(policy, &rule);
}

int retention_parse(const char *text, struct retention_policy *policy, char **ret_wrong)
{
	struct retention_policy grown = *policy;
	CLEANUP(free_ptr) char *copy = strdup(text);
	char *rest = copy, *rule;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	while (r == 0 && (rule = strsep(&rest, ",")))
		r = retention_parse_rule(rule, &grown, ret_wrong);
	if (r == 0)
		*policy = grown;
	return r;
}
