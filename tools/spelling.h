/* SPDX-License-Identifier: MIT */
/*
 * spelling: the word that somebody who mistyped probably meant.
 *
 * Threads: any.
 */
#ifndef TOOLS_SPELLING_H
#define TOOLS_SPELLING_H

#include <stddef.h>

#define SPELLING_BYTES_MAX 64

/** Edits (insert, delete, replace, swap of neighbours) from a to b; longer words count as far
 * apart. */
unsigned int spelling_distance(const char *a, const char *b);

/* The best candidate so far; begin with { .word = NULL }. */
struct spelling {
	const char *word;
	unsigned int distance;
};
/** Offer a candidate; it is kept when it is near enough to `typed` and nearer than the one before.
 */
void spelling_offer(struct spelling *s, const char *typed, const char *candidate);

#endif
