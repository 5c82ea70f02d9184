/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/sources.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* One line: configured, carried by the newest snapshot, or both. */
struct row {
	const char *path;
	const struct config_source *configured; /* NULL: by `yore snapshot PATH` alone */
	const struct record_source *captured;   /* NULL: not yet */
};

struct table {
	struct config config;
	struct session session;
	struct record newest;
	struct row *rows;
	size_t n_rows;
};

static void table_done(struct table *t)
{
	free(t->rows);
	record_done(&t->newest);
	session_close(&t->session);
	config_done(&t->config);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->path, ((const struct row *)b)->path);
}

static int fill(struct table *t)
{
	t->rows = calloc(t->config.n_sources + t->newest.n_sources + 1, sizeof(*t->rows));
	if (!t->rows)
		return -ENOMEM;
	for (size_t i = 0; i < t->config.n_sources; i++) {
		const struct config_source *s = &t->config.sources[i];

		t->rows[t->n_rows++] =
			(struct row){ .path = s->canonical,
				      .configured = s,
				      .captured = sources_find(&t->newest, s->canonical) };
	}
	for (size_t i = 0; i < t->newest.n_sources; i++) {
		const struct record_source *s = &t->newest.sources[i];

		if (!config_source_at(&t->config, s->path))
			t->rows[t->n_rows++] = (struct row){ .path = s->path, .captured = s };
	}
	qsort(t->rows, t->n_rows, sizeof(*t->rows), by_path);
	return 0;
}

static const char *state_of(const struct row *row)
{
	if (!row->captured)
		return "waiting";
	if (row->captured->state == SOURCE_ABSENT)
		return "absent";
	return row->captured->flags & SOURCE_STREAM ? "stream" : "present";
}

static void print_row(const struct row *row)
{
	char size[OUTPUT_SIZE_BYTES], time[OUTPUT_TIME_BYTES];
	const struct record_source *s = row->captured;

	(void)printf("%-8s ", state_of(row));
	if (s)
		(void)printf("%-25s %9" PRIu64 " %9s  ", output_time(s->captured_ns, time),
			     s->files, output_size(s->bytes, size));
	else
		(void)printf("%-25s %9s %9s  ", "-", "-", "-");
	output_name(stdout, row->path, strlen(row->path));
	if (row->configured) {
		(void)fputs("  [", stdout);
		output_name(stdout, row->configured->name, strlen(row->configured->name));
		(void)fputs("] ", stdout);
		output_name(stdout, row->configured->file, strlen(row->configured->file));
		(void)printf(":%u\n", row->configured->line);
	} else {
		(void)puts("  (taken by hand)");
	}
}

static json_t *row_json(const struct row *row)
{
	const struct config_source *c = row->configured;
	const struct record_source *s = row->captured;
	char time[OUTPUT_TIME_BYTES];
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)output_json_name(o, "path", row->path, strlen(row->path));
	(void)json_object_set_new(o, "state", json_string(state_of(row)));
	(void)json_object_set_new(o, "configured", json_boolean(c != NULL));
	if (c) {
		(void)output_json_name(o, "name", c->name, strlen(c->name));
		(void)output_json_name(o, "file", c->file, strlen(c->file));
		(void)json_object_set_new(o, "line", json_integer((json_int_t)c->line));
	}
	if (!s)
		return o;
	(void)json_object_set_new(o, "captured",
				  json_string(output_time_utc(s->captured_ns, time)));
	(void)json_object_set_new(o, "files", json_integer((json_int_t)s->files));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)s->bytes));
	(void)json_object_set_new(o, "errors", json_integer((json_int_t)s->errors));
	return o;
}

static int print_json(const struct table *t)
{
	struct json_list list;
	int r = 0;

	json_list_begin(&list, stdout);
	for (size_t i = 0; r == 0 && i < t->n_rows; i++)
		r = json_list_add(&list, row_json(&t->rows[i]));
	json_list_end(&list);
	return r < 0 ? failure_errno(r, "sources") : EXIT_CODE_DONE;
}

static int print_text(const struct table *t)
{
	if (t->n_rows == 0)
		failure_note("nothing is protected yet; 'yore protect PATH' does it");
	else
		(void)printf("%-8s %-25s %9s %9s  %s\n", "state", "last capture", "files", "size",
			     "path");
	for (size_t i = 0; i < t->n_rows; i++)
		print_row(&t->rows[i]);
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(table_done) struct table t = { 0 };
	struct options o;
	int r;

	options_init(&o, globals, &cmd_sources, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	r = config_load(&o.globals, &t.config);
	if (r != EXIT_CODE_DONE)
		return r;
	if (sources_have_repository(&t.config)) {
		r = session_open(&t.session, &o.globals, SESSION_TIMELINE, SESSION_OWN_HOST);
		if (r != EXIT_CODE_DONE)
			return r;
		r = sources_newest(&t.session, &t.newest);
		if (r < 0)
			return failure_errno(r, "cannot read the newest snapshot");
	}
	if (fill(&t) < 0)
		return failure_errno(-ENOMEM, "sources");
	return o.globals.json ? print_json(&t) : print_text(&t);
}

const struct cmd cmd_sources = {
	.name = "sources",
	.aliases = "",
	.summary = "list what is protected",
	.help = "usage: yore sources [--json]\n"
		"\n"
		"Lists what the configuration protects, and what the newest snapshot carries\n"
		"along because 'yore snapshot PATH' took it by hand: its state (present, absent,\n"
		"stream: a program's output, waiting: not captured yet), when it was last\n"
		"captured, what it holds, and where it is configured.\n"
		"\n"
		"examples:\n"
		"  yore sources\n"
		"  yore sources --json | jq -r '.[].path'\n",
	.run = run,
};
