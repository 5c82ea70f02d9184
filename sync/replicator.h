/* SPDX-License-Identifier: MIT */
/*
 * replicator: brings one remote up to what the local repository holds of this
 * host, and keeps watch over it.
 *
 * A pass: is it the same remote as before? - config and key slots - packs -
 * tables - records, one after another - what this host decided to need no more
 * is removed there, records first - a share of what is there is verified.
 *
 * Invariants, whatever is killed when:
 *  - a record is put only after every pack that was listed here after it is on
 *    the remote; packs that were collected meanwhile are replaced by listing
 *    anew. So no snapshot is visible there that lacks an object (one that is
 *    damaged here, and nowhere whole, is said and left out);
 *  - nothing is removed there but packs and tables of this host that a line of
 *    local/retired names, and that are gone here, and records of this host that
 *    a durable forget record names, after that one is there; nothing on
 *    append-only remotes, and nothing when anything here could not be listed.
 *    That something is missing here is never a reason.
 *
 * A pass that fails loses at most the transfers that it was in: what is done is
 * in the ledger, and what is not in the ledger is asked for before it is sent.
 *
 * Threads: replicator_run() by one at a time; it starts workers of its own and
 * ends them. replicator_status() and replicator_stop() by any.
 */
#ifndef SYNC_REPLICATOR_H
#define SYNC_REPLICATOR_H

#include "snapshots/timeline.h"
#include "store/chunk_source.h"
#include "sync/remote.h"

struct replicator;

#define REPLICATOR_THREADS_DEFAULT 8
#define REPLICATOR_VERIFY_DAYS 30
#define REPLICATOR_VERIFY_BYTES_DEFAULT MIB(64)

struct replicator_options {
	const char *name;      /* of the remote: ledger_name_valid; copied */
	unsigned int threads;  /* at most so many transfers at once; 0: the default */
	uint64_t verify_bytes; /* read back at most so much in a pass; 0: the default */
	uint32_t survey_s;     /* list the remote's records at most so often; 0: each pass */
	uint32_t backoff_ms;   /* after a first refusal; 0: CONCURRENCY_BACKOFF_MS */
	unsigned int patience; /* refusals in a row that end a pass; 0: 10 */
	/*
	 * Mends local packs that are damaged or missing (its heal), so that they
	 * can be sent; borrowed. May be NULL.
	 */
	struct chunk_source *source;
	int64_t (*now_ns)(void); /* the clock; NULL: clock_now_ns */
	/* May be NULL; called by workers, one at a time: bytes sent, and to be sent in this pass.
	 */
	void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes);
	void *context;
};

struct replicator_status {
	uint64_t head_seq; /* newest record here; 0: none */
	uint64_t safe_seq; /* all records up to it are on the remote; 0: none */
	uint64_t lag_snapshots, lag_bytes, lag_seconds;
	uint64_t packs, packs_there; /* that it is to hold, that it holds */
	uint64_t packs_verified;     /* within the last REPLICATOR_VERIFY_DAYS */
	uint64_t packs_damaged;      /* damaged or missing here, and not mended: it lacks them */
	uint64_t sent_bytes, sent_objects, removed_objects; /* since replicator_new */
	uint64_t repaired;      /* objects found bad or missing there, since then */
	uint64_t errors;        /* failed transfers since then */
	unsigned int transfers; /* that may run at once now */
	int last_error;         /* of the last pass: 0 or -errno */
	int64_t last_pass_ns;   /* end of the last pass; 0: none yet */
	int64_t last_good_ns;   /* end of the last one without an error */
	/* Alarms: said in the log when they come up, here until the process ends. */
	bool wiped;       /* it lost its config, or has another: everything is sent anew */
	bool rolled_back; /* a host's newest record is older than it was */
	bool forked;      /* another record has the number of one that was seen */
	bool foreign;     /* it holds a record of this host that this machine did not write */
	bool unrepaired;  /* bad objects there that may not be replaced (append-only) */
};

/**
 * Open the ledger of options->name. `t` is this host's own timeline; it, the
 * store behind it and the remote are borrowed. Returns 0; -EBUSY when another
 * process replicates to it; -EINVAL; -EPERM when the timeline is another
 * host's; -errno.
 */
int replicator_new(struct timeline *t, struct remote *remote,
		   const struct replicator_options *options, struct replicator **ret_replicator);
void replicator_free(struct replicator *r);
CLEANUP_DEFINE(struct replicator, replicator_free)

/**
 * One pass. Returns 0 when the remote has everything; what ended it otherwise:
 * errors of the remote (remote.h), -ECANCELED (replicator_stop), -ENOTUNIQ
 * (another repository is there: nothing was changed), -ESTALE (things changed
 * faster than they could be sent: run again), -errno.
 */
int replicator_run(struct replicator *r);
/** Let a pass end soon, with -ECANCELED. Until replicator_run is called anew. */
void replicator_stop(struct replicator *r);
void replicator_status(struct replicator *r, struct replicator_status *ret_status);
/** Somebody read this pack of this host there, and it was bad: look at all of it in the next pass,
 * and repair it. Any thread. 0 or -errno. */
int replicator_suspect(struct replicator *r, const struct pack_id *id);
/** Does the remote hold this record and everything it needs, as far as is known? */
bool replicator_holds(struct replicator *r, uint64_t seq, const struct record_id *id);
/** Does it hold this pack of this host? For letting the local copy go. */
bool replicator_holds_pack(struct replicator *r, const struct pack_id *id);

#endif
