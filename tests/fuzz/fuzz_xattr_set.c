/* SPDX-License-Identifier: MIT */
/* Sets of extended attributes: an accepted one is its own only encoding. */
#include "snapshots/xattr_set.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf again = { 0 };
	size_t position = 0, n;
	const uint8_t *value;
	const char *name;

	(void)xattr_set_find(data, size, "user.a", &value, &n);
	if (xattr_set_check(data, size) < 0)
		return 0;
	while (xattr_set_next(data, size, &position, &name, &value, &n) > 0) {
		byte_buf_blob(&again, name, strlen(name) + 1);
		byte_buf_blob(&again, value, n);
	}
	assert(again.failed ||
	       (again.n == size && (size == 0 || memcmp(again.data, data, size) == 0)));
	return 0;
}
