/* SPDX-License-Identifier: MIT */
/*
 * hostile: what an attacker writes who holds the repository's keys: another
 * client that went bad. Everything is sealed as it should be; what is sealed
 * is not. For tests; whatever fails here ends the program.
 */
#ifndef TESTS_FAULT_HOSTILE_H
#define TESTS_FAULT_HOSTILE_H

#include "snapshots/content_internal.h"
#include "snapshots/timeline.h"
#include "store/pack_writer.h"

struct hostile {
	struct store *store;
	struct pack_context context;
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
	struct pack_writer *pack;
	struct chunk_id good; /* of the good file's bytes; zero: not put yet */
	bool unlisted;        /* packs are not entered into the index */
};

/** Stop with a message unless the condition holds. */
#define MUST(condition) hostile_must((condition), #condition, __FILE__, __LINE__)
void hostile_must(bool good, const char *what, const char *file, int line);

void hostile_begin(struct hostile *h, struct store *s, const struct pack_context *context);
/** Make the packs durable and enter them into the index. */
void hostile_flush(struct hostile *h, struct pack_id *ret_id);
void hostile_end(struct hostile *h);

/** Put an object under its right id. */
struct chunk_id hostile_put(struct hostile *h, enum object_type type, const void *data, size_t n);
/** Put stored bytes under an entry that may say anything. */
void hostile_put_as(struct hostile *h, struct pack_entry entry, const void *stored);
/** The same, raw, under an id of the attacker's choice. */
void hostile_put_id(struct hostile *h, enum object_type type, const struct chunk_id *id,
		    const void *data, size_t n);
/** An id that nothing has. */
struct chunk_id hostile_id(unsigned int n);

/* A node that is put together byte by byte. */
struct raw_node {
	struct byte_buf chunks;
	struct byte_buf body;
	struct byte_buf offsets;
	uint32_t count;
	uint8_t level;
	int32_t false_count; /* what the header says instead; 0: the truth */
};
void raw_node_done(struct raw_node *node);
/** The next entry, piece or child begins here. */
struct byte_buf *raw_item(struct raw_node *node);
/** The node's bytes; for inner directory nodes `total` stands in front. */
void raw_node_bytes(const struct raw_node *node, uint64_t total, struct byte_buf *to);
/** Finish and put it; the node is then empty. */
struct chunk_id raw_node_put(struct hostile *h, struct raw_node *node);
struct chunk_id raw_inner_put(struct hostile *h, struct raw_node *node, uint64_t total);

/* Optional fields of an entry, as its codec numbers them. */
enum { RAW_SIZE = 1 << 4, RAW_XATTRS = 1 << 8, RAW_MORE = 1 << 9, RAW_TREE = 1 << 10 };
/** The fixed front of an entry: any name, any mode. What `fields` promises is the caller's. */
void raw_front(struct byte_buf *to, const void *name, size_t n, uint32_t mode, uint32_t fields);
void raw_directory(struct raw_node *leaf, const char *name, const struct chunk_id *tree);
/** A file of one piece, which is its own chunk. */
void raw_file(struct raw_node *leaf, const char *name, const struct chunk_id *piece,
	      uint64_t length);
/** A file whose contents are a list. */
void raw_list_file(struct raw_node *leaf, const char *name, const struct chunk_id *root,
		   uint64_t length);
void raw_symlink(struct raw_node *leaf, const char *name, const char *target);
/** A child of an inner directory node. */
void raw_child(struct raw_node *inner, const char *name, const struct chunk_id *id, uint64_t total);
/** A directory with a file "good" of right contents, and what the caller adds after it. */
struct chunk_id hostile_good_file(struct hostile *h, struct raw_node *leaf, const char *name);

/** Put `tree` at an absolute path: the root of directories that lead to it. */
struct chunk_id hostile_at_path(struct hostile *h, const char *path, const struct chunk_id *tree);

/** Append an honest record of this root, with one source; returns its sequence. */
uint64_t hostile_record(struct timeline *t, const struct chunk_id *root, const char *source);
/** Seal any bytes as the body of a record and write its file. */
void hostile_raw_record(struct store *s, const struct host_id *host, uint64_t seq, const void *body,
			size_t n);

#endif
