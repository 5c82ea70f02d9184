/* SPDX-License-Identifier: MIT */
#include "fs/view_hosts.h"

#include "fs/view_root.h"
#include "store/base/lock.h"
#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COOKIE_NUMBERS 16u

struct host_slot {
	struct view_host host;
	bool own_timeline;
	uint64_t named_version;             /* of the host, when its name was read; 0: never */
	char name[HOST_NAME_BYTES_MAX + 1]; /* "": it has no snapshots */
};

struct view_hosts {
	struct lock lock; /* everything below */
	struct host_slot **slots;
	uint32_t n;
};

/* A host as .hosts shows it. */
struct host_name {
	uint32_t number;
	char name[HOST_NAME_BYTES_MAX + 1];
};

static void slot_free(struct host_slot *slot)
{
	if (!slot)
		return;
	day_list_free(slot->host.days);
	if (slot->own_timeline)
		timeline_close(slot->host.timeline);
	free(slot);
}
CLEANUP_DEFINE(struct host_slot, slot_free)

void view_hosts_free(struct view_hosts *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->n; i++)
		slot_free(l->slots[i]);
	free(l->slots);
	lock_done(&l->lock);
	free(l);
}

/* Takes the timeline when it succeeds. */
static int slot_new(struct timeline *t, bool own, struct host_slot **ret_slot)
{
	CLEANUP(slot_free_ptr) struct host_slot *slot = calloc(1, sizeof(*slot));
	int r;

	if (!slot)
		return -ENOMEM;
	r = day_list_new(&slot->host.days);
	if (r < 0)
		return r;
	slot->host.id = *timeline_host(t);
	slot->host.timeline = t;
	slot->own_timeline = own;
	atomic_init(&slot->host.changed_ns, clock_now_ns());
	atomic_init(&slot->host.version, 1);
	atomic_init(&slot->host.state, view_timeline_state(t));
	*ret_slot = STEAL(slot);
	return 0;
}

static int append(struct view_hosts *l, struct host_slot *slot)
{
	struct host_slot **slots;

	if (l->n == HOSTS_MAX)
		return -ENFILE;
	slots = reallocarray(l->slots, l->n + 1, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	slot->host.number = l->n;
	l->slots = slots;
	l->slots[l->n++] = slot;
	return 0;
}

int view_hosts_new(struct timeline *shown, struct view_hosts **ret_hosts,
		   struct view_host **ret_shown)
{
	CLEANUP(view_hosts_free_ptr) struct view_hosts *l = calloc(1, sizeof(*l));
	CLEANUP(slot_free_ptr) struct host_slot *slot = NULL;
	int r;

	if (!l)
		return -ENOMEM;
	lock_init(&l->lock, LOCK_RANK_LEAF);
	r = slot_new(shown, false, &slot);
	if (r >= 0)
		r = append(l, slot);
	if (r < 0)
		return r;
	*ret_shown = &slot->host;
	slot = NULL;
	*ret_hosts = STEAL(l);
	return 0;
}

static struct host_slot *slot_at(struct view_hosts *l, uint32_t number)
{
	LOCK_SCOPE(&l->lock);

	return number < l->n ? l->slots[number] : NULL;
}

struct view_host *view_host(const struct view *v, uint32_t number)
{
	struct host_slot *slot;

	if (number == HOST_SHOWN)
		return v->shown;
	slot = slot_at(v->hosts, number);
	return slot ? &slot->host : NULL;
}

/* ---- who is there ---- */

static bool is_known(struct view_hosts *l, const struct host_id *id)
{
	LOCK_SCOPE(&l->lock);

	for (uint32_t i = 0; i < l->n; i++)
		if (memcmp(&l->slots[i]->host.id, id, sizeof(*id)) == 0)
			return true;
	return false;
}

/* Two may come to know a host at the same time: the first one's number counts. */
static int append_new(struct view_hosts *l, struct host_slot **slot)
{
	int r;
	LOCK_SCOPE(&l->lock);

	for (uint32_t i = 0; i < l->n; i++)
		if (memcmp(&l->slots[i]->host.id, &(*slot)->host.id, sizeof(struct host_id)) == 0)
			return 0;
	r = append(l, *slot);
	if (r == 0)
		*slot = NULL;
	return r;
}

/* store_each_host must not be kept waiting: only the ids. */
struct host_ids {
	struct host_id *ids;
	size_t n;
};

static void host_ids_done(struct host_ids *l)
{
	free(l->ids);
}

static int gather_id(void *context, const struct host_id *id)
{
	struct host_ids *l = context;
	struct host_id *ids = reallocarray(l->ids, l->n + 1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	l->ids = ids;
	l->ids[l->n++] = *id;
	return 0;
}

static int learn(struct view *v, const struct host_id *id)
{
	CLEANUP(slot_free_ptr) struct host_slot *slot = NULL;
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	int r;

	if (is_known(v->hosts, id))
		return 0;
	r = timeline_open(timeline_store(v->timeline), id, &t);
	if (r < 0)
		return log_errno(r, "mount: the snapshots of another host cannot be listed");
	r = slot_new(t, true, &slot);
	if (r < 0)
		return r;
	t = NULL;
	return append_new(v->hosts, &slot);
}

/* A name for a folder, from what the newest readable record says. */
static void read_name(struct timeline *t, const struct host_id *id,
		      char to[static HOST_NAME_BYTES_MAX + 1])
{
	CLEANUP(record_done) struct record record = { 0 };
	uint64_t n = 0, seq;
	int r = -ENOENT;

	to[0] = '\0';
	if (timeline_count(t, &n) < 0 || n == 0)
		return;
	for (; r < 0 && n > 0; n--)
		if (timeline_at(t, n - 1, &seq, NULL, NULL) == 0)
			r = timeline_read(t, seq, &record);
	if (r == 0)
		(void)snprintf(to, HOST_NAME_BYTES_MAX + 1, "%s", record.host_name);
	for (char *c = to; *c; c++)
		if (*c == '/')
			*c = '_';
	if (to[0] == '\0' || strcmp(to, ".") == 0 || strcmp(to, "..") == 0)
		(void)bytes_to_hex(id->bytes, HOST_ID_BYTES, to);
}

static void name_host(struct view_hosts *l, struct host_slot *slot)
{
	char name[HOST_NAME_BYTES_MAX + 1];
	uint64_t version;

	view_refresh(&slot->host);
	version = atomic_load(&slot->host.version);
	{
		LOCK_SCOPE(&l->lock);
		if (slot->named_version == version)
			return;
	}
	read_name(slot->host.timeline, &slot->host.id, name);
	LOCK_SCOPE(&l->lock);
	memcpy(slot->name, name, sizeof(name));
	slot->named_version = version;
}

static bool name_taken(const struct view_hosts *l, uint32_t but, const char *name)
{
	for (uint32_t i = 1; i < l->n; i++)
		if (i != but && strcmp(l->slots[i]->name, name) == 0)
			return true;
	return false;
}

/* A copy of the list, names unique. */
static int copy_names(struct view_hosts *l, struct host_name **ret_names, uint32_t *ret_n)
{
	struct host_name *names;
	uint32_t n = 0;
	LOCK_SCOPE(&l->lock);

	names = calloc(l->n, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (uint32_t i = 1; i < l->n; i++) {
		const struct host_slot *slot = l->slots[i];
		struct host_name *to = &names[n];
		char hex[2 * HOST_ID_BYTES + 1];

		if (slot->name[0] == '\0')
			continue;
		n++;
		to->number = i;
		(void)bytes_to_hex(slot->host.id.bytes, HOST_ID_BYTES, hex);
		if (name_taken(l, i, slot->name))
			(void)snprintf(to->name, sizeof(to->name), "%.240s-%.8s", slot->name, hex);
		else
			memcpy(to->name, slot->name, sizeof(to->name));
	}
	*ret_names = names;
	*ret_n = n;
	return 0;
}

static int list_hosts(struct view *v, struct host_name **ret_names, uint32_t *ret_n)
{
	CLEANUP(host_ids_done) struct host_ids ids = { 0 };
	struct host_slot *slot;
	int r;

	r = store_each_host(timeline_store(v->timeline), gather_id, &ids);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ids.n; i++)
		(void)learn(v, &ids.ids[i]); /* one that cannot be listed hides no other */
	for (uint32_t i = 1; (slot = slot_at(v->hosts, i)); i++)
		name_host(v->hosts, slot);
	return copy_names(v->hosts, ret_names, ret_n);
}

/* ---- the folder ---- */

uint64_t view_hosts_ino(const struct view *v)
{
	return view_ino_of_name(v, NODE_ROOT, ".hosts", 6);
}

void view_hosts_stat(const struct view *v, struct node_info *ret_info)
{
	*ret_info = (struct node_info){
		.node = NODE_HOSTS,
		.entry_timeout = TIMEOUT_ENDLESS,
		.attr_timeout = TIMEOUT_MOMENT,
	};
	view_stat_own(v, S_IFDIR | 0755, view_hosts_ino(v), 0, view_changed_ns(v->shown),
		      &ret_info->st);
}

int view_hosts_lookup(struct view *v, const char *name, struct node_info *ret_info)
{
	CLEANUP(free_ptr) struct host_name *names = NULL;
	uint32_t n;
	int r = list_hosts(v, &names, &n);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(names[i].name, name) != 0)
			continue;
		view_root_stat(v, node_of_folder(names[i].number, FOLDER_ROOT), ret_info);
		ret_info->entry_timeout = TIMEOUT_MOMENT;
		return 0;
	}
	return -ENOENT;
}

int view_hosts_list(struct view *v, uint64_t cookie, struct dir_sink *sink)
{
	static const char *const dots[] = { ".", ".." };
	CLEANUP(free_ptr) struct host_name *names = NULL;
	struct node_info info = { .st = { .st_mode = S_IFDIR } };
	uint32_t n;
	int r = list_hosts(v, &names, &n);

	if (r < 0)
		return r;
	for (uint64_t i = cookie; i < 2; i++) {
		if (!sink->fits(sink, dots[i]))
			return 0;
		info.st.st_ino = i == 0 ? view_hosts_ino(v) : NODE_ROOT;
		sink->add(sink, dots[i], &info, i + 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t at = (uint64_t)names[i].number + COOKIE_NUMBERS;

		if (at <= cookie)
			continue;
		if (!sink->fits(sink, names[i].name))
			return 0;
		info.st.st_ino = view_root_ino(v, view_host(v, names[i].number), FOLDER_ROOT);
		sink->add(sink, names[i].name, &info, at);
	}
	return 0;
}
