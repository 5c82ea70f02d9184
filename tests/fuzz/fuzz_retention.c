/* SPDX-License-Identifier: MIT */
/*
 * A retention policy as text, up to the first NUL; eight bytes each behind it
 * are the times of snapshots. Whatever the clock says, the newest one stays,
 * and a policy that keeps all keeps all.
 */
#include "snapshots/retention.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t take_items(const uint8_t *data, size_t size, struct retention_item *items)
{
	size_t n = 0;

	for (; size >= 8 && n < ITEMS_MAX; data += 8, size -= 8) {
		items[n] =
			(struct retention_item){ .seq = n + 1, .tags = data[0] % 16 ? "" : "a,b" };
		memcpy(&items[n++].time_ns, data, 8);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct retention_verdict verdicts[ITEMS_MAX];
	static struct retention_item items[ITEMS_MAX];
	struct retention_policy policy = { 0 };
	size_t text_n = strnlen((const char *)data, size), n;
	CLEANUP(free_ptr) char *text = strndup((const char *)data, text_n);
	CLEANUP(free_ptr) char *wrong = NULL;
	int r;

	assert(text);
	r = retention_parse(text, &policy, &wrong);
	assert(r == 0 || ((r == -EINVAL || r == -E2BIG) && wrong && policy.n_rules == 0));
	if (r < 0)
		return 0;
	n = text_n < size ? take_items(data + text_n + 1, size - text_n - 1, items) : 0;
	r = retention_evaluate(&policy, items, n, 0, verdicts);
	assert(r == 0);
	assert(n == 0 || verdicts[n - 1].keep);
	for (size_t i = 0; i < n; i++)
		assert(verdicts[i].keep == (verdicts[i].rule[0] != '\0'));
	if (policy.rules[0].slot == SLOT_ALL && policy.rules[0].for_ns == 0 &&
	    policy.rules[0].count == 0 && policy.rules[0].tag[0] == '\0')
		for (size_t i = 0; i < n; i++)
			assert(verdicts[i].keep);
	return 0;
}
