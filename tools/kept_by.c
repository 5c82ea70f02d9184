/* SPDX-License-Identifier: MIT */
#include "tools/kept_by.h"

#include "store/base/lock.h"
#include "tools/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_NS 60000000000LL /* a plan is used for that long */

struct kept_by {
	struct timeline *timeline;

	struct lock lock; /* guards everything below */
	struct retention_policy policy;
	struct retention_plan plan;
	bool is_made;
	int64_t made_ns;
	uint64_t n; /* of the timeline when it was made */
	uint64_t latest;
};

int kept_by_new(struct timeline *t, const struct retention_policy *policy,
		struct kept_by **ret_kept_by)
{
	struct kept_by *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	lock_init(&k->lock, LOCK_RANK_DAEMON);
	k->timeline = t;
	k->policy = *policy;
	*ret_kept_by = k;
	return 0;
}

void kept_by_free(struct kept_by *k)
{
	if (!k)
		return;
	retention_plan_done(&k->plan);
	lock_done(&k->lock);
	free(k);
}

void kept_by_set(struct kept_by *k, const struct retention_policy *policy)
{
	LOCK_SCOPE(&k->lock);
	k->policy = *policy;
	k->is_made = false;
}

/* A plan of the timeline as it is. Lock held. */
static int refresh(struct kept_by *k)
{
	struct snapshot_info latest = { 0 };
	int64_t now_ns = clock_now_ns();
	struct retention_plan plan;
	uint64_t n = 0;
	int r;

	(void)timeline_count(k->timeline, &n);
	(void)timeline_latest(k->timeline, &latest);
	if (k->is_made && n == k->n && latest.seq == k->latest &&
	    llabs(now_ns - k->made_ns) < PLAN_NS)
		return 0;
	r = retention_plan_make(k->timeline, &k->policy, now_ns, &plan);
	if (r < 0)
		return r;
	retention_plan_done(&k->plan);
	k->plan = plan;
	k->is_made = true;
	k->made_ns = now_ns;
	k->n = n;
	k->latest = latest.seq;
	return 0;
}

static char *expiry(const struct retention_verdict *v)
{
	char time[OUTPUT_TIME_BYTES];

	if (v->expires_ns != INT64_MAX)
		return strdup(output_time_utc(v->expires_ns, time));
	/* Until newer ones come: nobody knows when. */
	if (strcmp(v->rule, "latest") == 0 || strncmp(v->rule, "last ", 5) == 0)
		return NULL;
	return strdup("never");
}

char *kept_by_xattr(void *context, const struct snapshot_info *info, const char *name)
{
	struct kept_by *k = context;
	const struct retention_verdict *v;
	bool wants_rule = strcmp(name, "kept-by") == 0;

	if (!wants_rule && strcmp(name, "expires") != 0)
		return NULL;
	LOCK_SCOPE(&k->lock);
	/* Nothing is forgotten by itself. */
	if (k->policy.n_rules == 0)
		return strdup(wants_rule ? "no policy" : "never");
	if (refresh(k) < 0)
		return NULL;
	v = retention_plan_find(&k->plan, info->seq);
	if (!v)
		return NULL;
	if (wants_rule)
		return strdup(v->keep ? v->rule : "no rule");
	return expiry(v);
}
