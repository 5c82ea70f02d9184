/* SPDX-License-Identifier: MIT */
/*
 * Opening, closing and resetting the index. Who is in is told by flock on
 * index/users: shared while open, exclusive while the first one verifies, and
 * an exclusive try at the end tells the last one, who marks the end clean.
 */
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLEAN_BYTES 32 /* size, mtime and hash of the first pages of data.mdb, checksum */
#define META_PAGES 2   /* where LMDB keeps what it trusts first: roots, counts, flags */

static int data_stat(const char *folder, struct stat *ret_stat)
{
	CLEANUP(free_ptr) char *path = NULL;

	if (asprintf(&path, "%s/data.mdb", folder) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return lstat(path, ret_stat) < 0 ? -errno : 0;
}

/* Hash of the meta pages (LMDB's pages are the machine's), or of all of a shorter file. */
static int meta_hash(const struct chunk_index *x, uint64_t *ret_hash)
{
	CLEANUP(free_ptr) char *path = NULL;
	CLEANUP(free_ptr) uint8_t *pages = NULL;
	CLEANUP(close_fd_ptr) int fd = -1;
	size_t n = META_PAGES * (size_t)sysconf(_SC_PAGESIZE);
	ssize_t got;

	if (asprintf(&path, "%s/data.mdb", x->folder) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	pages = malloc(n);
	if (!pages)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = pread(fd, pages, n, 0);
	if (got < 0)
		return -errno;
	*ret_hash = crypto_short_hash(x->sum_key, pages, (size_t)got);
	return 0;
}

static int remove_real(const char *folder, const char *name)
{
	CLEANUP(free_ptr) char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What index/clean must say for the database as it lies there. */
static int clean_bytes(const struct chunk_index *x, uint8_t to[static CLEAN_BYTES])
{
	struct byte_buf b = { 0 };
	uint64_t hash = 0;
	struct stat st;
	int r = data_stat(x->folder, &st);

	if (r == 0)
		r = meta_hash(x, &hash);
	if (r < 0)
		return r;
	byte_buf_u64(&b, (uint64_t)st.st_size);
	byte_buf_u64(&b, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
	byte_buf_u64(&b, hash);
	if (!b.failed)
		byte_buf_u64(&b, crypto_short_hash(x->sum_key, b.data, b.n));
	if (!b.failed)
		memcpy(to, b.data, CLEAN_BYTES);
	r = b.failed ? -ENOMEM : 0;
	byte_buf_done(&b);
	return r;
}

static bool ended_clean(const struct chunk_index *x)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	uint8_t expected[CLEAN_BYTES];
	size_t n;

	return io_read_file(x->io, "index/clean", CLEAN_BYTES, &data, &n) == 0 &&
	       n == CLEAN_BYTES && clean_bytes(x, expected) == 0 &&
	       memcmp(data, expected, CLEAN_BYTES) == 0;
}

/* A folder that cannot be written is an answer: the caller has another way then. */
static int say_enter_failure(const struct chunk_index *x, int r, const char *name)
{
	if (r == -EROFS || r == -EACCES || r == -EPERM)
		return r;
	return log_errno(r, "index: cannot open %s%s", x->folder, name);
}

/* Returns 1 as the first user, who holds the lock exclusively; 0 beside others. */
static int enter(struct chunk_index *x)
{
	int r;

	r = io_mkdir(x->io, "index", IO_OBJECT_FOLDER);
	if (r < 0)
		return say_enter_failure(x, r, "");
	/* The seam's folder may be in memory; LMDB's is always real. */
	if (mkdir(x->folder, 0700) < 0 && errno != EEXIST)
		return say_enter_failure(x, -errno, "");
	x->users_fd =
		io_open(x->io, "index/users", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_INDEX);
	if (x->users_fd < 0)
		return say_enter_failure(x, x->users_fd, "/users");
	r = io_lock(x->io, x->users_fd, IO_LOCK_EXCLUSIVE, false);
	if (r == 0)
		return 1;
	if (r != -EWOULDBLOCK)
		return r;
	return io_lock(x->io, x->users_fd, IO_LOCK_SHARED, true);
}

static void assert_failed(MDB_env *env, const char *message)
{
	(void)env;
	log_debug("index: LMDB says: %s", message);
	index_guard_give_up();
	log_error("index: the database is damaged (%s); 'yore repair' rebuilds it", message);
}

static int open_env(struct chunk_index *x)
{
	unsigned int flags = MDB_NOTLS | MDB_NORDAHEAD;
	int rc = mdb_env_create(&x->env);

	if (x->without_locks)
		flags |= MDB_RDONLY | MDB_NOLOCK;
	if (rc == 0)
		rc = mdb_env_set_assert(x->env, assert_failed);
	if (rc == 0)
		rc = mdb_env_set_mapsize(x->env, INDEX_MAP_BYTES);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(x->env, DB_COUNT + 1);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(x->env, INDEX_READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(x->env, x->folder, flags, 0600);
	return index_error(rc);
}

static int create_tables(struct chunk_index *x)
{
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	for (int db = 0; db < DB_COUNT && r == 0; db++)
		r = index_error(mdb_dbi_open(txn, index_db_names[db], MDB_CREATE, &x->dbs[db]));
	if (r == 0)
		r = index_meta_put(x, txn, "format", INDEX_FORMAT);
	if (r == 0)
		r = index_meta_put(x, txn, "next_pack", 1);
	return index_write_end(x, txn, r);
}

/* Returns 0; 1 when it was never filled; -EUCLEAN. */
static int open_tables(struct chunk_index *x)
{
	uint32_t format, filled;
	MDB_txn *txn;
	int r = index_error(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn));

	if (r < 0)
		return r;
	for (int db = 0; db < DB_COUNT && r == 0; db++)
		r = index_error(mdb_dbi_open(txn, index_db_names[db], 0, &x->dbs[db]));
	if (r == 0)
		r = index_meta_get(x, txn, "format", &format);
	if (r == 0 && format != INDEX_FORMAT)
		r = -EUCLEAN;
	if (r == 0) {
		r = index_meta_get(x, txn, "filled", &filled);
		r = r == -ENOENT ? 1 : r;
	} else if (r == -ENOENT) {
		r = -EUCLEAN;
	}
	/* Handles outlive a read transaction only if it is committed. */
	if (r < 0) {
		mdb_txn_abort(txn);
		return r;
	}
	(void)mdb_txn_commit(txn);
	return r;
}

/* Verify what an unclean end left, before LMDB maps it into this process. */
static int verify(struct chunk_index *x)
{
	int r;

	if (ended_clean(x))
		return 0;
	x->dirty = !x->without_locks; /* an orderly close of ours is worth marking */
	r = index_check(x->folder, x->sum_key);
	if (r == -EUCLEAN)
		log_warning("index: %s is damaged or incomplete", x->folder);
	return r;
}

/* Tables of a database that was not made just now, or of a fresh one. */
static int open_guarded(struct chunk_index *x, bool fresh)
{
	int r;

	index_guard_start();
	index_guard_enter(x);
	r = open_env(x);
	if (r == 0)
		r = fresh ? create_tables(x) : open_tables(x);
	index_guard_leave();
	return r == 0 && fresh ? 1 : r;
}

/* `first`: no other process has it open. Returns like chunk_index_open. */
static int open_database(struct chunk_index *x, bool first)
{
	struct stat st;
	int r = data_stat(x->folder, &st);
	bool fresh = r == -ENOENT || (r == 0 && st.st_size == 0);

	if (r < 0 && r != -ENOENT)
		return r;
	if (fresh && (!first || x->without_locks))
		return -EUCLEAN;
	if (!fresh && first) {
		r = verify(x);
		if (r < 0)
			return r;
	}
	return open_guarded(x, fresh);
}

static int open_writable(struct chunk_index *x)
{
	int first = enter(x);
	int answer, r;

	if (first < 0)
		return first;
	answer = open_database(x, first == 1);
	if (answer < 0)
		return answer;
	if (first == 1) {
		r = io_lock(x->io, x->users_fd, IO_LOCK_SHARED, true);
		if (r < 0)
			return r;
	}
	chunk_index_clear_dead_readers(x);
	return answer;
}

/* A handle that is not open. `checksum_key` may be NULL where nothing is read. */
static int index_new(struct io *io, const uint8_t *checksum_key, struct chunk_index **ret_index)
{
	CLEANUP(chunk_index_close_ptr) struct chunk_index *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	/* Until it is open, nothing about the end is to be marked. */
	atomic_init(&x->damaged, true);
	atomic_init(&x->told, false);
	lock_init(&x->lock, LOCK_RANK_INDEX);
	x->io = io;
	x->users_fd = -1;
	if (checksum_key)
		memcpy(x->sum_key, checksum_key, sizeof(x->sum_key));
	if (asprintf(&x->folder, "%s/index", io_real_path(io)) < 0) {
		x->folder = NULL;
		return -ENOMEM;
	}
	if (asprintf(&x->clean_path, "%s/clean", x->folder) < 0) {
		x->clean_path = NULL;
		return -ENOMEM;
	}
	*ret_index = STEAL(x);
	return 0;
}

int chunk_index_open(struct io *io, const uint8_t checksum_key[static 16], enum index_open mode,
		     struct chunk_index **ret_index)
{
	CLEANUP(chunk_index_close_ptr) struct chunk_index *x = NULL;
	int r = index_new(io, checksum_key, &x);

	if (r < 0)
		return r;
	x->without_locks = mode == INDEX_READ_ONLY;
	r = x->without_locks ? open_database(x, true) : open_writable(x);
	if (r == 1 && x->without_locks)
		r = -EUCLEAN;
	if (r < 0)
		return r;
	atomic_store(&x->damaged, atomic_load(&x->told));
	*ret_index = STEAL(x);
	return r;
}

int chunk_index_filled(struct chunk_index *x)
{
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	return index_write_end(x, txn, index_meta_put(x, txn, "filled", 1));
}

static void mark_clean(struct chunk_index *x)
{
	uint8_t bytes[CLEAN_BYTES];

	if (clean_bytes(x, bytes) == 0)
		(void)io_write_file(x->io, "index/clean", bytes, sizeof(bytes), true,
				    IO_OBJECT_INDEX);
}

void chunk_index_close(struct chunk_index *x)
{
	bool last;

	if (!x)
		return;
	for (size_t i = 0; i < x->n_pool; i++)
		mdb_txn_abort(x->pool[i]);
	if (x->env)
		mdb_env_close(x->env);
	/* While this is held exclusively nobody else comes in. */
	last = x->users_fd >= 0 && x->dirty && !atomic_load(&x->damaged) &&
	       io_lock(x->io, x->users_fd, IO_LOCK_EXCLUSIVE, false) == 0;
	if (last)
		mark_clean(x);
	io_close(x->io, x->users_fd);
	lock_done(&x->lock);
	free(x->folder);
	free(x->clean_path);
	free(x);
}

int chunk_index_reset(struct io *io)
{
	CLEANUP(chunk_index_close_ptr) struct chunk_index *x = NULL;
	int r = index_new(io, NULL, &x);

	if (r == 0)
		r = enter(x);
	if (r < 0)
		return r;
	if (r == 0)
		return -EBUSY;
	r = io_unlink(io, "index/clean", IO_OBJECT_INDEX);
	if (r == 0 || r == -ENOENT)
		r = remove_real(x->folder, "data.mdb");
	if (r == 0)
		r = remove_real(x->folder, "lock.mdb");
	if (r == 0)
		r = io_fsync_folder(io, "index", IO_OBJECT_INDEX);
	if (r < 0)
		return log_errno(r, "index: cannot remove the files in %s", x->folder);
	return 0;
}

int chunk_index_verify(struct io *io, const uint8_t checksum_key[static 16])
{
	CLEANUP(chunk_index_close_ptr) struct chunk_index *x = NULL;
	struct stat st;
	int first;
	int r = index_new(io, checksum_key, &x);

	if (r < 0)
		return r;
	r = data_stat(x->folder, &st);
	if (r == -ENOENT || (r == 0 && st.st_size == 0))
		return 0;
	first = r < 0 ? r : enter(x);
	if (first == -EROFS || first == -EACCES || first == -EPERM) {
		x->without_locks = true;
		first = 1;
	}
	if (first < 0)
		return first;
	if (first == 1 && !ended_clean(x))
		return 0;
	r = first == 1 ? index_check(x->folder, x->sum_key)
		       : index_check_beside(x->folder, x->sum_key);
	if (r == -EUCLEAN)
		index_distrust(x, "found by a walk over all of it");
	return r;
}
