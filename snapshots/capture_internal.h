/* SPDX-License-Identifier: MIT */
/*
 * capture_internal: what the parts of one capture share.
 *
 *   walker            lists folders, compares entries with the last snapshot
 *   file_job          reads what changed (several files in flight)
 *   assembler         goes through everything in order, lays small files into
 *                     bundles; the calling thread
 *   finisher          waits for bundles, writes directory nodes; one thread
 *
 * Walker and file jobs run ahead of the assembler on their own threads, in
 * memory bounded by LOOKAHEAD_*. Whatever the assembler needs and nobody has
 * begun, it does itself: so nothing can wait in a circle.
 *
 * Life of a task: NEW -> RUNNING -> DONE, under capture.lock.
 */
#ifndef SNAPSHOTS_CAPTURE_INTERNAL_H
#define SNAPSHOTS_CAPTURE_INTERNAL_H

#include "snapshots/bundle.h"
#include "snapshots/capture.h"
#include "snapshots/exclude.h"
#include "snapshots/ingest.h"
#include "snapshots/link_set.h"
#include "snapshots/live_parts.h"
#include "snapshots/tree_patch.h"
#include "snapshots/tree_reader.h"
#include "store/base/lock.h"
#include "store/base/queue.h"

#include <sys/stat.h>

#define LOOKAHEAD_ITEMS 32768u  /* entries compared but not assembled */
#define LOOKAHEAD_FOLDERS 2048u /* folders open ahead */
#define LOOKAHEAD_BYTES MIB(12) /* contents of small files read ahead */
#define SEGMENT_NAMES 2048u     /* of a large folder, compared at a time */
#define UNFINISHED_MAX 16384u   /* entries that wait for the finisher */
#define BATCH_FILES 64u
#define BATCH_BYTES MIB(1)

enum task_state { TASK_NEW, TASK_RUNNING, TASK_DONE };

struct capture;
struct worker;

/* Something that a helping thread may do ahead, or the assembler when it needs it. */
struct task {
	struct task *previous, *next; /* in its list while NEW */
	enum task_state state;
	void (*run)(struct worker *w, struct task *task);
	size_t bytes; /* contents that it will hold */
};

/* Tasks not begun. The walker's is a stack: depth first; the readers' a queue. */
struct task_list {
	struct task *first, *last;
};

/* Memory that lives as long as a segment. */
struct arena_block;
struct arena {
	struct arena_block *blocks;
};
void *arena_get(struct arena *a, size_t n);
void *arena_copy(struct arena *a, const void *data, size_t n);
void arena_done(struct arena *a);

enum job_outcome {
	JOB_OPEN,     /* not read yet */
	JOB_SMALL,    /* data, to be laid into a bundle */
	JOB_CONTENT,  /* content */
	JOB_VANISHED, /* was gone when it was to be opened */
	JOB_FAILED,   /* could not be read */
};

/* A regular file whose contents must be read. Hard links share one. */
struct file_job {
	unsigned int refs; /* under capture.lock */
	struct batch *batch;
	struct folder *folder; /* of the name it is opened by */
	const char *name;
	struct tree_entry seen; /* attributes, of the walk and then of the open file */
	dev_t device;
	const struct content *old; /* borrowed from its segment; NULL: none */
	enum job_outcome outcome;
	int error;
	uint8_t *data; /* JOB_SMALL: until it is laid down */
	size_t n;
	struct chunk_id id;
	bool cold; /* it was not in the page cache */
	bool placed;
	struct bundle_place place;
	struct content content; /* JOB_CONTENT: owns its arrays */
	uint8_t *xattrs;        /* owned */
};

/* Files that one reader opens one after another. */
struct batch {
	struct task task;
	struct folder *folder;
	unsigned int refs; /* jobs that point to it; under capture.lock */
	struct file_job *jobs[BATCH_FILES];
	size_t n;
};

enum item_kind {
	ITEM_DONE,   /* the entry is complete: unchanged, or no regular file */
	ITEM_FOLDER, /* child */
	ITEM_FILE,   /* job */
	ITEM_GONE,   /* not to be stored */
};

/* How much of a folder is looked at. */
enum folder_mode {
	FOLDER_WHOLE, /* everything below */
	FOLDER_LIST,  /* all its names, but folders below only as far as they are dirty */
	FOLDER_NAMES, /* only the dirty names; the others stay as they were */
};

struct item {
	struct tree_entry
		entry; /* name borrowed from the folder, the rest from the segment's arena */
	enum item_kind kind;
	/* A file that is read: its last known state, to compare with, and to keep if that fails. */
	const struct tree_entry *old;
	bool equal;     /* attributes are those of `old`; only contents may differ */
	bool was_file;  /* the last snapshot has a regular file of this name */
	bool rewritten; /* its contents are not what they were; once it is complete */
	struct folder *child;
	struct file_job *job;
	bool owns_job;                  /* this name's batch reads it */
	const struct dirty_name *dirty; /* what may have changed below this folder; NULL: all */
	const struct dirty_name *hint;  /* what is known of this name, or NULL */
};

/* A stretch of a folder's names. */
struct segment {
	struct task task;
	struct folder *folder;
	uint32_t first, n;
	struct item *items;
	uint32_t n_items;
	struct arena arena;
};

struct folder {
	struct task task;             /* listing it */
	struct folder *older, *newer; /* all of them, for the end; under capture.lock */
	struct folder *parent;
	const char *name; /* borrowed from the parent */
	char *path;       /* from the source's root, "" for that itself */
	int fd;
	unsigned int fd_users; /* under capture.lock: work that still needs fd */
	uint32_t depth;
	dev_t device;
	uint32_t file_system;
	bool barren; /* not to be entered */
	struct tree_entry self;
	uint8_t *xattrs; /* owned: self's */
	bool has_old;
	struct tree_entry old; /* tree, ctime, ino, flags; xattrs in old_xattrs */
	uint8_t *old_xattrs;
	char *names; /* all of them, NUL-terminated */
	uint32_t *order;
	uint32_t n_names;
	struct segment *segments; /* one at least once listed */
	uint32_t n_segments;
	int error;                      /* it could not be listed */
	enum folder_mode mode;          /* final once listed */
	const struct dirty_name *dirty; /* unless WHOLE */
	const struct dirty_name *hint;  /* what is known of names in it, in every mode, or NULL */
	struct tree_patch *patch;       /* the finisher's */
};

/* What one helping thread (or the assembler) works with. */
struct worker {
	struct capture *capture;
	struct tree_reader *old;
	struct content_reader *old_content;
	struct id_hasher *hasher;
	struct ingest *ingest; /* made at the first need */
	struct byte_buf scratch;
	uint8_t *dents; /* for getdents64 */
};

/*
 * What a source holds, counted as entries are written. Where a folder is
 * patched, what its entries replace is counted off, so that numbers wrap
 * below zero until they are added to the source's former ones.
 */
struct tally {
	uint64_t files, directories, others, bytes;
	uint64_t files_on, files_off; /* each for itself */
	uint64_t files_kept;          /* of files_on: that were files in the last snapshot */
	uint64_t files_rewritten;     /* of those: whose contents differ */
	uint64_t unreadable_off;      /* entries replaced that could not be read last time */
	bool absolute;                /* the whole source was counted, nothing is to be added */
};

/* A file system met in this run. */
struct known_device {
	dev_t device;
	uint32_t ordinal;
	bool is_virtual;
};

struct inode_table;
struct kept_stream;
struct stored_bytes;

struct capture {
	/* set up before threads, constant then */
	struct timeline *timeline;
	struct store *store;
	struct store_writer *writer;
	struct chunk_cache *cache;
	struct seal_pool *pool;
	struct object_sink *nodes; /* takes finished nodes */
	const struct capture_options *options;
	struct capture_progress own_progress;
	struct capture_progress *progress;
	size_t folders_max; /* open ahead at most */
	size_t small_max;   /* files shorter than this go into bundles */
	dev_t repository_device;
	ino_t repository_inode;
	dev_t *skipped_devices; /* yore mounts */
	size_t n_skipped_devices;
	bool check_chunks;      /* some chunks may not be relied on: look at each */
	uint32_t generation;    /* of the index, when this attempt began */
	atomic_bool unverified; /* something was kept whose chunks nobody looked at */
	bool ignore_dirty;      /* this attempt looks at everything */
	atomic_bool old_lost;   /* part of this source's last state could not be read */

	/* of the source being captured; constant while its threads work */
	const char *source_path;
	struct exclude *excludes;
	uint32_t source_flags;
	const struct tree_entry *root_old; /* the source's root as it last was, or NULL */
	int64_t racy_ns;                   /* entries changed since are read again */
	const struct dirty_name *dirty;    /* only this is looked at; NULL: everything */
	const struct dirty_name *hints;    /* what is known of some names, also then; or NULL */
	struct link_set *closed_links; /* looking at everything: what `hints` says by other names */
	const char *read_path;         /* where it is read: source_path, or a frozen copy */
	struct live_parts *live;       /* with a frozen copy: what is not in it */
	enum consistency consistency;  /* label of what is read and holds still */
	atomic_uint_fast32_t smeared;  /* files that did not, of all sources */

	struct kept_stream *kept_streams;  /* stream_capture.c's */
	struct stored_bytes *stored_bytes; /* by source, over all attempts */

	struct lock lock; /* guards all below, the tasks' states and the fields named so above */
	pthread_cond_t changed;
	struct task_list walks, reads;
	size_t items_ahead, folders_ahead, bytes_ahead;
	size_t items_unfinished;
	struct folder *folders; /* newest */
	struct inode_table *links;
	int failure;     /* first negative errno that ends the run */
	bool want_whole; /* what is dirty does not tell enough: the source is captured again */
	bool stopping;
	struct file_system_identity *file_systems;
	size_t n_file_systems;
	struct known_device *devices;
	size_t n_devices;
	uint64_t errors;

	/* the assembler's */
	struct bundler *bundler;
	struct worker *self;
	struct queue *finished; /* segments for the finisher */

	struct byte_buf placeholder_xattrs; /* the commit's: of the last folder on the way */

	/* the finisher's */
	struct byte_buf result; /* the source's root, encoded */
	bool has_result;
	struct tally tally;
	struct tree_patch *spare_patches[8];
	size_t n_spare_patches;
};

/* ---- capture_tasks.c: threads and tasks ---- */
int worker_new(struct capture *c, struct worker **ret_worker);
void worker_free(struct worker *w);
CLEANUP_DEFINE(struct worker, worker_free)
void *capture_walk_thread(void *worker);
void *capture_read_thread(void *worker);
/* Queue work. With the lock held. */
void task_queue(struct task_list *list, struct task *task, bool first);
/* Have a task done: do it here if nobody has begun, or wait. */
void task_finish(struct worker *w, struct task_list *list, struct task *task);
/* End the run with this error. */
void capture_fail(struct capture *c, int r);
bool capture_failed(struct capture *c);
/* End this look at dirty names only; the source is then walked whole. */
void capture_want_whole(struct capture *c, const char *why);
/* Name an object that could not be captured, and count it. */
void capture_problem(struct capture *c, const struct folder *folder, const char *name,
		     const char *what, int error);

/* ---- walker.c ---- */
struct folder *folder_new(struct capture *c, struct folder *parent, const char *name);
/* One name below an open folder: the root of a source. Takes fd. */
int walker_begin(struct capture *c, int fd, const char *name, struct folder **ret_folder);
void folder_free(struct capture *c, struct folder *f);
void segment_done(struct capture *c, struct segment *s);
/* Done with the folder's descriptor for one piece of work. With the lock held. */
void folder_release_fd(struct folder *f);
#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)
void entry_from_statx(const struct statx *sx, struct tree_entry *ret_entry);
dev_t statx_device(const struct statx *sx);
bool node_time_equal(const struct node_time *a, const struct node_time *b);
/* Was the last walk's look at something of this age late enough to have seen its last change? */
bool node_time_certain(const struct capture *c, const struct node_time *t);
/* Attributes as the file system has them, for a folder that is only on the way. */
int walker_placeholder(struct capture *c, const char *path, struct tree_entry *ret_entry);
/* The ordinal of the file system that a descriptor is on. */
int capture_file_system(struct capture *c, dev_t device, int fd, uint32_t *ret_ordinal,
			bool *ret_virtual);

/* ---- entry_scan.c ---- */
/*
 * Look at item->entry.name in the segment's folder and complete the item. `old`
 * is the name's last known entry, or NULL. Returns 0 or -errno that ends the run.
 */
int entry_scan(struct worker *w, struct segment *s, struct item *item,
	       const struct tree_entry *old);
/*
 * The old entry of a name, from w->old, which goes along in ascending order;
 * *at and *have are the caller's place in it. NULL: none.
 */
const struct tree_entry *entry_scan_old(struct worker *w, const char *name, uint32_t n,
					struct tree_entry *at, bool *have);

/* ---- file_job.c ---- */
struct file_job *file_job_new(struct folder *folder, const char *name,
			      const struct tree_entry *seen, dev_t device,
			      const struct content *old);
/* With the lock held. */
void file_job_unref(struct file_job *job);
/* The job of another name of the same file, counted; NULL when this is its first. */
struct file_job *inode_table_find(struct capture *c, dev_t device, uint64_t ino);
int inode_table_enter(struct capture *c, dev_t device, uint64_t ino, struct file_job *job);
void inode_table_free(struct inode_table *t);
struct batch *batch_new(struct folder *folder);
void batch_free(struct batch *b);
/* FS_IOC_GETFLAGS, those worth keeping. */
uint32_t attribute_flags_read(int fd, const struct tree_entry *e);

/* ---- tally.c: the finisher's ---- */
/* An entry was written; `replaced` is what it takes the place of in a patched folder, or NULL. 0 or
 * -ENOMEM. */
int tally_put(struct capture *c, const struct item *item, const struct tree_entry *replaced);
/* An old entry was left out of a patched folder. */
int tally_removed(struct capture *c, const struct tree_entry *old);
/* The source's root was written; files below it that were not looked at were there before. */
int tally_root(struct capture *c, const struct item *item);

/* ---- assembler.c, finisher.c ---- */
/* Go through everything below a source's parent folder. Returns 0 or the run's failure. */
int assembler_run(struct capture *c, struct folder *root);
void *finisher_thread(void *capture);

#endif
