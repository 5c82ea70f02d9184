/* SPDX-License-Identifier: MIT */
/*
 * corpus_bytes: makes benchmark data that is the same on every machine.
 *
 *	corpus_bytes noise BYTES SEED          incompressible bytes to standard output
 *	corpus_bytes edit FROM TO SEED PERCENT a copy with PERCENT of its 4 KiB blocks
 *	                                       rewritten at random places, and 1 MiB
 *	                                       inserted two fifths in, unaligned
 */
#include "store/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK 4096u
#define INSERTED (1u << 20)
#define OFF_ALIGNMENT 1234u

/* splitmix64: seeded, fast, and nothing that zstd could shrink. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void fill(uint64_t *state, uint8_t *to, size_t n)
{
	while (n > 0) {
		const uint64_t value = next_random(state);
		const size_t part = n < sizeof(value) ? n : sizeof(value);

		memcpy(to, &value, part);
		to += part;
		n -= part;
	}
}

static int write_all(int fd, const uint8_t *data, size_t n)
{
	while (n > 0) {
		const ssize_t written = write(fd, data, n);

		if (written < 0)
			return -errno;
		data += written;
		n -= (size_t)written;
	}
	return 0;
}

static int noise(uint64_t bytes, uint64_t seed)
{
	static uint8_t buffer[1u << 16];
	int r = 0;

	while (r == 0 && bytes > 0) {
		const size_t n = bytes < sizeof(buffer) ? (size_t)bytes : sizeof(buffer);

		fill(&seed, buffer, n);
		r = write_all(STDOUT_FILENO, buffer, n);
		bytes -= n;
	}
	return r;
}

/* Rewrite `percent` of the blocks, each at most once. */
static int rewrite_blocks(uint8_t *data, size_t n, uint64_t *state, unsigned percent)
{
	const size_t n_blocks = n / BLOCK;
	CLEANUP(free_ptr) uint8_t *rewritten = calloc(n_blocks + 1, 1);

	if (!rewritten)
		return -ENOMEM;
	for (size_t left = n_blocks * percent / 100; left > 0;) {
		const size_t at = next_random(state) % n_blocks;

		if (rewritten[at])
			continue;
		rewritten[at] = 1;
		fill(state, data + at * BLOCK, BLOCK);
		left--;
	}
	return 0;
}

static int edit(const char *from, const char *to, uint64_t seed, unsigned percent)
{
	CLEANUP(close_fd_ptr) int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(close_fd_ptr) int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	static uint8_t inserted[INSERTED];
	struct stat st;
	uint8_t *data;
	size_t n;
	size_t at;
	int r;

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)(16 * BLOCK) || percent > 50)
		return -EINVAL;
	n = (size_t)st.st_size;
	data = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, in, 0);
	if (data == MAP_FAILED)
		return -errno;
	at = n / 5 * 2 / BLOCK * BLOCK + OFF_ALIGNMENT;
	r = rewrite_blocks(data, n, &seed, percent);
	fill(&seed, inserted, sizeof(inserted));
	if (r == 0)
		r = write_all(out, data, at);
	if (r == 0)
		r = write_all(out, inserted, sizeof(inserted));
	if (r == 0)
		r = write_all(out, data + at, n - at);
	(void)munmap(data, n);
	return r;
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 4 && strcmp(argv[1], "noise") == 0) {
		r = noise(strtoumax(argv[2], NULL, 10), strtoumax(argv[3], NULL, 10));
	} else if (argc == 6 && strcmp(argv[1], "edit") == 0) {
		r = edit(argv[2], argv[3], strtoumax(argv[4], NULL, 10),
			 (unsigned)strtoumax(argv[5], NULL, 10));
	} else {
		fputs("usage: corpus_bytes noise BYTES SEED | edit FROM TO SEED PERCENT\n", stderr);
		return 2;
	}
	if (r < 0)
		fprintf(stderr, "corpus_bytes: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
