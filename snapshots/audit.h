/* SPDX-License-Identifier: MIT */
/*
 * audit: is every snapshot whole? Walks the records of all hosts and every
 * distinct tree below them once, and asks of each object that it is there,
 * authentic and well-formed; of each file's chunks that the index has them in
 * packs that exist with the right size.
 *
 * Reads only. Runs beside readers and writers. scrub does the packs' bytes.
 */
#ifndef SNAPSHOTS_AUDIT_H
#define SNAPSHOTS_AUDIT_H

#include "snapshots/timeline.h"
#include "store/chunk_cache.h"

struct audit_options {
	const volatile bool *cancel;
	void (*progress)(void *context, uint64_t records_done, uint64_t records_all,
			 uint64_t nodes);
	/*
	 * Something is wrong: host, record (0: none), path (NULL: the record
	 * itself), the object (NULL: none) and what, for people.
	 */
	void (*damaged)(void *context, uint64_t seq, const char *path,
			const struct chunk_id *object, const char *what);
	void *context;
};

struct audit_result {
	uint64_t records;
	uint64_t nodes;  /* distinct directory and list nodes read */
	uint64_t files;  /* in distinct directories */
	uint64_t chunks; /* references to stored chunks checked */
	uint64_t errors;
};

/** Returns 0 when it ran to its end, whatever it found; -ECANCELED; -errno. */
int audit_run(struct store *s, struct chunk_cache *cache, const struct audit_options *options,
	      struct audit_result *ret_result);

/**
 * Repair after the index was rebuilt: shuns every chunk that is missing or
 * that `damaged_chunk` (may be NULL) says is bad, so that the next capture
 * stores it again from the source; names each path that is hurt through
 * options->damaged. Returns the number of distinct chunks shunned or -errno.
 */
int64_t audit_shun(struct store *s, struct chunk_cache *cache, const struct audit_options *options,
		   bool (*damaged_chunk)(void *context, const struct chunk_id *chunk),
		   void *damaged_context);

#endif
