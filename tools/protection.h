/* SPDX-License-Identifier: MIT */
/*
 * protection: what the daemon knows about its own protecting, as one value
 * that status, metrics and alerts read.
 *
 * The protector fills it under its lock and hands out copies. Other processes
 * read what it last published: local/protection.json in the repository.
 *
 *   protection.c         copies, and whether protection is stale
 *   protection_report.c  the published file, and JSON for people's programs
 *
 * Threads: plain data.
 */
#ifndef TOOLS_PROTECTION_H
#define TOOLS_PROTECTION_H

#include "snapshots/watch.h"
#include "store/base/io.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTECTION_TEXT_BYTES 200
#define PROTECTION_HOURS 24
#define PROTECTION_ERRORS_MAX 20 /* newest problems by file that are kept */
/* A living daemon publishes at least so often, so that one that hangs is told from an idle one. */
#define PROTECTION_PUBLISH_MOST_S 600

struct protection_source {
	char *path;
	struct watch_state watch;
	bool absent;         /* carried along with its last state */
	int64_t pending_ns;  /* wall clock of the oldest change not in a snapshot; 0: none */
	int64_t captured_ns; /* wall clock of its last capture; 0: never */
	int64_t walked_ns;   /* of its last whole walk */
	uint64_t files, directories, bytes;
	uint64_t errors;        /* objects that could not be read in its last capture */
	uint64_t new_bytes_day; /* stored bytes that its snapshots added in 24 h */
	uint64_t files_changed; /* in its last snapshot: new ones and those with other contents */
	uint64_t files_removed;
	/* Not published: files rewritten or removed by all captures since the daemon began. */
	uint64_t files_spoilt;
	uint64_t hour_bytes[PROTECTION_HOURS]; /* new_bytes_day by hour, a ring */
	int64_t hour;                          /* of the last look at it */
};

struct protection_error {
	char *path;
	char what[PROTECTION_TEXT_BYTES];
	int64_t time_ns;
};

enum collection_state {
	COLLECTION_IDLE,
	COLLECTION_MARKING,
	COLLECTION_SWEEPING,
	COLLECTION_PAUSED
};

struct protection {
	bool protecting; /* false: this process only shows */
	pid_t pid;
	int64_t started_ns;
	int64_t now_ns;
	char stopped[PROTECTION_TEXT_BYTES]; /* why protection has stopped; "" while it goes on */
	struct protection_source *sources;
	size_t n_sources;
	struct protection_error *errors; /* newest last */
	size_t n_errors;
	uint64_t snapshots_taken; /* by this process */
	int64_t last_snapshot_ns; /* last successful look, also one that found no change */
	double last_seconds, last_cpu_seconds;
	uint64_t stale_after_s; /* older pending changes are stale; 0: never */
	enum collection_state collection;
	double collection_share;  /* done, 0 to 1 */
	int64_t collected_ns;     /* end of the last collection; 0: none yet */
	uint64_t collected_bytes; /* freed by it */
	uint64_t forgotten;       /* snapshots that retention took away */
	int64_t verified_ns;      /* end of the last data check */
	uint64_t verify_errors;
	uint64_t repository_free_bytes, repository_size_bytes;
};

/** Copy deeply. Returns 0 or -ENOMEM. */
int protection_copy(const struct protection *from, struct protection *ret_to);
/** A zeroed one is fine, and is what it leaves. */
void protection_done(struct protection *p);

/**
 * Add stored bytes (0: only let time pass) to a source's last 24 hours, the
 * present one included. `hour` counts hours on a clock that nobody sets.
 */
void protection_source_grow(struct protection_source *s, int64_t hour, uint64_t bytes);
/** Have this source's changes waited for too long at p->now_ns? */
bool protection_source_is_behind(const struct protection *p, const struct protection_source *s);
/**
 * Is protection stale or stopped? Writes why into `why`, fit for a terminal
 * ("" when it is fine).
 */
bool protection_is_stale(const struct protection *p, char why[PROTECTION_TEXT_BYTES]);

/** "idle", "marking", "sweeping", "paused". */
const char *collection_state_name(enum collection_state state);
/** Everything, times as RFC 3339 or null; keys are stable. NULL on no memory. */
json_t *protection_json(const struct protection *p);

/**
 * Tell other processes, if it says more than what they read now. The file is
 * replaced as a whole but not synced: it means something only while its daemon
 * lives, and a daemon does not outlive a power cut. When it cannot be written
 * the old one is removed. Returns 0 or -errno (in the log for who debugs: a
 * full disk must not fill the log as well).
 */
int protection_publish(struct io *io, const struct protection *p);
/**
 * What was last published. Returns 0; -ENOENT nothing; -EUCLEAN it is not what
 * a daemon writes; another -errno. Free with protection_done.
 */
int protection_read(struct io *io, struct protection *ret_protection);
/** The parser of it. Returns 0, -EUCLEAN or -ENOMEM. */
int protection_parse(const void *data, size_t n, struct protection *ret_protection);

#endif
