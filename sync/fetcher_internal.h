/* SPDX-License-Identifier: MIT */
/*
 * fetcher_internal: what the files of the fetcher share.
 *
 * fetcher.c: blocks, reading ahead. fetcher_remotes.c: asking remotes, clock.
 * fetcher_heal.c: whole packs.
 */
#ifndef SYNC_FETCHER_INTERNAL_H
#define SYNC_FETCHER_INTERNAL_H

#include "store/base/clock.h"
#include "store/base/lock.h"
#include "sync/fetcher.h"

#define FETCH_AHEAD_THREADS 2
#define FETCH_AHEAD_ROOM 16
#define FETCH_REFUSALS_MAX 1024
#define FETCH_HEALS_MAX 16
#define FETCH_NS_PER_MS 1000000LL

/*
 * A block: FREE -> FETCHING -> READY -> FREE. Users > 0 keep it where it is;
 * `stale` makes it free when the last one is done. Found by pack and number
 * unless free or stale.
 */
enum block_state { BLOCK_FREE, BLOCK_FETCHING, BLOCK_READY };

struct block {
	enum block_state state;
	bool stale;
	uint8_t origin; /* number of the remote */
	unsigned int users;
	struct pack_id pack;
	uint32_t number; /* of the block in its pack */
	uint32_t n;      /* bytes */
	uint64_t used_at;
};

struct fetch_remote {
	char *name;
	struct remote *remote;
	double latency_ms;
	unsigned int failures;
	int64_t resume_ns; /* rests until then */
};

/* Remotes whose copy of a pack is bad. */
struct refusal {
	struct pack_id pack;
	uint32_t remotes;
};

/* A request under way, for the clock. On its caller's stack. */
struct flight {
	volatile bool cancel;
	int64_t deadline_ns;
	struct flight *next;
};

struct ahead {
	struct host_id host;
	struct pack_id pack;
	uint32_t number;
};

struct fetcher {
	struct chunk_source source; /* first */
	struct store *store;
	struct fetcher_options options;
	int fd;          /* of the cache; a seam's */
	uint8_t *memory; /* the cache, where no file can be written */
	pthread_t threads[FETCH_AHEAD_THREADS + 1];
	unsigned int n_threads;
	struct fetch_remote remotes[FETCH_REMOTES_MAX];
	size_t n_remotes;

	struct lock lock; /* guards everything below, and the remotes' health */
	pthread_cond_t wake;
	bool stop;
	struct block *blocks;
	size_t n_blocks;
	uint64_t clock;
	struct refusal refusals[FETCH_REFUSALS_MAX];
	size_t refusal_at;
	struct flight *flights;
	struct ahead ahead[FETCH_AHEAD_ROOM];
	size_t n_ahead;
	struct pack_id last_pack; /* of the last block read */
	uint32_t last_number;
	struct pack_id healing[FETCH_HEALS_MAX];
	size_t n_healing;
	struct fetcher_stats stats;
};

/* What is wanted of an object, until when. */
struct fetch_part {
	const char *name;
	uint64_t offset;
	void *to;
	size_t n;
	int64_t deadline_ns;
};
/**
 * Read a part from the best remotes not in `mask`, one after another; yields
 * which in *ret_origin. The count (fewer at the object's end), -ENOENT when
 * none has it, -ETIMEDOUT, -ECANCELED, or what the last one said.
 */
int64_t fetch_range(struct fetcher *f, const struct fetch_part *part, uint32_t mask,
		    unsigned int *ret_origin);
/** The remotes in the order in which they are to be asked, without those in `mask`. */
size_t fetch_order(struct fetcher *f, uint32_t mask, uint8_t to[static FETCH_REMOTES_MAX]);
/** The same of one remote. */
int64_t fetch_from(struct fetcher *f, unsigned int origin, const struct fetch_part *part);
/** The thread that ends what takes too long. */
void *fetch_watch(void *context);
/** Remotes whose copy of this pack is bad. */
uint32_t fetch_refused(struct fetcher *f, const struct pack_id *pack);
/** Refuse one. */
void fetch_refuse(struct fetcher *f, const struct host_id *host, const struct pack_id *pack,
		  uint32_t remotes);

int fetch_heal(struct chunk_source *source, const struct host_id *host, const struct pack_id *pack,
	       bool missing);

#endif
