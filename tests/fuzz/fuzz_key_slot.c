/* SPDX-License-Identifier: MIT */
/*
 * Parse a key slot, and open it with a fixed machine key. With an odd last
 * byte the checksum is made right first, so that the fields behind it are
 * reached. Nothing here was ever sealed: success is a failure of the test.
 */
#include "store/key_ring_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t machine[KEY_BYTES] = "fuzz", binding[32] = "fuzz";
	struct slot_image image, parsed;
	struct key_ring *ring = NULL;

	if (crypto_init() < 0)
		abort();
	if (size == sizeof(image) && data[size - 1] & 1) {
		memcpy(&image, data, sizeof(image));
		crypto_blake2b(&image, offsetof(struct slot_image, checksum), image.checksum);
		data = (const uint8_t *)&image;
	}
	if (slot_image_parse(data, size, &parsed) < 0)
		return 0;
	if (slot_image_open(&parsed, binding, machine, NULL, &ring) == 0)
		abort();
	return 0;
}
