/* SPDX-License-Identifier: MIT */
/*
 * daemon: a process that goes on in the background, and the one that started
 * it and waits until it is ready.
 *
 * The child keeps the terminal (for a password, and for what goes wrong) until
 * daemon_ready(); then it leaves its session, its folder and the three streams,
 * and its log goes to syslog. Call daemon_begin() before threads and LMDB.
 */
#ifndef TOOLS_DAEMON_H
#define TOOLS_DAEMON_H

#include <stdbool.h>

/**
 * Fork. In the child: returns 0 and the descriptor for daemon_ready(). In the
 * parent: waits, then returns 1 and the exit code in *ret_exit_code (done when
 * the child is ready, else the child's). -errno: there is no child.
 */
int daemon_begin(int *ret_ready_fd, int *ret_exit_code);
/** Let go of the terminal and tell the parent that all is well. */
void daemon_ready(int ready_fd);

#endif
