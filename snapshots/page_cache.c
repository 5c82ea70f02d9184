/* SPDX-License-Identifier: MIT */
#include "snapshots/page_cache.h"

#include "store/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_ALL_FROM KIB(64) /* shorter files come and go as a whole, mostly */

/* Would reading this byte have to wait for the disk? (mincore() tells others' files no more.) */
static bool lacks_byte(int fd, uint64_t at)
{
	char byte;
	struct iovec io = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(fd, &io, 1, (off_t)at, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

bool page_cache_lacks(int fd, uint64_t size)
{
	if (size == 0 || !lacks_byte(fd, 0))
		return false;
	return size < PROBE_ALL_FROM || (lacks_byte(fd, size / 2) && lacks_byte(fd, size - 1));
}

ssize_t page_cache_read(int fd, void *to, size_t n, bool *ret_lacked)
{
	struct iovec io = { .iov_base = to, .iov_len = n };
	ssize_t got = preadv2(fd, &io, 1, 0, RWF_NOWAIT);

	*ret_lacked = got < 0 && errno == EAGAIN;
	/* Where it cannot be told, this one says what is wrong, or reads. */
	return got < 0 ? pread(fd, to, n, 0) : got;
}

void page_cache_drop(int fd, uint64_t from, uint64_t n)
{
	(void)posix_fadvise(fd, (off_t)from, (off_t)n, POSIX_FADV_DONTNEED);
}
