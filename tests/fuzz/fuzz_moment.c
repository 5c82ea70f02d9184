/* SPDX-License-Identifier: MIT */
#include "snapshots/moment.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first 8 bytes are the clock, the rest is the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *moment, *path;
	struct moment m;
	int64_t now;
	char *text;

	if (size < sizeof(now))
		return 0;
	memcpy(&now, data, sizeof(now));
	text = strndup((const char *)data + sizeof(now), size - sizeof(now));
	if (!text)
		return 0;
	if (moment_parse(text, now, &m) == 0) {
		if (m.start_ns > m.end_ns || m.form > MOMENT_WORD)
			abort();
		if (moment_tag_valid(text) && m.form != MOMENT_WORD)
			abort();
	}
	moment_split(text, &moment, &path);
	free(text);
	return 0;
}
