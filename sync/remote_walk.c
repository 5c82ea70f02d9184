/* SPDX-License-Identifier: MIT */
#include "sync/remote_walk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16 /* of folders; ours lie three deep */

/* Where a name lies, and what it is. */
struct spot {
	size_t name;
	struct remote_stat stat;
};

static const struct spot *spots_of(const struct remote_entries *e)
{
	return (const struct spot *)e->spots.data;
}

/* Dots are in no name of ours; but servers add ".NUMBER" to what they could not finish in tmp/. */
static bool part_valid(const char *name)
{
	const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.");

	return n > 0 && n <= REMOTE_NAME_BYTES_MAX && name[n] == '\0' && name[0] != '.';
}

int remote_entries_add(struct remote_entries *e, const char *name, bool is_folder,
		       const struct remote_stat *stat)
{
	const struct spot spot = { .name = e->names.n, .stat = *stat };

	if (!part_valid(name))
		return 0;
	byte_buf_append(&e->names, name, strlen(name));
	if (is_folder)
		byte_buf_append(&e->names, "/", 1);
	byte_buf_u8(&e->names, 0);
	byte_buf_append(&e->spots, &spot, sizeof(spot));
	return e->names.failed || e->spots.failed ? -ENOMEM : 0;
}

size_t remote_entries_n(const struct remote_entries *e)
{
	return e->spots.n / sizeof(struct spot);
}

const char *remote_entries_name(const struct remote_entries *e, size_t i)
{
	assert(i < remote_entries_n(e));
	return (const char *)e->names.data + spots_of(e)[i].name;
}

const struct remote_stat *remote_entries_stat(const struct remote_entries *e, size_t i)
{
	assert(i < remote_entries_n(e));
	return &spots_of(e)[i].stat;
}

void remote_entries_done(struct remote_entries *e)
{
	byte_buf_done(&e->names);
	byte_buf_done(&e->spots);
}

static int compare_spots(const void *a, const void *b, void *names)
{
	return strcmp((const char *)names + ((const struct spot *)a)->name,
		      (const char *)names + ((const struct spot *)b)->name);
}

static void sort(struct remote_entries *e)
{
	const size_t n = remote_entries_n(e);

	if (n > 1)
		qsort_r(e->spots.data, n, sizeof(struct spot), compare_spots, e->names.data);
}

static int walk_folder(const struct remote_walk *w, const char *folder, unsigned int depth);

/* One entry of `folder`: an object to be visited, a folder to go into, or not of the prefix. */
static int walk_entry(const struct remote_walk *w, const char *folder, const char *entry,
		      const struct remote_stat *stat, unsigned int depth)
{
	const size_t prefix_n = strlen(w->prefix);
	char name[REMOTE_NAME_BYTES_MAX + 2]; /* a slash more */
	int n;

	n = snprintf(name, sizeof(name), "%s%s", folder, entry);
	if (n < 0 || (size_t)n >= sizeof(name) || strchr(entry, '.'))
		return 0; /* no name of ours */
	if (strncmp(name, w->prefix, prefix_n < (size_t)n ? prefix_n : (size_t)n) != 0)
		return 0;
	if (name[n - 1] != '/')
		return (size_t)n < prefix_n ? 0 : w->visit(w->visit_context, name, stat);
	if (depth == DEPTH_MAX || strcmp(name, REMOTE_TMP "/") == 0)
		return 0;
	return walk_folder(w, name, depth + 1);
}

/* `folder`: "" or with a slash at its end. */
static int walk_folder(const struct remote_walk *w, const char *folder, unsigned int depth)
{
	CLEANUP(remote_entries_done_ptr) struct remote_entries entries = { 0 };
	char path[REMOTE_NAME_BYTES_MAX + 2];
	const size_t n = strlen(folder);
	int r;

	if (w->cancel && *w->cancel)
		return -ECANCELED;
	memcpy(path, folder, n + 1);
	if (n > 0)
		path[n - 1] = '\0';
	r = w->read(w->read_context, path, &entries);
	if (r == -ENOENT)
		return 0; /* none yet, or just removed */
	if (r < 0)
		return r;
	sort(&entries);
	for (size_t i = 0; i < remote_entries_n(&entries); i++) {
		r = walk_entry(w, folder, remote_entries_name(&entries, i),
			       remote_entries_stat(&entries, i), depth);
		if (r != 0)
			return r;
	}
	return 0;
}

int remote_walk_run(const struct remote_walk *w)
{
	char folder[REMOTE_NAME_BYTES_MAX + 2];
	const char *slash = strrchr(w->prefix, '/');
	const size_t n = slash ? (size_t)(slash - w->prefix) + 1 : 0;

	assert(n <= REMOTE_NAME_BYTES_MAX);
	memcpy(folder, w->prefix, n);
	folder[n] = '\0';
	if (strncmp(folder, REMOTE_TMP "/", sizeof(REMOTE_TMP)) == 0)
		return 0;
	return walk_folder(w, folder, 0);
}

/* Times come from outside: no arithmetic that could overflow. */
static bool given_up(int64_t mtime_ns, int64_t now_ns)
{
	return mtime_ns > 0 && mtime_ns < now_ns &&
	       now_ns - mtime_ns > REMOTE_TMP_SECONDS_MAX * 1000000000;
}

int remote_walk_sweep(remote_folder_reader *read, remote_remover *remove, void *context,
		      int64_t now_ns)
{
	CLEANUP(remote_entries_done_ptr) struct remote_entries entries = { 0 };
	int r;

	r = read(context, REMOTE_TMP, &entries);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < remote_entries_n(&entries); i++) {
		const char *entry = remote_entries_name(&entries, i);
		char name[REMOTE_NAME_BYTES_MAX + 8];

		if (strchr(entry, '/') ||
		    !given_up(remote_entries_stat(&entries, i)->mtime_ns, now_ns))
			continue;
		(void)snprintf(name, sizeof(name), REMOTE_TMP "/%s", entry);
		remove(context, name);
	}
	return 0;
}
