/* SPDX-License-Identifier: MIT */
/*
 * local_objects: what this host's part of the repository is to hold on every
 * remote: its packs, tables and records, and the key slots, as of now.
 *
 * Records are listed before packs: whatever a listed record needs is among the
 * packs, or was copied into one that is, unless it is collected later.
 *
 * Memory: 48 bytes a pack or record. Threads: plain data.
 */
#ifndef SYNC_LOCAL_OBJECTS_H
#define SYNC_LOCAL_OBJECTS_H

#include "snapshots/record.h"
#include "store/pack_writer.h"
#include "store/range_table.h"

struct local_pack {
	struct pack_id id;
	uint64_t size;
	bool here; /* its file is here; otherwise the index knows it, and it is elsewhere */
};

struct local_record {
	uint64_t seq;
	struct record_id id;
};

struct local_key {
	char path[8 + SLOT_NAME_BYTES];
};

struct local_objects {
	struct local_pack *packs; /* ascending by id */
	size_t n_packs, packs_room;
	struct local_record *records; /* ascending by sequence */
	size_t n_records, records_room;
	struct range_table_name *tables; /* ascending by range */
	size_t n_tables, tables_room;
	struct local_key *keys;
	size_t n_keys, keys_room;
	/* While it is filled. */
	struct store *store;
	char folder[PACK_PATH_BYTES];
};

/** List all of it. 0, or -errno when any part could not be listed: then nothing is known. */
int local_objects_read(struct store *s, struct local_objects *ret_objects);
void local_objects_done(struct local_objects *o);
static inline void local_objects_done_ptr(struct local_objects *o)
{
	local_objects_done(o);
}
/** A pack by its id, or NULL. */
struct local_pack *local_objects_pack(const struct local_objects *o, const struct pack_id *id);
/** Is there a record file of this number and id? */
bool local_objects_record(const struct local_objects *o, uint64_t seq, const struct record_id *id);
/** Is there a table of this name? */
bool local_objects_table(const struct local_objects *o, const struct range_table_name *name);

#endif
