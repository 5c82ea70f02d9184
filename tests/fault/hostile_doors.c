/* SPDX-License-Identifier: MIT */
#include "tests/fault/hostile_doors.h"

#include "snapshots/audit.h"
#include "snapshots/capture.h"
#include "snapshots/diff.h"
#include "snapshots/finder.h"
#include "snapshots/restore.h"
#include "snapshots/tree_reader.h"
#include "snapshots/tree_walk.h"
#include "store/base/log.h"
#include "store/scrub.h"
#include "tests/scratch_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_KIB_MAX (256l * 1024)
#define READ_MAX MIB(8) /* of each file */
#define GOOD_BYTES "these bytes are as they were\n"

static const char *const door_names[DOORS] = { "open",  "walk",  "read",    "diff",   "find",
					       "audit", "scrub", "restore", "capture" };

/* ---- a folder, a repository, the end of both ---- */

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	if (getenv("TEST_LOG"))
		(void)fprintf(stderr, "log: %s\n", line);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Deeper than a path may be: by descriptors, one level after another. */
static void flatten(const char *folder)
{
	char inner[PATH_MAX], moved[96];
	static unsigned int n;
	struct stat st;

	for (;;) {
		(void)snprintf(inner, sizeof(inner), "%s/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", folder);
		if (lstat(inner, &st) < 0)
			return;
		(void)snprintf(moved, sizeof(moved), "%s.%u", folder, n++);
		if (rename(inner, moved) < 0)
			return;
		(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		if (rename(moved, folder) < 0)
			return;
	}
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_text(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

static bool text_is(const char *path, const char *text)
{
	char got[128] = { 0 };
	const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);

	if (fd >= 0)
		(void)close(fd);
	return n >= 0 && strcmp(got, text) == 0;
}

static void make_repository(struct io *io, struct key_ring **ret_ring)
{
	struct store_config config;
	uint8_t binding[32];

	store_config_new(&config);
	store_config_binding(&config, binding);
	MUST(key_ring_create(binding, ret_ring) == 0);
	MUST(store_prepare(io) == 0);
	MUST(store_publish(io, &config) == 0);
}

static void open_store(struct world *w)
{
	MUST(store_open(w->io, w->ring, STORE_READ_WRITE, &w->store) == 0);
	MUST(timeline_open(w->store, store_host(w->store), &w->t) == 0);
}

static void close_store(struct world *w)
{
	timeline_close(STEAL(w->t));
	store_close(STEAL(w->store));
}

static void name_folders(struct world *w)
{
	(void)snprintf(w->source, sizeof(w->source), "%s/source", w->folder);
	(void)snprintf(w->target, sizeof(w->target), "%s/box/target", w->folder);
	(void)snprintf(w->outside, sizeof(w->outside), "%s/box/outside", w->folder);
	(void)snprintf(w->repository, sizeof(w->repository), "%s/repo", w->folder);
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[96];

	MUST(w != NULL);
	log_set_sink(quiet);
	MUST(crypto_init() == 0);
	scratch_folder(w->folder);
	name_folders(w);
	(void)snprintf(path, sizeof(path), "%s/box", w->folder);
	MUST(mkdir(path, 0700) == 0 && mkdir(w->source, 0700) == 0);
	MUST(mkdir(w->outside, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/canary", w->outside);
	write_text(path, "untouched");
	(void)snprintf(path, sizeof(path), "%s/good", w->source);
	write_text(path, GOOD_BYTES);
	MUST(io_posix_create(w->repository, &w->io) == 0);
	make_repository(w->io, &w->ring);
	open_store(w);
	w->found = mmap(NULL, sizeof(*w->found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	MUST(w->found != MAP_FAILED);
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	close_store(w);
	key_ring_free(w->ring);
	io_free(w->io);
	(void)munmap(w->found, sizeof(*w->found));
	flatten(w->target);
	remove_tree(w->folder);
	free(w);
	return 0;
}

struct pack_context world_context(const struct world *w)
{
	struct pack_context context = { .io = w->io,
					.keys = w->ring,
					.host = *store_host(w->store) };

	memcpy(context.repository, store_config(w->store)->repository, REPOSITORY_ID_BYTES);
	return context;
}

/* ---- the doors, in the child ---- */

double seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct look {
	struct world *w;
	struct chunk_cache *cache;
	struct content_reader *reader;
	struct id_hasher *hasher;
	uint8_t *bytes;
	struct findings *found;
};

static int count_entry(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	const char *name = strrchr(path, '/');

	(void)depth;
	((struct look *)context)->found->entries++;
	/* What a name must never be, whoever wrote it. */
	if (*path &&
	    (!name_valid(e->name, e->name_n) || !name ||
	     strncmp(name + 1, e->name, e->name_n) != 0) &&
	    name)
		abort();
	return 0;
}

/* Every piece by itself against its id, then the same bytes as a reader of the file gets them. */
static int read_file(struct look *l, const struct tree_entry *e)
{
	struct piece_view view;
	struct chunk_id id;
	int64_t got;
	int r;

	r = content_reader_set(l->reader, &e->content);
	for (uint64_t n = 0; r == 0 && n < 64; n++) {
		r = content_reader_next(l->reader, &view);
		if (r <= 0)
			break;
		r = 0;
		if (piece_is_hole(&view.piece))
			continue;
		r = content_read_piece(l->reader, &view, l->bytes);
		if (r < 0)
			break;
		id_hasher_run(l->hasher, l->bytes, (size_t)view.piece.length, &id);
		l->found->lies += !chunk_id_equal(&id, &view.piece.id);
	}
	if (r < 0)
		return r;
	r = content_reader_set(l->reader, &e->content);
	if (r < 0)
		return r;
	got = content_read(l->reader, 0, l->bytes, READ_MAX);
	if (got < 0)
		return (int)got;
	if (got == (int64_t)strlen(GOOD_BYTES) &&
	    memcmp(l->bytes, GOOD_BYTES, strlen(GOOD_BYTES)) == 0)
		l->found->good++;
	(void)content_seek_hole(l->reader, 0, true);
	return content_read(l->reader, e->size - 1, l->bytes, 1) < 0 ? -EIO : 0;
}

static int look_at_entry(void *context, const char *path, const struct tree_entry *e,
			 uint32_t depth)
{
	struct look *l = context;
	int r = 0;

	(void)path;
	(void)depth;
	if (S_ISREG(e->mode))
		r = read_file(l, e);
	if (r < 0 && l->found->read == 0)
		l->found->read = r;
	return 0;
}

static int look_past(void *context, const char *path, int error, uint64_t lost)
{
	(void)context;
	(void)path;
	(void)error;
	(void)lost;
	return 0;
}

static int any_change(void *context, enum diff_change change, const char *path,
		      const struct tree_entry *before, const struct tree_entry *after)
{
	(void)context;
	(void)change;
	(void)path;
	(void)before;
	(void)after;
	return 0;
}

static int any_hit(void *context, const struct finder_hit *hit)
{
	(void)context;
	(void)hit;
	return 0;
}

static void door_open(struct look *l)
{
	l->found->open = store_open(l->w->io, l->w->ring, STORE_READ_WRITE, &l->w->store);
	if (l->found->open == 0)
		l->found->open = timeline_open(l->w->store, store_host(l->w->store), &l->w->t);
	MUST(l->found->open == 0);
	MUST(chunk_cache_new(l->w->store, MIB(16), 1, &l->cache) == 0);
	MUST(content_reader_new(l->cache, &l->reader) == 0);
	MUST(store_hasher(l->w->store, OBJECT_DATA, &l->hasher) == 0);
	l->bytes = malloc(READ_MAX);
	MUST(l->bytes != NULL);
	MUST(timeline_count(l->w->t, &l->found->snapshots) == 0);
}

static struct tree_entry newest_root(struct look *l)
{
	struct tree_entry root = { .name = "", .mode = S_IFDIR | 0755, .nlink = 2 };
	struct snapshot_info info;

	if (timeline_latest(l->w->t, &info) == 0)
		root.tree = info.root_tree;
	return root;
}

static void door_restore(struct look *l)
{
	const struct restore_options options = { .target = l->w->target };
	struct restore_result result = { 0 };
	struct snapshot_info info;
	char path[96];
	int n = 0;
	DIR *box;

	if (timeline_latest(l->w->t, &info) < 0)
		return;
	l->found->restore = restore_run(l->w->t, &info, l->cache, l->w->source, &options, &result);
	l->found->restore_errors = result.errors + result.incomplete;
	(void)snprintf(path, sizeof(path), "%s/canary", l->w->outside);
	l->found->escaped = !text_is(path, "untouched");
	(void)snprintf(path, sizeof(path), "%s/box", l->w->folder);
	for (box = opendir(path); readdir(box);)
		n++;
	(void)closedir(box);
	box = opendir(l->w->outside);
	while (readdir(box))
		n++;
	(void)closedir(box);
	/* Both with "." and "..": the target (unless nothing was made), outside, canary. */
	l->found->escaped |= n > 7;
}

/* The hostile snapshot is what a new one compares with. */
static void door_capture(struct look *l)
{
	const struct capture_source source = { .path = l->w->source };
	const struct capture_options options = { .sources = &source,
						 .n_sources = 1,
						 .reason = "manual" };
	struct capture_result result = { 0 };
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	struct tree_entry entry;
	char path[96];

	l->found->capture = capture_run(l->w->t, &options, &result);
	if (l->found->capture < 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/good", l->w->source);
	MUST(tree_reader_new(l->cache, &reader) == 0);
	if (tree_reader_walk(reader, &result.snapshot.root_tree, path, &entry) < 0)
		return;
	l->found->good = 0;
	l->found->healed = read_file(l, &entry) == 0 && l->found->good == 1;
}

static void go_through(struct look *l, enum door door)
{
	struct tree_entry root;

	switch (door) {
	case DOOR_OPEN:
		door_open(l);
		break;
	case DOOR_WALK:
		root = newest_root(l);
		l->found->walk = tree_walk(l->cache, &root, count_entry, NULL, l);
		break;
	case DOOR_READ:
		root = newest_root(l);
		(void)tree_walk(l->cache, &root, look_at_entry, look_past, l);
		break;
	case DOOR_DIFF:
		root = newest_root(l);
		l->found->diff = diff_trees(l->cache, NULL, &root, any_change, l);
		break;
	case DOOR_FIND:
		l->found->find =
			finder_run(l->w->t, l->cache, &(struct finder_options){ .pattern = "*o*" },
				   any_hit, l, &l->found->unreadable);
		break;
	case DOOR_AUDIT: {
		struct audit_result result = { 0 };

		l->found->audit =
			audit_run(l->w->store, l->cache, &(struct audit_options){ 0 }, &result);
		l->found->audit_errors = result.errors;
		break;
	}
	case DOOR_SCRUB: {
		struct scrub_result result = { 0 };

		l->found->scrub =
			scrub_run(l->w->store, &(struct scrub_options){ .data = true }, &result);
		l->found->scrub_errors = result.errors;
		break;
	}
	case DOOR_RESTORE:
		door_restore(l);
		break;
	default:
		door_capture(l);
	}
}

static _Noreturn void child(struct world *w)
{
	struct look l = { .w = w, .found = w->found };

	(void)alarm((unsigned int)(30 * SLOWER));
	for (int door = 0; door < DOORS; door++) {
		const double start = seconds_now();

		go_through(&l, (enum door)door);
		w->found->seconds[door] = seconds_now() - start;
		w->found->done++;
	}
	content_reader_free(l.reader);
	id_hasher_free(l.hasher);
	chunk_cache_free(l.cache);
	close_store(w);
	free(l.bytes);
	_exit(0);
}

/* ---- judging ---- */

static bool fits(int wanted, uint64_t errors, int r)
{
	const bool some = errors > 0 || r < 0;

	return wanted == ANY || some == (wanted != 0);
}

#define EXPECT(condition, ...)                                        \
	do {                                                          \
		if (!(condition)) {                                   \
			print_error("%s: " #condition ": ", s->name); \
			print_error(__VA_ARGS__);                     \
			print_error("\n");                            \
			bad++;                                        \
		}                                                     \
	} while (0)

static int judge(const struct scenario *s, const struct findings *f, int status,
		 const struct rusage *usage)
{
	int bad = 0;

	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "died (%d) at the door '%s'", status,
	       f->done < DOORS ? door_names[f->done] : "end");
	if (bad)
		return bad;
	EXPECT(s->walk == ANY || f->walk == s->walk, "%d, wanted %d", f->walk, s->walk);
	EXPECT(s->read == ANY || f->read == s->read, "%d, wanted %d", f->read, s->read);
	EXPECT(f->diff == f->walk, "diff %d, walk %d", f->diff, f->walk);
	EXPECT(f->find == 0, "%d", f->find);
	EXPECT((f->unreadable > 0) == (f->walk < 0), "%lu unreadable, walk %d",
	       (unsigned long)f->unreadable, f->walk);
	EXPECT(f->audit == 0 && fits(s->audit, f->audit_errors, 0), "audit %d, errors %lu",
	       f->audit, (unsigned long)f->audit_errors);
	EXPECT(f->scrub == 0 && fits(s->scrub, f->scrub_errors, 0), "scrub %d, errors %lu",
	       f->scrub, (unsigned long)f->scrub_errors);
	EXPECT(fits(s->restore, f->restore_errors, f->restore), "restore %d, errors %lu",
	       f->restore, (unsigned long)f->restore_errors);
	EXPECT(!f->escaped, "left the target");
	EXPECT(s->may_lie || f->lies == 0, "%lu wrong pieces", (unsigned long)f->lies);
	EXPECT(f->capture == 0 && f->healed, "capture %d", f->capture);
	for (int door = 0; door < DOORS; door++)
		EXPECT(f->seconds[door] < SECONDS_MAX * (s->slow ? 10 : 1), "%s: %.2f s",
		       door_names[door], f->seconds[door]);
	EXPECT(SLOWER > 1 || usage->ru_maxrss < MEMORY_KIB_MAX, "%ld KiB", usage->ru_maxrss);
	if (getenv("TEST_LOG"))
		print_message("%-28s walk %4d read %4d audit %3lu scrub %3lu restore %4d/%lu "
			      "%6ld KiB, slowest restore %.2f find %.2f capture %.2f s\n",
			      s->name, f->walk, f->read, (unsigned long)f->audit_errors,
			      (unsigned long)f->scrub_errors, f->restore,
			      (unsigned long)f->restore_errors, usage->ru_maxrss,
			      f->seconds[DOOR_RESTORE], f->seconds[DOOR_FIND],
			      f->seconds[DOOR_CAPTURE]);
	return bad;
}

static void make(struct world *w, const struct scenario *s)
{
	const struct pack_context context = world_context(w);
	struct chunk_id id;

	if (s->records) {
		struct raw_node leaf = { 0 };

		hostile_begin(&w->h, w->store, &context);
		(void)hostile_good_file(&w->h, &leaf, "good");
		id = raw_node_put(&w->h, &leaf);
		id = hostile_at_path(&w->h, w->source, &id);
		hostile_end(&w->h);
		(void)hostile_record(w->t, &id, w->source);
		s->records(w, s->kind);
		return;
	}
	hostile_begin(&w->h, w->store, &context);
	id = s->tree(w, s->kind);
	id = hostile_at_path(&w->h, w->source, &id);
	hostile_end(&w->h);
	(void)hostile_record(w->t, &id, w->source);
}

/* One scenario in a fresh repository. */
static int run(const struct scenario *s)
{
	struct rusage usage;
	struct world *w;
	void *state;
	int status = -1, bad;
	pid_t pid;

	(void)world_setup(&state);
	w = state;
	make(w, s);
	close_store(w);
	if (s->lose_index)
		MUST(chunk_index_reset(w->io) == 0);
	pid = fork();
	if (pid == 0)
		child(w);
	MUST(pid > 0 && wait4(pid, &status, 0, &usage) == pid);
	bad = judge(s, w->found, status, &usage);
	(void)world_teardown(&state);
	return bad;
}

void run_scenarios(const struct scenario *scenarios, size_t n)
{
	const char *only = getenv("TEST_ONLY");
	int bad = 0;

	for (size_t i = 0; i < n; i++)
		if (!only || strcmp(only, scenarios[i].name) == 0)
			bad += run(&scenarios[i]);
	assert_int_equal(bad, 0);
}
