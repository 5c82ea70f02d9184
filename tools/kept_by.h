/* SPDX-License-Identifier: MIT */
/*
 * kept_by: answers user.yore.kept-by and user.yore.expires of a snapshot's root
 * in the mount: which rule keeps it, and until when.
 *
 * The policy is evaluated once for each state of the timeline (and again every
 * minute), not for each question. Threads: any; a lock (LOCK_RANK_DAEMON)
 * guards everything.
 */
#ifndef TOOLS_KEPT_BY_H
#define TOOLS_KEPT_BY_H

#include "snapshots/retention.h"

struct kept_by;

/** Borrows the timeline, copies the policy. Returns 0 or -ENOMEM. */
int kept_by_new(struct timeline *t, const struct retention_policy *policy,
		struct kept_by **ret_kept_by);
void kept_by_free(struct kept_by *k);
CLEANUP_DEFINE(struct kept_by, kept_by_free)
/** Another policy from now on: the configuration was read again. */
void kept_by_set(struct kept_by *k, const struct retention_policy *policy);
/**
 * The value of "kept-by" (a rule's text, "latest", "tag NAME", "no rule") or
 * "expires" (RFC 3339, or "never"); the caller frees it. NULL: another name, an
 * unknown snapshot, an end that is not known, or no memory. Fits
 * mount_options.snapshot_xattr; `context` is the kept_by.
 */
char *kept_by_xattr(void *context, const struct snapshot_info *info, const char *name);

#endif
