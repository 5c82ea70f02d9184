/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { OPTION_NAMES = OPTIONS_FIRST_LONG, OPTION_SOURCES, OPTION_TAG };

static const struct option longs[] = {
	{ "names", no_argument, NULL, OPTION_NAMES },
	{ "sources", no_argument, NULL, OPTION_SOURCES },
	{ "tag", required_argument, NULL, OPTION_TAG },
	{ 0 },
};

struct listing {
	struct timeline *timeline;
	const char *host;
	const char *tag; /* NULL: all */
	bool names;
	bool sources; /* reads every record */
	bool json;
	struct json_list list;
	uint64_t n;
};

static bool has_tag(const char *tags, const char *tag)
{
	size_t n = strlen(tag);

	while (*tags) {
		size_t length = strcspn(tags, ",");

		if (length == n && memcmp(tags, tag, n) == 0)
			return true;
		tags += length + (tags[length] == ',');
	}
	return false;
}

static void print_line(const struct snapshot_info *info)
{
	char time[OUTPUT_TIME_BYTES], size[OUTPUT_SIZE_BYTES], fresh[OUTPUT_SIZE_BYTES];

	(void)printf("@%-22s  %-25s %9" PRIu64 " %9s %9s  ", info->name,
		     output_time(info->time_ns, time), info->files, output_size(info->bytes, size),
		     output_size(info->new_stored_bytes, fresh));
	output_name(stdout, info->tags, strlen(info->tags));
	if (info->n_absent)
		(void)printf("%s(%" PRIu32 " absent)", info->tags[0] ? " " : "", info->n_absent);
	if (info->errors)
		(void)printf("%s(%" PRIu64 " errors)", info->tags[0] || info->n_absent ? " " : "",
			     info->errors);
	(void)putchar('\n');
}

static int add_json(struct listing *l, const struct snapshot_info *info)
{
	CLEANUP(record_done) struct record record = { 0 };
	json_t *o = describe_snapshot_json(info, l->host);

	/* A record that cannot be read, or was forgotten meanwhile, is listed without that. */
	if (l->sources && o && timeline_read(l->timeline, info->seq, &record) == 0)
		(void)describe_sources_json(o, &record);
	return json_list_add(&l->list, o);
}

static void print_sources(struct listing *l, const struct snapshot_info *info)
{
	CLEANUP(record_done) struct record record = { 0 };
	char size[OUTPUT_SIZE_BYTES];

	if (timeline_read(l->timeline, info->seq, &record) < 0)
		return;
	for (size_t i = 0; i < record.n_sources; i++) {
		const struct record_source *s = &record.sources[i];

		(void)printf("  %-21s  %-25s %9" PRIu64 " %9s  ", "",
			     s->state == SOURCE_ABSENT ? "absent"
						       : consistency_name(s->consistency),
			     s->files, output_size(s->bytes, size));
		output_name(stdout, s->path, strlen(s->path));
		(void)putchar('\n');
	}
}

static int visit(void *context, const struct snapshot_info *info)
{
	struct listing *l = context;

	if (cmd_cancelled)
		return -ECANCELED;
	if (l->tag && !has_tag(info->tags, l->tag))
		return 0;
	if (l->json)
		return add_json(l, info);
	if (l->names) {
		(void)printf("@%s\n", info->name);
		return 0;
	}
	if (l->n++ == 0)
		(void)printf("%-23s  %-25s %9s %9s %9s  %s\n", "name", "local time", "files",
			     "size", "new", "tags");
	print_line(info);
	if (l->sources)
		print_sources(l, info);
	return 0;
}

static int print_all(struct session *s, struct listing *l)
{
	CLEANUP(free_ptr) char *host = session_host_name(s);
	int r;

	if (!host)
		return failure_errno(-ENOMEM, "snapshots");
	l->host = host;
	l->timeline = s->timeline;
	if (l->json)
		json_list_begin(&l->list, stdout);
	r = timeline_each(s->timeline, false, visit, l);
	if (l->json)
		json_list_end(&l->list);
	if (r < 0)
		return failure_errno(r, "cannot list the snapshots");
	if (!l->json && !l->names && l->n == 0)
		failure_note(l->tag ? "no snapshot has that tag"
				    : "there are no snapshots yet; take one with 'yore snapshot "
				      "PATH'");
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct listing l = { 0 };
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_snapshots, argc, argv);
	options_add(&o, "", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		if (c == OPTION_NAMES)
			l.names = true;
		else if (c == OPTION_SOURCES)
			l.sources = true;
		else
			l.tag = optarg;
	}
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	l.json = o.globals.json;
	if (l.sources && l.names)
		return options_wrong(&o, "--names and --sources exclude each other");
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	return r == EXIT_CODE_DONE ? print_all(&s, &l) : r;
}

const struct cmd cmd_snapshots = {
	.name = "snapshots",
	.aliases = "log",
	.summary = "list the snapshots",
	.help = "usage: yore snapshots [--tag TAG] [--names | --sources] [--json] [--host NAME]\n"
		"\n"
		"Lists the snapshots, the newest last: name, local time, number and size of the\n"
		"files in it, what it added to the repository, tags.\n"
		"\n"
		"options:\n"
		"      --tag TAG  only those with this tag\n"
		"      --names    only the names\n"
		"      --sources  with the sources of each, and how far their files belong\n"
		"                 together; reads one file a snapshot\n"
		"\n"
		"examples:\n"
		"  yore snapshots\n"
		"  yore log --json | jq -r '.[-1].name'\n",
	.run = run,
};
