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
 *
 * Clocks: intervals are measured by clocks that nobody sets. The wall clock is
 * shown and recorded; between two runs of the daemon it is all there is, and
 * what it says then is bounded: a clock that jumps makes something happen once
 * too often, never years late.
 */
#ifndef TOOLS_PROTECTOR_INTERNAL_H
#define TOOLS_PROTECTOR_INTERNAL_H

#include "snapshots/capture.h"
#include "snapshots/retention.h"
#include "snapshots/watch.h"
#include "store/base/clock.h"
#include "store/base/lock.h"
#include "tools/alert.h"
#include "tools/protector.h"

#include <stdatomic.h>

#define NS_PER_HOUR (3600 * NS_PER_S)

/* One configured source. */
struct target {
	const struct config_source *config;
	char *path; /* canonical */
	bool is_stream;
	size_t watched;        /* its number in the watch; streams have none */
	int64_t captured_ns;   /* wall clock; 0: never */
	int64_t walked_ns;     /* wall clock, of its last whole walk */
	int64_t walk_due_ns;   /* boottime: when all of it is looked at again */
	int64_t run_due_ns;    /* boottime: when a stream's program runs again */
	bool missing;          /* never captured, and not there (yet) */
	unsigned int failures; /* one after another, of its hooks, its frozen copy, its program */
	int64_t retry_ns;      /* boottime: not before */
};

struct protector {
	struct protector_options options;
	struct timeline *timeline;
	bool owns_timeline;
	int note_fd;
	int wake;        /* eventfd: something for the protecting thread */
	int report_wake; /* eventfd: something for the reporting thread */

	/* the protecting thread's */
	struct config config;
	struct watch *watch; /* NULL: the configuration is not in force */
	struct target *targets;
	size_t n_targets;
	int64_t watching_ns; /* monotonic: when the watch began */
	char **dropped;      /* sources of the last configuration that are in this one no more */
	size_t n_dropped;
	int64_t retry_ns;      /* monotonic: not before; 0: any time */
	unsigned int failures; /* one after another */
	struct pacer pacer;
	uint64_t repository_device, repository_inode;
	int64_t moved_look_ns; /* monotonic: when to look next whether a source moved */
	int64_t gone_ns; /* monotonic: since when the repository is not where it was; 0: it is */

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
	atomic_size_t n_sources; /* configured */
	atomic_int nice, io;     /* as configured, for every thread to take over */
	atomic_bool reload, stopping, changed;
	atomic_bool report_end;
	volatile bool cancel;             /* ends what is under way at once */
	atomic_int_fast64_t heartbeat_ns; /* monotonic: the protecting thread was seen alive */
	atomic_int_fast64_t patience_ns;  /* so long it may be busy with one thing */
};

/* How long to wait after so many failures, one after another. */
int64_t protector_backoff_ns(unsigned int failures);
/* Snapshots leave the machine to its users. `known` is the caller's, and 0 at first. */
void protector_lower_priority(struct protector *p, int *known);

/* ---- protector_config.c ---- */
/* Put p->config in force: targets and a watch, all of which is pending. 0 or -errno. */
int protector_adopt(struct protector *p);
/* Read the configuration again. What was in force is gone: adopt it. A wrong one changes nothing.
 */
void protector_read_config(struct protector *p);
/* Does a resolved path end at a symlink that leads nowhere, or is it not there: a disk is away? */
bool protector_is_nowhere(const char *path);
void protector_free_config(struct protector *p);
/* Everything that was dropped has left the newest snapshot. */
void protector_forget_dropped(struct protector *p);

/* ---- protector_capture.c ---- */
/* Take one snapshot of what is pending. Returns 0, -EALREADY (nothing had changed), -errno. */
int protector_round(struct protector *p);
/* Is this one left alone for now: it failed, or is not there yet? */
bool target_rests(const struct target *t);

/* ---- protector_upkeep.c ---- */
void *protector_upkeep_thread(void *argument);

/* ---- protector_state.c ---- */
void *protector_report_thread(void *argument);
/* Refill the list of sources after the configuration changed. 0 or -ENOMEM. */
int protector_state_targets(struct protector *p);
/* Remember a problem with a file. */
void protector_problem(void *protector, const char *path, const char *what, int error);
/* Protection has stopped, and why; NULL: it goes on. */
void protector_say_stopped(struct protector *p, const char *why);
/* Something worth publishing soon. */
void protector_touch(struct protector *p);

#endif
