/* SPDX-License-Identifier: MIT */
/*
 * Every call through the seam fails once: at each place of init and of a
 * snapshot, with EIO, ENOSPC, or after half of a write. Whatever the call
 * answers, nothing that was acknowledged is lost, the failure is told, and
 * the next attempt works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "snapshots/audit.h"
#include "snapshots/tree_reader.h"
#include "store/base/log.h"
#include "store/scrub.h"
#include "tests/fault/crash_workload.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CALLS_MAX 2000 /* more than a snapshot makes of any kind */

enum call { CALL_OPEN, CALL_PWRITE, CALL_FSYNC, CALL_FSYNC_FOLDER, CALL_RENAME, CALL_MKDIR, CALLS };

static const char *const call_names[CALLS] = { "open for writing",  "pwrite", "fsync",
					       "fsync of a folder", "rename", "mkdir" };

/* ---- a seam that fails once ---- */

struct fault_io {
	struct io io; /* first */
	struct io *under;
	pthread_mutex_t mutex; /* all below */
	enum call call;
	uint64_t countdown; /* fails when it gets to 0 */
	int error;
	bool half; /* a pwrite writes half of it first */
	bool failed;
	int broken_fd;      /* a write or fsync failed on it, or -1 */
	bool fsync_retried; /* which must never happen */
};

static struct fault_io *fault_of(struct io *io)
{
	return (struct fault_io *)io;
}

static struct io *under(struct io *io)
{
	return fault_of(io)->under;
}

/* Is it this call's turn? Returns 0 or the error. */
static int turn(struct io *io, enum call call)
{
	struct fault_io *f = fault_of(io);
	int r = 0;

	(void)pthread_mutex_lock(&f->mutex);
	if (f->call == call && f->countdown > 0 && --f->countdown == 0) {
		f->failed = true;
		r = f->error;
	}
	(void)pthread_mutex_unlock(&f->mutex);
	return r;
}

static int fault_open(struct io *io, const char *path, int flags, enum io_object object)
{
	int r = flags & IO_OPEN_WRITE ? turn(io, CALL_OPEN) : 0;

	return r < 0 ? r : under(io)->ops->open(under(io), path, flags, object);
}

static int fault_close(struct io *io, int fd)
{
	if (fault_of(io)->broken_fd == fd)
		fault_of(io)->broken_fd = -1;
	return under(io)->ops->close(under(io), fd);
}

static int64_t fault_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	return under(io)->ops->pread(under(io), fd, to, n, offset);
}

static int64_t fault_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
			    enum io_object object)
{
	int r = turn(io, CALL_PWRITE);

	if (r < 0 && fault_of(io)->half)
		(void)under(io)->ops->pwrite(under(io), fd, from, n / 2, offset, object);
	if (r < 0)
		return r;
	return under(io)->ops->pwrite(under(io), fd, from, n, offset, object);
}

static int fault_size(struct io *io, int fd, uint64_t *ret_size)
{
	return under(io)->ops->size(under(io), fd, ret_size);
}

static int fault_fsync(struct io *io, int fd, enum io_object object)
{
	struct fault_io *f = fault_of(io);
	int r;

	if (f->broken_fd == fd)
		f->fsync_retried = true;
	r = turn(io, CALL_FSYNC);
	if (r < 0)
		f->broken_fd = fd;
	return r < 0 ? r : under(io)->ops->fsync(under(io), fd, object);
}

static int fault_fsync_folder(struct io *io, const char *path, enum io_object object)
{
	int r = turn(io, CALL_FSYNC_FOLDER);

	return r < 0 ? r : under(io)->ops->fsync_folder(under(io), path, object);
}

static int fault_rename(struct io *io, const char *from, const char *to, bool replace,
			enum io_object object)
{
	int r = turn(io, CALL_RENAME);

	return r < 0 ? r : under(io)->ops->rename(under(io), from, to, replace, object);
}

static int fault_unlink(struct io *io, const char *path, enum io_object object)
{
	return under(io)->ops->unlink(under(io), path, object);
}

static int fault_mkdir(struct io *io, const char *path, enum io_object object)
{
	int r = turn(io, CALL_MKDIR);

	return r < 0 ? r : under(io)->ops->mkdir(under(io), path, object);
}

static int fault_list(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	return under(io)->ops->list(under(io), path, visit, context);
}

static int fault_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	return under(io)->ops->stat(under(io), path, ret_stat);
}

static int fault_lock(struct io *io, int fd, enum io_lock lock, bool wait)
{
	return under(io)->ops->lock(under(io), fd, lock, wait);
}

static void fault_index_committed(struct io *io)
{
	under(io)->ops->index_committed(under(io));
}

static void fault_free(struct io *io)
{
	(void)io; /* lives on the stack of the test */
}

static const struct io_ops fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.size = fault_size,
	.fsync = fault_fsync,
	.fsync_folder = fault_fsync_folder,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.mkdir = fault_mkdir,
	.list = fault_list,
	.stat = fault_stat,
	.lock = fault_lock,
	.index_committed = fault_index_committed,
	.free = fault_free,
};

static void fault_init(struct fault_io *f, struct io *io)
{
	*f = (struct fault_io){ .under = io, .broken_fd = -1 };
	f->io.ops = &fault_ops;
	f->io.real_path = io->real_path;
	(void)pthread_mutex_init(&f->mutex, NULL);
}

/* ---- the repository under test ---- */

struct bench {
	struct workload w; /* sources and keys; its tree is not used */
	char repository[160];
	struct io *io; /* the real one */
	uint32_t version;
	uint64_t n_acknowledged;
};

static unsigned int n_error_lines;

static void count_errors(enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_ERROR)
		(void)__atomic_fetch_add(&n_error_lines, 1, __ATOMIC_RELAXED);
	if (getenv("CRASH_MODEL_LOG"))
		(void)fprintf(stderr, "%s\n", line);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	log_set_sink(count_errors);
	assert_int_equal(crypto_init(), 0);
	b->w.seed = 7;
	private_folder(b->w.folder);
	(void)snprintf(b->w.sources[0], sizeof(b->w.sources[0]), "%.100s/source", b->w.folder);
	(void)snprintf(b->repository, sizeof(b->repository), "%s/repository", b->w.folder);
	assert_int_equal(io_posix_create(b->repository, &b->io), 0);
	assert_int_equal(model_write(&b->w, 0, 0), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	io_free(b->io);
	workload_done(&b->w);
	free(b);
	return 0;
}

static int make_repository(struct bench *b, struct io *io)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	uint8_t binding[32];
	int r;

	store_config_new(&b->w.config);
	store_config_binding(&b->w.config, binding);
	r = key_ring_create(binding, &ring);
	if (r == 0)
		r = store_prepare(io);
	if (r == 0)
		r = key_ring_add_machine(ring, io, b->w.keys[0].machine, "test", NULL);
	if (r == 0)
		r = store_publish(io, &b->w.config);
	if (r == 0)
		b->w.ring = STEAL(ring);
	return r;
}

static int snapshot(struct bench *b, struct io *io)
{
	CLEANUP(store_close_ptr) struct store *store = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *timeline = NULL;
	struct snapshot_info info;
	int r = store_open(io, b->w.ring, STORE_READ_WRITE, &store);

	if (r == 0)
		r = timeline_open(store, store_host(store), &timeline);
	if (r == 0)
		r = workload_capture(&b->w, timeline, 0, &info);
	return r;
}

static void name_damage(void *context, uint64_t seq, const char *path,
			const struct chunk_id *object, const char *what)
{
	(void)context;
	(void)object;
	print_message("snapshot %" PRIu64 ", %s: %s\n", seq, path ? path : "record", what);
}

/* Every snapshot is whole, and there are at least as many as were acknowledged. */
static void assert_whole(struct bench *b)
{
	CLEANUP(store_close_ptr) struct store *store = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *timeline = NULL;
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	const struct audit_options audit = { .damaged = name_damage };
	const struct scrub_options scrub = { .data = true, .percent = 100 };
	struct audit_result audited;
	struct scrub_result scrubbed;
	uint64_t n;

	assert_int_equal(store_open(b->io, b->w.ring, STORE_READ_WRITE, &store), 0);
	assert_int_equal(timeline_open(store, store_host(store), &timeline), 0);
	assert_int_equal(timeline_count(timeline, &n), 0);
	assert_true(n >= b->n_acknowledged);
	b->n_acknowledged = n;
	assert_int_equal(chunk_cache_new(store, MIB(4), 0, &cache), 0);
	assert_int_equal(audit_run(store, cache, &audit, &audited), 0);
	assert_int_equal(audited.errors, 0);
	assert_int_equal(scrub_run(store, &scrub, &scrubbed), 0);
	assert_int_equal(scrubbed.errors, 0);
}

/* The newest snapshot holds what the source holds. */
static void assert_newest_equals_source(struct bench *b)
{
	CLEANUP(store_close_ptr) struct store *store = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *timeline = NULL;
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	CLEANUP(content_reader_free_ptr) struct content_reader *content = NULL;
	struct snapshot_info info;

	assert_int_equal(store_open(b->io, b->w.ring, STORE_READ_WRITE, &store), 0);
	assert_int_equal(timeline_open(store, store_host(store), &timeline), 0);
	assert_int_equal(timeline_latest(timeline, &info), 0);
	assert_int_equal(chunk_cache_new(store, MIB(4), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	assert_int_equal(content_reader_new(cache, &content), 0);
	for (uint32_t i = 0; i < model_count(&b->w, 0, b->version); i++) {
		CLEANUP(free_ptr) uint8_t *bytes = NULL;
		struct tree_entry entry;
		const struct model_file *file = model_file(&b->w, 0, b->version, i);

		bytes = malloc(file->n + 1);
		assert_non_null(bytes);
		assert_int_equal(tree_reader_walk(tree, &info.root_tree, file->path + 1, &entry),
				 0);
		assert_int_equal(content_reader_set(content, &entry.content), 0);
		assert_int_equal(content_read(content, 0, bytes, file->n + 1), file->n);
		assert_true(memcmp(bytes, file->data, file->n) == 0);
	}
}

/* Snapshot after snapshot, each with its n-th call failing, until none fails. */
static void fail_each(struct bench *b, enum call call, int error, bool half)
{
	unsigned int n_silent = 0;
	struct fault_io f;

	for (uint64_t n = 1; n < CALLS_MAX; n++) {
		int r;

		fault_init(&f, b->io);
		f.call = call;
		f.countdown = n;
		f.error = error;
		f.half = half;
		b->version++;
		assert_int_equal(model_write(&b->w, 0, b->version), 0);
		n_error_lines = 0;
		r = snapshot(b, &f.io);
		if (r == 0)
			b->n_acknowledged++;
		if (r < 0 && n_error_lines == 0) {
			print_message("%s %" PRIu64 " failed, and nobody said so\n",
				      call_names[call], n);
			n_silent++;
		}
		if (f.fsync_retried)
			fail_msg("a failed fsync was tried again on its descriptor");
		assert_whole(b);
		if (!f.failed) {
			assert_int_equal(r, 0);
			assert_true(n > 1);
			assert_newest_equals_source(b);
			assert_int_equal(n_silent, 0);
			return;
		}
		assert_int_equal(snapshot(b, b->io), 0);
		b->n_acknowledged++;
		assert_newest_equals_source(b);
	}
	fail_msg("%s: too many calls", call_names[call]);
}

static void begin(struct bench *b)
{
	assert_int_equal(make_repository(b, b->io), 0);
	assert_int_equal(snapshot(b, b->io), 0);
	b->n_acknowledged = 1;
}

static void test_every_call_of_a_snapshot_may_fail_with_eio(void **state)
{
	begin(*state);
	for (int call = 0; call < CALLS; call++)
		if (call != CALL_MKDIR)
			fail_each(*state, (enum call)call, -EIO, false);
}

static void test_every_call_of_a_snapshot_may_fail_with_enospc(void **state)
{
	begin(*state);
	fail_each(*state, CALL_OPEN, -ENOSPC, false);
	fail_each(*state, CALL_PWRITE, -ENOSPC, false);
	fail_each(*state, CALL_RENAME, -ENOSPC, false);
	fail_each(*state, CALL_FSYNC, -ENOSPC, false);
}

static void test_every_write_of_a_snapshot_may_stop_half_way(void **state)
{
	begin(*state);
	fail_each(*state, CALL_PWRITE, -ENOSPC, true);
}

static void test_init_may_fail_anywhere_and_works_the_next_time(void **state)
{
	struct bench *b = *state;
	struct fault_io f;

	for (int call = 0; call < CALLS; call++) {
		for (uint64_t n = 1; n < CALLS_MAX; n++) {
			CLEANUP(io_free_ptr) struct io *io = NULL;
			char path[200];
			int r;

			(void)snprintf(path, sizeof(path), "%.100s/init-%d-%" PRIu64, b->w.folder,
				       call, n);
			assert_int_equal(io_posix_create(path, &io), 0);
			fault_init(&f, io);
			f.call = (enum call)call;
			f.countdown = n;
			f.error = -EIO;
			n_error_lines = 0;
			key_ring_free(STEAL(b->w.ring));
			r = make_repository(b, &f.io);
			if (!f.failed) {
				assert_int_equal(r, 0);
				break;
			}
			assert_true(r == 0 || n_error_lines > 0);
			if (r < 0)
				r = make_repository(b, io);
			/* A config whose name could not be synced is a repository, or none. */
			assert_true(r == 0 || r == -EEXIST);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_call_of_a_snapshot_may_fail_with_eio,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_call_of_a_snapshot_may_fail_with_enospc,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_write_of_a_snapshot_may_stop_half_way,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_init_may_fail_anywhere_and_works_the_next_time,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
