/* SPDX-License-Identifier: MIT */
/*
 * Taking records away. The order is what makes it safe to be killed anywhere:
 *
 *   1. lock each record exclusively, without waiting: who holds it, keeps it;
 *   2. append a forget record that names them: the decision, durable;
 *   3. unlink them, still locked, and the forget records that it replaces;
 *   4. sync the folder; the index drops their digests.
 *
 * Killed between 2 and 3, the files are there but no longer listed, and nobody
 * can begin to hold them (timeline_hold looks again once it has its lock); the
 * next sweep finishes.
 */
#include "snapshots/timeline_internal.h"
#include "store/base/log.h"
#include "store/reserve.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WANTED_PATH TIMELINE_WANTED_FOLDER "/" TIMELINE_WANTED
#define WANTED_LINE 17ul /* 16 hex digits and a newline */
/* A wish that was made this long ago is made again. */
#define WANTED_AGAIN_NS 10000000000LL
/* Records locked at once, each with a descriptor: far below the usual limit of 1,024. */
#define BATCH_MAX 256

struct held_record {
	struct record_file file;
	int fd;
};

struct forget_batch {
	struct timeline *t;
	struct held_record held[BATCH_MAX];
	size_t n_held;
	uint64_t wanted[TIMELINE_WANTED_MAX]; /* busy ones */
	size_t n_wanted;
};

static void batch_done(struct forget_batch *b)
{
	for (size_t i = 0; i < b->n_held; i++)
		io_close(store_io(b->t->store), b->held[i].fd);
	b->n_held = 0;
}

static int sync_now(struct timeline *t)
{
	LOCK_SCOPE(&t->lock);
	return timeline_sync(t);
}

/* ---- record files ---- */

/* Lock a record's file for taking it away. Its descriptor; -EWOULDBLOCK when somebody holds it. */
static int lock_file(struct timeline *t, const struct record_file *file)
{
	struct io *io = store_io(t->store);
	char path[RECORD_PATH_BYTES];
	int fd, r;

	(void)record_path(&t->host, file->seq, &file->id, path);
	fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_RECORD);
	if (fd < 0)
		return fd == -ENOENT || fd == -EMFILE
			       ? fd
			       : log_errno(fd, "%s: cannot open, so it cannot be forgotten", path);
	r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, false);
	if (r < 0) {
		io_close(io, fd);
		return r == -EWOULDBLOCK ? r : log_errno(r, "%s: cannot lock", path);
	}
	return fd;
}

static int unlink_file(struct timeline *t, const struct record_file *file)
{
	char path[RECORD_PATH_BYTES];
	int r;

	(void)record_path(&t->host, file->seq, &file->id, path);
	r = io_unlink(store_io(t->store), path, IO_OBJECT_RECORD);
	return r < 0 && r != -ENOENT
		       ? log_errno(r, "%s: forgotten, but the file cannot be removed", path)
		       : 0;
}

static int sync_folder(struct timeline *t)
{
	int r = io_fsync_folder(store_io(t->store), t->folder, IO_OBJECT_RECORD);

	return r < 0 ? log_errno(r, "%s: cannot sync", t->folder) : 0;
}

/* ---- sweeping ---- */

/* A copy of the leftovers, since the list may not change under the loop. */
static int copy_leftovers(struct timeline *t, struct record_file **ret_files, size_t *ret_n)
{
	struct record_file *files;

	LOCK_SCOPE(&t->lock);
	*ret_n = t->n_leftovers;
	*ret_files = NULL;
	if (t->n_leftovers == 0)
		return 0;
	files = calloc(t->n_leftovers, sizeof(*files));
	if (!files)
		return -ENOMEM;
	memcpy(files, t->leftovers, t->n_leftovers * sizeof(*files));
	*ret_files = files;
	return 0;
}

/* Remove what the list, just brought up to date, calls leftovers. How many are held, or -errno. */
static int sweep(struct timeline *t)
{
	CLEANUP(free_ptr) struct record_file *files = NULL;
	int n_held = 0, r;
	size_t n;

	r = copy_leftovers(t, &files, &n);
	if (r < 0 || n == 0)
		return r;
	/* The forget record may be another process's, renamed but not yet synced. */
	r = sync_folder(t);
	for (size_t i = 0; r == 0 && i < n; i++) {
		int fd = lock_file(t, &files[i]);

		if (fd == -EWOULDBLOCK)
			n_held++;
		if (fd == -EWOULDBLOCK || fd == -ENOENT)
			continue;
		r = fd < 0 ? fd : unlink_file(t, &files[i]);
		io_close(store_io(t->store), fd);
	}
	if (r == 0)
		r = sync_folder(t);
	if (r == 0)
		r = sync_now(t);
	return r < 0 ? r : n_held;
}

int timeline_sweep_forgotten(struct timeline *t)
{
	int r = sync_now(t);

	return r < 0 ? r : sweep(t);
}

int timeline_forgotten(struct timeline *t, struct sequence_range **ret_ranges, size_t *ret_n)
{
	struct sequence_range *ranges;

	LOCK_SCOPE(&t->lock);
	ranges = calloc(t->n_ranges + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	if (t->n_ranges > 0)
		memcpy(ranges, t->ranges, t->n_ranges * sizeof(*ranges));
	*ret_ranges = ranges;
	*ret_n = t->n_ranges;
	return 0;
}

/* ---- forgetting ---- */

/* Lock one more record. 1 when the batch is full, 0 (also when it is left out), -errno. */
static int hold_one(struct forget_batch *b, uint64_t seq, bool *ret_busy)
{
	struct timeline *t = b->t;
	struct snapshot_info info, latest;
	int r = timeline_latest(t, &latest);

	if (r == 0 && seq != latest.seq)
		r = timeline_get(t, seq, &info);
	if (r < 0 || seq == latest.seq)
		return r == -ENOENT ? 0 : r;
	if (b->n_held == BATCH_MAX)
		return 1;
	b->held[b->n_held].file = (struct record_file){ seq, info.id };
	r = lock_file(t, &b->held[b->n_held].file);
	if (r == -EMFILE && b->n_held > 0)
		return 1;
	*ret_busy = r == -EWOULDBLOCK;
	if (r == -EWOULDBLOCK || r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	b->held[b->n_held++].fd = r;
	return 0;
}

/* The forget record of this batch: with all that earlier ones say, and with those themselves. */
static int make_record(const struct forget_batch *b, struct record *record)
{
	struct timeline *t = b->t;
	size_t n = 0;

	LOCK_SCOPE(&t->lock);
	record->kind = RECORD_FORGET;
	record->time_ns = clock_now_ns();
	record->forgotten =
		calloc(t->n_ranges + t->n_forgets + b->n_held, sizeof(*record->forgotten));
	record->reason = strdup("forget");
	if (!record->forgotten || !record->reason)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_ranges; i++)
		record->forgotten[n++] = t->ranges[i];
	for (size_t i = 0; i < t->n_forgets; i++)
		record->forgotten[n++] = (struct sequence_range){ t->forgets[i], t->forgets[i] };
	for (size_t i = 0; i < b->n_held; i++)
		record->forgotten[n++] =
			(struct sequence_range){ b->held[i].file.seq, b->held[i].file.seq };
	record->n_forgotten = timeline_merge_ranges(record->forgotten, n);
	return 0;
}

/* Write the decision down, then carry it out. */
static int forget_held(struct forget_batch *b, struct forget_result *result)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct timeline *t = b->t;
	int r = make_record(b, &record);

	if (r == 0)
		r = timeline_append(t, &record, NULL);
	/* On a full disk this is how space is given back. */
	if (r == -ENOSPC && reserve_release(store_io(t->store)) == 1)
		r = timeline_append(t, &record, NULL);
	if (r < 0)
		return r;
	result->forgotten += b->n_held;
	for (size_t i = 0; i < b->n_held && r == 0; i++)
		r = unlink_file(t, &b->held[i].file);
	batch_done(b);
	/* The forget records that this one replaces; with them the folder is synced. */
	if (r == 0)
		r = timeline_sweep_forgotten(t);
	if (r >= 0)
		r = sync_folder(t);
	return r < 0 ? r : sync_now(t);
}

/* ---- what is wanted of others ---- */

int timeline_wanted(struct timeline *t, uint64_t **ret_seqs, size_t *ret_n)
{
	CLEANUP(free_ptr) uint8_t *text = NULL;
	CLEANUP(free_ptr) uint64_t *seqs = NULL;
	size_t n = 0, n_seqs;
	int r = io_read_file(store_io(t->store), WANTED_PATH, TIMELINE_WANTED_MAX * WANTED_LINE,
			     &text, &n);

	if (r < 0)
		return r;
	if (n % WANTED_LINE)
		return -EUCLEAN;
	n_seqs = n / WANTED_LINE;
	seqs = calloc(n_seqs + 1, sizeof(*seqs));
	if (!seqs)
		return -ENOMEM;
	for (size_t i = 0; i < n_seqs; i++) {
		char digits[WANTED_LINE];
		uint8_t bytes[8];

		memcpy(digits, text + i * WANTED_LINE, WANTED_LINE);
		if (digits[WANTED_LINE - 1] != '\n')
			return -EUCLEAN;
		digits[WANTED_LINE - 1] = '\0';
		if (bytes_from_hex(digits, bytes, sizeof(bytes)) < 0)
			return -EUCLEAN;
		for (size_t k = 0; k < sizeof(bytes); k++)
			seqs[i] = seqs[i] << 8 | bytes[k];
	}
	*ret_seqs = STEAL(seqs);
	*ret_n = n_seqs;
	return 0;
}

/* Is the same wanted already, since a moment ago? */
static bool is_wanted(const struct forget_batch *b)
{
	CLEANUP(free_ptr) uint64_t *seqs = NULL;
	struct io_stat st;
	size_t n;

	return timeline_wanted(b->t, &seqs, &n) == 0 && n == b->n_wanted &&
	       memcmp(seqs, b->wanted, n * sizeof(*seqs)) == 0 &&
	       io_stat(store_io(b->t->store), WANTED_PATH, &st) == 0 &&
	       llabs(clock_now_ns() - st.mtime_ns) < WANTED_AGAIN_NS;
}

/* A hint: without it those that are busy stay so a little longer. */
static void tell_wanted(struct forget_batch *b)
{
	struct io *io = store_io(b->t->store);
	CLEANUP(free_ptr) char *text = NULL;
	struct io_stat st;

	if (b->n_wanted == 0) {
		if (io_stat(io, WANTED_PATH, &st) == 0)
			(void)io_unlink(io, WANTED_PATH, IO_OBJECT_LOCAL);
		return;
	}
	text = malloc(b->n_wanted * WANTED_LINE + 1);
	if (!text || is_wanted(b))
		return;
	for (size_t i = 0; i < b->n_wanted; i++)
		(void)snprintf(text + i * WANTED_LINE, WANTED_LINE + 1, "%016" PRIx64 "\n",
			       b->wanted[i]);
	(void)io_write_file(io, WANTED_PATH, text, b->n_wanted * WANTED_LINE, true,
			    IO_OBJECT_LOCAL);
}

/* All of them, in as many batches as it takes. The commit lock is held. */
static int forget_all(struct forget_batch *b, const uint64_t *seqs, size_t n,
		      struct forget_result *result)
{
	int r = timeline_sweep_forgotten(b->t);
	size_t i = 0;

	while (i < n && r >= 0) {
		bool busy = false;

		assert(i == 0 || seqs[i - 1] < seqs[i]);
		r = hold_one(b, seqs[i], &busy);
		result->busy += busy;
		if (busy && b->n_wanted < TIMELINE_WANTED_MAX)
			b->wanted[b->n_wanted++] = seqs[i];
		if (r > 0)
			r = forget_held(b, result);
		else
			i++;
	}
	if (r >= 0 && b->n_held > 0)
		r = forget_held(b, result);
	batch_done(b);
	return r < 0 ? r : 0;
}

int timeline_forget(struct timeline *t, const uint64_t *seqs, size_t n,
		    struct forget_result *ret_result)
{
	CLEANUP(free_ptr) struct forget_batch *b = NULL;
	int commit, r;

	*ret_result = (struct forget_result){ 0 };
	if (memcmp(&t->host, store_host(t->store), sizeof(t->host)) != 0)
		return log_errno(-EPERM, "%s: another machine's snapshots; forget them there",
				 t->folder);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->t = t;
	commit = timeline_lock(t);
	if (commit < 0)
		return commit;
	r = forget_all(b, seqs, n, ret_result);
	tell_wanted(b);
	io_close(store_io(t->store), commit);
	return r;
}
