/* SPDX-License-Identifier: MIT */
#include "fs/read_ahead.h"

#include "store/base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 64u

struct stream {
	struct read_ahead_key key;
	uint64_t end;    /* the farthest position read */
	uint64_t ahead;  /* fetched up to here; at least `end` */
	uint64_t window; /* 0: not in sequence so far */
	uint64_t used;   /* when; 0: never */
};

struct read_ahead {
	struct read_ahead_limits limits;
	struct lock lock; /* everything below */
	uint64_t clock;
	struct stream streams[STREAMS];
};

int read_ahead_new(const struct read_ahead_limits *limits, struct read_ahead **ret_ahead)
{
	struct read_ahead *a;

	assert(limits->min > 0);
	assert(limits->min <= limits->max);

	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->limits = *limits;
	lock_init(&a->lock, LOCK_RANK_LEAF);
	*ret_ahead = a;
	return 0;
}

void read_ahead_free(struct read_ahead *a)
{
	if (!a)
		return;
	lock_done(&a->lock);
	free(a);
}

static struct stream *find_stream(struct read_ahead *a, const struct read_ahead_key *key)
{
	struct stream *oldest = &a->streams[0];

	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &a->streams[i];

		if (s->used && s->key.number == key->number &&
		    memcmp(s->key.id, key->id, sizeof(key->id)) == 0)
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	/* As if it stood before the start: reading from the start is in sequence at once. */
	*oldest = (struct stream){ .key = *key };
	return oldest;
}

static uint64_t add_capped(uint64_t a, uint64_t b, uint64_t max)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum > max ? max : sum;
}

static bool in_sequence(const struct read_ahead *a, const struct stream *s, uint64_t from,
			uint64_t to)
{
	return from <= add_capped(s->end, a->limits.slack, UINT64_MAX) &&
	       add_capped(to, a->limits.slack, UINT64_MAX) >= s->end;
}

/* A fresh stream is at 0 with no slack: a first read in the middle is no sequence. */
static bool starts_stream(const struct stream *s, uint64_t from)
{
	return !s->used && from == 0;
}

/* NOLINTNEXTLINE(readability-function-size): a range and its answer */
bool read_ahead_note(struct read_ahead *a, const struct read_ahead_key *key, uint64_t from,
		     uint64_t n, uint64_t size, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t to = add_capped(from, n, size);
	struct stream *s;
	bool follows;
	LOCK_SCOPE(&a->lock);

	s = find_stream(a, key);
	follows = s->used ? in_sequence(a, s, from, to) : starts_stream(s, from);
	s->used = ++a->clock;
	if (!follows) {
		s->end = to;
		s->ahead = to;
		s->window = 0;
		return false;
	}
	if (to > s->end)
		s->end = to;
	if (s->ahead < s->end)
		s->ahead = s->end;
	if (s->window == 0)
		s->window = a->limits.min;
	/* Asked again only when half of the window is used up: fewer, larger steps. */
	if (s->ahead >= size || s->ahead - s->end > s->window / 2)
		return false;

	*ret_from = s->ahead;
	s->ahead = add_capped(s->end, s->window, size);
	*ret_to = s->ahead;
	s->window = add_capped(s->window, s->window, a->limits.max);
	return *ret_from < *ret_to;
}
