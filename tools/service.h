/* SPDX-License-Identifier: MIT */
/*
 * service: the process behind a mount: it shows the repository, and protects
 * what the configuration names. One of the two may be missing: without
 * sources, or beside another daemon, it only shows; with an empty mountpoint
 * it only protects.
 *
 * Unmounted from outside, a protecting service goes on and mounts again;
 * `yore umount` ends it. SIGTERM and SIGINT end it in order (a second one at
 * once), SIGHUP reads the configuration again. To a service manager it speaks
 * as Type=notify.
 *
 * Threads: the calling one serves until the end.
 */
#ifndef TOOLS_SERVICE_H
#define TOOLS_SERVICE_H

#include "tools/config.h"
#include "tools/mount_request.h"

/**
 * Run until it is ended. The configuration is taken over. `ready_fd` is
 * daemon_begin's, or -1 in the foreground. Returns an exit code; what went
 * wrong is said.
 */
int service_run(const struct cmd_globals *globals, const struct mount_request *request,
		struct config *config, int ready_fd);

#endif
