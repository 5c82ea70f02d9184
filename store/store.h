/* SPDX-License-Identifier: MIT */
/*
 * store: a repository as a place for objects: put a plaintext, get it back by
 * id, whoever asks and whatever happened since.
 *
 * Opening needs no hand after any crash: dead files in tmp/ are removed (a
 * living writer's flock protects its own), a lost or damaged index is rebuilt
 * from packs. Several processes may have one repository open.
 *
 * Durability: an object put through a store_writer may be relied on only after
 * store_writer_finish() returned 0. Threads: a store may be used by several
 * threads at once; a store_reader belongs to one thread at a time.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/base/bytes.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/chunk_index.h"
#include "store/chunk_source.h"
#include "store/chunker.h"
#include "store/compress.h"
#include "store/key_ring.h"
#include "store/object.h"

#include <stdbool.h>

#define FORMAT_VERSION 1

struct store;

/* What the config says; written once by store_create. */
struct store_config {
	uint32_t version;
	uint8_t repository[REPOSITORY_ID_BYTES];
	enum hash_algorithm hash;
	struct chunker_sizes chunks;
	uint32_t bundle_target; /* bytes */
	int64_t created_ns;
};

/* Compression level of file data and of nodes; local taste, not part of the format. */
#define STORE_LEVEL_DATA 2
#define STORE_LEVEL_NODES 3

/**
 * Make a repository in an empty or missing-but-creatable folder behind `io`:
 * folders, key slots of `ring` are the caller's next step, then config LAST:
 * a folder without a config is no repository. Call order:
 *   store_config_new -> key_ring_create(store_config_binding) ->
 *   store_prepare(io) -> key_ring_add_* -> store_publish(io, config).
 * Each returns 0 or -errno; -EEXIST when a repository is there; -ENOTEMPTY
 * when foreign files are.
 */
void store_config_new(struct store_config *ret_config);
/** 32 bytes that tie key slots to this config (its hash). */
void store_config_binding(const struct store_config *config, uint8_t ret_binding[static 32]);
int store_prepare(struct io *io);
int store_publish(struct io *io, const struct store_config *config);
/**
 * Returns 0; -ENOENT no repository; -EUCLEAN damaged; -EPROTONOSUPPORT a newer
 * format; -ENOTUNIQ another program's config file. These four are answers, not
 * logged: what to do about them depends on who asks.
 */
int store_config_read(struct io *io, struct store_config *ret_config);
/** Does the file's beginning say that this is a repository's config? For walkers that must not
 * enter one. */
bool store_config_magic(const void *data, size_t n);
#define STORE_CONFIG_MAGIC_BYTES 16

enum store_mode { STORE_READ_WRITE, STORE_READ_ONLY };

/**
 * Open a repository with its keys. `io` and `ring` are borrowed for the
 * store's life. Loads the host id of this machine (and makes one: local/host,
 * bound to a hash of the machine id; if the machine differs, a new id is taken
 * and said so). STORE_READ_ONLY works on a read-only file system, with a
 * private index when index/ cannot be written, in the first place that takes
 * one: $YORE_CACHE_DIR, $XDG_CACHE_HOME/yore, ~/.cache/yore, /tmp, /dev/shm;
 * removed at the end, or by the next one if this process dies. Returns 0, -EROFS, -ENOSPC,
 * -EUCLEAN, ...
 */
int store_open(struct io *io, const struct key_ring *ring, enum store_mode mode,
	       struct store **ret_store);
void store_close(struct store *s);
CLEANUP_DEFINE(struct store, store_close)

struct io *store_io(struct store *s);
const struct store_config *store_config(const struct store *s);
const struct key_ring *store_keys(const struct store *s);
struct chunk_index *store_index(struct store *s);
/** This machine's host id. */
const struct host_id *store_host(const struct store *s);
const struct chunker *store_chunker(const struct store *s);
/** A hasher for the ids of one object type; the caller frees it. One per thread. */
int store_hasher(const struct store *s, enum object_type type, struct id_hasher **ret_hasher);
/**
 * Every minute: close pack files that were collected, by whichever process (an
 * open file keeps its space), and free what dead readers hold of the index.
 */
void store_upkeep(struct store *s);
/** Plug in the fallback for missing or damaged packs. NULL takes it out. Call before threads. */
void store_set_source(struct store *s, struct chunk_source *source);
/** Visit the host folders under packs/ and records/ (both, each host once). */
int store_each_host(struct store *s, int (*visit)(void *context, const struct host_id *host),
		    void *context);

/* ---- reading ---- */

/* Scratch of one reading thread. */
struct store_reader;
int store_reader_new(struct store *s, struct store_reader **ret_reader);
void store_reader_free(struct store_reader *r);
CLEANUP_DEFINE(struct store_reader, store_reader_free)

/**
 * Raw length of an object. Returns the length; -ENOENT when unknown;
 * -EBADMSG when an object of another type has that key.
 */
int64_t store_length(struct store *s, const struct chunk_id *id, enum object_type type);

/**
 * Read an object whole into `to` (room >= its raw length). Authenticated and
 * bound to id and type. A pack that vanished is looked up once more; a damaged
 * one is asked of the chunk_source. Damage is logged once, with the object's
 * name. Returns the length; -ENOENT; -EBADMSG damaged; -EUCLEAN; -EFBIG when
 * room is too small; -EREMOTEIO.
 */
int64_t store_get(struct store_reader *r, const struct chunk_id *id, enum object_type type,
		  void *to, size_t room);

/* ---- writing ---- */

struct store_writer;

/* A pack that a writer made, for the record. */
struct new_pack {
	struct pack_id id;
	uint64_t size;
	enum pack_kind kind;
};

/**
 * A writer collects the objects of one capture. It owns two threads (one
 * seals and appends, one makes packs durable and indexes them), started here.
 * While the total is below SNAPSHOT_SMALL_BYTES everything stays in memory and
 * ends in one PACK_MIXED; beyond it data and nodes go to different packs.
 */
int store_writer_new(struct store *s, struct store_writer **ret_writer);
/** Drop it; what was not finished is garbage in tmp/ or unreferenced packs. NULL is fine. */
void store_writer_free(struct store_writer *w);
CLEANUP_DEFINE(struct store_writer, store_writer_free)

/**
 * Is the object in the store already, usable, or put by this writer before?
 * 1, 0 or -errno. Any thread.
 */
int store_writer_has(struct store_writer *w, const struct chunk_id *id);

/**
 * Put one object with its id (which the caller computed with store_hasher).
 * Compresses in the calling thread with its own compressor, then hands a copy
 * of the stored bytes to the sealing thread; waits when that is behind. An
 * object that is known already is not stored again. Any thread. Returns 1 when
 * it is new, 0 when it was known, -errno: the writer is spoiled, or was before.
 */
int store_writer_put(struct store_writer *w, struct compressor *c, enum object_type type,
		     const struct chunk_id *id, const void *data, size_t n);

/**
 * Make everything put so far durable and indexed: fsync, rename, folder fsync,
 * index, for each open pack. No put may run at the same time. The writer can be
 * used again afterwards. Returns 0, or the first -errno that spoiled it.
 */
int store_writer_finish(struct store_writer *w);

/** The packs made so far, for the record; valid until the next call on the writer. */
const struct new_pack *store_writer_packs(const struct store_writer *w, size_t *ret_n);

struct store_writer_stats {
	uint64_t objects_new;
	uint64_t raw_bytes_new;
	uint64_t stored_bytes_new;
};
void store_writer_stats(const struct store_writer *w, struct store_writer_stats *ret_stats);

/* ---- upkeep ---- */

/**
 * Make the index equal to what packs and tables say: enters unlisted packs,
 * drops lines whose pack is gone. Used at open when the index was lost, and by
 * repair. `salvage` also scans packs whose table is damaged. Damaged packs are
 * counted and named. Returns 0 or -errno.
 */
struct store_rebuild_result {
	uint64_t packs;
	uint64_t packs_damaged;
	uint64_t chunks;
};
int store_rebuild_index(struct store *s, bool salvage, struct store_rebuild_result *ret_result);
/**
 * Verify the index of a repository that this process has not open. Returns 0,
 * or -EUCLEAN: it is damaged (said), and built anew by store_open_anew, or by
 * the next store_open while nobody else uses it. Threads: none may run.
 */
int store_verify_index(struct io *io, const struct key_ring *ring);
/**
 * Like store_open for writing, but the index is thrown away first and built
 * with salvage. While others use it, it is verified and, when sound, made
 * equal in place; -EBUSY when it is damaged: they must end first.
 */
int store_open_anew(struct io *io, const struct key_ring *ring,
		    struct store_rebuild_result *ret_result, struct store **ret_store);

#endif
