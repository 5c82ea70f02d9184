/* SPDX-License-Identifier: MIT */
/*
 * remote_heads: the highest record of each host that was ever seen on a remote,
 * kept in local/remotes/<name>.heads, so that a remote which shows less than it
 * did, or something else, is noticed.
 *
 * Durability: a change is durable when remote_heads_save() returns. A damaged
 * file is said and begins anew. Threads: owned by one thread at a time.
 */
#ifndef SYNC_REMOTE_HEADS_H
#define SYNC_REMOTE_HEADS_H

#include "snapshots/record.h"
#include "store/base/io.h"

#define REMOTE_HEADS_MAX 4096 /* hosts */

struct remote_head {
	struct host_id host;
	uint64_t seq;
	struct record_id id;
};

struct remote_heads {
	struct remote_head *heads; /* ascending by host */
	size_t n;
	bool changed;
};

/** 0 or -errno; nothing there is an empty list. */
int remote_heads_load(struct io *io, const char *remote, struct remote_heads *ret_heads);
/** Write it if it changed. 0 or -errno. */
int remote_heads_save(struct io *io, const char *remote, struct remote_heads *h);
void remote_heads_done(struct remote_heads *h);
static inline void remote_heads_done_ptr(struct remote_heads *h)
{
	remote_heads_done(h);
}
/** A host's head, or NULL. */
const struct remote_head *remote_heads_find(const struct remote_heads *h,
					    const struct host_id *host);
/** Raise a host's head; a lower one, or an equal one, changes nothing. 0, -ENOSPC (too many hosts),
 * -ENOMEM. */
int remote_heads_raise(struct remote_heads *h, const struct remote_head *head);

#endif
