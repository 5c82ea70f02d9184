/* SPDX-License-Identifier: MIT */
/*
 * notify: tells the service manager how the daemon is: sd_notify(3)'s protocol,
 * one datagram to the socket that NOTIFY_SOCKET names.
 *
 * Written out here because it is all that libsystemd would be linked for. The
 * socket never makes the daemon wait: when the manager does not read, a line
 * is lost, and the next one comes soon. Without NOTIFY_SOCKET nothing happens.
 *
 * Threads: any.
 */
#ifndef TOOLS_NOTIFY_H
#define TOOLS_NOTIFY_H

#include <stdint.h>

#define NOTIFY_TEXT_BYTES 512

/** It works now: READY=1. Also ends what notify_reloading() began. */
void notify_ready(void);
/** One line that `systemctl status` shows; control characters become blanks. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** It is alive: WATCHDOG=1. */
void notify_watchdog(void);
/** It reads its configuration again; notify_ready() follows. */
void notify_reloading(void);
/** It has been asked to end. */
void notify_stopping(void);
/**
 * How often notify_watchdog() is wanted at least, in microseconds; half of it is wise. 0: not at
 * all, or of another process.
 */
uint64_t notify_watchdog_us(void);

#endif
