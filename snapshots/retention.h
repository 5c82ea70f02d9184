/* SPDX-License-Identifier: MIT */
/*
 * retention: which snapshots stay, and why: one readable policy, evaluated by
 * age.
 *
 *   all for 1h, every 10min for 1d, hourly for 7d, daily for 3mo, weekly for 1y, monthly
 *
 * Rules, separated by commas, each with "for DURATION", "for ever" or nothing
 * (for ever): `all`; `every 10min`; `hourly`, `daily`, `weekly`, `monthly`,
 * `yearly`; and, without "for", `last 10` (so many of the newest) and
 * `tag NAME` (its carriers). Durations: s, min, h, d, w, mo (31 days), y (366).
 *
 * A snapshot stays while any rule keeps it. A slot (an hour, a local day, a week from Monday on,
 * ...) keeps its last snapshot. The newest always stays. So do tagged ones; only where the policy
 * names tags, no others pin.
 *
 * Ages and slots follow the order of sequences, not claimed times, and ages
 * are counted back from the newest snapshot, not from the wall clock: see the
 * .c file for how a wrong clock is kept from throwing good snapshots away.
 *
 * Threads: pure functions (local time follows TZ).
 */
#ifndef SNAPSHOTS_RETENTION_H
#define SNAPSHOTS_RETENTION_H

#include "snapshots/timeline.h"

#define RETENTION_RULES_MAX 32
#define RETENTION_COUNT_MAX 1000000
#define RETENTION_DEFAULT \
	"all for 1h, every 10min for 1d, hourly for 7d, daily for 3mo, weekly for 1y, monthly"

enum retention_slot { SLOT_ALL, SLOT_SECONDS, SLOT_DAY, SLOT_WEEK, SLOT_MONTH, SLOT_YEAR };

struct retention_rule {
	enum retention_slot slot;
	uint32_t seconds;            /* of SLOT_SECONDS */
	int64_t for_ns;              /* age up to which it holds; 0: for ever */
	uint32_t count;              /* or: so many slots (--keep-daily 7); 0: by age */
	char tag[TAG_BYTES_MAX + 1]; /* only carriers of this tag, all of them; "" */
	char text[80];               /* as the user wrote it: what kept-by shows */
};

struct retention_policy {
	struct retention_rule rules[RETENTION_RULES_MAX];
	size_t n_rules;
	bool trust_clock; /* long silences age what came before them in full */
};

/* One snapshot, ascending by sequence. */
struct retention_item {
	uint64_t seq;
	int64_t time_ns;
	const char *tags; /* comma-separated */
};

struct retention_verdict {
	bool keep;
	char rule[80]; /* of those that keep it the one that holds longest, "" if none; the newest:
			  "latest"; one that carries a tag: "tag NAME" */
	/* When no rule will keep it any more, if snapshots go on and none takes its place in its
	 * slot; INT64_MAX: never, or not by age. Not kept: when that was, roughly: now. */
	int64_t expires_ns;
};

/**
 * Parse a policy; adds to what `policy` holds. Returns 0; -EINVAL with *ret_wrong (the caller
 * frees it) saying what is wrong and what would be right; -E2BIG past RETENTION_RULES_MAX (with
 * *ret_wrong, too); -ENOMEM. `policy` is unchanged on failure.
 */
int retention_parse(const char *text, struct retention_policy *policy, char **ret_wrong);
/** Add one rule: `text` of the grammar without commas. As retention_parse. */
int retention_parse_rule(const char *text, struct retention_policy *policy, char **ret_wrong);
/** Add "the newest of `count` slots", shown as `text`. 0 or -E2BIG. */
int retention_add_count(struct retention_policy *policy, enum retention_slot slot, uint32_t seconds,
			uint32_t count, const char *text);

/**
 * `items` ascend by sequence; `verdicts` has room for n; now_ns serves expires_ns only.
 * Returns 0 or -ENOMEM.
 */
int retention_evaluate(const struct retention_policy *policy, const struct retention_item *items,
		       size_t n, int64_t now_ns, struct retention_verdict *verdicts);

/** A whole timeline evaluated. Free with retention_plan_done. */
struct retention_plan {
	struct retention_item *items;
	struct retention_verdict *verdicts;
	size_t n;
	char *tags; /* what items borrow from */
};
/** Returns 0 or -errno; *ret_plan is untouched on failure. */
int retention_plan_make(struct timeline *t, const struct retention_policy *policy, int64_t now_ns,
			struct retention_plan *ret_plan);
/** The verdict on a sequence, or NULL. */
const struct retention_verdict *retention_plan_find(const struct retention_plan *plan,
						    uint64_t seq);
void retention_plan_done(struct retention_plan *plan);

#endif
