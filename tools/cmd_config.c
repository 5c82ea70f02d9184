/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/config.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"

#include "snapshots/source_path.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- show ---- */

/* A list stands below its key. Returns the width used on the last line. */
static int print_value(const struct config_entry *e)
{
	const char *at = e->value;
	int width = printf("%s =", e->key);

	if (!at[0])
		return width;
	if (!strchr(at, '\n')) {
		(void)putchar(' ');
		output_name(stdout, at, strlen(at));
		return width + 1 + (int)strlen(at);
	}
	while (*at) {
		size_t n = strcspn(at, "\n");

		(void)fputs("\n    ", stdout);
		output_name(stdout, at, n);
		width = 4 + (int)n;
		at += n + (at[n] == '\n');
	}
	return width;
}

static int print_entry(const struct config_entry *e)
{
	CLEANUP(free_ptr) char *from = config_entry_from(e);
	int width;

	if (!from)
		return -ENOMEM;
	width = print_value(e);
	(void)printf("%*s# ", width < 40 ? 40 - width : 2, "");
	output_name(stdout, from, strlen(from));
	(void)putchar('\n');
	return 0;
}

static int print_entries(const struct config *c)
{
	const struct config_entry *above = NULL;
	int r = 0;

	for (size_t i = 0; i < c->n_files; i++) {
		(void)fputs("# ", stdout);
		output_name(stdout, c->files[i], strlen(c->files[i]));
		(void)putchar('\n');
	}
	for (size_t i = 0; r == 0 && i < c->n_entries; i++) {
		const struct config_entry *e = &c->entries[i];

		if (!above || strcmp(above->section, e->section) != 0 ||
		    strcmp(above->name, e->name) != 0) {
			(void)printf("%s[%s%s", above || c->n_files ? "\n" : "", e->section,
				     e->name[0] ? " " : "");
			output_name(stdout, e->name, strlen(e->name));
			(void)puts("]");
		}
		above = e;
		r = print_entry(e);
	}
	return r;
}

static json_t *entry_json(const struct config_entry *e)
{
	static const char *const origins[] = { "default", "file", "environment", "option" };
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)json_object_set_new(o, "section", json_string(e->section));
	if (e->name[0])
		(void)output_json_name(o, "name", e->name, strlen(e->name));
	(void)json_object_set_new(o, "key", json_string(e->key));
	(void)output_json_name(o, "value", e->value, strlen(e->value));
	(void)json_object_set_new(o, "origin", json_string(origins[e->origin]));
	if (e->from[0])
		(void)output_json_name(o, "from", e->from, strlen(e->from));
	if (e->line)
		(void)json_object_set_new(o, "line", json_integer((json_int_t)e->line));
	return o;
}

static int print_entries_json(const struct config *c)
{
	struct json_list list;
	int r = 0;

	json_list_begin(&list, stdout);
	for (size_t i = 0; r == 0 && i < c->n_entries; i++)
		r = json_list_add(&list, entry_json(&c->entries[i]));
	json_list_end(&list);
	return r;
}

static int show(const struct cmd_globals *globals)
{
	CLEANUP(config_done) struct config c = { 0 };
	int r = config_load(globals, &c);

	if (r != EXIT_CODE_DONE)
		return r;
	r = globals->json ? print_entries_json(&c) : print_entries(&c);
	return r < 0 ? failure_errno(r, "config") : EXIT_CODE_DONE;
}

/* ---- check ---- */

/* What is allowed and yet may be a mistake. */
static void warn_of_source(const struct config *c, const struct config_source *s)
{
	if (!s->command[0] && access(s->path, F_OK) < 0 && errno == ENOENT)
		failure_note("%s:%u: warning: %s is not there now", s->file, s->line, s->path);
	if (source_path_within(s->canonical, c->repository))
		failure_note("%s:%u: warning: %s is the repository, which is never captured",
			     s->file, s->line, s->path);
	for (size_t i = 0; i < c->n_sources; i++) {
		const struct config_source *outer = &c->sources[i];

		if (outer != s && source_path_within(s->canonical, outer->canonical))
			failure_note("%s:%u: warning: %s lies in %s, which is protected, too",
				     s->file, s->line, s->path, outer->path);
	}
}

static int print_fine(const struct config *c, const struct cmd_globals *globals)
{
	json_t *o;

	if (globals->json) {
		o = json_object();
		(void)json_object_set_new(o, "ok", json_true());
		(void)json_object_set_new(o, "files", json_integer((json_int_t)c->n_files));
		(void)json_object_set_new(o, "sources", json_integer((json_int_t)c->n_sources));
		return output_json(o) < 0 ? failure_errno(-ENOMEM, "config") : EXIT_CODE_DONE;
	}
	if (globals->verbosity >= 0)
		(void)printf("the configuration is fine: %zu %s, %zu %s\n", c->n_files,
			     output_plural(c->n_files, "file", "files"), c->n_sources,
			     output_plural(c->n_sources, "source", "sources"));
	return EXIT_CODE_DONE;
}

static int check(const struct cmd_globals *globals)
{
	CLEANUP(config_done) struct config c = { 0 };
	int r = config_load(globals, &c);
	json_t *o;

	if (r == EXIT_CODE_DONE) {
		for (size_t i = 0; i < c.n_sources; i++)
			warn_of_source(&c, &c.sources[i]);
		return print_fine(&c, globals);
	}
	if (globals->json) {
		o = json_object();
		(void)json_object_set_new(o, "ok", json_false());
		if (output_json(o) < 0)
			return failure_errno(-ENOMEM, "config");
	}
	return r;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	struct options o;
	const char *action;

	options_init(&o, globals, &cmd_config, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind + 1 < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind + 1]);
	action = optind < argc ? argv[optind] : "show";
	if (strcmp(action, "show") == 0)
		return show(&o.globals);
	if (strcmp(action, "check") == 0)
		return check(&o.globals);
	return options_wrong(&o, "no action '%s'; there are show and check", action);
}

const struct cmd cmd_config = {
	.name = "config",
	.aliases = "",
	.summary = "show and check the configuration",
	.help = "usage: yore config [show] [--json]\n"
		"       yore config check [--json]\n"
		"\n"
		"'show' prints every setting as it holds now, and where it comes from: an option,\n"
		"the environment, a line of a file, or the default. 'check' reads the files and\n"
		"says what is wrong with them, each with its line; exit 1 when anything is.\n"
		"Files and keys: yore.conf(5).\n"
		"\n"
		"examples:\n"
		"  yore config show\n"
		"  yore config show --json | jq '.[] | select(.origin != \"default\")'\n"
		"  yore -c ./new.conf config check\n",
	.run = run,
};
