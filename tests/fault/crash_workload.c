/* SPDX-License-Identifier: MIT */
#include "tests/fault/crash_workload.h"

#include "snapshots/capture.h"
#include "snapshots/collect.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA_BYTES (1ull << 30)

/* ---- folders ---- */

void private_folder(char to[static 128])
{
	const char *tmp = getenv("TMPDIR");
	const char *made;

	(void)snprintf(to, 128, "/dev/shm/yore-crash-XXXXXX");
	made = mkdtemp(to);
	if (!made) {
		(void)snprintf(to, 128, "%s/yore-crash-XXXXXX", tmp ? tmp : "/tmp");
		made = mkdtemp(to);
	}
	assert(made);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void private_folder_remove(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what the sources hold ---- */

uint32_t model_count(const struct workload *w, uint32_t source, uint32_t version)
{
	(void)w;
	(void)source;
	return MODEL_FILES - version % 2; /* the last one comes and goes */
}

static size_t model_size(const struct workload *w, uint32_t i, uint64_t *seed)
{
	if (i == 0)
		return w->large ? 1500000 : 70000 + (size_t)(memory_random(seed) % 9000);
	if (i == 1)
		return 0;
	return 1 + (size_t)(memory_random(seed) % 3000);
}

static void model_fill(const struct workload *w, uint32_t source, uint32_t version, uint32_t i,
		       struct model_file *file)
{
	/* File i changes with every (i + 1)th version. */
	uint64_t seed = w->seed * 1000003 + source * 10007 + i * 101 + version / (i + 1);
	const size_t n = model_size(w, i, &seed);

	(void)snprintf(file->path, sizeof(file->path), "%s/%s%u", w->sources[source],
		       i % 2 ? "inner/file" : "file", i);
	file->n = n;
	file->data = malloc(n + 8);
	assert(file->data);
	for (size_t at = 0; at < n; at += 8) {
		const uint64_t word = memory_random(&seed);

		memcpy(file->data + at, &word, 8);
	}
}

const struct model_file *model_file(struct workload *w, uint32_t source, uint32_t version,
				    uint32_t i)
{
	struct model_file **files;

	assert(source < WORKLOAD_SOURCES);
	assert(version < MODEL_VERSIONS);
	assert(i < MODEL_FILES);
	files = &w->models[source][version];
	if (!*files)
		*files = calloc(MODEL_FILES, sizeof(**files));
	assert(*files);
	if (!(*files)[i].data)
		model_fill(w, source, version, i, &(*files)[i]);
	return &(*files)[i];
}

static void models_free(struct workload *w)
{
	for (uint32_t i = 0; i < WORKLOAD_SOURCES * MODEL_VERSIONS; i++) {
		struct model_file *files = w->models[i / MODEL_VERSIONS][i % MODEL_VERSIONS];

		for (uint32_t f = 0; files && f < MODEL_FILES; f++)
			free(files[f].data);
		free(files);
	}
}

int model_write(struct workload *w, uint32_t source, uint32_t version)
{
	char path[200];

	(void)mkdir(w->sources[source], 0755);
	(void)snprintf(path, sizeof(path), "%s/inner", w->sources[source]);
	(void)mkdir(path, 0755);
	for (uint32_t i = 0; i < MODEL_FILES; i++) {
		CLEANUP(close_fd_ptr) int fd = -1;
		const struct model_file *file = model_file(w, source, version, i);

		if (i >= model_count(w, source, version)) {
			(void)unlink(file->path);
			continue;
		}
		fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, file->data, file->n) != (ssize_t)file->n)
			return -EIO;
	}
	return 0;
}

/* ---- steps ---- */

static void acknowledge(struct workload *w, const struct fact *fact)
{
	const uint32_t i = __atomic_fetch_add(w->n_facts, 1, __ATOMIC_SEQ_CST);

	assert(i < WORKLOAD_FACTS_MAX);
	w->facts[i] = *fact;
	memory_tree_mark(w->tree, i);
}

int workload_init(struct workload *w, struct io *io, bool again)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	char code[RECOVERY_CODE_BYTES];
	struct store_config config;
	uint8_t binding[32];
	int r;

	store_config_new(&config);
	store_config_binding(&config, binding);
	r = key_ring_create(binding, &ring);
	if (r == 0)
		r = store_prepare(io);
	if (r == 0)
		r = key_ring_add_machine(ring, io, w->keys[0].machine, "test", NULL);
	if (r == 0)
		r = key_ring_add_recovery(ring, io, code, NULL);
	if (r == 0)
		r = store_publish(io, &config);
	if (r < 0 || again)
		return r;
	w->config = config;
	w->ring = STEAL(ring);
	memcpy(w->keys[1].code, code, sizeof(code));
	acknowledge(w, &(struct fact){ .kind = FACT_INIT_DONE });
	return 0;
}

int workload_capture(struct workload *w, struct timeline *t, uint32_t source,
		     struct snapshot_info *ret_info)
{
	const struct capture_source what = { .path = w->sources[source], .excludes = "" };
	const struct capture_options options = {
		.sources = &what,
		.n_sources = 1,
		.reason = "test",
	};
	struct capture_result result;
	int r = capture_run(t, &options, &result);

	if (r == 0 && result.errors > 0)
		r = -EIO;
	if (r == 0)
		*ret_info = result.snapshot;
	return r;
}

/* One process: opens, takes snapshots of a source's versions, closes. */
static int take_snapshots(struct workload *w, uint32_t source, uint32_t first, uint32_t last)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(store_close_ptr) struct store *store = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *timeline = NULL;
	int r = memory_io_open(w->tree, &io);

	if (r == 0)
		r = store_open(io, w->ring, STORE_READ_WRITE, &store);
	if (r == 0)
		r = timeline_open(store, store_host(store), &timeline);
	for (uint32_t version = first; r == 0 && version <= last; version++) {
		struct snapshot_info info;

		r = model_write(w, source, version);
		if (r == 0)
			r = workload_capture(w, timeline, source, &info);
		if (r == 0)
			acknowledge(w, &(struct fact){ .kind = FACT_SNAPSHOT,
						       .source = source,
						       .version = version,
						       .seq = info.seq,
						       .id = info.id });
	}
	return r;
}

int workload_collect(struct timeline *t)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	const struct collect_options options = { .young_too = true,
						 .rewrite_bytes = UINT64_MAX,
						 .patience_ms = 20 };
	struct collect_result result;
	int r = chunk_cache_new(timeline_store(t), 4u << 20, 0, &cache);

	if (r == 0)
		r = collect_run(t, cache, &options, &result);
	return r == 0 && (result.damaged > 0 || result.problems > 0) ? -EUCLEAN : r;
}

static int forget_some(struct workload *w, struct timeline *t, uint64_t first, uint64_t last)
{
	uint64_t seqs[WORKLOAD_FACTS_MAX];
	struct forget_result result;
	size_t n = 0;
	int r;

	for (uint64_t seq = first; seq <= last; seq++) {
		struct snapshot_info info;

		if (timeline_get(t, seq, &info) < 0)
			continue;
		seqs[n++] = seq;
		acknowledge(w, &(struct fact){ .kind = FACT_FORGETTING, .seq = seq });
	}
	r = timeline_forget(t, seqs, n, &result);
	if (r == 0 && result.forgotten == n)
		for (size_t i = 0; i < n; i++)
			acknowledge(w, &(struct fact){ .kind = FACT_FORGOTTEN, .seq = seqs[i] });
	return r;
}

/* One process: opens, forgets what lies between these numbers, collects, closes. */
static int forget_and_collect(struct workload *w, uint64_t first, uint64_t last)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(store_close_ptr) struct store *store = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *timeline = NULL;
	int r = memory_io_open(w->tree, &io);

	if (r == 0)
		r = store_open(io, w->ring, STORE_READ_WRITE, &store);
	if (r == 0)
		r = timeline_open(store, store_host(store), &timeline);
	if (r == 0)
		r = forget_some(w, timeline, first, last);
	return r < 0 ? r : workload_collect(timeline);
}

/* What each of two processes does at once. */
static int run_child(struct workload *w, bool collecting, uint32_t i)
{
	if (!collecting)
		return take_snapshots(w, i, 2, 3);
	return i == 0 ? forget_and_collect(w, 4, 5) : take_snapshots(w, i, 5, 6);
}

static int two_processes(struct workload *w, bool collecting)
{
	pid_t children[WORKLOAD_SOURCES];
	int r = 0;

	memory_tree_shake(w->tree, w->seed | 1);
	for (uint32_t i = 0; i < WORKLOAD_SOURCES; i++) {
		children[i] = fork();
		if (children[i] == 0)
			_exit(run_child(w, collecting, i) < 0);
	}
	for (uint32_t i = 0; i < WORKLOAD_SOURCES; i++) {
		int status = -1;

		if (children[i] < 0 || waitpid(children[i], &status, 0) < 0 || status != 0)
			r = -ECHILD;
	}
	memory_tree_shake(w->tree, 0);
	return r;
}

static int change_keys(struct workload *w)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	char name[SLOT_NAME_BYTES + 1] = "";
	size_t n = 0;
	int r = memory_io_open(w->tree, &io);

	if (r == 0)
		r = key_ring_list(w->ring, io, &slots, &n);
	for (size_t i = 0; i < n; i++)
		if (slots[i].kind == SLOT_MACHINE)
			memcpy(name, slots[i].name, sizeof(name));
	if (r == 0)
		r = key_ring_add_machine(w->ring, io, w->keys[2].machine, "new", NULL);
	if (r < 0)
		return r;
	acknowledge(w, &(struct fact){ .kind = FACT_KEY_ADDED, .key = 2 });
	acknowledge(w, &(struct fact){ .kind = FACT_KEY_GOING, .key = 0 });
	r = key_ring_remove(w->ring, io, name);
	if (r == 0)
		acknowledge(w, &(struct fact){ .kind = FACT_KEY_GONE, .key = 0 });
	return r;
}

static int rebuild(struct workload *w)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(store_close_ptr) struct store *store = NULL;
	struct store_rebuild_result result;
	int r = memory_io_open(w->tree, &io);

	if (r == 0)
		r = store_open(io, w->ring, STORE_READ_WRITE, &store);
	if (r == 0)
		r = store_rebuild_index(store, true, &result);
	if (r == 0 && result.packs_damaged > 0)
		r = -EUCLEAN;
	return r;
}

static int init_first(struct workload *w)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int r = memory_io_open(w->tree, &io);

	return r < 0 ? r : workload_init(w, io, false);
}

static int prepare(struct workload *w, uint64_t seed, bool large)
{
	char real[160];

	*w = (struct workload){ .seed = seed, .large = large };
	private_folder(w->folder);
	for (uint32_t i = 0; i < WORKLOAD_SOURCES; i++)
		(void)snprintf(w->sources[i], sizeof(w->sources[i]), "%.100s/source%u", w->folder,
			       i);
	(void)snprintf(real, sizeof(real), "%s/repository", w->folder);
	if (mkdir(real, 0700) < 0)
		return -errno;
	w->tree = memory_tree_new(real, ARENA_BYTES);
	if (!w->tree)
		return -ENOMEM;
	w->facts = memory_tree_alloc(w->tree, WORKLOAD_FACTS_MAX * sizeof(*w->facts));
	w->n_facts = memory_tree_alloc(w->tree, sizeof(*w->n_facts));
	crypto_random(w->keys[0].machine, KEY_BYTES);
	crypto_random(w->keys[2].machine, KEY_BYTES);
	w->keys[1].is_code = true;
	return 0;
}

int workload_record(struct workload *w, uint64_t seed, bool large)
{
	int r = prepare(w, seed, large);

	if (r == 0)
		r = init_first(w);
	if (r == 0)
		r = take_snapshots(w, 0, 0, 0);
	if (r == 0)
		r = take_snapshots(w, 0, 1, 1);
	if (r == 0)
		r = change_keys(w);
	if (r == 0)
		r = two_processes(w, false);
	if (r == 0)
		r = rebuild(w);
	if (r == 0)
		r = take_snapshots(w, 0, 4, 4);
	if (r == 0)
		r = forget_and_collect(w, 1, 3);
	if (r == 0)
		r = two_processes(w, true);
	if (r == 0)
		r = take_snapshots(w, 0, 7, 10);
	if (r == 0)
		r = forget_and_collect(w, 7, 11);
	return r;
}

void workload_done(struct workload *w)
{
	key_ring_free(w->ring);
	models_free(w);
	memory_tree_free(w->tree);
	private_folder_remove(w->folder);
	*w = (struct workload){ 0 };
}
