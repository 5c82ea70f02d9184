/* SPDX-License-Identifier: MIT */
/*
 * ledger: what this machine knows about the objects on one remote, in
 * local/remotes/<name>.ledger.
 *
 * Positive knowledge only: an object that is not listed may be there or not,
 * and is asked for. A line "uploaded" is written after the remote has said so,
 * and one that takes that back is made durable before anything is removed. So a
 * lost line costs a question, and never makes an object seem to be there.
 *
 * The file is a header, bound to one remote and one repository, and lines of 32
 * bytes that are only appended; each line's checksum continues that of the line
 * before it, so that what follows a torn line is never read. It is written anew
 * when most lines are superseded, and whenever its end was torn.
 *
 * Durability: lines are durable after ledger_sync(). Memory: 24 bytes an
 * object, in a table that is up to 3/4 full. Threads: any; one process at a
 * time has a remote's ledger open.
 */
#ifndef SYNC_LEDGER_H
#define SYNC_LEDGER_H

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/retired.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;

#define LEDGER_FOLDER RETIRED_REMOTES
#define LEDGER_NAME_BYTES_MAX 64 /* of a remote: [a-z0-9-] */
#define LEDGER_IDENTITY_BYTES 32

enum ledger_state {
	LEDGER_ABSENT,    /* nothing is known: it may be there all the same */
	LEDGER_UPLOADING, /* a transfer was begun, or a removal: it may be there */
	LEDGER_UPLOADED,  /* the remote said that it has it, or listed it with its size */
	LEDGER_VERIFIED,  /* and its bytes were looked at, then */
};

struct ledger_line {
	enum ledger_state state;
	int64_t when_s; /* of this state, as its writer said */
};

struct ledger_counts {
	uint64_t uploaded; /* verified ones among them */
	uint64_t verified;
};

/** Is it fit for a remote's name? */
bool ledger_name_valid(const char *name);

/**
 * Open a remote's ledger, or make an empty one. Returns 0; -EBUSY when another
 * process has it open (not logged); -EINVAL for a name that is none; -errno. A
 * damaged file is said and begins anew, empty.
 */
int ledger_open(struct io *io, const char *name, struct ledger **ret_ledger);
void ledger_close(struct ledger *l);
CLEANUP_DEFINE(struct ledger, ledger_close)
/** Take away what is kept of a remote that is no longer used. 0, also when there is nothing. */
int ledger_remove(struct io *io, const char *name);

/** Which remote it tells of, zeros when nobody said; see ledger_reset. */
void ledger_identity(struct ledger *l, uint8_t to[static LEDGER_IDENTITY_BYTES]);
/** Forget everything, durably, and begin anew for this remote. 0 or -errno. */
int ledger_reset(struct ledger *l, const uint8_t identity[static LEDGER_IDENTITY_BYTES]);

/** What is known of an object. Cannot fail. */
struct ledger_line ledger_get(struct ledger *l, const char *object);
/** Does the remote have it, as far as is known? */
bool ledger_has(struct ledger *l, const char *object);
/** Note a state. 0 or -errno: then memory knows it, and the file does not. */
int ledger_note(struct ledger *l, const char *object, struct ledger_line line);
/** Make all notes durable. 0 or -errno. */
int ledger_sync(struct ledger *l);
void ledger_count(struct ledger *l, struct ledger_counts *ret_counts);

#endif
