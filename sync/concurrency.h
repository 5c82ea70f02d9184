/* SPDX-License-Identifier: MIT */
/*
 * concurrency: how many transfers to one remote may run at once, and how long
 * to wait after it refused.
 *
 * A success allows a little more, up to a maximum; a remote that asks to slow
 * down, or does not answer, halves it, and nothing new begins for a random time
 * (full jitter) that doubles with each failure in a row. When more transfers
 * move fewer bytes than fewer did, it goes back to these for a while: the line is
 * full, and more would only wait for one another.
 *
 * Time is what the caller says. Threads: owned by whoever holds its lock.
 */
#ifndef SYNC_CONCURRENCY_H
#define SYNC_CONCURRENCY_H

#include <stdbool.h>
#include <stdint.h>

struct concurrency {
	unsigned int max;
	uint32_t backoff_ms; /* of the first failure; doubles up to 256 times that */
	double allowed;
	unsigned int failures; /* in a row */
	int64_t resume_ns;     /* nothing begins before */
	/* What moved since the number allowed was judged last. */
	int64_t since_ns;
	uint64_t bytes;
	unsigned int successes;
	double rate; /* bytes a nanosecond, then */
	double allowed_then;
	unsigned int hold; /* judgements before more are allowed again */
};

#define CONCURRENCY_BACKOFF_MS 250
#define CONCURRENCY_FIRST 2

/** At most `max` at once (at least 1); backoff_ms 0: CONCURRENCY_BACKOFF_MS. */
void concurrency_init(struct concurrency *c, unsigned int max, uint32_t backoff_ms);
/** So many may run now. At least 1, but see concurrency_wait_ns. */
unsigned int concurrency_allowed(const struct concurrency *c);
/** So long to wait before anything begins; 0: not at all. */
int64_t concurrency_wait_ns(const struct concurrency *c, int64_t now_ns);
/** Does this error say that the remote is asked too much, or out of reach? */
bool concurrency_is_refusal(int r);
/** A transfer ended: `r` is its result, `bytes` what it moved. */
void concurrency_note(struct concurrency *c, int64_t now_ns, uint64_t bytes, int r);

#endif
