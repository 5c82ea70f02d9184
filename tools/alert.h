/* SPDX-License-Identifier: MIT */
/*
 * alert: tells somebody when a condition begins and when it ends, through the
 * command that `on-alert` names: one JSON object on its standard input for
 * each event.
 *
 *   condition            object      holds while
 *   protection-stopped   repository  no snapshot can be taken
 *   behind               source      a change waits for longer than stale-after
 *   source-unreadable    source      it is gone, or is another file system
 *   unusual-change       source      its last snapshot found an unusual share of its files
 *                                    rewritten or deleted
 *   disk-nearly-full     repository  less than disk-free-min is free
 *   verification-failed  repository  stored data is damaged
 *
 *   keys: event ("begin", "end", "test"), condition, object, since, time,
 *   repeated (a begin: how often it was told before), message, host, repository
 *
 * A begin is told at once, and again each repeat-every while it lasts. An end
 * is told when the condition has been gone for a minute; for twice as long
 * each time that it comes back within an hour or repeat-every, up to that time:
 * who flaps is told less and less. At most ALERTS_PER_MINUTE commands are
 * started in a minute; others wait. A command that fails is tried again.
 *
 * Conditions survive a restart (local/alerts.json), so that their end is told.
 * That the daemon itself has died it cannot tell: `yore status --check`, or the
 * service manager's OnFailure=, does.
 *
 * Threads: one of its own runs the command and writes the file, so that no
 * caller waits; all functions may be called from any thread. A lock
 * (LOCK_RANK_LEAF) guards the conditions.
 */
#ifndef TOOLS_ALERT_H
#define TOOLS_ALERT_H

#include "tools/config.h"
#include "tools/protection.h"

#define ALERTS_PER_MINUTE 10
#define ALERT_LIMIT_MS 30000 /* of one run of the command */

struct alerts;

/** Recall the conditions of before. Borrows io. Returns 0 or -errno. */
int alerts_new(struct io *io, struct alerts **ret_alerts);
/** Ends a command that runs. NULL is fine. */
void alerts_free(struct alerts *a);
CLEANUP_DEFINE(struct alerts, alerts_free)
/**
 * Look for conditions that begin or end; call it every few seconds. Never
 * waits. Without an `on-alert` command they go to the log only.
 */
void alerts_evaluate(struct alerts *a, const struct protection *p, const struct config *config);

/**
 * The conditions that hold, as the daemon last wrote them: an array of
 * condition, object, since, message. Empty when there is no such file or it
 * cannot be read. NULL on no memory.
 */
json_t *alerts_json(struct io *io);
/**
 * Send a test event through `command` and wait. Returns as shell_command_wait
 * does; how it ended is printed into `end`, what it said into `said`.
 */
int alert_test(const char *command, const char *repository, char end[64], char said[512]);

#endif
