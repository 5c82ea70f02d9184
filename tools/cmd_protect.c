/* SPDX-License-Identifier: MIT */
#include "snapshots/source_path.h"
#include "tools/cmd_table.h"
#include "tools/config_value.h"
#include "tools/drop_in.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/sources.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_TRIES 10000

enum { OPTION_NAME = OPTIONS_FIRST_LONG, OPTION_EXCLUDE_CACHES };

static const struct option longs[] = {
	{ "exclude", required_argument, NULL, 'e' },
	{ "exclude-caches", no_argument, NULL, OPTION_EXCLUDE_CACHES },
	{ "one-file-system", no_argument, NULL, 'x' },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ 0 },
};

struct request {
	const char **excludes;
	size_t n_excludes;
	bool exclude_caches;
	bool one_file_system;
	const char *name;
	struct config config;
	struct drop_in drop_in;
	json_t *done; /* with --json: what was written */
	size_t n_written;
};

static void request_done(struct request *q)
{
	free(q->excludes);
	drop_in_close(&q->drop_in);
	config_done(&q->config);
	json_decref(q->done);
}

static bool has_options(const struct request *q)
{
	return q->n_excludes > 0 || q->exclude_caches || q->one_file_system || q->name;
}

/* Fit to stand in "[source NAME]". */
static bool fits_as_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX || name[0] == ' ' || name[n - 1] == ' ' || name[0] == '"')
		return false;
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f || *p == ']' || *p == '[')
			return false;
	return true;
}

static bool name_taken(const struct request *q, const char *name)
{
	for (size_t i = 0; i < q->config.n_sources; i++)
		if (strcmp(q->config.sources[i].name, name) == 0)
			return true;
	return false;
}

/* The last name of the path, or "root"; with a number where that is taken. */
static char *choose_name(const struct request *q, const char *path)
{
	CLEANUP(free_ptr) char *base = strdup(path[1] ? strrchr(path, '/') + 1 : "root");
	char *name = NULL;

	if (!base)
		return NULL;
	for (char *p = base; *p; p++)
		if ((unsigned char)*p < ' ' || strchr("[]\"\x7f", *p) ||
		    (*p == ' ' && (p == base || !p[1])))
			*p = '_';
	if (!name_taken(q, base))
		return STEAL(base);
	for (int i = 2; i < NAME_TRIES; i++) {
		if (asprintf(&name, "%s-%d", base, i) < 0)
			return NULL;
		if (!name_taken(q, name))
			return name;
		free(STEAL(name));
	}
	return NULL;
}

static void add_text(struct byte_buf *b, const char *text)
{
	byte_buf_append(b, text, strlen(text));
}

/* Blanks in front of a pattern are part of it. */
static void add_pattern(struct byte_buf *b, const char *pattern)
{
	add_text(b, "exclude = ");
	if (pattern[0] == ' ' || pattern[0] == '\t')
		add_text(b, "\\");
	add_text(b, pattern);
	add_text(b, "\n");
}

static int add_section(struct request *q, const char *name, const char *path)
{
	CLEANUP(free_ptr) char *quoted = config_value_quote(path);
	struct byte_buf *b = &q->drop_in.text;

	if (!quoted)
		return -ENOMEM;
	if (b->n > 0 && b->data[b->n - 1] != '\n')
		add_text(b, "\n");
	add_text(b, "\n[source ");
	add_text(b, name);
	add_text(b, "]\npath = ");
	add_text(b, quoted);
	add_text(b, "\n");
	for (size_t i = 0; i < q->n_excludes; i++)
		add_pattern(b, q->excludes[i]);
	if (q->exclude_caches)
		add_text(b, "exclude-caches = yes\n");
	if (q->one_file_system)
		add_text(b, "one-file-system = yes\n");
	return b->failed ? -ENOMEM : 0;
}

static void say_neighbours(const struct request *q, const char *path)
{
	for (size_t i = 0; i < q->config.n_sources; i++) {
		const struct config_source *s = &q->config.sources[i];

		if (strcmp(s->canonical, path) == 0)
			continue;
		if (source_path_within(path, s->canonical))
			failure_note("%s lies in %s, which is protected already (%s:%u); what is "
				     "said for each holds for each",
				     path, s->canonical, s->file, s->line);
		else if (source_path_within(s->canonical, path))
			failure_note("%s holds %s, which is protected already (%s:%u)", path,
				     s->canonical, s->file, s->line);
	}
}

/* Is there something to do? 1 yes, 0 no; an exit code, negative, when it cannot be. */
static int consider(struct request *q, const char *path, const struct config_source *known)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -failure(EXIT_CODE_FAILED, "%s: %s; nothing was changed", path,
				failure_reason(errno));
	if (source_path_within(path, q->config.repository))
		return -failure(EXIT_CODE_FAILED,
				"%s is the repository, which is never captured; nothing was "
				"changed",
				path);
	if (!known)
		return 1;
	if (strcmp(known->file, q->config.protect) != 0 && has_options(q))
		return -failure(EXIT_CODE_FAILED,
				"%s is protected by %s:%u; change it there (nothing was changed)",
				path, known->file, known->line);
	if (has_options(q))
		return 1;
	failure_note("%s is protected already (%s:%u)", path, known->file, known->line);
	return 0;
}

static int note_written(struct request *q, const char *name, const char *path)
{
	json_t *o = json_object();

	q->n_written++;
	(void)output_json_name(o, "name", name, strlen(name));
	(void)output_json_name(o, "path", path, strlen(path));
	(void)output_json_name(o, "file", q->config.protect, strlen(q->config.protect));
	return json_array_append_new(q->done, o) < 0 ? -ENOMEM : 0;
}

/* The names of sections given in this run are taken, too: read what will be written. */
static int remember(struct request *q, const char *name, const char *path)
{
	struct config *c = &q->config;
	struct config_source *grown = reallocarray(c->sources, c->n_sources + 1, sizeof(*grown));
	struct config_source *s;

	if (!grown)
		return -ENOMEM;
	c->sources = grown;
	s = &grown[c->n_sources++];
	*s = (struct config_source){ .name = strdup(name),
				     .path = strdup(path),
				     .canonical = strdup(path),
				     .file = strdup(c->protect) };
	return s->name && s->path && s->canonical && s->file ? 0 : -ENOMEM;
}

/* Exit code. */
static int protect(struct request *q, const char *text)
{
	CLEANUP(source_path_done) struct source_path where = { 0 };
	CLEANUP(free_ptr) char *name = NULL;
	const struct config_source *known;
	int r = source_path_resolve(text, &where);

	if (r < 0)
		return failure_errno(r, "%s", text);
	known = config_source_at(&q->config, where.path);
	r = consider(q, where.path, known);
	if (r <= 0)
		return -r;
	if (q->name && name_taken(q, q->name) && !(known && strcmp(known->name, q->name) == 0))
		return failure(EXIT_CODE_FAILED,
			       "there is a source named '%s' already; choose another --name",
			       q->name);
	name = q->name ? strdup(q->name) : known ? strdup(known->name) : choose_name(q, where.path);
	if (!name)
		return failure_errno(-ENOMEM, "protect");
	if (known)
		r = drop_in_remove(&q->drop_in, known->name);
	else
		say_neighbours(q, where.path);
	r = r < 0 ? r : add_section(q, name, where.path);
	if (r == 0)
		r = note_written(q, name, where.path);
	if (r == 0 && !known)
		r = remember(q, name, where.path);
	return r < 0 ? failure_errno(r, "protect") : EXIT_CODE_DONE;
}

static int print_done(const struct request *q, const struct cmd_globals *globals)
{
	json_t *o;
	size_t i;

	if (globals->json)
		return output_json(json_incref(q->done)) < 0 ? failure_errno(-ENOMEM, "protect")
							     : EXIT_CODE_DONE;
	if (globals->verbosity < 0)
		return EXIT_CODE_DONE;
	json_array_foreach(q->done, i, o)
	{
		const char *path = json_string_value(json_object_get(o, "path"));
		const char *name = json_string_value(json_object_get(o, "name"));

		(void)fputs("protected ", stdout);
		output_name(stdout, path, strlen(path));
		(void)fputs(" as [source ", stdout);
		output_name(stdout, name, strlen(name));
		(void)printf("] in %s\n", q->config.protect);
	}
	return EXIT_CODE_DONE;
}

static int protect_all(struct request *q, struct options *o)
{
	CLEANUP(config_done) struct config before = { 0 };
	int r = config_load(&o->globals, &before);

	if (r != EXIT_CODE_DONE)
		return r;
	q->done = json_array();
	r = q->done ? drop_in_open(&q->drop_in, before.drop_ins, before.protect) : -ENOMEM;
	if (r < 0)
		return failure_errno(r, "cannot change %s", before.protect);
	/* With the lock held, as another process may have left it. */
	r = config_load(&o->globals, &q->config);
	if (r != EXIT_CODE_DONE)
		return r;
	q->drop_in.path = q->config.protect;
	for (int i = optind; i < o->argc; i++) {
		r = protect(q, o->argv[i]);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	if (q->n_written > 0) {
		r = drop_in_write(&q->drop_in);
		if (r < 0)
			return failure_errno(r, "cannot write %s; nothing was changed",
					     q->config.protect);
	}
	r = print_done(q, &o->globals);
	if (q->n_written > 0)
		sources_tell_daemon(&q->config, o->globals.verbosity < 0);
	return r;
}

static int take_option(struct request *q, const struct options *o, int c)
{
	switch (c) {
	case 'e':
		if (strchr(optarg, '\n'))
			return options_wrong(o, "a pattern is one line; give --exclude for each");
		if (optarg[0])
			q->excludes[q->n_excludes++] = optarg;
		return EXIT_CODE_DONE;
	case 'x':
		q->one_file_system = true;
		return EXIT_CODE_DONE;
	case OPTION_EXCLUDE_CACHES:
		q->exclude_caches = true;
		return EXIT_CODE_DONE;
	default:
		if (!fits_as_name(optarg))
			return options_wrong(o, "'%s' cannot be a source's name", optarg);
		q->name = optarg;
		return EXIT_CODE_DONE;
	}
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(request_done) struct request q = { .drop_in.folder_fd = -1 };
	struct options o;
	int c, r;

	q.excludes = calloc((size_t)argc + 1, sizeof(*q.excludes));
	if (!q.excludes)
		return failure_errno(-ENOMEM, "protect");
	options_init(&o, globals, &cmd_protect, argc, argv);
	options_add(&o, "e:x", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		r = take_option(&q, &o, c);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	if (optind == argc)
		return options_wrong(&o, "name the PATH to protect");
	if (q.name && optind + 1 < argc)
		return options_wrong(&o, "--name is for one PATH");
	return protect_all(&q, &o);
}

const struct cmd cmd_protect = {
	.name = "protect",
	.aliases = "",
	.summary = "have folders captured whenever they change",
	.help = "usage: yore protect PATH... [options]\n"
		"\n"
		"Adds PATH to what the daemon ('yore mount') protects: writes a section into\n"
		"conf.d/50-protect.conf beside the configuration file, and has a running daemon\n"
		"read it. Given again with options, they replace those of before. All else can\n"
		"be set in the file: yore.conf(5).\n"
		"\n"
		"options:\n"
		"  -e, --exclude PATTERN  leave out what matches, as in .gitignore; may be\n"
		"                         repeated\n"
		"      --exclude-caches   leave out folders with a CACHEDIR.TAG\n"
		"  -x, --one-file-system  stay on the file system of PATH\n"
		"      --name NAME        of the section; otherwise the last name of PATH\n"
		"\n"
		"examples:\n"
		"  yore protect ~/Documents ~/Pictures\n"
		"  yore protect /home --exclude '.cache/' --exclude '*.iso'\n"
		"  yore protect / -x --name system\n",
	.run = run,
};
