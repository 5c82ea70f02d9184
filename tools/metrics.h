/* SPDX-License-Identifier: MIT */
/*
 * metrics: a status in OpenMetrics text, version 1.0.0: for
 * `yore status --metrics` and the mount's .yore/metrics.
 *
 * Paths are label values; where one is not valid UTF-8, U+FFFD stands for each
 * wrong byte, and a second label source_hex has its exact bytes. Names,
 * meanings and units: yore(1).
 *
 * Threads: any.
 */
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include "tools/status.h"

/** The text, which ends in "# EOF\n"; the caller frees it. NULL on no memory. */
char *metrics_text(const struct status *status);

#endif
