/* SPDX-License-Identifier: MIT */
/*
 * status: what there is to know about a repository at this moment, for the
 * command `status` and for the mount's .yore/status.json.
 *
 * Threads: status_collect() and status_json() may be called from any thread
 * while the session is open.
 */
#ifndef TOOLS_STATUS_H
#define TOOLS_STATUS_H

#include "tools/session.h"

#include <jansson.h>

struct status_host {
	char id[2 * HOST_ID_BYTES + 1];
	char *name; /* display name, "" if it has no snapshots */
	uint64_t snapshots;
};

struct status {
	char *repository;
	char repository_id[2 * REPOSITORY_ID_BYTES + 1];
	bool read_only;
	char *host;
	uint64_t snapshots;
	bool has_latest;
	struct snapshot_info latest;
	int64_t now_ns;
	uint64_t packs, chunks, pack_bytes, index_bytes;
	uint64_t free_bytes; /* on the repository's file system */
	bool recovery_unconfirmed;
	struct status_host *hosts;
	size_t n_hosts;
	char **mountpoints; /* where it is mounted on this machine */
	size_t n_mountpoints;
};

/** Returns 0 or -errno; free with status_done. */
int status_collect(struct session *s, struct status *ret_status);
void status_done(struct status *status);
/** NULL on no memory. */
json_t *status_json(const struct status *status);
/**
 * What .yore/status.json holds: the same as text, with `mount` (taken) as its
 * member of that name. The caller frees it. NULL on any failure.
 */
char *status_text(struct session *s, json_t *mount);

#endif
