/* SPDX-License-Identifier: MIT */
/*
 * pacer: keeps work that goes on in the background within a budget of bytes
 * read and of processor time, by letting those who do it sleep.
 *
 * Both are counted from pacer_begin() on, so that what was not used in a quiet
 * moment may be used in the next; a run therefore keeps its budget as a whole.
 *
 * Threads: any number; no lock.
 */
#ifndef SNAPSHOTS_PACER_H
#define SNAPSHOTS_PACER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pacer {
	uint64_t bytes_per_second; /* 0: no limit */
	unsigned int cpu_percent;  /* of one processor, of the whole process; 0: no limit */
	int64_t began_ns, began_cpu_ns;
	atomic_uint_fast64_t bytes;
};

/** Begin a run, with nothing used. */
void pacer_begin(struct pacer *p, uint64_t bytes_per_second, unsigned int cpu_percent);
/**
 * So many bytes were read just now: sleep for as long as the budget is overdrawn, or until
 * *cancel (may be NULL) becomes true. NULL is fine: no limits.
 */
void pacer_spend(struct pacer *p, uint64_t bytes, const volatile bool *cancel);

#endif
