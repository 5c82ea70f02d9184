/* SPDX-License-Identifier: MIT */
#include "snapshots/exclude.h"
#include "store/base/log.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of patterns, a NUL, a path. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(exclude_free_ptr) struct exclude *e = NULL;
	CLEANUP(free_ptr) char *lines = NULL;
	CLEANUP(free_ptr) char *path = NULL;
	size_t n = strnlen((const char *)data, size);

	log_set_level(LOG_LEVEL_ERROR);
	lines = strndup((const char *)data, n);
	path = n < size ? strndup((const char *)data + n + 1, size - n - 1) : strdup("a");
	if (!lines || !path || exclude_new(lines, &e) < 0)
		return 0;
	(void)exclude_match(e, path, false);
	(void)exclude_match(e, path, true);
	return 0;
}
