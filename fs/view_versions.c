/* SPDX-License-Identifier: MIT */
/*
 * .versions: at the path of what was a file a folder with its versions, named
 * by the first snapshot that has each, with the file's ending; at that of what
 * was a directory one with all names that ever were in it. At that of what was
 * both, both.
 */
#include "fs/trail_pool.h"
#include "fs/view_hosts.h"
#include "fs/view_spots.h"

#include <errno.h>
#include <string.h>

#define COOKIE_VERSIONS 16u /* then sequences */
#define ENDING_BYTES_MAX 32u

/* ".odt" of "/a/report.odt", ".tar.gz" of "x.tar.gz", "" of ".profile". Points into the path. */
static const char *ending_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.'), *end = name + strlen(name);

	if (!dot || dot == name || !dot[1] || end - dot > (int)ENDING_BYTES_MAX)
		return end;
	if (dot - name > 4 && memcmp(dot - 4, ".tar", 4) == 0)
		return dot - 4;
	return dot;
}

/* May the names be shown that the path held while it was a directory? */
static bool names_allowed(struct view *v, const struct view_host *h, const struct spot *spot)
{
	struct spot_found found;
	const char *slash = strrchr(spot->path, '/');
	CLEANUP(free_ptr) char *folder = NULL;

	if (!spot->of_parent || !v->allow_other)
		return true;
	/*
	 * It last was a file, and the folder of its versions has the rights of
	 * the folder around: the kernel asks for no others. So what it held as
	 * a directory shows only if that was for everybody.
	 */
	folder = strndup(spot->path, (size_t)(slash - spot->path));
	if (!folder || spot_resolve(v, h, folder, slash + 1, true, &found) < 0)
		return false;
	return (found.st.st_mode & 05) == 05;
}

static int lookup_version(struct view *v, const struct view_host *h, const struct spot *parent,
			  const char *name, struct node_info *ret_info)
{
	CLEANUP(trail_release) struct trail_lease trail = { 0 };
	const char *ending = ending_of(parent->path);
	const size_t n = strlen(name), ending_n = strlen(ending);
	char text[SNAPSHOT_NAME_BYTES];
	const struct version *runs;
	struct snapshot_info info;
	size_t n_runs;
	int r;

	if (n < 1 + ending_n || strcmp(name + n - ending_n, ending) != 0 ||
	    n - 1 - ending_n >= sizeof(text))
		return -ENOENT;
	memcpy(text, name + 1, n - 1 - ending_n);
	text[n - 1 - ending_n] = '\0';
	r = timeline_named(h->timeline, text, &info);
	if (r >= 0)
		r = trail_take(v, h, parent->path, &trail);
	if (r < 0)
		return r;
	runs = versions_all(trail.versions, &n_runs);
	for (size_t i = 0; i < n_runs; i++)
		if (runs[i].first_seq == info.seq && runs[i].mode != 0 && !S_ISDIR(runs[i].mode))
			return spot_enter_file(v, h, info.seq, parent->path, NULL, ret_info);
	return -ENOENT;
}

int view_versions_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
			 const char *name, struct node_info *ret_info)
{
	int r;

	if (name[0] == '@') {
		r = lookup_version(v, h, parent, name, ret_info);
		if (r != -ENOENT)
			return r;
	}
	if (!names_allowed(v, h, parent))
		return -ENOENT;
	return spot_enter_described(v, h, parent, name, ret_info);
}

int view_versions_list(struct view *v, const struct view_host *h, const struct spot *spot,
		       uint64_t *cookie, struct dir_sink *sink)
{
	CLEANUP(trail_release) struct trail_lease trail = { 0 };
	const char *ending = ending_of(spot->path);
	char name[1 + SNAPSHOT_NAME_BYTES + ENDING_BYTES_MAX + 8] = "@";
	struct node_info info = { 0 };
	const struct version *runs;
	struct snapshot_info first;
	size_t n_runs;
	int r;

	r = trail_take(v, h, spot->path, &trail);
	if (r < 0)
		return r;
	runs = versions_all(trail.versions, &n_runs);
	for (size_t i = 0; i < n_runs; i++) {
		const uint64_t at = runs[i].first_seq + COOKIE_VERSIONS;
		const struct tree_entry entry = {
			.ino = runs[i].ino,
			.file_system = runs[i].file_system,
			.name = "",
		};

		if (at <= *cookie || runs[i].mode == 0 || S_ISDIR(runs[i].mode) ||
		    timeline_get(h->timeline, runs[i].first_seq, &first) < 0)
			continue;
		(void)stpcpy(stpcpy(name + 1, first.name), ending);
		if (!sink->fits(sink, name))
			return 0;
		info.st.st_mode = runs[i].mode & S_IFMT;
		info.st.st_ino = view_ino(v, snapshot_key(h->number, runs[i].first_seq), 0, &entry);
		sink->add(sink, name, &info, at);
		*cookie = at;
	}
	return 1;
}

/* ---- all names ---- */

struct fill {
	struct view *v;
	const struct spot *spot;
	struct name_batch *batch;
};

static int add_name(void *context, const char *name, uint32_t n)
{
	struct fill *f = context;
	const uint64_t cookie = name_cookie(f->v, name, n);

	if (!name_batch_wants(f->batch, cookie))
		return 0;
	return name_batch_add(f->batch, cookie, name, n, S_IFDIR,
			      view_ino_of_name(f->v, f->spot->ino, name, n));
}

int view_versions_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		       struct name_batch *batch)
{
	CLEANUP(trail_release) struct trail_lease trail = { 0 };
	struct fill f = { .v = v, .spot = spot, .batch = batch };
	int r;

	if (!names_allowed(v, h, spot))
		return 0;
	r = trail_take(v, h, spot->path, &trail);
	return r < 0 ? r : versions_each_name(trail.versions, add_name, &f);
}
