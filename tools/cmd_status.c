/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/config.h"
#include "tools/failure.h"
#include "tools/metrics.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/status.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { OPTION_CHECK = OPTIONS_FIRST_LONG, OPTION_METRICS };

static const struct option longs[] = {
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "metrics", no_argument, NULL, OPTION_METRICS },
	{ 0 },
};

static void print_label(const char *label)
{
	(void)printf("%-12s ", label);
}

static void print_name(const char *label, const char *name)
{
	print_label(label);
	output_name(stdout, name, strlen(name));
	(void)putchar('\n');
}

static void print_latest(const struct status *status)
{
	char time[OUTPUT_TIME_BYTES], age[OUTPUT_TIME_BYTES], size[OUTPUT_SIZE_BYTES];

	(void)printf("%-12s %" PRIu64 "\n", "snapshots", status->snapshots);
	if (!status->has_latest) {
		(void)printf("%-12s none yet; take one with 'yore snapshot PATH'\n", "latest");
		return;
	}
	(void)printf("%-12s @%s, %s (%s ago), %" PRIu64 " %s, %s\n", "latest", status->latest.name,
		     output_time(status->latest.time_ns, time),
		     output_duration(status->now_ns - status->latest.time_ns, age),
		     status->latest.files, output_plural(status->latest.files, "file", "files"),
		     output_size(status->latest.bytes, size));
}

static void print_space(const struct status *status)
{
	char packs[OUTPUT_SIZE_BYTES], index[OUTPUT_SIZE_BYTES], rest[OUTPUT_SIZE_BYTES];
	char grown[OUTPUT_SIZE_BYTES];

	(void)printf("%-12s %s in %" PRIu64 " %s, %s of it from the last 24 hours; %s free on its "
		     "disk\n",
		     "space", output_size(status->pack_bytes, packs), status->packs,
		     output_plural(status->packs, "pack", "packs"),
		     output_size(status->new_bytes_day, grown),
		     output_size(status->free_bytes, rest));
	(void)printf("%-12s %" PRIu64 " %s, %s\n", "index", status->chunks,
		     output_plural(status->chunks, "object", "objects"),
		     output_size(status->index_bytes, index));
}

/* ---- what the daemon knows ---- */

static const char *age_of(const struct status *status, int64_t time_ns,
			  char to[static OUTPUT_TIME_BYTES])
{
	return output_duration(status->now_ns - time_ns, to);
}

static void print_source_state(const struct status *status, const struct protection_source *s)
{
	char age[OUTPUT_TIME_BYTES];

	if (s->absent)
		(void)fputs("ABSENT, its last state is kept; ", stdout);
	if (s->captured_ns == 0)
		(void)fputs("not in any snapshot yet", stdout);
	else if (s->pending_ns == 0)
		(void)printf("up to date, captured %s ago", age_of(status, s->captured_ns, age));
	else
		(void)printf("%s%s behind",
			     protection_source_is_behind(&status->report, s) ? "STALE: " : "",
			     age_of(status, s->pending_ns, age));
}

static void print_source(const struct status *status, const struct protection_source *s)
{
	char size[OUTPUT_SIZE_BYTES], grown[OUTPUT_SIZE_BYTES];

	print_name("source", s->path);
	(void)printf("%-12s   ", "");
	print_source_state(status, s);
	(void)printf("\n%-12s   %" PRIu64 " %s, %s", "", s->files,
		     output_plural(s->files, "file", "files"), output_size(s->bytes, size));
	if (s->new_bytes_day > 0)
		(void)printf(", %s stored in 24 hours", output_size(s->new_bytes_day, grown));
	if (s->errors > 0)
		(void)printf(", %" PRIu64 " COULD NOT BE READ", s->errors);
	(void)printf("\n%-12s   %s: %s\n", "", watch_backend_name(s->watch.backend),
		     s->watch.guarantee);
	if (s->watch.reason[0])
		(void)printf("%-12s   (%s)\n", "", s->watch.reason);
}

static void print_upkeep(const struct status *status)
{
	const struct protection *p = &status->report;
	char age[OUTPUT_TIME_BYTES], size[OUTPUT_SIZE_BYTES];

	(void)printf("%-12s %s", "collection", collection_state_name(p->collection));
	if (p->collection != COLLECTION_IDLE)
		(void)printf(", %.0f %% done", p->collection_share * 100);
	if (p->collected_ns > 0)
		(void)printf("; the last ended %s ago and freed %s",
			     age_of(status, p->collected_ns, age),
			     output_size(p->collected_bytes, size));
	(void)putchar('\n');
	if (p->verify_errors > 0)
		(void)printf("%-12s %" PRIu64 " ERRORS; run 'yore check --data', then 'yore "
			     "repair'\n",
			     "verified", p->verify_errors);
	else if (p->verified_ns > 0)
		(void)printf("%-12s %s ago, no errors\n", "verified",
			     age_of(status, p->verified_ns, age));
}

static void print_errors(const struct status *status)
{
	for (size_t i = status->report.n_errors; i-- > 0;) {
		const struct protection_error *e = &status->report.errors[i];
		char age[OUTPUT_TIME_BYTES];

		(void)printf("%-12s %s ago: ", "problem", age_of(status, e->time_ns, age));
		output_name(stdout, e->path, strlen(e->path));
		(void)fputs(": ", stdout);
		output_name(stdout, e->what, strlen(e->what));
		(void)putchar('\n');
	}
}

static void print_protection(const struct status *status)
{
	char line[STATUS_LINE_BYTES], age[OUTPUT_TIME_BYTES];
	enum status_protection protection = status_protection(status, line);

	(void)printf("%-12s %s%s\n", "protection", protection == STATUS_STALE ? "STALE: " : "",
		     line);
	if (!status->has_report)
		return;
	if (status->daemon == 0)
		(void)printf("%-12s %s ago, when a daemon last reported:\n", "",
			     age_of(status, status->report_ns, age));
	for (size_t i = 0; i < status->report.n_sources; i++)
		print_source(status, &status->report.sources[i]);
	print_upkeep(status);
	print_errors(status);
}

/* ---- the rest ---- */

/* A member that is text; "" when memory was short. */
static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static void print_alerts(const struct status *status)
{
	size_t i;
	json_t *alert;

	json_array_foreach(status->alerts, i, alert)
	{
		const char *object = text_of(alert, "object");
		const char *message = text_of(alert, "message");

		(void)printf("%-12s %s: ", "alert", text_of(alert, "condition"));
		output_name(stdout, object, strlen(object));
		(void)fputs(": ", stdout);
		output_name(stdout, message, strlen(message));
		(void)putchar('\n');
	}
}

static void print_warnings(const struct status *status)
{
	if (status->recovery_unconfirmed)
		(void)printf("%-12s the recovery code is not confirmed: write it down ('yore key "
			     "recovery' shows a new one), then run 'yore key recovery --confirm'\n",
			     "warning");
	if (status->has_latest && status->latest.n_absent)
		(void)printf("%-12s %" PRIu32 " protected %s last state\n", "warning",
			     status->latest.n_absent,
			     output_plural(status->latest.n_absent,
					   "folder was absent at the latest snapshot and keeps its",
					   "folders were absent at the latest snapshot and keep "
					   "their"));
	if (status->config_is_wrong)
		(void)printf("%-12s the configuration is wrong; 'yore config check' says where\n",
			     "warning");
	if (status->read_only)
		(void)printf("%-12s the repository cannot be written to from here\n", "warning");
}

static void print_status(const struct status *status)
{
	print_name("repository", status->repository);
	print_name("host", status->host);
	print_protection(status);
	print_latest(status);
	print_space(status);
	for (size_t i = 0; i < status->n_mountpoints; i++)
		print_name("mounted at", status->mountpoints[i]);
	if (status->n_mountpoints == 0)
		print_name("mounted at", "nowhere; 'yore mount' does it");
	for (size_t i = 0; status->n_hosts > 1 && i < status->n_hosts; i++) {
		(void)printf("%-12s %" PRIu64 " %s: ", "of host", status->hosts[i].snapshots,
			     output_plural(status->hosts[i].snapshots, "snapshot", "snapshots"));
		output_name(stdout, status->hosts[i].name, strlen(status->hosts[i].name));
		(void)printf(" (%s)\n", status->hosts[i].id);
	}
	print_alerts(status);
	print_warnings(status);
}

/* How many sources are to be protected by this machine. */
static void look_at_config(struct status *status, const struct cmd_globals *globals)
{
	CLEANUP(config_done) struct config config = { 0 };

	/* A wrong one has been said; the rest of the status is worth seeing all the same. */
	status->config_is_wrong = config_load(globals, &config) != EXIT_CODE_DONE;
	status->n_configured = config.n_sources;
}

static int print_check(const struct status *status, bool json)
{
	char line[STATUS_LINE_BYTES];
	enum exit_code code = status_check(status, line);
	json_t *o;

	if (!json) {
		(void)printf("%s: %s\n",
			     code == EXIT_CODE_DONE    ? "OK"
			     : code == EXIT_CODE_STALE ? "STALE"
						       : "DAMAGED",
			     line);
		return (int)code;
	}
	o = json_object();
	(void)json_object_set_new(o, "exit_code", json_integer(code));
	if (o)
		(void)output_json_name(o, "line", line, strlen(line));
	return output_json(o) < 0 ? EXIT_CODE_FAILED : (int)code;
}

static int print_metrics(const struct status *status)
{
	CLEANUP(free_ptr) char *text = metrics_text(status);

	if (!text)
		return failure_errno(-ENOMEM, "status");
	(void)fputs(text, stdout);
	return EXIT_CODE_DONE;
}

static int print_as_asked(const struct status *status, int what, bool json)
{
	if (what == OPTION_CHECK)
		return print_check(status, json);
	if (what == OPTION_METRICS)
		return print_metrics(status);
	if (!json) {
		print_status(status);
		return EXIT_CODE_DONE;
	}
	return output_json(status_json(status)) < 0 ? failure_errno(-ENOMEM, "status")
						    : EXIT_CODE_DONE;
}

static int read_options(struct options *o, int *ret_what)
{
	int c;

	options_add(o, "", longs);
	while ((c = options_next(o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o->exit_code;
		if (*ret_what && *ret_what != c)
			return options_wrong(o, "--check and --metrics exclude each other");
		*ret_what = c;
	}
	if (optind < o->argc)
		return options_wrong(o, "unexpected word '%s'", o->argv[optind]);
	return -1;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct options o;
	struct status status;
	int what = 0, r;

	options_init(&o, globals, &cmd_status, argc, argv);
	r = read_options(&o, &what);
	if (r >= 0)
		return r;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	if (r != EXIT_CODE_DONE)
		return r;
	r = status_collect(&s, &status);
	if (r < 0)
		return failure_errno(r, "cannot gather the status");
	look_at_config(&status, &o.globals);
	r = print_as_asked(&status, what, o.globals.json);
	status_done(&status);
	return r;
}

const struct cmd cmd_status = {
	.name = "status",
	.aliases = "",
	.summary = "what is protected, what the repository holds, what needs attention",
	.help = "usage: yore status [--check | --metrics] [--json] [--host NAME]\n"
		"\n"
		"Shows whether the configured sources are being protected and how far behind\n"
		"each of them is; the repository, its snapshots, the space they take, where\n"
		"they are mounted; problems and warnings.\n"
		"\n"
		"options:\n"
		"  --check    one line for monitoring; exit status 22 when protection is stale or\n"
		"             has stopped, 20 when stored data is damaged, else 0\n"
		"  --metrics  OpenMetrics text, as in .yore/metrics of the mount\n"
		"\n"
		"examples:\n"
		"  yore status\n"
		"  yore status --check || mail -s 'backup' root < /dev/null\n"
		"  yore status --json | jq .latest.time\n",
	.run = run,
};
