/* SPDX-License-Identifier: MIT */
/*
 * What a policy says of a list of snapshots.
 *
 * Times are claims. A machine boots with the clock of its factory, somebody
 * sets the year wrong for an hour, a virtual machine wakes in another month.
 * Forgetting is for good, so no single clock may decide it. What can be relied
 * on is the order of sequences: a snapshot was received after those with lower
 * ones. Three steps turn claims into ages:
 *
 * 1. Which claims are believed. Most clocks are right most of the time: the
 *    longest run of claims that never go back, in the order of sequences, is
 *    believed. One snapshot ten years ahead, or in 1970, is not in it.
 *
 * 2. Where the others were. Between the believed ones around them: as far from
 *    one another as they claim (a clock that is wrong still runs), laid against
 *    the later of them. The later bound makes them younger, never older.
 *
 * 3. How old each is. Ages are counted back from the newest snapshot, so the
 *    clock of this moment has no say and a machine that was switched off finds
 *    everything again. And a silence of unusual length counts only as long as
 *    what was seen since: when the clock, or the machine's owner, jumps ten
 *    years ahead, nothing is ten years old at once; if the jump was real, its
 *    weight comes back as time passes. "Unusual" is beyond an hour and beyond
 *    four times the usual distance of snapshots. (Jumps ahead one after another
 *    do add up: who can set the clock and take snapshots dozens of times needs
 *    no clock to do harm.)
 *
 * Counting back from the wall clock was rejected: one wrong setting would
 * empty the fine end of every timeline. So was a fixed limit on silences: it
 * stretches the policy for whoever takes a snapshot a week.
 *
 * Slots (hours, local days, ...) are those of the times from step 2. Seconds
 * and hours count in UTC, where no hour comes twice.
 */
#include "snapshots/retention.h"

#include "snapshots/timeline_internal.h"
#include "store/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400LL
/* A silence up to this long, or this many times the usual distance, counts in full. */
#define SILENCE_NS (3600 * NS_PER_S)
#define SILENCE_TIMES 4
/* Distances from which on there is a usual one. */
#define RHYTHM_MIN 4
/* 1970-01-01 was a Thursday: three days into its week. */
#define EPOCH_WEEKDAY 3

/* What evaluating works with: one element a snapshot. */
struct age_table {
	int64_t *time_ns; /* claims, then where they are put: ascends */
	int64_t *age_ns;  /* counted from the newest */
	bool *believed;
	size_t *scratch; /* twice n */
};

static void age_table_done(struct age_table *t)
{
	free(t->time_ns);
	free(t->age_ns);
	free(t->believed);
	free(t->scratch);
}

static int age_table_init(struct age_table *t, const struct retention_item *items, size_t n)
{
	t->time_ns = calloc(n, sizeof(*t->time_ns));
	t->age_ns = calloc(n, sizeof(*t->age_ns));
	t->believed = calloc(n, sizeof(*t->believed));
	t->scratch = calloc(2 * n, sizeof(*t->scratch));
	if (!t->time_ns || !t->age_ns || !t->believed || !t->scratch)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		t->time_ns[i] = items[i].time_ns;
	return 0;
}

/* later - earlier, 0 if it is not later, INT64_MAX if that is too much. */
static int64_t distance(int64_t earlier, int64_t later)
{
	int64_t ns;

	if (later <= earlier)
		return 0;
	return __builtin_sub_overflow(later, earlier, &ns) ? INT64_MAX : ns;
}

static int64_t sum(int64_t a, int64_t b)
{
	int64_t ns;

	if (__builtin_add_overflow(a, b, &ns))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

/* ---- 1. which claims are believed ---- */

/*
 * Longest non-decreasing subsequence. tails[k] is the last of the best run of
 * k + 1 claims: the one with the least claim, so that what follows can join.
 */
static void believe_longest(struct age_table *t, size_t n)
{
	size_t *tails = t->scratch, *before = t->scratch + n;
	size_t length = 0, at;

	for (size_t i = 0; i < n; i++) {
		size_t low = 0, high = length;

		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (t->time_ns[tails[middle]] <= t->time_ns[i])
				low = middle + 1;
			else
				high = middle;
		}
		before[i] = low > 0 ? tails[low - 1] : i;
		tails[low] = i;
		length += low == length;
	}
	at = tails[length - 1];
	for (size_t k = length; k-- > 0; at = before[at])
		t->believed[at] = true;
}

/* ---- 2. where the others were ---- */

/* Those from `first` up to the believed one at `end`, none of them believed. */
static void place_before(struct age_table *t, size_t first, size_t end)
{
	int64_t floor_ns = first > 0 ? t->time_ns[first - 1] : INT64_MIN;
	int64_t apart = 0; /* from the one behind it, by what both claim */

	for (size_t i = end; i-- > first;) {
		int64_t claim = t->time_ns[i];
		int64_t at = sum(t->time_ns[i + 1], -apart);

		apart = i > first ? distance(t->time_ns[i - 1], claim) : 0;
		t->time_ns[i] = at > floor_ns ? at : floor_ns;
	}
}

/* Those behind the last believed one. */
static void place_after(struct age_table *t, size_t first, size_t n)
{
	int64_t claim_before = INT64_MAX;

	for (size_t i = first; i < n; i++) {
		int64_t claim = t->time_ns[i];

		t->time_ns[i] = sum(t->time_ns[i - 1], distance(claim_before, claim));
		claim_before = claim;
	}
}

static void place_others(struct age_table *t, size_t n)
{
	size_t first = 0;

	for (size_t i = 0; i < n; i++) {
		if (!t->believed[i])
			continue;
		place_before(t, first, i);
		first = i + 1;
	}
	place_after(t, first, n);
}

/* ---- 3. how old each is ---- */

static int compare_ns(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The longest silence that counts in full. Uses age_ns as room. */
static int64_t usual_silence(struct age_table *t, size_t n)
{
	int64_t usual;

	if (n < RHYTHM_MIN + 1)
		return SILENCE_NS;
	for (size_t i = 0; i + 1 < n; i++)
		t->age_ns[i] = distance(t->time_ns[i], t->time_ns[i + 1]);
	qsort(t->age_ns, n - 1, sizeof(*t->age_ns), compare_ns);
	usual = t->age_ns[(n - 2) / 2];
	if (usual > INT64_MAX / SILENCE_TIMES)
		return INT64_MAX;
	return usual * SILENCE_TIMES > SILENCE_NS ? usual * SILENCE_TIMES : SILENCE_NS;
}

static void count_ages(struct age_table *t, size_t n, bool trust_clock)
{
	int64_t usual = trust_clock ? INT64_MAX : usual_silence(t, n);
	int64_t seen = 0;

	t->age_ns[n - 1] = 0;
	for (size_t i = n - 1; i-- > 0;) {
		int64_t silence = distance(t->time_ns[i], t->time_ns[i + 1]);
		int64_t most = seen > usual ? seen : usual;

		seen = sum(seen, silence < most ? silence : most);
		t->age_ns[i] = seen;
	}
}

/* ---- slots ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Which slot a time lies in: numbers that ascend with time. */
static int64_t slot_of(const struct retention_rule *rule, int64_t time_ns)
{
	int64_t seconds = floor_div(time_ns, NS_PER_S);
	time_t t = seconds;
	struct tm tm = { 0 };
	int64_t day;

	if (rule->slot == SLOT_SECONDS)
		return floor_div(seconds, rule->seconds);
	(void)localtime_r(&t, &tm);
	if (rule->slot == SLOT_YEAR)
		return tm.tm_year;
	if (rule->slot == SLOT_MONTH)
		return (int64_t)tm.tm_year * 12 + tm.tm_mon;
	day = floor_div(seconds + tm.tm_gmtoff, DAY_S);
	return rule->slot == SLOT_DAY ? day : floor_div(day + EPOCH_WEEKDAY, 7);
}

/* ---- verdicts ---- */

struct evaluation {
	const struct retention_policy *policy;
	const struct retention_item *items;
	size_t n;
	int64_t now_ns; /* moment that age 0 stands for */
	const struct age_table *ages;
	struct retention_verdict *verdicts;
};

/* A rule keeps it until then: the one that holds longest is named. */
static void keep(struct retention_verdict *v, const char *rule, int64_t until_ns)
{
	if (v->keep && until_ns <= v->expires_ns)
		return;
	v->keep = true;
	v->expires_ns = until_ns;
	(void)snprintf(v->rule, sizeof(v->rule), "%s", rule);
}

static void apply_rule(const struct evaluation *e, const struct retention_rule *rule)
{
	int64_t slot, slot_before = INT64_MAX;
	uint32_t n_slots = 0;

	for (size_t i = e->n; i-- > 0;) {
		int64_t age = e->ages->age_ns[i];

		if (rule->for_ns > 0 && age > rule->for_ns)
			return;
		if (rule->slot != SLOT_ALL) {
			/* Descends, but where a zone set its clocks back over midnight. */
			slot = slot_of(rule, e->ages->time_ns[i]);
			if (n_slots > 0 && slot >= slot_before)
				continue;
			slot_before = slot;
		}
		if (rule->count > 0 && n_slots == rule->count)
			return;
		n_slots++;
		keep(&e->verdicts[i], rule->text,
		     rule->for_ns > 0 ? sum(e->now_ns, rule->for_ns - age) : INT64_MAX);
	}
}

/* Is the tag one of the comma-separated ones? */
static bool carries(const char *tags, const char *tag)
{
	size_t n = strlen(tag);

	while (tags && *tags) {
		size_t here = strcspn(tags, ",");

		if (here == n && memcmp(tags, tag, n) == 0)
			return true;
		tags += here + (tags[here] == ',');
	}
	return false;
}

static void pin(struct retention_verdict *v, const char *tag, size_t n)
{
	char rule[sizeof(v->rule)];

	(void)snprintf(rule, sizeof(rule), "tag %.*s", (int)n, tag);
	/* A pin is what matters to whoever set it, whichever other rule is for ever, too. */
	v->keep = false;
	keep(v, rule, INT64_MAX);
}

static void apply_tags(const struct evaluation *e)
{
	bool named = false;

	for (size_t k = 0; k < e->policy->n_rules; k++)
		named |= e->policy->rules[k].tag[0] != '\0';
	for (size_t i = 0; i < e->n; i++) {
		const char *tags = e->items[i].tags;

		if (!tags || !*tags)
			continue;
		if (!named)
			pin(&e->verdicts[i], tags, strcspn(tags, ","));
		for (size_t k = 0; named && k < e->policy->n_rules; k++) {
			const char *tag = e->policy->rules[k].tag;

			if (*tag && carries(tags, tag))
				pin(&e->verdicts[i], tag, strlen(tag));
		}
	}
}

int retention_evaluate(const struct retention_policy *policy, const struct retention_item *items,
		       size_t n, int64_t now_ns, struct retention_verdict *verdicts)
{
	CLEANUP(age_table_done) struct age_table ages = { 0 };
	struct evaluation e = { policy, items, n, now_ns, &ages, verdicts };
	int r;

	if (n == 0)
		return 0;
	r = age_table_init(&ages, items, n);
	if (r < 0)
		return r;
	believe_longest(&ages, n);
	place_others(&ages, n);
	count_ages(&ages, n, policy->trust_clock);

	for (size_t i = 0; i < n; i++)
		verdicts[i] = (struct retention_verdict){ .expires_ns = now_ns };
	for (size_t k = 0; k < policy->n_rules; k++)
		if (policy->rules[k].tag[0] == '\0')
			apply_rule(&e, &policy->rules[k]);
	apply_tags(&e);
	verdicts[n - 1] = (struct retention_verdict){ true, "latest", INT64_MAX };
	return 0;
}

/* ---- a whole timeline ---- */

struct plan_builder {
	struct retention_plan plan;
	size_t items_room, tags_n, tags_room;
};

static int add_tags(struct plan_builder *b, const char *tags)
{
	size_t n = strlen(tags) + 1;

	if (n > b->tags_room - b->tags_n) {
		size_t room = 2 * b->tags_room + n + 64;
		char *grown = realloc(b->plan.tags, room);

		if (!grown)
			return -ENOMEM;
		b->plan.tags = grown;
		b->tags_room = room;
	}
	memcpy(b->plan.tags + b->tags_n, tags, n);
	b->tags_n += n;
	return 0;
}

static int add_item(void *context, const struct snapshot_info *info)
{
	struct plan_builder *b = context;
	struct retention_plan *plan = &b->plan;
	int r = timeline_grow(&plan->items, plan->n, &b->items_room, sizeof(*plan->items));

	if (r == 0)
		r = add_tags(b, info->tags);
	if (r == 0)
		plan->items[plan->n++] = (struct retention_item){ info->seq, info->time_ns, NULL };
	return r;
}

/* The block no longer moves: point into it. */
static void point_tags(struct retention_plan *plan)
{
	const char *at = plan->tags;

	for (size_t i = 0; i < plan->n; i++) {
		plan->items[i].tags = at;
		at += strlen(at) + 1;
	}
}

static void builder_done(struct plan_builder *b)
{
	retention_plan_done(&b->plan);
}

int retention_plan_make(struct timeline *t, const struct retention_policy *policy, int64_t now_ns,
			struct retention_plan *ret_plan)
{
	CLEANUP(builder_done) struct plan_builder b = { 0 };
	int r = timeline_each(t, false, add_item, &b);

	if (r < 0)
		return r;
	point_tags(&b.plan);
	b.plan.verdicts = calloc(b.plan.n + 1, sizeof(*b.plan.verdicts));
	if (!b.plan.verdicts)
		return -ENOMEM;
	r = retention_evaluate(policy, b.plan.items, b.plan.n, now_ns, b.plan.verdicts);
	if (r < 0)
		return r;
	*ret_plan = b.plan;
	b.plan = (struct retention_plan){ 0 };
	return 0;
}

const struct retention_verdict *retention_plan_find(const struct retention_plan *plan, uint64_t seq)
{
	size_t low = 0, high = plan->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (plan->items[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < plan->n && plan->items[low].seq == seq ? &plan->verdicts[low] : NULL;
}

void retention_plan_done(struct retention_plan *plan)
{
	free(plan->items);
	free(plan->verdicts);
	free(plan->tags);
	*plan = (struct retention_plan){ 0 };
}
