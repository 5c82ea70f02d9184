/* SPDX-License-Identifier: MIT */
/*
 * sftp_listing: reads a folder's long listing as SFTP servers write it. Its
 * form is nobody's standard ("ls -l", nearly always); bytes from outside.
 *
 * Threads: no state.
 */
#ifndef SYNC_SFTP_LISTING_H
#define SYNC_SFTP_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFTP_LINE_BYTES_MAX 1024

struct sftp_entry {
	const char *name;
	bool is_folder;
	bool known; /* false: the line's beginning says nothing we understand */
	uint64_t size;
};

/** Return 0 to go on; all else ends the reading, which yields it. */
typedef int sftp_visitor(void *context, const struct sftp_entry *entry);

/**
 * Visit the entries of n bytes; links and special files, "." and ".." are left
 * out, and so are lines that are too long to be about an object of ours.
 * Returns 0 or the visitor's answer.
 */
int sftp_listing_parse(const void *data, size_t n, sftp_visitor *visit, void *context);

#endif
