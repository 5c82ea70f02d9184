/* SPDX-License-Identifier: MIT */
/*
 * A small real repository, made by a capture, of which one byte at a time is
 * changed, or a file is cut short: whatever is then read is right, or an error.
 * The program's whole path: keys, config, index (made anew), timeline, every
 * file; and the checks, which must notice what the readers need not.
 */
#include "snapshots/audit.h"
#include "snapshots/capture.h"
#include "snapshots/tree_walk.h"
#include "store/base/log.h"
#include "store/scrub.h"
#include "tests/scratch_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES 5
#define FLIPS_MAX 500 /* of all files together: half a minute under sanitizers */
#define BYTES_MAX 40000

struct victim {
	char path[160]; /* in the repository */
	uint8_t *data;
	size_t n;
};

struct world {
	char folder[48], source[64], repository[64];
	uint8_t machine[KEY_BYTES];
	uint8_t content[FILES][BYTES_MAX];
	size_t sizes[FILES];
	struct victim victims[32];
	size_t n_victims;
};

static struct world *world; /* for nftw */

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- making it ---- */

static void write_file(const char *path, const void *data, size_t n)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	(void)close(fd);
}

static void make_source(struct world *w)
{
	static const size_t sizes[FILES] = { 0, 1, 700, 5000, BYTES_MAX };
	uint64_t x = 7;

	assert_int_equal(mkdir(w->source, 0700), 0);
	for (int i = 0; i < FILES; i++) {
		char path[96];

		w->sizes[i] = sizes[i];
		for (size_t at = 0; at < sizes[i]; at++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			/* Half of it compresses. */
			w->content[i][at] = at % 32 < 16 ? (uint8_t)(x >> 56) : (uint8_t)i;
		}
		(void)snprintf(path, sizeof(path), "%s/%d", w->source, i);
		write_file(path, w->content[i], sizes[i]);
	}
}

static void make_repository(struct world *w)
{
	const struct capture_source source = { .path = w->source };
	const struct capture_options options = { .sources = &source,
						 .n_sources = 1,
						 .reason = "manual" };
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	CLEANUP(store_close_ptr) struct store *s = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	char name[SLOT_NAME_BYTES + 1];
	struct capture_result result;
	struct store_config config;
	uint8_t binding[32];

	crypto_random(w->machine, sizeof(w->machine));
	assert_int_equal(io_posix_create(w->repository, &io), 0);
	store_config_new(&config);
	store_config_binding(&config, binding);
	assert_int_equal(key_ring_create(binding, &ring), 0);
	assert_int_equal(store_prepare(io), 0);
	assert_int_equal(key_ring_add_machine(ring, io, w->machine, "test", name), 0);
	assert_int_equal(store_publish(io, &config), 0);
	assert_int_equal(store_open(io, ring, STORE_READ_WRITE, &s), 0);
	assert_int_equal(timeline_open(s, store_host(s), &t), 0);
	assert_int_equal(capture_run(t, &options, &result), 0);
	assert_int_equal(result.errors, 0);
}

/* Everything that a replica would hold. */
static int find_victim(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *relative = path + strlen(world->repository) + 1;
	struct victim *v;
	int fd;

	(void)ftw;
	if (type != FTW_F || strncmp(relative, "index/", 6) == 0 ||
	    strncmp(relative, "local/", 6) == 0 || strncmp(relative, "tmp/", 4) == 0)
		return 0;
	assert_true(world->n_victims < sizeof(world->victims) / sizeof(world->victims[0]));
	v = &world->victims[world->n_victims++];
	(void)snprintf(v->path, sizeof(v->path), "%s", relative);
	v->n = (size_t)st->st_size;
	v->data = malloc(v->n);
	assert_non_null(v->data);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, v->data, v->n), v->n);
	(void)close(fd);
	return 0;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	log_set_sink(quiet);
	assert_int_equal(crypto_init(), 0);
	scratch_folder(w->folder);
	(void)snprintf(w->source, sizeof(w->source), "%s/source", w->folder);
	(void)snprintf(w->repository, sizeof(w->repository), "%s/repo", w->folder);
	make_source(w);
	make_repository(w);
	world = w;
	assert_int_equal(nftw(w->repository, find_victim, 16, FTW_PHYS), 0);
	assert_int_equal(w->n_victims, 4); /* config, slot, pack, record */
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->n_victims; i++)
		free(w->victims[i].data);
	remove_tree(w->folder);
	free(w);
	return 0;
}

/* ---- reading it ---- */

struct seen {
	struct world *w;
	struct content_reader *reader;
	unsigned int right, failed;
};

static int look(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	static uint8_t bytes[BYTES_MAX + 1];
	struct seen *seen = context;
	const size_t n = strlen(seen->w->source);
	int64_t got = 0;
	int i;

	(void)depth;
	if (!S_ISREG(e->mode))
		return 0;
	/* A name that was not there would be wrong bytes, too. */
	assert_int_equal(strncmp(path, seen->w->source + 1, n - 1), 0);
	i = path[n] - '0';
	assert_true(i >= 0 && i < FILES);
	assert_int_equal(path[n + 1], 0);
	assert_int_equal(e->size, seen->w->sizes[i]);
	if (content_reader_set(seen->reader, &e->content) < 0 ||
	    (got = content_read(seen->reader, 0, bytes, sizeof(bytes))) < 0) {
		seen->failed++;
		return 0;
	}
	assert_int_equal(got, seen->w->sizes[i]);
	assert_memory_equal(bytes, seen->w->content[i], (size_t)got);
	seen->right++;
	return 0;
}

static int look_past(void *context, const char *path, int error, uint64_t lost)
{
	(void)path;
	(void)error;
	(void)lost;
	((struct seen *)context)->failed++;
	return 0;
}

/* Read everything and check it. Returns 0, or 1 when something was noticed. */
static int read_opened(struct world *w, struct store *s)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	CLEANUP(content_reader_free_ptr) struct content_reader *reader = NULL;
	struct tree_entry root = { .name = "", .mode = S_IFDIR | 0755, .nlink = 2 };
	struct seen seen = { .w = w };
	struct scrub_result scrubbed = { 0 };
	struct audit_result audited = { 0 };
	struct snapshot_info info;

	if (timeline_open(s, store_host(s), &t) < 0 || timeline_latest(t, &info) < 0)
		return 1;
	assert_int_equal(chunk_cache_new(s, MIB(4), 0, &cache), 0);
	assert_int_equal(content_reader_new(cache, &reader), 0);
	seen.reader = reader;
	root.tree = info.root_tree;
	if (tree_walk(cache, &root, look, look_past, &seen) < 0)
		seen.failed++;
	assert_true(seen.right == FILES || seen.failed > 0);
	assert_int_equal(scrub_run(s, &(struct scrub_options){ .data = true }, &scrubbed), 0);
	assert_int_equal(audit_run(s, cache, &(struct audit_options){ 0 }, &audited), 0);
	/* Readers never fail where the scrub sees nothing, unless the pack is not even listed. */
	assert_true(seen.failed == 0 || scrubbed.errors > 0 || scrubbed.packs == 0);
	return seen.failed > 0 || scrubbed.errors > 0 || audited.errors > 0;
}

static int read_repository(struct world *w)
{
	const struct unlock unlock = { .machine_key = w->machine };
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	CLEANUP(store_close_ptr) struct store *s = NULL;
	struct store_config config;
	uint8_t binding[32];

	assert_int_equal(io_posix_open(w->repository, &io), 0);
	if (store_config_read(io, &config) < 0)
		return 1;
	store_config_binding(&config, binding);
	if (key_ring_open(io, binding, &unlock, &ring) < 0)
		return 1;
	if (store_open(io, ring, STORE_READ_WRITE, &s) < 0)
		return 1;
	return read_opened(w, s);
}

static void lose_index(const struct world *w)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/index", w->repository);
	remove_tree(path);
}

/*
 * Write a victim's file as `data`, read all, and put it back. With `known` the
 * index was made while all was well; otherwise it is made of what is there now.
 */
static int read_damaged(struct world *w, const struct victim *v, const uint8_t *data, size_t n,
			bool known)
{
	char path[256];
	int r;

	lose_index(w);
	if (known)
		assert_int_equal(read_repository(w), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", w->repository, v->path);
	write_file(path, data, n);
	r = read_repository(w);
	write_file(path, v->data, v->n);
	return r;
}

static size_t stride(const struct world *w)
{
	size_t all = 0;

	for (size_t i = 0; i < w->n_victims; i++)
		all += w->victims[i].n;
	/* Odd, so that every offset within a word is met. */
	return all / FLIPS_MAX | 1;
}

static void test_nothing_is_noticed_when_nothing_is_damaged(void **state)
{
	struct world *w = *state;

	assert_int_equal(read_repository(w), 0);
	assert_int_equal(read_damaged(w, &w->victims[0], w->victims[0].data, w->victims[0].n, true),
			 0);
}

static void test_a_changed_byte_is_noticed(void **state)
{
	struct world *w = *state;
	const size_t step = stride(w);
	unsigned int tried = 0;

	for (size_t i = 0; i < w->n_victims; i++) {
		const struct victim *v = &w->victims[i];
		CLEANUP(free_ptr) uint8_t *damaged = malloc(v->n);

		assert_non_null(damaged);
		memcpy(damaged, v->data, v->n);
		for (size_t at = i; at < v->n; at += step, tried++) {
			int r;

			damaged[at] ^= (uint8_t)(1u << at % 8);
			r = read_damaged(w, v, damaged, v->n, tried % 2 == 0);
			damaged[at] = v->data[at];
			if (r == 0)
				fail_msg("%s: byte %zu changed, nobody noticed", v->path, at);
		}
	}
	lose_index(w);
	assert_int_equal(read_repository(w), 0);
}

static void test_a_cut_is_noticed(void **state)
{
	struct world *w = *state;
	const size_t step = 8 * stride(w) | 1;
	unsigned int tried = 0;

	for (size_t i = 0; i < w->n_victims; i++) {
		const struct victim *v = &w->victims[i];

		for (size_t left = v->n; left > 0; left -= left > step ? step : left, tried++)
			if (read_damaged(w, v, v->data, left - 1, tried % 2 == 0) == 0)
				fail_msg("%s: cut to %zu bytes, nobody noticed", v->path, left - 1);
	}
	lose_index(w);
	assert_int_equal(read_repository(w), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_noticed_when_nothing_is_damaged),
		cmocka_unit_test(test_a_changed_byte_is_noticed),
		cmocka_unit_test(test_a_cut_is_noticed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
