/* SPDX-License-Identifier: MIT */
#include "store/base/clock.h"
#include "tools/status.h"

#include "tools/daemon_note.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAEMON_NOTE_FILE "local/daemon"
/* A daemon that lives publishes at least each PROTECTION_PUBLISH_MOST_S; this much later it hangs.
 */
#define SILENT_S (PROTECTION_PUBLISH_MOST_S + 300)
#define STARTING_S 120 /* it publishes as soon as it has begun */

void status_read_daemon(struct io *io, struct status *status)
{
	struct io_stat note;
	pid_t pid = daemon_note_read(io, NULL);

	status->daemon = pid > 0 ? pid : 0;
	if (pid > 0 && io_stat(io, DAEMON_NOTE_FILE, &note) == 0)
		status->daemon_started_ns = note.mtime_ns;
	status->has_report = protection_read(io, &status->report) == 0;
	status->report_ns = status->report.now_ns;
	status->report.now_ns = status->now_ns;
}

const char *status_protection_name(enum status_protection protection)
{
	switch (protection) {
	case STATUS_STARTING:
		return "starting";
	case STATUS_ON:
		return "on";
	case STATUS_STALE:
		return "stale";
	case STATUS_STOPPED:
		return "stopped";
	case STATUS_OFF:
		break;
	}
	return "off";
}

static const char *sources(size_t n)
{
	return output_plural(n, "source", "sources");
}

static enum status_protection without_sources(char line[STATUS_LINE_BYTES])
{
	(void)snprintf(line, STATUS_LINE_BYTES,
		       "no source is configured: nothing is protected continuously; "
		       "'yore protect PATH' begins with it");
	return STATUS_OFF;
}

/* Nobody protects. */
static enum status_protection without_daemon(const struct status *status,
					     char line[STATUS_LINE_BYTES])
{
	char age[OUTPUT_TIME_BYTES], last[OUTPUT_TIME_BYTES + 64] = "";

	if (status->n_configured == 0 && !status->config_is_wrong)
		return without_sources(line);
	if (status->has_report && status->report.last_snapshot_ns > 0)
		(void)snprintf(
			last, sizeof(last), "; changes of the last %s may be in no snapshot",
			output_duration(status->now_ns - status->report.last_snapshot_ns, age));
	if (status->config_is_wrong)
		(void)snprintf(line, STATUS_LINE_BYTES,
			       "NOTHING PROTECTS: the configuration is wrong ('yore config check' "
			       "says where), and no daemon runs%s",
			       last);
	else
		(void)snprintf(line, STATUS_LINE_BYTES,
			       "NOTHING PROTECTS: %zu %s configured, but no daemon runs; start it "
			       "with 'yore mount'%s",
			       status->n_configured,
			       output_plural(status->n_configured, "source is", "sources are"),
			       last);
	return STATUS_STOPPED;
}

/* A daemon that has published nothing yet, or not for too long. */
static enum status_protection without_report(const struct status *status, int64_t since_ns,
					     char line[STATUS_LINE_BYTES])
{
	char age[OUTPUT_TIME_BYTES];

	(void)snprintf(line, STATUS_LINE_BYTES,
		       "the daemon (process %d) runs, but has not reported for %s; see its log",
		       (int)status->daemon, output_duration(status->now_ns - since_ns, age));
	return STATUS_STALE;
}

enum status_protection status_protection(const struct status *status, char line[STATUS_LINE_BYTES])
{
	const struct protection *report = &status->report;
	char why[PROTECTION_TEXT_BYTES], age[OUTPUT_TIME_BYTES];

	if (status->daemon == 0)
		return without_daemon(status, line);
	if (!status->has_report || report->pid != status->daemon) {
		if (status->now_ns - status->daemon_started_ns > STARTING_S * NS_PER_S)
			return without_report(status, status->daemon_started_ns, line);
		(void)snprintf(line, STATUS_LINE_BYTES, "the daemon (process %d) is starting",
			       (int)status->daemon);
		return STATUS_STARTING;
	}
	if (status->now_ns - status->report_ns > SILENT_S * NS_PER_S)
		return without_report(status, status->report_ns, line);
	if (protection_is_stale(report, why)) {
		(void)snprintf(line, STATUS_LINE_BYTES, "%s", why);
		return STATUS_STALE;
	}
	if (report->n_sources == 0 && status->n_configured == 0)
		return without_sources(line);
	if (report->last_snapshot_ns == 0)
		(void)snprintf(line, STATUS_LINE_BYTES,
			       "%zu %s protected; the first snapshot is on its way",
			       report->n_sources, sources(report->n_sources));
	else
		(void)snprintf(line, STATUS_LINE_BYTES, "%zu %s protected; last captured %s ago",
			       report->n_sources, sources(report->n_sources),
			       output_duration(status->now_ns - report->last_snapshot_ns, age));
	return STATUS_ON;
}

enum exit_code status_check(const struct status *status, char line[STATUS_LINE_BYTES])
{
	enum status_protection protection = status_protection(status, line);

	if (protection == STATUS_STALE || protection == STATUS_STOPPED)
		return EXIT_CODE_STALE;
	if (!status->has_report || status->report.verify_errors == 0)
		return EXIT_CODE_DONE;
	(void)snprintf(line, STATUS_LINE_BYTES,
		       "verification found %" PRIu64 " %s in stored data; run 'yore check --data', "
		       "then 'yore repair'",
		       status->report.verify_errors,
		       output_plural(status->report.verify_errors, "error", "errors"));
	return EXIT_CODE_VERIFY;
}

/* Writes why, fit for a terminal. */
static bool has_stopped(struct io *io, size_t n_configured, char line[STATUS_LINE_BYTES])
{
	struct status status = { .now_ns = clock_now_ns(), .n_configured = n_configured };
	enum status_protection protection;

	status_read_daemon(io, &status);
	protection = status_protection(&status, line);
	protection_done(&status.report);
	return protection == STATUS_STALE || protection == STATUS_STOPPED;
}

char *status_banner(struct io *io, const struct protection *own, size_t n_configured)
{
	char line[STATUS_LINE_BYTES], time[OUTPUT_TIME_BYTES];
	char *text = NULL;

	if (own ? !protection_is_stale(own, line) : !has_stopped(io, n_configured, line))
		return NULL;
	if (asprintf(&text,
		     "PROTECTION HAS STOPPED, or is behind (noticed %s):\n\n"
		     "  %s\n\n"
		     "What is shown here is what was kept until then. 'yore status' says more.\n"
		     "This file goes away when protection goes on.\n",
		     output_time(clock_now_ns(), time), line) < 0)
		return NULL;
	return text;
}
