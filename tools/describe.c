/* SPDX-License-Identifier: MIT */
#include "tools/describe.h"

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "tools/output.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static json_t *tags_json(const char *tags)
{
	json_t *array = json_array();

	while (array && *tags) {
		size_t n = strcspn(tags, ",");

		if (n > 0)
			(void)json_array_append_new(array, json_stringn(tags, n));
		tags += n + (tags[n] == ',');
	}
	return array;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *describe_snapshot_json(const struct snapshot_info *info, const char *host)
{
	char id[2 * sizeof(info->id.bytes) + 1], name[SNAPSHOT_NAME_BYTES + 1];
	char time[OUTPUT_TIME_BYTES];
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)snprintf(name, sizeof(name), "@%s", info->name);
	(void)json_object_set_new(o, "id",
				  json_string(bytes_to_hex(&info->id, sizeof(info->id), id)));
	(void)json_object_set_new(o, "seq", number(info->seq));
	(void)json_object_set_new(o, "name", json_string(name));
	(void)json_object_set_new(o, "time", json_string(output_time_utc(info->time_ns, time)));
	(void)output_json_name(o, "host", host, strlen(host));
	(void)json_object_set_new(o, "tags", tags_json(info->tags));
	(void)output_json_name(o, "reason", info->reason, strlen(info->reason));
	(void)json_object_set_new(o, "files", number(info->files));
	(void)json_object_set_new(o, "directories", number(info->directories));
	(void)json_object_set_new(o, "others", number(info->others));
	(void)json_object_set_new(o, "bytes", number(info->bytes));
	(void)json_object_set_new(o, "new_bytes", number(info->new_stored_bytes));
	(void)json_object_set_new(o, "new_raw_bytes", number(info->new_raw_bytes));
	(void)json_object_set_new(o, "sources", number(info->n_sources));
	(void)json_object_set_new(o, "absent", number(info->n_absent));
	(void)json_object_set_new(o, "errors", number(info->errors));
	(void)json_object_set_new(o, "consistency",
				  json_string(consistency_name(info->consistency)));
	return o;
}

static json_t *source_json(const struct record_source *s)
{
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)output_json_name(o, "path", s->path, strlen(s->path));
	(void)json_object_set_new(o, "consistency", json_string(consistency_name(s->consistency)));
	(void)json_object_set_new(o, "absent", json_boolean(s->state == SOURCE_ABSENT));
	(void)json_object_set_new(o, "stream", json_boolean((s->flags & SOURCE_STREAM) != 0));
	(void)json_object_set_new(o, "files", number(s->files));
	(void)json_object_set_new(o, "bytes", number(s->bytes));
	(void)json_object_set_new(o, "errors", number(s->errors));
	return o;
}

int describe_sources_json(json_t *snapshot, const struct record *record)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < record->n_sources; i++)
		(void)json_array_append_new(list, source_json(&record->sources[i]));
	if (!list)
		return -ENOMEM;
	return json_object_set_new(snapshot, "per_source", list) < 0 ? -ENOMEM : 0;
}

const char *describe_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	default:
		return "unknown";
	}
}

void describe_mode(uint32_t mode, char to[static 11])
{
	static const char bits[] = "rwxrwxrwx";
	const char *type = describe_type(mode);

	(void)snprintf(to, 11, "%c---------",
		       S_ISREG(mode)    ? '-'
		       : S_ISFIFO(mode) ? 'p'
		       : S_ISLNK(mode)  ? 'l'
					: type[0]);
	for (unsigned int i = 0; i < 9; i++)
		if (mode & (0400u >> i))
			to[i + 1] = bits[i];
	if (mode & S_ISUID)
		to[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		to[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		to[9] = mode & S_IXOTH ? 't' : 'T';
}

static char *node_time_utc(const struct node_time *t, char to[static OUTPUT_TIME_BYTES])
{
	time_t s = (time_t)t->seconds;
	struct tm tm;
	char day[48];

	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%FT%T", &tm) == 0)
		(void)snprintf(to, OUTPUT_TIME_BYTES, "?");
	else
		(void)snprintf(to, OUTPUT_TIME_BYTES, "%s.%09" PRIu32 "Z", day, t->nanoseconds);
	return to;
}

json_t *describe_entry_json(const char *path, size_t path_n, const struct tree_entry *entry)
{
	char time[OUTPUT_TIME_BYTES], mode[16], id[2 * sizeof(entry->content.id) + 1];
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)output_json_name(o, "path", path, path_n);
	(void)json_object_set_new(o, "type", json_string(describe_type(entry->mode)));
	(void)snprintf(mode, sizeof(mode), "%04o", entry->mode & 07777);
	(void)json_object_set_new(o, "mode", json_string(mode));
	(void)json_object_set_new(o, "uid", number(entry->uid));
	(void)json_object_set_new(o, "gid", number(entry->gid));
	(void)json_object_set_new(o, "nlink", number(entry->nlink));
	(void)json_object_set_new(o, "size", number(entry->size));
	(void)json_object_set_new(o, "mtime", json_string(node_time_utc(&entry->mtime, time)));
	if (S_ISLNK(entry->mode))
		(void)output_json_name(o, "target", entry->link, entry->link_n);
	if (S_ISREG(entry->mode)) {
		bytes_to_hex(&entry->content.id, sizeof(entry->content.id), id);
		(void)json_object_set_new(o, "content", json_string(id));
		if (entry->flags & ENTRY_UNREADABLE)
			(void)json_object_set_new(o, "unreadable", json_true());
		(void)json_object_set_new(o, "consistency",
					  json_string(consistency_name(entry->consistency)));
		if (entry->consistency == CONSISTENCY_SMEARED)
			(void)json_object_set_new(o, "changed_while_read", json_true());
	}
	return o;
}

/* The last user and group, since a listing asks for the same ones again and again. */
static const char *user_name(uint32_t uid)
{
	static char name[40];
	static uint32_t last;
	const struct passwd *user;

	if (name[0] && last == uid)
		return name;
	user = getpwuid(uid);
	if (user)
		(void)snprintf(name, sizeof(name), "%s", user->pw_name);
	else
		(void)snprintf(name, sizeof(name), "%" PRIu32, uid);
	last = uid;
	return name;
}

static const char *group_name(uint32_t gid)
{
	static char name[40];
	static uint32_t last;
	const struct group *group;

	if (name[0] && last == gid)
		return name;
	group = getgrgid(gid);
	if (group)
		(void)snprintf(name, sizeof(name), "%s", group->gr_name);
	else
		(void)snprintf(name, sizeof(name), "%" PRIu32, gid);
	last = gid;
	return name;
}

void describe_entry_line(FILE *stream, const struct tree_entry *entry)
{
	char mode[11], size[40], time[64];
	time_t s = (time_t)entry->mtime.seconds;
	struct tm tm;

	describe_mode(entry->mode, mode);
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
		(void)snprintf(size, sizeof(size), "%" PRIu64 ",%" PRIu64, entry->rdev >> 32,
			       entry->rdev & UINT32_MAX);
	else
		(void)snprintf(size, sizeof(size), "%" PRIu64, entry->size);
	if (!localtime_r(&s, &tm) || strftime(time, sizeof(time), "%F %T %z", &tm) == 0)
		(void)snprintf(time, sizeof(time), "?");
	(void)fprintf(stream, "%s %3" PRIu32 " %-8s %-8s %12s %s ", mode, entry->nlink,
		      user_name(entry->uid), group_name(entry->gid), size, time);
}
