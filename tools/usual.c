/* SPDX-License-Identifier: MIT */
#include "tools/usual.h"

#include "store/base/cleanup.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define ROOT_REPOSITORY "/var/lib/yore"
#define ROOT_MOUNTPOINT "/backups"
#define ROOT_CONFIG "/etc/yore/yore.conf"

const char *usual_home(void)
{
	const char *home = getenv("HOME");
	const struct passwd *user;

	if (home && home[0] == '/')
		return home;
	user = getpwuid(geteuid());
	return user ? user->pw_dir : NULL;
}

char *usual_below(const char *folder, const char *name)
{
	char *path = NULL;

	if (!folder || asprintf(&path, "%s/%s", folder, name) < 0)
		return NULL;
	return path;
}

char *usual_absolute(const char *path)
{
	CLEANUP(free_ptr) char *here = NULL;

	if (path[0] == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	return usual_below(here, path);
}

/* XDG wants relative values ignored. */
static char *xdg(const char *variable, const char *home_folder, const char *name)
{
	const char *folder = getenv(variable);
	CLEANUP(free_ptr) char *below_home = NULL;

	if (folder && folder[0] == '/')
		return usual_below(folder, name);
	below_home = usual_below(usual_home(), home_folder);
	return usual_below(below_home, name);
}

char *usual_repository(void)
{
	if (geteuid() == 0)
		return strdup(ROOT_REPOSITORY);
	return xdg("XDG_DATA_HOME", ".local/share", "yore");
}

char *usual_mountpoint(void)
{
	if (geteuid() == 0)
		return strdup(ROOT_MOUNTPOINT);
	return usual_below(usual_home(), "backups");
}

char *usual_config(void)
{
	if (geteuid() == 0)
		return strdup(ROOT_CONFIG);
	return xdg("XDG_CONFIG_HOME", ".config", "yore/yore.conf");
}
