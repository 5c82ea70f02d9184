/* SPDX-License-Identifier: MIT */
/* Opening, closing and asking a store; the index as the store keeps it. */
#include "store/store.h"

#include "store/base/log.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PRIVATE_PREFIX "yore-index-"
#define PRIVATE_PATH_BYTES PATH_MAX
#define PRIVATE_SECONDS_NEW 3600

static const enum key_purpose id_keys[OBJECT_TYPE_MAX + 1] = {
	[OBJECT_DATA] = KEY_DATA_ID, [OBJECT_TREE] = KEY_TREE_ID, [OBJECT_LIST] = KEY_LIST_ID
};

/* Remove a file in tmp/ unless a living writer holds its lock. */
static int visit_tmp(void *context, const char *name)
{
	struct io *io = context;
	char path[300];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "tmp/%s", name) >= sizeof(path))
		return 0;
	fd = io_open(io, path, IO_OPEN_WRITE, IO_OBJECT_TMP);
	if (fd < 0)
		return 0;
	if (io_lock(io, fd, IO_LOCK_EXCLUSIVE, false) == 0)
		(void)io_unlink(io, path, IO_OBJECT_TMP);
	io_close(io, fd);
	return 0;
}

static void remove_dead_files(struct io *io)
{
	int r = io_list(io, "tmp", visit_tmp, io);

	if (r == -ENOENT)
		r = io_mkdir(io, "tmp", IO_OBJECT_FOLDER);
	if (r < 0)
		(void)log_errno(r, "%s/tmp: cannot clear it", io_real_path(io));
}

static int load_identity(struct store *s)
{
	char machine[128];

	host_identity_machine(machine);
	return host_identity_load(s->io, s->config.repository, machine, s->mode, &s->context.host);
}

static void index_sum_key(const struct key_ring *ring, uint8_t to[static KEY_BYTES])
{
	crypto_derive(key_ring_get(ring, KEY_PLACEMENT), "yoreindx", 1, to);
}

static int open_store(struct io *io, const struct key_ring *ring, enum store_mode mode,
		      bool salvage, struct store **ret_store)
{
	CLEANUP(store_close_ptr) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	lock_init(&s->lock, LOCK_RANK_STORE);
	s->io = io;
	s->keys = ring;
	s->mode = mode;
	s->salvage = salvage;
	r = store_config_read(io, &s->config);
	if (r < 0)
		return r;
	s->context.io = io;
	s->context.keys = ring;
	memcpy(s->context.repository, s->config.repository, REPOSITORY_ID_BYTES);
	if (mode == STORE_READ_WRITE)
		remove_dead_files(io);
	r = load_identity(s);
	if (r < 0)
		return r;
	r = chunker_new(key_ring_get(ring, KEY_CHUNKER), s->config.chunks, &s->chunker);
	if (r < 0)
		return r;
	r = store_open_index(s);
	if (r < 0)
		return r;
	*ret_store = STEAL(s);
	return 0;
}

int store_open(struct io *io, const struct key_ring *ring, enum store_mode mode,
	       struct store **ret_store)
{
	return open_store(io, ring, mode, false, ret_store);
}

int store_verify_index(struct io *io, const struct key_ring *ring)
{
	uint8_t sum_key[KEY_BYTES];

	index_sum_key(ring, sum_key);
	return chunk_index_verify(io, sum_key);
}

int store_open_anew(struct io *io, const struct key_ring *ring,
		    struct store_rebuild_result *ret_result, struct store **ret_store)
{
	CLEANUP(store_close_ptr) struct store *s = NULL;
	int r = chunk_index_reset(io);

	if (r == -EBUSY) {
		r = store_verify_index(io, ring);
		r = r == -EUCLEAN ? -EBUSY : r;
	}
	if (r == 0)
		r = open_store(io, ring, STORE_READ_WRITE, true, &s);
	if (r < 0)
		return r;
	assert(s);
	/* Others had it open, or filled it just now. */
	if (!s->rebuilt)
		r = store_rebuild_index(s, true, &s->result);
	if (r < 0)
		return r;
	*ret_result = s->result;
	*ret_store = STEAL(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_packs_done(s);
	store_close_index(s);
	chunker_free(s->chunker);
	lock_done(&s->lock);
	free(s);
}

/* ---- the index ---- */

/* Only this host's packs serve new data, from the first line that is entered. */
static int open_index(struct store *s, struct io *io, const uint8_t sum_key[static 16],
		      enum index_open mode)
{
	int r = chunk_index_open(io, sum_key, mode, &s->index);

	if (r >= 0)
		chunk_index_set_host(s->index, &s->context.host);
	return r;
}

/* Open it in a folder that can be written; what is damaged is made anew. */
static int open_writable_index(struct store *s, struct io *io, const uint8_t sum_key[static 16])
{
	int r = open_index(s, io, sum_key, INDEX_READ_WRITE);

	if (r == -EUCLEAN) {
		log_warning("index: building it anew from the packs");
		r = chunk_index_reset(io);
		if (r == -EBUSY)
			return log_errno(r,
					 "index: it is damaged, but another yore has it open; stop "
					 "that one first (a mount?)");
		if (r == 0)
			r = open_index(s, io, sum_key, INDEX_READ_WRITE);
	}
	if (r != 1)
		return r;
	r = store_rebuild_index(s, s->salvage, &s->result);
	s->rebuilt = r == 0;
	return r < 0 ? r : chunk_index_filled(s->index);
}

/* The folder is ours, outside the repository, and holds what chunk_index made. */
static void remove_private_folder(const char *path)
{
	static const char *const files[] = { "index/data.mdb", "index/lock.mdb", "index/clean",
					     "index/users" };
	static const char *const inner[] = { "index", "tmp", "" };
	char full[PRIVATE_PATH_BYTES + 32];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(full, sizeof(full), "%s/%s", path, files[i]);
		(void)unlink(full);
	}
	for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
		(void)snprintf(full, sizeof(full), "%s/%s", path, inner[i]);
		(void)rmdir(full);
	}
}

/* Is it of a process that is gone? A living one holds the lock; a very new one may not yet. */
static bool private_folder_dead(const char *path)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	char users[PRIVATE_PATH_BYTES + 32];
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    time(NULL) - st.st_mtim.tv_sec < PRIVATE_SECONDS_NEW)
		return false;
	(void)snprintf(users, sizeof(users), "%s/index/users", path);
	fd = open(users, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_dead_private_folders(const char *place)
{
	char path[PRIVATE_PATH_BYTES];
	DIR *folder = opendir(place);
	struct dirent *d;

	while (folder && (d = readdir(folder))) {
		if (strncmp(d->d_name, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) != 0 ||
		    (size_t)snprintf(path, sizeof(path), "%s/%s", place, d->d_name) >= sizeof(path))
			continue;
		if (private_folder_dead(path))
			remove_private_folder(path);
	}
	if (folder)
		(void)closedir(folder);
}

/* Make a folder of our own inside `base`/`below`, which are made too. */
static int make_private_folder_in(const char *base, const char *below,
				  char to[static PRIVATE_PATH_BYTES])
{
	char place[PRIVATE_PATH_BYTES];

	if (!base || base[0] != '/')
		return -ENOENT;
	if ((size_t)snprintf(place, sizeof(place), "%s%s", base, below) >= sizeof(place))
		return -ENAMETOOLONG;
	/* From the base on: what leads to it is the user's to make. */
	for (size_t i = strlen(base); i <= strlen(base) + strlen(below); i++) {
		char end = place[i];

		if (end != '/' && end != '\0')
			continue;
		place[i] = '\0';
		(void)mkdir(place, 0700);
		place[i] = end;
	}
	remove_dead_private_folders(place);
	if (snprintf(to, PRIVATE_PATH_BYTES, "%s/" PRIVATE_PREFIX "XXXXXX", place) >=
	    PRIVATE_PATH_BYTES)
		return -ENAMETOOLONG;
	return mkdtemp(to) ? 0 : -errno;
}

static int make_private_folder(char to[static PRIVATE_PATH_BYTES])
{
	int r = make_private_folder_in(getenv("YORE_CACHE_DIR"), "", to);

	if (r < 0)
		r = make_private_folder_in(getenv("XDG_CACHE_HOME"), "/yore", to);
	if (r < 0)
		r = make_private_folder_in(getenv("HOME"), "/.cache/yore", to);
	if (r < 0)
		r = make_private_folder_in("/tmp", "", to);
	return r < 0 ? make_private_folder_in("/dev/shm", "", to) : r;
}

static int open_private_index(struct store *s, const uint8_t sum_key[static 16])
{
	char path[PRIVATE_PATH_BYTES];
	int r = make_private_folder(path);

	if (r < 0)
		return log_errno(r, "index: there is no place for a private one");
	r = io_posix_open(path, &s->private_io);
	if (r < 0)
		return r;
	/* Where the marker of a clean end is written, on its way. */
	r = io_mkdir(s->private_io, "tmp", IO_OBJECT_FOLDER);
	if (r < 0)
		return r;
	log_info("index: the repository's cannot be used; building a private one in %s", path);
	return open_writable_index(s, s->private_io, sum_key);
}

int store_open_index(struct store *s)
{
	uint8_t sum_key[KEY_BYTES];
	int r;

	index_sum_key(s->keys, sum_key);
	r = open_writable_index(s, s->io, sum_key);
	if (r >= 0 || s->mode == STORE_READ_WRITE)
		return r;
	chunk_index_close(STEAL(s->index));
	if (r == -EROFS || r == -EACCES || r == -EPERM) {
		r = open_index(s, s->io, sum_key, INDEX_READ_ONLY);
		if (r >= 0)
			return r;
	}
	return open_private_index(s, sum_key);
}

void store_close_index(struct store *s)
{
	chunk_index_close(STEAL(s->index));
	if (s->private_io)
		remove_private_folder(io_real_path(s->private_io));
	io_free(STEAL(s->private_io));
}

/* ---- asking ---- */

struct io *store_io(struct store *s)
{
	return s->io;
}

const struct store_config *store_config(const struct store *s)
{
	return &s->config;
}

const struct key_ring *store_keys(const struct store *s)
{
	return s->keys;
}

struct chunk_index *store_index(struct store *s)
{
	return s->index;
}

const struct host_id *store_host(const struct store *s)
{
	return &s->context.host;
}

const struct chunker *store_chunker(const struct store *s)
{
	return s->chunker;
}

int store_hasher(const struct store *s, enum object_type type, struct id_hasher **ret_hasher)
{
	assert(type >= OBJECT_DATA && type <= OBJECT_TYPE_MAX);
	return id_hasher_new(s->config.hash, key_ring_get(s->keys, id_keys[type]), ret_hasher);
}

void store_set_source(struct store *s, struct chunk_source *source)
{
	s->source = source;
}

/* Hosts found so far. */
struct host_list {
	struct host_id *hosts;
	size_t n;
};

static int visit_host_name(void *context, const char *name)
{
	struct host_list *list = context;
	struct host_id *grown;
	struct host_id host = { 0 };

	if (strlen(name) != 2ul * HOST_ID_BYTES ||
	    bytes_from_hex(name, host.bytes, HOST_ID_BYTES) < 0)
		return 0;
	for (size_t i = 0; i < list->n; i++)
		if (memcmp(&list->hosts[i], &host, sizeof(host)) == 0)
			return 0;
	grown = reallocarray(list->hosts, list->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->hosts = grown;
	list->hosts[list->n++] = host;
	return 0;
}

int store_each_host(struct store *s, int (*visit)(void *context, const struct host_id *host),
		    void *context)
{
	struct host_list list = { 0 };
	CLEANUP(free_ptr) struct host_id *hosts = NULL;
	int r = io_list(s->io, "packs", visit_host_name, &list);

	if (r == 0 || r == -ENOENT)
		r = io_list(s->io, "records", visit_host_name, &list);
	hosts = list.hosts;
	if (r < 0 && r != -ENOENT)
		return log_errno(r, "%s: cannot list the hosts", io_real_path(s->io));
	r = 0;
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = visit(context, &hosts[i]);
	return r;
}
