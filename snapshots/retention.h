/* SPDX-License-Identifier: MIT */
/*
 * retention: which snapshots stay, and why: one readable policy, evaluated by
 * age.
 *
 *   all for 1h, every 10min for 1d, hourly for 7d, daily for 3mo, weekly for 1y, monthly
 *
 * Ages and slots follow the order of sequences, not claimed times: see the
 * .c file for how a wrong clock is kept from throwing good snapshots away.
 *
 * Threads: pure functions.
 */
#ifndef SNAPSHOTS_RETENTION_H
#define SNAPSHOTS_RETENTION_H

#include "snapshots/timeline.h"

#define RETENTION_RULES_MAX 32
#define RETENTION_DEFAULT \
	"all for 1h, every 10min for 1d, hourly for 7d, daily for 3mo, weekly for 1y, monthly"

enum retention_slot { SLOT_ALL, SLOT_SECONDS, SLOT_DAY, SLOT_WEEK, SLOT_MONTH, SLOT_YEAR };

struct retention_rule {
	enum retention_slot slot;
	uint32_t seconds;  /* of SLOT_SECONDS */
	int64_t for_ns;    /* age up to which it holds; 0: for ever */
	uint32_t count;    /* or: so many slots (--keep-daily 7); 0: by age */
	char tag[TAG_BYTES_MAX + 1]; /* only carriers of this tag, all of them; "" */
	char text[48];     /* as the user wrote it: what kept-by shows */
};

struct retention_policy {
	struct retention_rule rules[RETENTION_RULES_MAX];
	size_t n_rules;
};

/* One snapshot, ascending by sequence. */
struct retention_item {
	uint64_t seq;
	int64_t time_ns;
	const char *tags; /* comma-separated */
};

struct retention_verdict {
	bool keep;
	char rule[64];      /* which rule keeps it, "" if none; the newest: "latest" */
	int64_t expires_ns; /* earliest moment at which no rule keeps it; INT64_MAX: never or unknown */
};

/**
 * Parse a policy; adds to what `policy` holds. Returns 0; -EINVAL with *ret_wrong (the caller
 * frees it) saying what is wrong and what would be right; -E2BIG; -ENOMEM.
 */
int retention_parse(const char *text, struct retention_policy *policy, char **ret_wrong);
/** `verdicts` has room for n. Returns 0 or -ENOMEM. */
int retention_evaluate(const struct retention_policy *policy, const struct retention_item *items,
		       size_t n, int64_t now_ns, struct retention_verdict *verdicts);
/** Evaluate a whole timeline; *ret_items and *ret_verdicts are the caller's to free (one block of
 * tags belongs to *ret_items). Returns 0 or -errno. */
struct retention_plan {
	struct retention_item *items;
	struct retention_verdict *verdicts;
	size_t n;
	char *tags; /* what items borrow from */
};
int retention_plan_make(struct timeline *t, const struct retention_policy *policy, int64_t now_ns,
			struct retention_plan *ret_plan);
void retention_plan_done(struct retention_plan *plan);

#endif
