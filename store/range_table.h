/* SPDX-License-Identifier: MIT */
/*
 * range_table: the tables of many packs in one sealed file,
 * tables/<host>/<first>-<last>-<id>, so that a machine which has none of a
 * repository's packs knows with few requests where each object lies. <first>
 * and <last> are the sequences of records (16 hex digits), <id> is the SHA-256
 * of the sealed bytes. Bytes: yore-format(5), "Tables".
 *
 * Threads: plain functions.
 */
#ifndef STORE_RANGE_TABLE_H
#define STORE_RANGE_TABLE_H

#include "store/store.h"

#define RANGE_TABLE_BYTES_MAX MIB(64) /* sealed, and unpacked */
#define RANGE_TABLE_BYTES_TARGET                                         \
	MIB(8) /* of its plaintext: from here on a writer begins another \
		*/
#define RANGE_TABLE_PACKS_MAX 1048576
#define RANGE_TABLE_PATH_BYTES 160

struct range_table_name {
	struct host_id host;
	uint64_t first, last;
	uint8_t id[SHA256_BYTES];
};

/* A table being made. Zero it to begin. */
struct range_table {
	struct byte_buf packs;
	uint32_t n_packs;
};

/** Add a pack with its entries, in the order of their offsets. 0; -EFBIG: seal this one and begin
 * another; -ENOMEM. */
int range_table_add(struct range_table *t, const struct index_pack *pack);
/** So many bytes of plaintext so far. */
uint64_t range_table_bytes(const struct range_table *t);
void range_table_done(struct range_table *t);
static inline void range_table_done_ptr(struct range_table *t)
{
	range_table_done(t);
}

/** Seal it as host's (name->host), for name->first to name->last; sets name->id. The caller frees
 * *ret_data. 0, -EFBIG, -ENOMEM. */
int range_table_seal(const struct range_table *t, const struct store *s,
		     struct range_table_name *name, uint8_t **ret_data, size_t *ret_n);

/** Called for each pack; its entries live for the call. A non-zero answer ends it. */
typedef int range_table_visitor(void *context, const struct index_pack *pack);
/** Open sealed bytes of outside origin that claim this name, and visit their packs. 0; -EBADMSG
 * (damaged, or another's); -EUCLEAN; -ENOMEM; what the visitor says. */
int range_table_open(const struct store *s, const struct range_table_name *name, const void *data,
		     size_t n, range_table_visitor *visit, void *context);
/** The plaintext alone, after its seal was opened. 0, -EUCLEAN, -ENOMEM, what the visitor says. */
int range_table_parse(const struct host_id *host, const void *data, size_t n,
		      range_table_visitor *visit, void *context);

/** "tables/<host>/<first>-<last>-<id>". */
char *range_table_path(const struct range_table_name *name, char to[static RANGE_TABLE_PATH_BYTES]);
/** Parse "<first>-<last>-<id>"; sets all but the host. 0 or -EINVAL. */
int range_table_parse_name(const char *text, struct range_table_name *ret_name);

#endif
