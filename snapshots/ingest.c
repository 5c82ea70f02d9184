/* SPDX-License-Identifier: MIT */
#include "snapshots/ingest.h"
#include "snapshots/pacer.h"

#include "snapshots/in_place.h"
#include "snapshots/page_cache.h"
#include "store/base/lock.h"
#include "store/compress.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/*
 * The file is read into blocks; pieces point into them, so that nothing but
 * the undecided tail of a block (less than a chunk) is ever copied. A slot is
 * a piece in flight, in file order:
 *
 *   FREE -> HASHING -> HASHED -> (collected) FREE
 *               \-> with no old version: put in the same job
 *   collected: known / kept in place / put by a second job (PUTTING -> PUT)
 *
 * Collected pieces wait in `pending` while the bundle of edits that some of
 * them point to is open, then go to the content_builder in order.
 */
#define DROP_BYTES MIB(8) /* let out of the page cache at a time */
#define BLOCK_BYTES MIB(3)
#define SLOTS 16u
#define SHORT_FILE                                                                    \
	MIB(2) /* sealed by the reading thread itself: other files keep the pool busy \
		*/
#define PENDING_MAX 4096u
#define EDITS_BYTES BUNDLE_RAW_TARGET
#define CANCEL_LOOK_MS 200 /* so often while a stream has nothing to read */

static_assert(BLOCK_BYTES > 2 * CHUNK_RAW_MAX, "a block holds the undecided tail and more");

/* A buffer that pieces point into. */
struct block {
	atomic_uint refs;
	uint8_t data[BLOCK_BYTES];
};

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_DONE };

struct slot {
	struct seal_job job;
	struct ingest *ingest;
	struct block *block; /* NULL for a hole */
	const uint8_t *data;
	uint64_t offset;
	uint64_t length;
	struct chunk_id id;
	bool put; /* store it in the job */
	enum slot_state state;
	int result;
};

/* A piece that waits for the open bundle of edits. */
struct pending {
	struct piece piece;
	size_t first_extent; /* in `extents`; an extent with an all-zero chunk lies in the edits */
};

struct ingest {
	struct store *store;
	struct store_writer *writer;
	struct seal_pool *pool;
	struct chunk_cache *cache;
	const struct chunker *chunker;
	struct id_hasher *hasher;      /* of the reading thread */
	struct id_hasher *list_hasher; /* for the builder */
	struct compressor *compressor;
	struct content_builder *builder;
	struct in_place *in_place; /* made at the first need */

	struct lock lock; /* guards the slots' state and result */
	pthread_cond_t changed;
	struct slot slots[SLOTS];
	uint64_t n_cut, n_collected; /* slot numbers, modulo SLOTS */

	int fd;
	bool has_old, inline_sealing, is_stream;
	bool drop_behind;
	uint64_t dropped; /* the page cache has nothing before this of ours */
	const volatile bool *cancel;
	struct pacer *pacer;
	bool source_failed;
	uint64_t bytes_read;

	struct block *block; /* being filled */
	size_t from, fill;   /* its bytes not yet cut: [from, fill) */
	uint64_t offset;     /* file offset of `from` */
	struct block *spare;

	struct pending *pending;
	size_t n_pending;
	struct extent *extents;
	size_t n_extents, extents_room;
	uint8_t *edits;
	size_t n_edits;
};

int ingest_new(struct store *s, struct store_writer *writer, struct chunk_cache *cache,
	       struct seal_pool *pool, struct object_sink *sink, struct ingest **ret_ingest)
{
	CLEANUP(ingest_free_ptr) struct ingest *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	lock_init(&g->lock, LOCK_RANK_LEAF);
	pthread_cond_init(&g->changed, NULL);
	g->store = s;
	g->writer = writer;
	g->pool = pool;
	g->cache = cache;
	g->chunker = store_chunker(s);
	g->pending = calloc(PENDING_MAX, sizeof(*g->pending));
	if (!g->pending)
		return -ENOMEM;
	r = store_hasher(s, OBJECT_DATA, &g->hasher);
	if (r == 0)
		r = store_hasher(s, OBJECT_LIST, &g->list_hasher);
	if (r == 0)
		r = compressor_new(&g->compressor);
	if (r == 0)
		r = content_builder_new(sink, g->list_hasher, &g->builder);
	if (r < 0)
		return r;
	*ret_ingest = STEAL(g);
	return 0;
}

void ingest_free(struct ingest *g)
{
	if (!g)
		return;
	content_builder_free(g->builder);
	in_place_free(g->in_place);
	id_hasher_free(g->hasher);
	id_hasher_free(g->list_hasher);
	compressor_free(g->compressor);
	free(g->block);
	free(g->spare);
	free(g->pending);
	free(g->extents);
	free(g->edits);
	pthread_cond_destroy(&g->changed);
	lock_done(&g->lock);
	free(g);
}

uint64_t ingest_bytes_read(const struct ingest *g)
{
	return g->bytes_read;
}

/* ---- blocks ---- */

static struct block *block_take(struct ingest *g)
{
	struct block *b = STEAL(g->spare);

	if (!b)
		b = malloc(sizeof(*b));
	if (b)
		atomic_init(&b->refs, 1);
	return b;
}

static void block_drop(struct ingest *g, struct block *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	if (g->spare)
		free(b);
	else
		g->spare = b;
}

/* ---- sealing ---- */

static void slot_run(struct slot *slot, struct id_hasher *hasher, struct compressor *compressor)
{
	struct ingest *g = slot->ingest;
	int r = 0;

	id_hasher_run(hasher, slot->data, slot->length, &slot->id);
	if (slot->put)
		r = store_writer_put(g->writer, compressor, OBJECT_DATA, &slot->id, slot->data,
				     slot->length);
	slot->result = r < 0 ? r : 0;
}

static void slot_job(struct seal_job *job, struct id_hasher *hasher, struct compressor *compressor)
{
	struct slot *slot = (struct slot *)job;
	struct ingest *g = slot->ingest;

	slot_run(slot, hasher, compressor);
	LOCK_SCOPE(&g->lock);
	slot->state = SLOT_DONE;
	pthread_cond_broadcast(&g->changed);
}

static int slot_start(struct ingest *g, struct slot *slot)
{
	int r;

	if (g->inline_sealing) {
		slot_run(slot, g->hasher, g->compressor);
		slot->state = SLOT_DONE;
		return 0;
	}
	slot->job.run = slot_job;
	slot->state = SLOT_BUSY;
	r = seal_pool_submit(g->pool, &slot->job);
	if (r < 0) {
		slot->result = r;
		slot->state = SLOT_DONE;
	}
	return r;
}

static void slot_wait(struct ingest *g, struct slot *slot)
{
	LOCK_SCOPE(&g->lock);
	while (slot->state == SLOT_BUSY)
		lock_wait(&g->lock, &g->changed);
}

static bool slot_done(struct ingest *g, struct slot *slot)
{
	LOCK_SCOPE(&g->lock);
	return slot->state == SLOT_DONE;
}

/* ---- collecting ---- */

static int pending_extent(struct ingest *g, const struct extent *e)
{
	if (g->n_extents == g->extents_room) {
		size_t room = g->extents_room ? g->extents_room * 2 : 256;
		struct extent *grown = reallocarray(g->extents, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		g->extents = grown;
		g->extents_room = room;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a piece has its extents */
	g->extents[g->n_extents++] = *e;
	return 0;
}

/* Close the bundle of edits, and hand everything that waited for it to the builder. */
static int flush_pending(struct ingest *g)
{
	static const struct chunk_id zero;
	struct chunk_id edits = zero;
	int r = 0;

	if (g->n_edits > 0) {
		id_hasher_run(g->hasher, g->edits, g->n_edits, &edits);
		r = store_writer_put(g->writer, g->compressor, OBJECT_DATA, &edits, g->edits,
				     g->n_edits);
		if (r < 0)
			return r;
		g->n_edits = 0;
	}
	for (size_t i = 0; i < g->n_extents; i++)
		if (memcmp(&g->extents[i].chunk, &zero, sizeof(zero)) == 0)
			g->extents[i].chunk = edits;
	r = 0;
	for (size_t i = 0; r == 0 && i < g->n_pending; i++)
		r = content_builder_add(g->builder, &g->pending[i].piece,
					g->extents + g->pending[i].first_extent);
	g->n_pending = 0;
	g->n_extents = 0;
	return r;
}

/* Queue a piece with its extents; NULL extents: it is a chunk of its own. */
static int queue_piece(struct ingest *g, const struct slot *slot, const struct extent *extents,
		       uint32_t n)
{
	struct extent own = { .chunk = slot->id, .length = (uint32_t)slot->length };
	int r = 0;

	if (g->n_pending == PENDING_MAX)
		r = flush_pending(g);
	if (r < 0)
		return r;
	if (!extents && slot->block) {
		extents = &own;
		n = 1;
	}
	g->pending[g->n_pending++] = (struct pending){
		.piece = { .id = slot->id, .length = slot->length, .n_extents = n },
		.first_extent = g->n_extents
	};
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = pending_extent(g, &extents[i]);
	if (r == 0 && g->n_edits == 0 && g->n_pending >= SLOTS)
		r = flush_pending(g);
	return r;
}

/* May new data rely on all these chunks? 1, 0 or -errno. */
static int extents_usable(struct ingest *g, const struct extent *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int r = store_writer_has(g->writer, &e[i].chunk);

		if (r <= 0)
			return r;
	}
	return 1;
}

/* Queue a piece as the runs say: kept ones as extents, new ones into the bundle of edits. */
static int queue_runs(struct ingest *g, const struct slot *slot, const struct in_place_run *runs,
		      uint32_t n)
{
	struct extent extents[PIECE_EXTENTS_MAX];
	uint64_t fresh = 0;
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		fresh += runs[i].kept ? 0 : runs[i].extent.length;
	if (!g->edits)
		g->edits = malloc(EDITS_BYTES + CHUNK_RAW_MAX / 2);
	if (!g->edits)
		return -ENOMEM;
	if (g->n_pending == PENDING_MAX || (g->n_edits + fresh > EDITS_BYTES && g->n_edits > 0))
		r = flush_pending(g); /* here, so that this piece's edits share its bundle */
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		extents[i] = runs[i].extent;
		if (runs[i].kept)
			continue;
		extents[i].chunk = (struct chunk_id){ 0 };
		extents[i].offset = (uint32_t)g->n_edits;
		memcpy(g->edits + g->n_edits, slot->data + runs[i].at, runs[i].extent.length);
		g->n_edits += runs[i].extent.length;
	}
	return queue_piece(g, slot, extents, n);
}

/* Does a later piece in flight show a shift? */
static bool later_shift(struct ingest *g, uint64_t after, int64_t *ret_shift)
{
	for (uint64_t i = after + 1; i < g->n_cut; i++) {
		struct slot *slot = &g->slots[i % SLOTS];

		if (slot->block && slot_done(g, slot) && slot->result == 0 &&
		    in_place_peek(g->in_place, &slot->id, slot->offset, ret_shift) == 1)
			return true;
	}
	return false;
}

/* Compare at one shift. 1: queued; 0: not worth it; -errno. */
static int try_shift(struct ingest *g, const struct slot *slot, int64_t shift)
{
	const struct in_place_run *runs;
	uint32_t n;
	int r = in_place_compare(g->in_place, slot->data, (uint32_t)slot->length, slot->offset,
				 shift, &runs, &n);

	for (uint32_t i = 0; r == 1 && i < n; i++)
		if (runs[i].kept)
			r = store_writer_has(g->writer, &runs[i].extent.chunk);
	if (r != 1)
		return r;
	r = queue_runs(g, slot, runs, n);
	return r < 0 ? r : 1;
}

/* A piece of a file that has a previous version. */
static int collect_changed(struct ingest *g, struct slot *slot, uint64_t number)
{
	const struct extent *extents;
	int64_t shift;
	uint32_t n;
	int r = in_place_find(g->in_place, &slot->id, slot->offset, &extents, &n);

	if (r == 1 && n > 0) {
		r = extents_usable(g, extents, n);
		if (r == 1)
			return queue_piece(g, slot, extents, n);
	}
	if (r < 0)
		return r;
	r = store_writer_has(g->writer, &slot->id);
	if (r == 1)
		return queue_piece(g, slot, NULL, 0);
	if (r == 0)
		r = try_shift(g, slot, in_place_shift(g->in_place));
	if (r == 0 && later_shift(g, number, &shift) && shift != in_place_shift(g->in_place))
		r = try_shift(g, slot, shift);
	if (r != 0)
		return r < 0 ? r : 0;
	r = store_writer_put(g->writer, g->compressor, OBJECT_DATA, &slot->id, slot->data,
			     slot->length);
	return r < 0 ? r : queue_piece(g, slot, NULL, 0);
}

/* Take the oldest piece in flight. */
static int collect_one(struct ingest *g)
{
	uint64_t number = g->n_collected++;
	struct slot *slot = &g->slots[number % SLOTS];
	int r;

	slot_wait(g, slot);
	r = slot->result;
	if (r == 0) {
		if (slot->block && g->has_old)
			r = collect_changed(g, slot, number);
		else
			r = queue_piece(g, slot, NULL, 0);
	}
	block_drop(g, slot->block);
	slot->block = NULL;
	slot->state = SLOT_FREE;
	return r;
}

/* ---- cutting ---- */

/* Put the next piece in flight: n bytes at g->from, or with !data a hole. */
static int cut_piece(struct ingest *g, uint64_t n, bool data)
{
	struct slot *slot;
	int r = 0;

	if (g->n_cut - g->n_collected == SLOTS)
		r = collect_one(g);
	if (r < 0)
		return r;
	slot = &g->slots[g->n_cut % SLOTS];
	*slot = (struct slot){ .ingest = g, .offset = g->offset, .length = n, .put = !g->has_old };
	g->n_cut++;
	g->offset += n;
	if (!data) {
		slot->state = SLOT_DONE;
		return 0;
	}
	slot->block = g->block;
	slot->data = g->block->data + g->from;
	atomic_fetch_add(&g->block->refs, 1);
	g->from += n;
	return slot_start(g, slot);
}

/* Cut data that ends at `until` (in the block); `last`: nothing but a hole or the end follows it.
 */
static int cut_data(struct ingest *g, size_t until, bool last)
{
	while (g->from < until) {
		size_t n =
			chunker_next(g->chunker, g->block->data + g->from, until - g->from, last);
		int r;

		if (n == 0)
			return 0;
		r = cut_piece(g, n, true);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Move what is not cut yet into a block of its own, so that there is room to read. */
static int make_room(struct ingest *g)
{
	struct block *b;

	if (g->block && BLOCK_BYTES - g->fill >= MIB(1))
		return 0;
	b = block_take(g);
	if (!b)
		return -ENOMEM;
	if (g->block) {
		memcpy(b->data, g->block->data + g->from, g->fill - g->from);
		block_drop(g, g->block);
	}
	g->fill -= g->from;
	g->from = 0;
	g->block = b;
	return 0;
}

/* Wait until a stream has something, or its end, to read. */
static int stream_wait(struct ingest *g)
{
	struct pollfd fd = { .fd = g->fd, .events = POLLIN };

	for (;;) {
		int n = poll(&fd, 1, CANCEL_LOOK_MS);

		if (g->cancel && *g->cancel)
			return -ECANCELED;
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* Keep no more than some mebibytes of a file in the page cache. */
static void drop_behind(struct ingest *g, uint64_t at)
{
	if (!g->drop_behind || g->is_stream)
		return;
	if (at < g->dropped) /* another file */
		g->dropped = 0;
	if (at - g->dropped < DROP_BYTES)
		return;
	page_cache_drop(g->fd, g->dropped, at - g->dropped);
	g->dropped = at;
}

void ingest_pace(struct ingest *g, struct pacer *pacer)
{
	g->pacer = pacer;
}

void ingest_drop_behind(struct ingest *g, bool drop)
{
	g->drop_behind = drop;
	g->dropped = 0;
}

/* Read once. Returns the count, 0 at the end, -errno. */
static ssize_t read_once(struct ingest *g, void *to, size_t room, uint64_t at)
{
	for (;;) {
		int r = g->is_stream ? stream_wait(g) : 0;
		ssize_t n;

		if (r < 0)
			return r;
		n = g->is_stream ? read(g->fd, to, room) : pread(g->fd, to, room, (off_t)at);
		if (n >= 0) {
			drop_behind(g, at);
			return n;
		}
		if (errno != EINTR && !(g->is_stream && errno == EAGAIN))
			return -errno;
	}
}

/* Read up to a mebibyte at `at`, no further than `until`. Returns the count, 0 at the end of the
 * file. */
static int64_t read_more(struct ingest *g, uint64_t at, uint64_t until)
{
	size_t room = MIB(1);
	ssize_t n;
	int r = make_room(g);

	if (r < 0)
		return r;
	if (until - at < room)
		room = (size_t)(until - at);
	n = read_once(g, g->block->data + g->fill, room, at);
	if (n < 0) {
		g->source_failed = n != -ECANCELED;
		return n;
	}
	g->fill += (size_t)n;
	g->bytes_read += (uint64_t)n;
	pacer_spend(g->pacer, (uint64_t)n, g->cancel);
	return n;
}

/* Where the walk over a file's bytes is. The block ends with the bytes [at, read_at). */
struct sweep {
	uint64_t read_at;    /* bytes up to here have been read or skipped */
	uint64_t at;         /* bytes up to here have been looked at for zeros */
	uint64_t zeros_from; /* begin of the zero run that ends at `at`; == at: none */
	bool in_hole;        /* that run is long enough to be a hole */
};

/* A zero run of n bytes at w->at was met; `after` is where the block's next byte lies. */
static int sweep_zeros(struct ingest *g, struct sweep *w, uint64_t n, size_t after)
{
	w->at += n;
	if (!w->in_hole && w->at - w->zeros_from >= HOLE_BYTES_MIN) {
		int r = cut_data(g, g->from + (size_t)(w->zeros_from - g->offset), true);

		if (r < 0)
			return r;
		w->in_hole = true;
	}
	if (w->in_hole) /* the bytes themselves are of no use any more */
		g->from = after;
	return 0;
}

/* The zero run, if there was one, ends here. */
static int sweep_end_zeros(struct ingest *g, struct sweep *w)
{
	int r = 0;

	if (w->in_hole)
		r = cut_piece(g, w->at - w->zeros_from, false);
	w->in_hole = false;
	return r;
}

/* Look at the new bytes in blocks of the 4 KiB grid; with `final` at an incomplete one too. */
static int sweep_bytes(struct ingest *g, struct sweep *w, bool final)
{
	while (w->at < w->read_at) {
		size_t left = (size_t)(w->read_at - w->at);
		size_t pos = g->fill - left;
		size_t step = HOLE_BLOCK - (size_t)(w->at % HOLE_BLOCK);
		int r;

		if (step > left && !final)
			break;
		if (step > left)
			step = left;
		if (bytes_are_zero(g->block->data + pos, step)) {
			r = sweep_zeros(g, w, step, pos + step);
		} else {
			r = sweep_end_zeros(g, w);
			w->at += step;
			w->zeros_from = w->at;
		}
		if (r < 0)
			return r;
	}
	if (w->in_hole || !g->block)
		return 0;
	return cut_data(g, g->from + (size_t)(w->zeros_from - g->offset), false);
}

/* Read the data range [w->read_at, until). Returns 1 when the file ended early. */
static int sweep_range(struct ingest *g, struct sweep *w, uint64_t until)
{
	while (w->read_at < until) {
		int64_t n;
		int r;

		if (g->cancel && *g->cancel)
			return -ECANCELED;
		n = read_more(g, w->read_at, until);
		if (n <= 0)
			return n < 0 ? (int)n : 1;
		w->read_at += (uint64_t)n;
		r = sweep_bytes(g, w, false);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * A stretch that the file system says is a hole: skipped like zeros that were
 * read, where it covers whole blocks; its ragged ends are read.
 */
static int sweep_hole(struct ingest *g, struct sweep *w, uint64_t until)
{
	uint64_t first = (w->read_at + HOLE_BLOCK - 1) / HOLE_BLOCK * HOLE_BLOCK;
	uint64_t last = until / HOLE_BLOCK * HOLE_BLOCK;
	int r;

	if (last < first || last - first < HOLE_BYTES_MIN)
		return sweep_range(g, w, until);
	r = sweep_range(g, w, first);
	if (r != 0)
		return r;
	w->read_at = last;
	r = sweep_zeros(g, w, last - first, g->fill);
	return r < 0 ? r : sweep_range(g, w, until);
}

/* There is no data to the end: make sure that it has not come nearer meanwhile. */
static uint64_t present_size(struct ingest *g, uint64_t *size)
{
	off_t end = lseek(g->fd, 0, SEEK_END);

	if (end >= 0 && (uint64_t)end < *size)
		*size = (uint64_t)end;
	return *size;
}

/* What is left at the end: a block not whole, a run of zeros, bytes not cut. */
static int sweep_rest(struct ingest *g, struct sweep *w)
{
	int r = sweep_bytes(g, w, true);

	if (r < 0)
		return r;
	if (w->in_hole)
		return sweep_end_zeros(g, w);
	return g->block ? cut_data(g, g->fill, true) : 0;
}

/* The whole file: data ranges and holes in turn. */
static int sweep_file(struct ingest *g, uint64_t size)
{
	struct sweep w = { 0 };
	int r = 0;

	while (r == 0 && w.read_at < size) {
		off_t data = lseek(g->fd, (off_t)w.read_at, SEEK_DATA);
		off_t hole;

		if (data < 0) /* ENXIO: a hole to the end; anything else: cannot tell */
			data = errno == ENXIO ? (off_t)present_size(g, &size) : (off_t)w.read_at;
		if ((uint64_t)data > size)
			data = (off_t)size;
		if ((uint64_t)data > w.read_at) {
			r = sweep_hole(g, &w, (uint64_t)data);
			continue;
		}
		hole = lseek(g->fd, data, SEEK_HOLE);
		if (hole <= data || (uint64_t)hole > size)
			hole = (off_t)size;
		r = sweep_range(g, &w, (uint64_t)hole);
	}
	return r < 0 ? r : sweep_rest(g, &w);
}

static int begin(struct ingest *g, const struct content *old)
{
	int r;

	g->n_cut = g->n_collected = 0;
	g->from = g->fill = 0;
	g->offset = 0;
	g->bytes_read = 0;
	g->source_failed = false;
	g->n_pending = g->n_extents = g->n_edits = 0;
	g->has_old = old && old->form != CONTENT_EMPTY;
	if (!g->has_old)
		return 0;
	if (!g->in_place) {
		r = in_place_new(g->cache, &g->in_place);
		if (r < 0)
			return r;
	}
	if (in_place_set(g->in_place, old) < 0)
		g->has_old = false; /* an old version that cannot be read is no base */
	return 0;
}

/* Leave nothing in flight, whatever happened. */
static void drain(struct ingest *g)
{
	for (; g->n_collected < g->n_cut; g->n_collected++) {
		struct slot *slot = &g->slots[g->n_collected % SLOTS];

		slot_wait(g, slot);
		block_drop(g, slot->block);
		slot->block = NULL;
		slot->state = SLOT_FREE;
	}
	block_drop(g, STEAL(g->block));
}

/* Everything that was read is cut: have it stored, and yield the content. */
static int finish(struct ingest *g, int r, struct content *ret_content, bool *ret_source_failed)
{
	struct content unused;

	while (r == 0 && g->n_collected < g->n_cut)
		r = collect_one(g);
	if (r == 0)
		r = flush_pending(g);
	drain(g);
	*ret_source_failed = g->source_failed;
	if (r < 0) { /* the builder must not carry pieces into the next file */
		(void)content_builder_finish(g->builder, &unused);
		return r;
	}
	return content_builder_finish(g->builder, ret_content);
}

/* NOLINTNEXTLINE(readability-function-size): a file and its answers */
int ingest_run(struct ingest *g, int fd, uint64_t size, const struct content *old,
	       const volatile bool *cancel, struct content *ret_content, bool *ret_source_failed)
{
	int r = begin(g, old);

	g->fd = fd;
	g->cancel = cancel;
	g->is_stream = false;
	g->inline_sealing = size <= SHORT_FILE;
	if (r == 0)
		r = sweep_file(g, size);
	return finish(g, r, ret_content, ret_source_failed);
}

int ingest_stream(struct ingest *g, int fd, const struct content *old, const volatile bool *cancel,
		  struct content *ret_content, bool *ret_source_failed)
{
	struct sweep w = { 0 };
	int r = begin(g, old);

	g->fd = fd;
	g->cancel = cancel;
	g->is_stream = true;
	g->inline_sealing = false;
	if (r == 0)
		r = sweep_range(g, &w, INT64_MAX);
	if (r >= 0)
		r = sweep_rest(g, &w);
	return finish(g, r, ret_content, ret_source_failed);
}
