/* SPDX-License-Identifier: MIT */
#include "tools/config_keys.h"

#include "store/base/cleanup.h"
#include "store/limits.h"
#include "tools/config_value.h"
#include "tools/usual.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define AT(field) .offset = offsetof(struct config, field)
#define SOURCE_AT(field) .section = "source", .offset = offsetof(struct config_source, field)

const struct config_key config_keys[] = {
	{ "repository", "path", NULL, AT(repository), .kind = CONFIG_KIND_PATH },

	{ "snapshot", "quiet", "2s", AT(quiet_ms), .kind = CONFIG_KIND_DURATION, .most = DAY },
	{ "snapshot", "longest", "60s", AT(longest_ms), .kind = CONFIG_KIND_DURATION, .least = 100,
	  .most = 7 * DAY },
	{ "snapshot", "full-walk", "1d", AT(full_walk_ms), .kind = CONFIG_KIND_DURATION },
	{ "snapshot", "poll-every", "5min", AT(poll_every_ms), .kind = CONFIG_KIND_DURATION,
	  .least = SECOND, .most = 31 * DAY },

	{ "retention", "keep", RETENTION_DEFAULT, AT(keep), .kind = CONFIG_KIND_POLICY },
	{ "retention", "collect-every", "1d", AT(collect_every_ms), .kind = CONFIG_KIND_DURATION },
	{ "retention", "reserve", "8M", AT(reserve_bytes), .kind = CONFIG_KIND_SIZE },

	{ "limits", "nice", "10", AT(nice), .kind = CONFIG_KIND_NUMBER, .most = 19 },
	{ "limits", "io", "idle", "idle best-effort", AT(io), .kind = CONFIG_KIND_WORD },
	{ "limits", "cpu", "0", AT(cpu_percent), .kind = CONFIG_KIND_PERCENT, .most = 100000 },
	{ "limits", "read-rate", "0", AT(read_rate_bytes), .kind = CONFIG_KIND_RATE },
	{ "limits", "collect-rate", "0", AT(collect_rate_bytes), .kind = CONFIG_KIND_RATE },
	{ "limits", "check-rate", "0", AT(check_rate_bytes), .kind = CONFIG_KIND_RATE },

	{ "mount", "path", NULL, AT(mountpoint), .kind = CONFIG_KIND_PLACE },
	{ "mount", "allow-other", NULL, AT(allow_other), .kind = CONFIG_KIND_BOOL },
	{ "mount", "cache-size", "256M", AT(cache_bytes), .kind = CONFIG_KIND_SIZE,
	  .least = MIB(4) },

	{ "check", "data-every", "30d", AT(data_every_ms), .kind = CONFIG_KIND_DURATION },

	{ "alerts", "on-alert", "", AT(on_alert), .kind = CONFIG_KIND_COMMAND },
	{ "alerts", "repeat-every", "1d", AT(repeat_every_ms), .kind = CONFIG_KIND_DURATION },
	{ "alerts", "stale-after", "1h", AT(stale_after_ms), .kind = CONFIG_KIND_DURATION,
	  .least = SECOND },
	{ "alerts", "disk-free-min", "1G", AT(disk_free_min_bytes), .kind = CONFIG_KIND_SIZE },
	{ "alerts", "changed-share", "50%", AT(changed_share), .kind = CONFIG_KIND_PERCENT,
	  .most = 100 },
};
const size_t config_keys_n = sizeof(config_keys) / sizeof(config_keys[0]);

const struct config_key config_source_keys[] = {
	{ .key = "path", SOURCE_AT(path), .kind = CONFIG_KIND_PATH },
	{ .key = "exclude", SOURCE_AT(excludes), .fallback = "", .kind = CONFIG_KIND_LINES },
	{ .key = "one-file-system",
	  SOURCE_AT(one_file_system),
	  .fallback = "no",
	  .kind = CONFIG_KIND_BOOL },
	{ .key = "exclude-caches",
	  SOURCE_AT(exclude_caches),
	  .fallback = "no",
	  .kind = CONFIG_KIND_BOOL },
	{ .key = "method",
	  SOURCE_AT(method),
	  .fallback = "auto",
	  .words = "auto plain btrfs",
	  .kind = CONFIG_KIND_WORD },
	{ .key = "watch",
	  SOURCE_AT(watch),
	  .fallback = "auto",
	  .words = "auto inotify poll",
	  .kind = CONFIG_KIND_WORD },
	{ .key = "before", SOURCE_AT(before), .fallback = "", .kind = CONFIG_KIND_COMMAND },
	{ .key = "after", SOURCE_AT(after), .fallback = "", .kind = CONFIG_KIND_COMMAND },
	{ .key = "hook-timeout",
	  SOURCE_AT(hook_timeout_ms),
	  .fallback = "10min",
	  .kind = CONFIG_KIND_DURATION },
	{ .key = "command", SOURCE_AT(command), .fallback = "", .kind = CONFIG_KIND_COMMAND },
	{ .key = "every",
	  SOURCE_AT(every_ms),
	  .fallback = "1h",
	  .kind = CONFIG_KIND_DURATION,
	  .least = SECOND },
};
const size_t config_source_keys_n = sizeof(config_source_keys) / sizeof(config_source_keys[0]);

static int refuse(char **ret_wrong, const char *what)
{
	*ret_wrong = strdup(what);
	return *ret_wrong ? -EINVAL : -ENOMEM;
}

/* A path as files give it, made absolute. 0, -EINVAL (relative, or no home), -ENOMEM. */
static int take_path(const char *text, char **ret_path)
{
	CLEANUP(free_ptr) char *plain = strdup(text);
	int r;

	if (!plain)
		return -ENOMEM;
	r = config_value_unquote(plain);
	if (r < 0)
		return r;
	if (plain[0] == '~' && (plain[1] == '/' || plain[1] == '\0')) {
		if (!usual_home())
			return -EINVAL;
		*ret_path = plain[1] ? usual_below(usual_home(), plain + 2) : strdup(usual_home());
		return *ret_path ? 0 : -ENOMEM;
	}
	if (plain[0] != '/')
		return -EINVAL;
	*ret_path = STEAL(plain);
	return 0;
}

static int set_path(const struct config_key *k, char **to, const char *text, char **ret_wrong)
{
	CLEANUP(free_ptr) char *path = NULL;
	int r = 0;

	if (text[0] == '\0' && k->kind == CONFIG_KIND_PLACE)
		path = strdup("");
	else
		r = take_path(text, &path);
	if (r == -EINVAL)
		return refuse(ret_wrong, "it wants a path that begins with '/' or '~/'");
	if (!path)
		return -ENOMEM;
	if (strlen(path) > RECORD_PATH_BYTES_MAX)
		return refuse(ret_wrong, "the path is too long");
	free(*to);
	*to = STEAL(path);
	return 0;
}

static int set_command(char **to, const char *text, char **ret_wrong)
{
	char *copy;

	if (strchr(text, '\n'))
		return refuse(ret_wrong, "it takes one line, and what follows is indented as if "
					 "it went on; take the blanks before it away");
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int add_lines(char **to, const char *text, char **ret_wrong)
{
	char *sum;

	if (text[0] == '\0') {
		free(*to);
		*to = strdup("");
		return *to ? 0 : -ENOMEM;
	}
	if ((*to ? strlen(*to) : 0) + strlen(text) + 1 > RECORD_EXCLUDES_BYTES_MAX)
		return refuse(ret_wrong, "the patterns of a source have 1 MiB at most");
	if (asprintf(&sum, "%s%s\n", *to ? *to : "", text) < 0)
		return -ENOMEM;
	free(*to);
	*to = sum;
	return 0;
}

/* Several lines are one policy. */
static int set_policy(struct config *c, const char *text, char **ret_wrong)
{
	CLEANUP(free_ptr) char *line = strdup(text);
	struct retention_policy policy = { 0 };
	int r;

	if (!line)
		return -ENOMEM;
	for (char *p = line; *p; p++)
		if (*p == '\n')
			*p = ' ';
	if (line[0]) {
		r = retention_parse(line, &policy, ret_wrong);
		if (r < 0)
			return r == -ENOMEM ? r : -EINVAL;
	}
	free(c->keep);
	c->keep = STEAL(line);
	c->retention = policy;
	return 0;
}

static int refuse_range(const struct config_key *k, char **ret_wrong, const char *unit,
			uint64_t scale)
{
	char most[48] = "";

	if (k->most)
		(void)snprintf(most, sizeof(most), ", at most %" PRIu64 "%s", k->most / scale,
			       unit);
	if (asprintf(ret_wrong, "it must be at least %" PRIu64 "%s%s", k->least / scale, unit,
		     most) < 0) {
		*ret_wrong = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

static bool in_range(const struct config_key *k, uint64_t n)
{
	return n >= k->least && (k->most == 0 || n <= k->most);
}

static int set_duration(const struct config_key *k, uint64_t *to, const char *text,
			char **ret_wrong)
{
	uint64_t ms;

	if (config_value_duration(text, &ms) < 0)
		return refuse(ret_wrong,
			      "it wants a time such as 500ms, 2s, 10min, 1h, 7d, or 0; ten years "
			      "are the most");
	if (!in_range(k, ms))
		return k->least % SECOND ? refuse_range(k, ret_wrong, "ms", 1)
					 : refuse_range(k, ret_wrong, "s", SECOND);
	*to = ms;
	return 0;
}

static int set_size(const struct config_key *k, uint64_t *to, const char *text, char **ret_wrong)
{
	CLEANUP(free_ptr) char *plain = strdup(text);
	size_t n = strlen(text);
	uint64_t bytes;

	if (!plain)
		return -ENOMEM;
	if (k->kind == CONFIG_KIND_RATE && n > 2 && strcmp(text + n - 2, "/s") == 0)
		plain[n - 2] = '\0';
	if (config_value_size(plain, &bytes) < 0)
		return refuse(ret_wrong, k->kind == CONFIG_KIND_RATE
						 ? "it wants bytes a second, such as 20M, or 0 "
						   "for no limit"
						 : "it wants a size such as 64M, 1.5G or 4096");
	if (!in_range(k, bytes))
		return refuse_range(k, ret_wrong, "M", MIB(1));
	*to = bytes;
	return 0;
}

static int set_number(const struct config_key *k, unsigned int *to, const char *text,
		      char **ret_wrong)
{
	bool percent = k->kind == CONFIG_KIND_PERCENT;

	if (config_value_number(text, percent, (unsigned int)k->most, to) == 0)
		return 0;
	if (asprintf(ret_wrong, "it wants a number from 0 to %" PRIu64 "%s", k->most,
		     percent ? " (percent)" : "") < 0) {
		*ret_wrong = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

static int set_word(const struct config_key *k, unsigned int *to, const char *text,
		    char **ret_wrong)
{
	const char *at = k->words;

	for (unsigned int i = 0; *at; i++) {
		size_t n = strcspn(at, " ");

		if (strlen(text) == n && memcmp(at, text, n) == 0) {
			*to = i;
			return 0;
		}
		at += n + (at[n] == ' ');
	}
	if (asprintf(ret_wrong, "it wants one of: %s", k->words) < 0) {
		*ret_wrong = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

int config_key_set(const struct config_key *k, void *base, const char *text, char **ret_wrong)
{
	void *at = (char *)base + k->offset;

	switch (k->kind) {
	case CONFIG_KIND_PATH:
	case CONFIG_KIND_PLACE:
		return set_path(k, at, text, ret_wrong);
	case CONFIG_KIND_COMMAND:
		return set_command(at, text, ret_wrong);
	case CONFIG_KIND_LINES:
		return add_lines(at, text, ret_wrong);
	case CONFIG_KIND_POLICY:
		return set_policy(base, text, ret_wrong);
	case CONFIG_KIND_BOOL:
		return config_value_bool(text, at) == 0 ? 0
							: refuse(ret_wrong, "it wants yes or no");
	case CONFIG_KIND_DURATION:
		return set_duration(k, at, text, ret_wrong);
	case CONFIG_KIND_SIZE:
	case CONFIG_KIND_RATE:
		return set_size(k, at, text, ret_wrong);
	case CONFIG_KIND_NUMBER:
	case CONFIG_KIND_PERCENT:
		return set_number(k, at, text, ret_wrong);
	case CONFIG_KIND_WORD:
		return set_word(k, at, text, ret_wrong);
	}
	return -EINVAL;
}
