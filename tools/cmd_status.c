/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/status.h"

#include <inttypes.h>
#include <string.h>

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
	(void)printf("%-12s %s (%s ago), %" PRIu64 " %s, %s\n", "latest",
		     output_time(status->latest.time_ns, time),
		     output_duration(status->now_ns - status->latest.time_ns, age),
		     status->latest.files, output_plural(status->latest.files, "file", "files"),
		     output_size(status->latest.bytes, size));
}

static void print_space(const struct status *status)
{
	char packs[OUTPUT_SIZE_BYTES], index[OUTPUT_SIZE_BYTES], rest[OUTPUT_SIZE_BYTES];

	(void)printf("%-12s %s in %" PRIu64 " %s; %s free on its disk\n", "space",
		     output_size(status->pack_bytes, packs), status->packs,
		     output_plural(status->packs, "pack", "packs"),
		     output_size(status->free_bytes, rest));
	(void)printf("%-12s %" PRIu64 " %s, %s\n", "index", status->chunks,
		     output_plural(status->chunks, "object", "objects"),
		     output_size(status->index_bytes, index));
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
	if (status->read_only)
		(void)printf("%-12s the repository cannot be written to from here\n", "warning");
}

static void print_status(const struct status *status)
{
	print_name("repository", status->repository);
	print_name("host", status->host);
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
	print_warnings(status);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct options o;
	struct status status;
	int r;

	options_init(&o, globals, &cmd_status, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);

	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	if (r != EXIT_CODE_DONE)
		return r;
	r = status_collect(&s, &status);
	if (r < 0)
		return failure_errno(r, "cannot gather the status");
	if (o.globals.json)
		r = output_json(status_json(&status));
	else
		print_status(&status);
	status_done(&status);
	return r < 0 ? failure_errno(r, "status") : EXIT_CODE_DONE;
}

const struct cmd cmd_status = {
	.name = "status",
	.aliases = "",
	.summary = "what the repository holds, and what needs attention",
	.help = "usage: yore status [--json] [--host NAME]\n"
		"\n"
		"Shows the repository, its snapshots, the space they take, where they are\n"
		"mounted, and warnings.\n"
		"\n"
		"examples:\n"
		"  yore status\n"
		"  yore status --json | jq .latest.time\n",
	.run = run,
};
