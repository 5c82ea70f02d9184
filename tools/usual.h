/* SPDX-License-Identifier: MIT */
/*
 * usual: where things are when nobody says: by the user who runs it, HOME and
 * the XDG folders.
 *
 * All return a path that the caller frees; NULL on no memory or no home.
 * Threads: any, as long as none changes the environment.
 */
#ifndef TOOLS_USUAL_H
#define TOOLS_USUAL_H

/** The home folder; borrowed; NULL: none. */
const char *usual_home(void);
/** /var/lib/yore, or $XDG_DATA_HOME/yore. */
char *usual_repository(void);
/** /backups, or ~/backups. */
char *usual_mountpoint(void);
/** /etc/yore/yore.conf, or $XDG_CONFIG_HOME/yore/yore.conf. */
char *usual_config(void);
/** "<folder>/<name>"; NULL for a folder that is NULL. */
char *usual_below(const char *folder, const char *name);
/** An absolute form of a path as given: relative ones lie below the working directory. */
char *usual_absolute(const char *path);

#endif
