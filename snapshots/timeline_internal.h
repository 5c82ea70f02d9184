/* SPDX-License-Identifier: MIT */
/*
 * timeline_internal: the list in memory, and how it is kept up to date.
 *
 * timeline_digest.c: what the index keeps of a record. timeline_sync.c: makes
 * index and list agree with the folder. timeline_forget.c: takes records away.
 * timeline.c: questions and appending.
 */
#ifndef SNAPSHOTS_TIMELINE_INTERNAL_H
#define SNAPSHOTS_TIMELINE_INTERNAL_H

#include "snapshots/timeline.h"
#include "store/base/lock.h"

/* Most bytes of a snapshot's digest: fixed fields, tags, reason. */
#define DIGEST_SNAPSHOT_BYTES_MAX (256 + RECORD_TAGS_MAX * (TAG_BYTES_MAX + 1) + 64)
/* Ranges of a forget record that its digest keeps; of longer ones the record itself is read. */
#define DIGEST_RANGES_MAX 512

static_assert(DIGEST_SNAPSHOT_BYTES_MAX <= INDEX_RECORD_BYTES_MAX, "a digest fits the index");
static_assert(64 + DIGEST_RANGES_MAX * 20 <= INDEX_RECORD_BYTES_MAX, "a digest fits the index");

/* After so many records of our own the folder is listed again all the same. */
#define UNLISTED_MAX 64

/* One visible snapshot. */
struct timeline_entry {
	uint64_t seq;
	int64_t time_ns;
	int64_t floor_ns; /* least time of this and all later ones: ascends, so it can be searched
			   */
	uint32_t suffix : 31;
	uint32_t tagged : 1;
	uint32_t id_head; /* first 4 bytes of the id, big-endian */
};

/* A digest that the index could not take. */
struct kept_digest {
	uint64_t seq;
	uint8_t *data;
	size_t n;
};

/* A record file that is there. */
struct record_file {
	uint64_t seq;
	struct record_id id;
};

struct timeline {
	struct store *store;
	struct host_id host;
	char folder[64]; /* "records/<host>" */

	struct lock lock; /* guards everything below */
	struct timeline_entry *entries;
	size_t n_entries;
	size_t entries_room;
	uint64_t head_seq; /* highest record ever seen here, of either kind; 0: none */
	struct record_id head_id;
	int64_t folder_mtime_ns; /* as of the last listing; INT64_MIN: list again */
	uint64_t indexed_seq;    /* the index's last, as of the last scan */
	unsigned int n_unlisted; /* own records since the last listing */
	struct kept_digest *kept;
	size_t n_kept;
	struct record_id *bad; /* unreadable ones, named in the log already */
	size_t n_bad;
	struct sequence_range *ranges; /* what forget records say: ascending, apart */
	size_t n_ranges;
	struct record_file *leftovers; /* files of records in these ranges */
	size_t n_leftovers;
	uint64_t *forgets; /* forget records outside these ranges */
	size_t n_forgets;
};

/* ---- digests ---- */
struct digest_head {
	enum record_kind kind;
	struct record_id id;
	int64_t time_ns;
	uint32_t suffix;
	bool tagged;
	bool ranges_missing; /* a forget record too long for a digest */
	uint64_t n_ranges;
};

/** Digest of a record. 0; -EUCLEAN when its root is no directory; -ENOMEM. */
int timeline_digest_make(const struct record *r, const struct record_id *id, struct byte_buf *to);
/** First fields only; leaves `in` at what follows. 0 or -EUCLEAN. */
int timeline_digest_head(struct byte_reader *in, struct digest_head *ret_head);
/** Next range of a forget digest after its head; *last carries over, from 0. */
struct sequence_range timeline_digest_range(struct byte_reader *in, uint64_t *last);
/** All of a snapshot's. 0 or -EUCLEAN. */
int timeline_digest_info(const void *data, size_t n, uint64_t seq, struct snapshot_info *ret_info);

/* ---- keeping up ---- */
/** Read folder and index, enter and drop what differs, make the list anew. Lock held. 1 when it
 * changed, 0, -errno. */
int timeline_sync(struct timeline *t);
/** Put a digest into the index, or keep it in memory when that fails. Lock held. */
int timeline_put_digest(struct timeline *t, uint64_t seq, const struct byte_buf *digest);
/** Read a listed snapshot's record and keep its digest in memory, past an index that lists it but
 * does not find it. Lock held. 0, -ENOENT when no file of this sequence opens, -ENOMEM. */
int timeline_recall(struct timeline *t, uint64_t seq);
/** The kept digest of a sequence, or NULL. Lock held. */
struct kept_digest *timeline_kept(struct timeline *t, uint64_t seq);
/** Read and open one record file; logs what is wrong with it. 0, -ENOENT, -EBADMSG, -EUCLEAN, ...
 */
int timeline_read_file(struct timeline *t, uint64_t seq, const struct record_id *id,
		       struct record *ret_record);
/** Sort ranges and join those that overlap or touch. Returns how many are left. */
size_t timeline_merge_ranges(struct sequence_range *ranges, size_t n);
/** Append to the list; room for it must be there. Lock held. */
void timeline_push(struct timeline *t, uint64_t seq, const struct digest_head *head);
/** Make room for one more element of an array of n. 0 or -ENOMEM. */
int timeline_grow(void *array, size_t n, size_t *room, size_t element);

#endif
