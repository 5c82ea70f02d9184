/* SPDX-License-Identifier: MIT */
#include "snapshots/pacer.h"

#include "store/base/clock.h"

#include <time.h>

#define NAP_MOST_NS 50000000ll /* how late a cancellation may be noticed */

void pacer_begin(struct pacer *p, uint64_t bytes_per_second, unsigned int cpu_percent)
{
	p->bytes_per_second = bytes_per_second;
	p->cpu_percent = cpu_percent;
	p->began_ns = clock_monotonic_ns();
	p->began_cpu_ns = clock_cpu_ns();
	atomic_store(&p->bytes, 0);
}

/* How long the run should have taken by now, for what it has used. */
static int64_t earned_ns(const struct pacer *p)
{
	int64_t by_bytes = 0, by_cpu = 0;

	if (p->bytes_per_second > 0)
		by_bytes = (int64_t)((double)atomic_load(&p->bytes) / (double)p->bytes_per_second *
				     (double)NS_PER_S);
	if (p->cpu_percent > 0)
		by_cpu = (clock_cpu_ns() - p->began_cpu_ns) * 100 / (int64_t)p->cpu_percent;
	return by_bytes > by_cpu ? by_bytes : by_cpu;
}

void pacer_spend(struct pacer *p, uint64_t bytes, const volatile bool *cancel)
{
	if (!p || (p->bytes_per_second == 0 && p->cpu_percent == 0))
		return;
	atomic_fetch_add(&p->bytes, bytes);
	while (!cancel || !*cancel) {
		int64_t left = earned_ns(p) - (clock_monotonic_ns() - p->began_ns);
		struct timespec nap = { .tv_nsec = left < NAP_MOST_NS ? left : NAP_MOST_NS };

		if (left <= 0)
			return;
		(void)nanosleep(&nap, NULL);
	}
}
