/* SPDX-License-Identifier: MIT */
/*
 * protector_internal: what the protector's three threads share.
 *
 *   yore-protect   decides when, takes snapshots; owns config, watch, targets
 *   yore-upkeep    thins, collects, verifies
 *   yore-report    publishes the state, tells alerts and the watchdog
 *
 * A lock of LOCK_RANK_LEAF, protector.lock, guards `state`, `keep` and the requests to
 * the upkeep thread; nothing is called with it held but memory functions.
 */
#ifndef TOOLS_PROTECTOR_INTERNAL_H
#define TOOLS_PROTECTOR_INTERNAL_H

#include "snapshots/capture.h"
#include "snapshots/retention.h"
#include "snapshots/watch.h"
#include "store/base/lock.h"
#include "tools/alert.h"
#include "tools/protector.h"

#include <stdatomic.h>

#define NS_PER_S 1000000000ll
#define NS_PER_MS 1000000ll

/* One configured source. */
struct target {
	const struct config_source *config;
	char *path; /* canonical */
	bool is_stream;
	size_t watched;      /* its number in the watch; streams have none */
	int64_t captured_ns; /* wall clock; 0: never */
	int64_t walked_ns;
	int64_t tried_ns; /* of a stream: when its program last ran */
};

struct protector {
	struct protector_options options;
	struct timeline *timeline;
	bool owns_timeline;
	int note_fd;
	int wake;        /* eventfd: something for the protecting thread */
	int report_wake; /* eventfd: the reporting thread shall end */

	/* the protecting thread's */
	struct config config;
	struct watch *watch;
	struct target *targets;
	size_t n_targets;
	char **dropped; /* sources of the last configuration that are in this one no more */
	size_t n_dropped;
	int64_t retry_ns;      /* monotonic: not before; 0: any time */
	unsigned int failures; /* one after another */
	struct pacer pacer;

	/* LOCK_RANK_DAEMON: held by the protecting thread while it exchanges watch, targets and
	 * config, and by others while they look at them */
	struct lock config_lock;

	struct lock lock;
	struct protection state;
	struct retention_policy keep;
	uint64_t collect_every_ms, collect_rate, reserve_bytes; /* as configured */
	uint64_t verify_every_ms, verify_rate;
	pthread_cond_t upkeep_wake;
	struct capture_progress progress;
	struct alerts *alerts;

	pthread_t protecting, upkeep, reporting;
	unsigned int n_threads;
	atomic_bool reload, stopping, changed;
	volatile bool cancel;             /* ends what is under way at once */
	atomic_int_fast64_t heartbeat_ns; /* monotonic: the protecting thread was seen alive */
};

int64_t monotonic_ns(void);
/* Sleep until woken, stopped, or this long. */
void protector_sleep(struct protector *p, int64_t ms);

/* ---- protector_capture.c ---- */
/* Take one snapshot of what is pending. Returns 0, -EALREADY (nothing had changed), -errno. */
int protector_round(struct protector *p);
/* Is the program of a stream to be run again? */
bool target_stream_due(const struct target *t, int64_t now_ns);

/* ---- protector_upkeep.c ---- */
void *protector_upkeep_thread(void *protector);

/* ---- protector_state.c ---- */
void *protector_report_thread(void *protector);
/* Refill the list of sources after the configuration changed. 0 or -ENOMEM. */
int protector_state_targets(struct protector *p);
/* Remember a problem with a file. */
void protector_problem(void *protector, const char *path, const char *what, int error);
/* Protection has stopped, and why; NULL: it goes on. */
void protector_say_stopped(struct protector *p, const char *why);
/* Something worth publishing soon. */
void protector_touch(struct protector *p);

#endif
