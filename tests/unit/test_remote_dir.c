/* SPDX-License-Identifier: MIT */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

static char folder[64];
static char root[80];

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

static int start(void **state)
{
	(void)state;
	log_set_sink(quiet);
	if (crypto_init() < 0)
		return -1;
	(void)snprintf(folder, sizeof(folder), "/tmp/yore-remote-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(root, sizeof(root), "%s/disk", folder);
	return mkdir(root, 0700);
}

static int stop(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
	static char path[400];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static int stat_of(const char *name, struct stat *ret_stat)
{
	return lstat(path_of(name), ret_stat);
}

static bool there(const char *name)
{
	struct stat st;

	return stat_of(name, &st) == 0;
}

static void write_plain(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct remote_body body_of(const char *text)
{
	struct remote_body body = { .data = text, .size = strlen(text) };

	sha256_of(text, strlen(text), body.sha256);
	return body;
}

static int put(struct remote *r, const char *name, const char *text)
{
	const struct remote_body body = body_of(text);

	return remote_put(r, name, &body, NULL);
}

static int count_name(void *context, const char *name)
{
	(void)name;
	++*(int *)context;
	return 0;
}

/* Uploads that were left over. */
static int n_unfinished(void)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int n = 0, r;

	assert_int_equal(io_posix_open(root, &io), 0);
	r = io_list(io, "tmp", count_name, &n);
	assert_true(r == 0 || r == -ENOENT);
	return n;
}

static struct remote *open_dir(bool known)
{
	struct remote *r = NULL;

	assert_int_equal(remote_dir_new(root, known, &r), 0);
	return r;
}

/* ---- a seam in which one step fails ---- */

struct faulty {
	struct io io;
	struct io *inner;
	int fail_at; /* number of the changing call that fails; 0: none */
	int error;
	int n_changes;
	int n_renames;
	enum { ANY, FOLDER_SYNC } only;
	const char *appears; /* before the first rename somebody else puts this object */
};

static struct faulty *faulty_of(struct io *io)
{
	return (struct faulty *)io;
}

static bool fails(struct io *io, bool is_folder_sync)
{
	struct faulty *f = faulty_of(io);

	if (f->only == FOLDER_SYNC && !is_folder_sync)
		return false;
	return ++f->n_changes == f->fail_at;
}

static int faulty_open(struct io *io, const char *path, int flags, enum io_object object)
{
	if ((flags & IO_OPEN_CREATE) && fails(io, false))
		return faulty_of(io)->error;
	return io_open(faulty_of(io)->inner, path, flags, object);
}

static int faulty_close(struct io *io, int fd)
{
	io_close(faulty_of(io)->inner, fd);
	return 0;
}

static int64_t faulty_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	return io_pread(faulty_of(io)->inner, fd, to, n, offset);
}

static int64_t faulty_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
			     enum io_object object)
{
	int r;

	if (fails(io, false)) {
		/* Half of it arrives, as on a full disk. */
		r = io_pwrite(faulty_of(io)->inner, fd, from, n / 2, offset, object);
		return r < 0 ? r : faulty_of(io)->error;
	}
	r = io_pwrite(faulty_of(io)->inner, fd, from, n, offset, object);
	return r < 0 ? r : (int64_t)n;
}

static int faulty_size(struct io *io, int fd, uint64_t *ret_size)
{
	return io_size(faulty_of(io)->inner, fd, ret_size);
}

static int faulty_fsync(struct io *io, int fd, enum io_object object)
{
	if (fails(io, false))
		return faulty_of(io)->error;
	return io_fsync(faulty_of(io)->inner, fd, object);
}

static int faulty_fsync_folder(struct io *io, const char *path, enum io_object object)
{
	if (fails(io, true))
		return faulty_of(io)->error;
	return io_fsync_folder(faulty_of(io)->inner, path, object);
}

static int faulty_rename(struct io *io, const char *from, const char *to, bool replace,
			 enum io_object object)
{
	struct faulty *f = faulty_of(io);

	if (fails(io, false))
		return f->error;
	f->n_renames++;
	if (f->appears)
		write_plain(to, f->appears);
	f->appears = NULL;
	return io_rename(f->inner, from, to, replace, object);
}

static int faulty_unlink(struct io *io, const char *path, enum io_object object)
{
	return io_unlink(faulty_of(io)->inner, path, object);
}

static int faulty_mkdir(struct io *io, const char *path, enum io_object object)
{
	if (fails(io, false))
		return faulty_of(io)->error;
	return io_mkdir(faulty_of(io)->inner, path, object);
}

static int faulty_list(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	return io_list(faulty_of(io)->inner, path, visit, context);
}

static int faulty_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	return io_stat(faulty_of(io)->inner, path, ret_stat);
}

static const struct io_ops faulty_ops = {
	.open = faulty_open,
	.close = faulty_close,
	.pread = faulty_pread,
	.pwrite = faulty_pwrite,
	.size = faulty_size,
	.fsync = faulty_fsync,
	.fsync_folder = faulty_fsync_folder,
	.rename = faulty_rename,
	.unlink = faulty_unlink,
	.mkdir = faulty_mkdir,
	.list = faulty_list,
	.stat = faulty_stat,
};

static void faulty_start(struct faulty *f)
{
	*f = (struct faulty){ .io = { .ops = &faulty_ops, .real_path = root }, .error = -EIO };
	assert_int_equal(io_posix_open(root, &f->inner), 0);
}

/* ---- the contract ---- */

struct seen {
	char names[8][64];
	int n;
};

static int note(void *context, const char *name, const struct remote_stat *stat)
{
	struct seen *s = context;

	assert_true(s->n < 8);
	assert_true(stat->mtime_ns > 0);
	(void)snprintf(s->names[s->n++], sizeof(s->names[0]), "%s", name);
	return 0;
}

static void test_objects_are_listed_in_the_order_of_their_names(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);
	static const char *const names[] = { "a-b", "a/b", "a/b0/c", "a0", "config" };
	struct seen seen = { .n = 0 };

	(void)state;
	for (size_t i = 5; i-- > 0;)
		assert_int_equal(put(r, names[i], names[i]), 0);
	write_plain("Thumbs.db", "no object");
	assert_int_equal(mkdir(path_of("lost+found"), 0700), 0);
	write_plain("tmp/0123", "unfinished");
	assert_int_equal(remote_list(r, "", note, &seen, NULL), 0);
	assert_int_equal(seen.n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(seen.names[i], names[i]);
	seen.n = 0;
	assert_int_equal(remote_list(r, "a/b", note, &seen, NULL), 0);
	assert_int_equal(seen.n, 2);
	seen.n = 0;
	assert_int_equal(remote_list(r, "packs/", note, &seen, NULL), 0);
	assert_int_equal(remote_list(r, "a/b/", note, &seen, NULL), -EREMOTEIO); /* a file */
	assert_int_equal(seen.n, 0);
}

static void test_what_is_put_again_is_left_as_it_is(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);
	struct stat before, after;
	struct remote_stat stat;
	char back[16];

	(void)state;
	assert_int_equal(put(r, "packs/a", "first"), 0);
	assert_int_equal(stat_of("packs/a", &before), 0);
	assert_int_equal(put(r, "packs/a", "first"), 0);
	assert_int_equal(put(r, "packs/a", "another"), -EBADMSG);
	assert_int_equal(stat_of("packs/a", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(remote_head(r, "packs/a", &stat), 0);
	assert_int_equal(stat.size, 5);
	assert_int_equal(remote_get(r, "packs/a", 1, back, sizeof(back), NULL), 4);
	assert_memory_equal(back, "irst", 4);
	assert_int_equal(remote_get(r, "packs/a", 5, back, sizeof(back), NULL), 0);
	assert_int_equal(remote_head(r, "packs", &stat), -ENOENT); /* a folder is no object */
	assert_int_equal(n_unfinished(), 0);
}

static void test_a_damaged_source_is_not_sent(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);
	struct remote_body body = body_of("whole");
	struct remote_stat stat;

	(void)state;
	body.sha256[0] ^= 1;
	assert_int_equal(remote_put(r, "packs/a", &body, NULL), -EIO);
	assert_int_equal(remote_head(r, "packs/a", &stat), -ENOENT);
	assert_int_equal(n_unfinished(), 0);
}

static void test_whatever_step_fails_no_part_of_an_object_is_shown(void **state)
{
	int n = 0, r;

	(void)state;
	do {
		CLEANUP(remote_free_ptr) struct remote *remote = NULL;
		struct faulty f;
		char name[40];

		(void)snprintf(name, sizeof(name), "packs/%d/00/a", ++n);
		faulty_start(&f);
		assert_int_equal(remote_dir_new_over(&f.io, &remote), 0);
		f.fail_at = n;
		r = put(remote, name, "an object that is longer than a few bytes");
		assert_true(r == 0 || r == -EREMOTEIO);
		if (there(name)) {
			struct remote_stat stat;

			assert_int_equal(remote_head(remote, name, &stat), 0);
			assert_int_equal(stat.size, 41);
		}
		assert_int_equal(n_unfinished(), 0);
		f.fail_at = 0;
		assert_int_equal(put(remote, name, "an object that is longer than a few bytes"), 0);
		assert_true(there(name));
		io_free(f.inner);
	} while (r < 0);
	/* tmp/ and three folders, each made and its parent synced; create, write, fsync, rename,
	 * fsync of the folder. */
	assert_int_equal(n, 2 * 4 + 5 + 1);
}

static void test_after_a_failed_sync_of_a_folder_the_object_is_written_again(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct faulty f;

	(void)state;
	faulty_start(&f);
	assert_int_equal(remote_dir_new_over(&f.io, &remote), 0);
	assert_int_equal(put(remote, "packs/a", "one"), 0);
	f.only = FOLDER_SYNC;
	f.n_changes = 0;
	f.fail_at = 1;
	assert_int_equal(put(remote, "packs/b", "two"), -EREMOTEIO);
	assert_true(there("packs/b"));
	assert_int_equal(f.n_renames, 2);
	assert_int_equal(put(remote, "packs/b", "two"), 0);
	assert_int_equal(f.n_renames, 3);
	io_free(f.inner);
}

static void test_errors_have_their_meaning(void **state)
{
	static const int errors[][2] = {
		{ -ENOSPC, -ENOSPC }, { -EDQUOT, -ENOSPC },    { -EACCES, -EACCES },
		{ -EROFS, -EACCES },  { -ESTALE, -EREMOTEIO }, { -ENOENT, -EREMOTEIO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		CLEANUP(remote_free_ptr) struct remote *remote = NULL;
		struct faulty f;

		faulty_start(&f);
		assert_int_equal(remote_dir_new_over(&f.io, &remote), 0);
		f.error = errors[i][0];
		f.fail_at = 6; /* the write, once all folders are there */
		assert_int_equal(put(remote, "packs/a", "text"), errors[i][1]);
		assert_int_equal(f.n_changes, 6);
		assert_false(there("packs/a"));
		io_free(f.inner);
	}
}

static void test_who_comes_second_finds_the_object_there(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct faulty f;

	(void)state;
	faulty_start(&f);
	assert_int_equal(remote_dir_new_over(&f.io, &remote), 0);
	f.appears = "same";
	assert_int_equal(put(remote, "packs/a", "same"), 0);
	f.appears = "other";
	assert_int_equal(put(remote, "packs/b", "same"), -EBADMSG);
	assert_int_equal(n_unfinished(), 0);
	io_free(f.inner);
}

/* ---- a disk that comes and goes ---- */

static int nothing(void *context, const char *name, const struct remote_stat *stat)
{
	(void)context;
	(void)name;
	(void)stat;
	return 0;
}

static void assert_all_calls(struct remote *r, int expected)
{
	struct remote_abilities abilities;
	struct remote_stat stat;
	char byte;

	assert_int_equal(put(r, "packs/x", "x"), expected);
	assert_int_equal(remote_get(r, "packs/x", 0, &byte, 1, NULL), expected);
	assert_int_equal(remote_head(r, "packs/x", &stat), expected);
	assert_int_equal(remote_list(r, "", nothing, NULL, NULL), expected);
	assert_int_equal(remote_remove(r, "packs/x"), expected);
	assert_int_equal(remote_probe(r, &abilities), expected);
}

static void test_a_missing_folder_is_never_made_nor_taken_for_empty(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);

	(void)state;
	assert_int_equal(rmdir(root), 0);
	assert_all_calls(r, -EREMOTEIO);
	assert_false(there(""));
	assert_int_equal(mkdir(root, 0700), 0);
	assert_int_equal(put(r, "packs/x", "x"), 0);
}

static void test_an_empty_folder_is_not_a_known_remote(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(true);

	(void)state;
	assert_all_calls(r, -EREMOTEIO);
	assert_int_equal(rmdir(root), 0); /* nothing was left in it */
	assert_int_equal(mkdir(root, 0700), 0);
	write_plain("config", "repository one");
	assert_int_equal(put(r, "packs/x", "x"), 0);
}

static void test_another_folder_in_its_place_is_noticed(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);
	struct remote_stat stat;
	char away[100];

	(void)state;
	(void)snprintf(away, sizeof(away), "%s/away", folder);
	assert_int_equal(put(r, "config", "repository one"), 0);
	assert_int_equal(put(r, "packs/a", "a"), 0);
	/* The disk is pulled out: an empty folder stays. */
	assert_int_equal(rename(root, away), 0);
	assert_int_equal(mkdir(root, 0700), 0);
	assert_all_calls(r, -EREMOTEIO);
	/* Another one is put in. */
	write_plain("config", "repository two");
	assert_all_calls(r, -EREMOTEIO);
	assert_false(there("packs"));
	/* The right one comes back. */
	assert_int_equal(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(rename(away, root), 0);
	assert_int_equal(remote_head(r, "packs/a", &stat), 0);
	assert_int_equal(remote_head(r, "packs/b", &stat), -ENOENT);
}

static void test_an_emptied_remote_is_filled_again(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(true);
	struct remote_stat stat;

	(void)state;
	write_plain("config", "repository one");
	assert_int_equal(put(r, "packs/a", "a"), 0);
	assert_int_equal(remove(path_of("packs/a")), 0);
	assert_int_equal(remove(path_of("packs")), 0);
	assert_int_equal(remove(path_of("config")), 0);
	assert_int_equal(remote_head(r, "packs/a", &stat), -ENOENT);
	assert_int_equal(put(r, "config", "repository one"), 0);
	assert_int_equal(put(r, "packs/a", "a"), 0); /* its folder is known no more */
	assert_true(there("packs/a"));
}

static void test_a_probe_sweeps_what_was_given_up(void **state)
{
	CLEANUP(remote_free_ptr) struct remote *r = open_dir(false);
	struct timespec old[2] = { 0 };
	struct remote_abilities a;

	(void)state;
	assert_int_equal(put(r, "config", "x"), 0);
	write_plain("tmp/00000000000000000000000000000001", "old");
	write_plain("tmp/00000000000000000000000000000002", "young");
	(void)clock_gettime(CLOCK_REALTIME, &old[0]);
	old[0].tv_sec -= 25 * 60 * 60;
	old[1] = old[0];
	assert_int_equal(
		utimensat(AT_FDCWD, path_of("tmp/00000000000000000000000000000001"), old, 0), 0);
	r->append_only = true;
	assert_int_equal(remote_probe(r, &a), 0);
	assert_false(a.deletes);
	assert_int_equal(n_unfinished(), 2);
	r->append_only = false;
	assert_int_equal(remote_probe(r, &a), 0);
	assert_true(a.deletes && a.ranges && a.atomic_put && a.has_clock);
	assert_true(a.clock_skew_ms > -60000 && a.clock_skew_ms < 60000);
	assert_true(a.free_bytes > 0 && a.free_bytes < UINT64_MAX);
	assert_int_equal(n_unfinished(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_objects_are_listed_in_the_order_of_their_names,
						start, stop),
		cmocka_unit_test_setup_teardown(test_what_is_put_again_is_left_as_it_is, start,
						stop),
		cmocka_unit_test_setup_teardown(test_a_damaged_source_is_not_sent, start, stop),
		cmocka_unit_test_setup_teardown(
			test_whatever_step_fails_no_part_of_an_object_is_shown, start, stop),
		cmocka_unit_test_setup_teardown(
			test_after_a_failed_sync_of_a_folder_the_object_is_written_again, start,
			stop),
		cmocka_unit_test_setup_teardown(test_errors_have_their_meaning, start, stop),
		cmocka_unit_test_setup_teardown(test_who_comes_second_finds_the_object_there, start,
						stop),
		cmocka_unit_test_setup_teardown(
			test_a_missing_folder_is_never_made_nor_taken_for_empty, start, stop),
		cmocka_unit_test_setup_teardown(test_an_empty_folder_is_not_a_known_remote, start,
						stop),
		cmocka_unit_test_setup_teardown(test_another_folder_in_its_place_is_noticed, start,
						stop),
		cmocka_unit_test_setup_teardown(test_an_emptied_remote_is_filled_again, start,
						stop),
		cmocka_unit_test_setup_teardown(test_a_probe_sweeps_what_was_given_up, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
