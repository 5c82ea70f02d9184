/* SPDX-License-Identifier: MIT */
/*
 * remote_walk: lists a remote that is made of folders, in the order of names,
 * holding the names of one folder at a time (and of those above it).
 *
 * Threads: no state; a struct remote_entries is owned by one thread.
 */
#ifndef SYNC_REMOTE_WALK_H
#define SYNC_REMOTE_WALK_H

#include "store/base/bytes.h"
#include "sync/remote.h"

/* Unfinished uploads lie here, under random names; no object's name begins so. */
#define REMOTE_TMP "tmp"
/* An upload that is older than this was given up: nothing takes so long. */
#define REMOTE_TMP_SECONDS_MAX (24ll * 60 * 60)

/* What one folder holds. A folder's name carries a slash at its end, so that plain comparison
 * gives the order of the names of all objects below. */
struct remote_entries {
	struct byte_buf names; /* each with its NUL */
	struct byte_buf spots; /* of private structs */
};

/** Note one; names with other bytes than [a-z0-9.-] are left out. Returns 0 or -ENOMEM. */
int remote_entries_add(struct remote_entries *e, const char *name, bool is_folder,
		       const struct remote_stat *stat);
size_t remote_entries_n(const struct remote_entries *e);
/** Valid until the next addition. */
const char *remote_entries_name(const struct remote_entries *e, size_t i);
const struct remote_stat *remote_entries_stat(const struct remote_entries *e, size_t i);
void remote_entries_done(struct remote_entries *e);
static inline void remote_entries_done_ptr(struct remote_entries *e)
{
	remote_entries_done(e);
}

/** Add what the folder holds ("" is the remote's own). -ENOENT: there is none, for certain. */
typedef int remote_folder_reader(void *context, const char *folder, struct remote_entries *to);

struct remote_walk {
	const char *prefix;
	remote_folder_reader *read;
	void *read_context;
	remote_list_visitor *visit;
	void *visit_context;
	const volatile bool *cancel;
};

/** Visit all objects below `prefix`, those in tmp/ left out. See remote_list(). */
int remote_walk_run(const struct remote_walk *w);

/** Take one away; its answer is not looked at. */
typedef void remote_remover(void *context, const char *name);

/**
 * Remove what was given up in tmp/, by the remote's own clock: `now_ns` is the
 * time of change of a file made there just now. Returns 0 or -errno.
 */
int remote_walk_sweep(remote_folder_reader *read, remote_remover *remove, void *context,
		      int64_t now_ns);

#endif
