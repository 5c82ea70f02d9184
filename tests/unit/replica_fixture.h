/* SPDX-License-Identifier: MIT */
/*
 * replica_fixture: a repository with snapshots of which the test knows what
 * objects each needs, a remote in memory, and an auditor who looks after every
 * operation whether a visible snapshot lacks an object.
 */
#ifndef TESTS_UNIT_REPLICA_FIXTURE_H
#define TESTS_UNIT_REPLICA_FIXTURE_H

#include "timeline_fixture.h"

#include "memory_remote.h"
#include "store/collector.h"
#include "store/pack_reader.h"
#include "sync/replicator.h"

#include <errno.h>

#define OBJECTS_MAX 1024
#define SNAPSHOTS_MAX 256
#define PACKS_MAX 1024

typedef uint8_t object_set[OBJECTS_MAX / 8];

struct model_snapshot {
	uint64_t seq;
	struct record_id id;
	object_set needs;
	bool forgotten;
};

struct model_pack {
	char name[PACK_PATH_BYTES];
	object_set holds;
};

struct model {
	struct fixture *f;
	struct timeline *t;
	struct memory_remote *m;
	struct replicator *r;
	struct replicator_options options;
	struct chunk_id objects[OBJECTS_MAX];
	size_t n_objects;
	struct model_snapshot snapshots[SNAPSHOTS_MAX];
	size_t n_snapshots;
	struct model_pack packs[PACKS_MAX]; /* that the auditor has looked into */
	size_t n_packs;
	uint64_t seed;
	uint64_t payload; /* bytes of packs made */
	uint64_t audits;
	const char *fault; /* what the auditor found */
	/* Something that happens here while a pass runs. May be NULL. */
	void (*meanwhile)(struct model *model);
	bool inside;
};

static inline uint32_t model_random(struct model *model)
{
	model->seed ^= model->seed << 13;
	model->seed ^= model->seed >> 7;
	model->seed ^= model->seed << 17;
	return (uint32_t)(model->seed >> 32);
}

static inline bool set_has(const object_set set, size_t i)
{
	return set[i / 8] >> (i % 8) & 1;
}

static inline void set_add(object_set set, size_t i)
{
	set[i / 8] |= (uint8_t)(1 << (i % 8));
}

/* ---- the auditor ---- */

/* A pack as it lies on the remote. */
struct remote_pack_source {
	struct chunk_source base;
	const struct memory_object *object;
};

static inline int read_remote_pack(struct chunk_source *source, const struct host_id *host,
				   const struct pack_id *pack, uint64_t offset, void *to, size_t n)
{
	const struct memory_object *object = ((struct remote_pack_source *)source)->object;

	(void)host;
	(void)pack;
	if (offset > object->n || n > object->n - offset)
		return -EBADMSG;
	memcpy(to, object->data + offset, n);
	return 0;
}

static inline void learn_pack(struct model *model, const struct memory_object *object,
			      struct model_pack *to)
{
	struct remote_pack_source source = { .base.read = read_remote_pack, .object = object };
	struct pack_context context = { .io = model->f->io, .keys = model->f->ring };
	struct pack_entry *entries = NULL;
	struct pack_reader *reader = NULL;
	struct read_scratch scratch;
	enum pack_kind kind;
	struct pack_id id;
	size_t n = 0;

	(void)snprintf(to->name, sizeof(to->name), "%.*s", PACK_PATH_BYTES - 1, object->name);
	assert_int_equal(bytes_from_hex(strrchr(object->name, '/') + 1, id.bytes, SHA256_BYTES), 0);
	memcpy(context.repository, store_config(model->f->store)->repository, REPOSITORY_ID_BYTES);
	context.host = *store_host(model->f->store);
	assert_int_equal(read_scratch_init(&scratch), 0);
	assert_int_equal(pack_reader_open_source(&context, &id, &source.base, object->n, &reader),
			 0);
	assert_int_equal(pack_reader_table(reader, &scratch, &entries, &n, &kind), 0);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < model->n_objects; k++)
			if (memcmp(&entries[i].id, &model->objects[k], sizeof(struct chunk_id)) ==
			    0)
				set_add(to->holds, k);
	free(entries);
	pack_reader_close(reader);
	read_scratch_done(&scratch);
}

static inline const struct model_pack *known_pack(struct model *model,
						  const struct memory_object *object)
{
	for (size_t i = 0; i < model->n_packs; i++)
		if (strcmp(model->packs[i].name, object->name) == 0)
			return &model->packs[i];
	assert_true(model->n_packs < PACKS_MAX);
	learn_pack(model, object, &model->packs[model->n_packs]);
	return &model->packs[model->n_packs++];
}

static inline bool of_this_host(struct model *model, const char *name, const char *kind)
{
	char hex[2 * HOST_ID_BYTES + 1], prefix[64];

	bytes_to_hex(store_host(model->f->store)->bytes, HOST_ID_BYTES, hex);
	(void)snprintf(prefix, sizeof(prefix), "%s/%s/", kind, hex);
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static inline void audit_record(struct model *model, const char *name, const object_set there)
{
	struct record_id id;
	uint64_t seq;

	assert_int_equal(record_parse_name(strrchr(name, '/') + 1, &seq, &id), 0);
	for (size_t i = 0; i < model->n_snapshots; i++) {
		const struct model_snapshot *s = &model->snapshots[i];

		if (s->seq != seq)
			continue;
		for (size_t b = 0; b < sizeof(object_set); b++)
			if (s->needs[b] & ~there[b])
				model->fault = "a visible snapshot lacks an object";
	}
}

static inline void audit(void *context, struct memory_remote *m)
{
	struct model *model = context;
	object_set there = { 0 };

	model->audits++;
	for (size_t i = 0; i < m->n_objects; i++) {
		if (!of_this_host(model, m->objects[i].name, "packs"))
			continue;
		for (size_t b = 0; b < sizeof(there); b++)
			there[b] |= known_pack(model, &m->objects[i])->holds[b];
	}
	for (size_t i = 0; i < m->n_objects; i++)
		if (of_this_host(model, m->objects[i].name, "records"))
			audit_record(model, m->objects[i].name, there);
	if (model->meanwhile && !model->inside) {
		model->inside = true;
		model->meanwhile(model);
		model->inside = false;
	}
}

/* ---- what happens here ---- */

/* Store n new objects of some bytes each, and yield the packs that they came to. */
static inline struct new_pack *model_store(struct model *model, size_t n, size_t bytes,
					   object_set needs, size_t *ret_n)
{
	struct id_hasher *hasher = NULL;
	struct compressor *c = NULL;
	struct store_writer *w = NULL;
	const struct new_pack *packs;
	struct new_pack *copy;
	uint8_t *data = malloc(bytes);

	assert_int_equal(store_hasher(model->f->store, OBJECT_DATA, &hasher), 0);
	assert_int_equal(compressor_new(&c), 0);
	assert_int_equal(store_writer_new(model->f->store, &w), 0);
	for (size_t i = 0; i < n; i++) {
		struct chunk_id *id = &model->objects[model->n_objects];

		assert_true(model->n_objects < OBJECTS_MAX);
		for (size_t k = 0; k < bytes; k++)
			data[k] = (uint8_t)model_random(model);
		id_hasher_run(hasher, data, bytes, id);
		assert_int_equal(store_writer_put(w, c, OBJECT_DATA, id, data, bytes), 1);
		set_add(needs, model->n_objects++);
	}
	assert_int_equal(store_writer_finish(w), 0);
	packs = store_writer_packs(w, ret_n);
	copy = calloc(*ret_n + 1, sizeof(*copy));
	memcpy(copy, packs, *ret_n * sizeof(*copy));
	for (size_t i = 0; i < *ret_n; i++)
		model->payload += copy[i].size;
	store_writer_free(w);
	compressor_free(c);
	id_hasher_free(hasher);
	free(data);
	return copy;
}

/* A snapshot of n new objects and about half of what the one before needs. */
static inline void model_snapshot(struct model *model, size_t n, size_t bytes)
{
	struct model_snapshot *s = &model->snapshots[model->n_snapshots];
	CLEANUP(record_done) struct record record = fixture_record(clock_now_ns(), NULL, NULL);
	struct snapshot_info info;
	int fd;

	assert_true(model->n_snapshots < SNAPSHOTS_MAX);
	for (size_t i = 0; model->n_snapshots > 0 && i < model->n_objects; i++)
		if (set_has(s[-1].needs, i) && model_random(model) % 2)
			set_add(s->needs, i);
	if (n > 0)
		record.packs = model_store(model, n, bytes, s->needs, &record.n_packs);
	fd = timeline_lock(model->t);
	assert_true(fd >= 0);
	assert_int_equal(timeline_append(model->t, &record, &info), 0);
	io_close(model->f->io, fd);
	s->seq = info.seq;
	s->id = info.id;
	model->n_snapshots++;
}

/* Forget a snapshot that is not the newest. */
static inline void model_forget(struct model *model, size_t i)
{
	struct forget_result result;

	if (i + 1 >= model->n_snapshots || model->snapshots[i].forgotten)
		return;
	assert_int_equal(timeline_forget(model->t, &model->snapshots[i].seq, 1, &result), 0);
	model->snapshots[i].forgotten = result.forgotten == 1;
}

/* Free and merge packs by what the snapshots need. */
static inline void model_collect(struct model *model)
{
	const struct collector_options options = { .young_too = true,
						   .sparse_percent = 60,
						   .rewrite_bytes = MIB(64) };
	struct collector *c = NULL;

	assert_int_equal(collector_new(model->f->store, &options, &c), 0);
	for (size_t i = 0; i < model->n_objects; i++)
		for (size_t k = 0; k < model->n_snapshots; k++)
			if (!model->snapshots[k].forgotten &&
			    set_has(model->snapshots[k].needs, i)) {
				assert_true(collector_mark(c, &model->objects[i], OBJECT_DATA) >=
					    0);
				break;
			}
	assert_int_equal(collector_judge(c), 0);
	while (collector_next(c) == 1) {
		int fd = timeline_lock(model->t);

		assert_int_equal(collector_condemn(c), 0);
		io_close(model->f->io, fd);
		assert_int_equal(collector_retire(c), 0);
	}
	assert_int_equal(collector_finish(c), 0);
	collector_free(c);
}

/* ---- the replicator ---- */

static int64_t model_clock_ns; /* 0: the real one */

static inline int64_t model_now_ns(void)
{
	return model_clock_ns ? model_clock_ns : clock_now_ns();
}

static inline void model_open(struct model *model)
{
	assert_int_equal(replicator_new(model->t, &model->m->remote, &model->options, &model->r),
			 0);
}

/* As a new process would: what only memory knew is gone. */
static inline void model_reopen(struct model *model)
{
	replicator_free(STEAL(model->r));
	model_open(model);
}

static inline struct replicator_status model_status(struct model *model)
{
	struct replicator_status status;

	replicator_status(model->r, &status);
	return status;
}

static inline int model_setup(void **state)
{
	struct model *model = calloc(1, sizeof(*model));

	model_clock_ns = 0;
	model->f = fixture_open();
	model->seed = 42;
	assert_int_equal(timeline_open(model->f->store, store_host(model->f->store), &model->t), 0);
	model->m = memory_remote_new();
	model->m->audit = audit;
	model->m->context = model;
	model->options = (struct replicator_options){
		.name = "usb", .threads = 4, .backoff_ms = 1, .now_ns = model_now_ns
	};
	model_open(model);
	*state = model;
	return 0;
}

static inline int model_teardown(void **state)
{
	struct model *model = *state;

	replicator_free(model->r);
	remote_free(&model->m->remote);
	timeline_close(model->t);
	fixture_close(model->f);
	free(model);
	return 0;
}

/* ---- comparing ---- */

/* Does the remote hold exactly this file of the repository? */
static inline bool remote_has_file(struct model *model, const char *path)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	const struct memory_object *object = memory_find(model->m, path);
	size_t n = 0;

	assert_int_equal(io_read_file(model->f->io, path, MIB(64), &data, &n), 0);
	return object && object->n == n && memcmp(object->data, data, n) == 0;
}

/* Names of one kind on the remote. */
static inline size_t remote_count(struct model *model, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < model->m->n_objects; i++)
		n += strncmp(model->m->objects[i].name, kind, strlen(kind)) == 0;
	return n;
}

#endif
