/* SPDX-License-Identifier: MIT */
#include "fs/view_root.h"

#include "fs/control_files.h"
#include "fs/view_hosts.h"
#include "fs/view_spots.h"
#include "snapshots/moment.h"
#include "store/base/lock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Cookies: 1 after ".", 2 after "..", 3 after `latest`, 4 after the banner; then day or sequence +
 * this. */
#define COOKIE_NAMES 16u
/* The last number there is, and not 65534, which belongs to the user nobody. */
#define GID_OF_NOBODY ((gid_t)-2)

/* ---- the listed days ---- */

struct day_list {
	struct lock lock; /* everything below */
	bool known;
	uint32_t *days;
	size_t n;
	uint64_t version; /* counts the times that it was forgotten */
};

int day_list_new(struct day_list **ret_list)
{
	struct day_list *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	lock_init(&l->lock, LOCK_RANK_LEAF);
	*ret_list = l;
	return 0;
}

void day_list_free(struct day_list *l)
{
	if (!l)
		return;
	lock_done(&l->lock);
	free(l->days);
	free(l);
}

void day_list_forget(struct day_list *l)
{
	LOCK_SCOPE(&l->lock);

	l->known = false;
	l->version++;
}

char *view_root_day_name(uint32_t day, char to[static DAY_NAME_BYTES])
{
	(void)snprintf(to, DAY_NAME_BYTES, "@%04u-%02u-%02u", day / 10000 % 10000, day / 100 % 100,
		       day % 100);
	return to;
}

static uint32_t day_number(int64_t time_ns)
{
	unsigned int year, month, day;
	char text[16];

	moment_day(time_ns, text);
	if (sscanf(text, "%4u-%2u-%2u", &year, &month, &day) != 3)
		return 0;
	return year * 10000 + month * 100 + day;
}

static int compare_days(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Go through all snapshots; asks for local time once a day of them, not once each. */
static int gather_days(struct view_host *h, uint32_t **ret_days, size_t *ret_n)
{
	CLEANUP(free_ptr) uint32_t *days = NULL;
	int64_t begin = 0, end = -1, time_ns;
	uint64_t count, seq;
	uint32_t suffix;
	size_t n = 0, kept = 0;
	int r;

	r = timeline_count(h->timeline, &count);
	if (r < 0)
		return r;
	days = calloc(count + 1, sizeof(*days));
	if (!days)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		r = timeline_at(h->timeline, i, &seq, &time_ns, &suffix);
		if (r == -ENOENT)
			break; /* forgotten meanwhile */
		if (r < 0)
			return r;
		if (time_ns >= begin && time_ns <= end)
			continue;
		moment_day_range(time_ns, &begin, &end);
		days[n++] = day_number(time_ns);
	}
	qsort(days, n, sizeof(*days), compare_days);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || days[i] != days[kept - 1])
			days[kept++] = days[i];
	*ret_days = STEAL(days);
	*ret_n = kept;
	return 0;
}

static uint64_t day_list_version(struct day_list *l)
{
	LOCK_SCOPE(&l->lock);

	return l->version;
}

/* Keep what was gathered, unless it was forgotten since. Takes `days`. */
static void day_list_keep(struct day_list *l, uint32_t *days, size_t n, uint64_t version)
{
	CLEANUP(free_ptr) uint32_t *old = days;
	LOCK_SCOPE(&l->lock);

	if (l->version != version)
		return;
	/* NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): freed at the end */
	old = l->days;
	l->days = days;
	l->n = n;
	l->known = true;
}

/* Returns 1 and a copy, 0 when not known, -ENOMEM. */
static int day_list_copy(struct day_list *l, uint32_t **ret_days, size_t *ret_n)
{
	uint32_t *copy;
	LOCK_SCOPE(&l->lock);

	if (!l->known)
		return 0;
	copy = calloc(l->n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, l->days, l->n * sizeof(*copy));
	*ret_days = copy;
	*ret_n = l->n;
	return 1;
}

int view_root_days(struct view_host *h, uint32_t **ret_days, size_t *ret_n)
{
	uint64_t version = day_list_version(h->days);
	uint32_t *days, *copy;
	size_t n;
	int r;

	r = day_list_copy(h->days, ret_days, ret_n);
	if (r != 0)
		return r < 0 ? r : 0;
	r = gather_days(h, &days, &n);
	if (r < 0)
		return r;
	copy = calloc(n + 1, sizeof(*copy));
	if (copy) {
		memcpy(copy, days, n * sizeof(*copy));
		day_list_keep(h->days, copy, n, version);
	}
	*ret_days = days;
	*ret_n = n;
	return 0;
}

/* ---- attributes ---- */

uint64_t view_root_ino(const struct view *v, const struct view_host *h, enum host_folder folder)
{
	static const char *const names[] = {
		[FOLDER_SNAPSHOTS] = ".snapshots",
		[FOLDER_VERSIONS] = ".versions",
		[FOLDER_DELETED] = ".deleted",
		[FOLDER_DIFF] = ".diff",
	};
	uint64_t root = NODE_ROOT;

	assert(folder < FOLDER_NONE);
	if (h->number != HOST_SHOWN)
		root = view_ino_of_name(v, NODE_HOSTS, (const char *)h->id.bytes, HOST_ID_BYTES);
	if (folder == FOLDER_ROOT)
		return root;
	return view_ino_of_name(v, root, names[folder], strlen(names[folder]));
}

/*
 * The kernel makes the root's inode before it knows that ACLs are wanted, and
 * never keeps that one's ACL: each path that somebody else than its owner walks
 * through the root would ask for it (measured: two requests for each file of an
 * `ls -lR`). It does not ask where the group has no rights. So the group has
 * none, and is one that nobody is in: then the rights of all others count.
 */
static void spare_acl_requests(const struct view *v, struct stat *st)
{
	if (!v->allow_other)
		return;
	st->st_mode = S_IFDIR | 0705;
	st->st_gid = GID_OF_NOBODY;
}

void view_root_stat(const struct view *v, uint64_t node, struct node_info *ret_info)
{
	struct view_host *h = view_host(v, node_host(node));

	*ret_info = (struct node_info){
		.node = node,
		.entry_timeout = TIMEOUT_ENDLESS,
		.attr_timeout = TIMEOUT_ENDLESS,
	};
	view_stat_own(v, S_IFDIR | 0755, view_root_ino(v, h, node_folder(node)), 0,
		      view_changed_ns(h), &ret_info->st);
	if (node == NODE_ROOT)
		spare_acl_requests(v, &ret_info->st);
}

static uint64_t latest_ino(const struct view *v, const struct view_host *h)
{
	return view_ino_of_name(v, view_root_ino(v, h, FOLDER_ROOT), "latest", 6);
}

static void describe_latest(const struct view *v, const struct view_host *h,
			    const struct snapshot_info *snapshot, struct node_info *ret_info)
{
	*ret_info = (struct node_info){
		.node = node_of_latest(snapshot_key(h->number, snapshot->seq)),
		.entry_timeout = TIMEOUT_MOMENT,
		.attr_timeout = TIMEOUT_ENDLESS,
	};
	view_stat_own(v, S_IFLNK | 0777, latest_ino(v, h), 1 + strlen(snapshot->name),
		      snapshot->time_ns, &ret_info->st);
}

int view_root_latest_stat(struct view *v, uint64_t node, struct node_info *ret_info)
{
	const struct view_host *h = view_host(v, key_host(node_number(node)));
	struct snapshot_info info;
	int r;

	if (!h)
		return -ESTALE;
	r = timeline_get(h->timeline, key_seq(node_number(node)), &info);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	describe_latest(v, h, &info, ret_info);
	return 0;
}

int view_root_latest(struct view *v, uint64_t node, char to[static LATEST_TARGET_BYTES])
{
	const struct view_host *h = view_host(v, key_host(node_number(node)));
	struct snapshot_info info;
	int r;

	if (!h)
		return -ESTALE;
	r = timeline_get(h->timeline, key_seq(node_number(node)), &info);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	to[0] = '@';
	memcpy(to + 1, info.name, sizeof(info.name));
	to[SNAPSHOT_NAME_BYTES] = 0;
	return 0;
}

/* ---- look-up ---- */

/* The snapshot, opened if no node of it exists yet. */
int view_root_open(struct view *v, const struct view_host *h, uint64_t seq,
		   struct open_snapshot **ret_snapshot)
{
	*ret_snapshot = node_table_snapshot(v->nodes, snapshot_key(h->number, seq));
	return *ret_snapshot ? 0 : open_snapshot_new(h->timeline, h->number, seq, ret_snapshot);
}

int view_root_enter(struct view *v, const struct view_host *h, uint64_t seq, const char *alias,
		    struct node_info *ret_info)
{
	CLEANUP(open_snapshot_unref_ptr) struct open_snapshot *snapshot = NULL;
	struct entry_decoder decoder = { 0 };
	struct node_handle handle;
	struct tree_entry root;
	uint64_t ino;
	int r;

	r = view_root_open(v, h, seq, &snapshot);
	if (r < 0)
		return r;
	r = open_snapshot_root(snapshot, &decoder, &root);
	if (r >= 0) {
		ino = view_ino(v, snapshot_key(h->number, seq), NODE_ROOT, &root);
		view_stat(v, &root, ino, &ret_info->st);
		r = node_table_enter_root(v->nodes, alias, snapshot, &root.tree, ino, &handle);
	}
	entry_decoder_done(&decoder);
	if (r < 0)
		return r;
	ret_info->node = handle.node;
	ret_info->generation = handle.generation;
	ret_info->attr_timeout = TIMEOUT_ENDLESS;
	return 0;
}

/* What a name after '@' means: exact names first, they never change. */
int view_root_resolve(const struct view_host *h, const char *name, bool exact_only,
		      uint64_t *ret_seq, bool *ret_exact)
{
	struct snapshot_info info;
	int r;

	r = timeline_named(h->timeline, name + 1, &info);
	*ret_exact = r >= 0;
	if ((r == -ENOENT || r == -EINVAL) && !exact_only)
		r = moment_resolve(h->timeline, name, clock_now_ns(), &info);
	if (r == -EINVAL || r == -ENOTUNIQ)
		return -ENOENT;
	if (r >= 0)
		*ret_seq = info.seq;
	return r;
}

static int lookup_moment(struct view *v, const struct view_host *h, uint64_t parent,
			 const char *name, struct node_info *ret_info)
{
	bool canonical = node_folder(parent) == FOLDER_SNAPSHOTS;
	bool exact;
	uint64_t seq;
	int r;

	if (name[0] != '@' || strlen(name) > NAME_BYTES_MAX)
		return -ENOENT;
	r = view_root_resolve(h, name, canonical, &seq, &exact);
	if (r < 0)
		return r;
	*ret_info = (struct node_info){
		.entry_timeout = exact ? TIMEOUT_ENDLESS : TIMEOUT_MOMENT,
	};
	return view_root_enter(v, h, seq, canonical ? NULL : name, ret_info);
}

/* The folders that are not listed. */
static int lookup_folder(struct view *v, const struct view_host *h, const char *name,
			 struct node_info *ret_info)
{
	static const struct {
		const char *name;
		enum host_folder folder;
	} folders[] = {
		{ ".versions", FOLDER_VERSIONS },
		{ ".deleted", FOLDER_DELETED },
		{ ".diff", FOLDER_DIFF },
	};

	if (strcmp(name, ".snapshots") == 0) {
		view_root_stat(v, node_of_folder(h->number, FOLDER_SNAPSHOTS), ret_info);
		return 0;
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (strcmp(name, folders[i].name) == 0)
			return view_spot_stat(v, node_of_folder(h->number, folders[i].folder),
					      ret_info);
	if (h->number != HOST_SHOWN)
		return -ENOENT;
	if (strcmp(name, ".yore") == 0) {
		control_files_folder(v, ret_info);
		return 0;
	}
	if (strcmp(name, BANNER_NAME) == 0)
		return control_files_banner(v, ret_info);
	if (strcmp(name, ".hosts") == 0) {
		view_hosts_stat(v, ret_info);
		return 0;
	}
	return -ENOENT;
}

int view_root_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info)
{
	struct view_host *h = view_host(v, node_host(parent));
	struct snapshot_info latest;
	int r;

	if (!h)
		return -ESTALE;
	view_refresh(h);
	if (node_folder(parent) == FOLDER_SNAPSHOTS || name[0] == '@')
		return lookup_moment(v, h, parent, name, ret_info);
	if (strcmp(name, "latest") != 0)
		return lookup_folder(v, h, name, ret_info);
	r = timeline_latest(h->timeline, &latest);
	if (r >= 0)
		describe_latest(v, h, &latest, ret_info);
	return r;
}

/* ---- listing ---- */

static bool add_name(struct dir_sink *sink, const char *name, mode_t type, uint64_t ino,
		     uint64_t cookie)
{
	struct node_info info = { .st = { .st_mode = type, .st_ino = ino } };

	if (!sink->fits(sink, name))
		return false;
	sink->add(sink, name, &info, cookie);
	return true;
}

static bool add_folder(const struct view *v, struct dir_sink *sink, uint64_t parent_ino,
		       const char *name, uint64_t cookie)
{
	uint64_t ino = view_ino_of_name(v, parent_ino, name, strlen(name));

	return add_name(sink, name, S_IFDIR, ino, cookie);
}

static int list_days(struct view *v, struct view_host *h, uint64_t cookie, struct dir_sink *sink)
{
	const uint64_t ino = view_root_ino(v, h, FOLDER_ROOT);
	CLEANUP(free_ptr) uint32_t *days = NULL;
	char name[DAY_NAME_BYTES];
	size_t n;
	int r;

	r = view_root_days(h, &days, &n);
	if (r < 0)
		return r;
	if (cookie <= 2 && n > 0 && !add_name(sink, "latest", S_IFLNK, latest_ino(v, h), 3))
		return 0;
	if (cookie <= 3 && h->number == HOST_SHOWN && control_files_has_banner(v->control) &&
	    !add_name(sink, BANNER_NAME, S_IFREG, control_files_banner_ino(v), 4))
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t next = (uint64_t)days[i] + COOKIE_NAMES;

		if (next <= cookie)
			continue;
		if (!add_folder(v, sink, ino, view_root_day_name(days[i], name), next))
			return 0;
	}
	return 0;
}

/* First i whose sequence is above `seq`. */
static int first_above(const struct view_host *h, uint64_t seq, uint64_t *ret_i)
{
	uint64_t low = 0, high, at;
	uint32_t suffix;
	int64_t time_ns;
	int r;

	r = timeline_count(h->timeline, &high);
	if (r < 0)
		return r;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		r = timeline_at(h->timeline, middle, &at, &time_ns, &suffix);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == -ENOENT || at > seq)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_i = low;
	return 0;
}

static int list_snapshots(struct view *v, const struct view_host *h, uint64_t cookie,
			  struct dir_sink *sink)
{
	uint64_t ino = view_root_ino(v, h, FOLDER_SNAPSHOTS), i = 0, seq;
	char name[1 + SNAPSHOT_NAME_BYTES] = "@";
	uint32_t suffix;
	int64_t time_ns;
	int r;

	r = first_above(h, cookie > COOKIE_NAMES ? cookie - COOKIE_NAMES : 0, &i);
	while (r >= 0) {
		r = timeline_at(h->timeline, i++, &seq, &time_ns, &suffix);
		if (r < 0)
			break;
		snapshot_name(time_ns, suffix, name + 1);
		if (!add_folder(v, sink, ino, name, seq + COOKIE_NAMES))
			return 0;
	}
	return r == -ENOENT ? 0 : r;
}

int view_root_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink)
{
	struct view_host *h = view_host(v, node_host(node));
	const bool root = node_folder(node) == FOLDER_ROOT;
	uint64_t above = NODE_ROOT;

	if (!h)
		return -ESTALE;
	if (h->number != HOST_SHOWN)
		above = root ? view_hosts_ino(v) : view_root_ino(v, h, FOLDER_ROOT);
	if (cookie == 0)
		view_refresh(h);
	if (cookie < 1 && !add_name(sink, ".", S_IFDIR, view_root_ino(v, h, node_folder(node)), 1))
		return 0;
	if (cookie < 2 && !add_name(sink, "..", S_IFDIR, above, 2))
		return 0;
	return root ? list_days(v, h, cookie, sink) : list_snapshots(v, h, cookie, sink);
}
