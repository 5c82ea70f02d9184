/* SPDX-License-Identifier: MIT */
#include "sync/table_keeper.h"

#include "store/base/log.h"
#include "store/pack_reader.h"
#include "store/retired.h"
#include "sync/ledger.h"
#include "sync/local_objects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEEPER_LEDGER "_tables"
#define TAKEN_UP_MAX 64 /* tables taken up into one */
#define GROWTH 2        /* a table is taken up while it is less than so many times as large */

struct sized_table {
	const struct range_table_name *name;
	uint64_t size;
};

struct keeper {
	struct store *store;
	struct pack_context context;
	struct ledger *ledger;
	struct local_objects local;
	struct read_scratch scratch;
	struct range_table table;
	struct range_table_name name;
	struct pack_id *packs; /* in the table */
	size_t n_packs, packs_room;
	struct range_table_name taken[TAKEN_UP_MAX];
	size_t n_taken;
	struct sized_table *sizes; /* of the tables, smallest first */
	bool relearn;              /* a damaged table was met */
	size_t next_table;         /* of sizes: the next that may be taken up */
	uint64_t last;
	int n_written;
};

static void keeper_done(struct keeper *k)
{
	ledger_close(k->ledger);
	local_objects_done(&k->local);
	read_scratch_done(&k->scratch);
	range_table_done(&k->table);
	free(k->sizes);
	free(k->packs);
}

static int note_pack(struct keeper *k, const struct pack_id *id)
{
	if (k->n_packs == k->packs_room) {
		size_t room = k->packs_room ? 2 * k->packs_room : 64;
		struct pack_id *packs = reallocarray(k->packs, room, sizeof(*packs));

		if (!packs)
			return -ENOMEM;
		k->packs = packs;
		k->packs_room = room;
	}
	k->packs[k->n_packs++] = *id;
	return 0;
}

static int note_tabled(struct keeper *k, const struct pack_id *id)
{
	char path[PACK_PATH_BYTES];

	return ledger_note(k->ledger, pack_path(&k->context.host, id, path),
			   (struct ledger_line){ .state = LEDGER_UPLOADED });
}

/* ---- reading tables back ---- */

static int read_table(struct keeper *k, const struct range_table_name *name,
		      range_table_visitor *visit)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[RANGE_TABLE_PATH_BYTES];
	size_t n = 0;
	int r = io_read_file(k->context.io, range_table_path(name, path), RANGE_TABLE_BYTES_MAX,
			     &data, &n);

	if (r == 0)
		r = range_table_open(k->store, name, data, n, visit, k);
	if (r == -EFBIG)
		r = -EBADMSG;
	if (r == -EBADMSG || r == -EUCLEAN)
		return log_errno(r, "%s: damaged; its packs get another table", path);
	return r;
}

static int visit_known(void *context, const struct index_pack *pack)
{
	return note_tabled(context, &pack->info.id);
}

/* The ledger is new, or was lost: the tables themselves say what they hold. */
static int learn_tables(struct keeper *k)
{
	static const uint8_t filled[LEDGER_IDENTITY_BYTES] = { 1 };
	uint8_t identity[LEDGER_IDENTITY_BYTES];
	int r;

	ledger_identity(k->ledger, identity);
	if (memcmp(identity, filled, sizeof(filled)) == 0)
		return 0;
	/* Killed meanwhile: some packs get a second table. */
	r = ledger_reset(k->ledger, filled);
	for (size_t i = 0; i < k->local.n_tables && r == 0; i++) {
		r = read_table(k, &k->local.tables[i], visit_known);
		if (r == -EBADMSG || r == -EUCLEAN || r == -ENOENT)
			r = 0;
	}
	return r;
}

/* ---- writing one ---- */

/* 1 when the table is full. */
static int visit_taken(void *context, const struct index_pack *pack)
{
	struct keeper *k = context;
	int r;

	/* What was collected since needs no line any more. */
	if (!local_objects_pack(&k->local, &pack->info.id))
		return 0;
	r = range_table_add(&k->table, pack);
	if (r == -EFBIG)
		return 1;
	return r < 0 ? r : note_pack(k, &pack->info.id);
}

static int compare_sizes(const void *a, const void *b)
{
	const struct sized_table *x = a, *y = b;

	return x->size < y->size ? -1 : x->size > y->size;
}

static int measure_tables(struct keeper *k)
{
	k->sizes = calloc(k->local.n_tables + 1, sizeof(*k->sizes));
	if (!k->sizes)
		return -ENOMEM;
	for (size_t i = 0; i < k->local.n_tables; i++) {
		char path[RANGE_TABLE_PATH_BYTES];
		struct io_stat st = { .size = UINT64_MAX };

		k->sizes[i].name = &k->local.tables[i];
		(void)io_stat(k->context.io, range_table_path(k->sizes[i].name, path), &st);
		k->sizes[i].size = st.size;
	}
	qsort(k->sizes, k->local.n_tables, sizeof(*k->sizes), compare_sizes);
	return 0;
}

/* Take up the smallest tables while they are not much larger than what there is. */
static int take_tables_up(struct keeper *k)
{
	while (k->next_table < k->local.n_tables && k->n_taken < TAKEN_UP_MAX) {
		const struct range_table_name *name = k->sizes[k->next_table].name;
		const uint64_t bytes = range_table_bytes(&k->table);
		const uint64_t size = k->sizes[k->next_table].size;
		const size_t had = k->table.packs.n, had_packs = k->n_packs;
		const uint32_t had_n = k->table.n_packs;
		int r;

		if (size >= GROWTH * bytes || bytes + size > RANGE_TABLE_BYTES_TARGET / 2)
			break;
		r = read_table(k, name, visit_taken);
		if (r != 0) {
			k->table.packs.n = had;
			k->table.n_packs = had_n;
			k->n_packs = had_packs;
		}
		/* A damaged one goes too: its packs get another one with the next call. */
		if (r == -EBADMSG || r == -EUCLEAN)
			k->relearn = true;
		else if (r != 0)
			return r < 0 && r != -ENOENT ? r : 0;
		k->next_table++;
		k->taken[k->n_taken++] = *name;
		if (r == 0 && name->first < k->name.first)
			k->name.first = name->first;
	}
	return 0;
}

static int retire_taken(struct keeper *k)
{
	struct retired_object objects[TAKEN_UP_MAX];
	int r;

	for (size_t i = 0; i < k->n_taken; i++) {
		objects[i] = (struct retired_object){ .kind = RETIRED_TABLE,
						      .first = k->taken[i].first,
						      .last = k->taken[i].last };
		memcpy(objects[i].id, k->taken[i].id, SHA256_BYTES);
	}
	r = retired_note(k->context.io, objects, k->n_taken);
	for (size_t i = 0; i < k->n_taken && r == 0; i++) {
		char path[RANGE_TABLE_PATH_BYTES];

		r = io_unlink(k->context.io, range_table_path(&k->taken[i], path), IO_OBJECT_PACK);
		if (r == -ENOENT)
			r = 0;
		if (r < 0)
			return log_errno(r, "%s: cannot remove it", path);
	}
	k->n_taken = 0;
	return r;
}

static int write_table(struct keeper *k)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[RANGE_TABLE_PATH_BYTES];
	size_t n = 0;
	int r = take_tables_up(k);

	if (r == 0)
		r = range_table_seal(&k->table, k->store, &k->name, &data, &n);
	if (r < 0)
		return r;
	r = io_write_file(k->context.io, range_table_path(&k->name, path), data, n, false,
			  IO_OBJECT_PACK);
	if (r < 0)
		return log_errno(r, "%s/%s: cannot write it", io_real_path(k->context.io), path);
	k->n_written++;
	for (size_t i = 0; i < k->n_packs && r == 0; i++)
		r = note_tabled(k, &k->packs[i]);
	if (r == 0)
		r = ledger_sync(k->ledger);
	if (r == 0)
		r = retire_taken(k);
	range_table_done(&k->table);
	k->n_packs = 0;
	return r;
}

/* ---- packs without a table ---- */

static int add_pack(struct keeper *k, const struct pack_id *id)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	CLEANUP(free_ptr) struct pack_entry *entries = NULL;
	struct index_pack pack = { .info = { .host = k->context.host, .id = *id } };
	int r = pack_reader_open(&k->context, id, &reader);

	if (r == 0)
		r = pack_reader_table(reader, &k->scratch, &entries, &pack.n, &pack.info.kind);
	if (r == -ENOENT || r == -EBADMSG || r == -EUCLEAN || r == -EIO)
		return 0; /* named by its reader */
	if (r < 0)
		return r;
	pack.info.size = pack_reader_size(reader);
	pack.entries = entries;
	r = range_table_add(&k->table, &pack);
	if (r == -EFBIG) {
		r = write_table(k);
		if (r == 0)
			r = range_table_add(&k->table, &pack);
	}
	return r < 0 ? r : note_pack(k, id);
}

static int make_folder(struct keeper *k)
{
	char hex[2 * HOST_ID_BYTES + 1], path[64];
	int r = io_mkdir(k->context.io, "tables", IO_OBJECT_FOLDER);

	(void)snprintf(path, sizeof(path), "tables/%s",
		       bytes_to_hex(k->context.host.bytes, HOST_ID_BYTES, hex));
	if (r == 0)
		r = io_mkdir(k->context.io, path, IO_OBJECT_FOLDER);
	if (r == 0)
		r = io_fsync_folder(k->context.io, "tables", IO_OBJECT_FOLDER);
	if (r == 0)
		r = io_fsync_folder(k->context.io, "", IO_OBJECT_FOLDER);
	return r < 0 ? log_errno(r, "%s/%s: cannot make it", io_real_path(k->context.io), path) : 0;
}

static int prepare(struct keeper *k)
{
	int r = make_folder(k);

	if (r == 0)
		r = ledger_open(k->context.io, KEEPER_LEDGER, &k->ledger);
	if (r == 0)
		r = local_objects_read(k->store, &k->local);
	if (r == 0)
		r = read_scratch_init(&k->scratch);
	if (r == 0)
		r = learn_tables(k);
	if (r == 0)
		r = measure_tables(k);
	if (r < 0)
		return r;
	/* Its packs are among those listed, and were listed later. */
	if (k->local.n_records > 0)
		k->last = k->local.records[k->local.n_records - 1].seq;
	k->name.host = k->context.host;
	k->name.last = k->last;
	k->name.first = k->last;
	if (k->local.n_tables > 0) {
		const struct range_table_name *newest = &k->local.tables[k->local.n_tables - 1];

		if (newest->last >= k->name.last)
			k->name.last = newest->last;
		k->name.first = newest->last < k->name.last ? newest->last + 1 : newest->last;
	} else if (k->last > 0) {
		k->name.first = 1;
	}
	return 0;
}

int table_keeper_run(struct store *s)
{
	CLEANUP(keeper_done) struct keeper k = { .store = s };
	int r;

	k.context.io = store_io(s);
	k.context.keys = store_keys(s);
	k.context.host = *store_host(s);
	memcpy(k.context.repository, store_config(s)->repository, REPOSITORY_ID_BYTES);
	r = prepare(&k);
	for (size_t i = 0; i < k.local.n_packs && r == 0; i++) {
		char path[PACK_PATH_BYTES];

		if (k.local.packs[i].here &&
		    !ledger_has(k.ledger, pack_path(&k.context.host, &k.local.packs[i].id, path)))
			r = add_pack(&k, &k.local.packs[i].id);
	}
	if (r == 0 && k.table.n_packs > 0)
		r = write_table(&k);
	if (r == 0 && k.relearn)
		r = ledger_reset(k.ledger, (const uint8_t[LEDGER_IDENTITY_BYTES]){ 0 });
	return r < 0 ? r : k.n_written;
}
