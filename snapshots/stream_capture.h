/* SPDX-License-Identifier: MIT */
/*
 * stream_capture: sources that are no place on disk but a program's output,
 * captured as one regular file (SOURCE_STREAM).
 *
 * Threads: the capture's own.
 */
#ifndef SNAPSHOTS_STREAM_CAPTURE_H
#define SNAPSHOTS_STREAM_CAPTURE_H

#include "snapshots/commit.h"

/**
 * Read the stream to its end, once whatever the number of attempts, and ask
 * whether it ended well. Its entry is left in s->entry. Returns 0; -EAGAIN when
 * an attempt after the first can no longer rely on what was stored; -errno.
 */
int stream_capture_run(struct capture *c, struct captured_source *s);
/** Free what earlier attempts read. */
void stream_capture_forget(struct capture *c);

/** Absolute, canonical as text, and not "/". */
bool stream_path_valid(const char *path);

#endif
