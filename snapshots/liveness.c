/* SPDX-License-Identifier: MIT */
#include "snapshots/liveness.h"

#include "snapshots/liveness_internal.h"
#include "snapshots/timeline_internal.h"
#include "store/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_ATTEMPTS 8 /* records are forgotten while they are read */

int liveness_new(struct timeline *t, struct chunk_cache *cache, struct collector *collector,
		 const struct collect_options *options, struct liveness **ret_liveness)
{
	CLEANUP(liveness_free_ptr) struct liveness *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->timeline = t;
	l->store = timeline_store(t);
	l->io = store_io(l->store);
	l->cache = cache;
	l->collector = collector;
	l->options = options;
	l->extents = calloc(PIECE_EXTENTS_MAX, sizeof(*l->extents));
	if (!l->extents)
		return -ENOMEM;
	*ret_liveness = STEAL(l);
	return 0;
}

static void free_records(struct live_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(records[i].root);
	free(records);
}

void liveness_free(struct liveness *l)
{
	if (!l)
		return;
	free_records(l->records, l->n_records);
	free(l->ranges);
	free(l->nodes);
	free(l->extents);
	entry_decoder_done(&l->decoder);
	free(l);
}

void liveness_counts(const struct liveness *l, struct liveness_counts *ret_counts)
{
	*ret_counts = l->counts;
}

int liveness_problem(struct liveness *l, uint64_t seq, const char *what)
{
	l->counts.problems++;
	if (l->options->problem)
		l->options->problem(l->options->context, seq, what);
	return -EUCLEAN;
}

/* ---- which records there are ---- */

struct listing {
	struct live_record *records;
	size_t n, room;
};

static int list_record(void *context, const char *name)
{
	struct listing *to = context;
	struct live_record record = { 0 };
	int r;

	if (record_parse_name(name, &record.seq, &record.id) < 0)
		return 0;
	r = timeline_grow(&to->records, to->n, &to->room, sizeof(*to->records));
	if (r == 0)
		to->records[to->n++] = record;
	return r;
}

static int compare_records(const void *a, const void *b)
{
	const struct live_record *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
}

/* What is known of records stays known, even of those whose files are gone by now. */
static int merge_listing(struct liveness *l, const struct listing *new)
{
	struct live_record *merged = calloc(l->n_records + new->n + 1, sizeof(*merged));
	size_t n = 0, i = 0, j = 0;

	if (!merged)
		return -ENOMEM;
	while (i < l->n_records || j < new->n) {
		int order = i == l->n_records ? 1
			    : j == new->n     ? -1
					      : compare_records(&l->records[i], &new->records[j]);

		merged[n++] = order <= 0 ? l->records[i] : new->records[j];
		/* One that is gone before it was read is a dead one, if a record says so. */
		if (order < 0 && merged[n - 1].state == RECORD_UNREAD)
			n--;
		i += order <= 0;
		j += order >= 0;
	}
	free(l->records);
	l->records = merged;
	l->n_records = n;
	return 0;
}

/* With the commit lock held, so that what a forget removes and what it writes are seen together. */
static int list_locked(struct liveness *l)
{
	struct listing new = { 0 };
	int r = io_list(l->io, l->timeline->folder, list_record, &new);

	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		(void)log_errno(r, "%s: cannot list the records", l->timeline->folder);
	if (r == 0 && new.n > 0)
		qsort(new.records, new.n, sizeof(*new.records), compare_records);
	if (r == 0)
		r = merge_listing(l, &new);
	free(new.records);
	return r;
}

static int list_records(struct liveness *l, bool locked)
{
	int lock, r;

	if (locked)
		return list_locked(l);
	lock = timeline_lock(l->timeline);
	if (lock < 0)
		return lock;
	r = list_locked(l);
	io_close(l->io, lock);
	return r;
}

/* ---- what they say ---- */

static int add_ranges(struct liveness *l, const struct record *record)
{
	int r = 0;

	for (size_t i = 0; i < record->n_forgotten && r == 0; i++) {
		r = timeline_grow(&l->ranges, l->n_ranges, &l->ranges_room, sizeof(*l->ranges));
		if (r == 0)
			l->ranges[l->n_ranges++] = record->forgotten[i];
	}
	return r;
}

/* 0; -ENOENT when it is gone; -EUCLEAN (told); -errno. */
static int read_record(struct liveness *l, struct live_record *to)
{
	CLEANUP(record_done) struct record record = { 0 };
	int r = timeline_read_file(l->timeline, to->seq, &to->id, &record);

	l->unsynced = true;
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0)
		return liveness_problem(l, to->seq, "the record cannot be read");
	if (record.kind != RECORD_SNAPSHOT) {
		to->state = RECORD_SETTLED;
		return add_ranges(l, &record);
	}
	to->root = STEAL(record.root);
	to->root_n = record.root_n;
	to->state = RECORD_TO_MARK;
	return 0;
}

/* Read those that are new. -EAGAIN when one was gone; -EUCLEAN when any could not be read. */
static int read_new(struct liveness *l)
{
	bool gone = false;
	int problem = 0;

	for (size_t i = 0; i < l->n_records; i++) {
		int r = 0;

		if (l->records[i].state != RECORD_UNREAD)
			continue;
		r = collector_breathe(l->collector);
		if (r == 0)
			r = read_record(l, &l->records[i]);
		gone |= r == -ENOENT;
		if (r == -EUCLEAN)
			problem = r;
		else if (r < 0 && r != -ENOENT)
			return r;
	}
	return problem < 0 ? problem : gone ? -EAGAIN : 0;
}

/* The range that explains why this record is not there, or NULL. */
static const struct sequence_range *range_of(const struct liveness *l, uint64_t seq)
{
	size_t low = 0, high = l->n_ranges;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->ranges[middle].last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->n_ranges && l->ranges[low].first <= seq ? &l->ranges[low] : NULL;
}

/* Nothing is inferred from absence: a record that is not there and was not forgotten is a loss. */
static int check_gaps(struct liveness *l)
{
	uint64_t next = 1;
	int problem = 0;

	for (size_t i = 0; i < l->n_records && !l->options->accept_missing; i++) {
		while (next < l->records[i].seq) {
			const struct sequence_range *range = range_of(l, next);

			if (!range) {
				problem = liveness_problem(
					l, next,
					"the record is missing, and no forget record explains it");
				next = l->records[i].seq;
			} else {
				next = range->last < l->records[i].seq ? range->last + 1
								       : l->records[i].seq;
			}
		}
		next = l->records[i].seq + 1;
	}
	return problem;
}

/* A flock of our own, so that nobody begins to use it. A descriptor, -EWOULDBLOCK when somebody
 * does, -ENOENT, -errno. */
static int seize(struct liveness *l, const struct live_record *record)
{
	char path[RECORD_PATH_BYTES];
	int fd, r;

	(void)record_path(timeline_host(l->timeline), record->seq, &record->id, path);
	fd = io_open(l->io, path, IO_OPEN_READ, IO_OBJECT_RECORD);
	if (fd < 0)
		return fd == -ENOENT ? fd : log_errno(fd, "%s: cannot open", path);
	r = io_lock(l->io, fd, IO_LOCK_EXCLUSIVE, false);
	if (r == 0)
		return fd;
	io_close(l->io, fd);
	return r;
}

/* Forgotten and not held is dead. */
static int find_dead(struct liveness *l)
{
	for (size_t i = 0; i < l->n_records; i++) {
		struct live_record *record = &l->records[i];
		int fd;

		if (record->state != RECORD_TO_MARK || !range_of(l, record->seq))
			continue;
		fd = seize(l, record);
		if (fd == -EWOULDBLOCK)
			continue;
		if (fd < 0 && fd != -ENOENT)
			return fd;
		record->state = RECORD_DEAD;
		if (fd >= 0)
			io_close(l->io, fd);
	}
	return 0;
}

/*
 * List and read until nothing vanishes meanwhile. What was read counts only
 * once it is durable: a forget record that a power cut takes back has forgotten
 * nothing.
 */
static int read_records(struct liveness *l, bool locked)
{
	int r = -EAGAIN;

	for (int i = 0; i < LIST_ATTEMPTS && r == -EAGAIN; i++) {
		r = list_records(l, locked);
		if (r == 0)
			r = read_new(l);
	}
	if (r == 0 && l->unsynced && !l->options->dry_run) {
		r = io_fsync_folder(l->io, l->timeline->folder, IO_OBJECT_RECORD);
		if (r < 0)
			return log_errno(r, "%s: cannot sync the folder", l->timeline->folder);
	}
	if (r < 0)
		return r;
	l->unsynced = false;
	l->n_ranges = timeline_merge_ranges(l->ranges, l->n_ranges);
	r = check_gaps(l);
	return r < 0 ? r : find_dead(l);
}

/* ---- marking ---- */

static int mark_record(struct liveness *l, struct live_record *record)
{
	int r;

	l->seq = record->seq;
	r = liveness_walk(l, record->root, record->root_n);
	free(STEAL(record->root));
	record->state = RECORD_SETTLED;
	l->counts.records += r == 0;
	return r;
}

/* All problems are told, not only the first. Returns how many were marked. */
static int mark_all(struct liveness *l)
{
	uint64_t all = 0, done = 0;
	int problem = 0;

	for (size_t i = 0; i < l->n_records; i++)
		all += l->records[i].state == RECORD_TO_MARK;
	/* The newest first: what a folder is now tells most about what it was. */
	for (size_t i = l->n_records; i-- > 0;) {
		int r;

		if (l->records[i].state != RECORD_TO_MARK)
			continue;
		r = mark_record(l, &l->records[i]);
		if (r < 0 && r != -EUCLEAN)
			return r;
		problem = r < 0 ? r : problem;
		if (l->options->progress)
			l->options->progress(l->options->context, COLLECT_MARKING, ++done, all);
	}
	return problem < 0 ? problem : all > INT32_MAX ? INT32_MAX : (int)all;
}

/* Finish what a killed forget began; who holds the record by now keeps it alive. */
static int remove_dead(struct liveness *l)
{
	bool removed = false;
	int r = 0;

	for (size_t i = 0; i < l->n_records && r == 0; i++) {
		struct live_record *record = &l->records[i];
		char path[RECORD_PATH_BYTES];
		int fd;

		if (record->state != RECORD_DEAD)
			continue;
		fd = seize(l, record);
		if (fd == -EWOULDBLOCK) {
			r = mark_record(l, record);
			continue;
		}
		if (fd >= 0) {
			(void)record_path(timeline_host(l->timeline), record->seq, &record->id,
					  path);
			r = io_unlink(l->io, path, IO_OBJECT_RECORD);
			io_close(l->io, fd);
			removed = true;
		}
		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (r == 0)
			record->state = RECORD_SETTLED;
	}
	if (r == 0 && removed)
		r = io_fsync_folder(l->io, l->timeline->folder, IO_OBJECT_RECORD);
	return r;
}

int liveness_mark(struct liveness *l)
{
	int r = read_records(l, false);

	if (r == 0)
		r = mark_all(l);
	return r < 0 ? r : 0;
}

int liveness_update(struct liveness *l, bool locked)
{
	int n, r = read_records(l, locked);

	if (r < 0)
		return r;
	n = mark_all(l);
	if (n >= 0 && locked)
		r = remove_dead(l);
	return r < 0 ? r : n;
}
