/* SPDX-License-Identifier: MIT */
#include "sync/local_objects.h"

#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Room for one more element of an array of n. 0 or -ENOMEM. */
static int grow(void *array, size_t n, size_t *room, size_t element)
{
	size_t wanted = *room ? 2 * *room : 64;
	void *old, *grown;

	if (n < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = reallocarray(old, wanted, element);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*room = wanted;
	return 0;
}

void local_objects_done(struct local_objects *o)
{
	free(o->packs);
	free(o->records);
	free(o->tables);
	free(o->keys);
	*o = (struct local_objects){ 0 };
}

/* ---- records, tables, keys ---- */

static int compare_records(const void *a, const void *b)
{
	const struct local_record *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return memcmp(&x->id, &y->id, sizeof(x->id));
}

static int visit_record(void *context, const char *name)
{
	struct local_objects *o = context;
	struct local_record record;
	int r;

	if (record_parse_name(name, &record.seq, &record.id) < 0)
		return 0;
	r = grow(&o->records, o->n_records, &o->records_room, sizeof(*o->records));
	if (r == 0)
		o->records[o->n_records++] = record;
	return r;
}

static int compare_tables(const void *a, const void *b)
{
	const struct range_table_name *x = a, *y = b;

	if (x->last != y->last)
		return x->last < y->last ? -1 : 1;
	if (x->first != y->first)
		return x->first > y->first ? -1 : 1;
	return memcmp(x->id, y->id, sizeof(x->id));
}

static int visit_table(void *context, const char *name)
{
	struct local_objects *o = context;
	struct range_table_name table = { .host = *store_host(o->store) };
	int r;

	if (range_table_parse_name(name, &table) < 0)
		return 0;
	r = grow(&o->tables, o->n_tables, &o->tables_room, sizeof(*o->tables));
	if (r == 0)
		o->tables[o->n_tables++] = table;
	return r;
}

static int visit_key(void *context, const char *name)
{
	uint8_t bytes[SLOT_NAME_BYTES / 2];
	struct local_objects *o = context;
	int r;

	if (strlen(name) != SLOT_NAME_BYTES || bytes_from_hex(name, bytes, sizeof(bytes)) < 0)
		return 0;
	r = grow(&o->keys, o->n_keys, &o->keys_room, sizeof(*o->keys));
	if (r == 0)
		(void)snprintf(o->keys[o->n_keys++].path, sizeof(o->keys->path), "keys/%s", name);
	return r;
}

/* A folder that is not there is empty. */
static int list(struct local_objects *o, const char *folder, io_list_visitor *visit)
{
	int r = io_list(store_io(o->store), folder, visit, o);

	if (r == -ENOENT || r == 0)
		return 0;
	return log_errno(r, "%s/%s: cannot be listed", io_real_path(store_io(o->store)), folder);
}

static int list_own(struct local_objects *o, const char *kind, io_list_visitor *visit)
{
	char hex[2 * HOST_ID_BYTES + 1];

	(void)snprintf(o->folder, sizeof(o->folder), "%s/%s", kind,
		       bytes_to_hex(store_host(o->store)->bytes, HOST_ID_BYTES, hex));
	return list(o, o->folder, visit);
}

/* ---- packs ---- */

static int compare_packs(const void *a, const void *b)
{
	const struct local_pack *x = a, *y = b;
	int order = memcmp(&x->id, &y->id, sizeof(x->id));

	/* Of one pack, first what its file says. */
	return order ? order : y->here - x->here;
}

static int add_pack(struct local_objects *o, const struct local_pack *pack)
{
	int r = grow(&o->packs, o->n_packs, &o->packs_room, sizeof(*o->packs));

	if (r == 0)
		o->packs[o->n_packs++] = *pack;
	return r;
}

static int visit_indexed(void *context, uint32_t number, const struct pack_info *info)
{
	struct local_objects *o = context;
	const struct local_pack pack = { .id = info->id, .size = info->size };

	(void)number;
	if (memcmp(&info->host, store_host(o->store), sizeof(info->host)) != 0)
		return 0;
	return add_pack(o, &pack);
}

static int visit_file(void *context, const char *name)
{
	struct local_objects *o = context;
	struct local_pack pack = { .here = true };
	char path[PACK_PATH_BYTES];
	struct io_stat st;
	int r;

	if (strlen(name) != 2ul * SHA256_BYTES ||
	    bytes_from_hex(name, pack.id.bytes, SHA256_BYTES) < 0)
		return 0;
	r = io_stat(store_io(o->store), pack_path(store_host(o->store), &pack.id, path), &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	pack.size = st.size;
	return add_pack(o, &pack);
}

static int list_files(struct local_objects *o)
{
	char hex[2 * HOST_ID_BYTES + 1];
	int r = 0;

	bytes_to_hex(store_host(o->store)->bytes, HOST_ID_BYTES, hex);
	for (unsigned int shard = 0; shard < 256 && r == 0; shard++) {
		(void)snprintf(o->folder, sizeof(o->folder), "packs/%s/%02x", hex, shard);
		r = list(o, o->folder, visit_file);
	}
	return r;
}

/* One line a pack: what its file says, and the index's only where there is no file. */
static void join_packs(struct local_objects *o)
{
	size_t n = 0;

	if (o->n_packs > 0)
		qsort(o->packs, o->n_packs, sizeof(*o->packs), compare_packs);
	for (size_t i = 0; i < o->n_packs; i++)
		if (n == 0 || memcmp(&o->packs[n - 1].id, &o->packs[i].id, SHA256_BYTES) != 0)
			o->packs[n++] = o->packs[i];
	o->n_packs = n;
}

int local_objects_read(struct store *s, struct local_objects *ret_objects)
{
	struct local_objects o = { .store = s };
	int r = list(&o, "keys", visit_key);

	if (r == 0)
		r = list_own(&o, "records", visit_record);
	if (r == 0)
		r = list_own(&o, "tables", visit_table);
	if (r == 0)
		r = chunk_index_each_pack(store_index(s), visit_indexed, &o);
	if (r == 0)
		r = list_files(&o);
	if (r < 0) {
		local_objects_done(&o);
		return r;
	}
	if (o.n_records > 0)
		qsort(o.records, o.n_records, sizeof(*o.records), compare_records);
	if (o.n_tables > 0)
		qsort(o.tables, o.n_tables, sizeof(*o.tables), compare_tables);
	join_packs(&o);
	*ret_objects = o;
	return 0;
}

/* ---- asking ---- */

struct local_pack *local_objects_pack(const struct local_objects *o, const struct pack_id *id)
{
	const struct local_pack wanted = { .id = *id };
	size_t low = 0, high = o->n_packs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(&o->packs[middle].id, &wanted.id, sizeof(*id)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < o->n_packs && memcmp(&o->packs[low].id, id, sizeof(*id)) == 0 ? &o->packs[low]
										   : NULL;
}

bool local_objects_record(const struct local_objects *o, uint64_t seq, const struct record_id *id)
{
	const struct local_record wanted = { seq, *id };

	return o->n_records > 0 && bsearch(&wanted, o->records, o->n_records, sizeof(*o->records),
					   compare_records) != NULL;
}

bool local_objects_table(const struct local_objects *o, const struct range_table_name *name)
{
	return o->n_tables > 0 &&
	       bsearch(name, o->tables, o->n_tables, sizeof(*o->tables), compare_tables) != NULL;
}
