/* SPDX-License-Identifier: MIT */
/*
 * chunk_source: where bytes of packs come from when the local folder does not
 * have them, or has them damaged. Implemented above this layer and plugged in
 * by the program; a store without one has the local folder only.
 */
#ifndef STORE_CHUNK_SOURCE_H
#define STORE_CHUNK_SOURCE_H

#include "store/object.h"

#include <stdbool.h>
#include <stddef.h>

struct chunk_source {
	/**
	 * Read n bytes of a pack at an offset. May wait for a network, at most
	 * 30 s. Returns 0; -ENOENT when no replica has the pack; -EREMOTEIO.
	 * Called by several threads at once.
	 */
	int (*read)(struct chunk_source *source, const struct host_id *host,
		    const struct pack_id *pack, uint64_t offset, void *to, size_t n);
	/**
	 * What was read last of these n bytes fails its authentication: never
	 * yield that copy again. Returns 0 when another one can be asked, -ENOENT
	 * when there is none. May be NULL: no other copies.
	 */
	int (*refuse)(struct chunk_source *source, const struct host_id *host,
		      const struct pack_id *pack, uint64_t offset, size_t n);
	/**
	 * The local pack is damaged, or missing though it should be here: put a
	 * verified copy into its place, durably. `missing` says which. Returns 0
	 * when it is there now; -ENOENT when no replica has a good one;
	 * -EOPNOTSUPP when it is to be elsewhere only; -ETIMEDOUT; -errno. May be
	 * NULL.
	 */
	int (*heal)(struct chunk_source *source, const struct host_id *host,
		    const struct pack_id *pack, bool missing);
};

#endif
