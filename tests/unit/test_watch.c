/* SPDX-License-Identifier: MIT */
#include "snapshots/watch.h"
#include "snapshots/watch_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

/* A private folder with a source in it, one watch, and all that it has told so far. */
struct scene {
	char folder[64];
	char source[80];
	char repository[96];
	struct watch *w;
	struct dirty_set *told;
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static struct dirty_set *new_set(void)
{
	struct dirty_set *d = NULL;

	assert_int_equal(dirty_set_new(100000, &d), 0);
	return d;
}

static void make_folder(const char *path)
{
	assert_int_equal(mkdir(path, 0755), 0);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

/* Forget what is pending: "everything" at the start. */
static void forget(struct scene *c)
{
	struct dirty_set *d = NULL;

	assert_int_equal(watch_take(c->w, 0, &d), 0);
	dirty_set_free(d);
	dirty_set_free(c->told);
	c->told = new_set();
}

/* Work in the source from here on. False when the system does not grant this backend. */
static bool begin_with(struct scene *c, struct watch_options *o, const char *excludes)
{
	const struct watch_source source = { .path = c->source, .excludes = excludes };
	const char *ignored[] = { c->repository };
	struct watch_state state;

	o->sources = &source;
	o->n_sources = 1;
	o->ignored = ignored;
	o->n_ignored = 1;
	assert_int_equal(watch_new(o, &c->w), 0);
	atomic_store(&c->w->gather_ms, 1);
	watch_state(c->w, 0, &state);
	if (state.backend != o->best) {
		watch_free(STEAL(c->w));
		return false;
	}
	assert_true(state.everything);
	assert_string_not_equal(state.guarantee, "");
	forget(c);
	return true;
}

static void make_scene(struct scene *c)
{
	*c = (struct scene){ .folder = "/tmp/yore-watch-XXXXXX" };
	assert_non_null(mkdtemp(c->folder));
	(void)snprintf(c->source, sizeof(c->source), "%s/source", c->folder);
	(void)snprintf(c->repository, sizeof(c->repository), "%s/repository", c->source);
	make_folder(c->source);
	assert_int_equal(chdir(c->source), 0);
	make_folder("repository");
	c->told = new_set();
}

static void end_scene(struct scene *c)
{
	watch_free(STEAL(c->w));
	dirty_set_free(STEAL(c->told));
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(nftw(c->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static const struct dirty_name *look(const struct dirty_set *d, const char *path)
{
	const struct dirty_name *node = dirty_set_root(d);

	while (node && *path) {
		const size_t n = strcspn(path, "/");

		/* All below is known to be dirty. */
		if (node->flags & DIRTY_DEEP)
			return node;
		node = dirty_name_child(node, path, (uint32_t)n);
		path += n + (path[n] == '/');
	}
	return node;
}

/* Is all of this among what was told since forget()? */
static bool was_told(struct scene *c, const char *path, unsigned int flags)
{
	struct dirty_set *seen = new_set();
	const struct dirty_name *node;
	bool found;

	assert_int_equal(dirty_set_merge(seen, c->told), 0);
	assert_int_equal(dirty_set_freeze(seen), 0);
	node = look(seen, path);
	found = dirty_set_is_all(seen) ? strcmp(path, "*") == 0
				       : node && (node->flags & flags) == flags;
	dirty_set_free(seen);
	return found;
}

/* Wait until it is told; "*": everything. */
static void expect(struct scene *c, const char *path, unsigned int flags)
{
	for (int ms = 0; ms < PATIENCE_MS && !was_told(c, path, flags); ms += 2) {
		struct dirty_set *d = NULL;

		(void)watch_wait(c->w, -1, 2);
		assert_int_equal(watch_take(c->w, 0, &d), 0);
		assert_int_equal(dirty_set_merge(c->told, d), 0);
		dirty_set_free(d);
	}
	if (!was_told(c, path, flags))
		fail_msg("never told: %s, flags %u", path, flags);
}

/* All events until now have been read. */
static void expect_sentinel(struct scene *c)
{
	static unsigned int n;
	char name[32];

	(void)snprintf(name, sizeof(name), "sentinel%u", n++);
	write_file(name, "");
	expect(c, name, DIRTY_SELF);
}

/* ---- what each backend must notice ---- */

static void check_files(struct scene *c, bool by_name)
{
	write_file("sub/new", "x");
	expect(c, "sub/new", DIRTY_SELF);
	expect(c, "sub", DIRTY_SELF);
	forget(c);
	write_file("sub/new", "more");
	expect(c, "sub/new", DIRTY_SELF | DIRTY_CLOSED);
	forget(c);
	assert_int_equal(truncate("sub/new", 1), 0);
	expect(c, "sub/new", DIRTY_SELF);
	forget(c);
	assert_int_equal(chmod("sub/new", 0600), 0);
	expect(c, "sub/new", DIRTY_SELF);
	forget(c);
	if (setxattr("sub/new", "user.a", "b", 1, 0) == 0)
		expect(c, "sub/new", DIRTY_SELF);
	forget(c);
	assert_int_equal(link("sub/new", "second"), 0);
	/* Without handles a file with two names may change anywhere. */
	expect(c, by_name ? "*" : "second", by_name ? 0 : DIRTY_SELF);
	forget(c);
	write_file("second", "through the second name");
	expect(c, "second", DIRTY_SELF);
	forget(c);
	assert_int_equal(rename("second", "sub/third"), 0);
	expect(c, "second", DIRTY_SELF);
	expect(c, "sub/third", DIRTY_SELF);
	forget(c);
	assert_int_equal(unlink("sub/third"), 0);
	expect(c, "sub/third", DIRTY_SELF);
	/* The name that stays: it may have been written to by the one that went. */
	if (!by_name)
		expect(c, "sub/new", DIRTY_SELF);
	assert_int_equal(symlink("nowhere", "link"), 0);
	expect(c, "link", DIRTY_SELF);
	forget(c);
}

static void check_maps(struct scene *c)
{
	int fd = open("mapped", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	char *map;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(close(fd), 0);
	expect(c, "mapped", DIRTY_SELF);
	expect_sentinel(c);
	forget(c);
	map[0] = 1;
	assert_int_equal(munmap(map, 4096), 0);
	expect(c, "mapped", DIRTY_SELF | DIRTY_CLOSED);
	forget(c);
}

static void check_folders(struct scene *c)
{
	make_folder("made");
	make_folder("made/in");
	expect(c, "made", DIRTY_SELF | DIRTY_DEEP);
	expect_sentinel(c);
	forget(c);
	write_file("made/in/deep", "x");
	expect(c, "made/in/deep", DIRTY_SELF);
	forget(c);
	assert_int_equal(rename("made", "sub/moved"), 0);
	expect(c, "made", DIRTY_SELF);
	expect(c, "sub/moved", DIRTY_SELF | DIRTY_DEEP);
	expect_sentinel(c);
	forget(c);
	write_file("sub/moved/in/deep", "y");
	expect(c, "sub/moved/in/deep", DIRTY_SELF);
	forget(c);
	assert_int_equal(chmod("sub/moved/in", 0700), 0);
	expect(c, "sub/moved/in", DIRTY_SELF);
	forget(c);
	assert_int_equal(unlink("sub/moved/in/deep"), 0);
	assert_int_equal(rmdir("sub/moved/in"), 0);
	expect(c, "sub/moved/in", DIRTY_SELF);
	assert_int_equal(rmdir("sub/moved"), 0);
	expect(c, "sub/moved", DIRTY_SELF);
	forget(c);
}

static void check_exchange(struct scene *c)
{
	make_folder("left");
	make_folder("right");
	make_folder("right/below");
	write_file("right/below/f", "x");
	expect_sentinel(c);
	forget(c);
	assert_int_equal(renameat2(AT_FDCWD, "left", AT_FDCWD, "right", RENAME_EXCHANGE), 0);
	expect(c, "left", DIRTY_SELF | DIRTY_DEEP);
	expect(c, "right", DIRTY_SELF | DIRTY_DEEP);
	expect_sentinel(c);
	forget(c);
	write_file("left/below/f", "y");
	write_file("right/g", "y");
	expect(c, "left/below/f", DIRTY_SELF);
	expect(c, "right/g", DIRTY_SELF);
	forget(c);
}

/* Out of the source, changed there, back under another name. */
static void check_moves_outside(struct scene *c)
{
	make_folder("goes");
	make_folder("goes/in");
	expect_sentinel(c);
	forget(c);
	assert_int_equal(rename("goes", "../outside"), 0);
	expect(c, "goes", DIRTY_SELF);
	expect_sentinel(c);
	forget(c);
	write_file("../outside/in/f", "x");
	expect_sentinel(c);
	assert_false(was_told(c, "goes", DIRTY_SELF));
	assert_int_equal(rename("../outside", "comes"), 0);
	expect(c, "comes", DIRTY_SELF | DIRTY_DEEP);
	expect_sentinel(c);
	forget(c);
	write_file("comes/in/f", "y");
	expect(c, "comes/in/f", DIRTY_SELF);
	forget(c);
}

static void check_left_out(struct scene *c)
{
	write_file("a.tmp", "x");
	write_file("cache/f", "x");
	write_file("repository/pack", "x");
	make_folder("repository/packs");
	write_file("../outside.txt", "x");
	expect_sentinel(c);
	assert_false(was_told(c, "a.tmp", 0));
	assert_false(was_told(c, "cache", 0));
	assert_false(was_told(c, "repository", 0));
	forget(c);
}

/* What is left out changes its folder's list, but is no reason for a capture. */
static void check_quiet(struct scene *c)
{
	struct watch_state state;
	struct dirty_set *d = NULL;

	expect_sentinel(c);
	(void)poll(NULL, 0, 30);
	forget(c);
	write_file("sub/b.tmp", "x");
	(void)poll(NULL, 0, 30);
	watch_state(c->w, 0, &state);
	assert_int_equal(state.first_ns, 0);
	assert_int_equal(watch_take(c->w, 0, &d), 0);
	assert_int_equal(dirty_set_count(d), 1);
	assert_non_null(dirty_name_child(dirty_set_root(d), "sub", 3));
	dirty_set_free(d);
	forget(c);
}

static void check_all(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;

	make_scene(&c);
	make_folder("sub");
	make_folder("cache");
	if (!begin_with(&c, &o, "*.tmp\n/cache/\n")) {
		end_scene(&c);
		skip();
	}
	check_files(&c, backend == WATCH_INOTIFY);
	check_maps(&c);
	check_folders(&c);
	check_exchange(&c);
	check_moves_outside(&c);
	check_left_out(&c);
	check_quiet(&c);
	end_scene(&c);
}

static void test_fanotify_notices_everything(void **state)
{
	(void)state;
	check_all(WATCH_FANOTIFY);
}

static void test_inotify_notices_everything(void **state)
{
	(void)state;
	check_all(WATCH_INOTIFY);
}

/* ---- sources that come and go ---- */

static void check_source_goes(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;
	char away[96];

	make_scene(&c);
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	(void)snprintf(away, sizeof(away), "%s/away", c.folder);
	assert_int_equal(rename(c.source, away), 0);
	expect(&c, "*", 0);
	forget(&c);
	assert_int_equal(mkdir(c.source, 0755), 0);
	assert_int_equal(chdir(c.source), 0);
	expect(&c, "*", 0);
	(void)poll(NULL, 0, 30);
	forget(&c);
	expect_sentinel(&c);
	end_scene(&c);
}

static void test_a_source_is_watched_again_when_it_comes_back(void **state)
{
	(void)state;
	check_source_goes(WATCH_INOTIFY);
	check_source_goes(WATCH_FANOTIFY);
}

static void check_missing(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;

	make_scene(&c);
	(void)snprintf(c.source, sizeof(c.source), "%s/source/a/b", c.folder);
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	make_folder("a");
	make_folder("a/b");
	expect(&c, "*", 0);
	(void)poll(NULL, 0, 30);
	forget(&c);
	write_file("a/b/f", "x");
	expect(&c, "f", DIRTY_SELF);
	end_scene(&c);
}

static void test_a_source_that_was_missing_is_found(void **state)
{
	(void)state;
	check_missing(WATCH_INOTIFY);
	check_missing(WATCH_FANOTIFY);
}

static void check_file_source(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;

	make_scene(&c);
	write_file("alone", "x");
	(void)snprintf(c.source, sizeof(c.source), "%s/source/alone", c.folder);
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	write_file("alone", "y");
	expect(&c, "", DIRTY_SELF);
	forget(&c);
	write_file("alone.new", "z");
	assert_int_equal(rename("alone.new", "alone"), 0);
	expect(&c, "*", 0);
	end_scene(&c);
}

static void test_a_file_as_a_source_is_watched(void **state)
{
	(void)state;
	check_file_source(WATCH_INOTIFY);
	check_file_source(WATCH_FANOTIFY);
}

/* ---- mounts ---- */

static void check_mounts(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;

	make_scene(&c);
	make_folder("mnt");
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	if (mount("none", "mnt", "tmpfs", 0, "size=1m") < 0) {
		end_scene(&c);
		skip();
	}
	expect(&c, "*", 0);
	(void)poll(NULL, 0, 30);
	forget(&c);
	write_file("mnt/f", "x");
	expect(&c, "mnt/f", DIRTY_SELF);
	forget(&c);
	/* Nothing of it is held open. */
	(void)poll(NULL, 0, 30);
	assert_int_equal(umount("mnt"), 0);
	expect(&c, "*", 0);
	(void)poll(NULL, 0, 30);
	forget(&c);
	expect_sentinel(&c);
	end_scene(&c);
}

static void test_a_mount_below_makes_everything_dirty_and_is_watched(void **state)
{
	(void)state;
	check_mounts(WATCH_INOTIFY);
	check_mounts(WATCH_FANOTIFY);
}

/* The source is a part of another folder, mounted where it is protected. */
static void check_bind(enum watch_backend backend)
{
	struct watch_options o = { .best = backend };
	struct scene c;

	make_scene(&c);
	make_folder("part");
	make_folder("part/in");
	make_folder("bound");
	if (mount("part", "bound", NULL, MS_BIND, NULL) < 0) {
		end_scene(&c);
		skip();
	}
	(void)snprintf(c.source, sizeof(c.source), "%s/source/bound", c.folder);
	if (!begin_with(&c, &o, "")) {
		assert_int_equal(umount("bound"), 0);
		end_scene(&c);
		skip();
	}
	write_file("bound/in/f", "x");
	expect(&c, "in/f", DIRTY_SELF);
	forget(&c);
	write_file("part/in/g", "x");
	expect(&c, "in/g", DIRTY_SELF);
	watch_free(STEAL(c.w));
	assert_int_equal(umount("bound"), 0);
	end_scene(&c);
}

static void test_a_bind_mount_is_watched(void **state)
{
	(void)state;
	check_bind(WATCH_INOTIFY);
	check_bind(WATCH_FANOTIFY);
}

/* ---- lost events, limits, giving back ---- */

static void test_an_overflow_makes_everything_dirty(void **state)
{
	struct watch_options o = { .best = WATCH_INOTIFY };
	struct watch_state seen;
	struct scene c;

	(void)state;
	make_scene(&c);
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	write_file("f", "");
	write_file("g", "");
	watch_pause(c.w, true);
	/* Two names in turn: equal events one after another are joined. */
	for (unsigned int i = 0; i < 10000; i++) {
		assert_int_equal(chmod("f", i % 2 ? 0600 : 0644), 0);
		assert_int_equal(chmod("g", i % 2 ? 0600 : 0644), 0);
	}
	watch_pause(c.w, false);
	expect(&c, "*", 0);
	watch_state(c.w, 0, &seen);
	assert_int_equal(seen.overflows, 1);
	(void)poll(NULL, 0, 30);
	forget(&c);
	expect_sentinel(&c);
	end_scene(&c);
}

static void test_polling_says_everything_at_each_interval(void **state)
{
	struct watch_options o = { .best = WATCH_POLL, .poll_interval_s = 1 };
	struct watch_state seen;
	struct scene c;

	(void)state;
	make_scene(&c);
	assert_true(begin_with(&c, &o, ""));
	watch_state(c.w, 0, &seen);
	assert_false(seen.everything);
	expect(&c, "*", 0);
	end_scene(&c);
}

static void test_what_is_given_back_is_pending_again(void **state)
{
	struct watch_options o = { .best = WATCH_POLL };
	struct dirty_set *d = new_set();
	struct watch_state seen;
	struct scene c;

	(void)state;
	make_scene(&c);
	assert_true(begin_with(&c, &o, ""));
	assert_int_equal(watch_wait(c.w, -1, 0), 0);
	assert_int_equal(dirty_set_add(d, "a/b", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_freeze(d), 0);
	watch_give_back(c.w, 0, d);
	dirty_set_free(d);
	assert_int_equal(watch_wait(c.w, -1, PATIENCE_MS), 1);
	watch_state(c.w, 0, &seen);
	assert_true(seen.first_ns > 0 && seen.last_ns >= seen.first_ns);
	expect(&c, "a/b", DIRTY_SELF);
	watch_state(c.w, 0, &seen);
	assert_int_equal(seen.first_ns, 0);
	watch_give_back(c.w, 0, NULL);
	watch_state(c.w, 0, &seen);
	assert_true(seen.everything);
	end_scene(&c);
}

static void test_waiting_ends_when_woken(void **state)
{
	struct watch_options o = { .best = WATCH_POLL };
	struct scene c;
	uint64_t count = 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	make_scene(&c);
	assert_true(begin_with(&c, &o, ""));
	assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(watch_wait(c.w, fd, 60000), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(watch_wait(c.w, fd, 1), 0);
	(void)close(fd);
	end_scene(&c);
}

static void test_too_many_names_are_everything(void **state)
{
	struct watch_options o = { .best = WATCH_INOTIFY, .names_max = 20 };
	struct scene c;
	char name[32];

	(void)state;
	make_scene(&c);
	if (!begin_with(&c, &o, "")) {
		end_scene(&c);
		skip();
	}
	for (unsigned int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		write_file(name, "x");
	}
	watch_pause(c.w, true);
	watch_pause(c.w, false);
	for (unsigned int ms = 0; ms < PATIENCE_MS; ms += 10) {
		struct watch_state seen;

		watch_state(c.w, 0, &seen);
		if (seen.everything)
			break;
		(void)poll(NULL, 0, 10);
	}
	expect(&c, "*", 0);
	end_scene(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fanotify_notices_everything),
		cmocka_unit_test(test_inotify_notices_everything),
		cmocka_unit_test(test_a_source_is_watched_again_when_it_comes_back),
		cmocka_unit_test(test_a_source_that_was_missing_is_found),
		cmocka_unit_test(test_a_file_as_a_source_is_watched),
		cmocka_unit_test(test_a_mount_below_makes_everything_dirty_and_is_watched),
		cmocka_unit_test(test_a_bind_mount_is_watched),
		cmocka_unit_test(test_an_overflow_makes_everything_dirty),
		cmocka_unit_test(test_polling_says_everything_at_each_interval),
		cmocka_unit_test(test_what_is_given_back_is_pending_again),
		cmocka_unit_test(test_waiting_ends_when_woken),
		cmocka_unit_test(test_too_many_names_are_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
