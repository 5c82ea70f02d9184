/* SPDX-License-Identifier: MIT */
/* What the index keeps of records: it is a cache that anything may have damaged. */
#include "snapshots/timeline_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_ranges(struct byte_reader *in, const struct digest_head *head)
{
	uint64_t last = 0;

	if (head->n_ranges > DIGEST_RANGES_MAX)
		abort();
	for (uint64_t i = 0; i < head->n_ranges; i++) {
		const struct sequence_range range = timeline_digest_range(in, &last);

		if (!in->bad && range.last < range.first)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct byte_reader in = byte_reader_make(data, size);
	struct snapshot_info info = { 0 };
	struct digest_head head;

	if (timeline_digest_head(&in, &head) == 0 && head.kind == RECORD_FORGET)
		read_ranges(&in, &head);
	if (timeline_digest_info(data, size, 1, &info) < 0)
		return 0;
	if (info.kind != RECORD_SNAPSHOT ||
	    strnlen(info.tags, sizeof(info.tags)) == sizeof(info.tags) ||
	    strnlen(info.reason, sizeof(info.reason)) == sizeof(info.reason) ||
	    strnlen(info.name, sizeof(info.name)) == sizeof(info.name))
		abort();
	return 0;
}
