/* SPDX-License-Identifier: MIT */
#include "snapshots/restore.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"
#include "tools/progress.h"
#include "tools/restore_in_place.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define CACHE_BYTES MIB(64)
#define THREADS_MAX 256

enum {
	OPTION_DELETE = OPTIONS_FIRST_LONG,
	OPTION_VERIFY,
	OPTION_NO_OWNERSHIP,
	OPTION_IN_PLACE,
	OPTION_NO_SAFETY,
	OPTION_THREADS
};

static const struct option longs[] = {
	{ "to", required_argument, NULL, 't' },
	{ "target", required_argument, NULL, 't' },
	{ "delete", no_argument, NULL, OPTION_DELETE },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "verify", no_argument, NULL, OPTION_VERIFY },
	{ "no-ownership", no_argument, NULL, OPTION_NO_OWNERSHIP },
	{ "in-place", no_argument, NULL, OPTION_IN_PLACE },
	{ "no-safety", no_argument, NULL, OPTION_NO_SAFETY },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ 0 },
};

/* What the user asks for. */
struct request {
	struct restore_options options; /* target: of --to */
	bool in_place, no_safety;
};

static void say_problem(void *context, const char *path, const char *what, int error)
{
	(void)context;
	if (error)
		failure_note("%s: %s: %s", path, what, failure_reason(error));
	else
		failure_note("%s: %s", path, what);
}

static void print_planned(void *context, const char *path, const char *what)
{
	(void)context;
	flockfile(stdout);
	(void)printf("%s ", what);
	output_name(stdout, path, strlen(path));
	(void)putchar('\n');
	funlockfile(stdout);
}

static void sample(void *context, struct progress_state *ret_state)
{
	struct restore_progress *p = context;

	*ret_state = (struct progress_state){ .verb = "restoring",
					      .done = atomic_load(&p->bytes),
					      .all = atomic_load(&p->bytes_all),
					      .bytes = true,
					      .objects = atomic_load(&p->objects),
					      .noun = "objects" };
}

static int say_restore_failure(int r, const struct place *place, const char *target)
{
	switch (-r) {
	case ENOENT:
		if (place->path[0])
			return place_say_failure(r, place);
		return failure(EXIT_CODE_FAILED, "cannot restore into %s: %s", target,
			       failure_reason(r));
	case ECANCELED:
		return failure(EXIT_CODE_INTERRUPTED,
			       "interrupted; every file in %s is whole, run it again and it goes "
			       "on",
			       target);
	case ENOSPC:
	case EDQUOT:
		return failure(EXIT_CODE_FAILED,
			       "no space left in %s; every file there is whole, free some space, "
			       "run it again and it goes on",
			       target);
	default:
		return failure_errno(r, "cannot restore into %s", target);
	}
}

static int print_json(const struct place *place, const struct restore_options *options,
		      const struct restore_result *result, const struct in_place *in_place,
		      int64_t took_ns)
{
	json_t *o = json_object();
	char name[SNAPSHOT_NAME_BYTES + 1];

	if (!o)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "@%s", place->snapshot.name);
	(void)json_object_set_new(o, "snapshot", json_string(name));
	(void)output_json_name(o, "path", place->path, strlen(place->path));
	(void)output_json_name(o, "target", options->target, strlen(options->target));
	(void)json_object_set_new(o, "dry_run", json_boolean(options->dry_run));
	(void)json_object_set_new(o, "files", json_integer((json_int_t)result->files));
	(void)json_object_set_new(o, "directories", json_integer((json_int_t)result->directories));
	(void)json_object_set_new(o, "others", json_integer((json_int_t)result->others));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)result->bytes));
	(void)json_object_set_new(o, "written", json_integer((json_int_t)result->written));
	(void)json_object_set_new(o, "written_bytes",
				  json_integer((json_int_t)result->written_bytes));
	(void)json_object_set_new(o, "deleted", json_integer((json_int_t)result->deleted));
	(void)json_object_set_new(o, "errors", json_integer((json_int_t)result->errors));
	(void)json_object_set_new(o, "incomplete", json_integer((json_int_t)result->incomplete));
	(void)json_object_set_new(o, "seconds", json_real((double)took_ns / 1e9));
	if (in_place->safety.seq)
		(void)json_object_set_new(o, "safety", json_sprintf("@%s", in_place->safety.name));
	return output_json(o);
}

static void print_summary(const struct restore_options *options,
			  const struct restore_result *result, int64_t took_ns)
{
	char all[OUTPUT_SIZE_BYTES], written[OUTPUT_SIZE_BYTES], time[OUTPUT_TIME_BYTES];

	(void)printf("%s %" PRIu64 " %s, %" PRIu64 " %s (%s) %s ",
		     options->dry_run ? "would restore" : "restored", result->files,
		     output_plural(result->files, "file", "files"), result->directories,
		     output_plural(result->directories, "folder", "folders"),
		     output_size(result->bytes, all), options->dry_run ? "into" : "in");
	output_name(stdout, options->target, strlen(options->target));
	(void)printf("; %s %" PRIu64 " (%s)", options->dry_run ? "would write" : "wrote",
		     result->written, output_size(result->written_bytes, written));
	if (result->deleted)
		(void)printf(", deleted %" PRIu64, result->deleted);
	(void)printf("; %s\n", output_duration(took_ns, time));
}

/* One job after another; what they did is added up. */
static int run_jobs(struct session *s, const struct place *place,
		    const struct restore_options *options, const struct in_place *in_place,
		    struct restore_result *ret_result)
{
	struct restore_result one;
	int r = 0;

	if (in_place->n == 0)
		return restore_run(s->timeline, &place->snapshot, s->cache, place->path, options,
				   ret_result);
	for (size_t i = 0; i < in_place->n && r == 0; i++) {
		struct restore_options job = *options;

		memset(&one, 0, sizeof(one));
		job.target = in_place->jobs[i].target;
		job.target_is_parent = in_place->jobs[i].is_parent;
		r = restore_run(s->timeline, &place->snapshot, s->cache, in_place->jobs[i].path,
				&job, &one);
		ret_result->files += one.files;
		ret_result->directories += one.directories;
		ret_result->others += one.others;
		ret_result->bytes += one.bytes;
		ret_result->written += one.written;
		ret_result->written_bytes += one.written_bytes;
		ret_result->deleted += one.deleted;
		ret_result->errors += one.errors;
		ret_result->incomplete += one.incomplete;
	}
	return r;
}

/* Run, with progress. 0 or -errno. */
static int run_restore(struct session *s, const struct cmd_globals *globals,
		       const struct place *place, struct restore_options *options,
		       const struct in_place *in_place, struct restore_result *ret_result)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct restore_progress counters = { 0 };
	int r = session_cache(s, CACHE_BYTES, 2);

	if (r == 0)
		r = progress_start(globals->verbosity < 0 || options->dry_run, sample, &counters,
				   &progress);
	if (r < 0)
		return r;
	/* cppcheck-suppress autoVariables; taken back right after the run */
	options->progress = &counters;
	r = run_jobs(s, place, options, in_place, ret_result);
	progress_stop(STEAL(progress));
	options->progress = NULL;
	return r;
}

static int say_shortfalls(const struct restore_result *result)
{
	if (result->errors)
		failure_note("%" PRIu64 " %s not restored (named above)", result->errors,
			     output_plural(result->errors, "object was", "objects were"));
	if (result->incomplete)
		failure_note("%" PRIu64 " %s an owner or another attribute (named above)%s",
			     result->incomplete,
			     output_plural(result->incomplete, "object lacks", "objects lack"),
			     geteuid() ? "; root can restore these" : "");
	return result->errors || result->incomplete ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

static void say_undo(const struct place *place, const struct in_place *in_place)
{
	if (in_place->safety.seq)
		failure_note("to undo it: yore restore '@%s:%s' --in-place --delete",
			     in_place->safety.name, place->path[0] ? place->path : "/");
}

/* Name the entry before anything is done for it. */
static int check_place(struct session *s, const struct place *place)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(record_done) struct record record = { 0 };
	struct entry_decoder decoder = { 0 };
	struct tree_entry entry;
	int r = session_cache(s, CACHE_BYTES, 2);

	if (r == 0)
		r = tree_reader_new(s->cache, &reader);
	if (r < 0)
		return failure_errno(r, "restore");
	r = place_entry(s, place, reader, &record, &decoder, &entry);
	entry_decoder_done(&decoder);
	return r;
}

static int restore(struct session *s, const struct cmd_globals *globals, struct request *q,
		   const char *text)
{
	CLEANUP(place_done) struct place place = { 0 };
	CLEANUP(in_place_done) struct in_place in_place = { 0 };
	struct restore_options *options = &q->options;
	struct in_place_options how = { options->delete_extra, q->no_safety, options->dry_run };
	struct restore_result result;
	int64_t start_ns = clock_now_ns();
	int64_t took_ns;
	int r = place_find(s, text, &place);

	if (r == EXIT_CODE_DONE && q->in_place)
		r = check_place(s, &place);
	/* From here on `latest` may be the safety snapshot: the place knows what was meant. */
	if (r == EXIT_CODE_DONE && q->in_place)
		r = in_place_prepare(s, &place, &how, &in_place);
	if (r != EXIT_CODE_DONE)
		return r;
	memset(&result, 0, sizeof(result));
	options->target_is_parent = place.path[0] != '\0';
	if (q->in_place)
		options->target = in_place.n == 1 ? in_place.jobs[0].target : "/";
	if (options->dry_run && !globals->json)
		options->planned = print_planned;
	r = run_restore(s, globals, &place, options, &in_place, &result);
	if (r < 0) {
		say_undo(&place, &in_place);
		return say_restore_failure(r, &place, options->target);
	}
	took_ns = clock_now_ns() - start_ns;
	if (!globals->json && globals->verbosity >= 0)
		print_summary(options, &result, took_ns);
	else if (globals->json && print_json(&place, options, &result, &in_place, took_ns) < 0)
		return failure_errno(-ENOMEM, "restore");
	say_undo(&place, &in_place);
	return say_shortfalls(&result);
}

static int take_threads(const struct options *o, struct restore_options *options)
{
	size_t n;

	if (options_size(optarg, &n) < 0 || n < 1 || n > THREADS_MAX)
		return options_wrong(o, "--threads wants a number from 1 to %d", THREADS_MAX);
	options->threads = (unsigned int)n;
	return EXIT_CODE_DONE;
}

static int take_option(const struct options *o, struct request *q, int c)
{
	struct restore_options *options = &q->options;

	switch (c) {
	case OPTION_IN_PLACE:
		q->in_place = true;
		return EXIT_CODE_DONE;
	case OPTION_NO_SAFETY:
		q->no_safety = true;
		return EXIT_CODE_DONE;
	case 't':
		options->target = optarg;
		return EXIT_CODE_DONE;
	case 'n':
		options->dry_run = true;
		return EXIT_CODE_DONE;
	case OPTION_DELETE:
		options->delete_extra = true;
		return EXIT_CODE_DONE;
	case OPTION_VERIFY:
		options->verify_existing = true;
		return EXIT_CODE_DONE;
	case OPTION_NO_OWNERSHIP:
		options->no_ownership = true;
		return EXIT_CODE_DONE;
	default:
		return take_threads(o, options);
	}
}

static int check_request(const struct options *o, const struct request *q)
{
	if (optind + 1 != o->argc)
		return options_wrong(o, "name what to restore as MOMENT or MOMENT:PATH");
	if (q->in_place && q->options.target)
		return options_wrong(o, "say --to DIR or --in-place, not both");
	if (q->in_place && o->globals.host)
		return options_wrong(o, "--in-place brings back what is this machine's; another "
					"host's needs --to DIR");
	if (q->no_safety && !q->in_place)
		return options_wrong(o, "--no-safety belongs to --in-place");
	if (!q->in_place && (!q->options.target || !q->options.target[0]))
		return options_wrong(o, "name the folder to restore into with --to DIR, or say "
					"--in-place");
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct request q = { .options = { .cancel = &cmd_cancelled, .problem = say_problem } };
	unsigned int flags;
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_restore, argc, argv);
	options_add(&o, "t:n", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		r = take_option(&o, &q, c);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	r = check_request(&o, &q);
	if (r != EXIT_CODE_DONE)
		return r;
	flags = q.in_place ? SESSION_OWN_HOST : 0;
	if (q.in_place && !q.no_safety && !q.options.dry_run)
		flags |= SESSION_WRITES;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, flags);
	return r == EXIT_CODE_DONE ? restore(&s, &o.globals, &q, argv[optind]) : r;
}

const struct cmd cmd_restore = {
	.name = "restore",
	.aliases = "",
	.summary = "bring files back",
	.help = "usage: yore restore MOMENT[:PATH] --to DIR | --in-place [options]\n"
		"\n"
		"Restores PATH, or everything, into DIR (made if missing), like cp -a:\n"
		"latest:/home/me/a arrives as DIR/a. What is there already and equal is left\n"
		"alone, so an interrupted restore goes on where it stopped; what the snapshot\n"
		"does not have stays. Every file is verified, and is never half there.\n"
		"With --in-place PATH goes back to where it was, after a snapshot of what is\n"
		"there now (tagged before-restore); how to undo it is said at the end.\n"
		"Exit 3: something could not be restored as it was (named on stderr).\n"
		"\n"
		"options:\n"
		"  -t, --to DIR, --target DIR\n"
		"                      where to\n"
		"      --in-place      over the original\n"
		"      --no-safety     without the snapshot before it\n"
		"      --delete        remove from there what the snapshot does not have\n"
		"  -n, --dry-run       only say what would be done\n"
		"      --verify        compare the bytes of files that look equal\n"
		"      --no-ownership  leave owners and groups alone\n"
		"      --threads N     work at N files at once\n"
		"\n"
		"examples:\n"
		"  yore restore latest:/home/me/report.odt --to /tmp\n"
		"  yore restore 2024-05-01:/etc --to /tmp/etc-of-may\n"
		"  yore restore latest --to /mnt/new-disk\n"
		"  yore restore yesterday:/home/me/report.odt --in-place\n",
	.run = run,
};
