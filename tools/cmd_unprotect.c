/* SPDX-License-Identifier: MIT */
#include "snapshots/capture.h"
#include "snapshots/source_path.h"
#include "tools/cmd_table.h"
#include "tools/drop_in.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/sources.h"

#include <errno.h>
#include <string.h>

struct request {
	struct config config;
	struct drop_in drop_in;
	struct session session;
	struct record newest;
	char **paths; /* canonical */
	size_t n_paths;
	const char **dropped; /* those that the newest snapshot carries; borrowed */
	size_t n_dropped;
	size_t n_removed; /* from the drop-in */
};

static void request_done(struct request *q)
{
	for (size_t i = 0; i < q->n_paths; i++)
		free(q->paths[i]);
	free(q->paths);
	free(q->dropped);
	drop_in_close(&q->drop_in);
	record_done(&q->newest);
	session_close(&q->session);
	config_done(&q->config);
}

static int resolve(struct request *q, const struct options *o)
{
	size_t n = (size_t)(o->argc - optind);

	q->paths = calloc(n + 1, sizeof(*q->paths));
	q->dropped = calloc(n + 1, sizeof(*q->dropped));
	if (!q->paths || !q->dropped)
		return failure_errno(-ENOMEM, "unprotect");
	for (size_t i = 0; i < n; i++) {
		const char *text = o->argv[optind + (int)i];
		struct source_path where = { 0 };
		int r = source_path_resolve(text, &where);

		if (r < 0)
			return failure_errno(r, "%s", text);
		q->paths[q->n_paths++] = STEAL(where.path);
		source_path_done(&where);
	}
	return EXIT_CODE_DONE;
}

/* Open the repository if there is one: only then a snapshot may carry the paths. */
static int find_carried(struct request *q, const struct cmd_globals *globals)
{
	int r;

	if (!sources_have_repository(&q->config))
		return EXIT_CODE_DONE;
	r = session_open(&q->session, globals, SESSION_TIMELINE, SESSION_OWN_HOST | SESSION_WRITES);
	if (r != EXIT_CODE_DONE)
		return r;
	r = sources_newest(&q->session, &q->newest);
	if (r < 0)
		return failure_errno(r, "cannot read the newest snapshot");
	for (size_t i = 0; i < q->n_paths; i++)
		if (sources_find(&q->newest, q->paths[i]))
			q->dropped[q->n_dropped++] = q->paths[i];
	return EXIT_CODE_DONE;
}

/* A setting of this source that another file than the drop-in makes, or NULL. */
static const struct config_entry *set_elsewhere(const struct config *c,
						const struct config_source *s)
{
	for (size_t i = 0; i < c->n_entries; i++) {
		const struct config_entry *e = &c->entries[i];

		if (strcmp(e->section, "source") == 0 && strcmp(e->name, s->name) == 0 &&
		    e->origin == CONFIG_FILE && strcmp(e->from, c->protect) != 0)
			return e;
	}
	return NULL;
}

/* Can all of them be done? Nothing has been changed yet. */
static int consider(const struct request *q)
{
	for (size_t i = 0; i < q->n_paths; i++) {
		const struct config_source *s = config_source_at(&q->config, q->paths[i]);
		const struct config_entry *e = s ? set_elsewhere(&q->config, s) : NULL;

		if (e)
			return failure(EXIT_CODE_FAILED,
				       "%s is protected by [source %s] of %s:%u; take it away "
				       "there, then run this again (nothing was changed)",
				       q->paths[i], s->name, e->from, e->line);
		if (!s && !sources_find(&q->newest, q->paths[i]))
			return failure(EXIT_CODE_FAILED,
				       "%s is not protected; 'yore sources' lists what is "
				       "(nothing was changed)",
				       q->paths[i]);
	}
	return EXIT_CODE_DONE;
}

static int edit(struct request *q)
{
	int r = drop_in_open(&q->drop_in, q->config.drop_ins, q->config.protect);

	for (size_t i = 0; r == 0 && i < q->n_paths; i++) {
		const struct config_source *s = config_source_at(&q->config, q->paths[i]);

		if (!s)
			continue;
		r = drop_in_remove(&q->drop_in, s->name);
		q->n_removed += r == 1;
		r = r < 0 ? r : 0;
	}
	if (r == 0 && q->n_removed > 0)
		r = drop_in_write(&q->drop_in);
	/* Others need not wait for the snapshot. */
	drop_in_close(&q->drop_in);
	return r < 0 ? failure_errno(r, "cannot change %s", q->config.protect) : EXIT_CODE_DONE;
}

static bool configured(const struct request *q)
{
	for (size_t i = 0; i < q->n_paths; i++)
		if (config_source_at(&q->config, q->paths[i]))
			return true;
	return false;
}

static void say_problem(void *context, const char *path, const char *what, int error)
{
	(void)context;
	if (error)
		failure_note("%s: %s: %s", path, what, failure_reason(error));
	else
		failure_note("%s: %s", path, what);
}

/* A snapshot of what stays protected, without these. */
static int drop(struct request *q, struct capture_result *result)
{
	struct capture_options options = { .dropped = q->dropped,
					   .n_dropped = q->n_dropped,
					   .skip_unchanged = true,
					   .reason = "unprotect",
					   .cancel = &cmd_cancelled,
					   .problem = say_problem };
	int r;

	memset(result, 0, sizeof(*result));
	if (q->n_dropped == 0)
		return EXIT_CODE_DONE;
	r = capture_run(q->session.timeline, &options, result);
	if (r == -EALREADY) { /* the daemon was quicker */
		q->n_dropped = 0;
		return EXIT_CODE_DONE;
	}
	if (r == -ECANCELED)
		return failure(EXIT_CODE_INTERRUPTED,
			       "interrupted before a snapshot without it was taken; run it again");
	if (r < 0)
		return failure_errno(r, "no snapshot without it could be taken");
	return result->errors ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

static int print_done(const struct request *q, const struct capture_result *result,
		      const struct cmd_globals *globals)
{
	json_t *o, *paths;

	if (globals->json) {
		o = json_object();
		paths = json_array();
		for (size_t i = 0; i < q->n_paths; i++) {
			json_t *item = json_object();

			(void)output_json_name(item, "path", q->paths[i], strlen(q->paths[i]));
			(void)json_array_append_new(paths, item);
		}
		(void)json_object_set_new(o, "unprotected", paths);
		if (q->n_dropped > 0)
			(void)json_object_set_new(o, "snapshot",
						  json_sprintf("@%s", result->snapshot.name));
		return output_json(o);
	}
	for (size_t i = 0; globals->verbosity >= 0 && i < q->n_paths; i++) {
		(void)fputs("no longer protected: ", stdout);
		output_name(stdout, q->paths[i], strlen(q->paths[i]));
		(void)putchar('\n');
	}
	if (globals->verbosity >= 0 && q->n_dropped > 0)
		(void)printf("@%s is without it; older snapshots keep it\n", result->snapshot.name);
	return 0;
}

static int unprotect(struct request *q, const struct cmd_globals *globals)
{
	struct capture_result result;
	int r = find_carried(q, globals);

	if (r == EXIT_CODE_DONE)
		r = consider(q);
	if (r == EXIT_CODE_DONE && configured(q))
		r = edit(q);
	if (r != EXIT_CODE_DONE)
		return r;
	/* First the daemon, lest it captures them once more. */
	if (q->n_removed > 0)
		sources_tell_daemon(&q->config, true);
	r = drop(q, &result);
	if (r != EXIT_CODE_DONE && r != EXIT_CODE_PARTIAL)
		return r;
	return print_done(q, &result, globals) < 0 ? failure_errno(-ENOMEM, "unprotect") : r;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(request_done) struct request q = { .drop_in.folder_fd = -1 };
	struct options o;
	int r;

	options_init(&o, globals, &cmd_unprotect, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind == argc)
		return options_wrong(&o, "name the PATH that is to be protected no longer");
	r = config_load(&o.globals, &q.config);
	if (r == EXIT_CODE_DONE)
		r = resolve(&q, &o);
	return r == EXIT_CODE_DONE ? unprotect(&q, &o.globals) : r;
}

const struct cmd cmd_unprotect = {
	.name = "unprotect",
	.aliases = "",
	.summary = "stop protecting folders",
	.help = "usage: yore unprotect PATH...\n"
		"\n"
		"Takes back what 'yore protect PATH' or 'yore snapshot PATH' began: removes its\n"
		"section from the configuration, has a running daemon read that, and takes a\n"
		"snapshot of all that stays protected, without PATH. Older snapshots keep it.\n"
		"A section that stands in another file is for you to remove; it says where.\n"
		"\n"
		"examples:\n"
		"  yore unprotect ~/Downloads\n"
		"  yore sources\n",
	.run = run,
};
