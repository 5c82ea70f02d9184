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
#define SUSPECT_S 1 /* in the ledger: when a pack was uploaded that is to be read whole */
#define NS_PER_S 1000000000LL
#define VERIFY_S (REPLICATOR_VERIFY_DAYS * 24LL * 3600)

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
	struct sequence_range *forgotten; /* as it was before `local` was listed */
	size_t n_forgotten;
	struct local_objects local;
	bool fresh;      /* the ledger knew nothing: ask for all that is there */
	bool incomplete; /* a pack is missing here, or damaged, and could not be mended */
	bool changed;    /* something that was listed here is gone: list again */
	size_t *jobs;    /* of packs: which */
	size_t n_jobs;
	const char *leaving;         /* names of what is being removed */
	struct local_record *theirs; /* records of this host there, in the order of names */
	size_t n_theirs, theirs_room;
	int64_t surveyed_ns;   /* last survey; 0: none */
	int64_t listed_ns;     /* last listing of packs there; 0: none */
	uint64_t retired_next; /* lines of local/retired that were carried out */

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

/** Did a forget record that is among the listed ones name this sequence? */
bool replicator_is_forgotten(const struct replicator *r, uint64_t seq);

/* ---- replicator_work.c ---- */
/* One job, by its number: bytes moved to *ret_bytes. A refusal is tried again. */
typedef int replicator_job(struct replicator *r, size_t i, uint64_t *ret_bytes);
/**
 * Run the jobs first to first + n - 1 on several threads, as many at once as
 * the remote takes. 0, or the first failure that is no refusal, or what the
 * remote says when patience ends.
 */
int replicator_jobs(struct replicator *r, size_t first, size_t n, replicator_job *job);

/* ---- replicator_survey.c ---- */
/**
 * Is it the remote that the ledger tells of? Puts key slots and config there if
 * they are missing; begins the ledger anew when it is another, or was wiped. 0;
 * -ENOTUNIQ; -errno.
 */
int replicator_identify(struct replicator *r);
/** List the records there, look for rollbacks and forks; with a fresh ledger learn all that is
 * there. */
int replicator_survey(struct replicator *r);

/* ---- replicator_send.c ---- */
/** Put packs, tables and records. 1 when something that was listed is gone: list again and call
 * again; 0; -errno. */
int replicator_send(struct replicator *r);
/** Put one small object of the repository if the ledger does not have it. 0, -ENOENT it is gone
 * here, -errno. `id`: SHA-256 that it must have; NULL: none. */
int replicator_send_file(struct replicator *r, const char *path, const uint8_t *id,
			 uint64_t *ret_bytes);
/** Put one pack, unless it is there. 0, also when it is gone here; -errno. */
int replicator_send_pack(struct replicator *r, const struct local_pack *pack, uint64_t *ret_bytes);

/** Is there a whole copy here, or could one be fetched? 0, -EBADMSG (said), -errno. */
int replicator_pack_is_good(struct replicator *r, const struct pack_id *id, const char *path);

/* ---- replicator_remove.c ---- */
int replicator_remove(struct replicator *r);

/* ---- replicator_verify.c ---- */
int replicator_verify(struct replicator *r);

#endif
