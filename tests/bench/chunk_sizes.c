/* SPDX-License-Identifier: MIT */
/*
 * chunk_sizes: what chunk sizes, bundle targets and zstd levels cost and save.
 *
 *	chunk_sizes NAME BASE CHANGED [NAME BASE CHANGED]...
 *
 * Cuts, names, bundles and compresses every file below BASE with the very
 * modules that a snapshot uses, then every file below CHANGED against what BASE
 * left known, and prints a table line for each combination. CHANGED is "-" for
 * none. One thread, no disk writes: CPU seconds here are those of one core.
 * Edits in place are not played here: the growth shown is what chunk sizes
 * alone would give, an upper bound of what a snapshot really adds.
 */
#include "snapshots/bundle.h"
#include "store/base/cleanup.h"
#include "store/base/log.h"
#include "store/chunker.h"
#include "store/compress.h"
#include "store/crypto.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define N_LEVELS 3
#define N_TARGETS 3
#define INDEX_BYTES_PER_CHUNK 94
#define OBJECT_EXTRA_BYTES (OBJECT_HEADER_BYTES + SEAL_TAG_BYTES)
#define SET_SLOTS_FIRST 65536u

static const struct chunker_sizes all_sizes[] = {
	{ KIB(16), KIB(64), KIB(256) },
	{ KIB(32), KIB(128), KIB(512) },
	{ KIB(64), KIB(256), MIB(1) },
};
static const int all_levels[N_LEVELS] = { 1, 2, 3 };
static const size_t all_targets[N_TARGETS] = { KIB(128), KIB(256), KIB(512) };

/* Chunk ids seen so far: open addressing, at most half full. */
struct id_set {
	struct chunk_id *ids;
	uint8_t *used;
	size_t n;
	size_t slots;
};

struct cost {
	uint64_t stored;
	double pack_s;
	double unpack_s;
};

struct tally {
	uint64_t n_chunks;
	struct cost levels[N_LEVELS];
};

struct bench;

/* One bundle target: its own bundler, its own chunks. */
struct bundling {
	struct bench *bench;
	struct bundler *bundler;
	struct tally tally;
};

struct bench {
	struct chunker *chunker;
	struct id_hasher *hasher;
	struct compressor *compressor;
	uint8_t *packed;
	size_t packed_room;
	uint8_t *unpacked;
	struct id_set known;
	struct tally chunks; /* of files that are not small */
	struct bundling bundlings[N_TARGETS];
	uint64_t raw_bytes;
	uint64_t n_files;
	double cut_s; /* cutting and naming */
};

static double cpu_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t id_set_slot(const struct id_set *s, const struct chunk_id *id)
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, id->bytes, sizeof(hash));
	at = hash & (s->slots - 1);
	while (s->used[at] && memcmp(&s->ids[at], id, sizeof(*id)) != 0)
		at = (at + 1) & (s->slots - 1);
	return at;
}

static void id_set_done(struct id_set *s)
{
	free(s->ids);
	free(s->used);
	*s = (struct id_set){ 0 };
}

static int id_set_grow(struct id_set *s)
{
	struct id_set larger = { .n = s->n, .slots = s->slots ? s->slots * 2 : SET_SLOTS_FIRST };

	larger.ids = calloc(larger.slots, sizeof(*larger.ids));
	larger.used = calloc(larger.slots, 1);
	if (!larger.ids || !larger.used) {
		id_set_done(&larger);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->slots; i++) {
		if (s->used[i]) {
			const size_t at = id_set_slot(&larger, &s->ids[i]);

			larger.ids[at] = s->ids[i];
			larger.used[at] = 1;
		}
	}
	id_set_done(s);
	*s = larger;
	return 0;
}

/* Returns 1 when the id is new and now known, 0 when it was known, or -ENOMEM. */
static int id_set_add(struct id_set *s, const struct chunk_id *id)
{
	size_t at;
	int r;

	if (s->n * 2 >= s->slots) {
		r = id_set_grow(s);
		if (r < 0)
			return r;
	}
	at = id_set_slot(s, id);
	if (s->used[at])
		return 0;
	s->ids[at] = *id;
	s->used[at] = 1;
	s->n++;
	return 1;
}

/* Compress and decompress one chunk at every level. */
static int measure_chunk(struct bench *b, struct tally *t, const uint8_t *data, size_t n)
{
	t->n_chunks++;
	for (size_t i = 0; i < N_LEVELS; i++) {
		struct cost *c = &t->levels[i];
		double from = cpu_s();
		const int64_t packed = compressor_pack(b->compressor, all_levels[i], data, n,
						       b->packed, b->packed_room);
		int r;

		if (packed < 0)
			return (int)packed;
		c->pack_s += cpu_s() - from;
		c->stored += (packed ? (uint64_t)packed : n) + OBJECT_EXTRA_BYTES;
		if (packed == 0)
			continue;
		from = cpu_s();
		r = compressor_unpack(b->compressor, b->packed, (size_t)packed, b->unpacked, n);
		if (r < 0)
			return r;
		c->unpack_s += cpu_s() - from;
		if (memcmp(b->unpacked, data, n) != 0)
			return -EBADMSG;
	}
	return 0;
}

/* A full bundle: what the sealers of a snapshot would do, here at once. */
static int seal_bundle(void *context, struct bundle *bundle)
{
	struct bundling *bundling = context;
	struct chunk_id id;
	size_t n;
	const uint8_t *data = bundle_data(bundle, &n);
	int r;

	id_hasher_run(bundling->bench->hasher, data, n, &id);
	r = measure_chunk(bundling->bench, &bundling->tally, data, n);
	bundle_sealed(bundle, r, &id);
	bundle_unref(bundle);
	return r;
}

static int add_small(struct bench *b, const uint8_t *data, size_t n)
{
	const double from = cpu_s();
	struct chunk_id id;

	id_hasher_run(b->hasher, data, n, &id);
	b->cut_s += cpu_s() - from;
	for (size_t i = 0; i < N_TARGETS; i++) {
		struct bundler *bundler = b->bundlings[i].bundler;
		struct bundle_place place = { 0 };

		if (!bundler_find(bundler, &id, &place)) {
			int r = bundler_add(bundler, &id, data, n, &place);

			if (r < 0)
				return r;
		}
		bundle_unref(place.bundle);
	}
	return 0;
}

static int add_chunks(struct bench *b, const uint8_t *data, size_t n)
{
	while (n > 0) {
		const double from = cpu_s();
		const size_t length = chunker_next(b->chunker, data, n, true);
		struct chunk_id id;
		int r;

		id_hasher_run(b->hasher, data, length, &id);
		b->cut_s += cpu_s() - from;
		r = id_set_add(&b->known, &id);
		if (r > 0)
			r = measure_chunk(b, &b->chunks, data, length);
		if (r < 0)
			return r;
		data += length;
		n -= length;
	}
	return 0;
}

static int add_file(struct bench *b, const char *path)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *data;
	size_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_errno(-errno, "%s: cannot open", path);
	if (st.st_size == 0)
		return 0;
	n = (size_t)st.st_size;
	data = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		return log_errno(-errno, "%s: cannot map", path);
	b->n_files++;
	b->raw_bytes += n;
	r = n < chunker_sizes(b->chunker).min ? add_small(b, data, n) : add_chunks(b, data, n);
	(void)munmap(data, n);
	return r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Every regular file below `path`, in directory order. */
static int add_tree(struct bench *b, const char *path)
{
	char *roots[] = { (char *)path, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	FTSENT *e;
	int r = 0;

	if (!walk)
		return log_errno(-errno, "%s: cannot walk", path);
	while (r == 0 && (e = fts_read(walk))) {
		if (e->fts_info == FTS_F && S_ISREG(e->fts_statp->st_mode))
			r = add_file(b, e->fts_path);
		else if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS)
			r = log_errno(-e->fts_errno, "%s: cannot read", e->fts_path);
	}
	(void)fts_close(walk);
	for (size_t i = 0; r == 0 && i < N_TARGETS; i++)
		r = bundler_close(b->bundlings[i].bundler);
	return r;
}

static void bench_done(struct bench *b)
{
	for (size_t i = 0; i < N_TARGETS; i++)
		bundler_free(b->bundlings[i].bundler);
	chunker_free(b->chunker);
	id_hasher_free(b->hasher);
	compressor_free(b->compressor);
	free(b->packed);
	free(b->unpacked);
	id_set_done(&b->known);
}

static int bench_init(struct bench *b, struct chunker_sizes sizes)
{
	static const uint8_t key[KEY_BYTES] = { 1 };
	int r;

	*b = (struct bench){ .packed_room = compressor_bound(CHUNK_RAW_MAX) };
	b->packed = malloc(b->packed_room);
	b->unpacked = malloc(CHUNK_RAW_MAX);
	if (!b->packed || !b->unpacked)
		return -ENOMEM;
	r = chunker_new(key, sizes, &b->chunker);
	if (r == 0)
		r = id_hasher_new(crypto_faster_hash(), key, &b->hasher);
	if (r == 0)
		r = compressor_new(&b->compressor);
	for (size_t i = 0; r == 0 && i < N_TARGETS; i++) {
		b->bundlings[i].bench = b;
		r = bundler_new(all_targets[i], seal_bundle, &b->bundlings[i],
				&b->bundlings[i].bundler);
	}
	return r;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / MIB(1);
}

/* One line: a bundle target and a level, before and after the changed version was added. */
static void print_line(const char *name, const struct bench *before, const struct bench *after,
		       size_t target, size_t level)
{
	const struct chunker_sizes sizes = chunker_sizes(before->chunker);
	const struct tally *big = &before->chunks;
	const struct tally *small = &before->bundlings[target].tally;
	const struct tally *small_after = &after->bundlings[target].tally;
	const uint64_t n = big->n_chunks + small->n_chunks;
	const uint64_t stored = big->levels[level].stored + small->levels[level].stored;
	const uint64_t stored_after =
		after->chunks.levels[level].stored + small_after->levels[level].stored;
	const double unpack_s = big->levels[level].unpack_s + small->levels[level].unpack_s;

	printf("%-5s %4u/%3u/%4u  %6zu  %4d  %7" PRIu64 "  %5.2f  %7.1f  %6.1f  %5.2f  %5.2f  "
	       "%5.2f  %6.0f\n",
	       name, sizes.min / 1024, sizes.avg / 1024, sizes.max / 1024,
	       all_targets[target] / 1024, all_levels[level], n, mib(n * INDEX_BYTES_PER_CHUNK),
	       mib(stored), mib(stored_after - stored), before->cut_s,
	       big->levels[level].pack_s + small->levels[level].pack_s, unpack_s,
	       n ? unpack_s / (double)n * 1e6 : 0.0);
}

static int measure(const char *name, const char *base, const char *changed,
		   struct chunker_sizes sizes)
{
	struct bench b;
	struct bench before;
	int r = bench_init(&b, sizes);

	if (r == 0)
		r = add_tree(&b, base);
	before = b; /* for its figures; what it points at still belongs to b */
	if (r == 0 && strcmp(changed, "-") != 0)
		r = add_tree(&b, changed);
	for (size_t target = 0; r == 0 && target < N_TARGETS; target++) {
		const bool bundled = before.bundlings[target].tally.n_chunks > 0;

		/* Without small files the bundle target says nothing: one line is enough. */
		if (!bundled && target > 0)
			break;
		for (size_t level = 0; level < N_LEVELS; level++)
			print_line(name, &before, &b, target, level);
	}
	(void)fflush(stdout);
	bench_done(&b);
	return r;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 4 || (argc - 1) % 3 != 0) {
		fputs("usage: chunk_sizes NAME BASE CHANGED [NAME BASE CHANGED]...\n", stderr);
		return 2;
	}
	r = crypto_init();
	printf("corpus min/avg/max   bundle  zstd   chunks  index   stored  change    cut   pack  "
	       "unpack  a chunk\n"
	       "               KiB      KiB level      n     MiB      MiB     MiB  CPU s  CPU s  "
	       " CPU s  us\n");
	for (int i = 1; r == 0 && i < argc; i += 3) {
		for (size_t s = 0; r == 0 && s < sizeof(all_sizes) / sizeof(all_sizes[0]); s++)
			r = measure(argv[i], argv[i + 1], argv[i + 2], all_sizes[s]);
	}
	return r < 0 ? 1 : 0;
}
