/* SPDX-License-Identifier: MIT */
#include "snapshots/capture.h"
#include "snapshots/moment.h"
#include "store/base/bytes.h"
#include "tools/cmd_table.h"
#include "tools/config_value.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/hold.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/session.h"
#include "tools/stream_source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define EXCLUDE_FILE_BYTES_MAX MIB(1)
#define HOOK_LIMIT_MS 60000u

enum {
	OPTION_EXCLUDE_FILE = OPTIONS_FIRST_LONG,
	OPTION_EXCLUDE_CACHES,
	OPTION_ACCEPT,
	OPTION_STDIN_NAME,
	OPTION_STDIN_COMMAND,
	OPTION_BEFORE,
	OPTION_AFTER,
	OPTION_HOOK_TIMEOUT,
	OPTION_METHOD,
};

static const struct option longs[] = {
	{ "tag", required_argument, NULL, 't' },
	{ "exclude", required_argument, NULL, 'e' },
	{ "exclude-file", required_argument, NULL, OPTION_EXCLUDE_FILE },
	{ "exclude-caches", no_argument, NULL, OPTION_EXCLUDE_CACHES },
	{ "one-file-system", no_argument, NULL, 'x' },
	{ "accept", required_argument, NULL, OPTION_ACCEPT },
	{ "stdin-name", required_argument, NULL, OPTION_STDIN_NAME },
	{ "stdin-command", required_argument, NULL, OPTION_STDIN_COMMAND },
	{ "before", required_argument, NULL, OPTION_BEFORE },
	{ "after", required_argument, NULL, OPTION_AFTER },
	{ "hook-timeout", required_argument, NULL, OPTION_HOOK_TIMEOUT },
	{ "method", required_argument, NULL, OPTION_METHOD },
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
	char *stream_path;          /* absolute; NULL: no stream */
	const char *stream_command; /* NULL: standard input */
	const char *before, *after;
	enum hold_method method;
	bool limit_given;
	uint64_t limit_ms;
};

/* What goes on around the capture itself, as the library's callbacks see it. */
struct run {
	struct stream_source *stream;
	struct record head; /* whose sources are captured when none is named */
};

static void run_done(struct run *run)
{
	stream_source_free(run->stream);
	record_done(&run->head);
}

static void request_done(struct request *q)
{
	byte_buf_done(&q->excludes);
	free(q->sources);
	free(q->stream_path);
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

static int set_method(struct request *q, const struct options *o, const char *word)
{
	static const char *const words[] = {
		[HOLD_AUTO] = "auto",
		[HOLD_PLAIN] = "plain",
		[HOLD_BTRFS] = "btrfs",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(word, words[i]) == 0) {
			q->method = (enum hold_method)i;
			return EXIT_CODE_DONE;
		}
	return options_wrong(o, "'%s' is no method: auto, plain or btrfs", word);
}

static int set_stream_name(struct request *q, const char *name)
{
	free(q->stream_path);
	if (asprintf(&q->stream_path, "%s%s", name[0] == '/' ? "" : "/", name) < 0) {
		q->stream_path = NULL;
		return failure_errno(-ENOMEM, "snapshot");
	}
	return EXIT_CODE_DONE;
}

/* Options about how the sources hold still, and about streams. */
static int take_whole_option(struct request *q, const struct options *o, int c)
{
	switch (c) {
	case OPTION_STDIN_NAME:
		return set_stream_name(q, optarg);
	case OPTION_STDIN_COMMAND:
		q->stream_command = optarg;
		return EXIT_CODE_DONE;
	case OPTION_BEFORE:
		q->before = optarg;
		return EXIT_CODE_DONE;
	case OPTION_AFTER:
		q->after = optarg;
		return EXIT_CODE_DONE;
	case OPTION_HOOK_TIMEOUT:
		q->limit_given = true;
		if (config_value_duration(optarg, &q->limit_ms) < 0)
			return options_wrong(o, "'%s' is no duration: 30s, 5min, 1h", optarg);
		return EXIT_CODE_DONE;
	default:
		return set_method(q, o, optarg);
	}
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
	case 'n':
		q->dry_run = true;
		return EXIT_CODE_DONE;
	default:
		return take_whole_option(q, o, c);
	}
}

/* A stream is a snapshot of its own, of that one file. */
static int check_stream(struct request *q, const struct options *o)
{
	if (!q->stream_path)
		return q->stream_command ? options_wrong(o, "--stdin-command needs --stdin-name")
					 : EXIT_CODE_DONE;
	if (q->n_sources > 0 || q->excludes_given)
		return options_wrong(o, "--stdin-name captures one stream: no PATHs and excludes "
					"beside it");
	if (q->dry_run)
		return options_wrong(o, "a stream cannot be read only to see what it holds: no -n");
	if (!q->stream_command && isatty(STDIN_FILENO))
		return options_wrong(o, "standard input is a terminal; pipe a program's output "
					"into it, or name one with --stdin-command");
	q->sources[q->n_sources++] = (struct capture_source){ .path = q->stream_path,
							      .is_stream = true,
							      .stream_fd = STDIN_FILENO };
	/* A program tells whether it came to its end; a pipe does not. */
	if (q->stream_command)
		q->sources[0].consistency = CONSISTENCY_HOOK;
	return EXIT_CODE_DONE;
}

static int read_request(struct request *q, struct options *o, bool *ret_stop)
{
	int c, r;

	*ret_stop = true;
	options_add(o, "t:e:xn", longs);
	q->limit_ms = HOOK_LIMIT_MS;
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
	r = check_stream(q, o);
	*ret_stop = r != EXIT_CODE_DONE;
	return r;
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
	if (q->stream_path && r != -ECANCELED)
		return failure(EXIT_CODE_FAILED,
			       "no snapshot was taken: the stream could not be captured (see "
			       "above)");
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
	CLEANUP(record_done) struct record record = { 0 };
	json_t *o = dry_run ? json_object()
			    : describe_snapshot_json(&result->snapshot, host ? host : "");

	if (!o)
		return -ENOMEM;
	if (!dry_run && timeline_read(s->timeline, result->snapshot.seq, &record) == 0)
		(void)describe_sources_json(o, &record);
	(void)json_object_set_new(o, "dry_run", json_boolean(dry_run));
	(void)json_object_set_new(o, "files", json_integer((json_int_t)result->files));
	(void)json_object_set_new(o, "directories", json_integer((json_int_t)result->directories));
	(void)json_object_set_new(o, "others", json_integer((json_int_t)result->others));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)result->bytes));
	(void)json_object_set_new(o, "files_read", json_integer((json_int_t)result->files_read));
	(void)json_object_set_new(o, "bytes_read", json_integer((json_int_t)result->bytes_read));
	(void)json_object_set_new(o, "errors", json_integer((json_int_t)result->errors));
	(void)json_object_set_new(o, "absent", json_integer((json_int_t)result->n_absent));
	(void)json_object_set_new(o, "smeared", json_integer((json_int_t)result->n_smeared));
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

/* What could not be captured as it is. */
static int report_shortfall(const struct capture_result *result)
{
	if (result->n_absent)
		failure_note("%" PRIu32
			     " protected %s last state; plug the disk in, or run 'yore snapshot "
			     "--accept PATH'",
			     result->n_absent,
			     output_plural(result->n_absent, "path is absent and keeps its",
					   "paths are absent and keep their"));
	if (result->errors)
		failure_note("%" PRIu64 " %s (named above)", result->errors,
			     output_plural(result->errors, "object was not captured as it is",
					   "objects were not captured as they are"));
	return result->errors || result->n_absent ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

static int report(struct session *s, const struct request *q, const struct cmd_globals *globals,
		  const struct capture_result *result, int64_t took_ns)
{
	int code;

	if (!globals->json && globals->verbosity >= 0)
		print_summary(result, q->dry_run, took_ns);
	else if (globals->json && print_json(s, result, q->dry_run, took_ns) < 0)
		return failure_errno(-ENOMEM, "snapshot");
	code = report_shortfall(result);
	if (!q->stream_path || result->bytes > 0)
		return code;
	failure_note("%s is empty: nothing came from %s", q->stream_path,
		     q->stream_command ? "the command" : "standard input");
	return EXIT_CODE_PARTIAL;
}

static int stream_ended(void *context, const struct capture_source *source)
{
	struct run *run = context;

	(void)source;
	return run->stream ? stream_source_ended(run->stream) : 0;
}

/* Without a PATH: the sources of the newest record, to hold each of them still. */
static int name_sources(struct session *s, struct request *q, struct run *run)
{
	struct snapshot_info info;
	int r = timeline_latest(s->timeline, &info);

	if (r == 0)
		r = timeline_read(s->timeline, info.seq, &run->head);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	free(q->sources);
	q->sources = calloc(run->head.n_sources + 1, sizeof(*q->sources));
	if (!q->sources)
		return -ENOMEM;
	for (size_t i = 0; i < run->head.n_sources; i++)
		if (!(run->head.sources[i].flags & SOURCE_STREAM))
			q->sources[q->n_sources++] =
				(struct capture_source){ .path = run->head.sources[i].path };
	return 0;
}

/* The hooks, the frozen copies, the program: everything that must stand before reading begins. */
static int prepare(struct session *s, struct request *q, struct run *run, struct hold **ret_hold)
{
	const char *repository = io_real_path(store_io(s->store));
	struct hold_options hold = { .before = q->before,
				     .after = q->after,
				     .limit_ms = q->limit_ms,
				     .method = q->method,
				     .repository = repository,
				     .cancel = &cmd_cancelled };
	struct stream_source_options stream = { .command = q->stream_command,
						.source = q->stream_path,
						.repository = repository,
						.limit_ms = q->limit_given ? q->limit_ms : 0,
						.cancel = &cmd_cancelled };
	int r = 0;

	if (q->dry_run)
		return 0;
	if (q->n_sources == 0)
		r = name_sources(s, q, run);
	if (r == 0 && q->n_sources > 0)
		r = hold_sources(q->sources, q->n_sources, &hold, ret_hold);
	if (r == 0 && q->stream_command)
		r = stream_source_start(&stream, &run->stream);
	if (r == 0 && run->stream)
		q->sources[0].stream_fd = stream_source_fd(run->stream);
	return r;
}

static int capture(struct session *s, struct request *q, const struct cmd_globals *globals)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	CLEANUP(run_done) struct run run = { 0 };
	CLEANUP(hold_free_ptr) struct hold *hold = NULL;
	struct capture_progress counters = { 0 };
	struct capture_result result;
	struct capture_options options = { .tags = q->tags,
					   .n_tags = q->n_tags,
					   .reason = "manual",
					   .cancel = &cmd_cancelled,
					   .progress = &counters,
					   .problem = say_problem,
					   .stream_ended = stream_ended,
					   .context = &run,
					   .dry_run = q->dry_run };
	int64_t start_ns = clock_now_ns();
	int r, thawed;

	memset(&result, 0, sizeof(result));
	r = prepare(s, q, &run, &hold);
	if (r == -ECANCELED)
		return say_capture_failure(r, q);
	if (r < 0)
		return failure(EXIT_CODE_FAILED,
			       "no snapshot was taken: what is to happen before it failed (see "
			       "above)");
	options.sources = q->sources;
	options.n_sources = q->n_sources;
	r = progress_start(globals->verbosity < 0, sample, &counters, &progress);
	if (r < 0)
		return failure_errno(r, "snapshot");
	r = capture_run(s->timeline, &options, &result);
	progress_stop(STEAL(progress));
	thawed = hold_release(STEAL(hold));
	if (r < 0)
		return say_capture_failure(r, q);
	r = report(s, q, globals, &result, clock_now_ns() - start_ns);
	return r == EXIT_CODE_DONE && thawed < 0 ? EXIT_CODE_PARTIAL : r;
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
		"       yore snapshot --stdin-name NAME [--stdin-command COMMAND] [options]\n"
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
		"      --method METHOD      auto: from a btrfs snapshot where that can be made\n"
		"                           (the default); btrfs: so or not at all; plain: as it "
		"lies\n"
		"      --before COMMAND     run by the shell before anything is read; if it "
		"fails,\n"
		"                           there is no snapshot\n"
		"      --after COMMAND      always run once --before was started, whatever "
		"happens\n"
		"      --hook-timeout TIME  end each of them after so long (60s); 0: never\n"
		"      --stdin-name NAME    capture standard input as the file /NAME\n"
		"      --stdin-command COMMAND  this program's output instead; if it fails, there "
		"is\n"
		"                           no snapshot\n"
		"Excludes and -x hold for the PATHs given, replace those given before and are\n"
		"remembered; --exclude '' drops them.\n"
		"\n"
		"examples:\n"
		"  yore snapshot ~/Documents ~/Pictures\n"
		"  yore snapshot / -x --exclude '*.iso' --tag before-upgrade\n"
		"  yore snapshot --stdin-name /dumps/shop.sql --stdin-command 'pg_dump shop'\n"
		"  yore snapshot\n",
	.run = run,
};
