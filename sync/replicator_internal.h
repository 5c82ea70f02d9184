/* SPDX-License-Identifier: MIT */
/*
 * replicator_internal: what the files of the replicator share.
 *
 * replicator.c: a pass. replicator_work.c: jobs on several threads.
 * replicator_send.c: what goes there. replicator_survey.c: what is there.
 * replicator_remove.c: what leaves. replicator_verify.c: whether it is right.
 */
#ifndef SYNC_REPLICATOR_INTERNAL_H
#define SYNC_REPLICATOR_INTERNAL_H

#include "store/base/lock.h"
#include "sync/concurrency.h"
#include "sync/ledger.h"
#include "sync/local_objects.h"
#include "sync/remote_heads.h"
#include "sync/replicator.h"

#define REPLICATOR_THREADS_MAX 64
#define REPLICATOR_PATIENCE 10
#define REPLICATOR_ROUNDS 8
#define REPLICATOR_ATTEMPTS 6 /* of one job */
#define NS_PER_S 1000000000LL
#define VERIFY_S (REPLICATOR_VERIFY_DAYS * 24 * 3600LL)

struct replicator {
	struct timeline *timeline;
	struct store *store;
	struct remote *remote;
	struct replicator_options options;
	char name[LEDGER_NAME_BYTES_MAX + 1];
	struct ledger *ledger;
	struct remote_heads heads;
	volatile bool stop;

	/* Of the pass. */
	struct local_objects local;
	bool fresh;         /* the ledger knew nothing: ask for all that is there */
	bool incomplete;    /* a pack is missing here, or damaged, and could not be mended */
	bool surveyed;      /* `theirs` is what the remote lists */
	struct local_record *theirs; /* records of this host there, in the order of names */
	size_t n_theirs, theirs_room;
	int64_t surveyed_ns; /* last survey; 0: none */
	int64_t listed_ns;   /* last listing of packs there; 0: none */
	uint64_t retired_next; /* lines of local/retired that were carried out */
	uint32_t n_repairs;

	struct lock lock; /* guards what follows */
	struct replicator_status status;
	struct concurrency concurrency;
	uint64_t done_bytes, all_bytes; /* of this pass */
};

/** Now, by the options' clock. */
int64_t replicator_now_ns(const struct replicator *r);
/** Note an object as uploaded now. 0 or -errno. */
int replicator_note(struct replicator *r, const char *object, enum ledger_state state);
/** Path of a pack of this host. */
char *replicator_pack_path(const struct replicator *r, const struct pack_id *id,
			   char to[static PACK_PATH_BYTES]);

/* ---- replicator_work.c ---- */
/* One job, by its number: bytes moved to *ret_bytes. A refusal is tried again. */
typedef int replicator_job(struct replicator *r, size_t i, uint64_t *ret_bytes);
/** Run n jobs on several threads, as many at once as the remote takes. 0, or the first failure that
 * is none of a single try. */
int replicator_jobs(struct replicator *r, size_t n, replicator_job *job);
/** The same for one call in this thread. */
int replicator_try(struct replicator *r, size_t i, replicator_job *job);

/* ---- replicator_survey.c ---- */
/** Is it the remote that the ledger tells of? Begins the ledger anew otherwise. */
int replicator_identify(struct replicator *r);
/** List records there, look for rollbacks and forks; with a fresh ledger, learn all that is there.
 */
int replicator_survey(struct replicator *r);

/* ---- replicator_send.c ---- */
/** Put config and keys, packs, tables and records. 1 when something changed meanwhile: read the
 * local lists and call again. */
int replicator_send_config(struct replicator *r);
int replicator_send(struct replicator *r);
/** Put one local pack, unless it is there. 0; 1 when it is gone here; -errno. */
int replicator_send_pack(struct replicator *r, const struct local_pack *pack, uint64_t *ret_bytes);

/* ---- replicator_remove.c ---- */
int replicator_remove(struct replicator *r);

/* ---- replicator_verify.c ---- */
int replicator_verify(struct replicator *r);

#endif
