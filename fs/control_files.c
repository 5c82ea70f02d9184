/* SPDX-License-Identifier: MIT */
#include "fs/control_files.h"

#include "store/base/lock.h"
#include "store/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATUS_NAME "status.json"
#define METRICS_NAME "metrics"
#define BUCKETS 64u

struct frozen {
	struct frozen *next;
	uint64_t node;
	uint64_t n_lookups;
	uint64_t ino;
	mode_t mode;
	int64_t time_ns;
	char *text;
	size_t n;
};

struct control_files {
	char *(*status_json)(void *context);
	char *(*metrics)(void *context);
	char *(*make_banner)(void *context);
	void *context;
	struct lock lock; /* all below */
	char *banner;     /* NULL: none */
	uint64_t counter;
	struct frozen *buckets[BUCKETS];
};

int control_files_new(struct view *v, char *(*status_json)(void *context), void *context,
		      struct control_files **ret_files)
{
	struct control_files *c;

	(void)v;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	lock_init(&c->lock, LOCK_RANK_LEAF);
	c->status_json = status_json;
	c->context = context;
	*ret_files = c;
	return 0;
}

void control_files_texts(struct control_files *c, char *(*metrics)(void *context),
			 char *(*banner)(void *context))
{
	c->metrics = metrics;
	c->make_banner = banner;
}

static void frozen_free(struct frozen *f)
{
	if (!f)
		return;
	free(f->text);
	free(f);
}

void control_files_free(struct control_files *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (c->buckets[i]) {
			struct frozen *f = c->buckets[i];

			c->buckets[i] = f->next;
			frozen_free(f);
		}
	}
	free(c->banner);
	lock_done(&c->lock);
	free(c);
}

static uint64_t folder_ino(const struct view *v)
{
	return view_ino_of_name(v, NODE_ROOT, ".yore", 5);
}

static uint64_t file_ino(const struct view *v, const char *name)
{
	return view_ino_of_name(v, folder_ino(v), name, strlen(name));
}

void control_files_folder(const struct view *v, struct node_info *ret_info)
{
	*ret_info = (struct node_info){
		.node = NODE_CONTROL,
		.entry_timeout = TIMEOUT_ENDLESS,
		.attr_timeout = TIMEOUT_ENDLESS,
	};
	view_stat_own(v, S_IFDIR | 0700, folder_ino(v), 0, view_changed_ns(v->shown),
		      &ret_info->st);
}

static struct frozen **find(struct control_files *c, uint64_t node)
{
	struct frozen **link = &c->buckets[node_number(node) % BUCKETS];

	while (*link && (*link)->node != node)
		link = &(*link)->next;
	return link;
}

static char *default_status(struct view *v)
{
	char *text = NULL;

	if (asprintf(&text, "{\"nodes\": %" PRIu64 "}\n", node_table_count(v->nodes)) < 0)
		return NULL;
	return text;
}

/* Each node has its own number too, or a reader could not tell an old text from a new one. */
static void describe(const struct view *v, const struct frozen *f, struct node_info *ret_info)
{
	*ret_info = (struct node_info){
		.node = f->node,
		.attr_timeout = TIMEOUT_ENDLESS,
	};
	view_stat_own(v, S_IFREG | f->mode, f->ino, f->n, f->time_ns, &ret_info->st);
}

/* Make a node of a text (taken). */
static int freeze(struct view *v, char *text, mode_t mode, uint64_t ino, struct node_info *ret_info)
{
	struct control_files *c = v->control;
	struct frozen *f = calloc(1, sizeof(*f)), **link;

	if (!f || !text) {
		free(text);
		free(f);
		return -ENOMEM;
	}
	*f = (struct frozen){ .text = text,
			      .n = strlen(text),
			      .n_lookups = 1,
			      .ino = ino,
			      .mode = mode,
			      .time_ns = clock_now_ns() };

	LOCK_SCOPE(&c->lock);
	f->node = node_of_control_file(++c->counter);
	link = find(c, f->node);
	f->next = *link;
	*link = f;
	describe(v, f, ret_info);
	return 0;
}

int control_files_lookup(struct view *v, const char *name, struct node_info *ret_info)
{
	struct control_files *c = v->control;
	char *text;

	/* Without the lock: the program may take its own ones. */
	if (strcmp(name, STATUS_NAME) == 0)
		text = c->status_json ? c->status_json(c->context) : default_status(v);
	else if (strcmp(name, METRICS_NAME) == 0 && c->metrics)
		text = c->metrics(c->context);
	else
		return -ENOENT;
	return freeze(v, text, 0400, file_ino(v, name), ret_info);
}

int control_files_stat(struct view *v, uint64_t node, struct node_info *ret_info)
{
	const struct frozen *f;
	LOCK_SCOPE(&v->control->lock);

	f = *find(v->control, node);
	if (!f)
		return -ESTALE;
	describe(v, f, ret_info);
	return 0;
}

void control_files_list(struct view *v, uint64_t cookie, struct dir_sink *sink)
{
	struct node_info info = { 0 };
	const struct {
		const char *name;
		mode_t mode;
		uint64_t ino;
	} entries[] = {
		{ ".", S_IFDIR, folder_ino(v) },
		{ "..", S_IFDIR, NODE_ROOT },
		{ STATUS_NAME, S_IFREG, file_ino(v, STATUS_NAME) },
		{ METRICS_NAME, S_IFREG, file_ino(v, METRICS_NAME) },
	};
	const uint64_t n = sizeof(entries) / sizeof(*entries) - !v->control->metrics;

	for (uint64_t i = cookie; i < n; i++) {
		if (!sink->fits(sink, entries[i].name))
			return;
		info.st.st_mode = entries[i].mode;
		info.st.st_ino = entries[i].ino;
		sink->add(sink, entries[i].name, &info, i + 1);
	}
}

int64_t control_files_read(struct view *v, uint64_t node, uint64_t offset, void *to, size_t n)
{
	const struct frozen *f;
	LOCK_SCOPE(&v->control->lock);

	f = *find(v->control, node);
	if (!f)
		return -ESTALE;
	if (offset >= f->n)
		return 0;
	if (n > f->n - offset)
		n = f->n - offset;
	memcpy(to, f->text + offset, n);
	return (int64_t)n;
}

/* Take it out of its bucket if the kernel has let go of it. */
static struct frozen *drop_lookups(struct control_files *c, uint64_t node, uint64_t n)
{
	struct frozen **link, *f;
	LOCK_SCOPE(&c->lock);

	link = find(c, node);
	f = *link;
	if (!f || n > f->n_lookups) {
		log_warning("mount: the kernel forgets a control file that it does not know");
		return NULL;
	}
	f->n_lookups -= n;
	if (f->n_lookups > 0)
		return NULL;
	*link = f->next;
	return f;
}

void control_files_forget(struct view *v, uint64_t node, uint64_t n)
{
	frozen_free(drop_lookups(v->control, node, n));
}

/* ---- the banner ---- */

bool control_files_refresh_banner(struct control_files *c)
{
	CLEANUP(free_ptr) char *text = c->make_banner ? c->make_banner(c->context) : NULL;
	char *old;
	bool changed;
	LOCK_SCOPE(&c->lock);

	old = c->banner;
	changed = !old != !text;
	c->banner = text;
	/* NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): freed at the end */
	text = old;
	return changed;
}

bool control_files_has_banner(struct control_files *c)
{
	LOCK_SCOPE(&c->lock);

	return c->banner;
}

/* A copy. Returns 0, -ENOENT or -ENOMEM. */
static int banner_text(struct control_files *c, char **ret_text)
{
	LOCK_SCOPE(&c->lock);

	if (!c->banner)
		return -ENOENT;
	*ret_text = strdup(c->banner);
	return *ret_text ? 0 : -ENOMEM;
}

int control_files_banner(struct view *v, struct node_info *ret_info)
{
	char *text = NULL;
	int r = banner_text(v->control, &text);

	/* Everybody may read it: it is about everybody's files. */
	return r < 0 ? r : freeze(v, text, 0444, control_files_banner_ino(v), ret_info);
}

uint64_t control_files_banner_ino(const struct view *v)
{
	return view_ino_of_name(v, NODE_ROOT, BANNER_NAME, strlen(BANNER_NAME));
}
