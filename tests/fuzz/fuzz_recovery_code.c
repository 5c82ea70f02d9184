/* SPDX-License-Identifier: MIT */
/* Recovery codes as people type them. What has the form of one stands for a key, and only that. */
#include "store/key_ring_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_ptr) char *text = strndup((const char *)data, size);
	uint8_t secret[KEY_BYTES];

	if (crypto_init() < 0 || !text)
		return 0;
	if (recovery_code_valid(text) != (recovery_code_secret(text, secret) == 0))
		abort();
	return 0;
}
