/* SPDX-License-Identifier: MIT */
/*
 * collector_internal: what the files of collector share.
 *
 *   collector.c       beginning, marking, condemning, retiring
 *   collector_plan.c  judging: which packs are freed, which rewritten
 *   collector_turn.c  preparing a turn: reading tables, copying objects
 */
#ifndef STORE_COLLECTOR_INTERNAL_H
#define STORE_COLLECTOR_INTERNAL_H

#include "store/chunk_index_collect.h"
#include "store/collector.h"
#include "store/live_set.h"
#include "store/store_internal.h"

#define TURN_PACKS_MAX 512
#define TURN_KEYS_MAX 131072
#define TURN_COPY_BYTES MIB(16) /* of living objects in one turn */
#define SMALL_PACK_BYTES MIB(4) /* packs below this are merged */
#define MERGE_PACKS_MIN 4
#define MERGE_STEP_BYTES KIB(64)
#define SPARSE_GAIN_MIN MIB(1) /* a small pack is rewritten alone only for this much */

static_assert(TURN_COPY_BYTES + PACK_TARGET_BYTES <= PACK_BYTES_MAX, "a turn's copies fit a pack");

/* What becomes of a pack. */
enum pack_fate { FATE_STAYS, FATE_DEAD, FATE_COPY, FATE_DONE };

/* A pack of this host as it was when the collection began. */
struct pack_use {
	uint32_t number;
	uint32_t size;
	uint32_t live; /* bytes of living objects, as sealed */
	uint32_t n_live;
	uint8_t fate;   /* enum pack_fate */
	bool condemned; /* in the index, from an earlier collection */
	bool in_turn;
	struct pack_id id;
};

/* The packs of a turn, and all objects that they hold. */
struct turn {
	struct pack_use *packs[TURN_PACKS_MAX];
	size_t n;
	uint8_t (*keys)[16];
	size_t n_keys, keys_room;
	bool keys_unknown; /* a table cannot be read: look through the whole index */
	bool rewriting;
};

struct collector {
	struct store *store;
	const struct collector_options *options;
	int lock; /* local/collect */
	struct collector_stats stats;
	struct live_set data;    /* first 8 bytes */
	struct live_set nodes;   /* first 16 bytes */
	struct live_set missing; /* alive, but not in the index */
	struct pack_use *packs;  /* ascending by number */
	size_t n_packs, packs_room;
	uint32_t next_pack;      /* numbers from here on are not looked at */
	struct pack_use **order; /* dead ones, then those to be copied, in the order of turns */
	size_t n_dead, n_order;
	size_t at; /* in `order` */
	struct turn turn;
	struct read_scratch scratch;
	int64_t started_ns; /* of copying */
	bool impatient;     /* patience ran out once */
};

/** The use of a pack by its number, NULL when it is another host's or newer. */
struct pack_use *collector_find(const struct collector *c, uint32_t number);
/** Is this object alive? May say yes of one that is not. */
bool collector_alive(const struct collector *c, const struct pack_entry *entry);
/** Sleep, but not through a request to stop. 0 or -ECANCELED. */
int collector_sleep(struct collector *c, int64_t ns);
/** Report how far the freeing or rewriting is. */
void collector_report(struct collector *c, bool rewriting);

/* ---- collector_turn.c ---- */
void turn_clear(struct turn *t);
void turn_done(struct turn *t);

#endif
