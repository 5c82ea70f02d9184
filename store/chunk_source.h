/* SPDX-License-Identifier: MIT */
/*
 * chunk_source: where bytes of packs come from when the local folder does not
 * have them, or has them damaged. Implemented above this layer and plugged in
 * by the program; a store without one has the local folder only.
 */
#ifndef STORE_CHUNK_SOURCE_H
#define STORE_CHUNK_SOURCE_H

#include "store/object.h"

#include <stddef.h>

struct chunk_source {
	/**
	 * Read n bytes of a pack at an offset. May wait for a network, at most
	 * 30 s. Returns 0; -ENOENT when no replica has the pack; -EREMOTEIO.
	 * Called by several threads at once.
	 */
	int (*read)(struct chunk_source *source, const struct host_id *host,
		    const struct pack_id *pack, uint64_t offset, void *to, size_t n);
};

#endif
