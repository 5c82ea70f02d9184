/* SPDX-License-Identifier: MIT */
/*
 * Repositories made with valid keys by a client that went bad. Each is read
 * through every door, in a process of its own: it must say precisely what is
 * wrong, never return wrong bytes, never leave the restore's target, and stay
 * within seconds and memory. What the keys make possible is stated, too: an
 * object sealed under a false id is read as it is, until `check --data`.
 */
#include "snapshots/audit.h"
#include "snapshots/capture.h"
#include "snapshots/diff.h"
#include "snapshots/finder.h"
#include "snapshots/restore.h"
#include "snapshots/tree_reader.h"
#include "snapshots/tree_walk.h"
#include "store/base/log.h"
#include "store/scrub.h"
#include "tests/fault/hostile.h"

#include <dirent.h>
#include <errno.h>
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 20.0 /* and memory says nothing */
#else
#define SLOWER 1.0
#endif
#define SECONDS_MAX (2.0 * SLOWER)
#define MEMORY_KIB_MAX (256l * 1024)
#define READ_MAX MIB(8) /* of each file */
#define GOOD_BYTES "these bytes are as they were\n"

enum door {
	DOOR_OPEN,
	DOOR_WALK,
	DOOR_READ,
	DOOR_DIFF,
	DOOR_FIND,
	DOOR_AUDIT,
	DOOR_SCRUB,
	DOOR_RESTORE,
	DOOR_CAPTURE,
	DOORS
};
static const char *const door_names[DOORS] = { "open",  "walk",  "read",    "diff",   "find",
					       "audit", "scrub", "restore", "capture" };

/* What the child found; shared with it. */
struct findings {
	int open; /* opening store and timeline */
	int walk; /* of the whole newest snapshot, ending at the first damage */
	int read; /* first error while reading files */
	int diff; /* against an empty snapshot */
	int find;
	uint64_t unreadable;
	uint64_t entries; /* met while walking on past damage */
	uint64_t good;    /* files with the right bytes */
	uint64_t lies;    /* pieces whose bytes are not those of their id */
	uint64_t snapshots;
	int audit, scrub, restore, capture;
	uint64_t audit_errors, scrub_errors, restore_errors;
	bool escaped; /* something changed beside the restore's target */
	bool healed;  /* the next snapshot holds what the source holds */
	double seconds[DOORS];
	int done; /* doors gone through */
};

struct world {
	char folder[48], source[64], target[64], outside[64], repository[64];
	struct io *io;
	struct key_ring *ring;
	struct store *store;
	struct timeline *t;
	struct hostile h;
	struct findings *found;
};

#define SOME 1000 /* an error, whichever */
#define ANY 1001

/* What is made, and what must come of it. */
struct scenario {
	const char *name;
	/* Makes the directory that lies at the source's path. */
	struct chunk_id (*tree)(struct world *w, uint64_t kind);
	uint64_t kind;
	/* Instead: makes records, the store being open. */
	void (*records)(struct world *w, uint64_t kind);
	int walk, read;
	int audit, scrub, restore; /* 0: no errors; SOME; ANY */
	bool may_lie;
	bool lose_index; /* read with an index made from the packs */
	bool slow;       /* takes its time to be restored: 16,384 folders */
};

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

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[96];

	MUST(w != NULL);
	log_set_sink(quiet);
	MUST(crypto_init() == 0);
	strcpy(w->folder, "/tmp/yore-hostile-XXXXXX");
	MUST(mkdtemp(w->folder) != NULL);
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

static int teardown(void **state)
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

static struct pack_context own_context(const struct world *w)
{
	struct pack_context context = { .io = w->io,
					.keys = w->ring,
					.host = *store_host(w->store) };

	memcpy(context.repository, store_config(w->store)->repository, REPOSITORY_ID_BYTES);
	return context;
}

/* ---- the doors, in the child ---- */

static double seconds_now(void)
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
	const struct pack_context context = own_context(w);
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

	(void)setup(&state);
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
	(void)teardown(&state);
	return bad;
}

static void run_all(const struct scenario *scenarios, size_t n)
{
	const char *only = getenv("TEST_ONLY");
	int bad = 0;

	for (size_t i = 0; i < n; i++)
		if (!only || strcmp(only, scenarios[i].name) == 0)
			bad += run(&scenarios[i]);
	assert_int_equal(bad, 0);
}

#define RUN_ALL(scenarios) run_all(scenarios, sizeof(scenarios) / sizeof((scenarios)[0]))

/* ---- objects of the wrong type ---- */

static struct chunk_id honest(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };

	(void)kind;
	(void)hostile_good_file(&w->h, &leaf, "good");
	raw_symlink(&leaf, "link", "../../../../outside/canary");
	return raw_node_put(&w->h, &leaf);
}

/* A file whose piece is a directory node; a directory that is data, or a list; and so on. */
static struct chunk_id swapped_type(struct world *w, uint64_t kind)
{
	CLEANUP(raw_node_done) struct raw_node below = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	struct raw_node leaf = { 0 };
	struct chunk_id id;

	(void)hostile_good_file(&w->h, &below, "good");
	raw_node_bytes(&below, 0, &bytes);
	id = hostile_put(&w->h, (enum object_type)(kind & 3), bytes.data, bytes.n);
	switch (kind >> 2) {
	case OBJECT_DATA:
		raw_file(&leaf, "evil", &id, bytes.n);
		break;
	case OBJECT_TREE:
		raw_directory(&leaf, "evil", &id);
		break;
	default:
		raw_list_file(&leaf, "evil", &id, 1000);
	}
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}
#define SWAPPED(wanted, given) ((wanted) << 2 | (given))

static void test_types_cannot_be_swapped(void **state)
{
	static const struct scenario scenarios[] = {
		{ .name = "honest", .tree = honest },
		{ "tree as data", swapped_type, SWAPPED(OBJECT_DATA, OBJECT_TREE), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "list as data", swapped_type, SWAPPED(OBJECT_DATA, OBJECT_LIST), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "data as tree", swapped_type, SWAPPED(OBJECT_TREE, OBJECT_DATA), .walk = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "list as tree", swapped_type, SWAPPED(OBJECT_TREE, OBJECT_LIST), .walk = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "tree as list", swapped_type, SWAPPED(OBJECT_LIST, OBJECT_TREE), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "data as list", swapped_type, SWAPPED(OBJECT_LIST, OBJECT_DATA), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- packs that lie ---- */

enum pack_lie { TABLE_SWAPPED, INDEX_SWAPPED, FALSE_ID, FALSE_ID_TREE };

/* Two files whose chunks change places; or an object under an id that is not its own. */
static struct chunk_id swapped_chunks(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };
	struct chunk_id a, b, false_id = hostile_id(1);
	struct pack_entry *entries;
	struct chunk_id swap;
	size_t n;

	a = hostile_put(&w->h, OBJECT_DATA, "first of two chunks!", 20);
	b = hostile_put(&w->h, OBJECT_DATA, "second of the chunks", 20);
	n = pack_writer_count(w->h.pack);
	/* What the table will say, unless the index alone is to be told. */
	entries = (struct pack_entry *)(uintptr_t)pack_writer_entries(w->h.pack);
	if (kind == TABLE_SWAPPED) {
		swap = entries[n - 1].id;
		entries[n - 1].id = entries[n - 2].id;
		entries[n - 2].id = swap;
	}
	if (kind == INDEX_SWAPPED) {
		struct pack_entry told[2] = { entries[n - 2], entries[n - 1] };
		struct pack_info info = { .host = w->h.context.host, .kind = PACK_MIXED };

		told[0].id = entries[n - 1].id;
		told[1].id = entries[n - 2].id;
		MUST(pack_writer_finish(w->h.pack, &info.id, &info.size) == 0);
		MUST(chunk_index_add_pack(store_index(w->store), &info, told, 2) == 0);
		pack_writer_close(STEAL(w->h.pack));
	}
	raw_file(&leaf, "a", &a, 20);
	if (kind == FALSE_ID) {
		hostile_put_id(&w->h, OBJECT_DATA, &false_id, "twenty bytes of lie!", 20);
		b = false_id;
	}
	raw_file(&leaf, "b", &b, 20);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

enum frame_lie { RAW_LONGER, RAW_SHORTER, BOMB_CLAIM, BOMB_SILENT, FRAME_GARBAGE };

/* A zstd frame of 8 GiB of zeros in 256 KiB: 65,536 blocks of one repeated byte. */
static size_t make_bomb(uint8_t *to, bool claim)
{
	static const uint8_t claims[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 2, 0, 0, 0 };
	static const uint8_t silent[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58 };
	const size_t head = claim ? sizeof(claims) : sizeof(silent);
	size_t at = head;

	memcpy(to, claim ? claims : silent, head);
	for (uint32_t i = 0; i < 65536; i++) {
		const uint32_t block = (uint32_t)KIB(128) << 3 | 1 << 1 | (i == 65535);

		to[at++] = (uint8_t)block;
		to[at++] = (uint8_t)(block >> 8);
		to[at++] = (uint8_t)(block >> 16);
		to[at++] = 0;
	}
	return at;
}

static struct chunk_id forged_lengths(struct world *w, uint64_t kind)
{
	struct pack_entry e = { .id = hostile_id(2), .type = OBJECT_DATA, .codec = CODEC_ZSTD };
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	CLEANUP(free_ptr) uint8_t *stored = malloc(KIB(512));
	CLEANUP(free_ptr) uint8_t *plain = calloc(1, KIB(64));
	struct raw_node leaf = { 0 };

	MUST(stored && plain && compressor_new(&c) == 0);
	e.stored_n = (uint32_t)compressor_pack(c, 1, plain, KIB(64), stored, KIB(512));
	e.raw_n = KIB(64);
	if (kind == RAW_LONGER)
		e.raw_n++;
	if (kind == RAW_SHORTER)
		e.raw_n = e.stored_n + 1;
	if (kind == FRAME_GARBAGE)
		memset(stored, 0xff, e.stored_n);
	if (kind == BOMB_CLAIM || kind == BOMB_SILENT) {
		e.stored_n = (uint32_t)make_bomb(stored, kind == BOMB_CLAIM);
		e.raw_n = CHUNK_RAW_MAX;
	}
	hostile_put_as(&w->h, e, stored);
	raw_file(&leaf, "evil", &e.id, e.raw_n);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_packs_that_lie_are_found_out(void **state)
{
	static const struct scenario scenarios[] = {
		{ "table swapped", swapped_chunks, TABLE_SWAPPED, .read = -EBADMSG, .scrub = SOME,
		  .restore = SOME },
		{ "table swapped, new index", swapped_chunks, TABLE_SWAPPED, .read = -EBADMSG,
		  .scrub = SOME, .restore = SOME, .lose_index = true },
		{ "index swapped", swapped_chunks, INDEX_SWAPPED, .read = -EBADMSG, .scrub = SOME,
		  .restore = SOME },
		{ "frame too short", forged_lengths, RAW_LONGER, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "frame too long", forged_lengths, RAW_SHORTER, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "no frame", forged_lengths, FRAME_GARBAGE, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "bomb that says so", forged_lengths, BOMB_CLAIM, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "bomb that does not", forged_lengths, BOMB_SILENT, .read = -EUCLEAN,
		  .scrub = SOME, .restore = SOME },
		/* The id is bound to the seal, and the writer has the keys: only hashing tells. */
		{ "false id", swapped_chunks, FALSE_ID, .scrub = SOME, .may_lie = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- packs and records of others ---- */

enum foreign { OTHER_REPOSITORY, OTHER_KEYS, OTHER_HOST };

/* The file's chunk exists only in a pack that was sealed elsewhere and moved here. */
static struct chunk_id foreign_pack(struct world *w, uint64_t kind)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	const uint8_t binding[32] = { 7 };
	char from[PACK_PATH_BYTES], to[PACK_PATH_BYTES];
	struct pack_context context = own_context(w);
	struct raw_node leaf = { 0 };
	struct pack_id pack;
	struct hostile h;
	struct chunk_id id;

	if (kind == OTHER_REPOSITORY)
		context.repository[0] ^= 1;
	if (kind == OTHER_HOST)
		context.host.bytes[0] ^= 1;
	if (kind == OTHER_KEYS) {
		MUST(key_ring_create(binding, &other) == 0);
		context.keys = other;
	}
	hostile_begin(&h, w->store, &context);
	h.unlisted = true;
	id = hostile_put(&h, OBJECT_DATA, "from somewhere else.", 20);
	hostile_flush(&h, &pack);
	hostile_end(&h);
	pack_path(&context.host, &pack, from);
	pack_path(store_host(w->store), &pack, to);
	if (strcmp(from, to) != 0)
		MUST(io_rename(w->io, from, to, false, IO_OBJECT_PACK) == 0);
	raw_file(&leaf, "evil", &id, 20);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_packs_of_others_are_not_taken(void **state)
{
	static const struct scenario scenarios[] = {
		{ "other repository's pack", foreign_pack, OTHER_REPOSITORY, .read = -ENOENT,
		  .audit = SOME, .scrub = ANY, .restore = SOME, .lose_index = true },
		{ "pack under other keys", foreign_pack, OTHER_KEYS, .read = -ENOENT, .audit = SOME,
		  .scrub = ANY, .restore = SOME, .lose_index = true },
		{ "other host's pack", foreign_pack, OTHER_HOST, .read = -ENOENT, .audit = SOME,
		  .scrub = ANY, .restore = SOME, .lose_index = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* A slot of another repository, made with the same machine key, must not open this one. */
static void test_slots_of_other_repositories_are_refused(void **state)
{
	const uint8_t machine[KEY_BYTES] = { 5 }, theirs[32] = { 1 }, ours[32] = { 2 };
	const struct unlock unlock = { .machine_key = machine };
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	struct key_ring *opened = NULL;
	char name[SLOT_NAME_BYTES + 1];
	struct world *w = *state;

	assert_int_equal(key_ring_create(theirs, &other), 0);
	assert_int_equal(key_ring_add_machine(other, w->io, machine, "theirs", name), 0);
	assert_int_equal(key_ring_open(w->io, ours, &unlock, &opened), -EBADMSG);
	assert_null(opened);
}

/* ---- trees that no honest writer makes ---- */

enum shape { SELF, SELF_TWICE, PAIR };

/* Directories that contain themselves: possible only under false ids. */
static struct chunk_id cycle(struct world *w, uint64_t kind)
{
	CLEANUP(raw_node_done) struct raw_node inner = { 0 };
	CLEANUP(raw_node_done) struct raw_node other = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	const struct chunk_id self = hostile_id(3), second = hostile_id(4);
	struct raw_node leaf = { 0 };

	raw_directory(&inner, "a", kind == PAIR ? &second : &self);
	if (kind == SELF_TWICE)
		raw_directory(&inner, "b", &self);
	raw_node_bytes(&inner, 0, &bytes);
	hostile_put_id(&w->h, OBJECT_TREE, &self, bytes.data, bytes.n);
	if (kind == PAIR) {
		raw_directory(&other, "a", &self);
		raw_directory(&other, "b", &self);
		byte_buf_clear(&bytes);
		raw_node_bytes(&other, 0, &bytes);
		hostile_put_id(&w->h, OBJECT_TREE, &second, bytes.data, bytes.n);
	}
	raw_directory(&leaf, "evil", &self);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

/* So many directories inside one another, each honest. */
static struct chunk_id deep(struct world *w, uint64_t depth)
{
	struct raw_node leaf = { 0 };
	struct chunk_id id;

	(void)hostile_good_file(&w->h, &leaf, "good");
	id = raw_node_put(&w->h, &leaf);
	for (uint64_t i = 0; i < depth; i++) {
		raw_directory(&leaf, "a", &id);
		id = raw_node_put(&w->h, &leaf);
	}
	raw_directory(&leaf, "a", &id);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_cycles_and_depth_come_to_an_end(void **state)
{
	static const struct scenario scenarios[] = {
		{ "contains itself", cycle, SELF, .walk = -ELOOP, .audit = ANY, .scrub = SOME,
		  .restore = SOME, .may_lie = true },
		{ "contains itself twice", cycle, SELF_TWICE, .walk = -ELOOP, .audit = ANY,
		  .scrub = SOME, .restore = SOME, .may_lie = true },
		{ "contain each other", cycle, PAIR, .walk = -ELOOP, .audit = ANY, .scrub = SOME,
		  .restore = SOME, .may_lie = true },
		{ "deep", deep, 5000, .slow = true },
		{ "too deep", deep, 100000, .walk = -ELOOP, .audit = SOME, .restore = SOME,
		  .slow = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

static const struct {
	const char *name;
	size_t n;
} bad_names[] = { { "", 0 },     { ".", 1 },    { "..", 2 },
		  { "a/b", 3 },  { "a\0b", 3 }, { "/etc", 4 },
		  { "../x", 4 }, { "/", 1 },    { "../../outside/canary", 20 } };

static struct chunk_id bad_name(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };
	struct chunk_id data = hostile_put(&w->h, OBJECT_DATA, "evil", 4);
	struct byte_buf *to = raw_item(&leaf);

	raw_front(to, bad_names[kind].name, bad_names[kind].n, S_IFREG | 0644, 0);
	byte_buf_varint(to, 1);
	byte_buf_varint(to, 4 << 2 | 1);
	byte_buf_append(to, data.bytes, sizeof(data.bytes));
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

enum order {
	UNSORTED,
	DUPLICATE,
	LINK_THEN_FOLDER,
	DUPLICATE_OVER_LEAVES,
	CHILD_OUTSIDE,
	CHILD_TOTAL,
	CHILD_LEVEL,
	CHILD_ITSELF
};

/* Two leaves under an inner node that says something else of them. */
static struct chunk_id bad_children(struct world *w, uint64_t kind)
{
	struct raw_node one = { 0 }, two = { 0 }, inner = { .level = 1 };
	struct chunk_id a, b, below;

	raw_symlink(&one, "dir", "../../outside");
	a = raw_node_put(&w->h, &one);
	(void)hostile_good_file(&w->h, &two, "canary");
	below = raw_node_put(&w->h, &two);
	raw_directory(&two, kind == DUPLICATE_OVER_LEAVES ? "dir" : "good", &below);
	b = raw_node_put(&w->h, &two);
	raw_child(&inner, kind == CHILD_OUTSIDE ? "a" : "dir", &a, 1);
	if (kind == CHILD_LEVEL) {
		struct raw_node middle = { .level = 1 };

		raw_child(&middle, "good", &b, 1);
		b = raw_inner_put(&w->h, &middle, 1);
	}
	raw_child(&inner, "good", &b, kind == CHILD_TOTAL ? 7 : 1);
	return raw_inner_put(&w->h, &inner, kind == CHILD_TOTAL ? 8 : 2);
}

/* An inner node whose child is itself, under a false id. */
static struct chunk_id child_itself(struct world *w)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	CLEANUP(raw_node_done) struct raw_node inner = { .level = 1 };
	const struct chunk_id self = hostile_id(5);

	raw_child(&inner, "good", &self, 1);
	raw_node_bytes(&inner, 1, &bytes);
	hostile_put_id(&w->h, OBJECT_TREE, &self, bytes.data, bytes.n);
	return self;
}

static struct chunk_id bad_order(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 }, below = { 0 };
	struct chunk_id id;

	if (kind == CHILD_ITSELF)
		return child_itself(w);
	if (kind >= DUPLICATE_OVER_LEAVES)
		return bad_children(w, kind);
	(void)hostile_good_file(&w->h, &below, "canary");
	id = raw_node_put(&w->h, &below);
	if (kind == LINK_THEN_FOLDER)
		raw_symlink(&leaf, "evil", "../../outside");
	else
		(void)hostile_good_file(&w->h, &leaf, kind == UNSORTED ? "z" : "evil");
	raw_directory(&leaf, "evil", &id);
	return raw_node_put(&w->h, &leaf);
}

static void test_names_never_lead_elsewhere(void **state)
{
	struct scenario scenarios[sizeof(bad_names) / sizeof(bad_names[0])];

	(void)state;
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		scenarios[i] = (struct scenario){ bad_names[i].n ? bad_names[i].name : "(empty)",
						  bad_name,
						  i,
						  .walk = -EUCLEAN,
						  .audit = SOME,
						  .restore = SOME };
	RUN_ALL(scenarios);
}

static void test_order_and_children_are_checked(void **state)
{
#define MALFORMED .walk = -EUCLEAN, .audit = SOME, .restore = SOME
	static const struct scenario scenarios[] = {
		{ "unsorted", bad_order, UNSORTED, MALFORMED },
		{ "duplicate", bad_order, DUPLICATE, MALFORMED },
		{ "link, then folder", bad_order, LINK_THEN_FOLDER, MALFORMED },
		{ "the same over two leaves", bad_order, DUPLICATE_OVER_LEAVES, MALFORMED },
		{ "child's name", bad_order, CHILD_OUTSIDE, MALFORMED },
		{ "child's number of entries", bad_order, CHILD_TOTAL, MALFORMED },
		{ "child's level", bad_order, CHILD_LEVEL, MALFORMED },
		{ "child of itself", bad_order, CHILD_ITSELF, MALFORMED, .scrub = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- counts and lengths ---- */

enum count_lie {
	MANY_ENTRIES,
	NO_ENTRIES,
	MANY_CHILDREN_TOTAL,
	LEVEL_255,
	OFFSETS_BACK,
	MANY_PIECES,
	MANY_EXTENTS,
	EXTENTS_SHORT,
	EXTENTS_LONG,
	EXTENT_PAST_CHUNK,
	PIECE_TOO_LONG,
	HOLE_PAST_END,
	SIZE_TWICE,
	XATTRS_HUGE,
	XATTRS_MALFORMED,
	XATTRS_CHUNK_MISSING,
	LINK_HUGE,
	LINK_NUL,
	UNKNOWN_TYPE,
	UNKNOWN_FIELDS
};

static void put_pieces(struct byte_buf *to, struct raw_node *leaf, const struct chunk_id *data,
		       uint64_t kind)
{
	const bool several = kind == MANY_EXTENTS || kind == EXTENTS_SHORT || kind == EXTENTS_LONG;

	raw_front(to, "evil", 4, S_IFREG | 0644, 0);
	if (kind == MANY_PIECES) {
		byte_buf_varint(to, UINT32_MAX);
		return;
	}
	if (kind == HOLE_PAST_END) {
		byte_buf_varint(to, 2);
		for (int i = 0; i < 2; i++) {
			byte_buf_varint(to, 0);
			byte_buf_varint(to, INT64_MAX);
		}
		byte_buf_append(to, data->bytes, sizeof(data->bytes));
		return;
	}
	byte_buf_append(&leaf->chunks, data->bytes, sizeof(data->bytes));
	byte_buf_varint(to, 1);
	byte_buf_varint(to, (kind == PIECE_TOO_LONG ? CHUNK_RAW_MAX + 1ull : 40) << 2 |
				    (several ? 3 : 2));
	byte_buf_append(to, data->bytes, sizeof(data->bytes));
	if (several)
		byte_buf_varint(to, kind == MANY_EXTENTS ? PIECE_EXTENTS_MAX + 1 : 2);
	byte_buf_varint(to, 0);
	byte_buf_varint(to, kind == EXTENT_PAST_CHUNK ? 30 : 0);
	if (!several)
		return;
	byte_buf_varint(to, kind == EXTENTS_LONG ? 41 : 40);
	byte_buf_varint(to, 0);
	byte_buf_varint(to, 0);
}

static void put_attributes(struct byte_buf *to, uint64_t kind)
{
	const struct chunk_id missing = hostile_id(9);

	raw_front(to, "evil", 4, S_IFDIR | 0755,
		  RAW_XATTRS | (kind == XATTRS_CHUNK_MISSING ? RAW_MORE : 0));
	if (kind == XATTRS_CHUNK_MISSING) {
		byte_buf_varint(to, ENTRY_XATTRS_CHUNK);
		byte_buf_varint(to, 0);
		byte_buf_varint(to, 0);
		byte_buf_blob(to, missing.bytes, sizeof(missing.bytes));
	} else if (kind == XATTRS_HUGE) {
		byte_buf_varint(to, UINT64_MAX);
	} else {
		byte_buf_blob(to, "\x06user.a\x01x", 9); /* a name without its NUL */
	}
}

static void put_link(struct byte_buf *to, uint64_t kind)
{
	char target[LINK_BYTES_MAX + 2];

	memset(target, 'x', sizeof(target));
	raw_front(to, "evil", 4, S_IFLNK | 0777, 0);
	if (kind == LINK_HUGE)
		byte_buf_blob(to, target, LINK_BYTES_MAX + 1);
	else
		byte_buf_blob(to, "a\0b", 3);
}

static void put_entry(struct world *w, struct raw_node *leaf, uint64_t kind)
{
	static const char bytes[] = "forty bytes, not one more, not one less.";
	const struct chunk_id data = hostile_put(&w->h, OBJECT_DATA, bytes, 40);
	struct byte_buf *to = raw_item(leaf);

	if (kind >= MANY_PIECES && kind <= HOLE_PAST_END) {
		put_pieces(to, leaf, &data, kind);
	} else if (kind >= XATTRS_HUGE && kind <= XATTRS_CHUNK_MISSING) {
		put_attributes(to, kind);
	} else if (kind == LINK_HUGE || kind == LINK_NUL) {
		put_link(to, kind);
	} else {
		raw_front(to, "evil", 4, kind == UNKNOWN_TYPE ? 0170000 : S_IFREG | 0644,
			  kind == UNKNOWN_FIELDS ? 0x8000
			  : kind == SIZE_TWICE   ? RAW_SIZE
						 : 0);
		if (kind == SIZE_TWICE)
			byte_buf_varint(to, 1ull << 40);
		byte_buf_varint(to, 1);
		byte_buf_varint(to, 40 << 2 | 1);
		byte_buf_append(to, data.bytes, sizeof(data.bytes));
	}
}

static struct chunk_id bad_count(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };

	put_entry(w, &leaf, kind);
	(void)hostile_good_file(&w->h, &leaf, "good");
	if (kind == MANY_ENTRIES)
		leaf.false_count = 65535;
	if (kind == NO_ENTRIES)
		leaf.false_count = 65536;
	if (kind == OFFSETS_BACK)
		leaf.offsets.data[0] = 9;
	if (kind == LEVEL_255)
		leaf.level = 255;
	if (kind == MANY_CHILDREN_TOTAL) {
		struct raw_node inner = { .level = 1 };
		const struct chunk_id id = raw_node_put(&w->h, &leaf);

		raw_child(&inner, "evil", &id, UINT64_MAX);
		raw_child(&inner, "f", &id, 2);
		return raw_inner_put(&w->h, &inner, 1);
	}
	return raw_inner_put(&w->h, &leaf, 2);
}

static void test_counts_and_lengths_are_bounded(void **state)
{
	static const struct scenario scenarios[] = {
		{ "65,535 entries", bad_count, MANY_ENTRIES, MALFORMED },
		{ "no entries", bad_count, NO_ENTRIES, MALFORMED },
		{ "2^64 entries below", bad_count, MANY_CHILDREN_TOTAL, MALFORMED },
		{ "level 255", bad_count, LEVEL_255, MALFORMED },
		{ "offsets", bad_count, OFFSETS_BACK, MALFORMED },
		{ "2^32 pieces", bad_count, MANY_PIECES, MALFORMED },
		{ "129 extents", bad_count, MANY_EXTENTS, MALFORMED },
		{ "extents too short", bad_count, EXTENTS_SHORT, MALFORMED },
		{ "extents too long", bad_count, EXTENTS_LONG, MALFORMED },
		{ "extent past its chunk", bad_count, EXTENT_PAST_CHUNK, .read = -EUCLEAN,
		  .audit = SOME, .restore = SOME },
		{ "piece too long", bad_count, PIECE_TOO_LONG, MALFORMED },
		{ "holes past 2^63", bad_count, HOLE_PAST_END, MALFORMED },
		{ "two sizes", bad_count, SIZE_TWICE, MALFORMED },
		{ "2^64 bytes of attributes", bad_count, XATTRS_HUGE, MALFORMED },
		{ "attributes malformed", bad_count, XATTRS_MALFORMED, .walk = ANY, .audit = SOME,
		  .restore = ANY },
		{ "attributes missing", bad_count, XATTRS_CHUNK_MISSING, .audit = SOME,
		  .restore = ANY },
		{ "link too long", bad_count, LINK_HUGE, MALFORMED },
		{ "link with a NUL", bad_count, LINK_NUL, MALFORMED },
		{ "unknown type", bad_count, UNKNOWN_TYPE, MALFORMED },
		{ "unknown fields", bad_count, UNKNOWN_FIELDS, MALFORMED },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- long lists ---- */

enum list_lie { LIST_LENGTH, LIST_CHILD_LENGTH, LIST_CHILD_LEVEL, LIST_ITSELF, LIST_PIECES };

static void list_leaf(struct world *w, struct byte_buf *to, unsigned int n)
{
	const struct chunk_id id = hostile_put(&w->h, OBJECT_DATA, "0123456789", 10);

	byte_buf_u8(to, NODE_FORMAT);
	byte_buf_u8(to, 0);
	byte_buf_u16(to, (uint16_t)n);
	byte_buf_u16(to, 0);
	for (unsigned int i = 0; i < n; i++) {
		byte_buf_varint(to, 10 << 2 | 1);
		byte_buf_append(to, id.bytes, sizeof(id.bytes));
	}
	for (unsigned int i = 0; i < n; i++)
		byte_buf_u16(to, (uint16_t)(i * 33));
}

static void list_inner(struct byte_buf *to, uint8_t level, const struct chunk_id *child,
		       uint64_t length, uint64_t pieces)
{
	byte_buf_u8(to, NODE_FORMAT);
	byte_buf_u8(to, level);
	byte_buf_u16(to, 2);
	byte_buf_u16(to, 0);
	byte_buf_u64(to, 2 * length);
	byte_buf_u64(to, 2 * pieces);
	byte_buf_u64(to, 0);
	for (int i = 0; i < 2; i++) {
		byte_buf_append(to, child->bytes, sizeof(child->bytes));
		byte_buf_u64(to, length);
		byte_buf_u64(to, pieces);
		byte_buf_u64(to, 0);
	}
}

static struct chunk_id bad_list(struct world *w, uint64_t kind)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	const struct chunk_id self = hostile_id(6);
	struct raw_node leaf = { 0 };
	struct chunk_id id;
	uint64_t length = 200;

	list_leaf(w, &bytes, 20);
	id = hostile_put(&w->h, OBJECT_LIST, bytes.data, bytes.n);
	if (kind != LIST_LENGTH) {
		byte_buf_clear(&bytes);
		list_inner(&bytes, kind == LIST_CHILD_LEVEL ? 2 : 1,
			   kind == LIST_ITSELF ? &self : &id, kind == LIST_CHILD_LENGTH ? 201 : 200,
			   kind == LIST_PIECES ? 21 : 20);
		length = kind == LIST_CHILD_LENGTH ? 402 : 400;
		id = self;
		if (kind == LIST_ITSELF)
			hostile_put_id(&w->h, OBJECT_LIST, &self, bytes.data, bytes.n);
		else
			id = hostile_put(&w->h, OBJECT_LIST, bytes.data, bytes.n);
	}
	raw_list_file(&leaf, "evil", &id, kind == LIST_LENGTH ? 1ull << 62 : length);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_lists_must_add_up(void **state)
{
#define BAD_LIST .read = -EUCLEAN, .audit = SOME, .restore = SOME
	static const struct scenario scenarios[] = {
		{ "list's length", bad_list, LIST_LENGTH, BAD_LIST },
		{ "list child's length", bad_list, LIST_CHILD_LENGTH, BAD_LIST },
		{ "list child's level", bad_list, LIST_CHILD_LEVEL, BAD_LIST },
		{ "list child's pieces", bad_list, LIST_PIECES, BAD_LIST },
		{ "list of itself", bad_list, LIST_ITSELF, BAD_LIST, .scrub = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- records ---- */

enum record_lie {
	WRONG_SEQ,
	WRONG_HOST,
	MANY_SOURCES,
	MANY_PACKS,
	ROOT_IS_FILE,
	ROOT_GARBAGE,
	PREVIOUS_LATER,
	FUTURE,
	SOURCE_DOTS
};

static void put_body(struct byte_buf *to, uint64_t kind, const struct tree_entry *root)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf encoded = { 0 };
	uint8_t previous[32] = { 0 };

	if (kind == PREVIOUS_LATER)
		memset(previous, 0xee, sizeof(previous));
	MUST(tree_entry_encode(&encoded, root) == 0);
	byte_buf_u8(to, RECORD_SNAPSHOT);
	byte_buf_append(to, previous, sizeof(previous));
	byte_buf_zigzag(to, kind == FUTURE ? INT64_MAX : clock_now_ns());
	byte_buf_zigzag(to, 0);
	byte_buf_varint(to, 0);
	byte_buf_blob(to, "host", 4);
	byte_buf_blob(to, "manual", 6);
	byte_buf_varint(to, 0); /* tags */
	byte_buf_varint(to, 1);
	byte_buf_varint(to, 0);
	byte_buf_append(to, previous, 16);
	byte_buf_varint(to, kind == MANY_SOURCES ? UINT32_MAX : kind == SOURCE_DOTS);
	if (kind == SOURCE_DOTS) {
		byte_buf_blob(to, "/a/../../etc", 12);
		for (int i = 0; i < 12; i++)
			byte_buf_u8(to, 0);
	}
	if (kind == ROOT_GARBAGE)
		byte_buf_blob(to, "nonsense", 8);
	else
		byte_buf_blob(to, encoded.data, encoded.n);
	byte_buf_varint(to, kind == MANY_PACKS ? 1ull << 40 : 0);
	for (int i = 0; i < 7; i++)
		byte_buf_varint(to, 0);
}

static void bad_record(struct world *w, uint64_t kind)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };
	struct host_id host = *store_host(w->store);
	struct tree_entry root = { .name = "", .mode = S_IFDIR | 0755, .nlink = 2 };
	struct snapshot_info good;
	char from[RECORD_PATH_BYTES], to[RECORD_PATH_BYTES], name[96];
	uint64_t seq = 2;

	MUST(timeline_latest(w->t, &good) == 0);
	root.tree = good.root_tree;
	if (kind == ROOT_IS_FILE)
		root = (struct tree_entry){ .name = "", .mode = S_IFREG | 0644, .nlink = 1 };
	put_body(&body, kind, &root);
	MUST(!body.failed);
	if (kind == WRONG_HOST)
		host.bytes[0] ^= 1;
	if (kind == WRONG_SEQ) {
		/* Number 1 once more, as number 2. */
		record_path(&host, 1, &good.id, from);
		record_path(&host, 2, &good.id, to);
		MUST(io_rename(w->io, from, to, false, IO_OBJECT_RECORD) == 0);
		return;
	}
	if (kind == WRONG_HOST) {
		(void)snprintf(name, sizeof(name), "records/%s",
			       bytes_to_hex(host.bytes, sizeof(host.bytes), to));
		MUST(io_mkdir(w->io, name, IO_OBJECT_FOLDER) == 0);
	}
	hostile_raw_record(w->store, &host, seq, body.data, body.n);
}

static void test_records_that_lie_are_named_and_skipped(void **state)
{
	/* The newest one is skipped, so that the good one before it is what is read. */
	static const struct scenario scenarios[] = {
		{ "number 1 as number 2", .records = bad_record, .kind = WRONG_SEQ, .audit = SOME,
		  .restore = ANY },
		{ "of another host", .records = bad_record, .kind = WRONG_HOST, .audit = ANY },
		{ "2^32 sources", .records = bad_record, .kind = MANY_SOURCES, .audit = SOME },
		{ "2^40 packs", .records = bad_record, .kind = MANY_PACKS, .audit = SOME },
		{ "root is a file", .records = bad_record, .kind = ROOT_IS_FILE, .audit = SOME },
		{ "root is nonsense", .records = bad_record, .kind = ROOT_GARBAGE, .audit = SOME },
		{ "source is ..", .records = bad_record, .kind = SOURCE_DOTS, .audit = SOME },
		{ "follows a later one", .records = bad_record, .kind = PREVIOUS_LATER,
		  .audit = ANY },
		{ "of the year 2262", .records = bad_record, .kind = FUTURE, .audit = ANY },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* Forty levels of two: a million million paths. It is checked by directories, not by paths. */
static void test_many_paths_to_few_directories_are_checked_quickly(void **state)
{
	const struct pack_context context = own_context(*state);
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	struct audit_result result;
	struct raw_node leaf = { 0 };
	struct world *w = *state;
	const double start = seconds_now();
	struct chunk_id id;

	hostile_begin(&w->h, w->store, &context);
	(void)hostile_good_file(&w->h, &leaf, "good");
	id = raw_node_put(&w->h, &leaf);
	for (int i = 0; i < 40; i++) {
		raw_directory(&leaf, "a", &id);
		raw_directory(&leaf, "b", &id);
		id = raw_node_put(&w->h, &leaf);
	}
	hostile_end(&w->h);
	(void)hostile_record(w->t, &id, "/");
	assert_int_equal(chunk_cache_new(w->store, MIB(16), 0, &cache), 0);
	assert_int_equal(audit_run(w->store, cache, &(struct audit_options){ 0 }, &result), 0);
	assert_int_equal(result.errors, 0);
	assert_int_equal(result.nodes, 41);
	assert_true(seconds_now() - start < SECONDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_cannot_be_swapped),
		cmocka_unit_test(test_packs_that_lie_are_found_out),
		cmocka_unit_test(test_packs_of_others_are_not_taken),
		cmocka_unit_test_setup_teardown(test_slots_of_other_repositories_are_refused, setup,
						teardown),
		cmocka_unit_test(test_cycles_and_depth_come_to_an_end),
		cmocka_unit_test(test_names_never_lead_elsewhere),
		cmocka_unit_test(test_order_and_children_are_checked),
		cmocka_unit_test(test_counts_and_lengths_are_bounded),
		cmocka_unit_test(test_lists_must_add_up),
		cmocka_unit_test(test_records_that_lie_are_named_and_skipped),
		cmocka_unit_test_setup_teardown(
			test_many_paths_to_few_directories_are_checked_quickly, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
