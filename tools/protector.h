/* SPDX-License-Identifier: MIT */
/*
 * protector: the daemon's work: it watches the configured sources, takes a
 * snapshot soon after something changed, thins the timeline, gives space back
 * and verifies what is stored, for as long as it runs.
 *
 *   protector.c          its life, and when something is due
 *   protector_config.c   what is protected: configuration, targets, the watch
 *   protector_capture.c  one snapshot: sources, hooks, frozen copies, streams
 *   protector_upkeep.c   thinning, collecting, verifying: a thread of its own
 *   protector_state.c    what status, metrics and alerts are told
 *
 * A snapshot that fails is tried again, at growing distances, and loses
 * nothing: what had changed stays pending. Only one process at a time protects
 * with a repository (local/daemon).
 *
 * Threads: three of its own; all functions may be called from any thread.
 */
#ifndef TOOLS_PROTECTOR_H
#define TOOLS_PROTECTOR_H

#include "tools/config.h"
#include "tools/protection.h"
#include "tools/session.h"

struct protector;

struct protector_options {
	struct session *session;           /* open for writing; borrowed */
	const struct cmd_globals *globals; /* to read the configuration again; borrowed */
	const char *mountpoint;            /* for the note to others; NULL: none */
	/* Called from its threads when another policy of retention is in force. May be NULL. */
	void (*policy_changed)(void *context, const struct retention_policy *policy);
	/*
	 * Called once, from a thread of its own, when the repository is not where it was any more
	 * or its disk fails: protection has ended; whoever closes everything and opens the
	 * repository again when it is back begins a new one. May be NULL.
	 */
	void (*repository_lost)(void *context);
	void *context;
};

/**
 * Take the configuration over and begin. Returns 0; -EBUSY when another process
 * protects with this repository; -EROFS; -errno.
 */
int protector_new(const struct protector_options *options, struct config *config,
		  struct protector **ret_protector);
/** Read the configuration again; a wrong one is said, and the old one stays. Async-signal-safe. */
void protector_reload(struct protector *p);
/**
 * Ask it to end: a snapshot that is under way is finished, and what is pending
 * goes into a last one. Asked again: at once. Async-signal-safe.
 */
void protector_stop(struct protector *p);
/** Stop, and wait until its last snapshot is taken. */
void protector_wait(struct protector *p);
/** The same, and free it. NULL is fine. */
void protector_free(struct protector *p);
CLEANUP_DEFINE(struct protector, protector_free)
/** How many sources it has. */
size_t protector_sources(struct protector *p);
/** What there is to know now. Returns 0 or -ENOMEM; free with protection_done. */
int protector_state(struct protector *p, struct protection *ret_state);

#endif
