/* SPDX-License-Identifier: MIT */
/*
 * config_keys: the table of keys, which drives parsing, defaults, advice and
 * `config show`. Threads: read-only.
 */
#ifndef TOOLS_CONFIG_KEYS_H
#define TOOLS_CONFIG_KEYS_H

#include "tools/config.h"

#include <stddef.h>

enum config_kind {
	CONFIG_KIND_PATH,     /* char *: absolute, or below "~/" */
	CONFIG_KIND_PLACE,    /* the same, or nothing at all */
	CONFIG_KIND_COMMAND,  /* char *: one line for /bin/sh, or nothing */
	CONFIG_KIND_LINES,    /* char *: each assignment adds, an empty one clears */
	CONFIG_KIND_POLICY,   /* char *, and struct retention_policy beside it */
	CONFIG_KIND_BOOL,     /* bool */
	CONFIG_KIND_DURATION, /* uint64_t, ms */
	CONFIG_KIND_SIZE,     /* uint64_t */
	CONFIG_KIND_RATE,     /* uint64_t, "20M" or "20M/s" */
	CONFIG_KIND_NUMBER,   /* unsigned int */
	CONFIG_KIND_PERCENT,  /* unsigned int */
	CONFIG_KIND_WORD,     /* an enum: the position in `words` */
};

struct config_key {
	const char *section;
	const char *key;
	const char *fallback; /* as text; NULL: depends on the user */
	const char *words;    /* of CONFIG_KIND_WORD, separated by blanks */
	size_t offset;        /* in struct config, or in struct config_source */
	enum config_kind kind;
	uint64_t least, most; /* of numbers; most == 0: any */
};

/* All but those of [source NAME], by section. */
extern const struct config_key config_keys[];
extern const size_t config_keys_n;
/* Those of [source NAME]. */
extern const struct config_key config_source_keys[];
extern const size_t config_source_keys_n;

/**
 * Set a value in `base` (a struct config or struct config_source). Returns 0;
 * -EINVAL with *ret_wrong (the caller frees it) saying what would be right; -ENOMEM.
 */
int config_key_set(const struct config_key *k, void *base, const char *text, char **ret_wrong);

#endif
