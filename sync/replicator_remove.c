/* SPDX-License-Identifier: MIT */
/* What leaves the remote: only what this host decided, durably, to need no more. */
#include "sync/replicator_internal.h"

#include "store/base/log.h"
#include "store/retired.h"

#include <errno.h>
#include <string.h>

#define BATCH_MAX 256
#define NAME_BYTES 192

static_assert(NAME_BYTES >= PACK_PATH_BYTES && NAME_BYTES >= RANGE_TABLE_PATH_BYTES &&
		      NAME_BYTES >= RECORD_PATH_BYTES,
	      "every object's name fits");

/* Objects that leave together. */
struct batch {
	struct replicator *r;
	char (*names)[NAME_BYTES];
	size_t n;
};

/* The names of the batch under way, for its jobs. */
static int remove_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	const char *name = r->leaving + i * NAME_BYTES;
	int x = remote_remove(r->remote, name);

	(void)ret_bytes;
	if (x < 0 && x != -ENOENT)
		return x;
	lock_take(&r->lock);
	r->status.removed_objects++;
	lock_drop(&r->lock);
	return replicator_note(r, name, LEDGER_ABSENT);
}

/* First nothing is relied on any more, durably; then they are removed. */
static int flush(struct batch *b)
{
	struct replicator *r = b->r;
	int x = 0;

	for (size_t i = 0; i < b->n && x == 0; i++)
		x = replicator_note(r, b->names[i], LEDGER_UPLOADING);
	if (x == 0 && b->n > 0)
		x = ledger_sync(r->ledger);
	r->leaving = b->names[0];
	if (x == 0)
		x = replicator_jobs(r, 0, b->n, remove_job);
	r->leaving = NULL;
	b->n = 0;
	return x;
}

/* ---- records ---- */

/* The forget records are there already: everything listed here was sent. */
static int remove_records(struct batch *b)
{
	struct replicator *r = b->r;
	size_t first = 0, kept = 0;
	int x = 0;

	for (size_t i = 0; i < r->n_theirs && x == 0; i++) {
		if (!replicator_is_forgotten(r, r->theirs[i].seq))
			continue;
		(void)record_path(store_host(r->store), r->theirs[i].seq, &r->theirs[i].id,
				  b->names[b->n++]);
		if (b->n == BATCH_MAX)
			x = flush(b);
	}
	if (x == 0)
		x = flush(b);
	if (x < 0)
		return x;
	for (first = 0; first < r->n_theirs; first++)
		if (!replicator_is_forgotten(r, r->theirs[first].seq))
			r->theirs[kept++] = r->theirs[first];
	r->n_theirs = kept;
	return 0;
}

/* ---- packs and tables ---- */

/* 1 when it is still here: not carried out yet, and nothing after it either. */
static int visit_retired(void *context, const struct retired_object *object)
{
	struct batch *b = context;
	struct replicator *r = b->r;
	char *name;

	if (b->n == BATCH_MAX)
		return 1;
	name = b->names[b->n];
	if (object->kind == RETIRED_PACK) {
		struct pack_id id;

		memcpy(id.bytes, object->id, sizeof(id.bytes));
		if (local_objects_pack(&r->local, &id))
			return 1;
		(void)replicator_pack_path(r, &id, name);
	} else {
		struct range_table_name table = { .host = *store_host(r->store),
						  .first = object->first,
						  .last = object->last };

		memcpy(table.id, object->id, sizeof(table.id));
		if (local_objects_table(&r->local, &table))
			return 1;
		(void)range_table_path(&table, name);
	}
	if (ledger_get(r->ledger, name).state != LEDGER_ABSENT)
		b->n++;
	return 0;
}

static int remove_retired(struct batch *b)
{
	struct replicator *r = b->r;
	int x = 1;

	while (x == 1) {
		uint64_t next = r->retired_next;
		bool full;

		x = retired_each(store_io(r->store), next, visit_retired, b, &next);
		full = b->n == BATCH_MAX;
		if (x >= 0) {
			int flushed = flush(b);

			if (flushed < 0)
				return flushed;
			r->retired_next = next;
			/* It ended at the batch's end, at the end, or at what is still here. */
			x = x == 1 && full;
		}
	}
	return x;
}

int replicator_remove(struct replicator *r)
{
	CLEANUP(free_ptr) char(*names)[NAME_BYTES] = calloc(BATCH_MAX, sizeof(*names));
	struct batch b = { .r = r, .names = names };
	int x;

	if (!names)
		return -ENOMEM;
	if (r->remote->append_only)
		return 0;
	x = remove_records(&b);
	/* What could not be sent may be needed of what is there. */
	if (x == 0 && !r->incomplete)
		x = remove_retired(&b);
	return x;
}
