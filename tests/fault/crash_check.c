/* SPDX-License-Identifier: MIT */
#include "tests/fault/crash_check.h"

#include "snapshots/tree_reader.h"
#include "store/base/log.h"
#include "store/chunk_cache.h"
#include "store/pack_reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ARENA_BYTES (512ull << 20)
#define DEPTH_MAX 16
#define MEMO_SLOTS (1u << 16)
#define LINES_MAX 8192
#define FILE_ROOM (4u << 20)

/* A pack by the hash of its name and bytes. */
struct pack_memo {
	uint64_t hash;
	bool whole;
	struct pack_entry *entries;
	size_t n;
};

/* The outcome of a question about bytes that never change. */
struct memo {
	uint64_t hash; /* 0: free */
	uint32_t answer;
};

/* A line of the index. */
struct line {
	uint8_t key[16];
	struct chunk_place place;
};

struct crash_check {
	struct workload *w;
	char folder[128];
	struct memory_tree *tree;
	struct read_scratch scratch;
	struct memo keys[MEMO_SLOTS];
	struct memo records[MEMO_SLOTS];
	struct memo reopened[MEMO_SLOTS]; /* states that a second opening left alone */
	uint32_t n_reopened;
	struct pack_memo *packs;
	size_t n_packs;
	struct line lines[LINES_MAX];
	size_t n_lines;
	uint8_t *bytes; /* FILE_ROOM */
	char text[600];
};

/* What is open for one look at the state. */
struct look {
	struct crash_check *c;
	struct io *io;
	struct store *store;
	struct timeline *timeline;
	struct chunk_cache *cache;
	struct tree_reader *trees[DEPTH_MAX];
	struct content_reader *content;
	const struct acknowledged *a;
	uint64_t n_listed;
	bool seen[WORKLOAD_FACTS_MAX];
	uint32_t model_source, model_version;
	uint32_t model_found;
	bool has_model;
};

static const char *say(struct crash_check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *say(struct crash_check *c, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(c->text, sizeof(c->text), format, list);
	va_end(list);
	return c->text;
}

static atomic_uint alarms;

void crash_check_log(enum log_level level, const char *line)
{
	(void)level;
	if (strstr(line, "ALARM"))
		atomic_fetch_add(&alarms, 1);
	if (getenv("CRASH_MODEL_LOG"))
		(void)fprintf(stderr, "%s\n", line);
}

static const char *errno_text(int r)
{
	return strerrordesc_np(-r);
}

void acknowledged_add(struct acknowledged *a, const struct workload *w, uint32_t fact)
{
	const struct fact *f = &w->facts[fact];

	assert(fact < WORKLOAD_FACTS_MAX);
	a->facts[fact] = true;
	switch (f->kind) {
	case FACT_INIT_DONE:
		a->init_done = true;
		a->key_must[0] = true;
		a->key_must[1] = true;
		break;
	case FACT_KEY_ADDED:
		a->key_must[f->key] = true;
		break;
	case FACT_KEY_GOING:
		a->key_must[f->key] = false;
		break;
	case FACT_KEY_GONE:
		a->key_must_not[f->key] = true;
		break;
	case FACT_FORGETTING:
		assert(f->seq < WORKLOAD_SEQS);
		a->may_be_gone[f->seq] = true;
		break;
	case FACT_FORGOTTEN:
		assert(f->seq < WORKLOAD_SEQS);
		a->must_be_gone[f->seq] = true;
		break;
	case FACT_SNAPSHOT:
		break;
	}
}

struct crash_check *crash_check_new(struct workload *w)
{
	struct crash_check *c = calloc(1, sizeof(*c));

	assert(c);
	c->w = w;
	/* Below the workload's, which removes it even if this process crashes. */
	(void)snprintf(c->folder, sizeof(c->folder), "%.90s/check-%d", w->folder, getpid());
	if (mkdir(c->folder, 0700) < 0)
		abort();
	c->tree = memory_tree_new(c->folder, ARENA_BYTES);
	c->bytes = malloc(FILE_ROOM);
	assert(c->tree);
	assert(c->bytes);
	if (read_scratch_init(&c->scratch) < 0)
		abort();
	return c;
}

void crash_check_free(struct crash_check *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_packs; i++)
		free(c->packs[i].entries);
	free(c->packs);
	read_scratch_done(&c->scratch);
	memory_tree_free(c->tree);
	private_folder_remove(c->folder);
	free(c->bytes);
	free(c);
}

struct memory_tree *crash_check_tree(struct crash_check *c)
{
	return c->tree;
}

static struct memo *memo_find(struct memo *memo, uint64_t hash)
{
	uint64_t i = hash % MEMO_SLOTS;

	for (uint32_t tries = 0; memo[i].hash && memo[i].hash != hash; tries++) {
		assert(tries < MEMO_SLOTS);
		i = (i + 1) % MEMO_SLOTS;
	}
	return &memo[i];
}

/* ---- keys ---- */

static uint32_t keys_that_open(struct crash_check *c, struct io *io)
{
	uint8_t binding[32];
	uint32_t open = 0;

	store_config_binding(&c->w->config, binding);
	for (uint32_t i = 0; i < WORKLOAD_KEYS; i++) {
		CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
		const struct workload_key *key = &c->w->keys[i];
		const struct unlock unlock = {
			.machine_key = key->is_code ? NULL : key->machine,
			.password = key->is_code ? key->code : NULL,
		};

		if (key_ring_open(io, binding, &unlock, &ring) == 0)
			open |= 1u << i;
	}
	return open;
}

static const char *check_keys(struct look *l)
{
	struct crash_check *c = l->c;
	const uint64_t hash = memory_tree_hash(c->tree, "keys/") | 1;
	struct memo *memo = memo_find(c->keys, hash);

	if (!memo->hash)
		*memo = (struct memo){ hash, keys_that_open(c, l->io) };
	if (!l->a->init_done && (memo->answer & 3) != 3)
		return say(c, "there is a config, but not both keys of init open it");
	for (uint32_t i = 0; i < WORKLOAD_KEYS; i++) {
		const bool opens = memo->answer >> i & 1;

		if (l->a->key_must[i] && !opens)
			return say(c, "acknowledged key %u does not open", i);
		if (l->a->key_must_not[i] && opens)
			return say(c, "removed key %u opens again", i);
	}
	return NULL;
}

/* ---- files that never change ---- */

static const char *name_in(const char *path)
{
	return strrchr(path, '/') + 1;
}

static bool is_sha256_of(const char *hex, const uint8_t *data, size_t n)
{
	uint8_t expected[SHA256_BYTES], found[SHA256_BYTES];

	if (bytes_from_hex(hex, expected, sizeof(expected)) < 0)
		return false;
	sha256_of(data, n, found);
	return memcmp(expected, found, sizeof(found)) == 0;
}

/* Read the table and every object in it. */
static void learn_pack(struct look *l, const char *path, const uint8_t *data, size_t n,
		       struct pack_memo *memo)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *pack = NULL;
	struct pack_context context = { .io = l->io, .keys = l->c->w->ring };
	struct pack_id id;
	enum pack_kind kind;
	char host[2 * HOST_ID_BYTES + 1];

	if (!is_sha256_of(name_in(path), data, n))
		return;
	memcpy(context.repository, l->c->w->config.repository, REPOSITORY_ID_BYTES);
	(void)snprintf(host, sizeof(host), "%s", path + strlen("packs/"));
	if (bytes_from_hex(host, context.host.bytes, HOST_ID_BYTES) < 0 ||
	    bytes_from_hex(name_in(path), id.bytes, sizeof(id.bytes)) < 0)
		return;
	if (pack_reader_open(&context, &id, &pack) < 0 ||
	    pack_reader_table(pack, &l->c->scratch, &memo->entries, &memo->n, &kind) < 0)
		return;
	for (size_t i = 0; i < memo->n; i++)
		if (pack_reader_get(pack, &memo->entries[i], &l->c->scratch, l->c->bytes) < 0)
			return;
	memo->whole = true;
}

static const struct pack_memo *pack_known(struct look *l, const char *path, const uint8_t *data,
					  size_t n, uint64_t content)
{
	struct crash_check *c = l->c;
	const uint64_t hash = content ^ memory_hash(path, strlen(path));

	for (size_t i = c->n_packs; i-- > 0;)
		if (c->packs[i].hash == hash)
			return &c->packs[i];
	c->packs = reallocarray(c->packs, c->n_packs + 1, sizeof(*c->packs));
	assert(c->packs);
	c->packs[c->n_packs] = (struct pack_memo){ .hash = hash };
	learn_pack(l, path, data, n, &c->packs[c->n_packs]);
	return &c->packs[c->n_packs++];
}

static bool record_whole(struct crash_check *c, const char *path, const uint8_t *data, size_t n,
			 uint64_t content)
{
	struct memo *memo = memo_find(c->records, (content ^ memory_hash(path, strlen(path))) | 1);
	const char *dash = strchr(name_in(path), '-');

	if (!memo->hash)
		*memo = (struct memo){
			(content ^ memory_hash(path, strlen(path))) | 1,
			dash && is_sha256_of(dash + 1, data, n),
		};
	return memo->answer;
}

static int visit_file(void *context, const char *path, const uint8_t *data, size_t n, uint64_t hash)
{
	struct look *l = context;
	bool good = false;

	if (strncmp(path, "packs/", 6) == 0)
		good = pack_known(l, path, data, n, hash)->whole;
	else if (strncmp(path, "records/", 8) == 0)
		good = record_whole(l->c, path, data, n, hash);
	else if (strncmp(path, "keys/", 5) == 0)
		good = n > 0; /* parsed by check_keys */
	else if (strncmp(path, "local/", 6) == 0 || strncmp(path, "index/", 6) == 0)
		good = true;
	else if (strcmp(path, "config") == 0)
		good = true;
	if (!good)
		(void)say(l->c, "%s (%zu bytes) is left behind, and no good", path, n);
	return !good;
}

static const char *check_files(struct look *l)
{
	if (memory_tree_each_file(l->c->tree, "", visit_file, l) != 0)
		return l->c->text;
	return NULL;
}

/* ---- the index ---- */

static int visit_chunk(void *context, const uint8_t key[static 16], const struct chunk_place *place)
{
	struct crash_check *c = context;

	assert(c->n_lines < LINES_MAX);
	memcpy(c->lines[c->n_lines].key, key, 16);
	c->lines[c->n_lines++].place = *place;
	return 0;
}

/* Context of looking for one pack's file. */
struct pack_search {
	struct look *l;
	const struct pack_memo *found;
};

static int visit_wanted(void *context, const char *path, const uint8_t *data, size_t n,
			uint64_t hash)
{
	struct pack_search *s = context;

	s->found = pack_known(s->l, path, data, n, hash);
	return 1;
}

static const struct pack_memo *pack_of(struct look *l, uint32_t number, char to[PACK_PATH_BYTES])
{
	struct pack_search s = { .l = l };
	struct pack_info info;

	(void)snprintf(to, PACK_PATH_BYTES, "pack %u", number);
	if (chunk_index_pack(store_index(l->store), number, &info) < 0)
		return NULL;
	(void)pack_path(&info.host, &info.id, to);
	(void)memory_tree_each_file(l->c->tree, to, visit_wanted, &s);
	return s.found;
}

static bool line_true(const struct line *line, const struct pack_memo *pack)
{
	const struct chunk_place *p = &line->place;

	for (size_t i = 0; i < pack->n; i++) {
		const struct pack_entry *e = &pack->entries[i];

		if (e->offset == p->offset)
			return memcmp(e->id.bytes, line->key, 16) == 0 &&
			       e->stored_n == p->stored_n && e->raw_n == p->raw_n &&
			       e->type == p->type && e->codec == p->codec;
	}
	return false;
}

static const char *check_index(struct look *l)
{
	struct crash_check *c = l->c;
	const struct pack_memo *pack = NULL;
	char path[PACK_PATH_BYTES] = "";
	uint32_t number = 0;
	int r;

	c->n_lines = 0;
	r = chunk_index_each_chunk(store_index(l->store), visit_chunk, c);
	if (r < 0)
		return say(c, "the index cannot be read: %s", errno_text(r));
	for (size_t i = 0; i < c->n_lines; i++) {
		const struct line *line = &c->lines[i];

		if (!pack || line->place.pack != number)
			pack = pack_of(l, line->place.pack, path);
		number = line->place.pack;
		if (!pack || !pack->whole)
			return say(c, "the index names %s, which is %s", path,
				   pack ? "damaged" : "not there");
		if (!line_true(line, pack))
			return say(c, "the index is wrong about an object in %s", path);
	}
	return NULL;
}

static int compare_lines(const void *a, const void *b)
{
	return memcmp(((const struct line *)a)->key, ((const struct line *)b)->key, 16);
}

static const char *check_rebuilt(struct look *l)
{
	struct crash_check *c = l->c;
	CLEANUP(free_ptr) struct line *before = calloc(c->n_lines + 1, sizeof(*before));
	const size_t n = c->n_lines;
	struct store_rebuild_result result;
	const char *problem;
	int r;

	assert(before);
	memcpy(before, c->lines, n * sizeof(*before));
	r = store_rebuild_index(l->store, true, &result);
	if (r < 0)
		return say(c, "the index cannot be built anew: %s", errno_text(r));
	if (result.packs_damaged > 0)
		return say(c, "%" PRIu64 " damaged packs", result.packs_damaged);
	problem = check_index(l);
	if (problem)
		return problem;
	for (size_t i = 0; i < n; i++)
		if (!bsearch(&before[i], c->lines, c->n_lines, sizeof(*before), compare_lines))
			return say(c, "an index built anew lacks an object");
	return NULL;
}

/* ---- snapshots ---- */

static const char *check_content(struct look *l, const char *path, const struct tree_entry *entry)
{
	struct crash_check *c = l->c;
	const struct model_file *file;
	int64_t n;
	int r;

	if (entry->content.length > FILE_ROOM)
		return say(c, "%s: unexpected length", path);
	r = content_reader_set(l->content, &entry->content);
	n = r < 0 ? r : content_read(l->content, 0, c->bytes, (size_t)entry->content.length);
	if (n < 0)
		return say(c, "%s: %s", path, errno_text((int)n));
	if ((uint64_t)n != entry->size)
		return say(c, "%s: shorter than it says", path);
	if (!l->has_model)
		return NULL;
	for (uint32_t i = 0; i < model_count(c->w, l->model_source, l->model_version); i++) {
		file = model_file(c->w, l->model_source, l->model_version, i);
		if (strcmp(file->path, path) != 0)
			continue;
		l->model_found++;
		if ((size_t)n != file->n || memcmp(c->bytes, file->data, file->n) != 0)
			return say(c, "%s: other bytes than it had", path);
	}
	return NULL;
}

static const char *check_folder(struct look *l, const struct chunk_id *root, const char *path,
				int depth)
{
	struct crash_check *c = l->c;
	struct tree_entry entry;
	int r;

	if (depth == DEPTH_MAX)
		return say(c, "%s: too deep", path);
	r = l->trees[depth] ? 0 : tree_reader_new(l->cache, &l->trees[depth]);
	if (r == 0)
		r = tree_reader_set(l->trees[depth], root);
	if (r < 0)
		return say(c, "%s/: %s", path, errno_text(r));
	while ((r = tree_reader_next(l->trees[depth], &entry)) == 1) {
		const char *problem = NULL;
		char below[600];

		if (snprintf(below, sizeof(below), "%s/%.*s", path, (int)entry.name_n,
			     entry.name) >= (int)sizeof(below))
			return say(c, "%s/: a path longer than any that was made", path);
		if (S_ISDIR(entry.mode))
			problem = check_folder(l, &entry.tree, below, depth + 1);
		else if (S_ISREG(entry.mode))
			problem = check_content(l, below, &entry);
		if (problem)
			return problem;
	}
	return r < 0 ? say(c, "%s/: %s", path, errno_text(r)) : NULL;
}

/* What a snapshot must hold, whether it was acknowledged in time or not. */
static void find_model(struct look *l, const struct snapshot_info *info)
{
	const struct workload *w = l->c->w;

	l->has_model = false;
	l->model_found = 0;
	for (uint32_t i = 0; i < *w->n_facts; i++) {
		const struct fact *f = &w->facts[i];

		if (f->kind != FACT_SNAPSHOT || f->seq != info->seq ||
		    memcmp(&f->id, &info->id, sizeof(f->id)) != 0)
			continue;
		l->has_model = true;
		l->model_source = f->source;
		l->model_version = f->version;
		l->seen[i] = true;
	}
}

static int visit_snapshot(void *context, const struct snapshot_info *info)
{
	struct look *l = context;
	const char *problem;
	char inner[400];

	find_model(l, info);
	l->n_listed++;
	if (info->seq < WORKLOAD_SEQS && l->a->must_be_gone[info->seq]) {
		(void)say(l->c, "forgotten snapshot %" PRIu64 " is listed again", info->seq);
		return 1;
	}
	problem = check_folder(l, &info->root_tree, "", 0);
	if (problem) {
		(void)snprintf(inner, sizeof(inner), "%s", problem);
		(void)say(l->c, "snapshot %" PRIu64 ": %s", info->seq, inner);
		return 1;
	}
	if (l->has_model &&
	    l->model_found != model_count(l->c->w, l->model_source, l->model_version)) {
		(void)say(l->c, "snapshot %" PRIu64 ": files are missing", info->seq);
		return 1;
	}
	return 0;
}

static const char *check_snapshots(struct look *l)
{
	struct crash_check *c = l->c;
	int r;

	r = chunk_cache_new(l->store, 4u << 20, 0, &l->cache);
	if (r == 0)
		r = content_reader_new(l->cache, &l->content);
	if (r < 0)
		return say(c, "readers: %s", errno_text(r));
	r = timeline_each(l->timeline, false, visit_snapshot, l);
	if (r == 1)
		return c->text;
	if (r < 0)
		return say(c, "snapshots cannot be listed: %s", errno_text(r));
	for (uint32_t i = 0; i < WORKLOAD_FACTS_MAX; i++)
		if (l->a->facts[i] && c->w->facts[i].kind == FACT_SNAPSHOT && !l->seen[i] &&
		    !l->a->may_be_gone[c->w->facts[i].seq])
			return say(c, "acknowledged snapshot %" PRIu64 " is not listed",
				   c->w->facts[i].seq);
	return NULL;
}

/* ---- one look ---- */

static void look_close(struct look *l)
{
	for (int i = 0; i < DEPTH_MAX; i++)
		tree_reader_free(l->trees[i]);
	content_reader_free(l->content);
	chunk_cache_free(l->cache);
	timeline_close(l->timeline);
	store_close(l->store);
	io_free(l->io);
	*l = (struct look){ 0 };
}

static const char *look_open(struct look *l, struct crash_check *c, const struct acknowledged *a)
{
	int r;

	*l = (struct look){ .c = c, .a = a };
	atomic_store(&alarms, 0);
	r = memory_io_open(c->tree, &l->io);
	assert(r == 0);
	r = store_open(l->io, c->w->ring, STORE_READ_WRITE, &l->store);
	if (r < 0)
		return say(c, "opening: %s", errno_text(r));
	r = timeline_open(l->store, store_host(l->store), &l->timeline);
	if (r < 0)
		return say(c, "opening the timeline: %s", errno_text(r));
	if (atomic_load(&alarms) > 0)
		return say(c, "opening raises an alarm");
	return NULL;
}

static const char *first_look(struct crash_check *c, const struct acknowledged *a)
{
	CLEANUP(look_close) struct look l;
	const char *problem = look_open(&l, c, a);

	if (!problem)
		problem = check_keys(&l);
	if (!problem)
		problem = check_snapshots(&l);
	if (!problem)
		problem = check_index(&l);
	if (!problem)
		problem = check_files(&l);
	return problem;
}

static const char *second_look(struct crash_check *c, const struct acknowledged *a)
{
	const uint64_t files = memory_tree_hash(c->tree, "");
	const uint64_t index = memory_tree_real_index_hash(c->tree);
	struct memo *memo = memo_find(c->reopened, (files ^ index * 31) | 1);
	const char *problem;
	struct look l;

	/* Many states become the same one by opening. */
	if (memo->hash)
		return NULL;
	problem = look_open(&l, c, a);
	look_close(&l);
	if (problem)
		return problem;
	if (memory_tree_hash(c->tree, "") != files)
		return say(c, "opening again changed files");
	if (memory_tree_real_index_hash(c->tree) != index)
		return say(c, "opening again changed the index");
	if (c->n_reopened < MEMO_SLOTS / 2) {
		memo->hash = (files ^ index * 31) | 1;
		c->n_reopened++;
	}
	return NULL;
}

static const char *thorough_look(struct crash_check *c, const struct acknowledged *a)
{
	CLEANUP(look_close) struct look l;
	const char *problem = look_open(&l, c, a);
	struct snapshot_info info;
	uint64_t n = 0;
	int r;

	if (!problem)
		problem = check_index(&l);
	if (!problem)
		problem = check_rebuilt(&l);
	if (problem)
		return problem;
	r = workload_capture(c->w, l.timeline, 0, &info);
	if (r < 0)
		return say(c, "no snapshot can be taken afterwards: %s", errno_text(r));
	r = workload_collect(l.timeline);
	if (r < 0)
		return say(c, "nothing can be collected afterwards: %s", errno_text(r));
	problem = check_index(&l);
	if (problem)
		return problem;
	r = timeline_count(l.timeline, &n);
	problem = check_snapshots(&l);
	if (!problem && (r < 0 || l.n_listed != n))
		problem = say(c, "the count of snapshots is wrong");
	return problem;
}

/* Before init was acknowledged there may be no repository: then it can be made. */
static const char *without_config(struct crash_check *c, const struct acknowledged *a,
				  struct io *io)
{
	CLEANUP(store_close_ptr) struct store *store = NULL;
	int r;

	if (a->init_done)
		return say(c, "the repository is gone");
	if (store_open(io, c->w->ring, STORE_READ_WRITE, &store) != -ENOENT)
		return say(c, "a folder without config is not told as no repository");
	r = workload_init(c->w, io, true);
	return r < 0 ? say(c, "init does not work again: %s", errno_text(r)) : NULL;
}

static int visit_host_file(void *context, const char *path, const uint8_t *data, size_t n,
			   uint64_t hash)
{
	uint8_t sum[32];

	(void)context;
	(void)path;
	(void)hash;
	if (n <= sizeof(sum))
		return 1;
	crypto_blake2b(data, n - sizeof(sum), sum);
	return memcmp(sum, data + n - sizeof(sum), sizeof(sum)) != 0;
}

const char *crash_check_run(struct crash_check *c, const struct acknowledged *a,
			    int64_t index_mtime_ns, bool thorough)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	struct store_config config;
	const char *problem;
	int r;

	memory_tree_restore_index(c->tree, index_mtime_ns);
	r = memory_io_open(c->tree, &io);
	assert(r == 0);
	r = store_config_read(io, &config);
	if (r == -ENOENT)
		return without_config(c, a, io);
	if (r < 0)
		return say(c, "the config is no good: %s", errno_text(r));
	if (memcmp(config.repository, c->w->config.repository, REPOSITORY_ID_BYTES) != 0)
		return say(c, "the config is another one");
	/* Opening would go on under a new id, and tell the user of damage that is none. */
	if (memory_tree_each_file(c->tree, "local/host", visit_host_file, NULL) != 0)
		return say(c, "local/host looks damaged");
	problem = first_look(c, a);
	if (!problem)
		problem = second_look(c, a);
	if (!problem && thorough)
		problem = thorough_look(c, a);
	return problem;
}
