/* SPDX-License-Identifier: MIT */
/*
 * Life of an entry:
 *
 *   LOADING   listed; one thread decodes, others wait on the shard's condition
 *   READY     listed; data is there; in the shard's LRU order
 *   FAILED    no longer listed; lives until its waiters have read the error
 *
 * Invariants: an entry is freed when it is not listed and has no pins; a
 * listed one with pins never leaves; `data` is written by the loading thread
 * only, before READY.
 *
 * Memory: what leaves makes room for what comes, thousands of times a second.
 * Buffers are whole pages from the kernel, in a few sizes, and some are kept
 * for the next object: malloc would hand them back and take them again page by
 * page, or keep gaps that no object fits (measured: a quarter of the time of
 * reading a big file, and half as much memory again as the limit).
 */
#include "store/chunk_cache.h"

#include "store/base/lock.h"
#include "store/limits.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define SHARDS_MAX 16
#define SHARD_BYTES_LEAST MIB(4) /* smaller shards would hold too few objects to be fair */
#define BUCKETS 1024             /* a shard */
#define PREFETCH_ROOM 64
#define PREFETCH_THREADS_MAX 16
#define SPARE_READERS_MAX 32
#define BUFFER_STEP KIB(32) /* buffers are a multiple of it; smaller objects are malloc's */
#define BUFFER_SIZES (CHUNK_RAW_MAX / BUFFER_STEP + 1)
#define SPARE_PART 16 /* of the limit: kept as spare buffers */

enum entry_state { ENTRY_LOADING, ENTRY_READY, ENTRY_FAILED };

struct entry {
	struct chunk_id id;
	uint8_t type;
	enum entry_state state;
	bool listed;
	int error; /* with FAILED */
	unsigned int pins;
	struct shard *shard;
	struct entry *next;          /* in its bucket */
	struct entry *older, *newer; /* LRU */
	uint8_t *data;
	size_t n;
};

struct shard {
	struct lock lock; /* guards everything in here and in the entries */
	pthread_cond_t loaded;
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	size_t bytes, limit;
	uint64_t hits, decodes, waits;
};

/* A buffer that waits to be used again begins with this. */
struct spare {
	struct spare *next;
};

struct wish {
	struct chunk_id id;
	enum object_type type;
};

struct chunk_cache {
	struct store *store;
	struct shard *shards;
	size_t n_shards;
	pthread_t threads[PREFETCH_THREADS_MAX];
	unsigned int n_threads;

	struct lock lock; /* guards what follows */
	pthread_cond_t wished;
	struct wish wishes[PREFETCH_ROOM]; /* a ring */
	size_t first_wish, n_wishes;
	bool stop;
	struct store_reader *spare[SPARE_READERS_MAX];
	size_t n_spare;
	struct spare *buffers[BUFFER_SIZES]; /* by size in steps */
	size_t buffer_bytes[BUFFER_SIZES];
	size_t spare_bytes, spare_limit;
};

/* ---- readers: made when needed, kept for the next ---- */

static int take_reader(struct chunk_cache *c, struct store_reader **ret_reader)
{
	struct store_reader *reader = NULL;

	lock_take(&c->lock);
	if (c->n_spare > 0)
		reader = c->spare[--c->n_spare];
	lock_drop(&c->lock);
	if (!reader)
		return store_reader_new(c->store, ret_reader);
	*ret_reader = reader;
	return 0;
}

static void give_reader(struct chunk_cache *c, struct store_reader *reader)
{
	lock_take(&c->lock);
	if (c->n_spare < SPARE_READERS_MAX)
		c->spare[c->n_spare++] = STEAL(reader);
	lock_drop(&c->lock);
	store_reader_free(reader);
}

/* ---- buffers ---- */

static size_t size_class(size_t n)
{
	return n <= BUFFER_STEP ? 0 : (n + BUFFER_STEP - 1) / BUFFER_STEP;
}

static struct spare *pop_spare(struct chunk_cache *c, size_t class)
{
	struct spare *s = c->buffers[class];

	c->buffers[class] = s->next;
	c->buffer_bytes[class] -= class * BUFFER_STEP;
	c->spare_bytes -= class * BUFFER_STEP;
	return s;
}

static uint8_t *take_buffer(struct chunk_cache *c, size_t n)
{
	size_t class = size_class(n);
	void *data = NULL;

	if (class == 0)
		return malloc(n ? n : 1);
	if (class >= BUFFER_SIZES)
		return NULL;
	lock_take(&c->lock);
	if (c->buffers[class])
		data = pop_spare(c, class);
	lock_drop(&c->lock);
	if (data)
		return data;
	/* Populated at once: all of it will be written, and one call is cheaper than many faults.
	 */
	data = mmap(NULL, class * BUFFER_STEP, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return data == MAP_FAILED ? NULL : data;
}

static size_t largest_spare(const struct chunk_cache *c)
{
	size_t largest = 1;

	for (size_t i = 2; i < BUFFER_SIZES; i++)
		if (c->buffer_bytes[i] > c->buffer_bytes[largest])
			largest = i;
	return largest;
}

/* Keep a buffer, and when that is too many, take one out of the size that has most. */
static struct spare *keep_buffer(struct chunk_cache *c, struct spare *s, size_t *class)
{
	LOCK_SCOPE(&c->lock);

	s->next = c->buffers[*class];
	c->buffers[*class] = s;
	c->buffer_bytes[*class] += *class * BUFFER_STEP;
	c->spare_bytes += *class * BUFFER_STEP;
	if (c->spare_bytes <= c->spare_limit)
		return NULL;
	*class = largest_spare(c);
	return pop_spare(c, *class);
}

static void give_buffer(struct chunk_cache *c, void *data, size_t n)
{
	size_t class = size_class(n);

	if (class == 0 || !data) {
		free(data);
		return;
	}
	data = keep_buffer(c, data, &class);
	if (data)
		(void)munmap(data, class * BUFFER_STEP);
}

static void buffers_done(struct chunk_cache *c)
{
	for (size_t i = 1; i < BUFFER_SIZES; i++)
		while (c->buffers[i])
			(void)munmap(pop_spare(c, i), i * BUFFER_STEP);
}

/* ---- a shard, its lock held ---- */

static size_t id_hash(const struct chunk_id *id)
{
	uint64_t hash;

	memcpy(&hash, id->bytes, sizeof(hash));
	return (size_t)hash;
}

static struct shard *shard_of(struct chunk_cache *c, const struct chunk_id *id)
{
	return &c->shards[id_hash(id) / BUCKETS % c->n_shards];
}

static struct entry **bucket_of(struct shard *s, const struct chunk_id *id)
{
	return &s->buckets[id_hash(id) % BUCKETS];
}

static struct entry *find(struct shard *s, const struct chunk_id *id, enum object_type type)
{
	struct entry *e = *bucket_of(s, id);

	while (e && (e->type != type || memcmp(&e->id, id, sizeof(*id)) != 0))
		e = e->next;
	return e;
}

static void lru_remove(struct shard *s, struct entry *e)
{
	*(e->newer ? &e->newer->older : &s->newest) = e->older;
	*(e->older ? &e->older->newer : &s->oldest) = e->newer;
	e->newer = e->older = NULL;
}

static void lru_insert(struct shard *s, struct entry *e)
{
	e->older = s->newest;
	e->newer = NULL;
	*(s->newest ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

static void unlist(struct shard *s, struct entry *e)
{
	struct entry **at = bucket_of(s, &e->id);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->listed = false;
}

/* Make room: the oldest that nobody holds leave. Yields them, to be freed without the lock. */
static struct entry *evict(struct shard *s)
{
	struct entry *e = s->oldest, *gone = NULL;

	while (e && s->bytes > s->limit) {
		struct entry *newer = e->newer;

		if (e->pins == 0) {
			lru_remove(s, e);
			unlist(s, e);
			s->bytes -= e->n;
			e->next = gone;
			gone = e;
		}
		e = newer;
	}
	return gone;
}

/* Yields what leaves by that. */
static struct entry *drop_pin(struct shard *s, struct entry *e)
{
	if (--e->pins > 0 || e->listed)
		return evict(s);
	e->next = NULL;
	return e;
}

/* ---- entries that nobody can find any more; no lock held ---- */

static void free_entries(struct chunk_cache *c, struct entry *gone)
{
	while (gone) {
		struct entry *e = gone;

		gone = e->next;
		give_buffer(c, e->data, e->n);
		free(e);
	}
}

/* ---- decoding ---- */

static int decode(struct chunk_cache *c, const struct chunk_id *id, enum object_type type,
		  uint8_t **ret_data, size_t *ret_n)
{
	int64_t n = store_length(c->store, id, type), got;
	struct store_reader *reader;
	uint8_t *data;
	int r;

	if (n < 0)
		return (int)n;
	r = take_reader(c, &reader);
	if (r < 0)
		return r;
	data = take_buffer(c, (size_t)n);
	got = data ? store_get(reader, id, type, data, (size_t)n) : -ENOMEM;
	give_reader(c, reader);
	if (got != n) {
		give_buffer(c, data, (size_t)n);
		/* Its length cannot change: an id has one content. */
		return got < 0 ? (int)got : -EBADMSG;
	}
	*ret_data = data;
	*ret_n = (size_t)n;
	return 0;
}

/* Fill an entry that this thread listed; the lock is not held. */
static int load(struct chunk_cache *c, struct shard *s, struct entry *e)
{
	uint8_t *data = NULL;
	size_t n = 0;
	int r = decode(c, &e->id, (enum object_type)e->type, &data, &n);
	struct entry *gone;

	lock_take(&s->lock);
	if (r == 0) {
		e->data = data;
		e->n = n;
		e->state = ENTRY_READY;
		lru_insert(s, e);
		s->bytes += n;
		s->decodes++;
		gone = evict(s);
	} else {
		e->error = r;
		e->state = ENTRY_FAILED;
		unlist(s, e);
		gone = drop_pin(s, e);
	}
	(void)pthread_cond_broadcast(&s->loaded);
	lock_drop(&s->lock);
	free_entries(c, gone);
	return r;
}

static struct entry *list_new(struct shard *s, const struct chunk_id *id, enum object_type type)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = *id;
	e->type = (uint8_t)type;
	e->state = ENTRY_LOADING;
	e->shard = s;
	e->listed = true;
	e->next = *bucket_of(s, id);
	*bucket_of(s, id) = e;
	return e;
}

/* A listed entry, pinned: wait until it is decoded. Lock held. */
static int await(struct shard *s, struct entry *e, struct entry **ret_gone)
{
	int r;

	if (e->state == ENTRY_LOADING)
		s->waits++;
	else
		s->hits++;
	while (e->state == ENTRY_LOADING)
		lock_wait(&s->lock, &s->loaded);
	if (e->state == ENTRY_FAILED) {
		r = e->error;
		*ret_gone = drop_pin(s, e);
		return r;
	}
	lru_remove(s, e);
	lru_insert(s, e);
	return 0;
}

int chunk_cache_get(struct chunk_cache *c, const struct chunk_id *id, enum object_type type,
		    struct chunk_pin *ret_pin)
{
	struct shard *s = shard_of(c, id);
	struct entry *e, *gone = NULL;
	bool ours;
	int r = 0;

	lock_take(&s->lock);
	e = find(s, id, type);
	ours = !e;
	if (ours)
		e = list_new(s, id, type);
	if (e)
		e->pins++;
	if (e && !ours)
		r = await(s, e, &gone);
	lock_drop(&s->lock);
	free_entries(c, gone);
	if (!e)
		return -ENOMEM;
	if (ours)
		r = load(c, s, e);
	if (r < 0)
		return r;
	*ret_pin = (struct chunk_pin){ .data = e->data, .n = e->n, .slot = e };
	return 0;
}

void chunk_cache_unpin(struct chunk_cache *c, struct chunk_pin *pin)
{
	struct entry *e = pin->slot, *gone;
	struct shard *s;

	if (!e)
		return;
	*pin = (struct chunk_pin){ 0 };
	/* The shard outlives the entry, which may go away in here. */
	s = e->shard;
	lock_take(&s->lock);
	assert(e->pins > 0);
	gone = drop_pin(s, e);
	lock_drop(&s->lock);
	free_entries(c, gone);
}

/* ---- prefetching ---- */

static void *run_prefetch(void *context)
{
	struct chunk_cache *c = context;

	for (;;) {
		struct chunk_pin pin = { 0 };
		struct wish wish;

		lock_take(&c->lock);
		while (c->n_wishes == 0 && !c->stop)
			lock_wait(&c->lock, &c->wished);
		if (c->stop) {
			lock_drop(&c->lock);
			return NULL;
		}
		wish = c->wishes[c->first_wish];
		c->first_wish = (c->first_wish + 1) % PREFETCH_ROOM;
		c->n_wishes--;
		lock_drop(&c->lock);

		if (chunk_cache_get(c, &wish.id, wish.type, &pin) == 0)
			chunk_cache_unpin(c, &pin);
	}
}

void chunk_cache_prefetch(struct chunk_cache *c, const struct chunk_id *id, enum object_type type)
{
	struct shard *s = shard_of(c, id);
	bool known;

	if (c->n_threads == 0)
		return;
	lock_take(&s->lock);
	known = find(s, id, type) != NULL;
	lock_drop(&s->lock);
	if (known)
		return;
	LOCK_SCOPE(&c->lock);
	if (c->n_wishes == PREFETCH_ROOM)
		return;
	c->wishes[(c->first_wish + c->n_wishes) % PREFETCH_ROOM] =
		(struct wish){ .id = *id, .type = type };
	c->n_wishes++;
	(void)pthread_cond_signal(&c->wished);
}

static int start_threads(struct chunk_cache *c, unsigned int n)
{
	sigset_t all, before;
	int r = 0;

	/* Signals are for the program's own threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (c->n_threads < n && r == 0) {
		r = -pthread_create(&c->threads[c->n_threads], NULL, run_prefetch, c);
		if (r == 0)
			(void)pthread_setname_np(c->threads[c->n_threads++], "yore-prefetch");
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* ---- life ---- */

int chunk_cache_new(struct store *s, size_t limit_bytes, unsigned int threads,
		    struct chunk_cache **ret_cache)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *c = calloc(1, sizeof(*c));
	size_t n_shards = limit_bytes / SHARD_BYTES_LEAST;
	int r;

	if (!c)
		return -ENOMEM;
	n_shards = n_shards < 1 ? 1 : n_shards > SHARDS_MAX ? SHARDS_MAX : n_shards;
	lock_init(&c->lock, LOCK_RANK_LEAF);
	(void)pthread_cond_init(&c->wished, NULL);
	c->store = s;
	c->shards = calloc(n_shards, sizeof(*c->shards));
	if (!c->shards)
		return -ENOMEM;
	c->n_shards = n_shards;
	c->spare_limit = limit_bytes / SPARE_PART;
	limit_bytes -= c->spare_limit;
	for (size_t i = 0; i < n_shards; i++) {
		lock_init(&c->shards[i].lock, LOCK_RANK_CACHE);
		(void)pthread_cond_init(&c->shards[i].loaded, NULL);
		c->shards[i].limit = limit_bytes / n_shards;
	}
	r = start_threads(c, threads < PREFETCH_THREADS_MAX ? threads : PREFETCH_THREADS_MAX);
	if (r < 0)
		return r;
	*ret_cache = STEAL(c);
	return 0;
}

static void shard_done(struct chunk_cache *c, struct shard *s)
{
	while (s->oldest) {
		struct entry *e = s->oldest;

		assert(e->pins == 0);
		lru_remove(s, e);
		e->next = NULL;
		free_entries(c, e);
	}
	(void)pthread_cond_destroy(&s->loaded);
	lock_done(&s->lock);
}

void chunk_cache_free(struct chunk_cache *c)
{
	if (!c)
		return;
	lock_take(&c->lock);
	c->stop = true;
	(void)pthread_cond_broadcast(&c->wished);
	lock_drop(&c->lock);
	for (unsigned int i = 0; i < c->n_threads; i++)
		(void)pthread_join(c->threads[i], NULL);
	for (size_t i = 0; i < c->n_shards; i++)
		shard_done(c, &c->shards[i]);
	buffers_done(c);
	for (size_t i = 0; i < c->n_spare; i++)
		store_reader_free(c->spare[i]);
	(void)pthread_cond_destroy(&c->wished);
	lock_done(&c->lock);
	free(c->shards);
	free(c);
}

void chunk_cache_stats(struct chunk_cache *c, struct chunk_cache_stats *ret_stats)
{
	struct chunk_cache_stats stats = { 0 };

	for (size_t i = 0; i < c->n_shards; i++) {
		struct shard *s = &c->shards[i];

		LOCK_SCOPE(&s->lock);
		stats.hits += s->hits;
		stats.decodes += s->decodes;
		stats.waits += s->waits;
		stats.bytes += s->bytes;
	}
	*ret_stats = stats;
}
