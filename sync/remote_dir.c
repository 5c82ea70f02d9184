/* SPDX-License-Identifier: MIT */
/*
 * A folder as a remote: a USB disk, a NAS box. It comes and goes, and where it
 * was mounted an empty folder stays behind. Hence nothing is kept open between
 * calls (the disk can be unmounted at any time), the root folder is never
 * made, and each call first makes sure that it is still the same place:
 *
 *   - A config is there: it must be the one seen before (a device number may
 *     change, what lies on it may not).
 *   - There is none, but was: only in the very same folder (device and inode)
 *     is that an emptied remote; anywhere else it is a missing disk.
 *   - There never was one: a new remote, unless settings say otherwise.
 *
 * All writing goes through store/base/io.h and follows the local store's
 * protocol: a file in tmp/, its size, fsync, rename, fsync of the folder.
 */
#include "store/base/lock.h"
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_body.h"
#include "sync/remote_internal.h"
#include "sync/remote_walk.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define REMOTE_DIR_MAGIC 0x72646972u
#define PIECE_BYTES ((size_t)1024 * 1024)
#define CONFIG_NAME "config"
#define CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define DURABLE_BYTES_MAX ((size_t)64 * 1024)
#define NS_PER_S 1000000000ll

/* Which folder it is. */
struct root_id {
	dev_t device;
	ino_t inode;
};

struct remote_dir {
	struct remote remote; /* first, so that a struct remote * is ours */
	uint32_t magic;
	char *path;       /* NULL: `fixed` is used */
	struct io *fixed; /* borrowed */

	struct lock lock; /* guards all below */
	bool known;       /* it has a config, unless it is another folder */
	bool seen;        /* `root` holds */
	struct root_id root;
	bool marked; /* `config` is the hash of the config seen */
	uint8_t config[SHA256_BYTES];
	struct byte_buf durable; /* folders that are there for good, each with its NUL */
	/* A folder's fsync has failed: names that are found may go with the next power cut. */
	bool unsure;
};

/* What one call works with. */
struct visit {
	struct remote_dir *dir;
	struct io *io;
	struct root_id root;
};

static struct remote_dir *dir_of(struct remote *r)
{
	struct remote_dir *d = (struct remote_dir *)r;

	assert(d);
	assert(d->magic == REMOTE_DIR_MAGIC);
	return d;
}

static void visit_done(struct visit *v)
{
	if (v->io && v->io != v->dir->fixed)
		io_free(v->io);
	v->io = NULL;
}

static const char *path_of(const struct remote_dir *d)
{
	return d->path ? d->path : io_real_path(d->fixed);
}

/* In terms of remote.h. -EIO is kept for what was to be sent. */
static int meaning(const struct remote_dir *d, const char *what, int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return -ENOSPC;
	case -EACCES:
	case -EPERM:
	case -EROFS:
		log_info("%s/%s: %s", path_of(d), what, strerrordesc_np(-r));
		return -EACCES;
	case -ENOENT:
	case -ENOMEM:
	case -EBADMSG:
	case -ECANCELED:
	case -EREMOTEIO:
		return r;
	default:
		if (r < 0)
			log_info("%s/%s: %s", path_of(d), what, strerrordesc_np(-r));
		return r < 0 ? -EREMOTEIO : r;
	}
}

/* ---- is it the right place? ---- */

static int root_of(const struct remote_dir *d, struct root_id *ret_root)
{
	struct stat st;

	if (!d->path) {
		*ret_root = (struct root_id){ 0 };
		return 0;
	}
	if (stat(d->path, &st) < 0)
		return errno == EACCES ? -EACCES : -EREMOTEIO;
	if (!S_ISDIR(st.st_mode))
		return -EREMOTEIO;
	*ret_root = (struct root_id){ .device = st.st_dev, .inode = st.st_ino };
	return 0;
}

static bool same_root(const struct root_id *a, const struct root_id *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* Hash of the config: 0, -ENOENT, or another -errno. */
static int hash_config(struct io *io, uint8_t ret_hash[static SHA256_BYTES])
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	int64_t got;
	int fd;

	data = malloc(CONFIG_BYTES_MAX);
	if (!data)
		return -ENOMEM;
	fd = io_open(io, CONFIG_NAME, IO_OPEN_READ, IO_OBJECT_CONFIG);
	if (fd < 0)
		return fd;
	got = io_pread(io, fd, data, CONFIG_BYTES_MAX, 0);
	io_close(io, fd);
	if (got < 0)
		return (int)got;
	sha256_of(data, (size_t)got, ret_hash);
	return 0;
}

/* The rules at the top of this file, under the lock. */
static int judge(struct remote_dir *d, const struct root_id *root, int found,
		 const uint8_t hash[static SHA256_BYTES])
{
	const bool same = d->seen && same_root(root, &d->root);
	bool emptied = false;

	if (found == 0) {
		if (d->marked && memcmp(hash, d->config, SHA256_BYTES) != 0) {
			log_info("%s: another repository lies there now", path_of(d));
			return -EREMOTEIO;
		}
		d->marked = true;
		memcpy(d->config, hash, SHA256_BYTES);
	} else if (d->marked && same) {
		log_warning("%s: the remote has been emptied", path_of(d));
		d->marked = false;
		d->known = false;
		emptied = true;
	} else if (d->marked || d->known || (d->seen && !same)) {
		log_info("%s: not the remote's folder; is its disk mounted?", path_of(d));
		return -EREMOTEIO;
	}
	if (!same || emptied) {
		byte_buf_clear(&d->durable);
		d->unsure = false;
	}
	d->seen = true;
	d->root = *root;
	return 0;
}

static int recognise(struct visit *v)
{
	uint8_t hash[SHA256_BYTES] = { 0 };
	int found, r;

	found = hash_config(v->io, hash);
	if (found < 0 && found != -ENOENT)
		return found;
	lock_take(&v->dir->lock);
	r = judge(v->dir, &v->root, found, hash);
	lock_drop(&v->dir->lock);
	return r;
}

/* Open the folder, if it is the right one. End with visit_done(), also after a failure. */
static int visit_begin(struct remote_dir *d, struct visit *v)
{
	struct root_id after;
	int r;

	*v = (struct visit){ .dir = d };
	r = root_of(d, &v->root);
	if (r < 0)
		return r;
	if (d->fixed) {
		v->io = d->fixed;
		return meaning(d, CONFIG_NAME, recognise(v));
	}
	if (io_posix_open(d->path, &v->io) < 0)
		return -EREMOTEIO;
	r = root_of(d, &after);
	if (r < 0)
		return r;
	/* Something is being mounted right now: next time. */
	if (!same_root(&v->root, &after))
		return -EREMOTEIO;
	return meaning(d, CONFIG_NAME, recognise(v));
}

/* Something was not found. -ENOENT if that is so; -EREMOTEIO if the whole folder has gone. */
static int confirm_absent(const struct visit *v)
{
	struct remote_dir *d = v->dir;
	struct root_id now;
	struct io_stat stat;
	bool marked;

	if (root_of(d, &now) < 0 || !same_root(&now, &v->root))
		return -EREMOTEIO;
	lock_take(&d->lock);
	marked = d->marked;
	lock_drop(&d->lock);
	if (io_stat(v->io, marked ? CONFIG_NAME : "", &stat) < 0)
		return -EREMOTEIO;
	return -ENOENT;
}

/* ---- folders ---- */

static bool is_durable(struct remote_dir *d, const char *folder)
{
	bool found = false;

	lock_take(&d->lock);
	for (size_t at = 0; at < d->durable.n && !found;) {
		const char *name = (const char *)d->durable.data + at;

		found = strcmp(name, folder) == 0;
		at += strlen(name) + 1;
	}
	lock_drop(&d->lock);
	return found;
}

/* Not knowing it later only costs a few calls. */
static void note_durable(struct remote_dir *d, const char *folder)
{
	const size_t n = strlen(folder) + 1;

	lock_take(&d->lock);
	if (d->durable.n + n > DURABLE_BYTES_MAX)
		byte_buf_clear(&d->durable);
	byte_buf_append(&d->durable, folder, n);
	if (d->durable.failed)
		byte_buf_done(&d->durable);
	lock_drop(&d->lock);
}

static void forget_durable(struct remote_dir *d, bool unsure)
{
	lock_take(&d->lock);
	byte_buf_clear(&d->durable);
	d->unsure = d->unsure || unsure;
	lock_drop(&d->lock);
}

static bool is_unsure(struct remote_dir *d)
{
	bool unsure;

	lock_take(&d->lock);
	unsure = d->unsure;
	lock_drop(&d->lock);
	return unsure;
}

/* The folder that holds `name`; `to` has room for every valid name. */
static const char *parent_of(const char *name, char to[static REMOTE_NAME_BYTES_MAX + 1])
{
	const char *slash = strrchr(name, '/');
	const size_t n = slash ? (size_t)(slash - name) : 0;

	memcpy(to, name, n);
	to[n] = '\0';
	return to;
}

/* Make a name durable, or remember that it is not. */
static int sync_parent(const struct visit *v, const char *name, enum io_object object)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1];
	int r;

	r = io_fsync_folder(v->io, parent_of(name, folder), object);
	if (r < 0)
		forget_durable(v->dir, true);
	return r;
}

/*
 * Make the folders above `name`, durably. They may have been made, but not
 * synced, by somebody who was killed: each is synced once by every process.
 */
static int make_folders(const struct visit *v, const char *name, enum io_object object)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1];
	int r;

	if (is_durable(v->dir, parent_of(name, folder)))
		return 0;
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
		r = io_mkdir(v->io, folder, object);
		if (r == 0)
			r = sync_parent(v, folder, object);
		if (r < 0)
			return r;
		note_durable(v->dir, folder);
	}
	return 0;
}

/* ---- put ---- */

static enum io_object object_of(const char *name)
{
	static const struct {
		const char *folder;
		enum io_object object;
	} folders[] = {
		{ "packs/", IO_OBJECT_PACK },
		{ "tables/", IO_OBJECT_PACK },
		{ "records/", IO_OBJECT_RECORD },
		{ "keys/", IO_OBJECT_KEY },
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (strncmp(name, folders[i].folder, strlen(folders[i].folder)) == 0)
			return folders[i].object;
	return strcmp(name, CONFIG_NAME) == 0 ? IO_OBJECT_CONFIG : IO_OBJECT_LOCAL;
}

/* One object on its way. */
struct putting {
	struct visit *visit;
	const char *name;
	const struct remote_body *body;
	const volatile bool *cancel;
	enum io_object object;
	char tmp[40];
	bool theirs; /* what went wrong, did so there */
};

/* Copy what is sent into the new file, and make sure on the way that it is what it should be. */
static int copy_body(struct putting *p, int fd)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	CLEANUP(free_ptr) uint8_t *piece = NULL;
	uint8_t digest[SHA256_BYTES];
	int r;

	piece = malloc(PIECE_BYTES);
	r = sha256_new(&sha);
	if (!piece || r < 0)
		return -ENOMEM;
	for (uint64_t at = 0; at < p->body->size;) {
		const uint64_t left = p->body->size - at;
		const size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

		if (p->cancel && *p->cancel)
			return -ECANCELED;
		r = remote_body_read(p->body, at, piece, n);
		if (r < 0)
			return r;
		sha256_update(sha, piece, n);
		r = io_pwrite(p->visit->io, fd, piece, n, at, p->object);
		p->theirs = r < 0;
		if (r < 0)
			return r;
		at += n;
	}
	sha256_final(sha, digest);
	return memcmp(digest, p->body->sha256, SHA256_BYTES) == 0 ? 0 : -EIO;
}

static int check_and_sync(const struct putting *p, int fd)
{
	uint64_t size;
	int r;

	r = io_size(p->visit->io, fd, &size);
	if (r < 0)
		return r;
	if (size != p->body->size)
		return -EBADMSG;
	return io_fsync(p->visit->io, fd, p->object);
}

static int write_tmp(struct putting *p)
{
	struct io *io = p->visit->io;
	struct io_stat stat;
	int fd, r;

	p->theirs = true;
	r = make_folders(p->visit, p->tmp, p->object);
	if (r < 0)
		return r;
	fd = io_open(io, p->tmp, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, p->object);
	if (fd < 0)
		return fd;
	p->theirs = false;
	r = copy_body(p, fd);
	if (r == 0) {
		p->theirs = true;
		r = check_and_sync(p, fd);
	}
	io_close(io, fd);
	if (r < 0)
		return r;
	/* Network file systems may learn the truth only now. */
	r = io_stat(io, p->tmp, &stat);
	return r < 0 ? r : stat.size == p->body->size ? 0 : -EBADMSG;
}

/* Is the object there? 1: yes, of this size; 0: no; -EBADMSG: another one is. */
static int look(const struct putting *p)
{
	struct io_stat stat;
	int r;

	r = io_stat(p->visit->io, p->name, &stat);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!stat.is_folder && stat.size == p->body->size)
		return 1;
	log_info("%s/%s: another object of %" PRIu64 " bytes is there, not one of %" PRIu64,
		 path_of(p->visit->dir), p->name, stat.size, p->body->size);
	return -EBADMSG;
}

/* Give the file its name; 1: somebody has put it there meanwhile. */
static int publish(const struct putting *p, bool replace)
{
	struct io *io = p->visit->io;
	int r;

	r = make_folders(p->visit, p->name, p->object);
	if (r < 0)
		return r;
	r = io_rename(io, p->tmp, p->name, replace, p->object);
	if (r == -ENOENT) {
		/* The folder was there before: has somebody tidied up? */
		forget_durable(p->visit->dir, false);
		r = make_folders(p->visit, p->name, p->object);
		if (r == 0)
			r = io_rename(io, p->tmp, p->name, replace, p->object);
	}
	if (r != -EEXIST)
		return r;
	r = look(p);
	return r == 0 ? -EREMOTEIO : r; /* there, and gone again: not our doing */
}

static int put_new(struct putting *p, bool replace)
{
	int r;

	io_tmp_name(p->tmp);
	r = write_tmp(p);
	if (r == 0)
		r = publish(p, replace);
	if (r != 0) {
		const int gone = io_unlink(p->visit->io, p->tmp, p->object);

		(void)gone; /* remote_walk_sweep() finds what stays */
	}
	if (r < 0)
		return r;
	return sync_parent(p->visit, p->name, p->object);
}

static int put_checked(struct putting *p)
{
	const bool unsure = is_unsure(p->visit->dir);
	int r;

	p->theirs = true;
	r = look(p);
	if (r < 0)
		return r;
	/*
	 * It is there, but who put it may have been killed before its name was
	 * durable. After a failed fsync another one proves nothing: then the
	 * same bytes are written again and take the old ones' place.
	 */
	if (r == 1 && !unsure) {
		r = make_folders(p->visit, p->name, p->object);
		return r < 0 ? r : sync_parent(p->visit, p->name, p->object);
	}
	return put_new(p, r == 1);
}

static int dir_put(struct remote *remote, const char *name, const struct remote_body *body,
		   const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	struct putting p = {
		.visit = &v,
		.name = name,
		.body = body,
		.cancel = cancel,
		.object = object_of(name),
	};
	int r;

	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	r = put_checked(&p);
	if (r == -EIO && !p.theirs) {
		log_info("%s: not sent to %s: what is here is damaged", name, path_of(d));
		return r;
	}
	if (r == -ENOENT) /* a put that finds no folder: that is not about the object */
		return -EREMOTEIO;
	return meaning(d, name, r);
}

/* ---- get, head, list, remove ---- */

static int64_t dir_get(struct remote *remote, const char *name, uint64_t offset, void *to, size_t n,
		       const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	int64_t got;
	int fd, r;

	(void)cancel; /* one read of at most a few MiB */
	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	fd = io_open(v.io, name, IO_OPEN_READ, object_of(name));
	if (fd == -ENOENT)
		return confirm_absent(&v);
	if (fd < 0)
		return meaning(d, name, fd);
	got = io_pread(v.io, fd, to, n, offset);
	io_close(v.io, fd);
	if (got == -EISDIR)
		return -ENOENT;
	return got < 0 ? meaning(d, name, (int)got) : got;
}

static int dir_head(struct remote *remote, const char *name, struct remote_stat *ret_stat)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	struct io_stat stat;
	int r;

	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	r = io_stat(v.io, name, &stat);
	if (r == -ENOENT || (r == 0 && stat.is_folder))
		return confirm_absent(&v);
	if (r < 0)
		return meaning(d, name, r);
	*ret_stat = (struct remote_stat){ .size = stat.size, .mtime_ns = stat.mtime_ns };
	return 0;
}

/* Where io_list() brings the names of one folder. */
struct reading {
	const struct visit *visit;
	const char *folder;
	struct remote_entries *to;
};

static int take_name(void *context, const char *name)
{
	const struct reading *g = context;
	char path[REMOTE_NAME_BYTES_MAX + 1];
	struct io_stat stat;
	int n, r;

	if (!remote_name_valid(name))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s", g->folder, g->folder[0] ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	r = io_stat(g->visit->io, path, &stat);
	if (r == -ENOENT)
		return 0; /* removed in between */
	if (r < 0)
		return r;
	return remote_entries_add(
		g->to, name, stat.is_folder,
		&(struct remote_stat){ .size = stat.size, .mtime_ns = stat.mtime_ns });
}

static int read_folder(void *context, const char *folder, struct remote_entries *to)
{
	const struct visit *v = context;
	struct reading g = { .visit = v, .folder = folder, .to = to };
	int r;

	r = io_list(v->io, folder, take_name, &g);
	if (r == -ENOENT)
		return confirm_absent(v);
	return meaning(v->dir, folder, r);
}

static int dir_list(struct remote *remote, const char *prefix, remote_list_visitor *visit,
		    void *context, const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	const struct remote_walk walk = {
		.prefix = prefix,
		.read = read_folder,
		.read_context = &v,
		.visit = visit,
		.visit_context = context,
		.cancel = cancel,
	};
	int r;

	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	r = remote_walk_run(&walk);
	if (r != 0)
		return r;
	/* A disk that was pulled out meanwhile may have looked empty. */
	return confirm_absent(&v) == -ENOENT ? 0 : -EREMOTEIO;
}

static int dir_remove(struct remote *remote, const char *name)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	int r;

	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	r = io_unlink(v.io, name, object_of(name));
	if (r == -ENOENT) {
		r = confirm_absent(&v);
		return r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = sync_parent(&v, name, object_of(name));
	return meaning(d, name, r);
}

/* ---- probe ---- */

static void remove_quietly(void *context, const char *name)
{
	const struct visit *v = context;
	const int r = io_unlink(v->io, name, IO_OBJECT_TMP);

	(void)r; /* next time */
}

/* Write, read back a part, rename without replacing. Yields the file's time of change. */
static int try_out(struct visit *v, const char *from, const char *to, int64_t *ret_now_ns)
{
	static const char text[] = "yore tries this folder out";
	struct remote_body body = { .data = text, .size = sizeof(text) };
	struct putting p = { .visit = v, .name = to, .body = &body, .object = IO_OBJECT_TMP };
	struct io_stat stat;
	char part[8];
	int64_t got;
	int fd, r;

	sha256_of(text, sizeof(text), body.sha256);
	(void)stpcpy(p.tmp, from);
	r = write_tmp(&p);
	if (r == 0)
		r = io_rename(v->io, from, to, false, IO_OBJECT_TMP);
	if (r == 0)
		r = sync_parent(v, to, IO_OBJECT_TMP);
	if (r == 0)
		r = io_stat(v->io, to, &stat);
	if (r < 0)
		return r;
	fd = io_open(v->io, to, IO_OPEN_READ, IO_OBJECT_TMP);
	if (fd < 0)
		return fd;
	got = io_pread(v->io, fd, part, sizeof(part), 5);
	io_close(v->io, fd);
	if (got < 0)
		return (int)got;
	if (got != sizeof(part) || memcmp(part, text + 5, sizeof(part)) != 0)
		return -EBADMSG;
	*ret_now_ns = stat.mtime_ns;
	return 0;
}

static uint64_t free_bytes_of(const struct remote_dir *d)
{
	struct statvfs vfs;

	if (!d->path || statvfs(d->path, &vfs) < 0)
		return UINT64_MAX;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static int dir_probe(struct remote *remote, struct remote_abilities *ret_abilities)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(visit_done) struct visit v;
	struct timespec ours;
	char from[40], to[40];
	int64_t now_ns = 0;
	int r;

	r = visit_begin(d, &v);
	if (r < 0)
		return r;
	io_tmp_name(from);
	io_tmp_name(to);
	r = try_out(&v, from, to, &now_ns);
	remove_quietly(&v, from);
	remove_quietly(&v, to);
	if (r == 0 && !remote->append_only)
		r = remote_walk_sweep(read_folder, remove_quietly, &v, now_ns);
	if (r < 0)
		return r == -ENOENT ? -EREMOTEIO : meaning(d, REMOTE_TMP, r);
	(void)clock_gettime(CLOCK_REALTIME, &ours);
	*ret_abilities = (struct remote_abilities){
		.atomic_put = true,
		.ranges = true,
		.deletes = !remote->append_only,
		.has_clock = true,
		.clock_skew_ms =
			(now_ns - ((int64_t)ours.tv_sec * NS_PER_S + ours.tv_nsec)) / 1000000,
		.free_bytes = free_bytes_of(d),
	};
	return 0;
}

static void dir_free(struct remote *remote)
{
	struct remote_dir *d = dir_of(remote);

	lock_done(&d->lock);
	byte_buf_done(&d->durable);
	free(d->path);
	d->magic = 0;
	free(d);
}

static const struct remote_ops dir_ops = {
	.put = dir_put,
	.get = dir_get,
	.head = dir_head,
	.list = dir_list,
	.remove = dir_remove,
	.probe = dir_probe,
	.free = dir_free,
};

static struct remote_dir *dir_alloc(void)
{
	struct remote_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->magic = REMOTE_DIR_MAGIC;
	d->remote.ops = &dir_ops;
	lock_init(&d->lock, LOCK_RANK_REMOTE);
	return d;
}

int remote_dir_new(const char *path, bool known, struct remote **ret_remote)
{
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct remote_dir *d;

	assert(path);
	assert(path[0] == '/');
	d = dir_alloc();
	if (!d)
		return -ENOMEM;
	remote = &d->remote;
	d->known = known;
	d->path = strdup(path);
	if (!d->path)
		return -ENOMEM;
	*ret_remote = STEAL(remote);
	return 0;
}

int remote_dir_new_over(struct io *io, struct remote **ret_remote)
{
	struct remote_dir *d;

	assert(io);
	d = dir_alloc();
	if (!d)
		return -ENOMEM;
	d->fixed = io;
	*ret_remote = &d->remote;
	return 0;
}
