/* SPDX-License-Identifier: MIT */
#include "tools/mount_request.h"

#include "store/base/cleanup.h"
#include "store/limits.h"
#include "tools/options.h"
#include "tools/usual.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define THREADS_MAX 256

void mount_request_init(struct mount_request *q)
{
	*q = (struct mount_request){ .allow_other = geteuid() == 0,
				     .cache_bytes = CHUNK_CACHE_DEFAULT };
}

void mount_request_done(struct mount_request *q)
{
	free(q->mountpoint);
	free(q->host);
}

bool mount_request_foreign(const char *option)
{
	static const char *const words[] = {
		"ro",          "rw",
		"defaults",    "auto",
		"noauto",      "user",
		"nouser",      "users",
		"owner",       "group",
		"nofail",      "_netdev",
		"exec",        "noexec",
		"suid",        "nosuid",
		"dev",         "nodev",
		"atime",       "noatime",
		"relatime",    "norelatime",
		"strictatime", "nostrictatime",
		"diratime",    "nodiratime",
		"lazytime",    "nolazytime",
		"sync",        "async",
		"dirsync",     "mand",
		"nomand",      "iversion",
		"noiversion",  "silent",
		"loud",        "default_permissions",
	};
	static const char *const prefixes[] = { "x-",      "X-",       "comment=", "user=",
						"helper=", "subtype=", "fsname=",  "uhelper=" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(option, words[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The value of "name=value", or NULL. */
static const char *value_of(const char *option, const char *name)
{
	size_t n = strlen(name);

	return strncmp(option, name, n) == 0 && option[n] == '=' ? option + n + 1 : NULL;
}

static int take_value(struct mount_request *q, const char *option)
{
	const char *value;
	size_t n;

	if ((value = value_of(option, "host"))) {
		free(q->host);
		q->host = strdup(value);
		return q->host ? 0 : -ENOMEM;
	}
	if ((value = value_of(option, "cache_size"))) {
		if (options_size(value, &n) < 0 || n < MIB(4))
			return -EINVAL;
		q->cache_bytes = n;
		q->cache_given = true;
		return 0;
	}
	if ((value = value_of(option, "read_ahead")))
		return options_size(value, &q->read_ahead_bytes);
	if ((value = value_of(option, "threads"))) {
		if (options_size(value, &n) < 0 || n < 1 || n > THREADS_MAX)
			return -EINVAL;
		q->threads = (unsigned int)n;
		return 0;
	}
	return -ENOENT;
}

static int take(struct mount_request *q, const char *option)
{
	if (strcmp(option, "allow_other") == 0)
		q->allow_other = q->allow_other_given = true;
	else if (strcmp(option, "private") == 0)
		q->allow_other = !(q->allow_other_given = true);
	else if (strcmp(option, "debug") == 0)
		q->debug = true;
	else if (strcmp(option, "foreground") == 0)
		q->foreground = true;
	else if (!mount_request_foreign(option))
		return take_value(q, option);
	return 0;
}

int mount_request_options(struct mount_request *q, const char *options, char **ret_wrong)
{
	CLEANUP(free_ptr) char *copy = strdup(options);
	char *save = NULL;
	char *wrong = NULL;

	if (!copy)
		return -ENOMEM;
	for (char *option = strtok_r(copy, ",", &save); option;
	     option = strtok_r(NULL, ",", &save)) {
		int r = take(q, option);

		if (r == 0)
			continue;
		if (r == -ENOMEM ||
		    asprintf(&wrong,
			     r == -ENOENT ? "unknown mount option '%s'; there are allow_other, "
					    "private, host=NAME, cache_size=N, read_ahead=N, "
					    "threads=N, debug and foreground"
					  : "the value of '%s' is out of range",
			     option) < 0)
			return -ENOMEM;
		*ret_wrong = wrong;
		return -EINVAL;
	}
	return 0;
}

/* An absolute form, also of what cannot be resolved: a dead mount. */
static char *absolute(const char *path)
{
	CLEANUP(free_ptr) char *here = NULL;
	char *full = realpath(path, NULL);
	size_t n;

	if (!full && path[0] == '/') {
		full = strdup(path);
	} else if (!full) {
		here = getcwd(NULL, 0);
		if (!here || asprintf(&full, "%s/%s", here, path) < 0)
			return NULL;
	}
	if (!full)
		return NULL;
	for (n = strlen(full); n > 1 && full[n - 1] == '/'; n--)
		full[n - 1] = '\0';
	return full;
}

int mount_request_mountpoint(struct mount_request *q, const char *path)
{
	CLEANUP(free_ptr) char *chosen = NULL;

	q->default_mountpoint = !path;
	if (!path) {
		chosen = usual_mountpoint();
		if (!chosen)
			return -ENOENT;
		path = chosen;
	}
	free(q->mountpoint);
	q->mountpoint = absolute(path);
	return q->mountpoint ? 0 : -ENOMEM;
}
