/* SPDX-License-Identifier: MIT */
#include "store/range_table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visit(void *context, const struct index_pack *pack)
{
	struct range_table *again = context;

	return range_table_add(again, pack);
}

/* What is read must be written back as the same bytes: every table has one encoding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct host_id host = { { 1 } };
	struct range_table again = { 0 };

	if (range_table_parse(&host, data, size, visit, &again) == 0 &&
	    (again.packs.n + 4 != size || memcmp(again.packs.data, data + 4, size - 4) != 0))
		abort();
	range_table_done(&again);
	return 0;
}
