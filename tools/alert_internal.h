/* SPDX-License-Identifier: MIT */
/*
 * alert_internal: a condition, as the parts of alert and its tests see it.
 *
 *   alert.c             which conditions hold; beginning and ending
 *   alert_send.c        the thread: runs the command, one event at a time
 *   alert_conditions.c  the list of them, and its file
 *
 * States of a condition:
 *   holds   gone_ns == 0, ended_ns == 0
 *   fading  gone_ns != 0, ended_ns == 0: not seen any more, but not for long enough
 *   ended   ended_ns != 0: remembered, to damp it when it comes back
 * `tell` is what somebody is still to be told of it, whatever its state.
 */
#ifndef TOOLS_ALERT_INTERNAL_H
#define TOOLS_ALERT_INTERNAL_H

#include "store/base/clock.h"
#include "store/base/lock.h"
#include "tools/alert.h"

#include <stdatomic.h>

#define CONDITIONS_MAX 1024

enum alert_kind {
	ALERT_STOPPED,
	ALERT_BEHIND,
	ALERT_UNREADABLE,
	ALERT_UNUSUAL,
	ALERT_DISK,
	ALERT_VERIFICATION,
	ALERT_KINDS
};

enum alert_tell { TELL_NOTHING, TELL_BEGIN, TELL_END };

struct condition {
	enum alert_kind kind;
	char *object;
	char message[PROTECTION_TEXT_BYTES];
	int64_t since_ns, gone_ns, ended_ns; /* wall clock, as in the protection it was found in */
	int64_t told_ns;                     /* when its begin was last told */
	uint32_t told;                       /* how often */
	uint32_t returns;                    /* how often it came back */
	enum alert_tell tell;

	/* not in the file */
	bool seen;            /* by the evaluation that runs */
	bool sending;         /* the command has it in hand */
	unsigned int tries;   /* failed ones */
	int64_t not_before_s; /* monotonic: the next try */
};

struct condition_list {
	struct condition *items;
	size_t n;
	size_t room;
};

/* ---- alert_conditions.c ---- */

const char *alert_kind_name(enum alert_kind kind);
void condition_list_done(struct condition_list *l);
/* NULL if there is none. Valid until the list grows or shrinks. */
struct condition *condition_find(const struct condition_list *l, enum alert_kind kind,
				 const char *object);
/* A new one, zeroed. NULL on no memory, or when there are CONDITIONS_MAX. */
struct condition *condition_add(struct condition_list *l, enum alert_kind kind, const char *object);
void condition_drop(struct condition_list *l, size_t i);
/* Text of the file; the caller frees it. NULL on no memory. */
char *condition_list_text(const struct condition_list *l);
int condition_list_write(struct io *io, const char *text);
/* Returns 0 (also when there is no file, or none that can be used: then it is empty) or -ENOMEM. */
int condition_list_read(struct io *io, struct condition_list *ret_list);
/* Returns 0, -EUCLEAN or -ENOMEM. */
int condition_list_parse(const void *data, size_t n, struct condition_list *ret_list);

/* ---- what is known of a source's last snapshot ---- */

struct judged_source {
	char *path;
	int64_t captured_ns; /* the snapshot that was judged */
	uint64_t files;      /* in it */
	uint64_t spoilt;     /* files_spoilt of then */
	bool judged;         /* false: only seen, since the daemon started */
	uint64_t unusual;    /* files rewritten or deleted in it, if too many; else 0 */
	uint64_t files_before;
};

struct alerts {
	struct io *io;
	pthread_t thread;
	bool has_thread;
	volatile bool stop; /* also ends a command that runs */

	struct lock lock; /* all below */
	pthread_cond_t wake;
	struct condition_list conditions;
	struct judged_source *sources;
	size_t n_sources;
	int64_t now_ns;                       /* of the last evaluation */
	char *command;                        /* "": the log only */
	bool dirty;                           /* the file is behind */
	int64_t started_s[ALERTS_PER_MINUTE]; /* monotonic: the newest starts of the command */
	size_t n_started;
};

/* ---- alert_send.c ---- */

void *alert_thread(void *alerts);
/* One event as text with a newline; the caller frees it. NULL on no memory. */
char *alert_event_text(const char *event, const struct condition *c, const char *repository);

#endif
