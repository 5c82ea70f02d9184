/* SPDX-License-Identifier: MIT */
#include "snapshots/record_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read must be written back as the same bytes: every record has one encoding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct host_id host = { { 1 } };
	struct byte_buf again = { 0 };
	struct record r;

	if (record_body_decode(data, size, &host, UINT64_MAX - 1, &r) < 0)
		return 0;
	if (record_body_encode(&again, &r) < 0 || again.n != size ||
	    memcmp(again.data, data, size) != 0)
		abort();
	byte_buf_done(&again);
	record_done(&r);
	return 0;
}
