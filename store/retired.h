/* SPDX-License-Identifier: MIT */
/*
 * retired: this host's decisions that an object of its own is needed no more,
 * in local/retired, for whoever keeps copies of it elsewhere. That an object is
 * not here is never such a decision; a line of this file is.
 *
 * The file exists while copies are kept: local/remotes is there. 64 bytes a
 * line, in the order of the decisions; a line that is not whole is passed over.
 *
 * Durability: lines are durable when retired_note() returns. Threads and
 * processes: any (flock on the file).
 */
#ifndef STORE_RETIRED_H
#define STORE_RETIRED_H

#include "store/base/io.h"
#include "store/object.h"

#define RETIRED_REMOTES "local/remotes"

enum retired_kind { RETIRED_PACK = 1, RETIRED_TABLE = 2 };

struct retired_object {
	enum retired_kind kind;
	uint8_t id[SHA256_BYTES]; /* of the pack or table */
	uint64_t first, last;     /* of a table's range */
};

/** Note n decisions, before anything is done about them. 0 (also when nobody keeps copies) or
 * -errno. */
int retired_note(struct io *io, const struct retired_object *objects, size_t n);
/** Visit the lines from number `from` on (0 is the first). A non-zero answer ends it and is
 * returned. *ret_next is the number after the last one visited or passed over. */
typedef int retired_visitor(void *context, const struct retired_object *object);
int retired_each(struct io *io, uint64_t from, retired_visitor *visit, void *context,
		 uint64_t *ret_next);

#endif
