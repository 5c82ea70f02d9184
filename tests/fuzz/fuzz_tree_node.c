/* SPDX-License-Identifier: MIT */
/* Directory nodes and single entries: what is accepted must be storable again. */
#include "snapshots/tree_internal.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_leaf(const struct node_view *v, bool whole)
{
	struct entry_decoder d = { 0 };
	struct node_builder *b = NULL;
	struct tree_entry e;

	if (whole && node_builder_new(0, &b) < 0)
		return;
	for (uint32_t i = 0; i < v->count; i++) {
		const int r = node_view_entry(v, i, &d, &e);

		assert(r == 0 || r == -EUCLEAN || r == -ENOMEM);
		if (whole && r == 0) {
			const int x = node_builder_add_entry(b, &e);

			/* A table with unused ids may leave room for more than we would write. */
			assert(x == 0 || x == -EFBIG || x == -ENOMEM);
		}
	}
	node_builder_free(b);
	entry_decoder_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry_decoder d = { 0 };
	struct tree_entry e;
	struct node_view v;

	if (tree_entry_decode(data, size, &d, &e) == 0) {
		struct byte_buf b = { 0 };
		const int r = tree_entry_encode(&b, &e);

		assert(r == 0 || r == -ENOMEM);
		byte_buf_done(&b);
	}
	entry_decoder_done(&d);
	if (node_view_init(&v, data, size) < 0)
		return 0;
	(void)node_view_search(&v, "middle", 6, NULL);
	if (v.level == 0)
		fuzz_leaf(&v, node_view_check(&v) == 0);
	else
		(void)node_view_check(&v);
	return 0;
}
