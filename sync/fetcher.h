/* SPDX-License-Identifier: MIT */
/*
 * fetcher: reads packs from several remotes, for a store whose own copy is
 * missing or damaged: a chunk_source.
 *
 * Ranges are asked for in aligned blocks of FETCH_BLOCK_BYTES, so that a remote
 * does not learn how long an object is, and kept in a bounded cache in a file
 * without a name, which ends with the process. Sequential reads are fetched
 * ahead. The remote that answered fastest lately is asked first, one that
 * failed rests. What arrives is not believed: the reader authenticates it, and
 * what fails there is refused (chunk_source.h): from then on that remote's copy
 * of that pack is not used, and somebody may be told.
 *
 * Healing fetches a pack whole, compares its SHA-256 with its name, and puts it
 * into packs/ durably, in place of what is there.
 *
 * Nothing waits longer than `limit_ms`, or than until fetcher_stop(). Memory:
 * 1 MiB a running read, 80 bytes a cached block. Threads: any; two fetch ahead,
 * one watches the clock.
 */
#ifndef SYNC_FETCHER_H
#define SYNC_FETCHER_H

#include "store/limits.h"
#include "store/pack_writer.h"
#include "store/store.h"
#include "sync/remote.h"

struct fetcher;

#define FETCH_BLOCK_BYTES MIB(1)
#define FETCH_REMOTES_MAX 32
#define FETCH_CACHE_DEFAULT MIB(256)
#define FETCH_LIMIT_MS 30000
#define FETCH_ATTEMPT_MS 10000
#define FETCH_AHEAD_DEFAULT 4

struct fetcher_options {
	uint64_t cache_bytes; /* 0: FETCH_CACHE_DEFAULT; at least 8 blocks, at most 65,536 */
	uint32_t limit_ms;    /* of one read; 0: FETCH_LIMIT_MS */
	uint32_t attempt_ms;  /* of one remote, while others can be asked; 0: FETCH_ATTEMPT_MS */
	unsigned int ahead;   /* blocks ahead of sequential reads; 0: the default */
	/* A pack that is not here was let go on purpose (keep-local): read it, do not bring it
	 * back. */
	bool elsewhere;
	/* A remote's copy of a pack is bad (`name` of fetcher_add). May be NULL. Any thread. */
	void (*bad)(void *context, const char *name, const struct host_id *host,
		    const struct pack_id *pack);
	void *context;
};

struct fetcher_stats {
	uint64_t fetched_bytes, reads, hits; /* blocks asked for, blocks that were cached */
	uint64_t refused;                    /* blocks that failed their authentication */
	uint64_t healed;                     /* packs */
	uint64_t failures;
};

/** How a remote does. */
struct fetcher_health {
	const char *name;
	double latency_ms;     /* of late; 0: not asked yet */
	unsigned int failures; /* in a row */
};

/** A source for the store, which is borrowed. Plug it in with store_set_source. 0 or -errno. */
int fetcher_new(struct store *s, const struct fetcher_options *options,
		struct fetcher **ret_fetcher);
/** Take it out of the store first. Ends what runs. */
void fetcher_free(struct fetcher *f);
CLEANUP_DEFINE(struct fetcher, fetcher_free)
/** Add a remote, borrowed; before any read. 0, -ENOSPC past FETCH_REMOTES_MAX, -ENOMEM. */
int fetcher_add(struct fetcher *f, const char *name, struct remote *remote);
struct chunk_source *fetcher_source(struct fetcher *f);
/** Let everything that waits, and everything later, fail with -ECANCELED. */
void fetcher_stop(struct fetcher *f);
void fetcher_stats(struct fetcher *f, struct fetcher_stats *ret_stats);
/** Of remote number i. False when there are fewer. */
bool fetcher_health(struct fetcher *f, size_t i, struct fetcher_health *ret_health);

#endif
