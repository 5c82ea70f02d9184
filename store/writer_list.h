/* SPDX-License-Identifier: MIT */
/*
 * writer_list: which writers live, in all processes, so that collection leaves
 * alone what they have written but no record refers to yet.
 *
 * A writer is an empty file local/writers/<number>-<random>, flock-ed by it;
 * the number is that which the next new pack had when it began, so that all its
 * packs have that number or a higher one. The dead hold no lock; the collector
 * removes their files. Nothing here is synced: it means nothing after a crash.
 *
 * Threads: any.
 */
#ifndef STORE_WRITER_LIST_H
#define STORE_WRITER_LIST_H

#include "store/chunk_index.h"

#define WRITER_NAME_BYTES 48

/* A place in the list. */
struct writer_ticket {
	int fd; /* -1: none */
	char path[WRITER_NAME_BYTES];
};

/** Join; leave in any case. Returns 0 or -errno (the ticket is then empty). */
int writer_list_join(struct io *io, struct chunk_index *x, struct writer_ticket *ret_ticket);
void writer_list_leave(struct io *io, struct writer_ticket *ticket);
/**
 * The least number of a living writer, UINT32_MAX when there is none; removes
 * the files of dead ones. Returns how many live, or -errno.
 */
int writer_list_oldest(struct io *io, uint32_t *ret_number);

#endif
