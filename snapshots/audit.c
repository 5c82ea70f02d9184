/* SPDX-License-Identifier: MIT */
#include "snapshots/audit.h"

#include "snapshots/audit_internal.h"
#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SLOTS_MIN 1024

/* ---- sets of ids ---- */

static uint8_t *find_slot(const struct id_set *set, const uint8_t key[static 16])
{
	static const uint8_t empty[16];
	uint64_t hash;
	size_t i;

	memcpy(&hash, key, sizeof(hash));
	for (i = (size_t)hash & (set->n_slots - 1);; i = (i + 1) & (set->n_slots - 1)) {
		if (memcmp(set->slots[i], empty, 16) == 0 || memcmp(set->slots[i], key, 16) == 0)
			return set->slots[i];
	}
}

static int id_set_grow(struct id_set *set)
{
	struct id_set grown = { .n_slots = set->n_slots ? 2 * set->n_slots : SLOTS_MIN };
	static const uint8_t empty[16];

	grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_slots; i++) {
		if (memcmp(set->slots[i], empty, 16) != 0)
			memcpy(find_slot(&grown, set->slots[i]), set->slots[i], 16);
	}
	grown.n = set->n;
	free(set->slots);
	*set = grown;
	return 0;
}

int id_set_add(struct id_set *set, const struct chunk_id *id)
{
	uint8_t *slot;
	int r;

	if (set->n >= set->n_slots / 4 * 3) {
		r = id_set_grow(set);
		if (r < 0)
			return r;
	}
	slot = find_slot(set, id->bytes);
	if (memcmp(slot, id->bytes, 16) == 0)
		return 0;
	memcpy(slot, id->bytes, 16);
	set->n++;
	return 1;
}

void id_set_done(struct id_set *set)
{
	free(set->slots);
	*set = (struct id_set){ 0 };
}

/* ---- what was met ---- */

int audit_first_met(struct audit *a, const struct chunk_id *id, enum object_type type)
{
	struct chunk_id key = *id;

	/* As another type it is another node: none should be, and that is to be found out. */
	key.bytes[0] ^= (uint8_t)type;
	return id_set_add(&a->nodes, &key);
}

int audit_first_said(struct audit *a, const void *said, size_t n)
{
	struct chunk_id key;

	crypto_blake2b(said, n, key.bytes);
	return id_set_add(&a->promises, &key);
}

/* ---- what is found ---- */

void audit_damaged(struct audit *a, const char *path, const struct chunk_id *object,
		   const char *what)
{
	a->result.errors++;
	if (a->options->damaged)
		a->options->damaged(a->options->context, a->seq, path, object, what);
}

int audit_bad_object(struct audit *a, const struct chunk_id *id)
{
	int r;

	if (!a->shun)
		return 0;
	r = id_set_add(&a->bad, id);
	if (r <= 0)
		return r;
	/* What the index does not know will be stored again in any case. */
	r = chunk_index_shun(store_index(a->store), id, true);
	return r == -ENOENT ? 0 : r;
}

int audit_stopped(const struct audit *a)
{
	return a->options->cancel && *a->options->cancel ? -ECANCELED : 0;
}

/* ---- one host's records ---- */

/* A record's file. */
struct audit_record {
	uint64_t seq;
	struct record_id id;
};

struct host_audit {
	struct audit *a;
	struct host_id host;
	struct audit_record *records; /* ascending */
	size_t n, room;
	struct sequence_range *forgotten;
	size_t n_forgotten, forgotten_room;
};

static void host_audit_done(struct host_audit *h)
{
	free(h->records);
	free(h->forgotten);
}

/* Room for one more in an array that doubles. */
static int make_room(void **array, size_t n, size_t *room, size_t element)
{
	const size_t wanted = *room ? 2 * *room : 64;
	void *grown;

	if (n < *room)
		return 0;
	grown = reallocarray(*array, wanted, element);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

static int list_record(void *context, const char *name)
{
	struct host_audit *h = context;
	struct audit_record record;
	void *records = h->records;
	int r;

	/* Other names are not records; nothing relies on them. */
	if (record_parse_name(name, &record.seq, &record.id) < 0)
		return 0;
	r = make_room(&records, h->n, &h->room, sizeof(record));
	h->records = records;
	if (r == 0)
		h->records[h->n++] = record;
	return r;
}

static int compare_records(const void *a, const void *b)
{
	const struct audit_record *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
}

static int read_record(struct host_audit *h, const struct audit_record *file,
		       struct record *ret_record)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[RECORD_PATH_BYTES];
	uint8_t digest[SHA256_BYTES];
	size_t n;
	int r;

	(void)record_path(&h->host, file->seq, &file->id, path);
	r = io_read_file(store_io(h->a->store), path, RECORD_BYTES_MAX, &data, &n);
	if (r < 0)
		return r;
	sha256_of(data, n, digest);
	if (memcmp(digest, file->id.bytes, sizeof(digest)) != 0)
		return -EBADMSG;
	return record_open(h->a->store, &h->host, file->seq, data, n, ret_record);
}

static int note_forgotten(struct host_audit *h, const struct record *record)
{
	for (size_t i = 0; i < record->n_forgotten; i++) {
		void *forgotten = h->forgotten;
		const int r = make_room(&forgotten, h->n_forgotten, &h->forgotten_room,
					sizeof(*h->forgotten));

		h->forgotten = forgotten;
		if (r < 0)
			return r;
		h->forgotten[h->n_forgotten++] = record->forgotten[i];
	}
	return 0;
}

/*
 * A pack that its record names and the index knows must be there. One that
 * neither knows was merged or collected: whoever needs its chunks misses them
 * by name further on.
 */
static void check_packs(struct audit *a, const struct record *record)
{
	for (size_t i = 0; i < record->n_packs; i++) {
		const struct new_pack *pack = &record->packs[i];
		char what[SHA256_BYTES * 2 + 64];
		char hex[SHA256_BYTES * 2 + 1];
		enum pack_state state;
		uint32_t number;

		if (chunk_index_find_pack(store_index(a->store), &pack->id, &number) < 0)
			continue;
		state = audit_pack_state(a, number);
		/* Collected between the two questions? Then the index knows it no more. */
		if (state == PACK_GOOD ||
		    chunk_index_find_pack(store_index(a->store), &pack->id, &number) < 0)
			continue;
		(void)bytes_to_hex(pack->id.bytes, sizeof(pack->id.bytes), hex);
		(void)snprintf(what, sizeof(what), "pack %s %s", hex,
			       state == PACK_MISSING ? "is missing" : "has the wrong size");
		audit_damaged(a, NULL, NULL, what);
	}
}

static bool is_forgotten(const struct host_audit *h, uint64_t seq, uint64_t *ret_last)
{
	for (size_t i = 0; i < h->n_forgotten; i++) {
		if (h->forgotten[i].first <= seq && seq <= h->forgotten[i].last) {
			*ret_last = h->forgotten[i].last;
			return true;
		}
	}
	return false;
}

/* Every sequence from `first` up to before `end` must have been forgotten. */
static void check_gap(struct host_audit *h, uint64_t first, uint64_t end)
{
	char what[96];

	while (first < end) {
		uint64_t last;

		if (!is_forgotten(h, first, &last))
			break;
		if (last == UINT64_MAX)
			return;
		first = last + 1;
	}
	if (first >= end)
		return;
	h->a->seq = first;
	(void)snprintf(what, sizeof(what),
		       "the record is missing and no later one says that it was forgotten");
	audit_damaged(h->a, NULL, NULL, what);
}

/* The records' order, once all of them that say what was forgotten are read. */
static void check_gaps(struct host_audit *h)
{
	uint64_t expected = 1;

	for (size_t i = 0; i < h->n; i++) {
		h->a->seq = h->records[i].seq;
		if (i > 0 && h->records[i].seq == h->records[i - 1].seq) {
			audit_damaged(h->a, NULL, NULL, "two records have this number");
			continue;
		}
		check_gap(h, expected, h->records[i].seq);
		expected = h->records[i].seq + 1;
	}
}

static void check_previous(struct host_audit *h, size_t i, const struct record *record)
{
	static const struct record_id none;

	if (record->seq == 1 && memcmp(&record->previous, &none, sizeof(none)) != 0)
		audit_damaged(h->a, NULL, NULL, "the first record names one before it");
	if (i == 0 || h->records[i - 1].seq + 1 != record->seq)
		return;
	if (memcmp(&record->previous, &h->records[i - 1].id, sizeof(record->previous)) != 0)
		audit_damaged(h->a, NULL, NULL, "the record before it is another than it names");
}

/* Nobody is to forget a record while we walk what it leads to. Yields a seam descriptor or -errno.
 */
static int hold_record(struct host_audit *h, const struct audit_record *file)
{
	struct io *io = store_io(h->a->store);
	char path[RECORD_PATH_BYTES];
	int fd, r;

	(void)record_path(&h->host, file->seq, &file->id, path);
	fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_RECORD);
	if (fd < 0)
		return fd;
	r = io_lock(io, fd, IO_LOCK_SHARED, false);
	if (r == 0)
		return fd;
	io_close(io, fd);
	return r;
}

static int audit_held(struct host_audit *h, size_t i)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct audit *a = h->a;
	int r;

	r = read_record(h, &h->records[i], &record);
	if (r == -ENOENT)
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		audit_damaged(a, NULL, NULL, "the record is damaged");
		return 0;
	}
	check_previous(h, i, &record);
	check_packs(a, &record);
	r = note_forgotten(h, &record);
	if (r == 0 && record.kind == RECORD_SNAPSHOT)
		r = audit_tree(a, record.root, record.root_n);
	if (r < 0)
		return r;
	a->result.records++;
	if (a->options->progress)
		a->options->progress(a->options->context, a->result.records, a->n_records,
				     a->result.nodes);
	return audit_stopped(a);
}

static int audit_record(struct host_audit *h, size_t i)
{
	int hold, r;

	h->a->seq = h->records[i].seq;
	hold = hold_record(h, &h->records[i]);
	/* Forgotten while we looked at others, or just now. */
	if (hold == -ENOENT || hold == -EWOULDBLOCK)
		return 0;
	r = audit_held(h, i);
	if (hold >= 0)
		io_close(store_io(h->a->store), hold);
	return r;
}

static int list_records(struct host_audit *h)
{
	char folder[16 + 2 * HOST_ID_BYTES];
	char hex[2 * HOST_ID_BYTES + 1];
	int r;

	(void)snprintf(folder, sizeof(folder), "records/%s",
		       bytes_to_hex(h->host.bytes, sizeof(h->host.bytes), hex));
	r = io_list(store_io(h->a->store), folder, list_record, h);
	if (r < 0 && r != -ENOENT)
		return log_errno(r, "%s: cannot list the records", folder);
	if (h->n > 0)
		qsort(h->records, h->n, sizeof(*h->records), compare_records);
	return 0;
}

static int count_host(void *context, const struct host_id *host)
{
	CLEANUP(host_audit_done) struct host_audit h = { .a = context, .host = *host };
	const int r = list_records(&h);

	h.a->n_records += h.n;
	return r;
}

static int audit_host(void *context, const struct host_id *host)
{
	CLEANUP(host_audit_done) struct host_audit h = { .a = context, .host = *host };
	int r = list_records(&h);

	for (size_t i = 0; r == 0 && i < h.n; i++)
		r = audit_record(&h, i);
	if (r == 0)
		check_gaps(&h);
	return r;
}

/* ---- the run ---- */

static void audit_done(struct audit *a)
{
	id_set_done(&a->nodes);
	id_set_done(&a->promises);
	id_set_done(&a->bad);
	free(a->memo);
	free(a->packs);
	free(a->extents);
	byte_buf_done(&a->path);
	entry_decoder_done(&a->decoder);
}

static int run(struct audit *a)
{
	int r;

	a->memo = calloc(MEMO_SLOTS, sizeof(*a->memo));
	a->extents = calloc(PIECE_EXTENTS_MAX, sizeof(*a->extents));
	if (!a->memo || !a->extents)
		return -ENOMEM;
	r = store_each_host(a->store, count_host, a);
	return r < 0 ? r : store_each_host(a->store, audit_host, a);
}

int audit_run(struct store *s, struct chunk_cache *cache, const struct audit_options *options,
	      struct audit_result *ret_result)
{
	CLEANUP(audit_done) struct audit a = { .store = s, .cache = cache, .options = options };
	int r;

	assert(s && cache && options && ret_result);
	r = run(&a);
	*ret_result = a.result;
	return r;
}

int64_t audit_shun(struct store *s, struct chunk_cache *cache, const struct audit_options *options,
		   bool (*damaged_chunk)(void *context, const struct chunk_id *chunk),
		   void *damaged_context)
{
	CLEANUP(audit_done)
	struct audit a = {
		.store = s,
		.cache = cache,
		.options = options,
		.shun = true,
		.damaged_chunk = damaged_chunk,
		.damaged_context = damaged_context,
	};
	int r;

	assert(s && cache && options);
	r = run(&a);
	return r < 0 ? r : (int64_t)a.bad.n;
}
