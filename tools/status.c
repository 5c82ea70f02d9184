/* SPDX-License-Identifier: MIT */
#include "tools/status.h"

#include "snapshots/mount_kind.h"
#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/chunk_index.h"
#include "tools/alert.h"
#include "tools/describe.h"
#include "tools/machine_key.h"
#include "tools/metrics.h"
#include "tools/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define HOSTS_MAX 1024
#define DAY_NS (86400 * NS_PER_S)

void status_done(struct status *status)
{
	for (size_t i = 0; i < status->n_hosts; i++)
		free(status->hosts[i].name);
	for (size_t i = 0; i < status->n_mountpoints; i++)
		free(status->mountpoints[i]);
	free(status->hosts);
	free(status->mountpoints);
	free(status->repository);
	free(status->host);
	protection_done(&status->report);
	json_decref(status->alerts);
	memset(status, 0, sizeof(*status));
}

static int add_pack(void *context, uint32_t pack_number, const struct pack_info *info)
{
	struct status *status = context;

	(void)pack_number;
	status->pack_bytes += info->size;
	return 0;
}

struct host_gathering {
	struct session *session;
	struct status *status;
};

static int add_host(void *context, const struct host_id *id)
{
	struct host_gathering *g = context;
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	struct session look = *g->session;
	struct status_host host = { 0 };
	struct status_host *hosts;
	int r;

	if (g->status->n_hosts == HOSTS_MAX)
		return 0;
	r = timeline_open(g->session->store, id, &t);
	if (r < 0)
		return r;
	look.timeline = t;
	bytes_to_hex(id, HOST_ID_BYTES, host.id);
	r = timeline_count(t, &host.snapshots);
	if (r < 0)
		return r;
	host.name = host.snapshots ? session_host_name(&look) : strdup("");
	hosts = realloc(g->status->hosts, (g->status->n_hosts + 1) * sizeof(*hosts));
	if (hosts)
		g->status->hosts = hosts;
	if (!hosts || !host.name) {
		free(host.name);
		return -ENOMEM;
	}
	hosts[g->status->n_hosts++] = host;
	return 0;
}

static int add_mountpoint(struct status *status, const char *path)
{
	char **all = realloc(status->mountpoints, (status->n_mountpoints + 1) * sizeof(*all));

	if (!all)
		return -ENOMEM;
	status->mountpoints = all;
	all[status->n_mountpoints] = strdup(path);
	if (!all[status->n_mountpoints])
		return -ENOMEM;
	status->n_mountpoints++;
	return 0;
}

/* A mount's source is "yore:REPOSITORY". */
static bool shows_repository(const struct mount_row *row, const char *repository)
{
	const char *source = row->source;

	if (strncmp(source, "yore:", 5) == 0)
		source += 5;
	return source[0] != '/' || strcmp(source, repository) == 0;
}

static int find_mountpoints(struct status *status)
{
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };
	int r = 0;

	(void)mount_table_load(&mounts); /* without it: none that could be told */
	for (size_t i = 0; r == 0 && i < mounts.n; i++)
		if (mount_kind_is_own(&mounts.rows[i]) &&
		    shows_repository(&mounts.rows[i], status->repository))
			r = add_mountpoint(status, mounts.rows[i].point);
	return r;
}

static void look_at_disk(struct status *status)
{
	CLEANUP(free_ptr) char *recovery = NULL;
	uint8_t id[REPOSITORY_ID_BYTES];
	struct statvfs disk;

	if (statvfs(status->repository, &disk) == 0)
		status->free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (bytes_from_hex(status->repository_id, id, sizeof(id)) == 0)
		recovery = machine_key_path(id, MACHINE_KEY_RECOVERY);
	status->recovery_unconfirmed = recovery && access(recovery, F_OK) == 0;
}

struct growth {
	int64_t from_ns;
	uint64_t bytes;
};

static int add_growth(void *context, const struct snapshot_info *info)
{
	struct growth *growth = context;

	if (info->time_ns < growth->from_ns)
		return 1;
	growth->bytes += info->new_stored_bytes;
	return 0;
}

static int collect(struct session *s, struct status *status)
{
	struct growth growth = { 0 };
	struct host_gathering gathering = { .session = s, .status = status };
	int r;

	status->repository = strdup(io_real_path(s->io));
	status->host = session_host_name(s);
	if (!status->repository || !status->host)
		return -ENOMEM;
	bytes_to_hex(s->config.repository, REPOSITORY_ID_BYTES, status->repository_id);
	status->read_only = s->read_only;
	status->now_ns = clock_now_ns();

	r = timeline_count(s->timeline, &status->snapshots);
	if (r < 0)
		return r;
	r = timeline_latest(s->timeline, &status->latest);
	if (r < 0 && r != -ENOENT)
		return r;
	status->has_latest = r == 0;
	growth.from_ns = status->now_ns - DAY_NS;
	r = timeline_each(s->timeline, true, add_growth, &growth);
	if (r < 0)
		return r;
	status->new_bytes_day = growth.bytes;

	r = chunk_index_stats(store_index(s->store), &status->chunks, &status->packs,
			      &status->index_bytes);
	if (r == 0)
		r = chunk_index_each_pack(store_index(s->store), add_pack, status);
	if (r == 0)
		r = store_each_host(s->store, add_host, &gathering);
	if (r < 0)
		return r;
	look_at_disk(status);
	status_read_daemon(s->io, status);
	status->alerts = alerts_json(s->io);
	return find_mountpoints(status);
}

int status_collect(struct session *s, struct status *ret_status)
{
	struct status status = { 0 };
	int r = collect(s, &status);

	if (r < 0) {
		status_done(&status);
		return r;
	}
	*ret_status = status;
	return 0;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *hosts_json(const struct status *status)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < status->n_hosts; i++) {
		const struct status_host *host = &status->hosts[i];
		json_t *o = json_object();

		(void)json_object_set_new(o, "id", json_string(host->id));
		(void)output_json_name(o, "name", host->name, strlen(host->name));
		(void)json_object_set_new(o, "snapshots", number(host->snapshots));
		(void)json_array_append_new(array, o);
	}
	return array;
}

static json_t *mounts_json(const struct status *status)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < status->n_mountpoints; i++) {
		json_t *o = json_object();

		(void)output_json_name(o, "path", status->mountpoints[i],
				       strlen(status->mountpoints[i]));
		(void)json_array_append_new(array, o);
	}
	return array;
}

static json_t *protection_status_json(const struct status *status)
{
	char line[STATUS_LINE_BYTES], time[OUTPUT_TIME_BYTES];
	enum status_protection protection = status_protection(status, line);
	json_t *o = json_object();

	(void)json_object_set_new(o, "state", json_string(status_protection_name(protection)));
	if (o)
		(void)output_json_name(o, "line", line, strlen(line));
	(void)json_object_set_new(o, "daemon",
				  status->daemon ? json_integer(status->daemon) : json_null());
	(void)json_object_set_new(o, "configured_sources", number(status->n_configured));
	(void)json_object_set_new(o, "reported",
				  status->has_report
					  ? json_string(output_time_utc(status->report_ns, time))
					  : json_null());
	(void)json_object_set_new(
		o, "report", status->has_report ? protection_json(&status->report) : json_null());
	return o;
}

static json_t *warnings_json(const struct status *status)
{
	json_t *warnings = json_array();
	char line[STATUS_LINE_BYTES];
	int check = status_check(status, line);

	if (status->recovery_unconfirmed)
		(void)json_array_append_new(warnings, json_string("recovery-code-unconfirmed"));
	if (status->has_latest && status->latest.n_absent)
		(void)json_array_append_new(warnings, json_string("sources-absent"));
	if (check == EXIT_CODE_STALE)
		(void)json_array_append_new(warnings, json_string("protection-stale"));
	if (status->has_report && status->report.verify_errors > 0)
		(void)json_array_append_new(warnings, json_string("verification-failed"));
	if (status->config_is_wrong)
		(void)json_array_append_new(warnings, json_string("configuration-wrong"));
	return warnings;
}

json_t *status_json(const struct status *status)
{
	json_t *o = json_object();
	json_t *warnings = warnings_json(status);
	char time[OUTPUT_TIME_BYTES];

	if (!o || !warnings) {
		json_decref(o);
		json_decref(warnings);
		return NULL;
	}
	(void)output_json_name(o, "repository", status->repository, strlen(status->repository));
	(void)json_object_set_new(o, "repository_id", json_string(status->repository_id));
	(void)json_object_set_new(o, "read_only", json_boolean(status->read_only));
	(void)output_json_name(o, "host", status->host, strlen(status->host));
	(void)json_object_set_new(o, "time", json_string(output_time_utc(status->now_ns, time)));
	(void)json_object_set_new(o, "snapshots", number(status->snapshots));
	(void)json_object_set_new(o, "latest",
				  status->has_latest
					  ? describe_snapshot_json(&status->latest, status->host)
					  : json_null());
	(void)json_object_set_new(o, "packs", number(status->packs));
	(void)json_object_set_new(o, "pack_bytes", number(status->pack_bytes));
	(void)json_object_set_new(o, "chunks", number(status->chunks));
	(void)json_object_set_new(o, "index_bytes", number(status->index_bytes));
	(void)json_object_set_new(o, "free_bytes", number(status->free_bytes));
	(void)json_object_set_new(o, "hosts", hosts_json(status));
	(void)json_object_set_new(o, "mounts", mounts_json(status));
	(void)json_object_set_new(o, "new_bytes_day", number(status->new_bytes_day));
	(void)json_object_set_new(o, "protection", protection_status_json(status));
	(void)json_object_set_new(o, "alerts",
				  status->alerts ? json_incref(status->alerts) : json_array());
	(void)json_object_set_new(o, "warnings", warnings);
	return o;
}

char *status_metrics(struct session *s)
{
	struct status status;
	char *text;

	if (status_collect(s, &status) < 0)
		return NULL;
	text = metrics_text(&status);
	status_done(&status);
	return text;
}

char *status_text(struct session *s, json_t *mount)
{
	struct status status;
	json_t *json;
	char *text, *line = NULL;

	if (status_collect(s, &status) < 0) {
		json_decref(mount);
		return NULL;
	}
	json = status_json(&status);
	status_done(&status);
	if (json)
		(void)json_object_set(json, "mount", mount);
	json_decref(mount);
	text = json ? json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
	json_decref(json);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}
