/* SPDX-License-Identifier: MIT */
/*
 * session: what a command works with: the repository, its keys, its store and
 * a timeline, opened in one call whose every failure is told to the user.
 *
 * The repository is the one of -r, else YORE_REPOSITORY, else that of the
 * configuration, else the default: /var/lib/yore for root, $XDG_DATA_HOME/yore
 * (~/.local/share/yore) for others.
 * Keys: the machine key file, then systemd's credentials, then YORE_PASSWORD,
 * YORE_PASSWORD_FILE or YORE_PASSWORD_COMMAND, then the terminal.
 *
 * Threads: opened and closed by one thread, before and after all others.
 */
#ifndef TOOLS_SESSION_H
#define TOOLS_SESSION_H

#include "snapshots/timeline.h"
#include "store/chunk_cache.h"
#include "tools/cmd.h"

/* How much of it a command needs; each includes what stands before it. */
enum session_depth {
	SESSION_KEYS,     /* io, config, ring */
	SESSION_STORE,    /* and the store */
	SESSION_TIMELINE, /* and the timeline that the user looks at */
};

/* Flags. */
enum {
	SESSION_WRITES = 1,       /* a read-only repository will not do */
	SESSION_OWN_HOST = 2,     /* the timeline is this machine's, whatever --host says */
	SESSION_VERIFY_INDEX = 4, /* the index must be sound in every byte */
	SESSION_NEW_INDEX = 8,    /* throw it away and build it; see `rebuilt` */
	SESSION_ANY_HOST = 16,    /* several hosts and none chosen: this machine's, empty */
};

struct session {
	struct io *io;
	struct store_config config;
	struct key_ring *ring;
	struct store *store;
	bool read_only;
	bool index_damaged; /* why it could not be opened: SESSION_VERIFY_INDEX found that */
	struct store_rebuild_result rebuilt;
	struct timeline *timeline;
	struct chunk_cache *cache; /* session_cache() makes it */
};

/** Path of the repository; the caller frees it. EXIT_CODE_DONE, or what is wrong is said. */
int session_repository(const struct cmd_globals *globals, char **ret_path);
/**
 * Open; what went wrong is said. Returns EXIT_CODE_DONE or the exit code of
 * the failure. Close it in both cases; `s` need not be initialised.
 */
int session_open(struct session *s, const struct cmd_globals *globals, enum session_depth depth,
		 unsigned int flags);
/** The cache for decoded objects, made at the first call. Returns 0 or -errno. */
int session_cache(struct session *s, size_t limit_bytes, unsigned int prefetchers);
void session_close(struct session *s);
/** Display name of the timeline's host; the caller frees it. NULL on no memory. */
char *session_host_name(struct session *s);

#endif
