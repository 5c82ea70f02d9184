/* SPDX-License-Identifier: MIT */
#include "snapshots/in_place.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BLOCK 4096u
#define WINDOW_AHEAD 3072u /* pieces beyond the last equal one */
#define WINDOW_BEHIND 1024u
#define WINDOW_ROOM (WINDOW_AHEAD + WINDOW_BEHIND)
#define MAP_SLOTS 16384u
#define MAP_PROBES 8u
#define RUNS_MAX PIECE_EXTENTS_MAX

static_assert(MAP_SLOTS >= 2 * WINDOW_ROOM, "the map stays half empty");

/* A piece of the previous version. */
struct old_piece {
	struct chunk_id id;
	uint64_t offset;
	uint64_t length;
	struct extent *extents; /* NULL for a hole */
	uint32_t n_extents;
};

/* Where a stretch of the old plaintext lies. */
struct old_stretch {
	uint64_t offset; /* in the old file */
	struct extent extent;
	bool hole;
};

struct in_place {
	struct content_reader *walk;  /* fills the window */
	struct content_reader *bytes; /* reads old plaintext */
	struct old_piece ring[WINDOW_ROOM];
	uint64_t first, next; /* piece numbers in the window: [first, next) */
	bool ended;
	uint64_t map[MAP_SLOTS]; /* piece number + 1 */
	int64_t shift;
	uint64_t old_length;
	uint8_t *plain; /* CHUNK_RAW_MAX bytes of old plaintext */
	struct old_stretch stretches[RUNS_MAX * 2];
	uint32_t n_stretches;
	struct in_place_run runs[RUNS_MAX];
	uint32_t n_runs;
};

int in_place_new(struct chunk_cache *cache, struct in_place **ret_in_place)
{
	CLEANUP(in_place_free_ptr) struct in_place *ip = calloc(1, sizeof(*ip));
	int r;

	if (!ip)
		return -ENOMEM;
	ip->plain = malloc(CHUNK_RAW_MAX);
	if (!ip->plain)
		return -ENOMEM;
	r = content_reader_new(cache, &ip->walk);
	if (r == 0)
		r = content_reader_new(cache, &ip->bytes);
	if (r < 0)
		return r;
	*ret_in_place = STEAL(ip);
	return 0;
}

static void forget_pieces(struct in_place *ip, uint64_t until)
{
	for (; ip->first < until && ip->first < ip->next; ip->first++) {
		struct old_piece *p = &ip->ring[ip->first % WINDOW_ROOM];

		free(p->extents);
		p->extents = NULL;
	}
}

void in_place_free(struct in_place *ip)
{
	if (!ip)
		return;
	forget_pieces(ip, ip->next);
	content_reader_free(ip->walk);
	content_reader_free(ip->bytes);
	free(ip->plain);
	free(ip);
}

int in_place_set(struct in_place *ip, const struct content *old)
{
	int r;

	forget_pieces(ip, ip->next);
	ip->first = ip->next = 0;
	ip->ended = false;
	ip->shift = 0;
	ip->old_length = old->length;
	memset(ip->map, 0, sizeof(ip->map));
	r = content_reader_set(ip->walk, old);
	return r < 0 ? r : content_reader_set(ip->bytes, old);
}

/* ---- the window ---- */

static uint32_t map_home(const struct chunk_id *id)
{
	uint32_t h;

	memcpy(&h, id->bytes + 4, sizeof(h));
	return h % MAP_SLOTS;
}

static const struct old_piece *window_piece(const struct in_place *ip, uint64_t number)
{
	if (number < ip->first || number >= ip->next)
		return NULL;
	return &ip->ring[number % WINDOW_ROOM];
}

/* Enter a piece: into a free or outdated slot near its home; lossy when there is none. */
static void map_enter(struct in_place *ip, const struct chunk_id *id, uint64_t number)
{
	uint32_t home = map_home(id);

	for (uint32_t i = 0; i < MAP_PROBES; i++) {
		uint64_t *slot = &ip->map[(home + i) % MAP_SLOTS];

		if (*slot == 0 || *slot - 1 < ip->first) {
			*slot = number + 1;
			return;
		}
	}
}

static const struct old_piece *map_find(const struct in_place *ip, const struct chunk_id *id)
{
	uint32_t home = map_home(id);

	for (uint32_t i = 0; i < MAP_PROBES; i++) {
		uint64_t slot = ip->map[(home + i) % MAP_SLOTS];
		const struct old_piece *p = slot ? window_piece(ip, slot - 1) : NULL;

		if (p && memcmp(&p->id, id, sizeof(*id)) == 0)
			return p;
	}
	return NULL;
}

/* Load old pieces up to WINDOW_AHEAD past `center`. */
static int window_fill(struct in_place *ip, uint64_t center)
{
	if (center > WINDOW_BEHIND)
		forget_pieces(ip, center - WINDOW_BEHIND);
	while (!ip->ended && ip->next < center + WINDOW_AHEAD) {
		struct piece_view v;
		struct old_piece *p = &ip->ring[ip->next % WINDOW_ROOM];
		int r = content_reader_next(ip->walk, &v);

		if (r < 0)
			return r;
		if (r == 0) {
			ip->ended = true;
			break;
		}
		*p = (struct old_piece){ .id = v.piece.id,
					 .offset = v.offset,
					 .length = v.piece.length,
					 .n_extents = v.piece.n_extents };
		if (p->n_extents > 0) {
			p->extents = malloc(p->n_extents * sizeof(*p->extents));
			if (!p->extents)
				return -ENOMEM;
			memcpy(p->extents, v.extents, p->n_extents * sizeof(*p->extents));
			map_enter(ip, &p->id, ip->next);
		}
		ip->next++;
	}
	return 0;
}

/* Number of a window piece, from its address. */
static uint64_t piece_number(const struct in_place *ip, const struct old_piece *p)
{
	uint64_t slot = (uint64_t)(p - ip->ring);
	uint64_t base = ip->first - ip->first % WINDOW_ROOM + slot;

	return base < ip->first ? base + WINDOW_ROOM : base;
}

int in_place_find(struct in_place *ip, const struct chunk_id *id, uint64_t offset,
		  const struct extent **ret_extents, uint32_t *ret_n)
{
	const struct old_piece *p;
	int r = ip->next == 0 ? window_fill(ip, 0) : 0;

	if (r < 0)
		return r;
	p = map_find(ip, id);
	if (!p)
		return 0;
	ip->shift = (int64_t)p->offset - (int64_t)offset;
	*ret_extents = p->extents;
	*ret_n = p->n_extents;
	r = window_fill(ip, piece_number(ip, p));
	return r < 0 ? r : 1;
}

int in_place_peek(struct in_place *ip, const struct chunk_id *id, uint64_t offset,
		  int64_t *ret_shift)
{
	const struct old_piece *p = map_find(ip, id);

	if (!p)
		return 0;
	*ret_shift = (int64_t)p->offset - (int64_t)offset;
	return 1;
}

int64_t in_place_shift(const struct in_place *ip)
{
	return ip->shift;
}

/* ---- comparing ---- */

/* List where the old plaintext [from, to) lies. 0, or -E2BIG when it is in too many crumbs. */
static int list_stretches(struct in_place *ip, uint64_t from, uint64_t to)
{
	struct piece_view v;
	int r = content_reader_seek(ip->bytes, from);

	ip->n_stretches = 0;
	while (r == 0 && (r = content_reader_next(ip->bytes, &v)) == 1 && v.offset < to) {
		uint64_t at = v.offset;

		for (uint32_t i = 0; i < v.piece.n_extents; i++) {
			if (ip->n_stretches == RUNS_MAX * 2)
				return -E2BIG;
			ip->stretches[ip->n_stretches++] =
				(struct old_stretch){ .offset = at, .extent = v.extents[i] };
			at += v.extents[i].length;
		}
		if (piece_is_hole(&v.piece)) {
			if (ip->n_stretches == RUNS_MAX * 2)
				return -E2BIG;
			ip->stretches[ip->n_stretches++] =
				(struct old_stretch){ .offset = at, .hole = true };
		}
		r = 0;
	}
	return r < 0 ? r : 0;
}

static int add_run(struct in_place *ip, bool kept, uint32_t at, struct extent extent)
{
	struct in_place_run *last = ip->n_runs ? &ip->runs[ip->n_runs - 1] : NULL;

	if (extent.length == 0)
		return 0;
	if (last && last->kept == kept) {
		bool joins = !kept || (memcmp(&last->extent.chunk, &extent.chunk,
					      sizeof(extent.chunk)) == 0 &&
				       last->extent.offset + last->extent.length == extent.offset);

		if (joins) {
			last->extent.length += extent.length;
			return 0;
		}
	}
	if (ip->n_runs == RUNS_MAX)
		return -E2BIG;
	ip->runs[ip->n_runs++] = (struct in_place_run){ .kept = kept, .at = at, .extent = extent };
	return 0;
}

/* Bytes [at, at + n) of the piece equal old bytes that begin at `old`: kept where stored, new where
 * a hole was. */
static int keep(struct in_place *ip, uint32_t at, uint32_t n, uint64_t old)
{
	for (uint32_t i = 0; i < ip->n_stretches && n > 0; i++) {
		const struct old_stretch *s = &ip->stretches[i];
		uint64_t end = i + 1 < ip->n_stretches ? ip->stretches[i + 1].offset : UINT64_MAX;
		uint32_t part;
		int r;

		if (!s->hole)
			end = s->offset + s->extent.length;
		if (old < s->offset || old >= end)
			continue;
		part = end - old < n ? (uint32_t)(end - old) : n;
		r = add_run(
			ip, !s->hole, at,
			(struct extent){ .chunk = s->extent.chunk,
					 .offset = s->extent.offset + (uint32_t)(old - s->offset),
					 .length = part });
		if (r < 0)
			return r;
		at += part;
		old += part;
		n -= part;
	}
	return n == 0 ? 0 : -E2BIG;
}

/* Length of the equal (or differing) blocks from `at`, on the file's 4 KiB grid. */
static uint32_t block_run(const uint8_t *a, const uint8_t *b, uint32_t at, uint32_t n,
			  uint64_t offset, bool *ret_equal)
{
	uint32_t end = at;

	do {
		uint32_t step = BLOCK - (uint32_t)((offset + end) % BLOCK);
		bool equal;

		if (step > n - end)
			step = n - end;
		equal = memcmp(a + end, b + end, step) == 0;
		if (end == at)
			*ret_equal = equal;
		else if (equal != *ret_equal)
			break;
		end += step;
	} while (end < n);
	return end - at;
}

/* Cut the piece into kept and new runs; the old plaintext lies in ip->plain at [skip, skip + have).
 */
static int cut_runs(struct in_place *ip, const uint8_t *data, uint32_t skip, uint32_t have,
		    uint64_t offset, uint64_t old)
{
	int r = add_run(ip, false, 0, (struct extent){ .length = skip });

	for (uint32_t at = skip; r == 0 && at < skip + have;) {
		bool equal = false;
		uint32_t n = block_run(data, ip->plain, at, skip + have, offset, &equal);

		if (equal) {
			r = keep(ip, at, n, old + (at - skip));
		} else { /* differing blocks often differ in a few bytes only */
			uint32_t front = 0, back = 0;

			while (front < n && data[at + front] == ip->plain[at + front])
				front++;
			while (back < n - front &&
			       data[at + n - 1 - back] == ip->plain[at + n - 1 - back])
				back++;
			r = keep(ip, at, front, old + (at - skip));
			if (r == 0)
				r = add_run(ip, false, at + front,
					    (struct extent){ .length = n - front - back });
			if (r == 0)
				r = keep(ip, at + n - back, back, old + (at - skip) + n - back);
		}
		at += n;
	}
	return r;
}

/* Bytes of this chunk that the runs keep. */
static uint64_t kept_of(const struct in_place *ip, const struct chunk_id *chunk)
{
	uint64_t kept = 0;

	for (uint32_t i = 0; i < ip->n_runs; i++)
		if (ip->runs[i].kept &&
		    memcmp(&ip->runs[i].extent.chunk, chunk, sizeof(*chunk)) == 0)
			kept += ip->runs[i].extent.length;
	return kept;
}

/*
 * Would the file use less than half of what it used of this chunk? Old bytes
 * outside [from, to) count as still used: they are a neighbour's business.
 */
static bool mostly_lost(const struct in_place *ip, const struct chunk_id *chunk, uint64_t from,
			uint64_t to)
{
	uint64_t before = 0, within = 0;

	for (uint32_t i = 0; i < ip->n_stretches; i++) {
		const struct old_stretch *s = &ip->stretches[i];
		uint64_t end = s->offset + s->extent.length;

		if (s->hole || memcmp(&s->extent.chunk, chunk, sizeof(*chunk)) != 0)
			continue;
		before += s->extent.length;
		if (s->offset < to && end > from)
			within += (end < to ? end : to) - (s->offset > from ? s->offset : from);
	}
	return 2 * (within - kept_of(ip, chunk)) > before;
}

/* Are the runs worth having: mostly kept, few chunks, none of them kept for a crumb? */
static bool runs_within_limits(const struct in_place *ip, uint32_t n, uint64_t from, uint64_t to)
{
	uint64_t fresh = 0;
	uint32_t n_chunks = 0;

	for (uint32_t i = 0; i < ip->n_runs; i++) {
		const struct in_place_run *run = &ip->runs[i];
		bool first = true;

		if (!run->kept) {
			fresh += run->extent.length;
			continue;
		}
		for (uint32_t k = 0; k < i && first; k++)
			first = !ip->runs[k].kept ||
				memcmp(&ip->runs[k].extent.chunk, &run->extent.chunk,
				       sizeof(run->extent.chunk)) != 0;
		if (!first)
			continue;
		n_chunks++;
		if (mostly_lost(ip, &run->extent.chunk, from, to))
			return false;
	}
	return n_chunks > 0 && n_chunks < PIECE_CHUNKS_MAX && 2 * fresh <= n;
}

/* NOLINTNEXTLINE(readability-function-size): a piece, its place, the answer */
int in_place_compare(struct in_place *ip, const uint8_t *data, uint32_t n, uint64_t offset,
		     int64_t shift, const struct in_place_run **ret_runs, uint32_t *ret_n)
{
	uint64_t old = 0;
	uint32_t skip = 0, have = n;

	assert(n <= CHUNK_RAW_MAX);
	if (shift < 0 && (uint64_t)-shift > offset) {
		uint64_t before = (uint64_t)-shift - offset;

		if (before >= n)
			return 0;
		skip = (uint32_t)before;
		have = n - skip;
	} else {
		old = offset + (uint64_t)shift;
	}
	if (old >= ip->old_length)
		return 0;
	if (ip->old_length - old < have)
		have = (uint32_t)(ip->old_length - old);
	if (list_stretches(ip, old, old + have) < 0 ||
	    content_read(ip->bytes, old, ip->plain + skip, have) != (int64_t)have)
		return 0;
	ip->n_runs = 0;
	if (cut_runs(ip, data, skip, have, offset, old) < 0 ||
	    add_run(ip, false, skip + have, (struct extent){ .length = n - skip - have }) < 0 ||
	    !runs_within_limits(ip, n, old, old + have))
		return 0;
	*ret_runs = ip->runs;
	*ret_n = ip->n_runs;
	return 1;
}
