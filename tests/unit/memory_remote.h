/* SPDX-License-Identifier: MIT */
/*
 * memory_remote: a remote in memory that can die at any operation, refuse,
 * list what it held a while ago, and lose or damage what it holds.
 */
#ifndef TESTS_UNIT_MEMORY_REMOTE_H
#define TESTS_UNIT_MEMORY_REMOTE_H

#include "sync/remote.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct memory_object {
	char name[REMOTE_NAME_BYTES_MAX + 1];
	uint8_t *data;
	size_t n;
	uint64_t since; /* operation that put it */
	int64_t mtime_ns;
};

struct memory_remote {
	struct remote remote;
	pthread_mutex_t mutex; /* one operation at a time: the auditor sees each state */
	struct memory_object *objects;
	size_t n_objects;
	uint64_t operations, puts, removes, lists, heads;
	uint64_t received_bytes;  /* of bodies, also of those that were cut */
	uint64_t die_at;          /* from this operation on nothing is answered; 0: never */
	uint64_t refuse_every;    /* each so-manieth operation is -EAGAIN; 0: none */
	uint64_t list_lag;        /* listings lack what was put in so many last operations */
	uint64_t gets, unaligned; /* reads; those that are no aligned MiB */
	volatile bool hang;       /* reads wait until they are cancelled */
	uint32_t delay_us;        /* of each read */
	int always;               /* every operation fails with this; 0: none */
	unsigned int running, most_running;
	/* Called after every operation that changed something. May be NULL. */
	void (*audit)(void *context, struct memory_remote *m);
	void *context;
};

static inline struct memory_object *memory_find(struct memory_remote *m, const char *name)
{
	for (size_t i = 0; i < m->n_objects; i++)
		if (strcmp(m->objects[i].name, name) == 0)
			return &m->objects[i];
	return NULL;
}

static inline void memory_drop(struct memory_remote *m, struct memory_object *object)
{
	free(object->data);
	memmove(object, object + 1,
		(size_t)(m->objects + m->n_objects - object - 1) * sizeof(*object));
	m->n_objects--;
}

static inline void memory_wipe(struct memory_remote *m)
{
	while (m->n_objects > 0)
		memory_drop(m, &m->objects[m->n_objects - 1]);
}

/* Begin an operation; 0 or what it fails with. The mutex is held afterwards in any case. */
static inline int memory_begin(struct memory_remote *m)
{
	pthread_mutex_lock(&m->mutex);
	m->operations++;
	if (m->die_at && m->operations >= m->die_at)
		return -ECANCELED;
	if (m->always)
		return m->always;
	if (m->refuse_every && m->operations % m->refuse_every == 0)
		return -EAGAIN;
	return 0;
}

static inline int memory_end(struct memory_remote *m, int r)
{
	pthread_mutex_unlock(&m->mutex);
	return r;
}

static inline void memory_store(struct memory_remote *m, const char *name, uint8_t *data, size_t n)
{
	size_t at = 0;

	while (at < m->n_objects && strcmp(m->objects[at].name, name) < 0)
		at++;
	m->objects = reallocarray(m->objects, m->n_objects + 1, sizeof(*m->objects));
	assert(m->objects);
	memmove(&m->objects[at + 1], &m->objects[at], (m->n_objects - at) * sizeof(*m->objects));
	m->n_objects++;
	m->objects[at] = (struct memory_object){
		.data = data, .n = n, .since = m->operations, .mtime_ns = (int64_t)m->operations
	};
	(void)snprintf(m->objects[at].name, sizeof(m->objects[at].name), "%s", name);
}

static inline int memory_put(struct remote *r, const char *name, const struct remote_body *body,
			     const volatile bool *cancel)
{
	struct memory_remote *m = (struct memory_remote *)r;
	uint8_t *data = malloc(body->size + 1);
	int x;

	(void)cancel;
	assert(data);
	if (body->data)
		memcpy(data, body->data, body->size);
	else
		assert(io_pread(body->io, body->fd, data, body->size, 0) == (int64_t)body->size);
	x = memory_begin(m);
	m->puts++;
	/* The one that it dies in, or refuses, is cut half-way. */
	m->received_bytes += x == 0                                          ? body->size
			     : x == -ECANCELED && m->operations == m->die_at ? body->size / 2
									     : 0;
	if (x < 0 || memory_find(m, name)) {
		free(data);
		return memory_end(m, x);
	}
	memory_store(m, name, data, body->size);
	if (m->audit)
		m->audit(m->context, m);
	return memory_end(m, 0);
}

static inline int64_t memory_get(struct remote *r, const char *name, uint64_t offset, void *to,
				 size_t n, const volatile bool *cancel)
{
	struct memory_remote *m = (struct memory_remote *)r;
	const struct memory_object *object;
	int x;

	if (m->delay_us)
		usleep(m->delay_us);
	while (m->hang) {
		if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED))
			return -ECANCELED;
		usleep(1000);
	}
	x = memory_begin(m);
	object = memory_find(m, name);
	m->gets++;
	m->unaligned += offset % (1u << 20) != 0 || n != 1u << 20;
	if (x == 0 && !object)
		x = -ENOENT;
	if (x < 0)
		return memory_end(m, x);
	if (offset >= object->n)
		n = 0;
	else if (n > object->n - offset)
		n = object->n - offset;
	memcpy(to, object->data + (n ? offset : 0), n);
	(void)memory_end(m, 0);
	return (int64_t)n;
}

static inline int memory_head(struct remote *r, const char *name, struct remote_stat *ret_stat)
{
	struct memory_remote *m = (struct memory_remote *)r;
	int x = memory_begin(m);
	const struct memory_object *object = memory_find(m, name);

	m->heads++;
	if (x == 0 && !object)
		x = -ENOENT;
	if (x == 0)
		*ret_stat = (struct remote_stat){ object->n, object->mtime_ns };
	return memory_end(m, x);
}

static inline int memory_list(struct remote *r, const char *prefix, remote_list_visitor *visit,
			      void *context, const volatile bool *cancel)
{
	struct memory_remote *m = (struct memory_remote *)r;
	int x = memory_begin(m);

	(void)cancel;
	m->lists++;
	for (size_t i = 0; i < m->n_objects && x == 0; i++) {
		const struct memory_object *object = &m->objects[i];
		const struct remote_stat stat = { object->n, object->mtime_ns };

		if (object->since + m->list_lag > m->operations && m->list_lag > 0)
			continue;
		if (strncmp(object->name, prefix, strlen(prefix)) == 0)
			x = visit(context, object->name, &stat);
	}
	return memory_end(m, x);
}

static inline int memory_remove(struct remote *r, const char *name)
{
	struct memory_remote *m = (struct memory_remote *)r;
	int x = memory_begin(m);
	struct memory_object *object = memory_find(m, name);

	m->removes++;
	if (x == 0 && r->append_only)
		x = -EPERM;
	if (x == 0 && object) {
		memory_drop(m, object);
		if (m->audit)
			m->audit(m->context, m);
	}
	return memory_end(m, x);
}

static inline int memory_probe(struct remote *r, struct remote_abilities *ret_abilities)
{
	(void)r;
	*ret_abilities = (struct remote_abilities){ .ranges = true, .deletes = !r->append_only };
	return 0;
}

static inline void memory_free(struct remote *r)
{
	struct memory_remote *m = (struct memory_remote *)r;

	memory_wipe(m);
	free(m->objects);
	pthread_mutex_destroy(&m->mutex);
	free(m);
}

static inline struct memory_remote *memory_remote_new(void)
{
	static const struct remote_ops ops = { .put = memory_put,
					       .get = memory_get,
					       .head = memory_head,
					       .list = memory_list,
					       .remove = memory_remove,
					       .probe = memory_probe,
					       .free = memory_free };
	struct memory_remote *m = calloc(1, sizeof(*m));

	assert(m);
	m->remote.ops = &ops;
	m->remote.url = strdup("memory");
	pthread_mutex_init(&m->mutex, NULL);
	return m;
}

#endif
