/* SPDX-License-Identifier: MIT */
/*
 * store_internal: what the files of store share.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "store/base/lock.h"
#include "store/limits.h"
#include "store/pack_reader.h"
#include "store/store.h"

#define OPEN_PACKS_MAX 64
#define CONFIG_BYTES 128

/* A pack file held open for reading. Lives until it left the table and nobody uses it. */
struct open_pack {
	uint32_t number;
	bool remote; /* read through the chunk_source */
	bool listed; /* in store.packs */
	unsigned int users;
	uint64_t used_at; /* for choosing which leaves */
	struct pack_reader *reader;
};

struct store {
	struct io *io;
	const struct key_ring *keys;
	enum store_mode mode;
	bool salvage; /* when the index is built: scan packs whose table is damaged */
	bool rebuilt; /* it was built at opening, as `result` says */
	struct store_rebuild_result result;
	struct store_config config;
	struct pack_context context; /* of this host's packs */
	struct chunker *chunker;
	struct chunk_index *index;
	struct io *private_io; /* folder of a private index, NULL usually */
	struct chunk_source *source;

	struct lock lock; /* guards what follows, and the counts inside the packs */
	struct open_pack *packs[OPEN_PACKS_MAX];
	size_t n_packs;
	uint64_t clock;
};

/** The config's bytes, as they lie in the file. */
int store_config_bytes(const struct store_config *config, uint8_t to[static CONFIG_BYTES]);
/** Check and read them. Returns like store_config_read. */
int store_config_parse(const uint8_t *data, size_t n, struct store_config *ret_config);

/**
 * Load the host id of this machine, which `machine` names, or make one (in
 * read-only mode: in memory only). Returns 0 or -errno.
 */
int host_identity_load(struct io *io, const uint8_t repository[static REPOSITORY_ID_BYTES],
		       const char *machine, enum store_mode mode, struct host_id *ret_host);
/** What names this machine; `to` holds 128 bytes. */
void host_identity_machine(char to[static 128]);

/**
 * flock on local/packs: exclusive while packs leave first the index and then
 * their folder, shared while packs are entered that were found in a folder, so
 * that none is entered that is about to go. Waits. Returns a seam descriptor
 * (io_close drops it) or -errno.
 */
int store_lock_packs(struct store *s, enum io_lock lock);
/** Enter packs of this host that the index does not list. 0 or -errno. */
int store_enter_unlisted(struct store *s);
/** Let the index find in other hosts' packs what it would find in condemned ones. 0 or -errno. */
int store_enter_foreign(struct store *s);

/** Open the index, rebuilding or replacing it as needed. */
int store_open_index(struct store *s);
void store_close_index(struct store *s);

/** A pack for reading; -ENOENT when its line or (locally) its file is gone. */
int store_pack_open(struct store *s, uint32_t number, bool remote, struct open_pack **ret_pack);
void store_pack_release(struct store *s, struct open_pack *pack);
/** Nobody else may be using one. */
void store_packs_done(struct store *s);

#endif
