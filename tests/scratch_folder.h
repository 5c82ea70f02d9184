/* SPDX-License-Identifier: MIT */
/*
 * scratch_folder: a private folder in memory where there is some, for tests
 * that do not ask whether anything outlives a power cut: repositories sync at
 * every step, and a disk makes minutes of that.
 */
#ifndef TESTS_SCRATCH_FOLDER_H
#define TESTS_SCRATCH_FOLDER_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_FOLDER_BYTES 32

/** Make it; the caller removes it. */
static inline void scratch_folder(char to[static SCRATCH_FOLDER_BYTES])
{
	const char *made;

	(void)strcpy(to, "/dev/shm/yore-test-XXXXXX");
	made = mkdtemp(to);
	if (!made) {
		(void)strcpy(to, "/tmp/yore-test-XXXXXX");
		made = mkdtemp(to);
	}
	assert(made);
}

#endif
