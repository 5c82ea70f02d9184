/* SPDX-License-Identifier: MIT */
#include "snapshots/retention.h"
#include "tools/cmd_table.h"
#include "tools/config.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/place.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

/* A mount that is asked lets go of what nobody uses within a moment. */
#define BUSY_TRIES 10
#define BUSY_WAIT_MS 200
#define NAMES_SHOWN 5

enum {
	OPTION_KEEP = OPTIONS_FIRST_LONG,
	OPTION_LAST,
	OPTION_HOURLY,
	OPTION_DAILY,
	OPTION_WEEKLY,
	OPTION_MONTHLY,
	OPTION_YEARLY,
	OPTION_WITHIN,
	OPTION_TAG,
	OPTION_TRUST_CLOCK,
	OPTION_PRUNE,
	OPTION_FORCE
};

static const struct option longs[] = {
	{ "keep", required_argument, NULL, OPTION_KEEP },
	{ "keep-last", required_argument, NULL, OPTION_LAST },
	{ "keep-hourly", required_argument, NULL, OPTION_HOURLY },
	{ "keep-daily", required_argument, NULL, OPTION_DAILY },
	{ "keep-weekly", required_argument, NULL, OPTION_WEEKLY },
	{ "keep-monthly", required_argument, NULL, OPTION_MONTHLY },
	{ "keep-yearly", required_argument, NULL, OPTION_YEARLY },
	{ "keep-within", required_argument, NULL, OPTION_WITHIN },
	{ "keep-tag", required_argument, NULL, OPTION_TAG },
	{ "trust-clock", no_argument, NULL, OPTION_TRUST_CLOCK },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "prune", no_argument, NULL, OPTION_PRUNE },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ 0 },
};

/* What --keep-hourly and its like count. */
static const struct {
	int option;
	const char *name;
	enum retention_slot slot;
	uint32_t seconds;
} counted[] = {
	{ OPTION_LAST, "last", SLOT_ALL, 0 },
	{ OPTION_HOURLY, "hourly", SLOT_SECONDS, 3600 },
	{ OPTION_DAILY, "daily", SLOT_DAY, 0 },
	{ OPTION_WEEKLY, "weekly", SLOT_WEEK, 0 },
	{ OPTION_MONTHLY, "monthly", SLOT_MONTH, 0 },
	{ OPTION_YEARLY, "yearly", SLOT_YEAR, 0 },
};

/* What the user asks for. */
struct request {
	struct retention_policy policy; /* no rules: the configured one */
	bool dry_run, prune, force;
	char **moments;
	size_t n_moments;
};

/* What is to be done: every snapshot with its verdict, and those to forget. */
struct work {
	struct retention_plan plan; /* only with a policy */
	uint64_t *seqs;             /* ascending */
	size_t n;
};

static void work_done(struct work *w)
{
	retention_plan_done(&w->plan);
	free(w->seqs);
}

/* ---- options ---- */

static int say_rule(const struct options *o, int r, char *wrong)
{
	CLEANUP(free_ptr) char *text = wrong;

	if (r == -ENOMEM)
		return failure_errno(r, "forget");
	return r < 0 ? options_wrong(o, "%s", text) : EXIT_CODE_DONE;
}

static int take_count(const struct options *o, struct request *q, size_t i)
{
	char text[48];
	size_t n;

	if (options_size(optarg, &n) < 0 || n < 1 || n > RETENTION_COUNT_MAX)
		return options_wrong(o, "--keep-%s wants a number from 1 to %d", counted[i].name,
				     RETENTION_COUNT_MAX);
	(void)snprintf(text, sizeof(text), "%s %zu", counted[i].name, n);
	if (retention_add_count(&q->policy, counted[i].slot, counted[i].seconds, (uint32_t)n,
				text) < 0)
		return options_wrong(o, "more than %d rules", RETENTION_RULES_MAX);
	return EXIT_CODE_DONE;
}

/* "all for 7d", "tag golden" */
static int take_rule(const struct options *o, struct request *q, const char *word)
{
	CLEANUP(free_ptr) char *text = NULL;
	char *wrong = NULL;
	int r;

	if (asprintf(&text, "%s %s", word, optarg) < 0) {
		text = NULL;
		return failure_errno(-ENOMEM, "forget");
	}
	r = retention_parse_rule(text, &q->policy, &wrong);
	return say_rule(o, r, wrong);
}

static int take_option(const struct options *o, struct request *q, int c)
{
	char *wrong = NULL;
	int r;

	switch (c) {
	case OPTION_KEEP:
		r = retention_parse(optarg, &q->policy, &wrong);
		return say_rule(o, r, wrong);
	case OPTION_WITHIN:
		return take_rule(o, q, "all for");
	case OPTION_TAG:
		return take_rule(o, q, "tag");
	case OPTION_TRUST_CLOCK:
		q->policy.trust_clock = true;
		return EXIT_CODE_DONE;
	case OPTION_PRUNE:
		q->prune = true;
		return EXIT_CODE_DONE;
	case OPTION_FORCE:
		q->force = true;
		return EXIT_CODE_DONE;
	case 'n':
		q->dry_run = true;
		return EXIT_CODE_DONE;
	default:
		break;
	}
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (counted[i].option == c)
			return take_count(o, q, i);
	return EXIT_CODE_USAGE;
}

static int read_request(struct request *q, struct options *o, bool *ret_stop)
{
	int c, r;

	*ret_stop = true;
	options_add(o, "n", longs);
	while ((c = options_next(o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o->exit_code;
		r = take_option(o, q, c);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	q->moments = o->argv + optind;
	q->n_moments = (size_t)(o->argc - optind);
	if (q->n_moments > 0 && q->policy.n_rules > 0)
		return options_wrong(o, "name snapshots, or say what to keep; not both");
	*ret_stop = false;
	return EXIT_CODE_DONE;
}

/* ---- which ones ---- */

/* The configured policy, where no option gave one. */
static int settle_policy(struct request *q, const struct cmd_globals *globals)
{
	CLEANUP(config_done) struct config config = { 0 };
	bool trust_clock = q->policy.trust_clock;
	int r;

	if (q->policy.n_rules > 0)
		return EXIT_CODE_DONE;
	r = config_load(globals, &config);
	if (r != EXIT_CODE_DONE)
		return r;
	if (config.retention.n_rules == 0)
		return failure(EXIT_CODE_USAGE,
			       "nothing says what to keep, so nothing is forgotten; set keep = in "
			       "%s, or give --keep 'daily for 30d'",
			       config.file);
	q->policy = config.retention;
	q->policy.trust_clock = trust_clock;
	return EXIT_CODE_DONE;
}

static int plan_all(struct session *s, const struct request *q, struct work *w)
{
	int r = retention_plan_make(s->timeline, &q->policy, clock_now_ns(), &w->plan);

	if (r == 0)
		w->seqs = calloc(w->plan.n + 1, sizeof(*w->seqs));
	if (r == 0 && !w->seqs)
		r = -ENOMEM;
	if (r < 0)
		return failure_errno(r, "cannot list the snapshots");
	for (size_t i = 0; i < w->plan.n; i++)
		if (!w->plan.verdicts[i].keep)
			w->seqs[w->n++] = w->plan.items[i].seq;
	return EXIT_CODE_DONE;
}

static int compare_seqs(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int name_one(struct session *s, const struct request *q, const char *moment, struct work *w)
{
	struct snapshot_info info, latest;
	int r = place_moment(s, moment, &info);

	if (r != EXIT_CODE_DONE)
		return r;
	r = timeline_latest(s->timeline, &latest);
	if (r < 0)
		return failure_errno(r, "cannot list the snapshots");
	if (info.seq == latest.seq)
		return failure(EXIT_CODE_FAILED,
			       "@%s is the newest snapshot, which always stays; nothing was "
			       "forgotten",
			       info.name);
	if (info.tags[0] && !q->force)
		return failure(EXIT_CODE_FAILED,
			       "@%s carries the tag %s, which pins it; nothing was forgotten; "
			       "--force forgets it all the same",
			       info.name, info.tags);
	w->seqs[w->n++] = info.seq;
	return EXIT_CODE_DONE;
}

static int plan_named(struct session *s, const struct request *q, struct work *w)
{
	size_t n = 0;
	int r;

	w->seqs = calloc(q->n_moments, sizeof(*w->seqs));
	if (!w->seqs)
		return failure_errno(-ENOMEM, "forget");
	for (size_t i = 0; i < q->n_moments; i++) {
		r = name_one(s, q, q->moments[i], w);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	qsort(w->seqs, w->n, sizeof(*w->seqs), compare_seqs);
	for (size_t i = 1; i < w->n; i++)
		if (w->seqs[i] != w->seqs[n])
			w->seqs[++n] = w->seqs[i];
	w->n = n + 1;
	return EXIT_CODE_DONE;
}

/* ---- showing ---- */

static json_t *describe(const struct snapshot_info *info, const struct retention_verdict *v,
			bool keep)
{
	char name[SNAPSHOT_NAME_BYTES + 1], time[OUTPUT_TIME_BYTES];
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)snprintf(name, sizeof(name), "@%s", info->name);
	(void)json_object_set_new(o, "name", json_string(name));
	(void)json_object_set_new(o, "seq", json_integer((json_int_t)info->seq));
	(void)json_object_set_new(o, "keep", json_boolean(keep));
	(void)json_object_set_new(o, "rule", v && v->rule[0] ? json_string(v->rule) : json_null());
	(void)json_object_set_new(o, "expires",
				  v && v->keep && v->expires_ns != INT64_MAX
					  ? json_string(output_time_utc(v->expires_ns, time))
					  : json_null());
	(void)json_object_set_new(o, "new_bytes", json_integer((json_int_t)info->new_stored_bytes));
	return o;
}

static void print_line(const struct snapshot_info *info, const struct retention_verdict *v,
		       bool keep)
{
	char expires[OUTPUT_TIME_BYTES] = "", fresh[OUTPUT_SIZE_BYTES];

	if (v && v->keep && v->expires_ns != INT64_MAX)
		(void)output_time(v->expires_ns, expires);
	(void)printf("@%-22s  %-6s  %9s  %-22s  %s\n", info->name, keep ? "keep" : "forget",
		     output_size(info->new_stored_bytes, fresh), v ? v->rule : "",
		     keep && !expires[0] ? "-" : expires);
}

struct shown {
	const struct work *work;
	json_t *list; /* NULL: lines */
	uint64_t n_kept;
};

static int show_one(void *context, const struct snapshot_info *info)
{
	struct shown *shown = context;
	const struct work *w = shown->work;
	const struct retention_verdict *v = retention_plan_find(&w->plan, info->seq);
	bool keep = !bsearch(&info->seq, w->seqs, w->n, sizeof(*w->seqs), compare_seqs);

	shown->n_kept += keep;
	if (!shown->list && (v || !keep))
		print_line(info, v, keep);
	else if (shown->list && json_array_append_new(shown->list, describe(info, v, keep)) < 0)
		return -ENOMEM;
	return 0;
}

static int show_plan(struct session *s, const struct work *w, const struct cmd_globals *globals)
{
	struct shown shown = { .work = w };
	json_t *o = NULL;
	int r;

	if (globals->json) {
		o = json_object();
		shown.list = json_array();
		(void)json_object_set_new(o, "dry_run", json_true());
		(void)json_object_set_new(o, "snapshots", shown.list);
	} else {
		(void)printf("%-23s  %-6s  %9s  %-22s  %s\n", "name", "", "new", "rule", "until");
	}
	r = timeline_each(s->timeline, false, show_one, &shown);
	if (r < 0) {
		json_decref(o);
		return failure_errno(r, "cannot list the snapshots");
	}
	if (globals->json)
		return output_json(o) < 0 ? failure_errno(-ENOMEM, "forget") : EXIT_CODE_DONE;
	if (globals->verbosity >= 0)
		(void)printf("would forget %zu %s and keep %" PRIu64 "\n", w->n,
			     output_plural(w->n, "snapshot", "snapshots"), shown.n_kept);
	return EXIT_CODE_DONE;
}

/* ---- doing ---- */

/* Forget; what a mount holds but nobody uses is let go of meanwhile. */
static int forget(struct timeline *t, const struct work *w, struct forget_result *ret_all)
{
	struct forget_result once;
	int r = timeline_forget(t, w->seqs, w->n, ret_all);

	for (int i = 0; r == 0 && ret_all->busy > 0 && i < BUSY_TRIES && !cmd_cancelled; i++) {
		(void)poll(NULL, 0, BUSY_WAIT_MS);
		r = timeline_forget(t, w->seqs, w->n, &once);
		ret_all->forgotten += once.forgotten;
		ret_all->busy = once.busy;
	}
	return r;
}

static int print_json(struct session *s, const struct work *w, const struct forget_result *result)
{
	json_t *o = json_object(), *busy = json_array();
	struct snapshot_info info;
	uint64_t n = 0;

	(void)timeline_count(s->timeline, &n);
	for (size_t i = 0; i < w->n && result->busy > 0; i++) {
		if (timeline_get(s->timeline, w->seqs[i], &info) < 0)
			continue;
		(void)json_array_append_new(busy, json_sprintf("@%s", info.name));
	}
	(void)json_object_set_new(o, "dry_run", json_false());
	(void)json_object_set_new(o, "forgotten", json_integer((json_int_t)result->forgotten));
	(void)json_object_set_new(o, "busy", busy);
	(void)json_object_set_new(o, "kept", json_integer((json_int_t)n));
	return output_json(o);
}

static void name_busy(struct session *s, const struct work *w, uint64_t n_busy)
{
	struct snapshot_info info;
	uint64_t n = 0;

	for (size_t i = 0; i < w->n && n < NAMES_SHOWN; i++) {
		if (timeline_get(s->timeline, w->seqs[i], &info) < 0)
			continue;
		failure_note("@%s is in use and stays for now", info.name);
		n++;
	}
	if (n_busy > n)
		failure_note("and %" PRIu64 " more are", n_busy - n);
	failure_note("an open file, a working directory or a restore uses them; forget them again "
		     "after that");
}

static int do_forget(struct session *s, const struct work *w, const struct cmd_globals *globals)
{
	struct forget_result result;
	uint64_t n = 0;
	int r = forget(s->timeline, w, &result);

	if (r < 0)
		return failure_errno(
			r, "forget: %" PRIu64 " %s forgotten, then it stopped", result.forgotten,
			output_plural(result.forgotten, "snapshot was", "snapshots were"));
	(void)timeline_count(s->timeline, &n);
	if (globals->json) {
		if (print_json(s, w, &result) < 0)
			return failure_errno(-ENOMEM, "forget");
	} else if (globals->verbosity >= 0) {
		(void)printf("forgot %" PRIu64 " %s, %" PRIu64 " left\n", result.forgotten,
			     output_plural(result.forgotten, "snapshot", "snapshots"), n);
	}
	if (result.busy > 0)
		name_busy(s, w, result.busy);
	return result.busy > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

static int forget_or_show(struct request *q, const struct cmd_globals *globals)
{
	CLEANUP(session_close) struct session s = { 0 };
	CLEANUP(work_done) struct work w = { 0 };
	int r;

	if (q->n_moments == 0) {
		r = settle_policy(q, globals);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	r = session_open(&s, globals, SESSION_TIMELINE,
			 SESSION_OWN_HOST | (q->dry_run ? 0 : SESSION_WRITES));
	if (r != EXIT_CODE_DONE)
		return r;
	r = q->n_moments > 0 ? plan_named(&s, q, &w) : plan_all(&s, q, &w);
	if (r != EXIT_CODE_DONE)
		return r;
	return q->dry_run ? show_plan(&s, &w, globals) : do_forget(&s, &w, globals);
}

/* The repository is closed by then: an index is open once in a process. */
static int prune(const struct request *q, const struct cmd_globals *globals)
{
	const struct cmd *cmd = cmd_by_name("prune");
	struct cmd_globals quiet = *globals;
	char name[] = "prune", dry_run[] = "--dry-run";
	char *argv[] = { name, q->dry_run ? dry_run : NULL, NULL };

	if (quiet.json) { /* one document on standard output: that of forget */
		quiet.json = false;
		quiet.verbosity = -1;
	}
	return cmd->run(&quiet, q->dry_run ? 2 : 1, argv);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	struct request q = { 0 };
	struct options o;
	int r, pruned;
	bool stop;

	options_init(&o, globals, &cmd_forget, argc, argv);
	r = read_request(&q, &o, &stop);
	if (stop)
		return r;
	r = forget_or_show(&q, &o.globals);
	if (!q.prune || (r != EXIT_CODE_DONE && r != EXIT_CODE_PARTIAL))
		return r;
	pruned = prune(&q, &o.globals);
	return pruned != EXIT_CODE_DONE ? pruned : r;
}

const struct cmd cmd_forget = {
	.name = "forget",
	.aliases = "",
	.summary = "let old snapshots go",
	.help = "usage: yore forget [MOMENT...] [options]\n"
		"\n"
		"Forgets the snapshots named, or else those that no rule keeps: the rules of the\n"
		"options, or without any those of the configuration (keep = in [retention]). The\n"
		"newest snapshot always stays, and tagged ones do (with --keep-tag only those\n"
		"with these tags). Space is given back by 'yore prune', and by the daemon.\n"
		"Exit 3: a snapshot that somebody has a file open in, or is in, stays for now.\n"
		"\n"
		"options:\n"
		"      --keep POLICY       rules, separated by commas: all, every 10min, hourly,\n"
		"                          daily, weekly, monthly, yearly, each 'for DURATION' or\n"
		"                          for ever; last N; tag NAME\n"
		"      --keep-last N       the last N\n"
		"      --keep-hourly N     the last of each of N hours; likewise --keep-daily,\n"
		"                          --keep-weekly, --keep-monthly, --keep-yearly\n"
		"      --keep-within T     all of the last 30d, 12h, 3mo, 1y, back from the "
		"newest\n"
		"      --keep-tag TAG      all with this tag\n"
		"      --trust-clock       count long silences in full (see yore(1))\n"
		"      --force             also forget a tagged snapshot that is named\n"
		"  -n, --dry-run           only say which rule keeps what, and until when\n"
		"      --prune             give the space back at once\n"
		"\n"
		"examples:\n"
		"  yore forget -n\n"
		"  yore forget --keep 'all for 1d, daily for 30d, monthly'\n"
		"  yore forget --keep-last 10 --keep-weekly 8 --prune\n"
		"  yore forget @2024-05-01T14-30-00Z\n",
	.run = run,
};
