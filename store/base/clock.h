/* SPDX-License-Identifier: MIT */
/*
 * clock: the time in nanoseconds, by the clocks that the program goes by.
 *
 * Threads: any; also from signal handlers.
 */
#ifndef STORE_BASE_CLOCK_H
#define STORE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

/** The clock on the wall, since 1970. It can be set, also back. */
int64_t clock_now_ns(void);
/** Since some moment in the past; it only goes forward, and stands while the machine sleeps. */
int64_t clock_monotonic_ns(void);
/** The same, but going on while the machine sleeps. */
int64_t clock_boottime_ns(void);
/** The processor time that this process has used. */
int64_t clock_cpu_ns(void);

/** Whole seconds, rounded down also before 1970. */
int64_t clock_floor_seconds(int64_t ns);
/** For the calls that wait until a moment. The moment is not before the clock's beginning. */
struct timespec clock_timespec(int64_t ns);

#endif
