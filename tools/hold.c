/* SPDX-License-Identifier: MIT */
#include "tools/hold.h"

#include "snapshots/frozen_source.h"
#include "snapshots/source_path.h"
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "tools/hook.h"

#include <errno.h>
#include <string.h>

struct hold {
	struct hook_guard *guard;
	struct frozen_source **frozen;
	size_t n_frozen;
};

/* What YORE_SOURCE says: the paths, one a line. */
static int name_sources(const struct capture_source *sources, size_t n, struct byte_buf *to)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			byte_buf_u8(to, '\n');
		byte_buf_append(to, sources[i].path, strlen(sources[i].path));
	}
	byte_buf_u8(to, '\0');
	return to->failed ? -ENOMEM : 0;
}

static int run_before(struct hold *h, const struct capture_source *sources, size_t n,
		      const struct hold_options *o)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf names = { 0 };
	struct hook_options hooks = { .before = o->before,
				      .after = o->after,
				      .repository = o->repository,
				      .limit_ms = o->limit_ms,
				      .cancel = o->cancel };
	int r;

	if (!o->before && !o->after)
		return 0;
	r = name_sources(sources, n, &names);
	if (r < 0)
		return r;
	hooks.source = (const char *)names.data;
	return hook_guard_begin(&hooks, &h->guard);
}

/* Freeze one. 1 when it is, 0 when it is read where it lies. */
static int freeze(struct hold *h, struct capture_source *s, enum hold_method method)
{
	struct source_path place = { 0 };
	struct frozen_source *frozen;
	const char *why;
	int r = source_path_resolve(s->path, &place);

	if (r < 0)
		return method == HOLD_AUTO ? 0 : log_errno(r, "%s: cannot be resolved", s->path);
	r = frozen_source_make(place.path, &frozen, &why);
	source_path_done(&place);
	if (r == -ENOMEM)
		return r;
	if (r < 0 && method == HOLD_BTRFS)
		return log_errno(r, "%s cannot be frozen: %s", s->path, why);
	if (r < 0) {
		if (r != -EOPNOTSUPP && r != -ENOENT)
			log_info("%s is captured where it lies: %s (%s)", s->path, why,
				 strerror(-r));
		return 0;
	}
	h->frozen[h->n_frozen++] = frozen;
	s->read_path = frozen_source_path(frozen);
	s->read_ns = frozen_source_ns(frozen);
	s->consistency = CONSISTENCY_FROZEN;
	return 1;
}

static int freeze_all(struct hold *h, struct capture_source *sources, size_t n,
		      enum hold_method method)
{
	h->frozen = calloc(n + 1, sizeof(struct frozen_source *));
	if (!h->frozen)
		return -ENOMEM;
	for (size_t i = 0; method != HOLD_PLAIN && i < n; i++) {
		int r = sources[i].is_stream ? 0 : freeze(h, &sources[i], method);

		if (r < 0)
			return r;
	}
	return 0;
}

int hold_sources(struct capture_source *sources, size_t n, const struct hold_options *options,
		 struct hold **ret_hold)
{
	CLEANUP(hold_free_ptr) struct hold *h = calloc(1, sizeof(*h));
	int r = h ? run_before(h, sources, n, options) : -ENOMEM;

	if (r == 0)
		r = freeze_all(h, sources, n, options->method);
	if (r < 0)
		return r;
	for (size_t i = 0; options->before && i < n; i++)
		sources[i].consistency = CONSISTENCY_HOOK;
	if (h->n_frozen == n) /* what happens from here on is not captured */
		(void)hook_guard_end(STEAL(h->guard));
	*ret_hold = STEAL(h);
	return 0;
}

int hold_release(struct hold *h)
{
	int r;

	if (!h)
		return 0;
	r = hook_guard_end(h->guard);
	for (size_t i = 0; i < h->n_frozen; i++)
		frozen_source_free(h->frozen[i]);
	free(h->frozen);
	free(h);
	return r;
}

void hold_free(struct hold *h)
{
	(void)hold_release(h);
}
