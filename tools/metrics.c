/* SPDX-License-Identifier: MIT */
#include "tools/metrics.h"

#include "store/base/clock.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void family(FILE *to, const char *name, const char *type, const char *unit, const char *help)
{
	(void)fprintf(to, "# TYPE %s %s\n", name, type);
	if (*unit)
		(void)fprintf(to, "# UNIT %s %s\n", name, unit);
	(void)fprintf(to, "# HELP %s %s\n", name, help);
}

/* ---- values ---- */

static void put_seconds(FILE *to, int64_t ns)
{
	(void)fprintf(to, " %" PRId64 ".%09" PRId64 "\n", (int64_t)(ns / NS_PER_S),
		      (int64_t)(ns % NS_PER_S));
}

static void gauge(FILE *to, const char *name, const char *unit, uint64_t value, const char *help)
{
	family(to, name, "gauge", unit, help);
	(void)fprintf(to, "%s %" PRIu64 "\n", name, value);
}

static void counter(FILE *to, const char *name, const char *unit, uint64_t value, const char *help)
{
	family(to, name, "counter", unit, help);
	(void)fprintf(to, "%s_total %" PRIu64 "\n", name, value);
}

/* A moment; none: no sample, so that nobody takes 1970 for one. */
static void moment(FILE *to, const char *name, int64_t ns, const char *help)
{
	family(to, name, "gauge", "seconds", help);
	if (ns <= 0)
		return;
	(void)fputs(name, to);
	put_seconds(to, ns);
}

/* ---- labels ---- */

static void put_label_value(FILE *to, const char *value, bool *ret_lossy)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n;) {
		size_t length = output_utf8(value + i, n - i);

		if (length == 0) {
			(void)fputs("\xef\xbf\xbd", to);
			*ret_lossy = true;
			i++;
			continue;
		}
		if (value[i] == '\\' || value[i] == '"')
			(void)fprintf(to, "\\%c", value[i]);
		else if (value[i] == '\n')
			(void)fputs("\\n", to);
		else
			(void)fwrite(value + i, 1, length, to);
		i += length;
	}
}

static void put_label(FILE *to, const char *key, const char *value)
{
	bool lossy = false;

	(void)fprintf(to, "%s=\"", key);
	put_label_value(to, value, &lossy);
	(void)fputc('"', to);
	if (!lossy)
		return;
	(void)fprintf(to, ",%s_hex=\"", key);
	for (const char *p = value; *p; p++)
		(void)fprintf(to, "%02x", (unsigned char)*p);
	(void)fputc('"', to);
}

/* ---- by source ---- */

enum source_value { VALUE_COUNT, VALUE_MOMENT, VALUE_AGE, VALUE_BOOL };

struct source_family {
	const char *name, *type, *unit;
	enum source_value kind;
	size_t offset;
	const char *help;
};

#define OF_SOURCE(member) offsetof(struct protection_source, member)

static const struct source_family source_families[] = {
	{ "yore_source_behind_seconds", "gauge", "seconds", VALUE_AGE, OF_SOURCE(pending_ns),
	  "Age of the oldest change that is in no snapshot; 0: there is none." },
	{ "yore_source_captured_timestamp_seconds", "gauge", "seconds", VALUE_MOMENT,
	  OF_SOURCE(captured_ns), "When it was captured last." },
	{ "yore_source_walked_timestamp_seconds", "gauge", "seconds", VALUE_MOMENT,
	  OF_SOURCE(walked_ns), "When all of it was looked at last." },
	{ "yore_source_absent", "gauge", "", VALUE_BOOL, OF_SOURCE(absent),
	  "1 while it is not there, or is another file system." },
	{ "yore_source_files", "gauge", "", VALUE_COUNT, OF_SOURCE(files),
	  "Files in its last snapshot." },
	{ "yore_source_directories", "gauge", "", VALUE_COUNT, OF_SOURCE(directories),
	  "Directories in its last snapshot." },
	{ "yore_source_size_bytes", "gauge", "bytes", VALUE_COUNT, OF_SOURCE(bytes),
	  "Size of its files in its last snapshot." },
	{ "yore_source_growth_bytes", "gauge", "bytes", VALUE_COUNT, OF_SOURCE(new_bytes_day),
	  "Stored bytes that its snapshots of the last 24 hours added." },
	{ "yore_source_errors", "gauge", "", VALUE_COUNT, OF_SOURCE(errors),
	  "Objects that could not be read at its last capture." },
	{ "yore_source_changed_files", "gauge", "", VALUE_COUNT, OF_SOURCE(files_changed),
	  "Files new or with other contents in its last snapshot." },
	{ "yore_source_removed_files", "gauge", "", VALUE_COUNT, OF_SOURCE(files_removed),
	  "Files of the one before that are gone in its last snapshot." },
	{ "yore_source_watch_events", "counter", "", VALUE_COUNT, OF_SOURCE(watch.events),
	  "Events of change since the daemon began." },
	{ "yore_source_watch_overflows", "counter", "", VALUE_COUNT, OF_SOURCE(watch.overflows),
	  "Times that events were lost, and everything was looked at." },
	{ "yore_source_watch_marks", "gauge", "", VALUE_COUNT, OF_SOURCE(watch.watches),
	  "Marks or watches that the kernel holds." },
};

static void put_source_sample(FILE *to, const struct source_family *f, const struct protection *p,
			      const struct protection_source *s)
{
	const char *at = (const char *)s + f->offset;
	int64_t ns = f->kind == VALUE_MOMENT || f->kind == VALUE_AGE ? *(const int64_t *)at : 0;

	if (f->kind == VALUE_MOMENT && ns <= 0)
		return;
	(void)fprintf(to, "%s%s{", f->name, strcmp(f->type, "counter") == 0 ? "_total" : "");
	put_label(to, "source", s->path);
	(void)fputc('}', to);
	if (f->kind == VALUE_COUNT)
		(void)fprintf(to, " %" PRIu64 "\n", *(const uint64_t *)at);
	else if (f->kind == VALUE_BOOL)
		(void)fprintf(to, " %d\n", *(const bool *)at);
	else if (f->kind == VALUE_AGE)
		put_seconds(to, ns > 0 && p->now_ns > ns ? p->now_ns - ns : 0);
	else
		put_seconds(to, ns);
}

static void put_sources(FILE *to, const struct protection *p)
{
	family(to, "yore_source_watch", "info", "", "By what its changes are noticed.");
	for (size_t i = 0; i < p->n_sources; i++) {
		(void)fputs("yore_source_watch_info{", to);
		put_label(to, "source", p->sources[i].path);
		(void)fprintf(to, ",backend=\"%s\"} 1\n",
			      watch_backend_name(p->sources[i].watch.backend));
	}
	for (size_t i = 0; i < sizeof(source_families) / sizeof(*source_families); i++) {
		const struct source_family *f = &source_families[i];

		family(to, f->name, f->type, f->unit, f->help);
		for (size_t j = 0; j < p->n_sources; j++)
			put_source_sample(to, f, p, &p->sources[j]);
	}
}

/* ---- the rest ---- */

static void put_states(FILE *to, const char *name, const char *help, const char *const *states,
		       size_t n, const char *state)
{
	family(to, name, "stateset", "", help);
	for (size_t i = 0; i < n; i++)
		(void)fprintf(to, "%s{%s=\"%s\"} %d\n", name, name, states[i],
			      strcmp(states[i], state) == 0);
}

static void put_protection(FILE *to, const struct status *status)
{
	const char *names[STATUS_STOPPED + 1];
	char line[STATUS_LINE_BYTES];
	enum status_protection protection = status_protection(status, line);

	for (int i = 0; i <= STATUS_STOPPED; i++)
		names[i] = status_protection_name((enum status_protection)i);
	family(to, "yore_build", "info", "", "The program.");
	(void)fprintf(to, "yore_build_info{version=\"%s\"} 1\n", YORE_VERSION);
	put_states(to, "yore_protection", "Whether what is configured is protected.", names,
		   STATUS_STOPPED + 1, status_protection_name(protection));
	gauge(to, "yore_daemon_up", "", status->daemon != 0, "1 while a daemon protects.");
	moment(to, "yore_latest_snapshot_timestamp_seconds",
	       status->has_latest ? status->latest.time_ns : 0, "Time of the newest snapshot.");
	gauge(to, "yore_snapshots", "", status->snapshots, "Snapshots of this host.");
	gauge(to, "yore_alerts", "", json_array_size(status->alerts),
	      "Conditions that hold and are told by on-alert.");
}

static void put_repository(FILE *to, const struct status *status)
{
	gauge(to, "yore_repository_packs", "", status->packs, "Packs.");
	gauge(to, "yore_repository_objects", "", status->chunks, "Stored objects.");
	gauge(to, "yore_repository_pack_bytes", "bytes", status->pack_bytes, "Size of all packs.");
	gauge(to, "yore_repository_index_bytes", "bytes", status->index_bytes,
	      "Size of the index.");
	gauge(to, "yore_repository_growth_bytes", "bytes", status->new_bytes_day,
	      "Stored bytes that the snapshots of the last 24 hours added.");
	gauge(to, "yore_repository_free_bytes", "bytes", status->free_bytes,
	      "Free space of its file system.");
}

static void put_seconds_gauge(FILE *to, const char *name, double seconds, const char *help)
{
	family(to, name, "gauge", "seconds", help);
	(void)fprintf(to, "%s %.6f\n", name, seconds);
}

static void put_report(FILE *to, const struct protection *p)
{
	const char *states[COLLECTION_PAUSED + 1];

	for (int i = 0; i <= COLLECTION_PAUSED; i++)
		states[i] = collection_state_name((enum collection_state)i);
	moment(to, "yore_daemon_start_timestamp_seconds", p->started_ns, "When the daemon began.");
	moment(to, "yore_capture_timestamp_seconds", p->last_snapshot_ns,
	       "When the daemon last looked for changes and had no trouble.");
	put_seconds_gauge(to, "yore_capture_duration_seconds", p->last_seconds,
			  "How long that took.");
	put_seconds_gauge(to, "yore_capture_cpu_seconds", p->last_cpu_seconds,
			  "Time of processors that it took.");
	counter(to, "yore_snapshots_taken", "", p->snapshots_taken, "Since the daemon began.");
	counter(to, "yore_snapshots_forgotten", "", p->forgotten,
		"By retention, since the daemon began.");
	put_states(to, "yore_collection", "What collection is doing.", states,
		   COLLECTION_PAUSED + 1, collection_state_name(p->collection));
	family(to, "yore_collection_progress_ratio", "gauge", "ratio",
	       "Done of the collection that runs.");
	(void)fprintf(to, "yore_collection_progress_ratio %.4f\n", p->collection_share);
	moment(to, "yore_collection_timestamp_seconds", p->collected_ns,
	       "When the last collection ended.");
	gauge(to, "yore_collection_freed_bytes", "bytes", p->collected_bytes, "Freed by it.");
	moment(to, "yore_verification_timestamp_seconds", p->verified_ns,
	       "When stored data was last verified.");
	gauge(to, "yore_verification_errors", "", p->verify_errors, "Found by it.");
	put_sources(to, p);
}

char *metrics_text(const struct status *status)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);
	bool bad;

	if (!to)
		return NULL;
	put_protection(to, status);
	put_repository(to, status);
	/* A dead daemon's last report is history, not a measurement. */
	if (status->has_report && status->daemon == status->report.pid)
		put_report(to, &status->report);
	(void)fputs("# EOF\n", to);
	bad = ferror(to) != 0;
	if (fclose(to) == 0 && !bad)
		return text;
	free(text);
	return NULL;
}
