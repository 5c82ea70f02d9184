/* SPDX-License-Identifier: MIT */
#include "sync/concurrency.h"

#include "store/crypto.h"

#include <assert.h>
#include <errno.h>

#define NS_PER_MS 1000000LL
#define DOUBLINGS_MAX 8
/* Judge after so many successes for each transfer that may run. */
#define JUDGE_ROUNDS 3
/* And then stay there for so many judgements before more are tried again. */
#define HOLD_JUDGEMENTS 10
/* Fewer bytes than this share of the last rate: more transfers did not help. */
#define WORSE 0.9

void concurrency_init(struct concurrency *c, unsigned int max, uint32_t backoff_ms)
{
	*c = (struct concurrency){ .max = max > 0 ? max : 1,
				   .backoff_ms = backoff_ms ? backoff_ms : CONCURRENCY_BACKOFF_MS };
	c->allowed = c->max < CONCURRENCY_FIRST ? c->max : CONCURRENCY_FIRST;
	c->allowed_then = c->allowed;
}

unsigned int concurrency_allowed(const struct concurrency *c)
{
	return c->allowed < 1 ? 1 : (unsigned int)c->allowed;
}

int64_t concurrency_wait_ns(const struct concurrency *c, int64_t now_ns)
{
	return c->resume_ns > now_ns ? c->resume_ns - now_ns : 0;
}

bool concurrency_is_refusal(int r)
{
	return r == -EAGAIN || r == -ETIMEDOUT || r == -EREMOTEIO;
}

static void judge(struct concurrency *c, int64_t now_ns)
{
	const int64_t took = now_ns - c->since_ns;
	double rate;

	if (c->successes < JUDGE_ROUNDS * concurrency_allowed(c))
		return;
	rate = took > 0 ? (double)c->bytes / (double)took : 0;
	if (c->allowed > c->allowed_then && rate < WORSE * c->rate) {
		c->allowed = c->allowed_then;
		c->hold = HOLD_JUDGEMENTS;
	} else {
		c->allowed_then = c->allowed;
		c->rate = rate;
		c->hold -= c->hold > 0;
	}
	c->since_ns = now_ns;
	c->bytes = 0;
	c->successes = 0;
}

static void slow_down(struct concurrency *c, int64_t now_ns)
{
	const unsigned int doublings = c->failures < DOUBLINGS_MAX ? c->failures : DOUBLINGS_MAX;
	const uint64_t most_ms = (uint64_t)c->backoff_ms << doublings;
	uint64_t dice;
	int64_t until;

	crypto_random(&dice, sizeof(dice));
	until = now_ns + (int64_t)(dice % (most_ms + 1)) * NS_PER_MS;
	if (until > c->resume_ns)
		c->resume_ns = until;
	c->failures++;
	c->allowed = c->allowed / 2 < 1 ? 1 : c->allowed / 2;
	c->since_ns = now_ns;
	c->bytes = 0;
	c->successes = 0;
	c->rate = 0;
	c->allowed_then = c->allowed;
	c->hold = 0;
}

void concurrency_note(struct concurrency *c, int64_t now_ns, uint64_t bytes, int r)
{
	if (concurrency_is_refusal(r)) {
		slow_down(c, now_ns);
		return;
	}
	if (r < 0)
		return;
	if (c->since_ns == 0)
		c->since_ns = now_ns;
	c->failures = 0;
	c->successes++;
	c->bytes += bytes;
	if (c->allowed < c->max && c->hold == 0)
		c->allowed += 1 / c->allowed;
	if (c->allowed > c->max)
		c->allowed = c->max;
	judge(c, now_ns);
}
