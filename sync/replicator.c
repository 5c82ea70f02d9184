/* SPDX-License-Identifier: MIT */
#include "sync/replicator_internal.h"

#include "store/base/log.h"
#include "sync/table_keeper.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- beginning and end ---- */

int64_t replicator_now_ns(const struct replicator *r)
{
	return r->options.now_ns ? r->options.now_ns() : clock_now_ns();
}

int replicator_note(struct replicator *r, const char *object, enum ledger_state state)
{
	return ledger_note(r->ledger, object,
			   (struct ledger_line){ state, replicator_now_ns(r) / NS_PER_S });
}

char *replicator_pack_path(const struct replicator *r, const struct pack_id *id,
			   char to[static PACK_PATH_BYTES])
{
	return pack_path(store_host(r->store), id, to);
}

bool replicator_is_forgotten(const struct replicator *r, uint64_t seq)
{
	for (size_t i = 0; i < r->n_forgotten && r->forgotten[i].first <= seq; i++)
		if (seq <= r->forgotten[i].last)
			return true;
	return false;
}

int replicator_new(struct timeline *t, struct remote *remote,
		   const struct replicator_options *options, struct replicator **ret_replicator)
{
	CLEANUP(replicator_free_ptr) struct replicator *r = NULL;
	unsigned int threads = options->threads ? options->threads : REPLICATOR_THREADS_DEFAULT;
	int x;

	if (!ledger_name_valid(options->name))
		return -EINVAL;
	if (memcmp(timeline_host(t), store_host(timeline_store(t)), sizeof(struct host_id)) != 0)
		return -EPERM;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	lock_init(&r->lock, LOCK_RANK_REPLICATOR);
	r->timeline = t;
	r->store = timeline_store(t);
	r->remote = remote;
	r->options = *options;
	memcpy(r->name, options->name, strlen(options->name));
	r->options.name = r->name;
	if (r->options.verify_bytes == 0)
		r->options.verify_bytes = REPLICATOR_VERIFY_BYTES_DEFAULT;
	concurrency_init(&r->concurrency,
			 threads < REPLICATOR_THREADS_MAX ? threads : REPLICATOR_THREADS_MAX,
			 options->backoff_ms);
	x = ledger_open(store_io(r->store), r->name, &r->ledger);
	if (x == 0)
		x = remote_heads_load(store_io(r->store), r->name, &r->heads);
	if (x < 0)
		return x;
	*ret_replicator = STEAL(r);
	return 0;
}

void replicator_free(struct replicator *r)
{
	if (!r)
		return;
	ledger_close(r->ledger);
	remote_heads_done(&r->heads);
	local_objects_done(&r->local);
	free(r->theirs);
	free(r->forgotten);
	free(r->jobs);
	lock_done(&r->lock);
	free(r);
}

void replicator_stop(struct replicator *r)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
}

/* ---- status ---- */

bool replicator_holds(struct replicator *r, uint64_t seq, const struct record_id *id)
{
	char path[RECORD_PATH_BYTES];

	return ledger_has(r->ledger, record_path(store_host(r->store), seq, id, path));
}

bool replicator_holds_pack(struct replicator *r, const struct pack_id *id)
{
	char path[PACK_PATH_BYTES];

	return ledger_has(r->ledger, replicator_pack_path(r, id, path));
}

int replicator_suspect(struct replicator *r, const struct pack_id *id)
{
	char path[PACK_PATH_BYTES];

	if (!ledger_has(r->ledger, replicator_pack_path(r, id, path)))
		return 0;
	return ledger_note(r->ledger, path, (struct ledger_line){ LEDGER_UPLOADED, SUSPECT_S });
}

static void count_packs(struct replicator *r, struct replicator_status *to)
{
	const int64_t now_s = replicator_now_ns(r) / NS_PER_S;

	to->packs = r->local.n_packs;
	to->packs_there = to->packs_verified = to->lag_bytes = 0;
	for (size_t i = 0; i < r->local.n_packs; i++) {
		char path[PACK_PATH_BYTES];
		struct ledger_line line;

		line = ledger_get(r->ledger, replicator_pack_path(r, &r->local.packs[i].id, path));
		if (line.state < LEDGER_UPLOADED)
			to->lag_bytes += r->local.packs[i].size;
		to->packs_there += line.state >= LEDGER_UPLOADED;
		to->packs_verified +=
			line.state == LEDGER_VERIFIED && now_s - line.when_s < VERIFY_S;
	}
}

/* Files of forgotten records that somebody holds do not count. */
static void count_records(struct replicator *r, struct replicator_status *to)
{
	struct snapshot_info info;
	bool gap = false;

	to->head_seq = to->safe_seq = to->lag_snapshots = to->lag_seconds = 0;
	for (size_t i = 0; i < r->local.n_records; i++) {
		const struct local_record *record = &r->local.records[i];

		if (replicator_is_forgotten(r, record->seq))
			continue;
		to->head_seq = record->seq;
		if (replicator_holds(r, record->seq, &record->id)) {
			if (!gap)
				to->safe_seq = record->seq;
			continue;
		}
		if (timeline_get(r->timeline, record->seq, &info) == 0) {
			int64_t age_ns = replicator_now_ns(r) - info.time_ns;

			if (to->lag_snapshots++ == 0 && age_ns > 0)
				to->lag_seconds = (uint64_t)(age_ns / NS_PER_S);
		}
		gap = true;
	}
}

/* Work out what the pass has come to, and publish it. */
static void conclude(struct replicator *r, int result)
{
	struct replicator_status status;

	lock_take(&r->lock);
	status = r->status;
	lock_drop(&r->lock);
	count_packs(r, &status);
	count_records(r, &status);
	LOCK_SCOPE(&r->lock);
	status.errors = r->status.errors;
	status.last_error = result;
	status.last_pass_ns = replicator_now_ns(r);
	if (result == 0)
		status.last_good_ns = status.last_pass_ns;
	r->status = status;
}

void replicator_status(struct replicator *r, struct replicator_status *ret_status)
{
	LOCK_SCOPE(&r->lock);
	*ret_status = r->status;
}

/* ---- a pass ---- */

/* Tables of new packs; what goes there; what this pass is about. */
static int read_local(struct replicator *r)
{
	int x = table_keeper_run(r->store);

	/* Another remote's pass writes them just now: they go with the next pass. */
	if (x < 0 && x != -EBUSY)
		return x;
	x = timeline_refresh(r->timeline);
	if (x < 0)
		return x;
	/* Before the list: a forget record that says it is in the list, and sent before it is
	 * acted on. */
	free(STEAL(r->forgotten));
	x = timeline_forgotten(r->timeline, &r->forgotten, &r->n_forgotten);
	if (x < 0)
		return x;
	local_objects_done(&r->local);
	return local_objects_read(r->store, &r->local);
}

static int send_all(struct replicator *r)
{
	int x = 1;

	for (int round = 0; round < REPLICATOR_ROUNDS && x == 1; round++) {
		if (round > 0)
			x = read_local(r);
		if (x >= 0)
			x = replicator_send(r);
	}
	return x == 1 ? -ESTALE : x;
}

static int run_pass(struct replicator *r)
{
	int x = read_local(r);

	if (x == 0)
		x = replicator_identify(r);
	if (x == 0)
		x = replicator_survey(r);
	if (x == 0)
		x = send_all(r);
	if (x == 0)
		x = replicator_remove(r);
	if (x == 0)
		x = replicator_verify(r);
	return x;
}

int replicator_run(struct replicator *r)
{
	int x, synced;

	r->stop = false;
	r->incomplete = false;
	lock_take(&r->lock);
	r->done_bytes = r->all_bytes = 0;
	r->status.packs_damaged = 0;
	lock_drop(&r->lock);
	x = run_pass(r);
	/* Also after a failure: what was done is not to be done again. */
	synced = ledger_sync(r->ledger);
	if (x == 0)
		x = synced;
	synced = remote_heads_save(store_io(r->store), r->name, &r->heads);
	if (x == 0)
		x = synced;
	conclude(r, x);
	return x;
}
