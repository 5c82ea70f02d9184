/* SPDX-License-Identifier: MIT */
/*
 * The engine: one thread that drives all requests.
 *
 * A caller shapes its job, puts it on `jobs` and waits for `done`. The
 * thread adds it to curl_multi, and takes it off the list when it has ended:
 *
 *   state     on `jobs`  started  in curl_multi
 *   waiting   yes        no       no            (new, or held back by a pause)
 *   running   yes        yes      yes
 *   done      no         -        no            (the caller's again)
 *
 * Rates: the callbacks pause their handle when the bucket is empty, and the
 * thread lets handles go on, in turns, when there is something in it. Stalls
 * are found here and not by libcurl's low-speed limit, which in 7.88 takes an
 * upload that we paused for a stalled one and counts in whole seconds.
 */
#include "sync/transfer.h"

#include "store/base/lock.h"
#include "sync/transfer_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define IDLE_HANDLES_MAX 64
#define WATCH_MS 100 /* how often cancel flags and stalls are looked at */
#define SLEEP_MS (60 * 60 * 1000)
#define HELD_MS_MIN 2
#define NS_PER_MS 1000000ll
#define NS_PER_S 1000000000ll
#define BURST_PART 10        /* a bucket holds a tenth of a second's worth */
#define BURST_BYTES_MIN 4096 /* or a little, at tiny rates */

TAILQ_HEAD(job_list, transfer_job);

struct transfer {
	struct transfer_options options;
	CURLM *multi;
	pthread_t thread;
	bool has_thread;

	struct lock lock;     /* guards what follows */
	pthread_cond_t left;  /* a caller is out */
	struct job_list jobs; /* nobody but the thread takes from it */
	uint32_t n_callers;
	bool stop;
	bool pause;
	uint64_t up_rate, down_rate;
	CURL *idle[IDLE_HANDLES_MAX];
	size_t n_idle;
	uint64_t n_ended, n_failed;

	struct transfer_flow flow; /* the thread's */
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

static void global_init(void)
{
	global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- rates ---- */

static int64_t burst_bytes(const struct rate_bucket *b)
{
	const uint64_t burst = b->rate / BURST_PART;

	return burst > BURST_BYTES_MIN ? (int64_t)burst : BURST_BYTES_MIN;
}

static void bucket_set_rate(struct rate_bucket *b, uint64_t rate, int64_t now)
{
	if (rate > INT64_MAX / 2)
		rate = 0; /* as good as none, and the sums below stay small */
	if (b->rate == rate)
		return;
	b->rate = rate;
	b->tokens = 0;
	b->filled_ns = now;
}

static void bucket_fill(struct rate_bucket *b, int64_t now)
{
	const double more = (double)(now - b->filled_ns) / (double)NS_PER_S * (double)b->rate;

	if (b->rate == 0 || more < 1)
		return; /* what is less than a byte grows until it is one */
	b->filled_ns = now;
	if (more > (double)burst_bytes(b) - (double)b->tokens)
		b->tokens = burst_bytes(b);
	else
		b->tokens += (int64_t)more;
}

/* Milliseconds until something may move. */
static int bucket_wait_ms(const struct rate_bucket *b)
{
	double ms;

	if (rate_bucket_open(b))
		return 0;
	ms = (double)(1 - b->tokens) * 1000 / (double)b->rate;
	return ms < WATCH_MS ? (int)ms + 1 : WATCH_MS;
}

/* ---- the thread ---- */

static void restart_watch(struct transfer_job *job, int64_t now)
{
	job->moved = 0;
	job->moved_since_ms = now / NS_PER_MS;
}

static void end_job(struct transfer *t, struct transfer_job *job)
{
	if (job->started)
		(void)curl_multi_remove_handle(t->multi, job->easy);
	LOCK_SCOPE(&t->lock);
	TAILQ_REMOVE(&t->jobs, job, link);
	job->done = true;
	(void)pthread_cond_signal(&job->ended);
}

static void start_job(struct transfer *t, struct transfer_job *job, int64_t now)
{
	if (curl_multi_add_handle(t->multi, job->easy) != CURLM_OK) {
		job->error = -ENOMEM;
		end_job(t, job);
		return;
	}
	job->started = true;
	restart_watch(job, now);
}

static void reap(struct transfer *t)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(t->multi, &left))) {
		struct transfer_job *job = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job);
		job->code = message->data.result;
		end_job(t, job);
	}
}

static bool is_cancelled(const struct transfer_request *request)
{
	return request->cancel && __atomic_load_n(request->cancel, __ATOMIC_RELAXED);
}

static bool is_over(const struct transfer *t, struct transfer_job *job, bool stop, int64_t now)
{
	const int64_t ms = now / NS_PER_MS;

	if (stop || is_cancelled(job->request)) {
		job->error = -ECANCELED;
		return true;
	}
	if (!job->started)
		return false;
	if (job->held || job->moved >= TRANSFER_STALL_BYTES) {
		restart_watch(job, now);
		return false;
	}
	if (ms - job->moved_since_ms < t->options.stall_ms)
		return false;
	job->code = CURLE_OPERATION_TIMEDOUT;
	return true;
}

/* Let a held transfer go on; its callback may hold it again at once. */
static void let_go(const struct transfer *t, struct transfer_job *job, int64_t now)
{
	if (!job->held || t->flow.paused)
		return;
	if (!rate_bucket_open(&t->flow.up) || !rate_bucket_open(&t->flow.down))
		return;
	job->held = false;
	restart_watch(job, now);
	(void)curl_easy_pause(job->easy, CURLPAUSE_CONT);
}

/*
 * Look at each job once. The list turns meanwhile, so that the one behind the
 * last that was let go is the first next time. Returns how long to sleep.
 */
static int tend(struct transfer *t, bool stop)
{
	const int64_t now = now_ns();
	int wait = SLEEP_MS;
	size_t n = 0;
	struct transfer_job *job;

	lock_take(&t->lock);
	TAILQ_FOREACH(job, &t->jobs, link)
	n++;
	lock_drop(&t->lock);
	for (; n > 0; n--) {
		lock_take(&t->lock);
		job = TAILQ_FIRST(&t->jobs);
		TAILQ_REMOVE(&t->jobs, job, link);
		TAILQ_INSERT_TAIL(&t->jobs, job, link);
		lock_drop(&t->lock);
		if (is_over(t, job, stop, now)) {
			end_job(t, job);
			continue;
		}
		wait = wait < WATCH_MS ? wait : WATCH_MS;
		if (!job->started && !t->flow.paused) {
			start_job(t, job, now);
			wait = 0;
			continue;
		}
		let_go(t, job, now);
	}
	return wait;
}

static int held_wait(struct transfer *t, int wait)
{
	const int up = bucket_wait_ms(&t->flow.up);
	const int down = bucket_wait_ms(&t->flow.down);
	const int empty = up > down ? up : down;

	if (empty == 0)
		return wait;
	if (wait <= empty)
		return wait;
	return empty > HELD_MS_MIN ? empty : HELD_MS_MIN;
}

/* Take over what others asked for. Returns whether to stop. */
static bool take_orders(struct transfer *t)
{
	const int64_t now = now_ns();

	LOCK_SCOPE(&t->lock);
	t->flow.paused = t->pause;
	bucket_set_rate(&t->flow.up, t->up_rate, now);
	bucket_set_rate(&t->flow.down, t->down_rate, now);
	bucket_fill(&t->flow.up, now);
	bucket_fill(&t->flow.down, now);
	return t->stop;
}

static void *engine_main(void *context)
{
	struct transfer *t = context;
	bool stop = false;
	int running;

	(void)pthread_setname_np(pthread_self(), "yore-transfer");
	while (!stop) {
		int wait;

		stop = take_orders(t);
		wait = held_wait(t, tend(t, stop));
		(void)curl_multi_perform(t->multi, &running);
		reap(t);
		if (!stop)
			(void)curl_multi_poll(t->multi, NULL, 0, wait, NULL);
	}
	return NULL;
}

/* ---- from outside ---- */

static void choose_options(struct transfer_options *o)
{
	o->connect_ms = o->connect_ms ? o->connect_ms : TRANSFER_CONNECT_MS;
	o->stall_ms = o->stall_ms ? o->stall_ms : TRANSFER_STALL_MS;
	o->connections_max = o->connections_max ? o->connections_max : TRANSFER_CONNECTIONS;
}

/* Signals are other threads' business; a broken connection's SIGPIPE is nobody's. */
static int start_engine(struct transfer *t)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	r = -pthread_create(&t->thread, NULL, engine_main, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	t->has_thread = r == 0;
	return r;
}

int transfer_new(const struct transfer_options *options, struct transfer **ret_transfer)
{
	CLEANUP(transfer_free_ptr) struct transfer *t = NULL;
	int r;

	assert(ret_transfer);
	(void)pthread_once(&global_once, global_init);
	if (global_code != CURLE_OK)
		return -ENOMEM;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	lock_init(&t->lock, LOCK_RANK_TRANSFER);
	(void)pthread_cond_init(&t->left, NULL);
	TAILQ_INIT(&t->jobs);
	if (options)
		t->options = *options;
	choose_options(&t->options);
	t->multi = curl_multi_init();
	if (!t->multi ||
	    curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)t->options.connections_max))
		return -ENOMEM;
	r = start_engine(t);
	if (r < 0)
		return r;
	*ret_transfer = STEAL(t);
	return 0;
}

static void wake(struct transfer *t)
{
	(void)curl_multi_wakeup(t->multi);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	if (t->has_thread) {
		lock_take(&t->lock);
		t->stop = true;
		lock_drop(&t->lock);
		wake(t);
		(void)pthread_join(t->thread, NULL);
		lock_take(&t->lock);
		while (t->n_callers > 0)
			lock_wait(&t->lock, &t->left);
		lock_drop(&t->lock);
	}
	for (size_t i = 0; i < t->n_idle; i++)
		curl_easy_cleanup(t->idle[i]);
	(void)curl_multi_cleanup(t->multi);
	(void)pthread_cond_destroy(&t->left);
	lock_done(&t->lock);
	free(t);
}

void transfer_limit(struct transfer *t, uint64_t up_bytes, uint64_t down_bytes)
{
	lock_take(&t->lock);
	t->up_rate = up_bytes;
	t->down_rate = down_bytes;
	lock_drop(&t->lock);
	wake(t);
}

void transfer_pause(struct transfer *t, bool pause)
{
	lock_take(&t->lock);
	t->pause = pause;
	lock_drop(&t->lock);
	wake(t);
}

void transfer_stats(struct transfer *t, struct transfer_stats *ret_stats)
{
	LOCK_SCOPE(&t->lock);
	*ret_stats = (struct transfer_stats){
		.sent_bytes = atomic_load(&t->flow.sent_bytes),
		.received_bytes = atomic_load(&t->flow.received_bytes),
		.requests = t->n_ended,
		.failures = t->n_failed,
		.running = t->n_callers,
	};
}

static CURL *take_handle(struct transfer *t)
{
	LOCK_SCOPE(&t->lock);
	return t->n_idle > 0 ? t->idle[--t->n_idle] : NULL;
}

/* A caller comes in; nobody does once the engine stops. */
static int enter(struct transfer *t)
{
	LOCK_SCOPE(&t->lock);
	if (t->stop)
		return -ECANCELED;
	t->n_callers++;
	return 0;
}

static void leave(struct transfer *t, CURL *easy, int r)
{
	CURL *surplus = easy;

	lock_take(&t->lock);
	if (easy && t->n_idle < IDLE_HANDLES_MAX) {
		t->idle[t->n_idle++] = easy;
		surplus = NULL;
	}
	t->n_ended++;
	t->n_failed += r < 0;
	lock_drop(&t->lock);
	curl_easy_cleanup(surplus);
	LOCK_SCOPE(&t->lock);
	t->n_callers--;
	(void)pthread_cond_signal(&t->left);
}

/* Hand the job to the thread and wait until it is ours again. */
static int drive(struct transfer *t, struct transfer_job *job)
{
	lock_take(&t->lock);
	if (t->stop) { /* the thread may have looked for the last time */
		lock_drop(&t->lock);
		return -ECANCELED;
	}
	TAILQ_INSERT_TAIL(&t->jobs, job, link);
	lock_drop(&t->lock);
	wake(t);
	LOCK_SCOPE(&t->lock);
	while (!job->done)
		lock_wait(&t->lock, &job->ended);
	return 0;
}

static int run_one(struct transfer *t, const struct transfer_request *request,
		   struct transfer_answer *ret_answer)
{
	struct transfer_job job = { .request = request, .flow = &t->flow };
	int r;

	r = enter(t);
	if (r < 0)
		return r;
	(void)pthread_cond_init(&job.ended, NULL);
	job.easy = take_handle(t);
	if (!job.easy)
		job.easy = curl_easy_init();
	r = job.easy ? transfer_job_shape(&job, request->sftp_before, &t->options) : -ENOMEM;
	if (r == 0)
		r = drive(t, &job);
	if (r == 0)
		r = transfer_job_result(&job);
	if (r == 0)
		*ret_answer = job.answer;
	transfer_job_done(&job);
	(void)pthread_cond_destroy(&job.ended);
	leave(t, job.easy, r);
	return r;
}

/*
 * libcurl's own way to send commands after a transfer (CURLOPT_POSTQUOTE) ends
 * too early under curl_multi (its known bug 9.1): they are a request of their
 * own, on the same connection, to the folder of the file.
 */
static int run_commands_after(struct transfer *t, const struct transfer_request *request)
{
	CLEANUP(free_ptr) char *folder = strdup(request->url);
	struct transfer_request after = {
		.server = request->server,
		.method = "HEAD",
		.sftp_before = request->sftp_after,
		.cancel = request->cancel,
	};
	struct transfer_answer answer;
	char *slash;
	int r;

	slash = folder ? strrchr(folder, '/') : NULL;
	if (!slash)
		return folder ? -EINVAL : -ENOMEM;
	slash[1] = '\0';
	after.url = folder;
	r = run_one(t, &after, &answer);
	if (r == 0)
		transfer_answer_done(&answer);
	return r;
}

int transfer_run(struct transfer *t, const struct transfer_request *request,
		 struct transfer_answer *ret_answer)
{
	struct transfer_answer answer;
	int r;

	assert(t);
	assert(request->url);
	assert(request->method);
	r = run_one(t, request, &answer);
	if (r < 0)
		return r;
	if (request->sftp_after)
		r = run_commands_after(t, request);
	if (r < 0) {
		transfer_answer_done(&answer);
		return r;
	}
	*ret_answer = answer;
	return 0;
}
