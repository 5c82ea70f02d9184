/* SPDX-License-Identifier: MIT */
/*
 * record: one snapshot (or one act of forgetting) as a small sealed document,
 * records/<host>/<seq>-<id>. Writing it is the commit point.
 *
 * <seq> is 16 hex digits, <id> the SHA-256 of the sealed bytes in hex. Each
 * record carries the id of the one before it: a gap that no forget record
 * explains is an alarm. Bytes: yore-format(5), "Records".
 *
 * Threads: plain data, no locking.
 */
#ifndef SNAPSHOTS_RECORD_H
#define SNAPSHOTS_RECORD_H

#include "snapshots/tree_node.h"
#include "store/store.h"

/* Limits of the parts of a record, beside those in limits.h. */
#define RECORD_SUFFIX_MAX INT32_MAX
#define RECORD_REASON_BYTES_MAX 63
#define RECORD_PATH_BYTES_MAX 4095
#define RECORD_EXCLUDES_BYTES_MAX MIB(1)

enum record_kind { RECORD_SNAPSHOT = 1, RECORD_FORGET = 2 };

struct record_id {
	uint8_t bytes[SHA256_BYTES];
};

/* What a source's state was at this moment. */
enum source_state { SOURCE_PRESENT = 0, SOURCE_ABSENT = 1 };

/* Source flags: how it is to be walked. */
enum {
	SOURCE_ONE_FILE_SYSTEM = 1,
	SOURCE_EXCLUDE_CACHES = 2, /* honour CACHEDIR.TAG */
	SOURCE_STREAM = 4,         /* a program's output: never looked for on disk */
};

struct record_source {
	char *path;     /* absolute, canonical, no trailing slash (except "/") */
	char *excludes; /* gitignore lines, newline-separated; "" for none */
	uint32_t flags; /* SOURCE_* */
	enum source_state state;
	int64_t walk_start_ns; /* of the walk that gave its present content */
	int64_t captured_ns;   /* end of that walk */
	uint32_t file_system;  /* ordinal of its root, below n_file_systems */
	enum consistency consistency;
	uint64_t files, directories, others, bytes; /* what it holds */
	uint64_t errors; /* objects that could not be read in that walk */
};

/* Identity of a file system: its kind and UUID (zero where it has none). */
struct file_system_identity {
	uint64_t type; /* statfs f_type */
	uint8_t uuid[16];
};

struct sequence_range {
	uint64_t first;
	uint64_t last;
};

struct record {
	enum record_kind kind;
	struct host_id host;
	uint64_t seq;              /* from 1 */
	struct record_id previous; /* zero for the first */
	int64_t time_ns;           /* the snapshot's moment: when its last walk began */
	int64_t written_ns;        /* by this machine's clock */
	uint32_t name_suffix;      /* 0, or n of "…Z.n" for the n-th more within one second */
	char *host_name;
	char *reason; /* "manual", ... */
	char **tags;
	size_t n_tags;
	struct record_source *sources; /* sorted by path */
	size_t n_sources;
	struct file_system_identity *file_systems; /* by ordinal */
	size_t n_file_systems;
	uint8_t *root; /* encoded tree_entry of "/" (tree_entry_encode) */
	size_t root_n;
	struct new_pack *packs;
	size_t n_packs;
	uint64_t files, directories, others, bytes; /* all sources */
	uint64_t new_raw_bytes, new_stored_bytes;   /* this snapshot added */
	struct sequence_range *forgotten;           /* RECORD_FORGET: ascending, apart, below seq */
	size_t n_forgotten;
};

/** "steady", "smeared", "frozen" or "hook". */
const char *consistency_name(enum consistency c);
/** The least sure label of a record's sources: smeared, steady, frozen, hook. */
enum consistency record_consistency(const struct record *r);

/** Free everything inside and zero it. */
void record_done(struct record *r);
/**
 * Seal into bytes ready for the file; the caller frees *ret_data. *ret_id names
 * it. Returns 0; -EINVAL for a record that record_open would refuse (logged);
 * -EFBIG past RECORD_BYTES_MAX; -ENOMEM.
 */
int record_seal(const struct record *r, const struct store *s, uint8_t **ret_data, size_t *ret_n,
		struct record_id *ret_id);
/**
 * Open sealed bytes that claim to be host's number seq. Returns 0; -EBADMSG
 * (damaged, or of another repository, host or number); -EUCLEAN; -ENOMEM.
 */
int record_open(const struct store *s, const struct host_id *host, uint64_t seq, const void *data,
		size_t n, struct record *ret_record);

/** "records/<host>/<seq>-<id>". */
#define RECORD_PATH_BYTES 160
char *record_path(const struct host_id *host, uint64_t seq, const struct record_id *id,
		  char to[static RECORD_PATH_BYTES]);
/** Parse "<seq>-<id>". 0 or -EINVAL. */
int record_parse_name(const char *name, uint64_t *ret_seq, struct record_id *ret_id);

#endif
