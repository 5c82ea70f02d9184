/* SPDX-License-Identifier: MIT */
/* Prints the test vectors as yore-format(5) shows them: a name, then its bytes in lines of 32. */
#include "tests/golden/vectors.h"

#include <stdio.h>

#define LINE_BYTES 32

static void print(void *context, const char *name, const void *data, size_t n)
{
	const uint8_t *bytes = data;

	(void)context;
	(void)printf("%s\n", name);
	for (size_t at = 0; at < n; at += LINE_BYTES) {
		const size_t part = n - at < LINE_BYTES ? n - at : LINE_BYTES;
		char hex[2 * LINE_BYTES + 1];

		(void)printf("  %s\n", bytes_to_hex(bytes + at, part, hex));
	}
}

int main(void)
{
	struct vector_base base;

	if (vector_base_init(&base) < 0 || vectors_each(&base, print, NULL) < 0) {
		(void)fprintf(stderr, "vectors: cannot be computed\n");
		return 1;
	}
	return 0;
}
