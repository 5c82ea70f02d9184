/* SPDX-License-Identifier: MIT */
#include "snapshots/restore.h"

#include "snapshots/restore_internal.h"
#include "store/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- what happens to objects ---- */

int restore_stopped(struct restore *run)
{
	const int failure = atomic_load_explicit(&run->failure, memory_order_relaxed);

	if (failure < 0)
		return failure;
	return run->options->cancel && *run->options->cancel ? -ECANCELED : 0;
}

static void say(struct restore *run, struct restore_dir *dir, const char *name, const char *what,
		int error)
{
	CLEANUP(free_ptr) char *path = restore_dir_path(run, dir, name);
	const char *shown = path ? path : "(no memory for the path)";

	if (!run->options->problem) {
		(void)log_errno(error, "restore: %s: %s", shown, what);
		return;
	}
	LOCK_SCOPE(&run->lock);
	run->options->problem(run->options->context, shown, what, error);
}

void restore_error(struct restore *run, struct restore_dir *dir, const char *name, const char *what,
		   int error)
{
	/* The end of the run is told once, by its return value. */
	if (restore_stopped(run) < 0)
		return;
	atomic_fetch_add(&run->errors, 1);
	say(run, dir, name, what, error);
	if (error == -ENOSPC || error == -EDQUOT || error == -ENOMEM)
		atomic_compare_exchange_strong(&run->failure, &(int){ 0 }, error);
}

void restore_shortfall(struct restore *run, struct restore_dir *dir, const char *name,
		       const char *what, int error)
{
	say(run, dir, name, what, error);
}

void restore_plan(struct restore *run, struct restore_dir *dir, const char *name, const char *what)
{
	CLEANUP(free_ptr) char *path = NULL;

	if (!run->options->planned)
		return;
	path = restore_dir_path(run, dir, name);
	if (!path)
		return;
	LOCK_SCOPE(&run->lock);
	run->options->planned(run->options->context, path, what);
}

void restore_progress_add(struct restore *run, uint64_t objects, uint64_t bytes)
{
	struct restore_progress *p = run->options->progress;

	if (!p)
		return;
	if (objects > 0)
		atomic_fetch_add_explicit(&p->objects, objects, memory_order_relaxed);
	if (bytes > 0)
		atomic_fetch_add_explicit(&p->bytes, bytes, memory_order_relaxed);
}

/* ---- threads ---- */

int restore_thread_init(struct restore_thread *t, struct restore *run)
{
	int r;

	*t = (struct restore_thread){ .run = run };
	t->back = malloc(VERIFY_BYTES);
	if (!t->back)
		return -ENOMEM;
	r = content_reader_new(run->cache, &t->reader);
	return r < 0 ? r : content_reader_new(run->cache, &t->ahead);
}

void restore_thread_done(struct restore_thread *t)
{
	if (t->run)
		chunk_cache_unpin(t->run->cache, &t->pin);
	content_reader_free(t->reader);
	content_reader_free(t->ahead);
	byte_buf_done(&t->xattrs);
	free(t->back);
}

static void run_batch(struct restore_thread *t, struct restore_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		struct restore_item *item = &batch->items[i];

		restore_item_run(t, item);
		link_group_unref(item->link);
		atomic_fetch_sub(&item->dir->n_items, 1);
		restore_dir_finish(t, item->dir);
		restore_dir_unref(item->dir);
	}
	chunk_cache_unpin(t->run->cache, &t->pin);
	t->pin = (struct chunk_pin){ 0 };
}

static void *worker(void *context)
{
	struct restore_thread *t = context;
	void *batch;

	while (queue_pop(t->run->full, &batch) == 0) {
		run_batch(t, batch);
		(void)queue_push(t->run->empty, batch);
	}
	return NULL;
}

struct crew {
	struct restore_thread threads[RESTORE_THREADS_MAX + 1]; /* the last one is the walker's */
	pthread_t ids[RESTORE_THREADS_MAX];
	unsigned int n;
	unsigned int started;
	struct restore_batch **batches;
	size_t n_batches;
};

static void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	for (unsigned int i = 0; i <= RESTORE_THREADS_MAX; i++)
		restore_thread_done(&crew->threads[i]);
	for (size_t i = 0; crew->batches && i < crew->n_batches; i++)
		free(crew->batches[i]);
	free(crew->batches);
	free(crew);
}
CLEANUP_DEFINE(struct crew, crew_free)

static unsigned int choose_threads(const struct restore_options *options)
{
	long n = options->threads;

	if (n == 0)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	if (n < 1)
		n = 1;
	return n > RESTORE_THREADS_MAX ? RESTORE_THREADS_MAX : (unsigned int)n;
}

static int crew_new(struct restore *run, struct crew **ret_crew)
{
	CLEANUP(crew_free_ptr) struct crew *crew = calloc(1, sizeof(*crew));
	int r;

	if (!crew)
		return -ENOMEM;
	crew->n = choose_threads(run->options);
	crew->n_batches = 2 * crew->n + 4;
	crew->batches = calloc(crew->n_batches, sizeof(struct restore_batch *));
	if (!crew->batches)
		return -ENOMEM;
	r = queue_new(crew->n_batches, &run->full);
	if (r == 0)
		r = queue_new(crew->n_batches, &run->empty);
	for (size_t i = 0; r == 0 && i < crew->n_batches; i++) {
		crew->batches[i] = malloc(sizeof(struct restore_batch));
		r = crew->batches[i] ? queue_push(run->empty, crew->batches[i]) : -ENOMEM;
	}
	for (unsigned int i = 0; r == 0 && i < crew->n; i++)
		r = restore_thread_init(&crew->threads[i], run);
	if (r == 0)
		r = restore_thread_init(&crew->threads[RESTORE_THREADS_MAX], run);
	if (r < 0)
		return r;
	*ret_crew = STEAL(crew);
	return 0;
}

static int crew_start(struct crew *crew)
{
	for (unsigned int i = 0; i < crew->n; i++) {
		const int r = pthread_create(&crew->ids[i], NULL, worker, &crew->threads[i]);

		/* Fewer threads are slower, nothing else. */
		if (r != 0)
			return i > 0 ? 0 : -r;
		(void)pthread_setname_np(crew->ids[i], "yore-restore");
		crew->started = i + 1;
	}
	return 0;
}

static void crew_stop(struct restore *run, struct crew *crew)
{
	queue_close(run->full);
	for (unsigned int i = 0; i < crew->started; i++)
		(void)pthread_join(crew->ids[i], NULL);
}

/* ---- what to restore ---- */

struct top {
	struct record record;
	struct entry_decoder decoder;
	struct tree_reader *reader;
	struct tree_entry entry;
	bool whole; /* all of the snapshot */
};

static void top_done(struct top *top)
{
	record_done(&top->record);
	entry_decoder_done(&top->decoder);
	tree_reader_free(top->reader);
}

/* "/a/b/" as "a/b". */
static char *plain_path(const char *path)
{
	char *plain;
	size_t n;

	while (*path == '/')
		path++;
	plain = strdup(path);
	if (!plain)
		return NULL;
	n = strlen(plain);
	while (n > 0 && plain[n - 1] == '/')
		plain[--n] = 0;
	return plain;
}

static int top_find(struct top *top, struct timeline *t, const struct snapshot_info *snapshot,
		    struct chunk_cache *cache, const char *path)
{
	CLEANUP(free_ptr) char *plain = plain_path(path);
	struct chunk_id root;
	int r;

	if (!plain)
		return -ENOMEM;
	r = timeline_read(t, snapshot->seq, &top->record);
	if (r < 0)
		return r;
	r = tree_entry_decode(top->record.root, top->record.root_n, &top->decoder, &top->entry);
	if (r < 0)
		return log_errno(r, "restore: the root of snapshot %s is malformed",
				 snapshot->name);
	if (!*plain) {
		top->whole = true;
		return S_ISDIR(top->entry.mode) ? 0 : -EUCLEAN;
	}
	r = tree_reader_new(cache, &top->reader);
	if (r < 0)
		return r;
	root = top->entry.tree;
	return tree_reader_walk(top->reader, &root, plain, &top->entry);
}

static int plan_progress(struct restore *run, const struct top *top,
			 const struct snapshot_info *snapshot)
{
	struct restore_progress *p = run->options->progress;
	uint64_t objects = 0, bytes = 0;
	int r = 0;

	if (!p)
		return 0;
	if (top->whole) {
		objects = snapshot->files + snapshot->directories + snapshot->others;
		bytes = snapshot->bytes;
	} else if (S_ISDIR(top->entry.mode)) {
		r = restore_count(run, &top->entry.tree, &objects, &bytes);
		objects++;
	} else {
		objects = 1;
		bytes = S_ISREG(top->entry.mode) ? top->entry.size : 0;
	}
	atomic_store(&p->bytes_all, bytes);
	atomic_store(&p->objects_all, objects);
	/* Damage is named by the walk itself. */
	return r == -ECANCELED || r == -ENOMEM ? r : 0;
}

/* ---- where to ---- */

/* mkdir -p; 1 when the last one was made. */
static int make_path(const char *path, mode_t last_mode)
{
	CLEANUP(free_ptr) char *copy = strdup(path);
	size_t n;

	if (!copy)
		return -ENOMEM;
	n = strlen(copy);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = 0;
	for (size_t i = 1; i < n; i++) {
		if (copy[i] != '/')
			continue;
		copy[i] = 0;
		if (mkdir(copy, 0777) < 0 && errno != EEXIST)
			return -errno;
		copy[i] = '/';
	}
	if (mkdir(copy, last_mode) == 0)
		return 1;
	return errno == EEXIST ? 0 : -errno;
}

/* 1 when the target was made (or, in a dry run, would be), 0 when it was there. */
static int open_target(struct restore *run, bool itself)
{
	const char *target = run->options->target;
	int r = 0;

	run->target_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->target_fd < 0 && errno == ENOENT) {
		if (run->options->dry_run)
			return 1;
		r = make_path(target, itself ? 0700 : 0777);
		if (r < 0)
			return log_errno(r, "restore: %s: could not be made", target);
		run->target_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (run->target_fd < 0)
		return log_errno(-errno, "restore: %s: could not be opened", target);
	return r;
}

static int new_container(struct restore *run, const struct tree_entry *itself,
			 struct restore_dir **ret_dir)
{
	CLEANUP(restore_dir_unref_ptr) struct restore_dir *dir = NULL;
	int r = open_target(run, itself != NULL);
	const bool made = r == 1;
	int fd = -1;

	if (r < 0)
		return r;
	if (run->target_fd >= 0) {
		fd = fcntl(run->target_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
	}
	r = restore_dir_new(NULL, fd, itself, &dir);
	if (r < 0) {
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	dir->made = made;
	if (made && run->options->dry_run)
		restore_plan(run, dir, NULL, "mkdir");
	if (fd >= 0)
		r = restore_dir_inspect(run, dir);
	if (r < 0)
		return r;
	dir->may_delete = itself && run->options->delete_extra &&
			  !(itself->flags & (ENTRY_PLACEHOLDER | ENTRY_UNREADABLE));
	*ret_dir = STEAL(dir);
	return 0;
}

/* Directories stay open while files in them are on their way. */
static void raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the run ---- */

static void run_init(struct restore *run, const struct restore_options *options,
		     struct chunk_cache *cache)
{
	int r;

	*run = (struct restore){ .options = options, .cache = cache, .target_fd = -1 };
	run->privileged = geteuid() == 0;
	crypto_random(&run->temporary_seed, sizeof(run->temporary_seed));
	lock_init(&run->lock, LOCK_RANK_RESTORE);
	r = pthread_cond_init(&run->link_done, NULL);
	assert(r == 0);
}

static void run_done(struct restore *run)
{
	restore_later_free(run);
	if (run->target_fd >= 0)
		(void)close(run->target_fd);
	queue_free(run->full);
	queue_free(run->empty);
	(void)pthread_cond_destroy(&run->link_done);
	lock_done(&run->lock);
}

static void fill_result(struct restore *run, struct restore_result *result)
{
	*result = (struct restore_result){
		.files = run->files,
		.directories = run->directories,
		.others = run->others,
		.bytes = run->bytes,
		.written = run->written,
		.written_bytes = run->written_bytes,
		.deleted = run->deleted,
		.errors = run->errors,
		.incomplete = run->incomplete,
	};
}

static int run_crew(struct restore *run, const struct top *top, bool into)
{
	CLEANUP(crew_free_ptr) struct crew *crew = NULL;
	struct restore_dir *container = NULL;
	int r = crew_new(run, &crew);

	if (r == 0)
		r = new_container(run, into ? NULL : &top->entry, &container);
	if (r < 0)
		return r;
	r = crew_start(crew);
	if (r == 0)
		r = restore_walk(&crew->threads[RESTORE_THREADS_MAX], container,
				 into ? &top->entry : NULL);
	else
		restore_dir_unref(container);
	crew_stop(run, crew);
	if (r == 0)
		r = restore_stopped(run);
	if (r == 0 && !run->options->dry_run)
		restore_attributes_later(run);
	/* One flush for all: what the disk refused shows here at the latest. */
	if (r == 0 && run->target_fd >= 0 && run->written > 0 && !run->options->dry_run &&
	    syncfs(run->target_fd) < 0)
		r = log_errno(-errno, "restore: %s: could not be written to disk",
			      run->options->target);
	return r;
}

static int run_held(struct timeline *t, const struct snapshot_info *snapshot, struct restore *run,
		    const char *path)
{
	CLEANUP(top_done) struct top top = { 0 };
	bool into;
	int r = top_find(&top, t, snapshot, run->cache, path);

	if (r == 0)
		r = plan_progress(run, &top, snapshot);
	if (r < 0)
		return r;
	into = !S_ISDIR(top.entry.mode) || (run->options->target_is_parent && !top.whole);
	return run_crew(run, &top, into);
}

int restore_run(struct timeline *t, const struct snapshot_info *snapshot, struct chunk_cache *cache,
		const char *path, const struct restore_options *options,
		struct restore_result *ret_result)
{
	CLEANUP(run_done) struct restore run;
	int held, r;

	assert(t && snapshot && cache && path && options && options->target && ret_result);
	run_init(&run, options, cache);
	raise_open_files();
	held = timeline_hold(t, snapshot->seq);
	if (held == -ENOENT)
		return held;
	r = run_held(t, snapshot, &run, path);
	if (held >= 0)
		io_close(store_io(timeline_store(t)), held);
	fill_result(&run, ret_result);
	return r;
}
