/* SPDX-License-Identifier: MIT */
#include "tools/alert_internal.h"

#include "store/base/log.h"
#include "tools/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HOLD_S 60
#define DAMPED_S 3600 /* without repeat-every */
/* In a small tree every morning's work is an unusual share. */
#define UNUSUAL_FILES_MIN 50
/* What is nearly full is so until a tenth more than wanted is free. */
#define ROOM_SHARE 10

/* One evaluation. */
struct look {
	struct alerts *a;
	const struct protection *p;
	const struct config *config;
	int64_t repeat_ns; /* 0: never */
};

/* ---- beginning ---- */

static void begin(struct look *look, struct condition *c)
{
	const bool again = c->ended_ns != 0;

	c->gone_ns = 0;
	if (again && c->tell == TELL_END && !c->sending) {
		/* Nobody has heard of that end: it goes on. */
		c->ended_ns = 0;
		c->tell = TELL_NOTHING;
		return;
	}
	c->returns += again;
	c->ended_ns = 0;
	c->told = 0;
	c->tries = 0;
	c->not_before_s = 0;
	c->since_ns = look->p->now_ns;
	c->tell = TELL_BEGIN;
	log_warning("alert: %s begins: %s: %s", alert_kind_name(c->kind), c->object, c->message);
}

/* This condition holds now. */
__attribute__((format(printf, 4, 5))) static void holds(struct look *look, enum alert_kind kind,
							const char *object, const char *format, ...)
{
	struct condition *c = condition_find(&look->a->conditions, kind, object);
	const bool is_new = !c;
	va_list arguments;

	if (!c)
		c = condition_add(&look->a->conditions, kind, object);
	if (!c)
		return; /* no memory, or far too many: the others are told */
	va_start(arguments, format);
	(void)vsnprintf(c->message, sizeof(c->message), format, arguments);
	va_end(arguments);
	c->seen = true;
	if (is_new || c->ended_ns != 0) {
		begin(look, c);
		look->a->dirty = true;
		return;
	}
	look->a->dirty |= c->gone_ns != 0;
	c->gone_ns = 0;
	if (c->tell == TELL_NOTHING && !c->sending && look->repeat_ns > 0 &&
	    look->p->now_ns - c->told_ns >= look->repeat_ns) {
		c->tell = TELL_BEGIN;
		look->a->dirty = true;
	}
}

/* ---- ending ---- */

/* For how long it must be gone: longer each time that it came back. */
static int64_t hold_ns(const struct look *look, const struct condition *c)
{
	const int64_t most = look->repeat_ns > 0 ? look->repeat_ns : DAMPED_S * NS_PER_S;
	int64_t hold = HOLD_S * NS_PER_S;

	for (uint32_t i = 0; i < c->returns && hold < most; i++)
		hold *= 2;
	return hold < most ? hold : most;
}

static void fade(struct look *look, struct condition *c)
{
	int64_t now = look->p->now_ns;

	/* A clock that was set back: wait from now on. */
	if (c->gone_ns == 0 || c->gone_ns > now) {
		c->gone_ns = now;
		look->a->dirty = true;
	}
	if (now - c->gone_ns < hold_ns(look, c))
		return;
	c->ended_ns = now;
	/* Whoever never heard of its begin need not hear of its end. */
	c->tell = c->told > 0 || c->sending ? TELL_END : TELL_NOTHING;
	c->tries = 0;
	c->not_before_s = 0;
	look->a->dirty = true;
	log_info("alert: %s ends: %s", alert_kind_name(c->kind), c->object);
}

/* Long enough ago that its coming back would be something new. */
static bool is_forgotten(const struct look *look, const struct condition *c)
{
	const int64_t most = look->repeat_ns > 0 ? look->repeat_ns : DAMPED_S * NS_PER_S;
	int64_t age = look->p->now_ns - c->ended_ns;

	return c->ended_ns != 0 && c->tell == TELL_NOTHING && !c->sending &&
	       (age < 0 || age >= most);
}

static void end_others(struct look *look)
{
	struct condition_list *l = &look->a->conditions;

	for (size_t i = 0; i < l->n;) {
		struct condition *c = &l->items[i];

		if (!c->seen && c->ended_ns == 0)
			fade(look, c);
		if (is_forgotten(look, c)) {
			condition_drop(l, i);
			look->a->dirty = true;
		} else {
			i++;
		}
	}
}

/* ---- an unusual share of files ---- */

static struct judged_source *judged_find(struct alerts *a, const char *path)
{
	struct judged_source *sources;

	for (size_t i = 0; i < a->n_sources; i++)
		if (strcmp(a->sources[i].path, path) == 0)
			return &a->sources[i];
	sources = reallocarray(a->sources, a->n_sources + 1, sizeof(*sources));
	if (!sources)
		return NULL;
	a->sources = sources;
	sources[a->n_sources] = (struct judged_source){ .path = strdup(path) };
	return sources[a->n_sources].path ? &sources[a->n_sources++] : NULL;
}

/* Files that were there before and are not what they were: of all snapshots since the last look. */
static uint64_t spoilt_files(const struct judged_source *before, const struct protection_source *s)
{
	uint64_t spoilt = s->files_spoilt - before->spoilt;

	return spoilt < before->files ? spoilt : before->files;
}

static void judge(struct look *look, struct judged_source *j, const struct protection_source *s)
{
	const uint64_t share = look->config->changed_share;
	uint64_t spoilt = spoilt_files(j, s);
	/* Its first snapshot has nothing to compare with. */
	bool first = j->captured_ns == 0;

	j->unusual = 0;
	if (!first && share > 0 && j->files >= UNUSUAL_FILES_MIN &&
	    spoilt * 100 >= share * j->files)
		j->unusual = spoilt;
	j->files_before = j->files;
	j->judged = true;
	j->captured_ns = s->captured_ns;
	j->files = s->files;
	j->spoilt = s->files_spoilt;
}

static void look_at_changes(struct look *look, const struct protection_source *s)
{
	struct judged_source *j = judged_find(look->a, s->path);
	struct condition *c;

	if (!j)
		return;
	if (j->captured_ns == 0 && !j->judged) {
		/* Nothing was seen of it yet: what it is now is what the next is compared with. */
		j->captured_ns = s->captured_ns;
		j->files = s->files;
		j->spoilt = s->files_spoilt;
		j->judged = s->captured_ns == 0;
	} else if (s->captured_ns != j->captured_ns) {
		judge(look, j, s);
	}
	c = condition_find(&look->a->conditions, ALERT_UNUSUAL, s->path);
	if (!j->judged && c && c->ended_ns == 0)
		c->seen = true; /* of before a restart: as it was until the next snapshot */
	if (j->unusual > 0)
		holds(look, ALERT_UNUSUAL, s->path,
		      "%" PRIu64 " of %" PRIu64 " files were rewritten or deleted at once",
		      j->unusual, j->files_before);
}

/* ---- all of them ---- */

static void look_at_source(struct look *look, const struct protection_source *s)
{
	char age[OUTPUT_TIME_BYTES];

	if (s->absent)
		holds(look, ALERT_UNREADABLE, s->path,
		      "it is not there, or is another file system now; its last state is kept");
	if (protection_source_is_behind(look->p, s))
		holds(look, ALERT_BEHIND, s->path, "changes have waited for a snapshot for %s",
		      output_duration(look->p->now_ns - s->pending_ns, age));
	look_at_changes(look, s);
}

static void look_at_disk(struct look *look, const char *repository)
{
	const struct protection *p = look->p;
	const struct condition *c = condition_find(&look->a->conditions, ALERT_DISK, repository);
	uint64_t wanted = look->config->disk_free_min_bytes;
	char room[OUTPUT_SIZE_BYTES], least[OUTPUT_SIZE_BYTES];

	if (wanted == 0 || p->repository_size_bytes == 0)
		return;
	if (c && c->ended_ns == 0)
		wanted += wanted / ROOM_SHARE;
	if (p->repository_free_bytes >= wanted)
		return;
	holds(look, ALERT_DISK, repository, "%s free on the repository's disk; wanted are %s",
	      output_size(p->repository_free_bytes, room),
	      output_size(look->config->disk_free_min_bytes, least));
}

static void look_at_repository(struct look *look)
{
	const char *repository = io_real_path(look->a->io);
	const struct protection *p = look->p;

	if (p->stopped[0])
		holds(look, ALERT_STOPPED, repository, "%s", p->stopped);
	if (p->verify_errors > 0)
		holds(look, ALERT_VERIFICATION, repository,
		      "%" PRIu64 " %s in stored data; run 'yore check --data', then 'yore repair'",
		      p->verify_errors, output_plural(p->verify_errors, "error", "errors"));
	look_at_disk(look, repository);
}

static void take_command(struct alerts *a, const char *command)
{
	char *copy;

	if (!command)
		command = "";
	if (a->command && strcmp(a->command, command) == 0)
		return;
	copy = strdup(command);
	if (!copy)
		return;
	free(a->command);
	a->command = copy;
}

void alerts_evaluate(struct alerts *a, const struct protection *p, const struct config *config)
{
	struct look look = { .a = a, .p = p, .config = config };

	look.repeat_ns = config->repeat_every_ms < INT64_MAX / 1000000
				 ? (int64_t)config->repeat_every_ms * 1000000
				 : INT64_MAX;
	LOCK_SCOPE(&a->lock);
	a->now_ns = p->now_ns;
	take_command(a, config->on_alert);
	for (size_t i = 0; i < a->conditions.n; i++)
		a->conditions.items[i].seen = false;
	for (size_t i = 0; i < p->n_sources; i++)
		look_at_source(&look, &p->sources[i]);
	look_at_repository(&look);
	end_others(&look);
	pthread_cond_signal(&a->wake);
}

/* ---- life ---- */

int alerts_new(struct io *io, struct alerts **ret_alerts)
{
	CLEANUP(alerts_free_ptr) struct alerts *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->io = io;
	lock_init(&a->lock, LOCK_RANK_LEAF);
	pthread_cond_init(&a->wake, NULL);
	r = condition_list_read(io, &a->conditions);
	if (r < 0)
		return r;
	r = pthread_create(&a->thread, NULL, alert_thread, a);
	if (r != 0)
		return log_errno(-r, "alerts: no thread");
	a->has_thread = true;
	*ret_alerts = STEAL(a);
	return 0;
}

void alerts_free(struct alerts *a)
{
	if (!a)
		return;
	lock_take(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	lock_drop(&a->lock);
	if (a->has_thread)
		(void)pthread_join(a->thread, NULL);
	condition_list_done(&a->conditions);
	for (size_t i = 0; i < a->n_sources; i++)
		free(a->sources[i].path);
	free(a->sources);
	free(a->command);
	pthread_cond_destroy(&a->wake);
	lock_done(&a->lock);
	free(a);
}
