/* SPDX-License-Identifier: MIT */
/*
 * password: a password or recovery code from where the user put it: the
 * environment (YORE_PASSWORD, _FILE, _COMMAND), systemd's credentials, or the
 * terminal.
 *
 * Strings live in guarded memory: free them with password_free(). Threads:
 * before any are started.
 */
#ifndef TOOLS_PASSWORD_H
#define TOOLS_PASSWORD_H

#include "store/base/cleanup.h"

#define PASSWORD_BYTES_MAX 4096

/**
 * From the environment. Returns 0; -ENOENT none given; -EINVAL an empty one;
 * -errno: it could not be had (logged).
 */
int password_given(char **ret_password);
/** From a file: as YORE_PASSWORD_FILE. */
int password_from_file(const char *path, char **ret_password);
/**
 * Ask on the controlling terminal; with `again` twice (-EINVAL: they differ).
 * Returns 0; -ENXIO no terminal; -ECANCELED; -EINVAL.
 */
int password_ask(const char *prompt, const char *again, char **ret_password);
/** Wipes it. NULL is fine. */
void password_free(char *password);
CLEANUP_DEFINE(char, password_free)

#endif
