/* SPDX-License-Identifier: MIT */
/*
 * dirty_set: what may have changed below one source: names in folders, as a
 * tree of names. Hints only: a name too many costs a look, and where too much
 * is known the set says "everything".
 *
 * Threads: belongs to one thread at a time; frozen sets may be shared.
 */
#ifndef SNAPSHOTS_DIRTY_SET_H
#define SNAPSHOTS_DIRTY_SET_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dirty_set;

enum {
	DIRTY_SELF = 1, /* the object itself: attributes, contents, or whether it is there */
	DIRTY_LIST = 2, /* a folder's own list of names is not known to be right */
	DIRTY_DEEP = 4, /* all below it, too: it was moved here, or came with contents */
	/*
	 * It had been open for writing and was closed. Stores through a memory map after the
	 * first one to a page move no time stamp until that page was written back (measured on
	 * ext4 and tmpfs): contents may differ though size and times are equal.
	 */
	DIRTY_CLOSED = 8,
};

/* One name, or the source's root. */
struct dirty_name {
	const char *name; /* NUL-terminated; "" for the root */
	unsigned int flags;
	const struct dirty_name *children; /* once frozen: ascending by name_compare() */
	size_t n_children;
};

/** A set that turns into "everything" when it would hold more than this many names. */
int dirty_set_new(size_t names_max, struct dirty_set **ret_set);
void dirty_set_free(struct dirty_set *d);
CLEANUP_DEFINE(struct dirty_set, dirty_set_free)
/**
 * Add a path relative to the source's root ("" is the root itself, "a/b") with DIRTY_* flags,
 * joined to those that it has; what lies below a DIRTY_DEEP name is known already and adds
 * nothing. Returns 0 or -ENOMEM (then the set says "everything").
 */
int dirty_set_add(struct dirty_set *d, const char *path, unsigned int flags);
/** Nothing is known: everything may have changed. */
void dirty_set_add_all(struct dirty_set *d);
bool dirty_set_is_all(const struct dirty_set *d);
bool dirty_set_is_empty(const struct dirty_set *d);
/** Names in it, those on the way included, the root not; 0 when it says "everything". */
size_t dirty_set_count(const struct dirty_set *d);
/**
 * Add all of another set, frozen or not: what a capture that failed had been given goes back.
 * Returns 0 or -ENOMEM (then `to` says "everything").
 */
int dirty_set_merge(struct dirty_set *to, const struct dirty_set *from);
/** Sort, for reading. Adding afterwards is a programmer error. Returns 0 or -ENOMEM. */
int dirty_set_freeze(struct dirty_set *d);
/** The root of a frozen set; NULL when it says "everything" or is empty. */
const struct dirty_name *dirty_set_root(const struct dirty_set *d);
/** The child of that name, by binary search, or NULL. */
const struct dirty_name *dirty_name_child(const struct dirty_name *parent, const char *name,
					  uint32_t n);

#endif
