/* SPDX-License-Identifier: MIT */
/*
 * failure: how a command says that something went wrong: one line on stderr
 * (what happened, to what, what to do next), and the exit code that goes with it.
 *
 * Control bytes in the text are escaped. Threads: any.
 */
#ifndef TOOLS_FAILURE_H
#define TOOLS_FAILURE_H

#include "tools/cmd.h"

/** Say it and return the code. */
int failure(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/**
 * Say it, followed by what the negative errno means here and what to do next.
 * Returns the exit code that belongs to it.
 */
int failure_errno(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Exit code for a negative errno. */
enum exit_code failure_code(int r);
/** Text for a negative errno, in words for people. */
const char *failure_text(int r);
/** What an errno of either sign says of a single object; without advice. Any thread. */
const char *failure_reason(int error);
/** From now on all this goes to the log: there is no stderr any more. */
void failure_to_log(void);
/** Say something that is no failure, on stderr. */
void failure_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
