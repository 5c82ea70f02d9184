/* SPDX-License-Identifier: MIT */
/*
 * remote_place: the folder of a folder remote: is it the right one, and which
 * folders in it are known to be durable. A disk comes and goes, and where it
 * was mounted an empty folder stays behind. Hence nothing is kept open between
 * calls (the disk can be unmounted at any time), the folder itself is never
 * made, and each call first makes sure that it is still the same place:
 *
 *   - A config is there: it must be the one seen before (a device number may
 *     change, what lies on it may not).
 *   - There is none, but was: only in the very same folder (device and inode)
 *     is that an emptied remote; anywhere else it is a missing disk.
 *   - There never was one: a new remote, unless settings say otherwise.
 *
 * Threads: any number of visits at once; a visit is one thread's.
 */
#ifndef SYNC_REMOTE_PLACE_H
#define SYNC_REMOTE_PLACE_H

#include "store/base/bytes.h"
#include "store/base/io.h"
#include "store/base/lock.h"
#include "store/crypto.h"

#include <sys/types.h>

#define REMOTE_CONFIG_NAME "config"

/* Which folder it is. */
struct root_id {
	dev_t device;
	ino_t inode;
};

struct remote_place {
	char *path;       /* owned; NULL: `fixed` is used */
	struct io *fixed; /* borrowed */

	struct lock lock; /* guards all below */
	bool known;       /* it has a config, unless it is another folder */
	bool seen;        /* `root` holds */
	struct root_id root;
	bool marked; /* `config` is the hash of the config seen */
	uint8_t config[SHA256_BYTES];
	struct byte_buf durable; /* folders that are there for good, each with its NUL */
	bool unsure;             /* see remote_place_unsure() */
};

/** Of a zeroed struct; the caller sets path or fixed, and known, before the first visit. */
void remote_place_init(struct remote_place *p);
void remote_place_done(struct remote_place *p);
/** For messages. */
const char *remote_place_path(const struct remote_place *p);
/** An -errno of the file system in terms of remote.h (logged at level info where that loses
 * something); 0 and more stay. */
int remote_place_meaning(const struct remote_place *p, const char *what, int r);
/** A folder's fsync has failed: names that are found may go with the next power cut. */
bool remote_place_unsure(struct remote_place *p);
/** Look at all folders again before relying on them. */
void remote_place_forget_folders(struct remote_place *p, bool unsure);

/* What one call works with. */
struct place_visit {
	struct remote_place *place;
	struct io *io;
	struct root_id root;
};

/** Open the folder, if it is the right one. End with place_visit_done(), also after a failure.
 * Returns 0; -EREMOTEIO when it is missing or another one; -EACCES; -ENOMEM. */
int place_visit_begin(struct remote_place *p, struct place_visit *v);
void place_visit_done(struct place_visit *v);
/** Something was not found: -ENOENT if that is so; -EREMOTEIO if the whole folder has gone. */
int place_visit_confirm_absent(const struct place_visit *v);
/** Make a name durable. On failure -errno, and the place is unsure. */
int place_visit_sync_parent(const struct place_visit *v, const char *name, enum io_object object);
/** Make the folders above `name`, durably. */
int place_visit_make_folders(const struct place_visit *v, const char *name, enum io_object object);

#endif
