/* SPDX-License-Identifier: MIT */
#include "snapshots/finder.h"
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { OPTION_BELOW = OPTIONS_FIRST_LONG, OPTION_SINCE, OPTION_UNTIL };

static const struct option longs[] = {
	{ "ignore-case", no_argument, NULL, 'i' },
	{ "long", no_argument, NULL, 'l' },
	{ "below", required_argument, NULL, OPTION_BELOW },
	{ "since", required_argument, NULL, OPTION_SINCE },
	{ "until", required_argument, NULL, OPTION_UNTIL },
	{ 0 },
};

struct search {
	struct finder_options options;
	const char *below;
	const char *since;
	const char *until;
	bool detailed;
	bool json;
	struct json_list list;
	uint64_t n;
};

static json_t *hit_json(const struct finder_hit *hit)
{
	json_t *o = describe_entry_json(hit->path, strlen(hit->path), hit->entry);
	char name[SNAPSHOT_NAME_BYTES + 1];

	if (!o)
		return NULL;
	(void)snprintf(name, sizeof(name), "@%s", hit->first_name);
	(void)json_object_set_new(o, "first", json_string(name));
	(void)snprintf(name, sizeof(name), "@%s", hit->last_name);
	(void)json_object_set_new(o, "last", json_string(name));
	(void)json_object_set_new(o, "first_seq", json_integer((json_int_t)hit->first_seq));
	(void)json_object_set_new(o, "last_seq", json_integer((json_int_t)hit->last_seq));
	return o;
}

/* The line can be given to cat, ls and restore as it is. */
static int print_hit(void *context, const struct finder_hit *hit)
{
	struct search *q = context;

	if (cmd_cancelled)
		return -ECANCELED;
	q->n++;
	if (q->json)
		return json_list_add(&q->list, hit_json(hit));
	if (q->detailed)
		describe_entry_line(stdout, hit->entry);
	(void)printf("@%s:", hit->last_name);
	output_name(stdout, hit->path, strlen(hit->path));
	if (q->detailed && hit->first_seq != hit->last_seq)
		(void)printf("  (since @%s)", hit->first_name);
	(void)putchar('\n');
	return 0;
}

/* Turn what the user named into sequences and a plain path. */
static int resolve(struct session *s, struct search *q, char **ret_below)
{
	struct snapshot_info info;
	int r = EXIT_CODE_DONE;

	if (q->since) {
		r = place_moment(s, q->since, &info);
		q->options.first_seq = info.seq;
	}
	if (r == EXIT_CODE_DONE && q->until) {
		r = place_moment(s, q->until, &info);
		q->options.last_seq = info.seq;
	}
	if (r != EXIT_CODE_DONE || !q->below)
		return r;
	if (q->below[0] != '/' || place_plain_path(q->below, ret_below) < 0)
		return failure(EXIT_CODE_USAGE, "find: --below wants an absolute path, not '%s'",
			       q->below);
	q->options.below = (*ret_below)[0] ? *ret_below : NULL;
	return EXIT_CODE_DONE;
}

static int search(struct session *s, struct search *q)
{
	CLEANUP(free_ptr) char *below = NULL;
	uint64_t unreadable = 0;
	int r = resolve(s, q, &below);

	if (r != EXIT_CODE_DONE)
		return r;
	r = session_cache(s, 0, 2);
	if (r < 0)
		return failure_errno(r, "find");
	if (q->json)
		json_list_begin(&q->list, stdout);
	r = finder_run(s->timeline, s->cache, &q->options, print_hit, q, &unreadable);
	if (q->json)
		json_list_end(&q->list);
	if (r == -EINVAL)
		return failure(EXIT_CODE_USAGE, "find: '%s' is no pattern; see 'yore find --help'",
			       q->options.pattern);
	if (r < 0)
		return failure_errno(r, "cannot search the snapshots");
	if (unreadable)
		return failure(EXIT_CODE_PARTIAL,
			       "%" PRIu64 " folders could not be read (named above)", unreadable);
	if (q->n == 0 && !q->json)
		failure_note("no snapshot has a name like '%s'", q->options.pattern);
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct search q = { 0 };
	struct options o;
	int c, r;

	options_init(&o, globals, &cmd_find, argc, argv);
	options_add(&o, "il", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		if (c == 'i')
			q.options.ignore_case = true;
		else if (c == 'l')
			q.detailed = true;
		else if (c == OPTION_BELOW)
			q.below = optarg;
		else if (c == OPTION_SINCE)
			q.since = optarg;
		else
			q.until = optarg;
	}
	if (optind + 1 != argc)
		return options_wrong(&o, "name one pattern");
	q.options.pattern = argv[optind];
	q.json = o.globals.json;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	return r == EXIT_CODE_DONE ? search(&s, &q) : r;
}

const struct cmd cmd_find = {
	.name = "find",
	.aliases = "",
	.summary = "look for names in all snapshots",
	.help = "usage: yore find PATTERN [options] [--json] [--host NAME]\n"
		"\n"
		"Prints every distinct version of every file whose name matches, as MOMENT:PATH\n"
		"of the last snapshot that has it, so that it can be given to cat or restore.\n"
		"A pattern without '/' is compared with names, one with '/' with paths. '*', '?'\n"
		"and [...] are wildcards; '**' is any number of folders.\n"
		"\n"
		"options:\n"
		"  -i, --ignore-case   capitals and small letters are the same\n"
		"  -l, --long          modes, owners, sizes, times, and since when\n"
		"      --below PATH    only below this folder\n"
		"      --since MOMENT  only in snapshots from here on\n"
		"      --until MOMENT  only in snapshots up to here\n"
		"\n"
		"examples:\n"
		"  yore find report.odt\n"
		"  yore find -l '*.jpg' --below /home/me/Pictures\n"
		"  yore find 'src/**/main.c' --since 2-weeks-ago\n",
	.run = run,
};
