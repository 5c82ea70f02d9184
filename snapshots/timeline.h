/* SPDX-License-Identifier: MIT */
/*
 * timeline: one host's snapshots in order, and how one is added.
 *
 * The list lives in the index as digests, so that opening costs the same for
 * ten and for ten thousand; timeline_open() first replays records that the
 * index does not know (a crash or another machine's sync came between), and
 * drops those whose file is gone. In memory: 32 bytes a snapshot. Where the
 * index cannot be written, the digests of what it lacks stay in memory, too.
 * A break in the chain of records that no forget record explains is an alarm
 * in the log, not a failure.
 *
 * Threads: any; a lock (LOCK_RANK_TIMELINE) guards the list.
 */
#ifndef SNAPSHOTS_TIMELINE_H
#define SNAPSHOTS_TIMELINE_H

#include "snapshots/record.h"
#include "store/base/clock.h"
#include "store/limits.h"

#include <stdbool.h>

/* "2024-05-01T14-30-00Z" or with ".1" and so on; without the '@'. */
#define SNAPSHOT_NAME_BYTES 40

/* What the index keeps of a record: enough for listing and for opening its tree. */
struct snapshot_info {
	uint64_t seq;
	enum record_kind kind;
	struct record_id id;
	int64_t time_ns;
	char name[SNAPSHOT_NAME_BYTES];
	struct chunk_id root_tree;
	uint64_t files, directories, others, bytes, new_raw_bytes, new_stored_bytes;
	uint64_t errors;
	uint32_t n_absent; /* sources that were absent */
	uint32_t n_sources;
	enum consistency consistency;                     /* the worst of its sources' */
	char tags[RECORD_TAGS_MAX * (TAG_BYTES_MAX + 1)]; /* comma-separated */
	char reason[RECORD_REASON_BYTES_MAX + 1];
};

struct timeline;

/** Open a host's timeline and bring the index up to its records. Unreadable records are named and
 * skipped. */
int timeline_open(struct store *s, const struct host_id *host, struct timeline **ret_timeline);
void timeline_close(struct timeline *t);
CLEANUP_DEFINE(struct timeline, timeline_close)
/**
 * The timeline that a mount or command shows: this host's if it has snapshots,
 * else the only other host's, else with `host_name` the host of that display
 * name (or hex id). Returns 0; -ENOENT no such host; -ENOTUNIQ several others
 * and none named. With no snapshots anywhere: this host's, empty.
 */
int timeline_choose(struct store *s, const char *host_name, struct timeline **ret_timeline);

struct store *timeline_store(struct timeline *t);
const struct host_id *timeline_host(const struct timeline *t);
/** Look for records written since (by any process). 1 when there are new or fewer ones, 0, -errno.
 */
int timeline_refresh(struct timeline *t);
/** Number of snapshots (forget records and forgotten ones not counted). */
int timeline_count(struct timeline *t, uint64_t *ret_n);
/** The highest sequence's snapshot. 0 or -ENOENT. */
int timeline_latest(struct timeline *t, struct snapshot_info *ret_info);
/** The snapshot with this sequence. 0 or -ENOENT. */
int timeline_get(struct timeline *t, uint64_t seq, struct snapshot_info *ret_info);
/** The highest sequence with time <= T, by binary search. 0 or -ENOENT. */
int timeline_as_of(struct timeline *t, int64_t time_ns, struct snapshot_info *ret_info);
/** By exact name (without '@'). 0 or -ENOENT. */
int timeline_named(struct timeline *t, const char *name, struct snapshot_info *ret_info);
/** The newest carrier of a tag. 0 or -ENOENT. */
int timeline_tagged(struct timeline *t, const char *tag, struct snapshot_info *ret_info);
/** By a prefix of its id in hex, at least 8 digits. 0, -ENOENT, -ENOTUNIQ. */
int timeline_by_id(struct timeline *t, const char *hex, struct snapshot_info *ret_info);
/** Visit ascending by sequence (or descending). A non-zero answer ends it and is returned. */
typedef int timeline_visitor(void *context, const struct snapshot_info *info);
int timeline_each(struct timeline *t, bool descending, timeline_visitor *visit, void *context);
/** Only (seq, time) of the i-th snapshot in order, cheaply. 0 or -ENOENT. */
int timeline_at(struct timeline *t, uint64_t i, uint64_t *ret_seq, int64_t *ret_time_ns,
		uint32_t *ret_suffix);

/** Read a whole record. 0, -ENOENT, -EBADMSG, -EUCLEAN. Free with record_done. */
int timeline_read(struct timeline *t, uint64_t seq, struct record *ret_record);
/** A shared flock on the record's file, so that forget leaves it. Returns a seam descriptor
 * (io_close it) or -errno. */
int timeline_hold(struct timeline *t, uint64_t seq);

/**
 * The commit lock of this host (local/commit, flock): held while a record is
 * appended. Waits. Returns a seam descriptor or -errno; io_close drops it.
 */
int timeline_lock(struct timeline *t);
/**
 * Append a record, with the commit lock held and all its objects durable: sets
 * host, seq, previous, name_suffix and written_ns, writes it durably (THE
 * commit point), enters it into the index. Returns 0 or -errno: then nothing
 * was committed.
 */
int timeline_append(struct timeline *t, struct record *record, struct snapshot_info *ret_info);

/* What became of a forget. */
struct forget_result {
	uint64_t forgotten; /* records taken away */
	uint64_t busy;      /* left alone: a mount, a restore or a capture uses them */
};
/**
 * Let go of snapshots, ascending sequences: takes the commit lock, leaves out
 * those that somebody holds (timeline_hold), the newest one and unknown ones,
 * writes a forget record that carries them as ranges (joined with those of
 * earlier forget records, which it replaces), durably; only then are files
 * removed. Several forget records, one after another, when there are many. Only
 * this host's: -EPERM otherwise. Returns 0 or -errno: then what *ret_result
 * (filled in any case) does not count is untouched, or a later call goes on
 * with it.
 */
int timeline_forget(struct timeline *t, const uint64_t *seqs, size_t n,
		    struct forget_result *ret_result);
/**
 * Remove the record files that a forget record covers but that a crash, or
 * whoever held them, has kept. Every timeline_forget() begins with it; so does
 * a collection. Needs no lock. Returns how many files are still there because
 * somebody holds them, or -errno.
 */
int timeline_sweep_forgotten(struct timeline *t);

/**
 * What durable forget records, as of the last refresh, say: ranges, ascending
 * and apart. The caller frees *ret_ranges. 0 or -ENOMEM.
 */
int timeline_forgotten(struct timeline *t, struct sequence_range **ret_ranges, size_t *ret_n);

/**
 * What forgetting found in use last and wants: a mount then lets go of what
 * only the kernel's memory of names holds. timeline_forget() writes it
 * (local/wanted, a hint) and takes it away. Ascending; the caller frees
 * *ret_seqs. Returns 0; -ENOENT nothing is wanted; -EUCLEAN; -errno.
 */
int timeline_wanted(struct timeline *t, uint64_t **ret_seqs, size_t *ret_n);
#define TIMELINE_WANTED_FOLDER "local"
#define TIMELINE_WANTED "wanted"
#define TIMELINE_WANTED_MAX 4096

/** Name of a moment: "2024-05-01T14-30-00Z" (+ ".n"). */
void snapshot_name(int64_t time_ns, uint32_t suffix, char to[static SNAPSHOT_NAME_BYTES]);

#endif
