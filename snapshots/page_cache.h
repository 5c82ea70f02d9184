/* SPDX-License-Identifier: MIT */
/*
 * page_cache: reading a file without leaving it in the kernel's page cache,
 * unless it was there before: a backup should not evict what people work with.
 *
 * Threads: no state.
 */
#ifndef SNAPSHOTS_PAGE_CACHE_H
#define SNAPSHOTS_PAGE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * Is this open file, of `size` bytes, not in the cache as far as its first,
 * middle and last byte tell? False where that cannot be told: then its pages
 * are left alone. One system call for a file that is cached.
 */
bool page_cache_lacks(int fd, uint64_t size);
/**
 * Read the first `n` bytes like pread(), and tell whether their first page was
 * not in the cache. No more system calls than pread() for a file that is cached.
 */
ssize_t page_cache_read(int fd, void *to, size_t n, bool *ret_lacked);
/** Let go of the file's clean pages from `from` on, `n` bytes (0: to its end). */
void page_cache_drop(int fd, uint64_t from, uint64_t n);

#endif
