/* SPDX-License-Identifier: MIT */
/*
 * output: numbers, times and names as people and programs read them.
 *
 * Names are raw bytes. On a terminal control characters, invalid UTF-8 and
 * characters that turn the writing direction are shown as \xNN, so that a name
 * cannot drive the terminal; elsewhere the bytes go out as they are. In JSON a
 * name that is not valid UTF-8 has U+FFFD where bytes are wrong, and its exact
 * bytes in hex under a second key with "_hex" at its end.
 *
 * Threads: any; a FILE belongs to one thread at a time.
 */
#ifndef TOOLS_OUTPUT_H
#define TOOLS_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OUTPUT_SIZE_BYTES 24
#define OUTPUT_TIME_BYTES 64

/** "0 B", "999 B", "1.5 KiB", "12 MiB". */
char *output_size(uint64_t bytes, char to[static OUTPUT_SIZE_BYTES]);
/** "2024-05-01 14:30:00 CEST", in local time. */
char *output_time(int64_t time_ns, char to[static OUTPUT_TIME_BYTES]);
/** "2024-05-01T12:30:00.123456789Z" (RFC 3339). */
char *output_time_utc(int64_t time_ns, char to[static OUTPUT_TIME_BYTES]);
/** "0.4 s", "12 s", "3 min 5 s", "2 h 10 min", "4 days". */
char *output_duration(int64_t ns, char to[static OUTPUT_TIME_BYTES]);

/** The word that goes with a number. */
const char *output_plural(uint64_t n, const char *one, const char *many);

/** Length of the valid UTF-8 sequence at the start of n bytes, or 0. */
size_t output_utf8(const char *text, size_t n);
/** Escape for a terminal. `to` is always terminated; room for 4n + 1 never cuts. Returns the
 * length. */
size_t output_escape(const char *text, size_t n, char *to, size_t room);
/** Print a name: escaped if the stream is a terminal, raw otherwise. */
void output_name(FILE *stream, const char *name, size_t n);

/** Set a name in an object; takes care of what is not UTF-8. Returns 0 or -ENOMEM. */
int output_json_name(json_t *object, const char *key, const char *name, size_t n);
/** Print a value and a newline on stdout, and drop it. Returns 0, or -ENOMEM when it is NULL. */
int output_json(json_t *value);

/* An array printed item by item, so that a long one costs no memory. */
struct json_list {
	FILE *stream;
	uint64_t n;
};
void json_list_begin(struct json_list *list, FILE *stream);
/** Print an item and drop it. Returns 0, or -ENOMEM when it is NULL. */
int json_list_add(struct json_list *list, json_t *item);
void json_list_end(struct json_list *list);

#endif
