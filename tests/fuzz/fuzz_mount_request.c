/* SPDX-License-Identifier: MIT */
/* The option list of a line of fstab. Up to the first NUL; it is text in real life, too. */
#include "store/base/cleanup.h"
#include "tools/mount_request.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_ptr) char *options = strndup((const char *)data, size);
	struct mount_request q;
	char *wrong = NULL;
	int r;

	if (!options)
		return 0;
	mount_request_init(&q);
	r = mount_request_options(&q, options, &wrong);
	/* A refusal says what is wrong, and nothing else does. */
	if (r != -ENOMEM && (r == -EINVAL) != (wrong != NULL))
		abort();
	free(wrong);
	mount_request_done(&q);
	return 0;
}
