/* SPDX-License-Identifier: MIT */
/*
 * status: what there is to know about a repository at this moment, for the
 * command `status` and for the mount's .yore/status.json and .yore/metrics.
 *
 * What the daemon knows of its protecting, other processes learn from what it
 * publishes (protection_read) and from its note, which it holds locked while
 * it lives (daemon_note_read).
 *
 *   status.c          gathering, JSON
 *   status_verdict.c  is all well? the banner
 *
 * Threads: status_collect() and status_json() may be called from any thread
 * while the session is open.
 */
#ifndef TOOLS_STATUS_H
#define TOOLS_STATUS_H

#include "tools/cmd.h"
#include "tools/protection.h"
#include "tools/session.h"

#include <jansson.h>

#define STATUS_LINE_BYTES 512

struct status_host {
	char id[2 * HOST_ID_BYTES + 1];
	char *name; /* display name, "" if it has no snapshots */
	uint64_t snapshots;
};

struct status {
	char *repository;
	char repository_id[2 * REPOSITORY_ID_BYTES + 1];
	bool read_only, has_latest, recovery_unconfirmed;
	bool has_report;      /* `report` is the living daemon's, or a dead one's last */
	bool config_is_wrong; /* it could not be read; status_collect leaves false */
	pid_t daemon;         /* that protects; 0: none lives */
	char *host;
	uint64_t snapshots;
	struct snapshot_info latest;
	int64_t now_ns;
	uint64_t packs, chunks, pack_bytes, index_bytes;
	uint64_t free_bytes; /* on the repository's file system */
	struct status_host *hosts;
	size_t n_hosts;
	char **mountpoints; /* where it is mounted on this machine */
	size_t n_mountpoints;
	uint64_t new_bytes_day; /* stored bytes that the snapshots of the last 24 h added */

	int64_t daemon_started_ns; /* when its note was written; 0: unknown */
	struct protection report;  /* its now_ns is `now_ns` */
	int64_t report_ns;         /* when it was published */
	json_t *alerts;            /* conditions that hold; NULL: unknown */
	size_t n_configured;       /* sources in the configuration; status_collect leaves 0 */
};

/* Is what the configuration wants protected being protected? */
enum status_protection {
	STATUS_OFF,      /* nothing is wanted */
	STATUS_STARTING, /* the daemon has just begun */
	STATUS_ON,
	STATUS_STALE,   /* the daemon lives, but changes wait for too long, or it fails */
	STATUS_STOPPED, /* wanted, and no daemon lives */
};

/** Returns 0 or -errno; free with status_done. */
int status_collect(struct session *s, struct status *ret_status);
void status_done(struct status *status);
/** NULL on no memory. Keys are stable: later ones come beside them. */
json_t *status_json(const struct status *status);
/**
 * What .yore/status.json holds: the same as text, with `mount` (taken) as its
 * member of that name. The caller frees it. NULL on any failure.
 */
char *status_text(struct session *s, json_t *mount);
/** What .yore/metrics holds. The caller frees it. NULL on any failure. */
char *status_metrics(struct session *s);

/* ---- status_verdict.c ---- */

/** Fill what is known of the daemon, as of status->now_ns, into a zeroed one. */
void status_read_daemon(struct io *io, struct status *status);
/** Writes one line about it, fit for a terminal. */
enum status_protection status_protection(const struct status *status, char line[STATUS_LINE_BYTES]);
/** "off", "starting", "on", "stale", "stopped". */
const char *status_protection_name(enum status_protection protection);
/**
 * For `status --check`: EXIT_CODE_STALE when protection is stale or stopped,
 * EXIT_CODE_VERIFY when stored data is damaged, else EXIT_CODE_DONE; one line
 * says why.
 */
enum exit_code status_check(const struct status *status, char line[STATUS_LINE_BYTES]);
/**
 * Text of the file that stands in the mount's root while protection has
 * stopped, or NULL. Cheap: no index is read. `own` is what this process knows
 * if it is the one that protects, else NULL: then it looks at what the daemon
 * says. `n_configured` as in struct status. The caller frees it.
 */
char *status_banner(struct io *io, const struct protection *own, size_t n_configured);

#endif
