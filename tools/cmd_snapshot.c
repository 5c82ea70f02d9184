/* SPDX-License-Identifier: MIT */
#include "snapshots/capture.h"
#include "snapshots/moment.h"
#include "store/base/bytes.h"
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define EXCLUDE_FILE_BYTES_MAX MIB(1)

enum { OPTION_EXCLUDE_FILE = OPTIONS_FIRST_LONG, OPTION_EXCLUDE_CACHES, OPTION_ACCEPT };

static const struct option longs[] = {
	{ "tag", required_argument, NULL, 't' },
	{ "exclude", required_argument, NULL, 'e' },
	{ "exclude-file", required_argument, NULL, OPTION_EXCLUDE_FILE },
	{ "exclude-caches", no_argument, NULL, OPTION_EXCLUDE_CACHES },
	{ "one-file-system", no_argument, NULL, 'x' },
	{ "accept", required_argument, NULL, OPTION_ACCEPT },
	{ "dry-run", no_argument, NULL, 'n' },
	{ 0 },
};

/* What the user asks for. */
struct request {
	struct byte_buf excludes; /* newline-separated */
	bool excludes_given;
	uint32_t flags;
	const char *tags[RECORD_TAGS_MAX];
	size_t n_tags;
	struct capture_source *sources;
	size_t n_sources;
	bool dry_run;
};

static void request_done(struct request *q)
{
	byte_buf_done(&q->excludes);
	free(q->sources);
}

static void add_exclude(struct request *q, const char *line, size_t n)
{
	q->excludes_given = true;
	if (n == 0)
		return;
	byte_buf_append(&q->excludes, line, n);
	if (line[n - 1] != '\n')
		byte_buf_u8(&q->excludes, '\n');
}

static int add_exclude_file(struct request *q, const char *path)
{
	FILE *file = fopen(path, "re");
	CLEANUP(free_ptr) char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int r = 0;

	if (!file)
		return failure_errno(-errno, "cannot read the exclude file %s", path);
	q->excludes_given = true;
	while ((n = getline(&line, &room, file)) > 0 && q->excludes.n < EXCLUDE_FILE_BYTES_MAX)
		add_exclude(q, line, (size_t)n);
	if (ferror(file))
		r = failure_errno(-errno, "cannot read the exclude file %s", path);
	else if (q->excludes.n >= EXCLUDE_FILE_BYTES_MAX)
		r = failure(EXIT_CODE_USAGE, "the exclude file %s is larger than 1 MiB", path);
	(void)fclose(file);
	return r;
}

static int add_tag(struct request *q, const struct options *o, const char *tag)
{
	if (!moment_tag_valid(tag))
		return options_wrong(o,
				     "'%s' cannot be a tag: letters, digits, '-' and '_', at most "
				     "64, no time and no id",
				     tag);
	if (q->n_tags == RECORD_TAGS_MAX)
		return options_wrong(o, "more than %d tags", RECORD_TAGS_MAX);
	q->tags[q->n_tags++] = tag;
	return EXIT_CODE_DONE;
}

/* A path once, whatever the number of times it is named. */
static void add_source(struct request *q, const char *path, bool accept)
{
	for (size_t i = 0; i < q->n_sources; i++) {
		if (strcmp(q->sources[i].path, path) == 0) {
			q->sources[i].accept |= accept;
			return;
		}
	}
	q->sources[q->n_sources++] = (struct capture_source){ .path = path, .accept = accept };
}

static int take_option(struct request *q, const struct options *o, int c)
{
	switch (c) {
	case 't':
		return add_tag(q, o, optarg);
	case 'e':
		add_exclude(q, optarg, strlen(optarg));
		return EXIT_CODE_DONE;
	case OPTION_EXCLUDE_FILE:
		return add_exclude_file(q, optarg);
	case OPTION_EXCLUDE_CACHES:
		q->flags |= SOURCE_EXCLUDE_CACHES;
		q->excludes_given = true;
		return EXIT_CODE_DONE;
	case 'x':
		q->flags |= SOURCE_ONE_FILE_SYSTEM;
		q->excludes_given = true;
		return EXIT_CODE_DONE;
	case OPTION_ACCEPT:
		add_source(q, optarg, true);
		return EXIT_CODE_DONE;
	default:
		q->dry_run = true;
		return EXIT_CODE_DONE;
	}
}

static int read_request(struct request *q, struct options *o, bool *ret_stop)
{
	int c, r;

	*ret_stop = true;
	options_add(o, "t:e:xn", longs);
	q->sources = calloc((size_t)o->argc + 1, sizeof(*q->sources));
	if (!q->sources)
		return failure_errno(-ENOMEM, "snapshot");
	while ((c = options_next(o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o->exit_code;
		r = take_option(q, o, c);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	for (int i = optind; i < o->argc; i++)
		add_source(q, o->argv[i], false);
	if (q->excludes_given && q->n_sources == 0)
		return options_wrong(o, "name the PATH that excludes and -x are for");
	byte_buf_u8(&q->excludes, '\0');
	if (q->excludes.failed)
		return failure_errno(-ENOMEM, "snapshot");
	for (size_t i = 0; q->excludes_given && i < q->n_sources; i++) {
		q->sources[i].excludes = (const char *)q->excludes.data;
		q->sources[i].flags = q->flags;
	}
	*ret_stop = false;
	return EXIT_CODE_DONE;
}

static void say_problem(void *context, const char *path, const char *what, int error)
{
	(void)context;
	if (error)
		failure_note("%s: %s: %s", path, what, failure_reason(error));
	else
		failure_note("%s: %s", path, what);
}

static void sample(void *context, struct progress_state *ret_state)
{
	struct capture_progress *p = context;

	*ret_state = (struct progress_state){ .verb = "capturing",
					      .done = atomic_load(&p->bytes_read),
					      .bytes = true,
					      .objects = atomic_load(&p->files) +
							 atomic_load(&p->directories) +
							 atomic_load(&p->others),
					      .noun = "objects" };
}

static int say_capture_failure(int r, const struct request *q)
{
	if (r == -ENOENT && q->n_sources == 0)
		return failure(EXIT_CODE_FAILED,
			       "nothing is protected yet; name what to take: 'yore snapshot PATH'");
	if (r == -ENOENT)
		return failure(EXIT_CODE_FAILED,
			       "no snapshot was taken: a path is not there and never was "
			       "protected; check its spelling");
	if (r == -ECANCELED)
		return failure(EXIT_CODE_INTERRUPTED,
			       "interrupted; no snapshot was taken, and the next one goes on from "
			       "what was stored");
	return failure_errno(r, "no snapshot was taken");
}

static int print_json(struct session *s, const struct capture_result *result, bool dry_run,
		      int64_t took_ns)
{
	CLEANUP(free_ptr) char *host = session_host_name(s);
	json_t *o = dry_run ? json_object()
			    : describe_snapshot_json(&result->snapshot, host ? host : "");

	if (!o)
		return -ENOMEM;
	(void)json_object_set_new(o, "dry_run", json_boolean(dry_run));
	(void)json_object_set_new(o, "files", json_integer((json_int_t)result->files));
	(void)json_object_set_new(o, "directories", json_integer((json_int_t)result->directories));
	(void)json_object_set_new(o, "others", json_integer((json_int_t)result->others));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)result->bytes));
	(void)json_object_set_new(o, "files_read", json_integer((json_int_t)result->files_read));
	(void)json_object_set_new(o, "bytes_read", json_integer((json_int_t)result->bytes_read));
	(void)json_object_set_new(o, "errors", json_integer((json_int_t)result->errors));
	(void)json_object_set_new(o, "absent", json_integer((json_int_t)result->n_absent));
	(void)json_object_set_new(o, "seconds", json_real((double)took_ns / 1e9));
	return output_json(o);
}

static void print_summary(const struct capture_result *result, bool dry_run, int64_t took_ns)
{
	char size[OUTPUT_SIZE_BYTES], read[OUTPUT_SIZE_BYTES], fresh[OUTPUT_SIZE_BYTES];
	char time[OUTPUT_TIME_BYTES];

	if (dry_run)
		(void)printf("would take %" PRIu64 " %s (%s), reading %" PRIu64 " of them; %s\n",
			     result->files, output_plural(result->files, "file", "files"),
			     output_size(result->bytes, size), result->files_read,
			     output_duration(took_ns, time));
	else
		(void)printf("@%s  %" PRIu64 " %s, %s; read %" PRIu64 " (%s), %s new, %s\n",
			     result->snapshot.name, result->files,
			     output_plural(result->files, "file", "files"),
			     output_size(result->bytes, size), result->files_read,
			     output_size(result->bytes_read, read),
			     output_size(result->snapshot.new_stored_bytes, fresh),
			     output_duration(took_ns, time));
}

static int capture(struct session *s, const struct request *q, const struct cmd_globals *globals)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct capture_progress counters = { 0 };
	struct capture_result result;
	struct capture_options options = { .sources = q->sources,
					   .n_sources = q->n_sources,
					   .tags = q->tags,
					   .n_tags = q->n_tags,
					   .reason = "manual",
					   .cancel = &cmd_cancelled,
					   .progress = &counters,
					   .problem = say_problem,
					   .dry_run = q->dry_run };
	int64_t start_ns = clock_now_ns();
	int64_t took_ns;
	int r;

	memset(&result, 0, sizeof(result));
	r = progress_start(globals->verbosity < 0, sample, &counters, &progress);
	if (r < 0)
		return failure_errno(r, "snapshot");
	r = capture_run(s->timeline, &options, &result);
	progress_stop(STEAL(progress));
	if (r < 0)
		return say_capture_failure(r, q);

	took_ns = clock_now_ns() - start_ns;
	if (!globals->json && globals->verbosity >= 0)
		print_summary(&result, q->dry_run, took_ns);
	else if (globals->json && print_json(s, &result, q->dry_run, took_ns) < 0)
		return failure_errno(-ENOMEM, "snapshot");
	if (result.n_absent)
		failure_note("%" PRIu32
			     " protected %s last state; plug the disk in, or run 'yore snapshot "
			     "--accept PATH'",
			     result.n_absent,
			     output_plural(result.n_absent, "path is absent and keeps its",
					   "paths are absent and keep their"));
	if (result.errors)
		failure_note("%" PRIu64 " %s (named above)", result.errors,
			     output_plural(result.errors, "object was not captured as it is",
					   "objects were not captured as they are"));
	return result.errors || result.n_absent ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	CLEANUP(request_done) struct request q = { 0 };
	struct options o;
	bool stop;
	int r;

	options_init(&o, globals, &cmd_snapshot, argc, argv);
	r = read_request(&q, &o, &stop);
	if (stop)
		return r;
	r = session_open(&s, &o.globals, SESSION_TIMELINE,
			 SESSION_OWN_HOST | (q.dry_run ? 0 : SESSION_WRITES));
	return r == EXIT_CODE_DONE ? capture(&s, &q, &o.globals) : r;
}

const struct cmd cmd_snapshot = {
	.name = "snapshot",
	.aliases = "backup",
	.summary = "take a snapshot",
	.help = "usage: yore snapshot [PATH...] [options]\n"
		"\n"
		"Takes a snapshot of every PATH; from then on each is part of every snapshot.\n"
		"Without PATH: of everything protected so far. When it returns, the snapshot\n"
		"survives a power cut. Exit 3: taken, but something is missing (named on stderr).\n"
		"\n"
		"options:\n"
		"  -t, --tag TAG            name the snapshot; may be repeated\n"
		"  -e, --exclude PATTERN    leave out what matches, as in .gitignore\n"
		"      --exclude-file FILE  patterns from a file\n"
		"      --exclude-caches     leave out folders with a CACHEDIR.TAG\n"
		"  -x, --one-file-system    stay on the file system of PATH\n"
		"      --accept PATH        take PATH as it is now, though its disk is another\n"
		"                           one than before, or is gone\n"
		"  -n, --dry-run            only say what would be read\n"
		"Excludes and -x hold for the PATHs given, replace those given before and are\n"
		"remembered; --exclude '' drops them.\n"
		"\n"
		"examples:\n"
		"  yore snapshot ~/Documents ~/Pictures\n"
		"  yore snapshot / -x --exclude '*.iso' --tag before-upgrade\n"
		"  yore snapshot\n",
	.run = run,
};
