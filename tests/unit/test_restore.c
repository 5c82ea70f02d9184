/* SPDX-License-Identifier: MIT */
#include "snapshots/restore.h"

#include "tests/unit/snapshot_fixture.h"

#include <linux/fs.h>
#include <sys/xattr.h>

/* A repository, a source folder, a target that does not exist yet. */
struct world {
	struct fixture *f;
	struct timeline *t;
	struct chunk_cache *cache;
	char folder[32];
	char source[48], target[48];
	struct restore_options options;
	struct restore_result result;
	struct snapshot_info snapshot;
	unsigned int problems, plans;
	char last_problem[512];
};

static void on_problem(void *context, const char *path, const char *what, int error)
{
	struct world *w = context;

	w->problems++;
	(void)snprintf(w->last_problem, sizeof(w->last_problem), "%s: %s (%d)", path, what, error);
	if (getenv("TEST_LOG"))
		fprintf(stderr, "problem: %s\n", w->last_problem);
}

static void on_planned(void *context, const char *path, const char *what)
{
	struct world *w = context;

	(void)path;
	(void)what;
	w->plans++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->f = fixture_open();
	assert_int_equal(timeline_open(w->f->store, store_host(w->f->store), &w->t), 0);
	assert_int_equal(chunk_cache_new(w->f->store, MIB(16), 1, &w->cache), 0);
	strcpy(w->folder, "/tmp/yore-rest-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	(void)snprintf(w->source, sizeof(w->source), "%s/source", w->folder);
	(void)snprintf(w->target, sizeof(w->target), "%s/target", w->folder);
	assert_int_equal(mkdir(w->source, 0755), 0);
	w->options = (struct restore_options){
		.target = w->target, .problem = on_problem, .planned = on_planned, .context = w
	};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	chunk_cache_free(w->cache);
	timeline_close(w->t);
	fixture_close(w->f);
	(void)nftw(w->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- small words ---- */

static const char *in(const char *folder, const char *name)
{
	static char paths[4][512];
	static unsigned int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *path, const void *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	(void)close(fd);
}

static void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static void assert_text(const char *path, const char *text)
{
	char got[256] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	(void)close(fd);
	assert_string_equal(got, text);
}

static void set_time(const char *path, int64_t seconds, long ns)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { .tv_sec = seconds, .tv_nsec = ns } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static struct stat stat_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void assert_same_attributes(const char *a, const char *b)
{
	const struct stat x = stat_of(a), y = stat_of(b);

	assert_int_equal(x.st_mode, y.st_mode);
	assert_int_equal(x.st_uid, y.st_uid);
	assert_int_equal(x.st_gid, y.st_gid);
	assert_int_equal(x.st_rdev, y.st_rdev);
	assert_int_equal(x.st_mtim.tv_sec, y.st_mtim.tv_sec);
	assert_int_equal(x.st_mtim.tv_nsec, y.st_mtim.tv_nsec);
}

static void take(struct world *w)
{
	snapshot_take(w->t, w->source, 0, &w->snapshot);
}

static int restore(struct world *w, const char *path)
{
	w->problems = w->plans = 0;
	return restore_run(w->t, &w->snapshot, w->cache, path, &w->options, &w->result);
}

static void restore_well(struct world *w)
{
	assert_int_equal(restore(w, ""), 0);
	assert_int_equal(w->result.errors, 0);
	assert_int_equal(w->result.incomplete, 0);
	assert_int_equal(w->problems, 0);
}

static int count_leftovers(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strncmp(e->d_name, ".yore-", 6) == 0;
	(void)closedir(d);
	return n;
}

/* ---- claims ---- */

static void test_every_kind_of_object_comes_back_as_it_was(void **state)
{
	struct world *w = *state;
	const char *names[] = { "dir", "dir/file", "dir/pipe", "dir/link", "dir/socket" };

	assert_int_equal(mkdir(in(w->source, "dir"), 0700), 0);
	write_text(in(w->source, "dir/file"), "hello");
	assert_int_equal(chmod(in(w->source, "dir/file"), 0640), 0);
	set_time(in(w->source, "dir/file"), -12345, 678);
	assert_int_equal(symlink("no/where", in(w->source, "dir/link")), 0);
	set_time(in(w->source, "dir/link"), 5000000000, 1);
	assert_int_equal(mkfifo(in(w->source, "dir/pipe"), 0611), 0);
	assert_int_equal(mknod(in(w->source, "dir/socket"), S_IFSOCK | 0600, 0), 0);
	assert_int_equal(chmod(in(w->source, "dir"), 0555), 0);
	set_time(in(w->source, "dir"), 1234567890, 987654321);
	take(w);
	restore_well(w);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_same_attributes(in(w->source, names[i]), in(w->target, names[i]));
	assert_text(in(w->target, "dir/file"), "hello");
	assert_int_equal(w->result.files, 1);
	assert_int_equal(w->result.others, 3);
	assert_int_equal(w->result.written, 1);
}

static void test_owners_attributes_and_set_id_bits_come_back(void **state)
{
	struct world *w = *state;
	static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 4 };
	const char *file = in(w->source, "file");
	char value[32];

	if (geteuid() != 0)
		skip();
	write_text(file, "x");
	assert_int_equal(chown(file, 1234, 5678), 0);
	assert_int_equal(chmod(file, 06755), 0);
	if (setxattr(file, "security.capability", capability, sizeof(capability), 0) < 0)
		skip();
	assert_int_equal(setxattr(file, "trusted.note", "abc", 3, 0), 0);
	take(w);
	restore_well(w);
	assert_same_attributes(in(w->source, "file"), in(w->target, "file"));
	assert_int_equal(getxattr(in(w->target, "file"), "security.capability", value, 32), 20);
	assert_int_equal(getxattr(in(w->target, "file"), "trusted.note", value, 32), 3);
}

static void test_big_files_with_holes_come_back_sparse(void **state)
{
	struct world *w = *state;
	static uint8_t bytes[MIB(3)];
	uint64_t x = 1;
	int fd;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(x >> 56);
	}
	write_file(in(w->source, "big"), bytes, sizeof(bytes));
	fd = open(in(w->source, "big"), O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, 5000, MIB(20)), 5000);
	assert_int_equal(ftruncate(fd, MIB(30)), 0);
	(void)close(fd);
	write_file(in(w->source, "end"), bytes, KIB(128));
	fd = open(in(w->source, "end"), O_WRONLY);
	assert_int_equal(pwrite(fd, "z", 1, KIB(300)), 1);
	assert_int_equal(ftruncate(fd, KIB(320)), 0);
	(void)close(fd);
	snapshot_take(w->t, w->source, ENTRY_SPARSE, &w->snapshot);
	restore_well(w);
	assert_int_equal(stat_of(in(w->target, "big")).st_size, MIB(30));
	assert_int_equal(stat_of(in(w->target, "end")).st_size, KIB(320));
	assert_in_range(stat_of(in(w->target, "big")).st_blocks * 512, 0, MIB(4));
	/* The second run compares every byte and finds nothing to do. */
	w->options.verify_existing = true;
	restore_well(w);
	assert_int_equal(w->result.written, 0);
	fd = open(in(w->target, "big"), O_WRONLY);
	assert_int_equal(pwrite(fd, "?", 1, MIB(25)), 1);
	(void)close(fd);
	set_time(in(w->target, "big"), stat_of(in(w->source, "big")).st_mtim.tv_sec,
		 stat_of(in(w->source, "big")).st_mtim.tv_nsec);
	restore_well(w);
	assert_int_equal(w->result.written, 1);
}

static void test_names_of_one_inode_are_one_inode_again(void **state)
{
	struct world *w = *state;
	char name[32];

	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "d%02d", i);
		assert_int_equal(mkdir(in(w->source, name), 0755), 0);
		(void)snprintf(name, sizeof(name), "d%02d/f", i);
		if (i % 20 == 0)
			write_text(in(w->source, name), "linked");
		else
			assert_int_equal(link(in(w->source, i < 20 ? "d00/f" : "d20/f"),
					      in(w->source, name)),
					 0);
	}
	assert_int_equal(symlink("x", in(w->source, "s1")), 0);
	assert_int_equal(linkat(AT_FDCWD, in(w->source, "s1"), AT_FDCWD, in(w->source, "s2"), 0),
			 0);
	take(w);
	restore_well(w);
	assert_int_equal(stat_of(in(w->target, "d00/f")).st_nlink, 20);
	assert_int_equal(stat_of(in(w->target, "d20/f")).st_nlink, 20);
	assert_int_equal(stat_of(in(w->target, "s1")).st_nlink, 2);
	assert_int_equal(w->result.written, 2);
	assert_int_equal(unlink(in(w->target, "d00/f")), 0);
	write_text(in(w->target, "d07/f"), "other");
	restore_well(w);
	assert_int_equal(stat_of(in(w->target, "d00/f")).st_nlink, 20);
	assert_int_equal(stat_of(in(w->target, "d07/f")).st_ino,
			 stat_of(in(w->target, "d19/f")).st_ino);
	assert_text(in(w->target, "d07/f"), "linked");
}

static void test_second_run_writes_only_what_is_left(void **state)
{
	struct world *w = *state;
	char name[16];

	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "f%03d", i);
		write_text(in(w->source, name), name);
	}
	take(w);
	restore_well(w);
	assert_int_equal(w->result.written, 300);
	assert_int_equal(unlink(in(w->target, "f007")), 0);
	write_text(in(w->target, "f123"), "longer than it was");
	assert_int_equal(chmod(in(w->target, "f200"), 0600), 0);
	write_text(in(w->target, ".yore-0123456789abcdef"), "left over");
	write_text(in(w->target, ".yore-mine"), "not ours");
	restore_well(w);
	assert_int_equal(w->result.written, 2);
	assert_int_equal(w->result.files, 300);
	assert_text(in(w->target, "f123"), "f123");
	assert_int_equal(stat_of(in(w->target, "f200")).st_mode & 0777, 0644);
	assert_int_equal(count_leftovers(w->target), 1);
}

static void test_symlinks_in_the_target_are_never_followed(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(in(w->source, "dir"), 0755), 0);
	write_text(in(w->source, "dir/file"), "good");
	write_text(in(w->source, "file"), "good");
	take(w);
	assert_int_equal(mkdir(w->target, 0755), 0);
	assert_int_equal(mkdir(in(w->folder, "victim"), 0755), 0);
	write_text(in(w->folder, "victim/file"), "victim");
	assert_int_equal(symlink(in(w->folder, "victim"), in(w->target, "dir")), 0);
	assert_int_equal(symlink(in(w->folder, "victim/file"), in(w->target, "file")), 0);
	restore_well(w);
	assert_text(in(w->folder, "victim/file"), "victim");
	assert_int_equal(stat_of(in(w->target, "dir")).st_mode & S_IFMT, S_IFDIR);
	assert_text(in(w->target, "file"), "good");
	/* Removing extras does not follow either. */
	assert_int_equal(mkdir(in(w->target, "extra"), 0755), 0);
	assert_int_equal(symlink(in(w->folder, "victim"), in(w->target, "extra/out")), 0);
	w->options.delete_extra = true;
	restore_well(w);
	assert_int_equal(w->result.deleted, 1);
	assert_false(exists(in(w->target, "extra")));
	assert_text(in(w->folder, "victim/file"), "victim");
}

static void test_overlay_keeps_extras_and_delete_removes_them(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(in(w->source, "dir"), 0755), 0);
	write_text(in(w->source, "dir/file"), "new");
	write_text(in(w->source, "taken"), "new");
	take(w);
	assert_int_equal(mkdir(w->target, 0755), 0);
	assert_int_equal(mkdir(in(w->target, "dir"), 0755), 0);
	assert_int_equal(mkdir(in(w->target, "dir/deep"), 0755), 0);
	assert_int_equal(mkdir(in(w->target, "dir/deep/er"), 0755), 0);
	write_text(in(w->target, "dir/deep/er/x"), "old");
	write_text(in(w->target, "dir/extra"), "old");
	assert_int_equal(mkdir(in(w->target, "taken"), 0755), 0);
	/* A directory in place of a file is not deleted unasked. */
	assert_int_equal(restore(w, ""), 0);
	assert_int_equal(w->result.errors, 1);
	assert_int_equal(w->problems, 1);
	assert_true(exists(in(w->target, "dir/deep/er/x")));
	assert_true(exists(in(w->target, "dir/extra")));
	w->options.delete_extra = true;
	w->options.dry_run = true;
	restore_well(w);
	assert_int_equal(w->result.deleted, 2);
	assert_int_equal(w->plans, 4); /* two extras, a directory in the way, a file */
	assert_true(exists(in(w->target, "dir/extra")));
	w->options.dry_run = false;
	restore_well(w);
	assert_int_equal(w->result.deleted, 2);
	assert_false(exists(in(w->target, "dir/deep")));
	assert_false(exists(in(w->target, "dir/extra")));
	assert_text(in(w->target, "taken"), "new");
}

static void test_dry_run_touches_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(in(w->source, "dir"), 0755), 0);
	write_text(in(w->source, "dir/file"), "new");
	take(w);
	w->options.dry_run = true;
	restore_well(w);
	assert_false(exists(w->target));
	assert_int_equal(w->plans, 3);
	assert_int_equal(w->result.written, 1);
}

static void test_a_path_arrives_under_its_name_or_as_the_target(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(in(w->source, "a"), 0755), 0);
	assert_int_equal(mkdir(in(w->source, "a/b"), 0750), 0);
	write_text(in(w->source, "a/b/file"), "deep");
	take(w);
	w->options.target_is_parent = true;
	assert_int_equal(restore(w, "/a/b"), 0);
	assert_text(in(w->target, "b/file"), "deep");
	assert_same_attributes(in(w->source, "a/b"), in(w->target, "b"));
	assert_int_equal(restore(w, "/a/b/file"), 0);
	assert_text(in(w->target, "file"), "deep");
	w->options.target_is_parent = false;
	assert_int_equal(restore(w, "a/"), 0);
	assert_text(in(w->target, "b/file"), "deep");
	assert_int_equal(restore(w, "/no/such"), -ENOENT);
}

static void test_trees_deeper_than_a_path_can_say_come_back(void **state)
{
	struct world *w = *state;
	const char *name = "a-rather-long-name-of-a-directory-to-pass-the-limit";
	int fd = open(w->source, O_RDONLY | O_DIRECTORY);
	const int depth = 300;
	struct stat st;

	for (int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		(void)close(openat(fd, "file", O_CREAT | O_WRONLY, 0600));
		(void)close(fd);
		fd = next;
	}
	(void)close(openat(fd, "bottom", O_CREAT | O_WRONLY, 0600));
	(void)close(fd);
	take(w);
	restore_well(w);
	assert_int_equal(w->result.directories, depth + 1);
	assert_int_equal(w->result.files, depth + 1);
	fd = open(w->target, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < depth; i++) {
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY);

		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	assert_int_equal(fstatat(fd, "bottom", &st, 0), 0);
	(void)close(fd);
	/* And go again when the snapshot no longer has them: nftw cannot. */
	assert_int_equal(rename(in(w->source, name), in(w->target, "moved")), 0);
	take(w);
	w->options.delete_extra = true;
	restore_well(w);
	assert_int_equal(w->result.deleted, 2);
}

static void test_cancelling_ends_it_without_leftovers(void **state)
{
	struct world *w = *state;
	static const volatile bool cancel = true;

	write_text(in(w->source, "file"), "x");
	take(w);
	w->options.cancel = &cancel;
	assert_int_equal(restore(w, ""), -ECANCELED);
	assert_false(exists(in(w->target, "file")));
	assert_int_equal(count_leftovers(w->target), 0);
}

/* Damage the only pack somewhere in its data. */
static int spoil(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	uint8_t byte;
	int fd;

	(void)ftw;
	if (type != FTW_F || !strstr(path, "/packs/") || st->st_size < 2000)
		return 0;
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 300), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 300), 1);
	(void)close(fd);
	return 0;
}

static void test_a_damaged_chunk_costs_its_file_only(void **state)
{
	struct world *w = *state;
	uint64_t noise[512];

	for (size_t i = 0; i < 512; i++)
		noise[i] = i * 0x9e3779b97f4a7c15u;
	write_file(in(w->source, "a"), noise, sizeof(noise));
	write_text(in(w->source, "b"), "fine");
	take(w);
	assert_int_equal(nftw(w->f->folder, spoil, 16, FTW_PHYS), 0);
	assert_int_equal(restore(w, ""), 0);
	assert_int_equal(w->result.errors, 1);
	assert_int_equal(w->result.files, 1);
	assert_non_null(strstr(w->last_problem, "/a: its contents are damaged"));
	assert_false(exists(in(w->target, "a")));
	assert_text(in(w->target, "b"), "fine");
	assert_int_equal(count_leftovers(w->target), 0);
}

static void test_placeholders_keep_attributes_and_siblings(void **state)
{
	struct world *w = *state;
	CLEANUP(tree_writer_free_ptr) struct tree_writer *writer = NULL;
	struct tree_entry way = { .name = "home", .name_n = 4, .mode = S_IFDIR | 0711, .nlink = 1 };
	struct snapshot_maker m;
	struct chunk_id root;
	uint64_t count;
	int fd;

	write_text(in(w->source, "file"), "x");
	fd = open(w->source, O_RDONLY | O_DIRECTORY);
	snapshot_maker_init(&m, w->f->store);
	way.tree = snapshot_folder(&m, fd);
	(void)close(fd);
	way.flags = ENTRY_PLACEHOLDER;
	assert_int_equal(tree_writer_new(&m.sink, key_ring_get(w->f->ring, KEY_PLACEMENT), &writer),
			 0);
	assert_int_equal(tree_writer_add(writer, &way), 0);
	assert_int_equal(tree_writer_finish(writer, &root, &count), 0);
	snapshot_maker_done(&m);
	fixture_append(w->t, clock_now_ns(), NULL, &root, &w->snapshot);

	assert_int_equal(mkdir(w->target, 0755), 0);
	assert_int_equal(mkdir(in(w->target, "home"), 0750), 0);
	write_text(in(w->target, "home/sibling"), "of another");
	w->options.delete_extra = true;
	restore_well(w);
	assert_text(in(w->target, "home/file"), "x");
	assert_text(in(w->target, "home/sibling"), "of another");
	assert_int_equal(stat_of(in(w->target, "home")).st_mode & 07777, 0750);
}

static void test_immutable_files_are_restored_with_their_links(void **state)
{
	struct world *w = *state;
	int flags = FS_IMMUTABLE_FL, none = 0;
	int fd;

	write_text(in(w->source, "a"), "x");
	assert_int_equal(link(in(w->source, "a"), in(w->source, "b")), 0);
	fd = open(in(w->source, "a"), O_RDONLY);
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0) {
		(void)close(fd);
		skip();
	}
	take(w);
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &none), 0);
	(void)close(fd);
	restore_well(w);
	fd = open(in(w->target, "b"), O_RDONLY);
	assert_int_equal(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	assert_true(flags & FS_IMMUTABLE_FL);
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &none), 0);
	(void)close(fd);
	assert_int_equal(stat_of(in(w->target, "a")).st_nlink, 2);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_every_kind_of_object_comes_back_as_it_was),
		CLAIM(test_owners_attributes_and_set_id_bits_come_back),
		CLAIM(test_big_files_with_holes_come_back_sparse),
		CLAIM(test_names_of_one_inode_are_one_inode_again),
		CLAIM(test_second_run_writes_only_what_is_left),
		CLAIM(test_symlinks_in_the_target_are_never_followed),
		CLAIM(test_overlay_keeps_extras_and_delete_removes_them),
		CLAIM(test_dry_run_touches_nothing),
		CLAIM(test_a_path_arrives_under_its_name_or_as_the_target),
		CLAIM(test_trees_deeper_than_a_path_can_say_come_back),
		CLAIM(test_cancelling_ends_it_without_leftovers),
		CLAIM(test_a_damaged_chunk_costs_its_file_only),
		CLAIM(test_placeholders_keep_attributes_and_siblings),
		CLAIM(test_immutable_files_are_restored_with_their_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
