/* SPDX-License-Identifier: MIT */
/*
 * restore_internal: what the parts of restore share.
 *
 *   restore.c            the run: target, threads, result
 *   restore_walk.c       walks the snapshot, fills batches
 *   restore_directory.c  a directory from its mkdir to its times
 *   restore_object.c     one object that is no directory
 *   restore_file.c       contents of regular files
 *   restore_attributes.c owner, attributes, mode, flags, times
 *   restore_links.c      names of one inode
 *   restore_remove.c     what is deleted
 *
 * One walker makes directories and puts everything else, in the snapshot's
 * order, into batches; workers take them in that order. So neighbours share a
 * decoded bundle, and a worker that waits for the first name of an inode waits
 * for work that was taken before its own: there is no circle.
 *
 * Memory: a fixed number of batches circulates between two queues; a directory
 * lives while something below it is not done; a link group while names of its
 * inode may still come.
 */
#ifndef SNAPSHOTS_RESTORE_INTERNAL_H
#define SNAPSHOTS_RESTORE_INTERNAL_H

#include "snapshots/restore.h"
#include "snapshots/tree_reader.h"
#include "store/base/lock.h"
#include "store/base/queue.h"

#include <sys/stat.h>

#define RESTORE_THREADS_MAX 16
#define BATCH_ITEMS_MAX 128
#define BATCH_DIRECTORIES_MAX 16 /* bounds the open directories of waiting batches */
#define BATCH_CONTENT_BYTES MIB(4)
#define BATCH_ARENA_BYTES KIB(128)
#define OPEN_ANCESTORS_MAX 128 /* directories on the walker's path that stay open */
#define PREFETCH_BYTES MIB(8)
#define VERIFY_BYTES KIB(128)
#define TEMPORARY_BYTES 24 /* ".yore-", 16 hex digits, NUL */

static_assert(BATCH_ARENA_BYTES >= INLINE_PIECES_MAX * (sizeof(struct piece) +
							PIECE_EXTENTS_MAX * sizeof(struct extent)) +
					   NAME_BYTES_MAX + LINK_BYTES_MAX + XATTR_INLINE_MAX + 64,
	      "any entry fits an empty batch");

/* A directory of the target. Its entry's name and xattrs lie in `data`. */
struct restore_dir {
	struct restore_dir *parent; /* NULL: the target itself */
	atomic_uint refs;           /* whoever needs its path */
	atomic_uint pending;        /* the walker, items, children: at 0 it is finished */
	atomic_uint n_items;        /* of them items: while there are any, fd stays open */
	int fd; /* -1: closed for now by the walker, or does not exist (dry run) */
	dev_t dev;
	ino_t ino;
	mode_t found_mode; /* of a directory that was there */
	bool made;         /* by this run: nothing was in it */
	bool bare;         /* holds what is restored, is not itself restored */
	bool loosened;     /* its mode was widened for the time of the run */
	bool default_acl;  /* new files inherit an ACL */
	bool may_delete;   /* names that the snapshot does not have are removed */
	struct tree_entry entry;
	char data[];
};

enum link_state { LINK_PENDING, LINK_DONE, LINK_FAILED };

/* Names of one inode. */
struct link_group {
	struct link_group *next; /* in its bucket; the walker's */
	atomic_uint refs;
	uint32_t file_system, nlink, seen;
	uint64_t ino, size;
	uint32_t mode;
	struct node_time mtime;
	/* under restore.lock: where the first finished name is */
	enum link_state state;
	struct restore_dir *dir;
	char *name;
	dev_t target_dev;
	ino_t target_ino;
};

struct link_table;

/* One object to restore; the entry's arrays lie in the batch's arena. */
struct restore_item {
	struct restore_dir *dir;
	struct link_group *link; /* NULL: an inode with one name */
	bool first;              /* this name makes the inode */
	struct tree_entry entry; /* its name is NUL-terminated, its link too */
};

struct restore_batch {
	size_t n;
	size_t n_directories;
	uint64_t content_bytes;
	size_t arena_n;
	struct restore_item items[BATCH_ITEMS_MAX];
	_Alignas(16) uint8_t arena[BATCH_ARENA_BYTES];
};

/* Immutable or append-only: set when nothing has to be linked or renamed any more. */
struct restore_later {
	struct restore_later *next;
	struct restore_dir *dir;
	uint32_t flags;
	char name[]; /* "": the directory itself */
};

struct restore {
	const struct restore_options *options;
	struct chunk_cache *cache;
	bool privileged;
	int target_fd; /* -1: does not exist (dry run) */
	struct queue *full;
	struct queue *empty;
	uint64_t temporary_seed;
	atomic_uint_fast64_t temporary_next;
	atomic_int failure; /* first -errno that ends the run, or 0 */
	struct lock lock;   /* guards link groups, `later`, and calls of the caller's functions */
	pthread_cond_t link_done;
	struct restore_later *later;
	atomic_uint_fast64_t files, directories, others, bytes, written, written_bytes, deleted,
		errors, incomplete;
};

/* What one thread needs besides. */
struct restore_thread {
	struct restore *run;
	struct content_reader *reader;
	struct content_reader *ahead; /* runs before `reader` and prefetches */
	struct chunk_pin pin;         /* the chunk used last: the next file often lies in it too */
	struct chunk_id pin_id;
	struct byte_buf xattrs;
	uint8_t *back; /* VERIFY_BYTES: what is read back */
};

/* ---- restore.c ---- */
int restore_thread_init(struct restore_thread *t, struct restore *run);
void restore_thread_done(struct restore_thread *t);
/** 0, or why the run must end: -ECANCELED or its first fatal error. */
int restore_stopped(struct restore *run);
/** An object is not restored: count and name it. Errors that will hit every object end the run. */
void restore_error(struct restore *run, struct restore_dir *dir, const char *name, const char *what,
		   int error);
/** An object is restored without something: name it. The caller counts it once. */
void restore_shortfall(struct restore *run, struct restore_dir *dir, const char *name,
		       const char *what, int error);
/** Dry run: say what would be done. */
void restore_plan(struct restore *run, struct restore_dir *dir, const char *name, const char *what);
void restore_progress_add(struct restore *run, uint64_t objects, uint64_t bytes);

/* ---- restore_walk.c ---- */
/** Restore the object `top`: what it names goes into `container`, or becomes it when `top` has no
 * name. */
int restore_walk(struct restore_thread *t, struct restore_dir *container,
		 const struct tree_entry *top);
/** Count what lies below a directory, for progress. */
int restore_count(struct restore *run, const struct chunk_id *tree, uint64_t *ret_objects,
		  uint64_t *ret_bytes);

/* ---- restore_directory.c ---- */
/** A directory for an open descriptor (taken) or -1, with a copy of `entry` (NULL: bare). */
int restore_dir_new(struct restore_dir *parent, int fd, const struct tree_entry *entry,
		    struct restore_dir **ret_dir);
/** Make or open a subdirectory; whatever else stands there makes way. Returns 0 or -errno. */
int restore_dir_enter(struct restore_thread *t, struct restore_dir *parent,
		      const struct tree_entry *entry, struct restore_dir **ret_dir);
/** Learn about a directory that was there before; makes it writable for the run. */
int restore_dir_inspect(struct restore *run, struct restore_dir *dir);
/** Done with one thing in it; the last one sets its attributes, closes it, and goes on with its
 * parent. */
void restore_dir_finish(struct restore_thread *t, struct restore_dir *dir);
void restore_dir_ref(struct restore_dir *dir);
void restore_dir_unref(struct restore_dir *dir);
CLEANUP_DEFINE(struct restore_dir, restore_dir_unref)
/** Close a directory on the walker's path while it is deep below; no-op while items need it. */
void restore_dir_suspend(struct restore_dir *dir);
/** Open it again from a child of it. Returns 0, -ESTALE when it was moved meanwhile, -errno. */
int restore_dir_resume(struct restore *run, struct restore_dir *dir,
		       const struct restore_dir *child);
/** Open it once more (O_PATH) name by name from the target, whether it is open or not. */
int restore_dir_locate(struct restore *run, const struct restore_dir *dir);
/** Path for people; NULL on no memory. The caller frees it. */
char *restore_dir_path(const struct restore *run, const struct restore_dir *dir, const char *name);

/* ---- restore_object.c ---- */
/** Restore one item, count it, and tell its link group. */
void restore_item_run(struct restore_thread *t, struct restore_item *item);
/** A name for something unfinished: ".yore-" and 16 hex digits. */
void restore_temporary(struct restore *run, char to[static TEMPORARY_BYTES]);
/** -EISDIR if a directory is in the way and may not be deleted; else 0 and it is gone. */
int restore_clear_way(struct restore_thread *t, const struct restore_item *item,
		      const struct stat *there);

/* ---- restore_file.c ---- */
/** `there` is what has the name now, or NULL. Fills *ret_made with the inode restored. */
int restore_file(struct restore_thread *t, const struct restore_item *item,
		 const struct stat *there, struct stat *ret_made);

/* ---- restore_attributes.c ---- */
/* An object to set attributes of: open, or only located (O_PATH). */
struct restore_handle {
	int fd;
	bool located;
	struct restore_dir *dir; /* for messages and for later: the directory it is in */
	const char *name;        /* in that directory; "": the directory itself */
};
/** Bring an object that now is as `now` says to what its entry says; `fresh`: made by us. */
void restore_attributes(struct restore_thread *t, const struct restore_handle *h,
			const struct tree_entry *entry, const struct stat *now, bool fresh);
/** Set what was put off. */
void restore_attributes_later(struct restore *run);
void restore_later_free(struct restore *run);
struct timespec restore_timespec(struct node_time time);

/* ---- restore_links.c ---- */
int link_table_new(struct link_table **ret_table);
void link_table_free(struct link_table *table);
CLEANUP_DEFINE(struct link_table, link_table_free)
/** Note an item's name; sets its link group and whether it is the first. Walker only. */
int link_table_enter(struct link_table *table, struct restore_item *item);
/** Wait for the first name: true when it is there; false: this name is to make the inode now. */
bool link_group_wait(struct restore *run, struct link_group *group);
/** This name was to make the inode, and did (r == 0) or did not. */
void link_group_made(struct restore *run, const struct restore_item *item, const struct stat *made,
		     int r);
void link_group_unref(struct link_group *group);
/** Give an item the name of its finished group. 0; -errno: it has to be written by itself. */
int restore_link(struct restore_thread *t, const struct restore_item *item,
		 const struct stat *there);

/* ---- restore_remove.c ---- */
/** Remove left-overs of an interrupted run, and with dir->may_delete what the snapshot does not
 * have. */
int restore_clean(struct restore_thread *t, struct restore_dir *dir, struct tree_reader *lookup);
/** Remove an object with all below it: never follows a link, never enters a mount. 0 or -errno. */
int restore_remove(int dirfd, const char *name);
/** Is it the root of a mount? Also when it cannot be told. */
bool restore_is_mount(int fd);

#endif
