/* SPDX-License-Identifier: MIT */
/*
 * A main for fuzz targets without libFuzzer: runs every file that is named, or
 * that lies in a folder that is named, through the target once. A crash is a
 * failure; so is a corpus that is not there.
 */
#include "store/base/cleanup.h"
#include "store/base/log.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

/* 1 when it was run, -1 when it could not be read. */
static int run_file(const char *path)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	FILE *file = fopen(path, "rbe");
	struct stat st;
	size_t n;

	if (!file || fstat(fileno(file), &st) < 0 || st.st_size > INPUT_BYTES_MAX) {
		if (file)
			(void)fclose(file);
		(void)fprintf(stderr, "%s: cannot be read\n", path);
		return -1;
	}
	/* Exactly as large as the input, so that a sanitizer sees a read past its end. */
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	n = data ? fread(data, 1, (size_t)st.st_size, file) : 0;
	(void)fclose(file);
	if (!data || n != (size_t)st.st_size)
		return -1;
	(void)LLVMFuzzerTestOneInput(data, n);
	return 1;
}

/* How many files were run, or -1. */
static long run_folder(const char *path)
{
	struct dirent **names = NULL;
	const int n = scandir(path, &names, NULL, alphasort);
	long done = n < 0 ? -1 : 0;

	for (int i = 0; i < n; i++) {
		char inner[4096];

		if (names[i]->d_name[0] != '.' && done >= 0) {
			(void)snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name);
			done = run_file(inner) < 0 ? -1 : done + 1;
		}
		free(names[i]);
	}
	free(names);
	return done;
}

int main(int argc, char **argv)
{
	long done = 0;

	log_set_sink(drop_line);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		long n = -1;

		if (stat(argv[i], &st) == 0)
			n = S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
		if (n <= 0) {
			(void)fprintf(stderr, "%s: no input here\n", argv[i]);
			return 1;
		}
		done += n;
	}
	(void)printf("%ld inputs replayed\n", done);
	return done > 0 ? 0 : 1;
}
