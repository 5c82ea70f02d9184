/* SPDX-License-Identifier: MIT */
/* What a daemon published, as another process reads it. */
#include "store/base/cleanup.h"
#include "tools/protection.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct protection p = { 0 };
	char why[PROTECTION_TEXT_BYTES];
	json_t *shown;

	if (protection_parse(data, size, &p) < 0)
		return 0;
	/* What is taken can be judged and shown. */
	if (protection_is_stale(&p, why) != (why[0] != '\0'))
		abort();
	shown = protection_json(&p);
	if (!shown)
		abort();
	json_decref(shown);
	protection_done(&p);
	return 0;
}
