/* SPDX-License-Identifier: MIT */
/*
 * supervisor: keeps a background daemon alive where no service manager does:
 * a small process that starts the one that works, and starts it again when it
 * ended by a fault: the repository's disk was pulled out, its index was found
 * damaged, memory ran out.
 *
 * SIGTERM, SIGINT and SIGHUP are passed on; an end that was asked for, or that
 * is in order, is the supervisor's end as well. Between tries it rests 1 s to
 * 5 min, and at most 30 s while there is no repository.
 *
 * Threads: none; call it before there are any.
 */
#ifndef TOOLS_SUPERVISOR_H
#define TOOLS_SUPERVISOR_H

/** The work, in a process of its own. `ready_fd` is for daemon_ready(), -1 when started again.
 * Returns an exit code. */
typedef int supervisor_work(void *context, int ready_fd);

/**
 * In the process that daemon_begin() made, with its `ready_fd`: work under
 * supervision. A first try that ends before it is ready is not repeated: its
 * exit code is returned. Returns an exit code, in the working processes, too.
 */
int supervisor_run(supervisor_work *work, void *context, int ready_fd);

#endif
