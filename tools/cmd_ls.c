/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const struct option longs[] = {
	{ "long", no_argument, NULL, 'l' },
	{ "recursive", no_argument, NULL, 'R' },
	{ 0 },
};

/* A folder on the way down: where to go on in it. */
struct level {
	struct chunk_id tree;
	uint64_t position;
	size_t path_n;
};

struct listing {
	bool detailed;
	bool recursive;
	bool json;
	bool several; /* folders get a headline */
	bool begun;
	struct json_list list;
	struct tree_reader *reader;
	struct level *levels;
	size_t n_levels, levels_room;
	char *path; /* of the folder in hand, "" the root */
	size_t path_n, path_room;
};

static void listing_done(struct listing *l)
{
	tree_reader_free(l->reader);
	free(l->levels);
	free(l->path);
}

static int set_path(struct listing *l, size_t keep, const char *name, size_t n)
{
	size_t need = keep + n + 2;
	char *path;

	if (need > l->path_room) {
		path = realloc(l->path, need * 2);
		if (!path)
			return -ENOMEM;
		l->path = path;
		l->path_room = need * 2;
	}
	l->path_n = keep;
	if (n > 0) {
		l->path[l->path_n++] = '/';
		memcpy(l->path + l->path_n, name, n);
		l->path_n += n;
	}
	l->path[l->path_n] = '\0';
	return 0;
}

/* One entry; `name` is what is shown, `path` its full path in l->path. */
static int print_entry(struct listing *l, const struct tree_entry *entry, const char *name,
		       size_t n)
{
	if (l->json)
		return json_list_add(&l->list, describe_entry_json(l->path, l->path_n, entry));
	if (l->detailed)
		describe_entry_line(stdout, entry);
	output_name(stdout, name, n);
	if (l->detailed && S_ISLNK(entry->mode)) {
		(void)fputs(" -> ", stdout);
		output_name(stdout, entry->link, entry->link_n);
	} else if (!l->detailed && S_ISDIR(entry->mode)) {
		(void)putchar('/');
	}
	(void)putchar('\n');
	return 0;
}

static void print_headline(struct listing *l)
{
	if (!l->json && (l->recursive || l->several)) {
		if (l->begun)
			(void)putchar('\n');
		output_name(stdout, l->path_n ? l->path : "/", l->path_n ? l->path_n : 1);
		(void)fputs(":\n", stdout);
	}
	l->begun = true;
}

static int print_folder(struct listing *l, const struct chunk_id *tree)
{
	struct tree_entry entry;
	size_t folder_n = l->path_n;
	int r = tree_reader_set(l->reader, tree);

	print_headline(l);
	while (r >= 0 && (r = tree_reader_next(l->reader, &entry)) > 0) {
		if (cmd_cancelled)
			return -ECANCELED;
		if (l->json)
			r = set_path(l, folder_n, entry.name, entry.name_n);
		if (r >= 0)
			r = print_entry(l, &entry, entry.name, entry.name_n);
	}
	if (r < 0)
		return r;
	return set_path(l, folder_n, NULL, 0);
}

static int push(struct listing *l, const struct chunk_id *tree)
{
	struct level *levels;
	size_t room = l->levels_room ? l->levels_room * 2 : 32;

	if (l->n_levels == TREE_DEPTH_MAX)
		return -EUCLEAN;
	if (l->n_levels == l->levels_room) {
		levels = realloc(l->levels, room * sizeof(*levels));
		if (!levels)
			return -ENOMEM;
		l->levels = levels;
		l->levels_room = room;
	}
	l->levels[l->n_levels++] = (struct level){ .tree = *tree, .path_n = l->path_n };
	return 0;
}

/* Go down into the next folder of the newest level: 1, or 0 when it has none left. */
static int descend(struct listing *l, struct chunk_id *ret_tree)
{
	struct level *level = &l->levels[l->n_levels - 1];
	struct tree_entry entry;
	int r = tree_reader_set(l->reader, &level->tree);

	if (r == 0)
		r = tree_reader_seek_index(l->reader, level->position);
	while (r >= 0 && (r = tree_reader_next(l->reader, &entry)) > 0) {
		level->position = tree_reader_position(l->reader);
		if (!S_ISDIR(entry.mode))
			continue;
		r = set_path(l, level->path_n, entry.name, entry.name_n);
		*ret_tree = entry.tree;
		return r < 0 ? r : 1;
	}
	return r;
}

static int print_tree(struct listing *l, const struct chunk_id *root)
{
	struct chunk_id tree = *root;
	int r = print_folder(l, &tree);

	if (r == 0 && l->recursive)
		r = push(l, &tree);
	while (r >= 0 && l->n_levels > 0) {
		r = descend(l, &tree);
		if (r == 0)
			l->n_levels--;
		if (r <= 0)
			continue;
		r = print_folder(l, &tree);
		if (r == 0)
			r = push(l, &tree);
	}
	return r;
}

static int print_place(struct session *s, struct listing *l, const char *text)
{
	CLEANUP(place_done) struct place place = { 0 };
	CLEANUP(record_done) struct record record = { 0 };
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	struct tree_entry entry;
	int r = place_find(s, text, &place);

	if (r == EXIT_CODE_DONE)
		r = place_entry(s, &place, l->reader, &record, &decoder, &entry);
	if (r != EXIT_CODE_DONE)
		return r;
	r = set_path(l, 0, place.path[0] ? place.path + 1 : NULL,
		     place.path[0] ? strlen(place.path) - 1 : 0);
	if (r == 0 && S_ISDIR(entry.mode))
		r = print_tree(l, &entry.tree);
	else if (r == 0)
		r = print_entry(l, &entry, l->path, l->path_n);
	return r < 0 ? failure_errno(r, "cannot list %s", l->path_n ? l->path : "/")
		     : EXIT_CODE_DONE;
}

static int print_all(struct session *s, struct listing *l, int n, char **texts)
{
	int r = session_cache(s, 0, 1);

	if (r == 0)
		r = tree_reader_new(s->cache, &l->reader);
	if (r < 0)
		return failure_errno(r, "ls");
	l->several = n > 1;
	if (l->json)
		json_list_begin(&l->list, stdout);
	for (int i = 0; i < n && r == EXIT_CODE_DONE; i++)
		r = print_place(s, l, texts[i]);
	if (l->json)
		json_list_end(&l->list);
	return r;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	CLEANUP(listing_done) struct listing l = { 0 };
	static char latest[] = "latest";
	char *all[] = { latest, NULL };
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_ls, argc, argv);
	options_add(&o, "lR", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		if (c == 'l')
			l.detailed = true;
		else
			l.recursive = true;
	}
	l.json = o.globals.json;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	if (r == EXIT_CODE_DONE)
		r = optind < argc ? print_all(&s, &l, argc - optind, argv + optind)
				  : print_all(&s, &l, 1, all);
	return r;
}

const struct cmd cmd_ls = {
	.name = "ls",
	.aliases = "",
	.summary = "list files as they were",
	.help = "usage: yore ls [MOMENT[:PATH]...] [-l] [-R] [--json] [--host NAME]\n"
		"\n"
		"Lists a folder of a snapshot; without words the root of the latest one.\n"
		"/PATH alone means latest:/PATH.\n"
		"\n"
		"options:\n"
		"  -l, --long       modes, owners, sizes and times\n"
		"  -R, --recursive  everything below\n"
		"\n"
		"examples:\n"
		"  yore ls yesterday:/home/me\n"
		"  yore ls -lR 2024-05-01:/etc\n",
	.run = run,
};
