/* SPDX-License-Identifier: MIT */
/*
 * restore_in_place: what is restored over its original place, and the snapshot
 * that is taken first, so that it can be undone.
 *
 * A path inside a source is one job; one above sources is a job for each of
 * them, because what lies beside them was never captured. The safety snapshot
 * has the reason and the tag "before-restore": the tag pins it.
 *
 * Threads: belongs to one thread.
 */
#ifndef TOOLS_RESTORE_IN_PLACE_H
#define TOOLS_RESTORE_IN_PLACE_H

#include "tools/place.h"

struct in_place_job {
	char *path;     /* in the snapshot; "" is the root */
	char *target;   /* its original parent; "/" for the root */
	bool is_parent; /* false: the root */
};

struct in_place {
	struct in_place_job *jobs;
	size_t n;
	struct snapshot_info safety; /* seq 0: none was taken */
};

struct in_place_options {
	bool delete_extra;
	bool no_safety;
	bool dry_run; /* no safety snapshot either */
};

/**
 * Find the jobs and take the safety snapshot; what went wrong is said, and
 * nothing was restored then. EXIT_CODE_DONE or an exit code. The place must
 * exist in its snapshot.
 */
int in_place_prepare(struct session *s, const struct place *place,
		     const struct in_place_options *options, struct in_place *ret_in_place);
void in_place_done(struct in_place *p);

#endif
