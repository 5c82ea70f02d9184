/* SPDX-License-Identifier: MIT */
/*
 * moment: the one grammar for names of times, used by the mount and by every
 * command (where the '@' may be left out).
 *
 *   2024-05-01T14-30-00Z[.n]   a listed exact name
 *   2024-05-01  2024-05-01T14-30  2024-05-01T14-30-05   local; Z for UTC; ':' for '-' in the time
 *   today yesterday monday … sunday  14-30  14-30-05     the most recent that has begun
 *   90s-ago 15min-ago 2h-ago (instants); 3-days-ago 2-weeks-ago (end of that local day)
 *   latest; a tag; an id prefix of 8 or more hex digits
 *
 * A time means the state as of its end: of the day, minute or second named. A
 * moment whose start is still to come does not exist. A repeated local time
 * (DST) means the later one, a skipped one the instant of the change. Local
 * time follows TZ.
 *
 * Threads: any (localtime_r; tzset is called once by the program).
 */
#ifndef SNAPSHOTS_MOMENT_H
#define SNAPSHOTS_MOMENT_H

#include "snapshots/timeline.h"

enum moment_form {
	MOMENT_LATEST,
	MOMENT_EXACT, /* try as an exact name first, then as the second that it names */
	MOMENT_TIME,  /* as of end_ns */
	MOMENT_WORD,  /* a tag, or else an id prefix */
};

struct moment {
	enum moment_form form;
	int64_t start_ns; /* MOMENT_TIME, MOMENT_EXACT: when the named stretch begins */
	int64_t end_ns;   /* last nanosecond that belongs to it */
	char word[SNAPSHOT_NAME_BYTES + 64];
};

/** Parse with or without '@', against the clock `now_ns`. 0, or -EINVAL for what can be no moment.
 */
int moment_parse(const char *text, int64_t now_ns, struct moment *ret_moment);
/** Parse and find. 0; -ENOENT (not begun yet, before the first, unknown word); -EINVAL; -ENOTUNIQ.
 */
int moment_resolve(struct timeline *t, const char *text, int64_t now_ns,
		   struct snapshot_info *ret_info);
/** May this be a tag: [A-Za-z0-9][A-Za-z0-9_-]{0,63}, no time, no 8 hex digits, not "latest"? */
bool moment_tag_valid(const char *text);
/**
 * Split "MOMENT:PATH" at the first ":/" (PATH keeps its '/'); without one the
 * whole is MOMENT and the path "". `text` is cut in place.
 */
void moment_split(char *text, const char **ret_moment, const char **ret_path);
/** Local day of a time: "2024-05-01". */
void moment_day(int64_t time_ns, char to[static 16]);
/** First and last nanosecond of the local day that holds `time_ns`. */
void moment_day_range(int64_t time_ns, int64_t *ret_start_ns, int64_t *ret_end_ns);

#endif
