/* SPDX-License-Identifier: MIT */
#include "tools/session.h"

#include "store/base/log.h"
#include "tools/config.h"
#include "tools/failure.h"
#include "tools/machine_key.h"
#include "tools/password.h"
#include "tools/usual.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CACHE_BYTES_SMALL MIB(64)
#define PASSWORD_TRIES 3

int session_repository(const struct cmd_globals *globals, char **ret_path)
{
	CLEANUP(config_done) struct config config = { 0 };
	const char *given = globals->repository;
	int r;

	if (!given || !given[0])
		given = getenv("YORE_REPOSITORY");
	/* Whoever names it is not held up by a mistake in a file. */
	if (given && given[0]) {
		if (strncmp(given, "file://", 7) == 0)
			given += 7;
		*ret_path = strstr(given, "://") ? strdup(given) : usual_absolute(given);
		return *ret_path ? EXIT_CODE_DONE : failure_errno(-ENOMEM, "repository");
	}
	r = config_load(globals, &config);
	if (r == EXIT_CODE_DONE)
		*ret_path = STEAL(config.repository);
	return r;
}

static int say_open_failure(int r, const char *path)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
		return failure(EXIT_CODE_NO_REPOSITORY,
			       "no repository at %s; make one with 'yore -r %s init', or name "
			       "another with -r or YORE_REPOSITORY",
			       path, path);
	case EACCES:
	case EPERM:
		return failure(EXIT_CODE_FAILED,
			       "no permission to read the repository %s; run it as its owner or "
			       "as root",
			       path);
	default:
		return failure_errno(r, "cannot open the repository %s", path);
	}
}

static int say_config_failure(int r, const char *path)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
		return failure(EXIT_CODE_NO_REPOSITORY,
			       "%s is no yore repository (it has no config); make one with 'yore "
			       "-r %s init', or name another with -r or YORE_REPOSITORY",
			       path, path);
	case ENOTUNIQ:
		return failure(EXIT_CODE_NO_REPOSITORY,
			       "%s is not a yore repository (its 'config' is another program's "
			       "config file); name another with -r or YORE_REPOSITORY",
			       path);
	case EPROTONOSUPPORT:
		return failure(EXIT_CODE_FAILED,
			       "the repository %s has a newer format than this program knows; "
			       "install a newer yore",
			       path);
	case EUCLEAN:
	case EBADMSG:
		return failure(EXIT_CODE_VERIFY,
			       "the config of the repository %s is damaged; copy the file "
			       "'config' back from a replica, nothing else is affected",
			       path);
	default:
		return say_open_failure(r, path);
	}
}

/* The machine key of this machine, or the one that systemd hands over. */
static int read_machine_key(const struct session *s, uint8_t key[static KEY_BYTES])
{
	CLEANUP(free_ptr) char *path = machine_key_path(s->config.repository, MACHINE_KEY_SUFFIX);
	CLEANUP(free_ptr) char *credential = NULL;
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	int r = path ? machine_key_read(path, key) : -ENOENT;

	if (r == 0 || !folder)
		return r;
	credential = usual_below(folder, "yore-key");
	return credential && machine_key_read(credential, key) == 0 ? 0 : r;
}

/* 0; -ENOKEY it does not fit; -ENOENT none; other -errno. */
static int unlock_by_machine_key(struct session *s, const uint8_t binding[static 32])
{
	uint8_t key[KEY_BYTES];
	int r = read_machine_key(s, key);

	if (r == 0)
		r = key_ring_open(s->io, binding, &(struct unlock){ .machine_key = key }, &s->ring);
	crypto_wipe(key, sizeof(key));
	return r;
}

static int unlock_by_password(struct session *s, const uint8_t binding[static 32], const char *path)
{
	CLEANUP(password_free_ptr) char *password = NULL;
	char prompt[512];
	int r = password_given(&password);

	if (r == 0)
		return key_ring_open(s->io, binding, &(struct unlock){ .password = password },
				     &s->ring);
	if (r != -ENOENT) /* but for an empty one it is said why */
		return r == -ECANCELED || r == -EINVAL ? r : -EKEYREJECTED;

	(void)snprintf(prompt, sizeof(prompt), "Password or recovery code of %s", path);
	for (int i = 0; i < PASSWORD_TRIES; i++) {
		password_free(STEAL(password));
		r = password_ask(prompt, NULL, &password);
		if (r == -ENXIO)
			return -ENOENT;
		if (r == 0)
			r = key_ring_open(s->io, binding, &(struct unlock){ .password = password },
					  &s->ring);
		if (r != -ENOKEY && r != -EINVAL)
			return r;
		failure_note("it does not fit");
	}
	return -ENOKEY;
}

static int unlock(struct session *s, const char *path)
{
	CLEANUP(free_ptr)
	char *key_path = machine_key_path(s->config.repository, MACHINE_KEY_SUFFIX);
	uint8_t binding[32];
	int machine, r;

	store_config_binding(&s->config, binding);
	machine = unlock_by_machine_key(s, binding);
	if (machine == 0)
		return EXIT_CODE_DONE;

	r = unlock_by_password(s, binding, path);
	switch (-r) {
	case 0:
		return EXIT_CODE_DONE;
	case ECANCELED:
		return failure(EXIT_CODE_INTERRUPTED, "interrupted");
	case EINVAL:
		return failure(EXIT_CODE_WRONG_KEY,
			       "no password for %s: the one given is empty; look at YORE_PASSWORD, "
			       "YORE_PASSWORD_FILE and YORE_PASSWORD_COMMAND",
			       path);
	case EKEYREJECTED:
		return EXIT_CODE_WRONG_KEY;
	case ENOKEY:
		return failure(EXIT_CODE_WRONG_KEY,
			       "wrong password for %s: it fits none of its keys; give the "
			       "password or the recovery code in YORE_PASSWORD or on a terminal",
			       path);
	case EBADMSG:
		return failure(EXIT_CODE_WRONG_KEY,
			       "all key files of %s are damaged; copy the folder 'keys' back from "
			       "a replica",
			       path);
	case ENOENT:
		if (machine == -EBADMSG)
			return failure(EXIT_CODE_WRONG_KEY,
				       "all key files of %s are damaged; copy the folder 'keys' "
				       "back from a replica",
				       path);
		return failure(EXIT_CODE_WRONG_KEY,
			       "no key for %s: %s %s; give the password or the recovery code in "
			       "YORE_PASSWORD or on a terminal",
			       path, key_path ? key_path : "the machine key",
			       machine == -ENOENT   ? "is missing"
			       : machine == -ENOKEY ? "does not fit"
						    : "cannot be used");
	default:
		return failure_errno(r, "cannot unlock %s", path);
	}
}

static int open_store(struct session *s, const char *path, unsigned int flags)
{
	int r = flags & SESSION_VERIFY_INDEX ? store_verify_index(s->io, s->ring) : 0;

	if (r == -EUCLEAN) {
		s->index_damaged = true;
		return failure(EXIT_CODE_VERIFY,
			       "the index of %s is damaged; 'yore repair' rebuilds it, and no "
			       "snapshot is lost by that",
			       path);
	}
	if (flags & SESSION_NEW_INDEX)
		r = store_open_anew(s->io, s->ring, &s->rebuilt, &s->store);
	else
		r = store_open(s->io, s->ring, STORE_READ_WRITE, &s->store);
	if (r == -EBUSY && (flags & SESSION_NEW_INDEX))
		return failure(EXIT_CODE_BUSY,
			       "the index of %s is damaged, and other processes use it; stop them "
			       "(such as a mount: 'yore umount') and run 'yore repair' again",
			       path);
	if (!(flags & SESSION_WRITES) &&
	    (r == -EROFS || r == -EACCES || r == -EPERM || r == -ENOSPC)) {
		s->read_only = true;
		r = store_open(s->io, s->ring, STORE_READ_ONLY, &s->store);
	}
	switch (-r) {
	case 0:
		return EXIT_CODE_DONE;
	case EROFS:
		return failure(EXIT_CODE_FAILED,
			       "the repository %s is on a read-only file system; mount it "
			       "writable and run it again",
			       path);
	case EACCES:
	case EPERM:
		return failure(EXIT_CODE_FAILED,
			       "no permission to write to the repository %s; run it as its owner "
			       "or as root",
			       path);
	case EBUSY:
	case EWOULDBLOCK:
		return failure(EXIT_CODE_BUSY,
			       "the repository %s is busy: its index is being rebuilt by another "
			       "process; try again when that has ended",
			       path);
	default:
		return failure_errno(r, "cannot open the repository %s", path);
	}
}

static int open_timeline(struct session *s, const struct cmd_globals *globals, unsigned int flags)
{
	int r;

	if (flags & SESSION_OWN_HOST)
		r = timeline_open(s->store, store_host(s->store), &s->timeline);
	else
		r = timeline_choose(s->store, globals->host, &s->timeline);
	/* A mount shows the others in .hosts/. */
	if (r == -ENOTUNIQ && (flags & SESSION_ANY_HOST))
		r = timeline_open(s->store, store_host(s->store), &s->timeline);
	switch (-r) {
	case 0:
		return EXIT_CODE_DONE;
	case ENOENT:
		return failure(
			EXIT_CODE_FAILED,
			"the repository has no snapshots of a host '%s'; 'yore status' names "
			"the hosts",
			globals->host ? globals->host : "?");
	case ENOTUNIQ:
		return failure(
			EXIT_CODE_FAILED,
			"the repository holds several hosts and none is this one; choose one "
			"with --host NAME ('yore status' names them)");
	default:
		return failure_errno(r, "cannot read the snapshots");
	}
}

int session_open(struct session *s, const struct cmd_globals *globals, enum session_depth depth,
		 unsigned int flags)
{
	CLEANUP(free_ptr) char *path = NULL;
	int r;

	memset(s, 0, sizeof(*s));
	r = session_repository(globals, &path);
	if (r != EXIT_CODE_DONE)
		return r;
	if (strstr(path, "://"))
		return failure(EXIT_CODE_USAGE, "%s: a repository is a folder on this machine",
			       globals->repository ? globals->repository : path);
	if (crypto_init() < 0)
		return failure(EXIT_CODE_FAILED, "the cryptographic libraries do not start");

	r = io_posix_open(path, &s->io);
	if (r < 0)
		return say_open_failure(r, path);
	r = store_config_read(s->io, &s->config);
	if (r < 0)
		return say_config_failure(r, path);
	r = unlock(s, path);
	if (r == EXIT_CODE_DONE && depth >= SESSION_STORE)
		r = open_store(s, path, flags);
	if (r == EXIT_CODE_DONE && depth >= SESSION_TIMELINE)
		r = open_timeline(s, globals, flags);
	if (r == EXIT_CODE_DONE && cmd_cancelled)
		r = failure(EXIT_CODE_INTERRUPTED,
			    "interrupted while %s was being opened; run it again", path);
	return r;
}

int session_cache(struct session *s, size_t limit_bytes, unsigned int prefetchers)
{
	if (s->cache)
		return 0;
	return chunk_cache_new(s->store, limit_bytes ? limit_bytes : CACHE_BYTES_SMALL, prefetchers,
			       &s->cache);
}

void session_close(struct session *s)
{
	chunk_cache_free(s->cache);
	timeline_close(s->timeline);
	store_close(s->store);
	key_ring_free(s->ring);
	io_free(s->io);
	memset(s, 0, sizeof(*s));
}

char *session_host_name(struct session *s)
{
	struct snapshot_info latest;
	struct record record;
	char *name = NULL;
	char here[HOST_NAME_BYTES_MAX + 1];

	if (timeline_latest(s->timeline, &latest) == 0 &&
	    timeline_read(s->timeline, latest.seq, &record) == 0) {
		name = strdup(record.host_name ? record.host_name : "");
		record_done(&record);
		return name;
	}
	if (gethostname(here, sizeof(here)) < 0)
		here[0] = '\0';
	here[sizeof(here) - 1] = '\0';
	return strdup(here);
}
