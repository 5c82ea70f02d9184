/* SPDX-License-Identifier: MIT */
/* Nodes of piece lists: what is accepted must be storable again. */
#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct extent extents[PIECE_EXTENTS_MAX];
	struct list_view v;
	uint64_t length = 0;

	if (list_view_init(&v, data, size) < 0)
		return 0;
	(void)list_view_check(&v);
	for (uint32_t i = 0; i < v.count; i++) {
		struct list_child child;
		struct piece piece;

		if (v.level > 0) {
			list_view_child(&v, i, &child);
			length += child.length;
			continue;
		}
		if (list_view_piece(&v, i, &piece, extents) < 0)
			return 0;
		assert(piece_valid(&piece, extents));
		length += piece.length;
	}
	assert(length == v.length);
	return 0;
}
