/* SPDX-License-Identifier: MIT */
/*
 * Memory of the program for tests that open a repository a hundred thousand
 * times. Half of their time would go into guard pages and locks around keys,
 * and into mapping a cache's buffers anew; neither is what they ask about.
 *
 * Linked with --wrap of the four functions: keys come from malloc, and mapped
 * buffers go round instead of back. (mmap64 is what mmap is called with offsets of 64 bits.)
 */
#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KEPT_MAX 512u
#define KEY_ALIGNMENT 64u

void *__wrap_sodium_malloc(size_t n);
void __wrap_sodium_free(void *secret);
void *__real_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t n);
void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t n);

/* ---- keys ---- */

void *__wrap_sodium_malloc(size_t n)
{
	const size_t rounded = (n + KEY_ALIGNMENT - 1) / KEY_ALIGNMENT * KEY_ALIGNMENT;

	return aligned_alloc(KEY_ALIGNMENT, rounded ? rounded : KEY_ALIGNMENT);
}

void __wrap_sodium_free(void *secret)
{
	free(secret);
}

/* ---- buffers ---- */

/* A populated mapping, used or free. */
struct buffer {
	void *at; /* NULL: a place for another */
	size_t n;
	bool used;
};

static struct {
	pthread_mutex_t mutex; /* all below */
	struct buffer buffers[KEPT_MAX];
} kept = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void *take_kept(size_t n)
{
	for (size_t i = 0; i < KEPT_MAX && kept.buffers[i].at; i++) {
		struct buffer *b = &kept.buffers[i];

		if (b->used || b->n != n)
			continue;
		b->used = true;
		return b->at;
	}
	return NULL;
}

static void keep(void *at, size_t n)
{
	for (size_t i = 0; i < KEPT_MAX; i++) {
		if (kept.buffers[i].at)
			continue;
		kept.buffers[i] = (struct buffer){ .at = at, .n = n, .used = true };
		return;
	}
}

void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	void *mapped;

	/* Only a populated one is a buffer that somebody fills as a whole. */
	if (!(flags & MAP_POPULATE) || !(flags & MAP_ANONYMOUS) || !(flags & MAP_PRIVATE))
		return __real_mmap64(at, n, protection, flags, fd, offset);
	(void)pthread_mutex_lock(&kept.mutex);
	mapped = take_kept(n);
	if (!mapped) {
		mapped = __real_mmap64(at, n, protection, flags, fd, offset);
		if (mapped != MAP_FAILED)
			keep(mapped, n);
	}
	(void)pthread_mutex_unlock(&kept.mutex);
	return mapped;
}

int __wrap_munmap(void *at, size_t n)
{
	bool found = false;

	(void)pthread_mutex_lock(&kept.mutex);
	for (size_t i = 0; i < KEPT_MAX && kept.buffers[i].at && !found; i++) {
		found = kept.buffers[i].at == at;
		if (!found)
			continue;
		assert(kept.buffers[i].used);
		assert(kept.buffers[i].n == n);
		kept.buffers[i].used = false;
	}
	(void)pthread_mutex_unlock(&kept.mutex);
	return found ? 0 : __real_munmap(at, n);
}
