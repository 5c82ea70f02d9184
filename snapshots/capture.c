/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/commit.h"
#include "snapshots/file_system.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define WALK_THREADS 3
#define READ_THREADS 6 /* several cold small files in flight */
#define RACY_NS 2000000000ll
#define CAPTURE_CACHE MIB(24)
#define CACHE_PREFETCHERS 1
#define FINISHED_QUEUE (2ul * UNFINISHED_MAX)
#define COMMIT_ATTEMPTS 3

/* The threads that capture one source. */
struct crew {
	struct worker *workers[WALK_THREADS + READ_THREADS];
	pthread_t threads[WALK_THREADS + READ_THREADS];
	size_t n;
	pthread_t finisher;
	bool has_finisher;
};

/* ---- where finished nodes and large attribute sets go ---- */

struct node_sink {
	struct object_sink sink;
	struct capture *capture;
	struct lock
		lock; /* guards the contexts: the finisher and readers of huge files meet here */
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
	struct compressor *compressor;
};

static int node_sink_put(struct object_sink *sink, enum object_type type, const void *data,
			 size_t n, struct chunk_id *ret_id)
{
	struct node_sink *s = (struct node_sink *)sink;
	int r;

	LOCK_SCOPE(&s->lock);
	id_hasher_run(s->hashers[type], data, n, ret_id);
	if (s->capture->options->dry_run)
		return 0;
	r = store_writer_put(s->capture->writer, s->compressor, type, ret_id, data, n);
	return r < 0 ? r : 0;
}

static int node_sink_init(struct node_sink *s, struct capture *c)
{
	int r = compressor_new(&s->compressor);

	s->sink.put = node_sink_put;
	s->capture = c;
	lock_init(&s->lock, LOCK_RANK_SINK);
	for (int type = 1; r == 0 && type <= OBJECT_TYPE_MAX; type++)
		r = store_hasher(c->store, (enum object_type)type, &s->hashers[type]);
	return r;
}

static void node_sink_done(struct node_sink *s)
{
	for (int type = 1; type <= OBJECT_TYPE_MAX; type++)
		id_hasher_free(s->hashers[type]);
	compressor_free(s->compressor);
	lock_done(&s->lock);
}

/* ---- threads ---- */

/* A closed bundle on its way through the seal pool. */
struct bundle_job {
	struct seal_job job;
	struct capture *capture;
	struct bundle *bundle;
};

static void run_bundle_job(struct seal_job *job, struct id_hasher *hasher,
			   struct compressor *compressor)
{
	struct bundle_job *b = (struct bundle_job *)job;
	struct chunk_id id;
	size_t n;
	const uint8_t *data = bundle_data(b->bundle, &n);
	int r;

	id_hasher_run(hasher, data, n, &id);
	r = store_writer_put(b->capture->writer, compressor, OBJECT_DATA, &id, data, n);
	bundle_sealed(b->bundle, r < 0 ? r : 0, &id);
	bundle_unref(b->bundle);
	free(b);
}

static int seal_bundle(void *context, struct bundle *b)
{
	struct bundle_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job) {
		bundle_unref(b);
		return -ENOMEM;
	}
	job->job.run = run_bundle_job;
	job->capture = context;
	job->bundle = b;
	r = seal_pool_submit(job->capture->pool, &job->job);
	if (r < 0) {
		bundle_unref(b);
		free(job);
	}
	return r;
}

static int crew_add(struct crew *crew, struct capture *c, void *(*run)(void *))
{
	struct worker *w;
	int r = worker_new(c, &w);

	if (r < 0)
		return r;
	r = -pthread_create(&crew->threads[crew->n], NULL, run, w);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	crew->workers[crew->n++] = w;
	return 0;
}

static int crew_start(struct crew *crew, struct capture *c)
{
	int r = worker_new(c, &c->self);

	if (r == 0)
		r = queue_new(FINISHED_QUEUE, &c->finished);
	if (r == 0)
		r = bundler_new(store_config(c->store)->bundle_target, seal_bundle, c, &c->bundler);
	for (int i = 0; r == 0 && i < WALK_THREADS; i++)
		r = crew_add(crew, c, capture_walk_thread);
	for (int i = 0; r == 0 && i < READ_THREADS; i++)
		r = crew_add(crew, c, capture_read_thread);
	if (r == 0)
		r = -pthread_create(&crew->finisher, NULL, finisher_thread, c);
	crew->has_finisher = r == 0;
	return r;
}

/* End all threads; whatever they still had is freed. */
static void crew_stop(struct crew *crew, struct capture *c)
{
	bundler_free(STEAL(c->bundler)); /* who waits for an open bundle is told */
	if (c->finished)
		queue_close(c->finished);
	if (crew->has_finisher)
		(void)pthread_join(crew->finisher, NULL);
	lock_take(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	for (size_t i = 0; i < crew->n; i++) {
		(void)pthread_join(crew->threads[i], NULL);
		worker_free(crew->workers[i]);
	}
	worker_free(STEAL(c->self));
	queue_free(STEAL(c->finished));
	while (c->folders)
		folder_free(c, c->folders);
	lock_take(&c->lock);
	inode_table_free(STEAL(c->links));
	lock_drop(&c->lock);
	while (c->n_spare_writers > 0)
		tree_writer_free(c->spare_writers[--c->n_spare_writers]);
	c->stopping = false;
	c->walks = c->reads = (struct task_list){ 0 };
	c->items_ahead = c->folders_ahead = c->bytes_ahead = c->items_unfinished = 0;
}

/* ---- one source ---- */

/* Open the folder that holds the source's last name. */
static int open_parent(const char *path, const char **ret_name)
{
	CLEANUP(free_ptr) char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int fd;

	if (!folder)
		return -ENOMEM;
	assert(slash);
	*ret_name = path[1] ? path + (slash - folder) + 1 : ".";
	slash[slash == folder] = '\0';
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Make the source's own file system known; an O_PATH descriptor would tell less of it. */
static int identify_source(struct capture *c, const char *path, uint32_t *ret_ordinal)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	bool is_virtual;
	struct stat st;

	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return capture_file_system(c, st.st_dev, fd, ret_ordinal, &is_virtual);
}

/* Is it on the file system where it was? */
static bool same_place(const struct capture *c, const struct captured_source *s)
{
	const struct record *head = s->head;
	const struct file_system_identity *was;

	if (s->known->file_system >= head->n_file_systems)
		return true;
	was = &head->file_systems[s->known->file_system];
	return was->type == 0 || file_system_equal(was, &c->file_systems[s->result.file_system]);
}

/* Gone, or another disk in its place: keep what was there. Returns 1 when it is to be walked. */
static int admit_source(struct capture *c, struct captured_source *s)
{
	int r = identify_source(c, s->result.path, &s->result.file_system);

	if (r == 0 && (!s->known || s->accept || same_place(c, s)))
		return 1;
	if (r == -ENOMEM)
		return r;
	if (r < 0 && !s->known) {
		log_error("%s: %s; nothing was captured", s->result.path, strerror(-r));
		return r;
	}
	if (r < 0 && s->accept) {
		s->removed = true;
		return 0;
	}
	s->result.state = SOURCE_ABSENT;
	log_warning(
		"%s is not there as it was (%s): its last state is kept; if this is meant, say: "
		"yore snapshot --accept %s",
		s->result.path, r < 0 ? strerror(-r) : "another file system is in its place",
		s->result.path);
	return 0;
}

/* What the newest record has at this path, and how old that knowledge may be. */
static int find_old(struct capture *c, struct captured_source *s, struct tree_reader *reader,
		    struct entry_decoder *decoder, struct tree_entry *ret_old)
{
	struct tree_entry root;
	int64_t walked = INT64_MAX;
	int r;

	c->root_old = NULL;
	c->racy_ns = 0;
	if (!s->head || s->head->root_n == 0)
		return 0;
	for (size_t i = 0; i < s->head->n_sources; i++) {
		const struct record_source *k = &s->head->sources[i];

		if (source_path_within(s->result.path, k->path) && k->walk_start_ns < walked)
			walked = k->walk_start_ns;
	}
	if (walked == INT64_MAX)
		return 0;
	r = tree_entry_decode(s->head->root, s->head->root_n, decoder, &root);
	if (r < 0)
		return r;
	if (s->result.path[1] == '\0')
		*ret_old = root;
	else
		r = tree_reader_walk(reader, &root.tree, s->result.path + 1, ret_old);
	if (r == 0) {
		c->root_old = ret_old;
		c->racy_ns = walked - RACY_NS;
	}
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

static void begin_counts(struct capture *c, struct record_source *rs)
{
	struct capture_progress *p = c->progress;

	rs->files = atomic_load(&p->files);
	rs->directories = atomic_load(&p->directories);
	rs->others = atomic_load(&p->others);
	rs->bytes = atomic_load(&p->bytes);
	rs->errors = c->errors;
}

static void end_counts(struct capture *c, struct record_source *rs)
{
	struct capture_progress *p = c->progress;

	rs->files = atomic_load(&p->files) - rs->files;
	rs->directories = atomic_load(&p->directories) - rs->directories;
	rs->others = atomic_load(&p->others) - rs->others;
	rs->bytes = atomic_load(&p->bytes) - rs->bytes;
	rs->errors = c->errors - rs->errors;
}

/* Walk and store one source; its root's entry is left in s->entry. */
static int capture_tree(struct capture *c, struct captured_source *s)
{
	struct folder *root = NULL;
	struct crew crew = { 0 };
	const char *name;
	int fd = open_parent(s->result.path, &name);
	int r;

	if (fd < 0)
		return fd;
	c->has_result = false;
	r = walker_begin(c, fd, name, &root);
	if (r == 0)
		r = crew_start(&crew, c);
	if (r == 0)
		r = assembler_run(c, root);
	else
		capture_fail(c, r);
	crew_stop(&crew, c);
	if (r == 0)
		r = c->failure;
	if (r < 0)
		return r;
	if (!c->has_result) { /* it vanished, or could not be opened, under our eyes */
		s->result.state = SOURCE_ABSENT;
		return s->known ? 0 : -ENOENT;
	}
	byte_buf_append(&s->entry, c->result.data, c->result.n);
	return s->entry.failed ? -ENOMEM : 0;
}

static int capture_source_run(struct capture *c, struct captured_source *s)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	struct tree_entry old;
	int r = admit_source(c, s);

	if (r <= 0)
		return r;
	r = tree_reader_new(c->cache, &reader);
	if (r == 0)
		r = exclude_new(s->result.excludes, &c->excludes);
	if (r < 0)
		return r;
	c->source_path = s->result.path;
	c->source_flags = s->result.flags;
	if (!*s->result.excludes)
		exclude_free(STEAL(c->excludes));
	if (find_old(c, s, reader, &decoder, &old) < 0)
		log_warning("%s: its last state cannot be read; everything is read again",
			    s->result.path);
	s->result.walk_start_ns = clock_now_ns();
	begin_counts(c, &s->result);
	r = capture_tree(c, s);
	end_counts(c, &s->result);
	s->result.captured_ns = clock_now_ns();
	exclude_free(STEAL(c->excludes));
	c->root_old = NULL;
	return r;
}

/* ---- a run ---- */

/* Many folders are open at once: use what the system allows, and leave most of it to others. */
static size_t raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return LOOKAHEAD_FOLDERS / 16;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_max / 4 < LOOKAHEAD_FOLDERS ? limit.rlim_max / 4 : LOOKAHEAD_FOLDERS;
}

/* Devices of yore's own mounts, which must not be entered. */
static int find_own_mounts(struct capture *c)
{
	CLEANUP(free_ptr) char *line = NULL;
	size_t room = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return 0;
	while (getline(&line, &room, f) > 0) {
		unsigned int major, minor;
		dev_t *grown;

		if (!strstr(line, " - fuse.yore ") ||
		    sscanf(line, "%*s %*s %u:%u", &major, &minor) != 2)
			continue;
		grown = reallocarray(c->skipped_devices, c->n_skipped_devices + 1, sizeof(*grown));
		if (!grown) {
			(void)fclose(f);
			return -ENOMEM;
		}
		c->skipped_devices = grown;
		grown[c->n_skipped_devices++] = makedev(major, minor);
	}
	(void)fclose(f);
	return 0;
}

static int capture_init(struct capture *c, struct timeline *t, const struct capture_options *o)
{
	struct store *s = timeline_store(t);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct stat st;
	int r;

	*c = (struct capture){ .timeline = t, .store = s, .options = o, .source_path = "" };
	lock_init(&c->lock, LOCK_RANK_CAPTURE);
	pthread_cond_init(&c->changed, NULL);
	c->progress = o->progress ? o->progress : &c->own_progress;
	c->small_max = store_config(s)->chunks.min;
	if (c->small_max > HOLE_BYTES_MIN)
		c->small_max = HOLE_BYTES_MIN;
	c->folders_max = raise_open_files();
	if (stat(io_real_path(store_io(s)), &st) == 0) {
		c->repository_device = st.st_dev;
		c->repository_inode = st.st_ino;
	}
	r = find_own_mounts(c);
	if (r == 0)
		r = chunk_cache_new(s, CAPTURE_CACHE, CACHE_PREFETCHERS, &c->cache);
	if (r == 0)
		r = store_writer_new(s, &c->writer);
	if (r == 0)
		r = seal_pool_new(s, processors > 1 ? (unsigned int)processors : 1, &c->pool);
	return r;
}

static void capture_done(struct capture *c)
{
	seal_pool_free(c->pool);
	store_writer_free(c->writer);
	chunk_cache_free(c->cache);
	byte_buf_done(&c->result);
	byte_buf_done(&c->placeholder_xattrs);
	free(c->skipped_devices);
	free(c->file_systems);
	free(c->devices);
	pthread_cond_destroy(&c->changed);
	lock_done(&c->lock);
}

static void fill_result(struct capture *c, const struct captured_set *set,
			struct capture_result *ret)
{
	struct capture_progress *p = c->progress;

	ret->files = atomic_load(&p->files);
	ret->directories = atomic_load(&p->directories);
	ret->others = atomic_load(&p->others);
	ret->bytes = atomic_load(&p->bytes);
	ret->files_read = atomic_load(&p->files_read);
	ret->bytes_read = atomic_load(&p->bytes_read);
	ret->errors = c->errors;
	ret->n_absent = 0;
	for (size_t i = 0; i < set->n; i++)
		ret->n_absent += set->sources[i].result.state == SOURCE_ABSENT;
}

/* Another attempt counts, and fails, on its own. */
static void begin_attempt(struct capture *c)
{
	struct capture_progress *p = c->progress;

	atomic_store(&p->files, 0);
	atomic_store(&p->directories, 0);
	atomic_store(&p->others, 0);
	atomic_store(&p->bytes, 0);
	atomic_store(&p->files_read, 0);
	atomic_store(&p->bytes_read, 0);
	atomic_store(&p->errors, 0);
	LOCK_SCOPE(&c->lock);
	c->errors = 0;
	c->failure = 0;
}

/* One attempt: -ESTALE when another process has changed what this one relied on. */
static int capture_once(struct capture *c, struct captured_set *set, struct capture_result *ret)
{
	int r;

	begin_attempt(c);
	r = captured_set_begin(set, c);

	for (size_t i = 0; r == 0 && i < set->n; i++) {
		r = capture_source_run(c, &set->sources[i]);
		if (r == 0 && capture_failed(c))
			r = c->failure;
	}
	if (r == 0 && !c->options->dry_run)
		r = commit_snapshot(c, set, &ret->snapshot);
	fill_result(c, set, ret);
	return r;
}

int capture_run(struct timeline *t, const struct capture_options *options,
		struct capture_result *ret_result)
{
	struct capture_result result = { 0 };
	struct node_sink sink = { 0 };
	struct capture c;
	int r = capture_init(&c, t, options);

	if (r == 0)
		r = node_sink_init(&sink, &c);
	else
		lock_init(&sink.lock, LOCK_RANK_SINK);
	c.nodes = &sink.sink;
	for (int i = 0; r == 0 && i < COMMIT_ATTEMPTS; i++) {
		struct captured_set set = { 0 };

		r = capture_once(&c, &set, &result);
		captured_set_done(&set);
		if (r != -ESTALE)
			break;
		r = i + 1 < COMMIT_ATTEMPTS ? 0 : -ESTALE;
	}
	node_sink_done(&sink);
	capture_done(&c);
	if (r == 0)
		*ret_result = result;
	return r;
}
