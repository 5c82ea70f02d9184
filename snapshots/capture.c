/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/commit.h"
#include "snapshots/file_system.h"
#include "snapshots/mount_kind.h"
#include "snapshots/stream_capture.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WALK_THREADS 3
#define READ_THREADS 6 /* several cold small files in flight */
#define RACY_NS 2000000000ll
#define CAPTURE_CACHE MIB(24)
#define CACHE_PREFETCHERS 1
#define FINISHED_QUEUE (2ul * UNFINISHED_MAX)
#define COMMIT_ATTEMPTS 3
#define LITTLE_NAMES 512 /* a run that looks at fewer needs no helpers */

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

/* Is so little to be looked at that threads cost more than they help? */
static bool is_little(const struct dirty_name *d, size_t *left)
{
	if (d->flags & (DIRTY_LIST | DIRTY_DEEP) || d->n_children >= *left)
		return false;
	*left -= d->n_children;
	for (size_t i = 0; i < d->n_children; i++)
		if (!is_little(&d->children[i], left))
			return false;
	return true;
}

static int crew_start(struct crew *crew, struct capture *c)
{
	size_t little = LITTLE_NAMES;
	bool alone = c->dirty && is_little(c->dirty, &little);
	int r = worker_new(c, &c->self);

	if (r == 0)
		r = queue_new(FINISHED_QUEUE, &c->finished);
	if (r == 0)
		r = bundler_new(store_config(c->store)->bundle_target, seal_bundle, c, &c->bundler);
	for (int i = 0; r == 0 && !alone && i < WALK_THREADS; i++)
		r = crew_add(crew, c, capture_walk_thread);
	for (int i = 0; r == 0 && !alone && i < READ_THREADS; i++)
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
	while (c->n_spare_patches > 0)
		tree_patch_free(c->spare_patches[--c->n_spare_patches]);
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
	int r = identify_source(c, c->read_path, &s->result.file_system);

	if (s->known && (s->known->flags & SOURCE_STREAM) && !s->accept)
		return log_errno(-EINVAL,
				 "%s is what a program printed (--stdin-name), nothing to be found "
				 "on disk; nothing was captured",
				 s->result.path);
	s->result.flags &= ~(uint32_t)SOURCE_STREAM;
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
		s->changes.compared = s->known != NULL;
		s->changes.files_removed = s->known ? s->known->files : 0;
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

/* A former number changed by a difference that wraps below zero; never below zero itself. */
static uint64_t changed_by(uint64_t former, uint64_t difference)
{
	uint64_t sum = former + difference;

	return (difference >> 63) && sum > former ? 0 : sum;
}

/* A source that is not looked at holds what it held. */
static void carry_counts(struct captured_source *s)
{
	s->result.files = s->known->files;
	s->result.directories = s->known->directories;
	s->result.others = s->known->others;
	s->result.bytes = s->known->bytes;
	s->result.errors = s->known->errors;
}

/* What the source holds now: as counted, or as it was and what differs. */
static void set_counts(struct capture *c, struct captured_source *s, uint64_t errors_before)
{
	static const struct record_source none;
	const struct record_source *was = c->tally.absolute ? &none : s->known;
	struct record_source *now = &s->result;
	uint64_t errors = c->errors - errors_before;

	now->files = changed_by(was->files, c->tally.files);
	now->directories = changed_by(was->directories, c->tally.directories);
	now->others = changed_by(was->others, c->tally.others);
	now->bytes = changed_by(was->bytes, c->tally.bytes);
	now->errors = errors;
	if (!c->tally.absolute && was->errors > c->tally.unreadable_off)
		now->errors += was->errors - c->tally.unreadable_off;
}

/* a - b, where what was counted apart may disagree; never below zero. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What is not there any more is what there was, less what is still there. */
static void set_changes(struct capture *c, struct captured_source *s)
{
	struct capture_source_result *r = &s->changes;
	const struct tally *t = &c->tally;

	r->whole_walk = !s->partial;
	r->compared = s->known && c->root_old && !atomic_load(&c->old_lost);
	if (!r->compared)
		return;
	r->files_added = less(t->files_on, t->files_kept);
	r->files_changed = r->files_added + t->files_rewritten;
	r->files_removed = less(t->absolute ? s->known->files : t->files_off, t->files_kept);
}

/* Walk and store one source; its root's entry is left in s->entry. */
static int capture_tree(struct capture *c, struct captured_source *s)
{
	struct folder *root = NULL;
	struct crew crew = { 0 };
	const char *name;
	int fd = open_parent(c->read_path, &name);
	int r;

	if (fd < 0)
		return fd;
	c->has_result = false;
	c->tally = (struct tally){ .absolute = !c->dirty };
	atomic_store(&c->old_lost, false);
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

/* May this run look at dirty names only? */
static bool dirt_suffices(const struct capture *c, const struct captured_source *s)
{
	if (!s->dirty || dirty_set_is_all(s->dirty) || c->ignore_dirty || c->check_chunks)
		return false;
	return s->known && s->known->state == SOURCE_PRESENT && !s->accept &&
	       s->known->flags == s->result.flags &&
	       strcmp(s->known->excludes, s->result.excludes) == 0;
}

/* From when on changes may be missing: now, or since the frozen copy was made. */
static int64_t begin_ns(const struct captured_source *s)
{
	if (s->asked && s->asked->read_path && s->asked->read_ns)
		return s->asked->read_ns;
	return clock_now_ns();
}

/* The label of a source is the worst that what was read for it deserves. */
static enum consistency label_source(struct capture *c, const struct captured_source *s,
				     uint64_t smeared_before)
{
	if (atomic_load(&c->smeared) > smeared_before)
		return CONSISTENCY_SMEARED;
	if (s->partial && s->known->consistency == CONSISTENCY_SMEARED)
		return CONSISTENCY_SMEARED; /* such a file may be where nobody looked */
	if (c->live && live_parts_were_entered(c->live))
		return CONSISTENCY_STEADY;
	return c->consistency;
}

/* Where, and with what label, this source is read. */
static int begin_reading(struct capture *c, const struct captured_source *s)
{
	int r;

	live_parts_free(STEAL(c->live));
	c->consistency = s->asked ? s->asked->consistency : CONSISTENCY_STEADY;
	if (c->read_path == s->result.path)
		return 0;
	r = live_parts_open(s->result.path, c->read_path, &c->live);
	return r < 0 ? log_errno(r, "%s: cannot read its frozen copy", s->result.path) : 0;
}

/* Looking at everything: other names of a file change with the one that is known. */
static int find_closed_links(struct capture *c)
{
	link_set_free(STEAL(c->closed_links));
	return c->hints ? link_set_collect(c->read_path, c->hints, &c->closed_links) : 0;
}

/* Capture one source; what is dirty first, and all of it when that does not tell enough. */
static int capture_looked_at(struct capture *c, struct captured_source *s)
{
	uint64_t errors_before = c->errors, smeared_before = atomic_load(&c->smeared);
	int r = c->dirty ? 0 : find_closed_links(c);

	if (r == 0)
		r = capture_tree(c, s);
	if (r == -EAGAIN && c->want_whole) {
		lock_take(&c->lock);
		c->failure = 0;
		c->want_whole = false;
		c->errors = errors_before;
		lock_drop(&c->lock);
		c->dirty = NULL;
		s->result.walk_start_ns = s->began_ns = begin_ns(s);
		r = find_closed_links(c);
		if (r == 0)
			r = capture_tree(c, s);
	}
	link_set_free(STEAL(c->closed_links));
	if (r < 0)
		return r;
	set_counts(c, s, errors_before);
	s->partial = c->dirty != NULL;
	s->result.consistency = label_source(c, s, smeared_before);
	if (s->entry.n > 0)
		set_changes(c, s);
	return 0;
}

static int capture_source_run(struct capture *c, struct captured_source *s)
{
	bool partial = dirt_suffices(c, s);
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	struct tree_entry old;
	int r;

	if (s->asked && s->asked->is_stream)
		return stream_capture_run(c, s);
	s->carried = partial && dirty_set_is_empty(s->dirty);
	if (s->carried) {
		s->changes.compared = true;
		carry_counts(s);
		return 0;
	}
	c->read_path = s->asked && s->asked->read_path ? s->asked->read_path : s->result.path;
	r = admit_source(c, s);
	if (r <= 0)
		return r;
	r = begin_reading(c, s);
	if (r == 0)
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
	c->hints = s->dirty ? dirty_set_root(s->dirty) : NULL;
	c->dirty = partial && c->root_old ? c->hints : NULL;
	s->began_ns = begin_ns(s);
	/* What is not looked at is as old as the last look at everything. */
	s->result.walk_start_ns = c->dirty ? s->known->walk_start_ns : s->began_ns;
	r = capture_looked_at(c, s);
	live_parts_free(STEAL(c->live));
	s->result.captured_ns = clock_now_ns();
	exclude_free(STEAL(c->excludes));
	c->root_old = NULL;
	c->dirty = c->hints = NULL;
	return r;
}

/* ---- what each one added to the repository ---- */

struct stored_bytes {
	struct stored_bytes *next;
	char *path;
	uint64_t n;
};

static void forget_stored_bytes(struct capture *c)
{
	while (c->stored_bytes) {
		struct stored_bytes *s = c->stored_bytes;

		c->stored_bytes = s->next;
		free(s->path);
		free(s);
	}
}

/* The account of a source: what an earlier attempt has stored is not stored again. */
static struct stored_bytes *stored_bytes_of(struct capture *c, const char *path)
{
	struct stored_bytes *s;

	for (s = c->stored_bytes; s; s = s->next)
		if (strcmp(s->path, path) == 0)
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->path = strdup(path);
	if (!s->path) {
		free(s);
		return NULL;
	}
	s->next = c->stored_bytes;
	c->stored_bytes = s;
	return s;
}

/* When a source's threads have ended, all that they read has been put. */
static int capture_accounted(struct capture *c, struct captured_source *s)
{
	struct stored_bytes *account = stored_bytes_of(c, s->result.path);
	struct store_writer_stats before, after;
	int r;

	if (!account)
		return -ENOMEM;
	store_writer_stats(c->writer, &before);
	r = capture_source_run(c, s);
	store_writer_stats(c->writer, &after);
	account->n += after.stored_bytes_new - before.stored_bytes_new;
	s->changes.new_stored_bytes = account->n;
	return r;
}

static void tell_sources(const struct capture_options *o, const struct captured_set *set)
{
	for (size_t i = 0; i < set->n && o->source_done; i++) {
		struct capture_source_result told = set->sources[i].changes;

		told.path = set->sources[i].result.path;
		told.source = set->sources[i].asked;
		o->source_done(o->context, &told);
	}
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
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };
	int r = mount_table_load(&mounts);

	if (r < 0 || mounts.n == 0)
		return r == -ENOMEM ? r : 0;
	c->skipped_devices = calloc(mounts.n, sizeof(*c->skipped_devices));
	if (!c->skipped_devices)
		return -ENOMEM;
	for (size_t i = 0; i < mounts.n; i++)
		if (mount_kind_is_own(&mounts.rows[i]))
			c->skipped_devices[c->n_skipped_devices++] = mounts.rows[i].device;
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
	stream_capture_forget(c);
	forget_stored_bytes(c);
	live_parts_free(c->live);
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

	ret->files = ret->directories = ret->others = ret->bytes = 0;
	ret->files_read = atomic_load(&p->files_read);
	ret->bytes_read = atomic_load(&p->bytes_read);
	ret->errors = c->errors;
	ret->n_smeared = (uint32_t)atomic_load(&c->smeared);
	ret->n_absent = 0;
	ret->partial = set->n > 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct captured_source *s = &set->sources[i];

		ret->files += s->result.files;
		ret->directories += s->result.directories;
		ret->others += s->result.others;
		ret->bytes += s->result.bytes;
		ret->n_absent += s->result.state == SOURCE_ABSENT;
		ret->partial = ret->partial && (s->partial || s->carried);
	}
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
	atomic_store(&c->smeared, 0);
	LOCK_SCOPE(&c->lock);
	c->errors = 0;
	c->failure = 0;
	c->want_whole = false;
}

/* One attempt: -ESTALE when another process has changed what this one relied on. */
static int capture_once(struct capture *c, struct captured_set *set, struct capture_result *ret)
{
	int r;

	begin_attempt(c);
	r = captured_set_begin(set, c);

	for (size_t i = 0; r == 0 && i < set->n; i++) {
		r = capture_accounted(c, &set->sources[i]);
		if (r == 0 && capture_failed(c))
			r = c->failure;
	}
	if (r == 0 && !c->options->dry_run)
		r = commit_snapshot(c, set, &ret->snapshot);
	fill_result(c, set, ret);
	if (r == 0 || r == -EALREADY)
		tell_sources(c->options, set);
	return r;
}

/* Could what this attempt took over from the newest record not be read? Then the next one looks at
 * everything. */
static bool lost_base(struct capture *c, const struct captured_set *set, int r)
{
	if (c->ignore_dirty || (r != -EBADMSG && r != -EUCLEAN && r != -ENOENT))
		return false;
	for (size_t i = 0; i < set->n; i++)
		c->ignore_dirty |= set->sources[i].partial || set->sources[i].carried;
	return c->ignore_dirty;
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
		if (lost_base(&c, &set, r))
			r = -ESTALE;
		captured_set_done(&set);
		if (r != -ESTALE)
			break;
		r = i + 1 < COMMIT_ATTEMPTS ? 0 : -ESTALE;
	}
	node_sink_done(&sink);
	capture_done(&c);
	if (r == 0 || r == -EALREADY)
		*ret_result = result;
	return r;
}
