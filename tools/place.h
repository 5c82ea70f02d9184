/* SPDX-License-Identifier: MIT */
/*
 * place: MOMENT[:PATH] as commands take it, and what lies there.
 *
 * "/PATH" alone means latest:/PATH. Paths are made plain: repeated slashes and
 * "." go, ".." is refused. Threads: belongs to one thread.
 */
#ifndef TOOLS_PLACE_H
#define TOOLS_PLACE_H

#include "snapshots/tree_reader.h"
#include "tools/session.h"

struct place {
	struct snapshot_info snapshot;
	struct io *io; /* where `hold` is of; NULL: nothing is held */
	int hold;      /* keeps the snapshot: see place_hold */
	char *path;    /* "" (everything) or "/home/me"; free with place_done */
};

/** Find it; what went wrong is said. EXIT_CODE_DONE or an exit code. */
int place_find(struct session *s, const char *text, struct place *ret_place);
void place_done(struct place *p);
/** Find a snapshot by its moment alone, saying what went wrong. */
int place_moment(struct session *s, const char *moment, struct snapshot_info *ret_info);
/**
 * Keep the place's snapshot until place_done(): no forget and no collection
 * takes it away meanwhile. Failures are said. EXIT_CODE_DONE or an exit code.
 */
int place_hold(struct session *s, struct place *p);
/** A plain form of a path; the caller frees it. 0, -EINVAL for "..", -ENOMEM. */
int place_plain_path(const char *path, char **ret_path);
/** Say why nothing could be had at a place. Returns the exit code. */
int place_say_failure(int r, const struct place *p);

/**
 * The entry at a place, valid until the next call on the reader; `*ret_record`
 * keeps what the root's entry borrows from and is freed with record_done
 * (zeroed otherwise). Returns 0, -ENOENT, -ENOTDIR, -errno.
 */
int place_look(struct session *s, const struct place *p, struct tree_reader *reader,
	       struct record *ret_record, struct entry_decoder *decoder,
	       struct tree_entry *ret_entry);
/** The same; what went wrong is said. EXIT_CODE_DONE or an exit code. */
int place_entry(struct session *s, const struct place *p, struct tree_reader *reader,
		struct record *ret_record, struct entry_decoder *decoder,
		struct tree_entry *ret_entry);

#endif
