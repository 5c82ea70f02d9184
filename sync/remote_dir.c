/* SPDX-License-Identifier: MIT */
/*
 * A folder as a remote: a USB disk, a NAS box. Which folder, and whether it is
 * still there, is remote_place's business. All writing goes through
 * store/base/io.h and follows the local store's protocol: a file in tmp/, its
 * size, fsync, rename, fsync of the folder.
 */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_body.h"
#include "sync/remote_internal.h"
#include "sync/remote_place.h"
#include "sync/remote_walk.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define REMOTE_DIR_MAGIC 0x72646972u
#define PIECE_BYTES ((size_t)1024 * 1024)
#define NS_PER_S 1000000000ll

struct remote_dir {
	struct remote remote; /* first, so that a struct remote * is ours */
	uint32_t magic;
	struct remote_place place;
};

static struct remote_dir *dir_of(struct remote *r)
{
	struct remote_dir *d = (struct remote_dir *)r;

	assert(d);
	assert(d->magic == REMOTE_DIR_MAGIC);
	return d;
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
	return strcmp(name, REMOTE_CONFIG_NAME) == 0 ? IO_OBJECT_CONFIG : IO_OBJECT_LOCAL;
}

/* One object on its way. */
struct putting {
	struct place_visit *visit;
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
	r = place_visit_make_folders(p->visit, p->tmp, p->object);
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
		 remote_place_path(p->visit->place), p->name, stat.size, p->body->size);
	return -EBADMSG;
}

/* Give the file its name; 1: somebody has put it there meanwhile. */
static int publish(const struct putting *p, bool replace)
{
	struct io *io = p->visit->io;
	int r;

	r = place_visit_make_folders(p->visit, p->name, p->object);
	if (r < 0)
		return r;
	r = io_rename(io, p->tmp, p->name, replace, p->object);
	if (r == -ENOENT) {
		/* The folder was there before: has somebody tidied up? */
		remote_place_forget_folders(p->visit->place, false);
		r = place_visit_make_folders(p->visit, p->name, p->object);
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
	return place_visit_sync_parent(p->visit, p->name, p->object);
}

static int put_checked(struct putting *p)
{
	const bool unsure = remote_place_unsure(p->visit->place);
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
		r = place_visit_make_folders(p->visit, p->name, p->object);
		return r < 0 ? r : place_visit_sync_parent(p->visit, p->name, p->object);
	}
	return put_new(p, r == 1);
}

static int dir_put(struct remote *remote, const char *name, const struct remote_body *body,
		   const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	struct putting p = {
		.visit = &v,
		.name = name,
		.body = body,
		.cancel = cancel,
		.object = object_of(name),
	};
	int r;

	r = place_visit_begin(&d->place, &v);
	if (r < 0)
		return r;
	r = put_checked(&p);
	if (r == -EIO && !p.theirs) {
		log_info("%s: not sent to %s: what is here is damaged", name,
			 remote_place_path(&d->place));
		return r;
	}
	if (r == -ENOENT) /* a put that finds no folder: that is not about the object */
		return -EREMOTEIO;
	return remote_place_meaning(&d->place, name, r);
}

/* ---- get, head, list, remove ---- */

static int64_t dir_get(struct remote *remote, const char *name, uint64_t offset, void *to, size_t n,
		       const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	int64_t got;
	int fd, r;

	(void)cancel; /* one read of at most a few MiB */
	r = place_visit_begin(&d->place, &v);
	if (r < 0)
		return r;
	fd = io_open(v.io, name, IO_OPEN_READ, object_of(name));
	if (fd == -ENOENT)
		return place_visit_confirm_absent(&v);
	if (fd < 0)
		return remote_place_meaning(&d->place, name, fd);
	got = io_pread(v.io, fd, to, n, offset);
	io_close(v.io, fd);
	if (got == -EISDIR)
		return -ENOENT;
	return got < 0 ? remote_place_meaning(&d->place, name, (int)got) : got;
}

static int dir_head(struct remote *remote, const char *name, struct remote_stat *ret_stat)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	struct io_stat stat;
	int r;

	r = place_visit_begin(&d->place, &v);
	if (r < 0)
		return r;
	r = io_stat(v.io, name, &stat);
	if (r == -ENOENT || (r == 0 && stat.is_folder))
		return place_visit_confirm_absent(&v);
	if (r < 0)
		return remote_place_meaning(&d->place, name, r);
	*ret_stat = (struct remote_stat){ .size = stat.size, .mtime_ns = stat.mtime_ns };
	return 0;
}

/* Where io_list() brings the names of one folder. */
struct reading {
	const struct place_visit *visit;
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
	const struct place_visit *v = context;
	struct reading g = { .visit = v, .folder = folder, .to = to };
	int r;

	r = io_list(v->io, folder, take_name, &g);
	if (r == -ENOENT)
		return place_visit_confirm_absent(v);
	return remote_place_meaning(v->place, folder, r);
}

static int dir_list(struct remote *remote, const char *prefix, remote_list_visitor *visit,
		    void *context, const volatile bool *cancel)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	const struct remote_walk walk = {
		.prefix = prefix,
		.read = read_folder,
		.read_context = &v,
		.visit = visit,
		.visit_context = context,
		.cancel = cancel,
	};
	int r;

	r = place_visit_begin(&d->place, &v);
	if (r < 0)
		return r;
	r = remote_walk_run(&walk);
	if (r != 0)
		return r;
	/* A disk that was pulled out meanwhile may have looked empty. */
	return place_visit_confirm_absent(&v) == -ENOENT ? 0 : -EREMOTEIO;
}

static int dir_remove(struct remote *remote, const char *name)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	int r;

	r = place_visit_begin(&d->place, &v);
	if (r < 0)
		return r;
	r = io_unlink(v.io, name, object_of(name));
	if (r == -ENOENT) {
		r = place_visit_confirm_absent(&v);
		return r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = place_visit_sync_parent(&v, name, object_of(name));
	return remote_place_meaning(&d->place, name, r);
}

/* ---- probe ---- */

static void remove_quietly(void *context, const char *name)
{
	const struct place_visit *v = context;
	const int r = io_unlink(v->io, name, IO_OBJECT_TMP);

	(void)r; /* next time */
}

/* Write, read back a part, rename without replacing. Yields the file's time of change. */
static int try_out(struct place_visit *v, const char *from, const char *to, int64_t *ret_now_ns)
{
	static const char text[] = "yore tries this folder out";
	struct remote_body body = { .data = text, .size = sizeof(text) };
	struct putting p = { .visit = v, .name = to, .body = &body, .object = IO_OBJECT_TMP };
	struct io_stat stat = { 0 };
	char part[8];
	int64_t got;
	int fd, r;

	sha256_of(text, sizeof(text), body.sha256);
	(void)stpcpy(p.tmp, from);
	r = write_tmp(&p);
	if (r == 0)
		r = io_rename(v->io, from, to, false, IO_OBJECT_TMP);
	if (r == 0)
		r = place_visit_sync_parent(v, to, IO_OBJECT_TMP);
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

	if (!d->place.path || statvfs(d->place.path, &vfs) < 0)
		return UINT64_MAX;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static int dir_probe(struct remote *remote, struct remote_abilities *ret_abilities)
{
	struct remote_dir *d = dir_of(remote);
	CLEANUP(place_visit_done) struct place_visit v;
	struct timespec ours;
	char from[40], to[40];
	int64_t now_ns = 0;
	int r;

	r = place_visit_begin(&d->place, &v);
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
		return r == -ENOENT ? -EREMOTEIO : remote_place_meaning(&d->place, REMOTE_TMP, r);
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

	remote_place_done(&d->place);
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
	remote_place_init(&d->place);
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
	d->place.known = known;
	d->place.path = strdup(path);
	if (!d->place.path)
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
	d->place.fixed = io;
	*ret_remote = &d->remote;
	return 0;
}
