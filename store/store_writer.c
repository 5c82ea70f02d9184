/* SPDX-License-Identifier: MIT */
/*
 * The writing half of a store. Life of an object:
 *
 *   put (any thread)    known? -> compress -> job in memory
 *   sealing thread      jobs -> staged, or appended to the open pack of its kind
 *   durable thread      full packs -> fsync, rename -> index -> no longer pending
 *
 * Invariants: an id is in `pending` from its put until its pack is indexed;
 * the open packs belong to the sealing thread alone; after the first error no
 * pack is finished any more, and everything still runs dry so that nobody waits.
 */
#include "store/base/log.h"
#include "store/base/queue.h"
#include "store/store_internal.h"
#include "store/writer_list.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define JOB_BYTES_MAX MIB(16) /* compressed objects on their way to the sealing thread */
#define FULL_PACKS_MAX 2      /* waiting for the durable thread */

/* A compressed object on its way into a pack. */
struct job {
	struct job *next;
	struct pack_entry entry;
	size_t charged; /* against JOB_BYTES_MAX */
	uint8_t stored[];
};

struct job_list {
	struct job *first;
	struct job **end;
};

/* Ids on their way: open addressing, linear probing. An id of zeros is never a hash we meet. */
struct pending {
	struct chunk_id *ids;
	size_t n;
	size_t room; /* a power of two, or 0 */
};

enum lane { LANE_DATA, LANE_NODES, LANES };

struct store_writer {
	struct store *store;
	struct queue *full_packs;    /* struct pack_writer, to the durable thread */
	struct writer_ticket ticket; /* its packs are not collected */
	pthread_t sealing, durable;
	bool sealing_runs, durable_runs;

	/* Of the sealing thread alone. */
	struct job_list staged;
	uint64_t staged_bytes;
	bool staging; /* everything so far is in `staged` */
	struct pack_writer *open[LANES];

	struct lock lock;       /* guards what follows */
	pthread_cond_t work;    /* for the sealing thread */
	pthread_cond_t room;    /* for put */
	pthread_cond_t settled; /* for finish */
	struct job_list jobs;
	size_t job_bytes;
	bool flush; /* finish waits for the open packs to be handed on */
	bool stop;
	size_t packs_waiting; /* handed to the durable thread, not done */
	int error;            /* the first; spoils the writer */
	struct pending pending;
	struct new_pack *packs;
	size_t n_packs, packs_room;
	struct store_writer_stats stats;
};

/* ---- job lists ---- */

static void jobs_init(struct job_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void jobs_append(struct job_list *list, struct job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
}

static void jobs_move(struct job_list *from, struct job_list *to)
{
	jobs_init(to);
	if (from->first) {
		to->first = from->first;
		to->end = from->end;
	}
	jobs_init(from);
}

static struct job *jobs_take(struct job_list *list)
{
	struct job *job = list->first;

	if (job) {
		list->first = job->next;
		if (!list->first)
			list->end = &list->first;
	}
	return job;
}

static void jobs_free(struct job_list *list)
{
	struct job *job;

	while ((job = jobs_take(list)))
		free(job);
}

/* ---- pending ids ---- */

static size_t pending_home(const struct pending *p, const struct chunk_id *id)
{
	uint64_t hash;

	memcpy(&hash, id->bytes, sizeof(hash));
	return (size_t)hash & (p->room - 1);
}

static bool id_empty(const struct chunk_id *id)
{
	static const struct chunk_id zeros;

	return memcmp(id, &zeros, sizeof(zeros)) == 0;
}

/* Where the id is, or where it would go. */
static size_t pending_find(const struct pending *p, const struct chunk_id *id)
{
	size_t at = pending_home(p, id);

	while (!id_empty(&p->ids[at]) && memcmp(&p->ids[at], id, sizeof(*id)) != 0)
		at = (at + 1) & (p->room - 1);
	return at;
}

static bool pending_has(const struct pending *p, const struct chunk_id *id)
{
	return p->room && !id_empty(&p->ids[pending_find(p, id)]);
}

static int pending_grow(struct pending *p)
{
	struct pending grown = { .n = p->n, .room = p->room ? 2 * p->room : 1024 };

	grown.ids = calloc(grown.room, sizeof(*grown.ids));
	if (!grown.ids)
		return -ENOMEM;
	for (size_t i = 0; i < p->room; i++)
		if (!id_empty(&p->ids[i]))
			grown.ids[pending_find(&grown, &p->ids[i])] = p->ids[i];
	free(p->ids);
	*p = grown;
	return 0;
}

/* Returns 1 when added, 0 when it was there, -ENOMEM. */
static int pending_add(struct pending *p, const struct chunk_id *id)
{
	size_t at;

	if (2 * (p->n + 1) > p->room) {
		int r = pending_grow(p);

		if (r < 0)
			return r;
	}
	at = pending_find(p, id);
	if (!id_empty(&p->ids[at]))
		return 0;
	p->ids[at] = *id;
	p->n++;
	return 1;
}

/* Close the gap behind a removed id, so that probing still reaches what lies behind it. */
static void pending_remove(struct pending *p, const struct chunk_id *id)
{
	size_t mask = p->room - 1;
	size_t hole, at;

	if (!p->room)
		return;
	hole = pending_find(p, id);
	if (id_empty(&p->ids[hole]))
		return;
	for (at = (hole + 1) & mask; !id_empty(&p->ids[at]); at = (at + 1) & mask) {
		size_t home = pending_home(p, &p->ids[at]);

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			p->ids[hole] = p->ids[at];
			hole = at;
		}
	}
	memset(&p->ids[hole], 0, sizeof(p->ids[hole]));
	p->n--;
}

/* ---- shared by the threads ---- */

static void fail(struct store_writer *w, int r)
{
	LOCK_SCOPE(&w->lock);
	if (!w->error)
		w->error = r;
	(void)pthread_cond_broadcast(&w->room);
	(void)pthread_cond_broadcast(&w->settled);
}

static int error_of(struct store_writer *w)
{
	LOCK_SCOPE(&w->lock);
	return w->error;
}

/* ---- durable thread ---- */

static int note_pack(struct store_writer *w, const struct new_pack *pack,
		     const struct pack_entry *entries, size_t n)
{
	LOCK_SCOPE(&w->lock);
	for (size_t i = 0; i < n; i++)
		pending_remove(&w->pending, &entries[i].id);
	if (w->n_packs == w->packs_room) {
		size_t room = w->packs_room ? 2 * w->packs_room : 16;
		struct new_pack *packs = reallocarray(w->packs, room, sizeof(*packs));

		if (!packs)
			return -ENOMEM;
		w->packs = packs;
		w->packs_room = room;
	}
	w->packs[w->n_packs++] = *pack;
	return 0;
}

static int make_durable(struct store_writer *w, struct pack_writer *p)
{
	struct new_pack pack = { .kind = pack_writer_kind(p) };
	struct pack_info info;
	int r;

	r = pack_writer_finish(p, &pack.id, &pack.size);
	if (r < 0)
		return r;
	info = (struct pack_info){
		.host = w->store->context.host, .id = pack.id, .size = pack.size, .kind = pack.kind
	};
	r = chunk_index_add_pack(w->store->index, &info, pack_writer_entries(p),
				 pack_writer_count(p));
	if (r < 0)
		return r;
	return note_pack(w, &pack, pack_writer_entries(p), pack_writer_count(p));
}

static void *run_durable(void *context)
{
	struct store_writer *w = context;
	void *item;

	while (queue_pop(w->full_packs, &item) == 0) {
		struct pack_writer *p = item;

		if (error_of(w) == 0) {
			int r = make_durable(w, p);

			if (r < 0)
				fail(w, r);
		}
		pack_writer_close(p);
		LOCK_SCOPE(&w->lock);
		w->packs_waiting--;
		(void)pthread_cond_broadcast(&w->settled);
	}
	return NULL;
}

/* ---- sealing thread ---- */

static int hand_on(struct store_writer *w, enum lane lane)
{
	struct pack_writer *p = STEAL(w->open[lane]);
	int r;

	if (!p)
		return 0;
	lock_take(&w->lock);
	w->packs_waiting++;
	lock_drop(&w->lock);
	r = queue_push(w->full_packs, p);
	if (r < 0) {
		pack_writer_close(p);
		lock_take(&w->lock);
		w->packs_waiting--;
		lock_drop(&w->lock);
	}
	return r;
}

static int append(struct store_writer *w, enum lane lane, enum pack_kind kind, struct job *job)
{
	int r = -EFBIG;

	if (w->open[lane]) {
		r = pack_writer_append(w->open[lane], &job->entry, job->stored);
		if (r == -EFBIG)
			r = hand_on(w, lane) < 0 ? -ECANCELED : -EFBIG;
	}
	if (r == -EFBIG) {
		r = pack_writer_open(&w->store->context, kind, &w->open[lane]);
		if (r == 0)
			r = pack_writer_append(w->open[lane], &job->entry, job->stored);
	}
	if (r == 0 && pack_writer_size(w->open[lane]) >= PACK_TARGET_BYTES)
		r = hand_on(w, lane);
	return r;
}

static int append_by_type(struct store_writer *w, struct job *job)
{
	if (job->entry.type == OBJECT_DATA)
		return append(w, LANE_DATA, PACK_DATA, job);
	return append(w, LANE_NODES, PACK_NODES, job);
}

/* Too much for a small snapshot: from now on data and nodes part ways. */
static int unstage(struct store_writer *w)
{
	struct job *job;
	int r = 0;

	w->staging = false;
	w->staged_bytes = 0;
	while ((job = jobs_take(&w->staged))) {
		if (r == 0)
			r = append_by_type(w, job);
		free(job);
	}
	return r;
}

/* Takes the job. */
static int place_job(struct store_writer *w, struct job *job)
{
	int r;

	if (w->staging) {
		w->staged_bytes += job->entry.stored_n;
		jobs_append(&w->staged, job);
		return w->staged_bytes < SNAPSHOT_SMALL_BYTES ? 0 : unstage(w);
	}
	r = append_by_type(w, job);
	free(job);
	return r;
}

/* Everything was small: one mixed pack. */
static int seal_staged(struct store_writer *w)
{
	struct job *job;
	int r = 0;

	while ((job = jobs_take(&w->staged))) {
		if (r == 0)
			r = append(w, LANE_DATA, PACK_MIXED, job);
		free(job);
	}
	w->staged_bytes = 0;
	return r;
}

static int flush_all(struct store_writer *w)
{
	int r = seal_staged(w);

	for (int lane = 0; lane < LANES && r == 0; lane++)
		r = hand_on(w, (enum lane)lane);
	w->staging = true;
	return r;
}

static void place_jobs(struct store_writer *w, struct job_list *taken)
{
	struct job *job;

	while ((job = jobs_take(taken))) {
		size_t charged = job->charged;
		int r = error_of(w);

		if (r == 0) {
			r = place_job(w, job);
			if (r < 0)
				fail(w, r);
		} else {
			free(job);
		}
		LOCK_SCOPE(&w->lock);
		w->job_bytes -= charged;
		(void)pthread_cond_broadcast(&w->room);
	}
}

static void abandon(struct store_writer *w)
{
	for (int lane = 0; lane < LANES; lane++)
		pack_writer_close(STEAL(w->open[lane]));
	jobs_free(&w->staged);
	w->staged_bytes = 0;
}

/* Answer finish: hand on what is open, or drop it when the writer is spoiled. */
static void do_flush(struct store_writer *w)
{
	int r = error_of(w);

	if (r == 0) {
		r = flush_all(w);
		if (r < 0)
			fail(w, r);
	}
	if (r < 0)
		abandon(w);
	LOCK_SCOPE(&w->lock);
	w->flush = false;
	(void)pthread_cond_broadcast(&w->settled);
}

static void *run_sealing(void *context)
{
	struct store_writer *w = context;

	for (;;) {
		struct job_list taken;
		bool flush, stop;

		lock_take(&w->lock);
		while (!w->jobs.first && !w->flush && !w->stop)
			lock_wait(&w->lock, &w->work);
		jobs_move(&w->jobs, &taken);
		flush = w->flush;
		stop = w->stop;
		lock_drop(&w->lock);

		if (stop) {
			jobs_free(&taken);
			return NULL;
		}
		place_jobs(w, &taken);
		if (flush)
			do_flush(w);
	}
}

/* ---- from outside ---- */

static int start_thread(pthread_t *thread, const char *name, void *(*run)(void *), void *context)
{
	sigset_t all, before;
	int r;

	/* Signals are for the program's own threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(thread, NULL, run, context);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		(void)pthread_setname_np(*thread, name);
	return r;
}

int store_writer_new(struct store *s, struct store_writer **ret_writer)
{
	CLEANUP(store_writer_free_ptr) struct store_writer *w = NULL;
	int r;

	if (s->mode != STORE_READ_WRITE)
		return -EROFS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->store = s;
	w->ticket.fd = -1;
	w->staging = true;
	jobs_init(&w->staged);
	jobs_init(&w->jobs);
	lock_init(&w->lock, LOCK_RANK_WRITER);
	(void)pthread_cond_init(&w->work, NULL);
	(void)pthread_cond_init(&w->room, NULL);
	(void)pthread_cond_init(&w->settled, NULL);
	r = queue_new(FULL_PACKS_MAX, &w->full_packs);
	if (r < 0)
		return r;
	r = writer_list_join(s->io, s->index, &w->ticket);
	if (r < 0)
		return log_errno(r, "%s/local/writers: cannot enter a writer", io_real_path(s->io));
	r = start_thread(&w->durable, "yore-durable", run_durable, w);
	if (r < 0)
		return r;
	w->durable_runs = true;
	r = start_thread(&w->sealing, "yore-append", run_sealing, w);
	if (r < 0)
		return r;
	w->sealing_runs = true;
	*ret_writer = STEAL(w);
	return 0;
}

void store_writer_free(struct store_writer *w)
{
	if (!w)
		return;
	fail(w, -ECANCELED);
	if (w->sealing_runs) {
		lock_take(&w->lock);
		w->stop = true;
		(void)pthread_cond_signal(&w->work);
		lock_drop(&w->lock);
		(void)pthread_join(w->sealing, NULL);
	}
	if (w->full_packs)
		queue_close(w->full_packs);
	if (w->durable_runs)
		(void)pthread_join(w->durable, NULL);
	queue_free(w->full_packs);
	abandon(w);
	writer_list_leave(w->store->io, &w->ticket);
	jobs_free(&w->jobs);
	free(w->pending.ids);
	free(w->packs);
	(void)pthread_cond_destroy(&w->work);
	(void)pthread_cond_destroy(&w->room);
	(void)pthread_cond_destroy(&w->settled);
	lock_done(&w->lock);
	free(w);
}

int store_writer_has(struct store_writer *w, const struct chunk_id *id)
{
	bool known;

	lock_take(&w->lock);
	known = pending_has(&w->pending, id);
	lock_drop(&w->lock);
	return known ? 1 : chunk_index_usable(w->store->index, id);
}

/* Enter the id and wait for room. Returns 1, 0 when it is on its way already, -errno. */
static int admit(struct store_writer *w, const struct chunk_id *id, size_t n)
{
	int r;

	LOCK_SCOPE(&w->lock);
	if (w->error)
		return w->error;
	r = pending_add(&w->pending, id);
	if (r < 0)
		w->error = r;
	if (r <= 0)
		return r;
	while (w->job_bytes > 0 && w->job_bytes + n > JOB_BYTES_MAX && !w->error)
		lock_wait(&w->lock, &w->room);
	if (w->error)
		return w->error;
	w->job_bytes += n;
	return 1;
}

static int make_job(struct compressor *c, enum object_type type, const struct chunk_id *id,
		    const void *data, size_t n, struct job **ret_job)
{
	size_t room = compressor_bound(n);
	struct job *job = malloc(sizeof(*job) + room);
	int64_t stored_n;

	if (!job)
		return -ENOMEM;
	stored_n = compressor_pack(c, type == OBJECT_DATA ? STORE_LEVEL_DATA : STORE_LEVEL_NODES,
				   data, n, job->stored, room);
	if (stored_n < 0) {
		free(job);
		return (int)stored_n;
	}
	job->entry = (struct pack_entry){ .id = *id, .raw_n = (uint32_t)n, .type = (uint8_t)type };
	if (stored_n > 0 && (size_t)stored_n < n) {
		job->entry.codec = CODEC_ZSTD;
		job->entry.stored_n = (uint32_t)stored_n;
	} else {
		memcpy(job->stored, data, n);
		job->entry.codec = CODEC_RAW;
		job->entry.stored_n = (uint32_t)n;
	}
	*ret_job = job;
	return 0;
}

/* Give back what compression saved. */
static struct job *shrink_job(struct job *job)
{
	struct job *smaller = realloc(job, sizeof(*job) + job->entry.stored_n);

	return smaller ? smaller : job;
}

int store_writer_put(struct store_writer *w, struct compressor *c, enum object_type type,
		     const struct chunk_id *id, const void *data, size_t n)
{
	struct job *job = NULL;
	int r;

	assert(type >= OBJECT_DATA && type <= OBJECT_TYPE_MAX);
	assert(n > 0 && n <= CHUNK_RAW_MAX);
	r = store_writer_has(w, id);
	if (r < 0)
		fail(w, r);
	if (r != 0)
		return r < 0 ? r : error_of(w);
	r = admit(w, id, n);
	if (r <= 0)
		return r;
	r = make_job(c, type, id, data, n, &job);
	if (r < 0) {
		fail(w, r);
		return r;
	}
	job = shrink_job(job);
	job->charged = job->entry.stored_n;

	LOCK_SCOPE(&w->lock);
	w->job_bytes -= n - job->charged;
	if (job->charged < n)
		(void)pthread_cond_signal(&w->room);
	w->stats.objects_new++;
	w->stats.raw_bytes_new += n;
	w->stats.stored_bytes_new += job->entry.stored_n;
	jobs_append(&w->jobs, job);
	(void)pthread_cond_signal(&w->work);
	return 1;
}

int store_writer_finish(struct store_writer *w)
{
	LOCK_SCOPE(&w->lock);
	w->flush = true;
	(void)pthread_cond_signal(&w->work);
	while (w->flush || w->packs_waiting > 0)
		lock_wait(&w->lock, &w->settled);
	return w->error;
}

const struct new_pack *store_writer_packs(const struct store_writer *w, size_t *ret_n)
{
	*ret_n = w->n_packs;
	return w->packs;
}

void store_writer_stats(const struct store_writer *w, struct store_writer_stats *ret_stats)
{
	struct lock *lock = (struct lock *)(uintptr_t)&w->lock;

	LOCK_SCOPE(lock);
	*ret_stats = w->stats;
}
