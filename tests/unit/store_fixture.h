/* SPDX-License-Identifier: MIT */
/* A repository in a folder of its own, for the tests of store/. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base/log.h"
#include "store/store_internal.h"
#include "tests/scratch_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char path[64];
	struct io *io;
	struct key_ring *ring;
	struct store *store;
	struct compressor *compressor;
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
};

static inline void quiet_sink(enum log_level level, const char *line)
{
	(void)level;
	if (getenv("TEST_LOG"))
		fprintf(stderr, "log: %s\n", line);
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fixture_open(struct fixture *f, enum store_mode mode)
{
	assert_int_equal(store_open(f->io, f->ring, mode, &f->store), 0);
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX; type++)
		assert_int_equal(store_hasher(f->store, (enum object_type)type, &f->hashers[type]),
				 0);
}

static inline void fixture_close(struct fixture *f)
{
	for (int type = 0; type <= OBJECT_TYPE_MAX; type++)
		id_hasher_free(STEAL(f->hashers[type]));
	store_close(STEAL(f->store));
}

static inline void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f, STORE_READ_WRITE);
}

/* Everything but opening the store. */
static inline struct fixture *fixture_make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_config config;
	uint8_t binding[32];

	assert_non_null(f);
	log_set_sink(quiet_sink);
	assert_int_equal(crypto_init(), 0);
	scratch_folder(f->path);
	assert_int_equal(io_posix_open(f->path, &f->io), 0);
	store_config_new(&config);
	store_config_binding(&config, binding);
	assert_int_equal(key_ring_create(binding, &f->ring), 0);
	assert_int_equal(store_prepare(f->io), 0);
	assert_int_equal(store_publish(f->io, &config), 0);
	assert_int_equal(compressor_new(&f->compressor), 0);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	fixture_close(f);
	compressor_free(f->compressor);
	key_ring_free(f->ring);
	io_free(f->io);
	remove_tree(f->path);
	free(f);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = fixture_make();

	fixture_open(f, STORE_READ_WRITE);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* Contents number `seed`: half of it compresses. */
static inline void fill(uint8_t *to, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		to[i] = i % 64 < 32 ? (uint8_t)x : (uint8_t)seed;
	}
}

/* Bytes that do not compress. */
static inline void fill_noise(uint8_t *to, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		to[i] = (uint8_t)(x >> 32);
	}
}

static inline struct chunk_id id_of(struct fixture *f, enum object_type type, const void *data,
				    size_t n)
{
	struct chunk_id id;

	id_hasher_run(f->hashers[type], data, n, &id);
	return id;
}

static inline struct chunk_id put(struct fixture *f, struct store_writer *w, enum object_type type,
				  const void *data, size_t n)
{
	struct chunk_id id = id_of(f, type, data, n);

	assert_int_equal(store_writer_put(w, f->compressor, type, &id, data, n), 1);
	return id;
}

/* Store one object of n bytes number `seed`, durably. */
static inline struct chunk_id store_one(struct fixture *f, enum object_type type, size_t n,
					uint64_t seed)
{
	CLEANUP(free_ptr) uint8_t *data = malloc(n);
	struct store_writer *w;
	struct chunk_id id;

	assert_non_null(data);
	fill(data, n, seed);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	id = put(f, w, type, data, n);
	assert_int_equal(store_writer_finish(w), 0);
	store_writer_free(w);
	return id;
}

/* Is the object readable, with exactly these contents? Otherwise the error. */
static inline int check_one(struct fixture *f, const struct chunk_id *id, enum object_type type,
			    size_t n, uint64_t seed)
{
	CLEANUP(free_ptr) uint8_t *expected = malloc(n);
	CLEANUP(free_ptr) uint8_t *got = malloc(n);
	struct store_reader *reader;
	int64_t r;

	fill(expected, n, seed);
	assert_int_equal(store_reader_new(f->store, &reader), 0);
	r = store_get(reader, id, type, got, n);
	store_reader_free(reader);
	if (r < 0)
		return (int)r;
	assert_int_equal(r, n);
	assert_memory_equal(got, expected, n);
	return 0;
}

static inline int count_name(void *context, const char *name)
{
	(void)name;
	++*(int *)context;
	return 0;
}

static inline int count_files(struct fixture *f, const char *folder)
{
	int n = 0;

	assert_int_equal(io_list(f->io, folder, count_name, &n), 0);
	return n;
}

/* Absolute path of the only pack (or the last that the listing gives). */
struct any_pack {
	struct pack_info info;
	int n;
};

static inline int visit_any_pack(void *context, uint32_t number, const struct pack_info *info)
{
	struct any_pack *any = context;

	(void)number;
	any->info = *info;
	any->n++;
	return 0;
}

static inline struct any_pack any_pack(struct fixture *f)
{
	struct any_pack any = { 0 };

	assert_int_equal(chunk_index_each_pack(store_index(f->store), visit_any_pack, &any), 0);
	return any;
}

static inline void file_path(struct fixture *f, const char *relative, char to[static 256])
{
	(void)snprintf(to, 256, "%s/%s", f->path, relative);
}

static inline void flip_byte(const char *path, off_t at, uint8_t mask)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

#endif
