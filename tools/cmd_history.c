/* SPDX-License-Identifier: MIT */
#include "snapshots/diff.h"
#include "snapshots/versions.h"
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct option longs[] = { { 0 } };

/* What a folder's version brought, against the one before it. */
struct counts {
	uint64_t added, removed, modified;
};

struct history {
	struct session *session;
	const char *path; /* absolute, plain */
	struct tree_reader *reader;
	uint64_t newest; /* sequence of the newest snapshot */
	bool json;
	struct json_list list;
	/* the newest version that was there */
	char last_name[SNAPSHOT_NAME_BYTES];
	bool has_last;
};

/* One version, ready to be shown. */
struct line {
	const char *change;
	const struct version *run;
	struct snapshot_info first, last;
	const struct tree_entry *entry; /* NULL: it was not there */
	struct counts counts;           /* of a folder */
};

/* ---- what changed ---- */

static const char *change_of(const struct version *before, const struct version *run)
{
	if (run->mode == 0)
		return "deleted";
	if (!before || before->mode == 0)
		return "added";
	return (before->mode & S_IFMT) == (run->mode & S_IFMT) ? "modified" : "replaced";
}

static int count_change(void *context, enum diff_change change, const char *path,
			const struct tree_entry *before, const struct tree_entry *after)
{
	struct counts *c = context;

	(void)before;
	if (cmd_cancelled)
		return -ECANCELED;
	if (path[0] == '\0' || (change == DIFF_METADATA && S_ISDIR(after->mode)))
		return 0;
	if (change == DIFF_ADDED)
		c->added++;
	else if (change == DIFF_REMOVED)
		c->removed++;
	else
		c->modified++;
	return 0;
}

static int count_changes(struct history *h, const struct version *before, const struct version *run,
			 struct counts *ret_counts)
{
	struct tree_entry old = { .mode = S_IFDIR | 0755, .name = "" }, new = old;

	*ret_counts = (struct counts){ 0 };
	if (before && S_ISDIR(before->mode))
		old.tree = before->id;
	new.tree = run->id;
	return diff_trees(h->session->cache, &old, &new, count_change, ret_counts);
}

/* ---- showing ---- */

static int print_json(struct history *h, const struct line *l)
{
	char name[SNAPSHOT_NAME_BYTES + 1];
	json_t *o =
		l->entry ? describe_entry_json(h->path, strlen(h->path), l->entry) : json_object();

	if (!o)
		return -ENOMEM;
	if (!l->entry)
		(void)output_json_name(o, "path", h->path, strlen(h->path));
	(void)json_object_set_new(o, "change", json_string(l->change));
	(void)snprintf(name, sizeof(name), "@%s", l->first.name);
	(void)json_object_set_new(o, "first", json_string(name));
	(void)snprintf(name, sizeof(name), "@%s", l->last.name);
	(void)json_object_set_new(o, "last", json_string(name));
	(void)json_object_set_new(o, "first_seq", json_integer((json_int_t)l->run->first_seq));
	(void)json_object_set_new(o, "last_seq", json_integer((json_int_t)l->run->last_seq));
	(void)json_object_set_new(o, "current", json_boolean(l->run->last_seq == h->newest));
	if (l->entry && S_ISDIR(l->entry->mode)) {
		(void)json_object_set_new(o, "added", json_integer((json_int_t)l->counts.added));
		(void)json_object_set_new(o, "removed",
					  json_integer((json_int_t)l->counts.removed));
		(void)json_object_set_new(o, "modified",
					  json_integer((json_int_t)l->counts.modified));
	}
	return json_list_add(&h->list, o);
}

static void print_line(const struct history *h, const struct line *l)
{
	char size[OUTPUT_SIZE_BYTES], time[OUTPUT_TIME_BYTES], counts[80];

	(void)printf("@%-22s  %-8s  ", l->first.name, l->change);
	if (!l->entry) {
		(void)printf("%9s  %-24s  ", "", "");
	} else if (S_ISDIR(l->entry->mode)) {
		(void)snprintf(counts, sizeof(counts), "+%" PRIu64 " -%" PRIu64 " ~%" PRIu64,
			       l->counts.added, l->counts.removed, l->counts.modified);
		(void)printf("%9s  %-24s  ", "folder", counts);
	} else {
		(void)printf("%9s  %-24s  ",
			     S_ISREG(l->entry->mode) ? output_size(l->entry->size, size)
						     : describe_type(l->entry->mode),
			     output_time(l->entry->mtime.seconds * 1000000000, time));
	}
	if (l->run->last_seq == h->newest)
		(void)puts("until now");
	else if (l->run->first_seq == l->run->last_seq)
		(void)puts("in that snapshot alone");
	else
		(void)printf("until @%s\n", l->last.name);
}

/* The entry in the first snapshot of its run. The root has none that a path leads to. */
static int entry_of(struct history *h, const struct line *l, struct tree_entry *ret_entry)
{
	int r = tree_reader_walk(h->reader, &l->first.root_tree, h->path, ret_entry);

	if (r != -EISDIR)
		return r;
	*ret_entry = (struct tree_entry){ .mode = S_IFDIR | 0755, .name = "", .tree = l->run->id };
	return 0;
}

static int show(struct history *h, const struct version *before, const struct version *run)
{
	struct line l = { .run = run, .change = change_of(before, run) };
	struct tree_entry entry;
	int r;

	r = timeline_get(h->session->timeline, run->first_seq, &l.first);
	if (r == 0)
		r = timeline_get(h->session->timeline, run->last_seq, &l.last);
	if (r == -ENOENT)
		return 0; /* forgotten meanwhile */
	if (r == 0 && S_ISDIR(run->mode))
		r = count_changes(h, before, run, &l.counts);
	if (r == 0 && run->mode != 0) {
		r = entry_of(h, &l, &entry);
		l.entry = &entry;
		memcpy(h->last_name, l.first.name, sizeof(h->last_name));
		h->has_last = true;
	}
	if (r < 0)
		return r;
	if (h->json)
		return print_json(h, &l);
	print_line(h, &l);
	return 0;
}

static int show_all(struct history *h, const struct versions *v)
{
	size_t n;
	const struct version *runs = versions_all(v, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = cmd_cancelled ? -ECANCELED : show(h, i ? &runs[i - 1] : NULL, &runs[i]);
	if (h->json || r < 0 || !h->has_last)
		return r;
	if (runs[n - 1].mode == 0)
		failure_note("to get it back: yore restore '@%s:%s' --to DIR", h->last_name,
			     h->path);
	else
		failure_note("to get an old one back: yore restore '@SNAPSHOT:%s' --to DIR",
			     h->path);
	return 0;
}

/* ---- the path ---- */

/* As the user wrote it, from the current folder on. EXIT_CODE_DONE or an exit code. */
static int absolute_path(const char *text, char **ret_path)
{
	CLEANUP(free_ptr) char *here = NULL;
	CLEANUP(free_ptr) char *joined = NULL;
	int r;

	if (text[0] != '/') {
		here = getcwd(NULL, 0);
		if (!here)
			return failure_errno(-errno, "cannot tell the current folder");
	}
	if (asprintf(&joined, "%s/%s", here ? here : "", text) < 0) {
		joined = NULL;
		return failure_errno(-ENOMEM, "history");
	}
	r = place_plain_path(joined, ret_path);
	if (r == -EINVAL)
		return failure(EXIT_CODE_USAGE, "'%s': '..' is not taken in a path", text);
	return r < 0 ? failure_errno(r, "history") : EXIT_CODE_DONE;
}

/* Snapshots have real folders where the way to a path leads through symlinks. NULL: no other. */
static char *real_path(const char *path)
{
	CLEANUP(free_ptr) char *folder = strdup(path);
	CLEANUP(free_ptr) char *real = NULL;
	const char *name = strrchr(path, '/');
	char *joined;

	if (!folder || !name)
		return NULL;
	folder[name - path] = '\0';
	real = realpath(folder[0] ? folder : "/", NULL);
	if (!real || strcmp(real, folder) == 0 ||
	    asprintf(&joined, "%s%s", strcmp(real, "/") == 0 ? "" : real, name) < 0)
		return NULL;
	return joined;
}

static int find_versions(struct history *h, const char *path, struct versions **ret_versions)
{
	int r = versions_new(h->session->timeline, h->session->cache, path, ret_versions);

	return r < 0 ? r : versions_update(*ret_versions);
}

static int run_history(struct session *s, struct history *h, const char *path)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(versions_free_ptr) struct versions *versions = NULL;
	CLEANUP(free_ptr) char *real = NULL;
	struct snapshot_info latest;
	size_t n = 0;
	int r;

	assert(path);
	r = session_cache(s, 0, 2);
	h->session = s;
	h->path = path;
	if (r == 0)
		r = tree_reader_new(s->cache, &reader);
	h->reader = reader;
	if (r == 0 && timeline_latest(s->timeline, &latest) == 0)
		h->newest = latest.seq;
	if (r == 0)
		r = find_versions(h, path, &versions);
	if (r == 0)
		(void)versions_all(versions, &n);
	if (r == 0 && n == 0 && (real = real_path(path))) {
		versions_free(versions);
		versions = NULL;
		h->path = real;
		r = find_versions(h, real, &versions);
	}
	if (r < 0)
		return failure_errno(r, "cannot look for %s", h->path);
	(void)versions_all(versions, &n);
	if (h->newest == 0)
		return failure(EXIT_CODE_FAILED, "there are no snapshots yet; take one with 'yore "
						 "snapshot PATH'");
	if (n == 0)
		return failure(EXIT_CODE_FAILED,
			       "no snapshot has %s; 'yore find' looks for a name anywhere", path);
	if (h->json)
		json_list_begin(&h->list, stdout);
	r = show_all(h, versions);
	if (h->json)
		json_list_end(&h->list);
	if (r < 0)
		return failure_errno(r, "cannot show the history of %s", h->path);
	if (versions_unreadable(versions))
		return failure(EXIT_CODE_PARTIAL,
			       "%" PRIu64 " snapshots could not be read (named above)",
			       versions_unreadable(versions));
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	CLEANUP(free_ptr) char *path = NULL;
	struct history h = { 0 };
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_history, argc, argv);
	options_add(&o, "", longs);
	while ((c = options_next(&o)) != OPTIONS_END)
		if (c == OPTIONS_STOP)
			return o.exit_code;
	if (optind + 1 != argc)
		return options_wrong(&o, "name one path");
	h.json = o.globals.json;
	r = absolute_path(argv[optind], &path);
	if (r == EXIT_CODE_DONE)
		r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	return r == EXIT_CODE_DONE ? run_history(&s, &h, path) : r;
}

const struct cmd cmd_history = {
	.name = "history",
	.aliases = "versions",
	.summary = "every version of one file or folder",
	.help = "usage: yore history PATH [--json] [--host NAME]\n"
		"\n"
		"Prints a line for each version, oldest first, also of what was deleted: the\n"
		"first snapshot that has it, what happened, size and time, and how long it\n"
		"lasted. A version is a run of snapshots with equal content; other rights or\n"
		"times alone make none. Of a folder: how many names came (+), went (-) and\n"
		"changed (~), at any depth.\n"
		"\n"
		"examples:\n"
		"  yore history report.odt\n"
		"  yore history /etc --json\n"
		"  yore restore @2024-05-01T14-30-00Z:/home/me/report.odt --to .\n"
		"  cp /backups/.versions/home/me/report.odt/@2024-05-01T14-30-00Z.odt old.odt\n",
	.run = run,
};
