/* SPDX-License-Identifier: MIT */
/*
 * config_value: durations, sizes, yes and no: text to number and back.
 * Threads: pure functions.
 */
#ifndef TOOLS_CONFIG_VALUE_H
#define TOOLS_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_VALUE_BYTES 64

/** "500ms", "2s", "10min", "1h 30min", "7d", "2w", "0". Returns 0 or -EINVAL (ten years are the
 * most). */
int config_value_duration(const char *text, uint64_t *ret_ms);
/** "4096", "64M", "50 GiB", "1.5G". Returns 0 or -EINVAL. */
int config_value_size(const char *text, uint64_t *ret_bytes);
/** yes/no, true/false, on/off, 1/0. Returns 0 or -EINVAL. */
int config_value_bool(const char *text, bool *ret_value);
/** "12" or, with percent, "12%" as well. Returns 0 or -EINVAL. */
int config_value_number(const char *text, bool percent, unsigned int max, unsigned int *ret_value);
/** A path in double quotes, with \" \\ \n \t and \xNN, in place. Returns 0 or -EINVAL. */
int config_value_unquote(char *text);
/** The other way round, only where it must be; the caller frees it. NULL on no memory. */
char *config_value_quote(const char *path);

#endif
