/* SPDX-License-Identifier: MIT */
/*
 * cleanup: scope-bound destructors, so that every function can return early.
 */
#ifndef STORE_BASE_CLEANUP_H
#define STORE_BASE_CLEANUP_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

/* Run fn(&variable) when the variable goes out of scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* From void stop(T *) make stop_ptr(T **), fit for CLEANUP(). */
#define CLEANUP_DEFINE(type, stop)              \
	static inline void stop##_ptr(type **p) \
	{                                       \
		stop(*p);                       \
	}

/* Hand a pointer over: yields it and leaves NULL behind. */
#define STEAL(p)                             \
	({                                   \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL;                  \
		stolen_;                     \
	})

/* Hand a descriptor over: yields it and leaves -1 behind. */
#define STEAL_FD(fd)                \
	({                          \
		int stolen_ = (fd); \
		(fd) = -1;          \
		stolen_;            \
	})

static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

static inline void close_fd_ptr(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void close_dir_ptr(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

#endif
