/* SPDX-License-Identifier: MIT */
/* The config file: whatever is accepted must be valid and come back the same. */
#include "store/store_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mended[CONFIG_BYTES], again[CONFIG_BYTES];
	struct store_config config;
	const uint8_t *bytes = data;

	if (store_config_parse(data, size, &config) < 0 && size == CONFIG_BYTES) {
		/* Past the checksum, too. */
		memcpy(mended, data, size);
		crypto_blake2b(mended, CONFIG_BYTES - 32, mended + CONFIG_BYTES - 32);
		bytes = mended;
	}
	if (store_config_parse(bytes, size, &config) < 0)
		return 0;
	if (size != CONFIG_BYTES || store_config_bytes(&config, again) < 0 ||
	    memcmp(bytes, again, size) != 0)
		__builtin_trap();
	return 0;
}
