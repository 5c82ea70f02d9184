/* SPDX-License-Identifier: MIT */
#include "sync/fetcher_internal.h"

#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BLOCKS_LEAST 8
#define BLOCKS_MAX 65536

/* ---- where blocks lie ---- */

/* A file that has no name: it ends with this process. In memory where none can be written. */
static int open_cache(struct fetcher *f)
{
	struct io *io = store_io(f->store);
	char name[40];

	io_tmp_name(name);
	f->fd = io_open(io, name, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, IO_OBJECT_TMP);
	if (f->fd >= 0 && io_unlink(io, name, IO_OBJECT_TMP) == 0)
		return 0;
	f->n_blocks = BLOCKS_LEAST;
	f->memory = malloc(BLOCKS_LEAST * FETCH_BLOCK_BYTES);
	return f->memory ? 0 : -ENOMEM;
}

static int write_block(struct fetcher *f, const struct block *b, const uint8_t *from, size_t n)
{
	const uint64_t at = (uint64_t)(b - f->blocks) * FETCH_BLOCK_BYTES;

	if (f->memory) {
		memcpy(f->memory + at, from, n);
		return 0;
	}
	return io_pwrite(store_io(f->store), f->fd, from, n, at, IO_OBJECT_TMP);
}

static int read_block(struct fetcher *f, const struct block *b, size_t offset, void *to, size_t n)
{
	const uint64_t at = (uint64_t)(b - f->blocks) * FETCH_BLOCK_BYTES + offset;
	int64_t got;

	if (f->memory) {
		memcpy(to, f->memory + at, n);
		return 0;
	}
	got = io_pread(store_io(f->store), f->fd, to, n, at);
	return got < 0 ? (int)got : (size_t)got == n ? 0 : -EIO;
}

/* ---- blocks ---- */

/* With the lock held. */
static struct block *find_block(struct fetcher *f, const struct pack_id *pack, uint32_t number)
{
	for (size_t i = 0; i < f->n_blocks; i++) {
		struct block *b = &f->blocks[i];

		if (b->state != BLOCK_FREE && !b->stale && b->number == number &&
		    memcmp(&b->pack, pack, sizeof(*pack)) == 0)
			return b;
	}
	return NULL;
}

/* With the lock held: a free one, or the one that was used longest ago. NULL: all are in use. */
static struct block *free_block(struct fetcher *f)
{
	struct block *oldest = NULL;

	for (size_t i = 0; i < f->n_blocks; i++) {
		struct block *b = &f->blocks[i];

		if (b->state == BLOCK_FREE)
			return b;
		if (b->users == 0 && (!oldest || b->used_at < oldest->used_at))
			oldest = b;
	}
	return oldest;
}

/* With the lock held. */
static void release(struct fetcher *f, struct block *b)
{
	if (--b->users == 0 && b->stale) {
		b->state = BLOCK_FREE;
		b->stale = false;
	}
	(void)pthread_cond_broadcast(&f->wake);
}

static void drop(struct fetcher *f, struct block *b)
{
	LOCK_SCOPE(&f->lock);
	release(f, b);
}

/* With the lock held: wait for something to change. 0, -ETIMEDOUT, -ECANCELED. */
static int wait(struct fetcher *f, int64_t deadline_ns)
{
	const struct timespec until = clock_timespec(deadline_ns);

	if (f->stop)
		return -ECANCELED;
	if (!lock_wait_until(&f->lock, &f->wake, &until))
		return -ETIMEDOUT;
	return f->stop ? -ECANCELED : 0;
}

/* Take the block, ready (0) or to be filled by the caller (1). -ETIMEDOUT, -ECANCELED. */
static int take_block(struct fetcher *f, const struct pack_id *pack, uint32_t number,
		      int64_t deadline_ns, struct block **ret_block)
{
	LOCK_SCOPE(&f->lock);
	for (;;) {
		struct block *b = find_block(f, pack, number);
		bool found = b != NULL;
		int r;

		if (!found)
			b = free_block(f);
		if (b && (!found || b->state == BLOCK_READY)) {
			if (!found)
				*b = (struct block){ .state = BLOCK_FETCHING,
						     .pack = *pack,
						     .number = number };
			b->users++;
			b->used_at = ++f->clock;
			f->stats.hits += found;
			*ret_block = b;
			return !found;
		}
		r = wait(f, deadline_ns);
		if (r < 0)
			return r;
	}
}

/* Fill a block that this thread took. 0 or -errno: then it is gone. */
static int fill(struct fetcher *f, const struct host_id *host, struct block *b, int64_t deadline_ns)
{
	CLEANUP(free_ptr) uint8_t *bytes = malloc(FETCH_BLOCK_BYTES);
	char path[PACK_PATH_BYTES];
	const struct fetch_part part = { pack_path(host, &b->pack, path),
					 (uint64_t)b->number * FETCH_BLOCK_BYTES, bytes,
					 FETCH_BLOCK_BYTES, deadline_ns };
	unsigned int origin = 0;
	int64_t got = -ENOMEM;

	if (bytes)
		got = fetch_range(f, &part, fetch_refused(f, &b->pack), &origin);
	if (got > 0) {
		int r = write_block(f, b, bytes, (size_t)got);

		if (r < 0)
			got = r;
	}
	LOCK_SCOPE(&f->lock);
	f->stats.reads++;
	if (got > 0) {
		b->n = (uint32_t)got;
		b->origin = (uint8_t)origin;
		b->state = BLOCK_READY;
		(void)pthread_cond_broadcast(&f->wake);
		return 0;
	}
	b->stale = true;
	release(f, b);
	return got == 0 ? -ENOENT : (int)got;
}

static int get_block(struct fetcher *f, const struct host_id *host, const struct pack_id *pack,
		     uint32_t number, int64_t deadline_ns, struct block **ret_block)
{
	int r = take_block(f, pack, number, deadline_ns, ret_block);

	if (r == 1)
		r = fill(f, host, *ret_block, deadline_ns);
	return r;
}

/* ---- reading ahead ---- */

/* With the lock held. */
static void ask_ahead(struct fetcher *f, const struct host_id *host, const struct pack_id *pack,
		      uint32_t number)
{
	const bool goes_on =
		number == f->last_number + 1 && memcmp(pack, &f->last_pack, sizeof(*pack)) == 0;

	if (number != f->last_number || memcmp(pack, &f->last_pack, sizeof(*pack)) != 0) {
		f->last_pack = *pack;
		f->last_number = number;
	}
	for (uint32_t i = 1; goes_on && i <= f->options.ahead; i++) {
		if (f->n_ahead == FETCH_AHEAD_ROOM ||
		    number + i > PACK_BYTES_MAX / FETCH_BLOCK_BYTES ||
		    find_block(f, pack, number + i))
			continue;
		f->ahead[f->n_ahead++] = (struct ahead){ *host, *pack, number + i };
	}
	if (goes_on)
		(void)pthread_cond_broadcast(&f->wake);
}

/* Is there such a block in the pack? Its end is known to the index only. */
static bool exists(struct fetcher *f, const struct ahead *a)
{
	struct pack_info info;
	uint32_t number;

	return chunk_index_find_pack(store_index(f->store), &a->pack, &number) == 0 &&
	       chunk_index_pack(store_index(f->store), number, &info) == 0 &&
	       (uint64_t)a->number * FETCH_BLOCK_BYTES < info.size;
}

static bool next_ahead(struct fetcher *f, struct ahead *ret_ahead)
{
	LOCK_SCOPE(&f->lock);
	while (!f->stop && f->n_ahead == 0)
		lock_wait(&f->lock, &f->wake);
	if (f->stop)
		return false;
	*ret_ahead = f->ahead[0];
	memmove(f->ahead, f->ahead + 1, --f->n_ahead * sizeof(f->ahead[0]));
	return true;
}

static void *run_ahead(void *context)
{
	struct fetcher *f = context;
	struct ahead a;

	while (next_ahead(f, &a)) {
		const int64_t deadline_ns =
			clock_monotonic_ns() + f->options.attempt_ms * FETCH_NS_PER_MS;
		struct block *b = NULL;

		if (exists(f, &a) && get_block(f, &a.host, &a.pack, a.number, deadline_ns, &b) == 0)
			drop(f, b);
	}
	return NULL;
}

/* ---- the source ---- */

static int read_source(struct chunk_source *source, const struct host_id *host,
		       const struct pack_id *pack, uint64_t offset, void *to, size_t n)
{
	struct fetcher *f = (struct fetcher *)source;
	const int64_t deadline_ns = clock_monotonic_ns() + f->options.limit_ms * FETCH_NS_PER_MS;
	uint8_t *at = to;

	if (offset > PACK_BYTES_MAX || n > PACK_BYTES_MAX - offset)
		return -EBADMSG;
	while (n > 0) {
		const uint32_t number = (uint32_t)(offset / FETCH_BLOCK_BYTES);
		const size_t skip = (size_t)(offset % FETCH_BLOCK_BYTES);
		const size_t part = n < FETCH_BLOCK_BYTES - skip ? n : FETCH_BLOCK_BYTES - skip;
		struct block *b = NULL;
		int r = get_block(f, host, pack, number, deadline_ns, &b);

		if (r < 0)
			return r;
		/* A copy that ends early is refused like one that is wrong. */
		r = skip + part > b->n ? -EBADMSG : read_block(f, b, skip, at, part);
		lock_take(&f->lock);
		release(f, b);
		ask_ahead(f, host, pack, number);
		lock_drop(&f->lock);
		if (r < 0)
			return r;
		at += part;
		offset += part;
		n -= part;
	}
	return 0;
}

static int refuse(struct chunk_source *source, const struct host_id *host,
		  const struct pack_id *pack, uint64_t offset, size_t n)
{
	struct fetcher *f = (struct fetcher *)source;
	const uint64_t last = (offset + (n ? n - 1 : 0)) / FETCH_BLOCK_BYTES;
	uint32_t remotes = 0, all;

	lock_take(&f->lock);
	for (uint64_t number = offset / FETCH_BLOCK_BYTES; number <= last; number++) {
		struct block *b = find_block(f, pack, (uint32_t)number);

		if (!b || b->state != BLOCK_READY)
			continue;
		remotes |= 1u << b->origin;
		f->stats.refused++;
		b->users++;
		b->stale = true;
		release(f, b);
	}
	all = f->n_remotes == FETCH_REMOTES_MAX ? UINT32_MAX : (1u << f->n_remotes) - 1;
	lock_drop(&f->lock);
	fetch_refuse(f, host, pack, remotes);
	return fetch_refused(f, pack) == all ? -ENOENT : 0;
}

/* ---- beginning and end ---- */

static void set_options(struct fetcher *f, const struct fetcher_options *options)
{
	f->options = *options;
	if (f->options.limit_ms == 0)
		f->options.limit_ms = FETCH_LIMIT_MS;
	if (f->options.attempt_ms == 0)
		f->options.attempt_ms = FETCH_ATTEMPT_MS;
	if (f->options.ahead == 0)
		f->options.ahead = FETCH_AHEAD_DEFAULT;
	f->n_blocks = (size_t)((options->cache_bytes ? options->cache_bytes : FETCH_CACHE_DEFAULT) /
			       FETCH_BLOCK_BYTES);
	if (f->n_blocks < BLOCKS_LEAST)
		f->n_blocks = BLOCKS_LEAST;
	if (f->n_blocks > BLOCKS_MAX)
		f->n_blocks = BLOCKS_MAX;
}

static int start_threads(struct fetcher *f)
{
	for (unsigned int i = 0; i <= FETCH_AHEAD_THREADS; i++) {
		int r = pthread_create(&f->threads[i], NULL, i == 0 ? fetch_watch : run_ahead, f);

		if (r != 0)
			return log_errno(-r, "fetcher: cannot start a thread");
		(void)pthread_setname_np(f->threads[i], i == 0 ? "yore-clock" : "yore-fetch");
		f->n_threads++;
	}
	return 0;
}

int fetcher_new(struct store *s, const struct fetcher_options *options,
		struct fetcher **ret_fetcher)
{
	CLEANUP(fetcher_free_ptr) struct fetcher *f = calloc(1, sizeof(*f));
	pthread_condattr_t attributes;
	int r;

	if (!f)
		return -ENOMEM;
	lock_init(&f->lock, LOCK_RANK_FETCHER);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&f->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	f->fd = -1;
	f->store = s;
	f->source =
		(struct chunk_source){ .read = read_source, .refuse = refuse, .heal = fetch_heal };
	set_options(f, options);
	r = open_cache(f);
	if (r < 0)
		return r;
	f->blocks = calloc(f->n_blocks, sizeof(*f->blocks));
	if (!f->blocks)
		return -ENOMEM;
	r = start_threads(f);
	if (r < 0)
		return r;
	*ret_fetcher = STEAL(f);
	return 0;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	fetcher_stop(f);
	while (f->n_threads > 0)
		(void)pthread_join(f->threads[--f->n_threads], NULL);
	for (size_t i = 0; i < f->n_remotes; i++)
		free(f->remotes[i].name);
	io_close(store_io(f->store), f->fd);
	(void)pthread_cond_destroy(&f->wake);
	lock_done(&f->lock);
	free(f->memory);
	free(f->blocks);
	free(f);
}

int fetcher_add(struct fetcher *f, const char *name, struct remote *remote)
{
	char *copy;

	if (f->n_remotes == FETCH_REMOTES_MAX)
		return -ENOSPC;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	f->remotes[f->n_remotes++] = (struct fetch_remote){ .name = copy, .remote = remote };
	return 0;
}

struct chunk_source *fetcher_source(struct fetcher *f)
{
	return &f->source;
}

void fetcher_stop(struct fetcher *f)
{
	LOCK_SCOPE(&f->lock);
	f->stop = true;
	for (struct flight *flight = f->flights; flight; flight = flight->next)
		__atomic_store_n(&flight->cancel, true, __ATOMIC_RELAXED);
	(void)pthread_cond_broadcast(&f->wake);
}

void fetcher_stats(struct fetcher *f, struct fetcher_stats *ret_stats)
{
	LOCK_SCOPE(&f->lock);
	*ret_stats = f->stats;
}

bool fetcher_health(struct fetcher *f, size_t i, struct fetcher_health *ret_health)
{
	LOCK_SCOPE(&f->lock);
	if (i >= f->n_remotes)
		return false;
	*ret_health = (struct fetcher_health){ .name = f->remotes[i].name,
					       .latency_ms = f->remotes[i].latency_ms,
					       .failures = f->remotes[i].failures };
	return true;
}
