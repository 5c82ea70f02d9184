/* SPDX-License-Identifier: MIT */
#include "tools/protection.h"

#include "store/base/clock.h"
#include "tools/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_SHOWN_BYTES 96

void protection_done(struct protection *p)
{
	for (size_t i = 0; i < p->n_sources; i++)
		free(p->sources[i].path);
	for (size_t i = 0; i < p->n_errors; i++)
		free(p->errors[i].path);
	free(p->sources);
	free(p->errors);
	*p = (struct protection){ 0 };
}

static int copy_lists(const struct protection *from, struct protection *to)
{
	to->sources = calloc(from->n_sources + 1, sizeof(*to->sources));
	to->errors = calloc(from->n_errors + 1, sizeof(*to->errors));
	if (!to->sources || !to->errors)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_sources; i++) {
		to->sources[i] = from->sources[i];
		to->sources[i].path = strdup(from->sources[i].path);
		to->n_sources++;
		if (!to->sources[i].path)
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->n_errors; i++) {
		to->errors[i] = from->errors[i];
		to->errors[i].path = strdup(from->errors[i].path);
		to->n_errors++;
		if (!to->errors[i].path)
			return -ENOMEM;
	}
	return 0;
}

int protection_copy(const struct protection *from, struct protection *ret_to)
{
	struct protection to = *from;
	int r;

	to.sources = NULL;
	to.errors = NULL;
	to.n_sources = to.n_errors = 0;
	r = copy_lists(from, &to);
	if (r < 0) {
		protection_done(&to);
		return r;
	}
	*ret_to = to;
	return 0;
}

void protection_source_grow(struct protection_source *s, int64_t hour, uint64_t bytes)
{
	/* One longer ago than all that is kept drops all of it. */
	if (hour - s->hour > PROTECTION_HOURS)
		s->hour = hour - PROTECTION_HOURS;
	while (s->hour < hour) {
		s->hour++;
		s->new_bytes_day -= s->hour_bytes[s->hour % PROTECTION_HOURS];
		s->hour_bytes[s->hour % PROTECTION_HOURS] = 0;
	}
	s->hour_bytes[s->hour % PROTECTION_HOURS] += bytes;
	s->new_bytes_day += bytes;
}

bool protection_source_is_behind(const struct protection *p, const struct protection_source *s)
{
	/* A clock that was set back makes nothing stale: the next change tells. */
	return s->pending_ns != 0 && p->stale_after_s != 0 && p->now_ns > s->pending_ns &&
	       (uint64_t)((p->now_ns - s->pending_ns) / NS_PER_S) >= p->stale_after_s;
}

static void say_behind(const struct protection *p, const struct protection_source *s, size_t others,
		       char why[PROTECTION_TEXT_BYTES])
{
	char path[PATH_SHOWN_BYTES], age[OUTPUT_TIME_BYTES], more[48] = "";

	(void)output_escape(s->path, strlen(s->path), path, sizeof(path));
	if (others > 0)
		(void)snprintf(more, sizeof(more), ", and those of %zu more", others);
	(void)snprintf(why, PROTECTION_TEXT_BYTES,
		       "changes below %s have waited for a snapshot for %s%s", path,
		       output_duration(p->now_ns - s->pending_ns, age), more);
}

bool protection_is_stale(const struct protection *p, char why[PROTECTION_TEXT_BYTES])
{
	const struct protection_source *oldest = NULL;
	size_t n = 0;

	why[0] = '\0';
	if (!p->protecting)
		return false;
	if (p->stopped[0]) {
		(void)output_escape(p->stopped, strlen(p->stopped), why, PROTECTION_TEXT_BYTES);
		return true;
	}
	for (size_t i = 0; i < p->n_sources; i++) {
		const struct protection_source *s = &p->sources[i];

		if (!protection_source_is_behind(p, s))
			continue;
		n++;
		if (!oldest || s->pending_ns < oldest->pending_ns)
			oldest = s;
	}
	if (!oldest)
		return false;
	say_behind(p, oldest, n - 1, why);
	return true;
}

const char *collection_state_name(enum collection_state state)
{
	switch (state) {
	case COLLECTION_MARKING:
		return "marking";
	case COLLECTION_SWEEPING:
		return "sweeping";
	case COLLECTION_PAUSED:
		return "paused";
	case COLLECTION_IDLE:
		break;
	}
	return "idle";
}
