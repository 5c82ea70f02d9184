/* SPDX-License-Identifier: MIT */
/*
 * make_snapshots N FIRST STEP: append N snapshots that show what the newest
 * one shows, with the times FIRST, FIRST + STEP, ... (seconds since 1970), to
 * the repository that the environment names. For tests that need thousands of
 * snapshots, or snapshots of a certain time, and not what is in them.
 */
#include "store/base/log.h"
#include "tools/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

volatile bool cmd_cancelled;

/* Each one is a snapshot by itself: nothing new is stored in it. */
static int append_all(struct session *s, struct record *like, uint64_t n, int64_t first,
		      int64_t step)
{
	struct snapshot_info info;
	int r = 0;

	like->n_packs = 0;
	like->new_raw_bytes = like->new_stored_bytes = 0;
	for (uint64_t i = 0; i < n && r == 0; i++) {
		like->time_ns = (first + (int64_t)i * step) * 1000000000;
		r = timeline_append(s->timeline, like, &info);
	}
	return r;
}

static int append_locked(struct session *s, uint64_t n, int64_t first, int64_t step)
{
	CLEANUP(record_done) struct record like = { 0 };
	struct snapshot_info latest;
	size_t n_packs;
	int lock, r;

	lock = timeline_lock(s->timeline);
	if (lock < 0)
		return lock;
	r = timeline_latest(s->timeline, &latest);
	if (r == 0)
		r = timeline_read(s->timeline, latest.seq, &like);
	n_packs = like.n_packs;
	if (r == 0)
		r = append_all(s, &like, n, first, step);
	like.n_packs = n_packs;
	io_close(s->io, lock);
	return r;
}

int main(int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	const struct cmd_globals globals = { .repository = NULL };
	int r;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: make_snapshots N FIRST STEP\n");
		return 2;
	}
	r = session_open(&s, &globals, SESSION_TIMELINE, SESSION_WRITES | SESSION_OWN_HOST);
	if (r != EXIT_CODE_DONE)
		return r;
	r = append_locked(&s, strtoull(argv[1], NULL, 10), strtoll(argv[2], NULL, 10),
			  strtoll(argv[3], NULL, 10));
	if (r < 0)
		(void)fprintf(stderr, "make_snapshots: error %d\n", -r);
	return r < 0;
}
