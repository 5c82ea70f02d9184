/* SPDX-License-Identifier: MIT */
/* Asking remotes: the best first, each for a limited time. */
#include "sync/fetcher_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <string.h>

#define WATCH_NAP_NS (50 * FETCH_NS_PER_MS)
#define REST_NS (1000 * FETCH_NS_PER_MS)
#define REST_DOUBLINGS_MAX 6
#define LATENCY_WEIGHT 0.25 /* of the newest answer */

/* ---- the clock ---- */

void *fetch_watch(void *context)
{
	struct fetcher *f = context;

	LOCK_SCOPE(&f->lock);
	while (!f->stop) {
		const int64_t now_ns = clock_monotonic_ns(), until = now_ns + WATCH_NAP_NS;
		const struct timespec at = clock_timespec(until);

		for (struct flight *flight = f->flights; flight; flight = flight->next)
			if (now_ns >= flight->deadline_ns)
				__atomic_store_n(&flight->cancel, true, __ATOMIC_RELAXED);
		if (f->flights)
			(void)lock_wait_until(&f->lock, &f->wake, &at);
		else
			lock_wait(&f->lock, &f->wake);
	}
	return NULL;
}

static int begin_flight(struct fetcher *f, struct flight *flight)
{
	LOCK_SCOPE(&f->lock);
	if (f->stop)
		return -ECANCELED;
	flight->next = f->flights;
	f->flights = flight;
	(void)pthread_cond_broadcast(&f->wake);
	return 0;
}

/* With the lock held. */
static void end_flight(struct fetcher *f, struct flight *flight)
{
	for (struct flight **at = &f->flights; *at; at = &(*at)->next)
		if (*at == flight) {
			*at = flight->next;
			return;
		}
}

/* ---- health ---- */

/* With the lock held. */
static void note_answer(struct fetch_remote *remote, int64_t took_ns, int64_t got)
{
	const double ms = (double)took_ns / (double)FETCH_NS_PER_MS;
	unsigned int doublings;

	if (got >= 0 || got == -ENOENT) {
		remote->failures = 0;
		remote->resume_ns = 0;
		remote->latency_ms =
			remote->latency_ms > 0
				? (1 - LATENCY_WEIGHT) * remote->latency_ms + LATENCY_WEIGHT * ms
				: ms;
		return;
	}
	doublings = remote->failures < REST_DOUBLINGS_MAX ? remote->failures : REST_DOUBLINGS_MAX;
	remote->failures++;
	remote->resume_ns = clock_monotonic_ns() + (REST_NS << doublings);
}

/* With the lock held: is remote a to be asked before remote b? */
static bool is_better(const struct fetch_remote *a, const struct fetch_remote *b, int64_t now_ns)
{
	const bool a_rests = a->resume_ns > now_ns, b_rests = b->resume_ns > now_ns;

	if (a_rests != b_rests)
		return b_rests;
	return a->latency_ms < b->latency_ms;
}

size_t fetch_order(struct fetcher *f, uint32_t mask, uint8_t to[static FETCH_REMOTES_MAX])
{
	const int64_t now_ns = clock_monotonic_ns();
	size_t n = 0;

	LOCK_SCOPE(&f->lock);
	for (size_t i = 0; i < f->n_remotes; i++) {
		size_t at = n;

		if (mask >> i & 1)
			continue;
		while (at > 0 && is_better(&f->remotes[i], &f->remotes[to[at - 1]], now_ns)) {
			to[at] = to[at - 1];
			at--;
		}
		to[at] = (uint8_t)i;
		n++;
	}
	return n;
}

/* ---- asking ---- */

int64_t fetch_from(struct fetcher *f, unsigned int origin, const struct fetch_part *part)
{
	struct fetch_remote *remote = &f->remotes[origin];
	struct flight flight = { .deadline_ns = part->deadline_ns };
	const int64_t begin_ns = clock_monotonic_ns();
	int64_t got = begin_flight(f, &flight);

	if (got < 0)
		return got;
	got = remote_get(remote->remote, part->name, part->offset, part->to, part->n,
			 &flight.cancel);
	LOCK_SCOPE(&f->lock);
	end_flight(f, &flight);
	if (f->stop)
		return -ECANCELED;
	if (got == -ECANCELED)
		got = -ETIMEDOUT;
	if (got < 0 && got != -ENOENT)
		f->stats.failures++;
	if (got > 0)
		f->stats.fetched_bytes += (uint64_t)got;
	note_answer(remote, clock_monotonic_ns() - begin_ns, got);
	return got;
}

int64_t fetch_range(struct fetcher *f, const struct fetch_part *part, uint32_t mask,
		    unsigned int *ret_origin)
{
	uint8_t order[FETCH_REMOTES_MAX];
	const size_t n_order = fetch_order(f, mask, order);
	int64_t got = -ENOENT;

	for (size_t i = 0; i < n_order; i++) {
		const int64_t now_ns = clock_monotonic_ns();
		const int64_t attempt_ns = now_ns + f->options.attempt_ms * FETCH_NS_PER_MS;
		struct fetch_part attempt = *part;
		int64_t x;

		if (now_ns >= part->deadline_ns)
			return -ETIMEDOUT;
		if (i + 1 < n_order && attempt.deadline_ns > attempt_ns)
			attempt.deadline_ns = attempt_ns;
		x = fetch_from(f, order[i], &attempt);
		if (x > 0)
			*ret_origin = order[i];
		if (x > 0 || x == -ECANCELED)
			return x;
		/* Shorter than it should be is as good as not there. */
		if (x < 0 && x != -ENOENT)
			got = x;
	}
	return got;
}

/* ---- copies that are bad ---- */

/* With the lock held. */
static struct refusal *find_refusal(struct fetcher *f, const struct pack_id *pack)
{
	for (size_t i = 0; i < FETCH_REFUSALS_MAX; i++)
		if (f->refusals[i].remotes != 0 &&
		    memcmp(&f->refusals[i].pack, pack, sizeof(*pack)) == 0)
			return &f->refusals[i];
	return NULL;
}

uint32_t fetch_refused(struct fetcher *f, const struct pack_id *pack)
{
	const struct refusal *refusal;

	LOCK_SCOPE(&f->lock);
	refusal = find_refusal(f, pack);
	return refusal ? refusal->remotes : 0;
}

void fetch_refuse(struct fetcher *f, const struct host_id *host, const struct pack_id *pack,
		  uint32_t remotes)
{
	struct refusal *refusal;
	uint32_t fresh;

	lock_take(&f->lock);
	refusal = find_refusal(f, pack);
	if (!refusal && remotes) {
		/* The oldest is forgotten: it is found bad again. */
		refusal = &f->refusals[f->refusal_at++ % FETCH_REFUSALS_MAX];
		*refusal = (struct refusal){ .pack = *pack };
	}
	fresh = refusal ? remotes & ~refusal->remotes : 0;
	if (refusal)
		refusal->remotes |= remotes;
	lock_drop(&f->lock);
	for (size_t i = 0; i < f->n_remotes; i++) {
		char path[PACK_PATH_BYTES];

		if (!(fresh >> i & 1))
			continue;
		log_warning("remote %s: %s is damaged there; not using that copy",
			    f->remotes[i].name, pack_path(host, pack, path));
		if (f->options.bad)
			f->options.bad(f->options.context, f->remotes[i].name, host, pack);
	}
}
