/* SPDX-License-Identifier: MIT */
/*
 * remote_staged: how an object is put on a server that shows a file while it
 * is still being sent: under another name first, its size looked at, then
 * moved. The final name is never written to and never deleted.
 *
 * Threads: no state.
 */
#ifndef SYNC_REMOTE_STAGED_H
#define SYNC_REMOTE_STAGED_H

#include "sync/remote.h"

/* What a kind of server does; all return 0 or -errno unless said otherwise. */
struct remote_stages {
	/* 1: a file of this size is there; 0: nothing is; -EBADMSG: a file of another size. */
	int (*look)(struct remote *r, const char *name, uint64_t size);
	int (*upload)(struct remote *r, const char *tmp, const struct remote_body *body,
		      const volatile bool *cancel);
	/* Never replaces: -EEXIST. Makes the folders above. */
	int (*move)(struct remote *r, const char *tmp, const char *name);
	void (*discard)(struct remote *r, const char *tmp);
};

/** See remote_put(). */
int remote_staged_put(struct remote *r, const struct remote_stages *stages, const char *name,
		      const struct remote_body *body, const volatile bool *cancel);

#endif
