/* SPDX-License-Identifier: MIT */
#include "snapshots/diff.h"
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static const struct option longs[] = {
	{ "metadata", no_argument, NULL, 'm' },
	{ 0 },
};

struct totals {
	uint64_t n;
	uint64_t bytes;
};

struct comparison {
	const char *prefix; /* plain path of both roots */
	bool metadata;      /* times of folders, too */
	bool json;
	struct json_list list;
	struct totals added, removed, modified;
	uint64_t n_metadata;
};

/* One side. */
struct side {
	struct place place;
	struct tree_reader *reader;
	struct record record;
	struct entry_decoder decoder;
	struct tree_entry entry;
	bool there;
};

static void side_done(struct side *side)
{
	tree_reader_free(side->reader);
	record_done(&side->record);
	entry_decoder_done(&side->decoder);
	place_done(&side->place);
}

static uint64_t file_bytes(const struct tree_entry *entry)
{
	return entry && S_ISREG(entry->mode) ? entry->size : 0;
}

static void count(struct comparison *c, enum diff_change change, const struct tree_entry *before,
		  const struct tree_entry *after)
{
	if (change == DIFF_METADATA) {
		c->n_metadata++;
		return;
	}
	if (change == DIFF_ADDED) {
		c->added.n++;
		c->added.bytes += file_bytes(after);
	} else if (change == DIFF_REMOVED) {
		c->removed.n++;
		c->removed.bytes += file_bytes(before);
	} else {
		c->modified.n++;
		c->modified.bytes += file_bytes(after);
	}
}

/* A folder's time changes with every entry; by itself that tells nobody anything. */
static bool folder_time_only(const struct tree_entry *before, const struct tree_entry *after)
{
	return S_ISDIR(before->mode) && before->mode == after->mode && before->uid == after->uid &&
	       before->gid == after->gid && before->attribute_flags == after->attribute_flags &&
	       before->xattrs_n == after->xattrs_n &&
	       (before->xattrs_n == 0 ||
		memcmp(before->xattrs, after->xattrs, before->xattrs_n) == 0);
}

static int print_json(struct comparison *c, const char *name, const char *path,
		      const struct tree_entry *before, const struct tree_entry *after)
{
	json_t *o = json_object();

	if (!o)
		return -ENOMEM;
	(void)json_object_set_new(o, "change", json_string(name));
	(void)output_json_name(o, "path", path, strlen(path));
	if (before)
		(void)json_object_set_new(o, "before",
					  describe_entry_json(path, strlen(path), before));
	if (after)
		(void)json_object_set_new(o, "after",
					  describe_entry_json(path, strlen(path), after));
	return json_list_add(&c->list, o);
}

static int visit(void *context, enum diff_change change, const char *path,
		 const struct tree_entry *before, const struct tree_entry *after)
{
	static const char *const names[] = { "added", "removed", "modified", "metadata", "type" };
	static const char marks[] = "+-MmT";
	struct comparison *c = context;
	CLEANUP(free_ptr) char *full = NULL;
	const char *below = path + strspn(path, "/");

	if (cmd_cancelled)
		return -ECANCELED;
	if (change == DIFF_METADATA && !c->metadata && folder_time_only(before, after))
		return 0;
	count(c, change, before, after);
	if (asprintf(&full, "%s%s%s", c->prefix, below[0] || !c->prefix[0] ? "/" : "", below) < 0)
		return -ENOMEM;
	if (c->json)
		return print_json(c, names[change], full, before, after);
	(void)printf("%c ", marks[change]);
	output_name(stdout, full, strlen(full));
	(void)fputs(S_ISDIR((after ? after : before)->mode) && below[0] ? "/\n" : "\n", stdout);
	return 0;
}

static int look(struct session *s, struct side *side, const char *moment, const char *path)
{
	int r = place_moment(s, moment, &side->place.snapshot);

	if (r == EXIT_CODE_DONE)
		r = place_hold(s, &side->place);
	if (r != EXIT_CODE_DONE)
		return r;
	r = place_plain_path(path, &side->place.path);
	if (r == -EINVAL)
		return failure(EXIT_CODE_USAGE, "'%s': '..' is not taken in a path", path);
	if (r == 0)
		r = tree_reader_new(s->cache, &side->reader);
	if (r == 0)
		r = place_look(s, &side->place, side->reader, &side->record, &side->decoder,
			       &side->entry);
	if (r == -ENOENT || r == -ENOTDIR)
		return EXIT_CODE_DONE;
	if (r < 0)
		return place_say_failure(r, &side->place);
	side->there = true;
	return EXIT_CODE_DONE;
}

static void print_totals(const struct comparison *c)
{
	char added[OUTPUT_SIZE_BYTES], removed[OUTPUT_SIZE_BYTES], modified[OUTPUT_SIZE_BYTES];

	if (c->added.n + c->removed.n + c->modified.n + c->n_metadata == 0) {
		failure_note("no difference");
		return;
	}
	(void)printf("%" PRIu64 " added (%s), %" PRIu64 " removed (%s), %" PRIu64
		     " modified (%s), %" PRIu64 " with other attributes only\n",
		     c->added.n, output_size(c->added.bytes, added), c->removed.n,
		     output_size(c->removed.bytes, removed), c->modified.n,
		     output_size(c->modified.bytes, modified), c->n_metadata);
}

static int compare(struct session *s, struct comparison *c, char **words, const char *path)
{
	CLEANUP(side_done) struct side a = { 0 };
	CLEANUP(side_done) struct side b = { 0 };
	int r = session_cache(s, 0, 2);

	if (r < 0)
		return failure_errno(r, "diff");
	r = look(s, &a, words[0], path);
	if (r == EXIT_CODE_DONE)
		r = look(s, &b, words[1], path);
	if (r != EXIT_CODE_DONE)
		return r;
	if (!a.there && !b.there)
		return failure(EXIT_CODE_FAILED, "neither @%s nor @%s has %s",
			       a.place.snapshot.name, b.place.snapshot.name, path);
	c->prefix = a.place.path;
	if (c->json)
		json_list_begin(&c->list, stdout);
	r = diff_trees(s->cache, a.there ? &a.entry : NULL, b.there ? &b.entry : NULL, visit, c);
	if (c->json)
		json_list_end(&c->list);
	if (r < 0)
		return failure_errno(r, "cannot compare @%s with @%s", a.place.snapshot.name,
				     b.place.snapshot.name);
	if (!c->json)
		print_totals(c);
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct comparison comparison = { 0 };
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_diff, argc, argv);
	options_add(&o, "m", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		comparison.metadata = true;
	}
	if (argc - optind < 2 || argc - optind > 3)
		return options_wrong(&o, "name two moments, and a PATH if you like");
	comparison.json = o.globals.json;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	if (r != EXIT_CODE_DONE)
		return r;
	return compare(&s, &comparison, argv + optind, argc - optind == 3 ? argv[optind + 2] : "");
}

const struct cmd cmd_diff = {
	.name = "diff",
	.aliases = "",
	.summary = "what changed between two moments",
	.help = "usage: yore diff MOMENT MOMENT [PATH] [-m] [--json] [--host NAME]\n"
		"\n"
		"Prints one line a change, then totals: '+' added, '-' removed, 'M' other\n"
		"contents, 'm' other attributes only, 'T' another kind of object. The cost\n"
		"follows the number of changes, not the size of the snapshots.\n"
		"\n"
		"options:\n"
		"  -m, --metadata  folders of which only the time changed, too\n"
		"\n"
		"examples:\n"
		"  yore diff yesterday latest\n"
		"  yore diff 2024-05-01 2024-06-01 /etc\n",
	.run = run,
};
