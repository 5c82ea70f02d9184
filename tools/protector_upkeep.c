/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "snapshots/collect.h"
#include "store/base/log.h"
#include "store/reserve.h"
#include "store/scrub.h"
#include "tools/failure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define LOOK_S 60       /* for a disk that fills up */
#define THIN_MOST_S 600 /* thinned at least so often */
#define THIN_LEAST_S 5
#define DAY_S 86400
#define RETRY_S 3600 /* after a collection or a verification that failed */
#define PATIENCE_MS 10000
#define REWRITE_BYTES MIB(1024) /* a collection copies at most so much; the next one goes on */
#define COLLECT_CACHE MIB(16)
#define FULL_PERCENT 3 /* of the repository's disk: collect before it is full */
/*
 * "<since> <collected> <verified> <errors>\n": when a daemon first protected here, when the last
 * collection and verification ended (0: none has), and what the verification found.
 */
#define UPKEEP_FILE "local/upkeep"
#define UPKEEP_BYTES_MAX 128

struct upkeep {
	struct protector *p;
	int64_t thin_due_ns, collect_due_ns, verify_due_ns; /* monotonic: not before */
	int64_t since_ns, collected_ns, verified_ns;        /* wall clock */
	uint64_t verify_errors;
	int64_t began_ns; /* of what runs, monotonic */
	uint64_t rate;    /* of verifying, bytes a second; 0: any */
	unsigned int errors;
};

/* ---- when it was last done ---- */

static void remember(const struct upkeep *u)
{
	char text[UPKEEP_BYTES_MAX];
	int n = snprintf(text, sizeof(text), "%" PRId64 " %" PRId64 " %" PRId64 " %" PRIu64 "\n",
			 u->since_ns, u->collected_ns, u->verified_ns, u->verify_errors);

	/* Lost, it costs a collection and a verification too many. */
	(void)io_write_file(store_io(u->p->options.session->store), UPKEEP_FILE, text, (size_t)n,
			    true, IO_OBJECT_LOCAL);
}

static void recall(struct upkeep *u)
{
	struct io *io = store_io(u->p->options.session->store);
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char text[UPKEEP_BYTES_MAX + 1] = "";
	size_t n = 0;

	if (io_read_file(io, UPKEEP_FILE, UPKEEP_BYTES_MAX, &data, &n) == 0)
		memcpy(text, data, n);
	if (sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNu64, &u->since_ns,
		   &u->collected_ns, &u->verified_ns, &u->verify_errors) == 4)
		return;
	/* A new repository has nothing to collect or to verify yet. */
	u->since_ns = clock_now_ns();
	u->collected_ns = u->verified_ns = 0;
	u->verify_errors = 0;
	remember(u);
}

/* Is something to be done again that was last done then (0: never)? */
static bool is_due(const struct upkeep *u, int64_t last_ns, int64_t every_ns)
{
	int64_t age = clock_now_ns() - (last_ns != 0 ? last_ns : u->since_ns);

	return age < 0 || age >= every_ns;
}

static void set_collection(struct protector *p, enum collection_state state, double share)
{
	lock_take(&p->lock);
	p->state.collection = state;
	p->state.collection_share = share;
	lock_drop(&p->lock);
	protector_touch(p);
}

/* ---- thinning ---- */

/* Often enough for the finest rule: a tenth of the shortest time for which one holds. */
static int64_t thin_every_ns(const struct retention_policy *keep)
{
	int64_t least = THIN_MOST_S * NS_PER_S;

	for (size_t i = 0; i < keep->n_rules; i++)
		if (keep->rules[i].for_ns > 0 && keep->rules[i].for_ns / 10 < least)
			least = keep->rules[i].for_ns / 10;
	return least < THIN_LEAST_S * NS_PER_S ? THIN_LEAST_S * NS_PER_S : least;
}

static int forget_expired(struct upkeep *u, const struct retention_plan *plan)
{
	struct forget_result result = { 0 };
	CLEANUP(free_ptr) uint64_t *seqs = calloc(plan->n + 1, sizeof(*seqs));
	size_t n = 0;
	int r;

	if (!seqs)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++)
		if (!plan->verdicts[i].keep)
			seqs[n++] = plan->items[i].seq;
	if (n == 0)
		return 0;
	r = timeline_forget(u->p->timeline, seqs, n, &result);
	lock_take(&u->p->lock);
	u->p->state.forgotten += result.forgotten;
	lock_drop(&u->p->lock);
	log_debug("thinning: %" PRIu64 " snapshots forgotten, %" PRIu64 " in use", result.forgotten,
		  result.busy);
	return r;
}

static void thin(struct upkeep *u)
{
	CLEANUP(retention_plan_done) struct retention_plan plan = { 0 };
	struct retention_policy keep;
	int r;

	lock_take(&u->p->lock);
	keep = u->p->keep;
	lock_drop(&u->p->lock);
	if (keep.n_rules == 0) {
		u->thin_due_ns = 0;
		return;
	}
	if (clock_monotonic_ns() < u->thin_due_ns)
		return;
	r = retention_plan_make(u->p->timeline, &keep, clock_now_ns(), &plan);
	if (r == 0)
		r = forget_expired(u, &plan);
	u->thin_due_ns =
		clock_monotonic_ns() + (r < 0 ? THIN_MOST_S * NS_PER_S : thin_every_ns(&keep));
	if (r < 0)
		(void)log_errno(r, "thinning the timeline failed; it is tried again in %d s",
				THIN_MOST_S);
}

/* ---- collecting ---- */

static void show_collection(void *context, enum collect_phase phase, uint64_t done, uint64_t all)
{
	struct upkeep *u = context;

	set_collection(u->p, phase == COLLECT_MARKING ? COLLECTION_MARKING : COLLECTION_SWEEPING,
		       all > 0 ? (double)done / (double)all : 0);
}

static void say_problem(void *context, uint64_t seq, const char *what)
{
	(void)context;
	log_warning("collection: snapshot %" PRIu64 ": %s; nothing is deleted", seq, what);
}

/* Is there so little space left that it cannot wait? */
static bool disk_is_nearly_full(const struct protector *p)
{
	struct statvfs vfs;

	return statvfs(io_real_path(store_io(p->options.session->store)), &vfs) == 0 &&
	       vfs.f_blocks > 0 && vfs.f_bavail < vfs.f_blocks / 100 * FULL_PERCENT;
}

static bool collection_is_due(struct upkeep *u)
{
	uint64_t every_ms;

	lock_take(&u->p->lock);
	every_ms = u->p->collect_every_ms;
	lock_drop(&u->p->lock);
	if (every_ms == 0)
		return false;
	if (disk_is_nearly_full(u->p) && is_due(u, u->collected_ns, RETRY_S * NS_PER_S))
		return true;
	return is_due(u, u->collected_ns, (int64_t)every_ms * NS_PER_MS);
}

static void collect(struct upkeep *u)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	struct protector *p = u->p;
	struct collect_result result = { 0 };
	struct collect_options options = { .rewrite_bytes = REWRITE_BYTES,
					   .patience_ms = PATIENCE_MS,
					   .cancel = &p->cancel,
					   .progress = show_collection,
					   .problem = say_problem,
					   .context = u };
	int r;

	if (clock_monotonic_ns() < u->collect_due_ns || !collection_is_due(u))
		return;
	lock_take(&p->lock);
	options.bytes_per_second = p->collect_rate;
	options.reserve_bytes = p->reserve_bytes;
	lock_drop(&p->lock);
	r = chunk_cache_new(p->options.session->store, COLLECT_CACHE, 0, &cache);
	if (r == 0)
		r = collect_run(p->timeline, cache, &options, &result);
	set_collection(p, COLLECTION_IDLE, 0);
	if (r == -ECANCELED)
		return;
	if (r < 0) {
		u->collect_due_ns = clock_monotonic_ns() + RETRY_S * NS_PER_S;
		if (r != -EBUSY)
			(void)log_errno(r, "collection ended early; it is tried again in %d min",
					RETRY_S / 60);
		return;
	}
	u->collected_ns = clock_now_ns();
	remember(u);
	lock_take(&p->lock);
	p->state.collected_ns = u->collected_ns;
	p->state.collected_bytes = result.bytes_before > result.bytes_after
					   ? result.bytes_before - result.bytes_after
					   : 0;
	lock_drop(&p->lock);
	protector_touch(p);
	log_info("collection: %" PRIu64 " packs before, %" PRIu64 " after, %" PRIu64 " bytes freed",
		 result.packs_before, result.packs_after, p->state.collected_bytes);
}

/* ---- verifying ---- */

/* Called often while packs are read: also where the rate is kept. */
static void show_verified(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
	struct upkeep *u = context;
	int64_t due_ns;

	(void)all_bytes;
	if (u->rate == 0)
		return;
	due_ns = u->began_ns + (int64_t)((double)done_bytes / (double)u->rate * 1e9);
	while (clock_monotonic_ns() < due_ns && !u->p->cancel)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100 * NS_PER_MS }, NULL);
}

static void say_damaged(void *context, const struct pack_id *pack, const struct chunk_id *chunk,
			const char *what)
{
	struct upkeep *u = context;

	(void)pack, (void)chunk; /* scrub has named them in the log */
	u->errors++;
	log_error("verification: %s; run 'yore check --data', then 'yore repair'", what);
}

/* Each day so large a part that all of it has its turn in the time configured. */
static void verify(struct upkeep *u)
{
	struct protector *p = u->p;
	struct scrub_result result = { 0 };
	struct scrub_options options = { .data = true,
					 .cancel = &p->cancel,
					 .progress = show_verified,
					 .damaged = say_damaged,
					 .context = u };
	uint64_t days;
	int r;

	lock_take(&p->lock);
	days = p->verify_every_ms / 1000 / DAY_S;
	u->rate = p->verify_rate;
	r = p->verify_every_ms > 0;
	lock_drop(&p->lock);
	if (!r || clock_monotonic_ns() < u->verify_due_ns ||
	    !is_due(u, u->verified_ns, DAY_S * NS_PER_S))
		return;
	options.percent = days > 1 ? (unsigned int)((99 + days) / days) : 100;
	u->errors = 0;
	u->began_ns = clock_monotonic_ns();
	r = scrub_run(p->options.session->store, &options, &result);
	if (r == -ECANCELED)
		return;
	if (r < 0) {
		u->verify_due_ns = clock_monotonic_ns() + RETRY_S * NS_PER_S;
		(void)log_errno(r, "verification ended early; it is tried again in %d min",
				RETRY_S / 60);
		return;
	}
	u->verified_ns = clock_now_ns();
	u->verify_errors = result.errors;
	remember(u);
	lock_take(&p->lock);
	p->state.verified_ns = u->verified_ns;
	p->state.verify_errors = result.errors;
	lock_drop(&p->lock);
	protector_touch(p);
}

/* ---- the thread ---- */

/* False when it is time to end. */
static bool rest(const struct upkeep *u)
{
	struct protector *p = u->p;
	int64_t ns = LOOK_S * NS_PER_S, now = clock_monotonic_ns();
	struct timespec until;

	if (u->thin_due_ns != 0 && u->thin_due_ns - now < ns)
		ns = u->thin_due_ns > now ? u->thin_due_ns - now : 0;
	now += ns;
	until = (struct timespec){ .tv_sec = now / NS_PER_S, .tv_nsec = now % NS_PER_S };
	LOCK_SCOPE(&p->lock);
	if (!atomic_load(&p->stopping))
		(void)lock_wait_until(&p->lock, &p->upkeep_wake, &until);
	return !atomic_load(&p->stopping);
}

void *protector_upkeep_thread(void *argument)
{
	struct upkeep u = { .p = argument };
	uint64_t reserve;
	int priority = 0;

	(void)pthread_setname_np(pthread_self(), "yore-upkeep");
	recall(&u);
	lock_take(&u.p->lock);
	u.p->state.collected_ns = u.collected_ns;
	u.p->state.verified_ns = u.verified_ns;
	u.p->state.verify_errors = u.verify_errors;
	reserve = u.p->reserve_bytes;
	lock_drop(&u.p->lock);
	/* Before the disk is full, not when. */
	if (reserve > 0)
		(void)reserve_make(store_io(u.p->options.session->store), reserve);
	u.thin_due_ns = clock_monotonic_ns() + THIN_LEAST_S * NS_PER_S;
	while (rest(&u)) {
		protector_lower_priority(u.p, &priority);
		thin(&u);
		collect(&u);
		verify(&u);
		store_upkeep(u.p->options.session->store);
	}
	return NULL;
}
