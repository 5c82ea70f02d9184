/* SPDX-License-Identifier: MIT */
/*
 * sources: what protect, unprotect and sources have in common: the sources
 * that the newest snapshot carries, and the daemon that is to know of changes.
 *
 * Threads: one.
 */
#ifndef TOOLS_SOURCES_H
#define TOOLS_SOURCES_H

#include "tools/config.h"
#include "tools/session.h"

/** Is there a repository at all? Opens nothing. */
bool sources_have_repository(const struct config *c);
/** The newest record of this timeline; an empty one if there is none. Returns 0 or -errno. */
int sources_newest(struct session *s, struct record *ret_record);
const struct record_source *sources_find(const struct record *r, const char *path);
/** Have a living daemon read the configuration again; what comes of it is said, unless quiet. */
void sources_tell_daemon(const struct config *c, bool quiet);

#endif
