/* SPDX-License-Identifier: MIT */
/*
 * random_read: 4 KiB reads at random places of a file, every block at most once.
 *
 *	random_read FILE SECONDS SEED
 *
 * Prints "reads per second, median microseconds, 99th percentile microseconds".
 * A block that was read is in the page cache, so none is read twice; the order
 * is a seeded shuffle, so that a run can be repeated.
 */
#include "store/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BLOCK 4096u
#define BLOCKS_MAX (1u << 24)

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		const uint32_t j = (uint32_t)(next_random(&seed) % (i + 1));
		const uint32_t t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
}

static int by_value(const void *a, const void *b)
{
	const float x = *(const float *)a;
	const float y = *(const float *)b;

	return (x > y) - (x < y);
}

/* Read until the time is up or no block is left. Returns 0 or -errno. */
static int run(int fd, uint32_t n_blocks, double seconds, uint64_t seed)
{
	CLEANUP(free_ptr) uint32_t *order = calloc(n_blocks, sizeof(*order));
	CLEANUP(free_ptr) float *waits = calloc(n_blocks, sizeof(*waits));
	static uint8_t block[BLOCK];
	uint32_t n = 0;
	double begin;
	double last;

	if (!order || !waits)
		return -ENOMEM;
	shuffle(order, n_blocks, seed);
	begin = last = now_s();
	while (n < n_blocks && last - begin < seconds) {
		const ssize_t got = pread(fd, block, BLOCK, (off_t)order[n] * BLOCK);
		const double now = now_s();

		if (got != BLOCK)
			return got < 0 ? -errno : -EIO;
		waits[n++] = (float)(now - last);
		last = now;
	}
	qsort(waits, n, sizeof(*waits), by_value);
	printf("%.0f %.0f %.0f\n", n / (last - begin), (double)waits[n / 2] * 1e6,
	       (double)waits[(uint64_t)n * 99 / 100] * 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	struct stat st;
	uint64_t n_blocks;
	int r;

	if (argc != 4) {
		fputs("usage: random_read FILE SECONDS SEED\n", stderr);
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(argv[1]);
		return 1;
	}
	n_blocks = (uint64_t)st.st_size / BLOCK;
	if (n_blocks == 0 || n_blocks > BLOCKS_MAX) {
		fprintf(stderr, "random_read: %s: %" PRIu64 " blocks\n", argv[1], n_blocks);
		return 1;
	}
	r = run(fd, (uint32_t)n_blocks, strtod(argv[2], NULL), strtoumax(argv[3], NULL, 10));
	if (r < 0)
		fprintf(stderr, "random_read: %s: %s\n", argv[1], strerror(-r));
	return r < 0 ? 1 : 0;
}
