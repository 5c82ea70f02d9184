/* SPDX-License-Identifier: MIT */
#include "sync/remote_place.h"

#include "store/base/log.h"
#include "sync/remote.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define DURABLE_BYTES_MAX ((size_t)64 * 1024)

void remote_place_init(struct remote_place *p)
{
	lock_init(&p->lock, LOCK_RANK_REMOTE);
}

void remote_place_done(struct remote_place *p)
{
	lock_done(&p->lock);
	byte_buf_done(&p->durable);
	free(STEAL(p->path));
}

void place_visit_done(struct place_visit *v)
{
	if (v->io && v->io != v->place->fixed)
		io_free(v->io);
	v->io = NULL;
}

const char *remote_place_path(const struct remote_place *p)
{
	return p->path ? p->path : io_real_path(p->fixed);
}

int remote_place_meaning(const struct remote_place *p, const char *what, int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return -ENOSPC;
	case -EACCES:
	case -EPERM:
	case -EROFS:
		log_info("%s/%s: %s", remote_place_path(p), what, strerrordesc_np(-r));
		return -EACCES;
	case -ENOENT:
	case -ENOMEM:
	case -EBADMSG:
	case -ECANCELED:
	case -EREMOTEIO:
		return r;
	default:
		if (r < 0)
			log_info("%s/%s: %s", remote_place_path(p), what, strerrordesc_np(-r));
		return r < 0 ? -EREMOTEIO : r;
	}
}

/* ---- is it the right place? ---- */

static int root_of(const struct remote_place *p, struct root_id *ret_root)
{
	struct stat st;

	if (!p->path) {
		*ret_root = (struct root_id){ 0 };
		return 0;
	}
	if (stat(p->path, &st) < 0)
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
	fd = io_open(io, REMOTE_CONFIG_NAME, IO_OPEN_READ, IO_OBJECT_CONFIG);
	if (fd < 0)
		return fd;
	got = io_pread(io, fd, data, CONFIG_BYTES_MAX, 0);
	io_close(io, fd);
	if (got < 0)
		return (int)got;
	sha256_of(data, (size_t)got, ret_hash);
	return 0;
}

/* The rules of remote_place.h, under the lock. */
static int judge(struct remote_place *p, const struct root_id *root, int found,
		 const uint8_t hash[static SHA256_BYTES])
{
	const bool same = p->seen && same_root(root, &p->root);
	bool emptied = false;

	if (found == 0) {
		if (p->marked && memcmp(hash, p->config, SHA256_BYTES) != 0) {
			log_info("%s: another repository lies there now", remote_place_path(p));
			return -EREMOTEIO;
		}
		p->marked = true;
		memcpy(p->config, hash, SHA256_BYTES);
	} else if (p->marked && same) {
		log_warning("%s: the remote has been emptied", remote_place_path(p));
		p->marked = false;
		p->known = false;
		emptied = true;
	} else if (p->marked || p->known || (p->seen && !same)) {
		log_info("%s: not the remote's folder; is its disk mounted?", remote_place_path(p));
		return -EREMOTEIO;
	}
	if (!same || emptied) {
		byte_buf_clear(&p->durable);
		p->unsure = false;
	}
	p->seen = true;
	p->root = *root;
	return 0;
}

static int recognise(struct place_visit *v)
{
	uint8_t hash[SHA256_BYTES] = { 0 };
	int found, r;

	found = hash_config(v->io, hash);
	if (found < 0 && found != -ENOENT)
		return found;
	lock_take(&v->place->lock);
	r = judge(v->place, &v->root, found, hash);
	lock_drop(&v->place->lock);
	return r;
}

int place_visit_begin(struct remote_place *p, struct place_visit *v)
{
	struct root_id after;
	int r;

	*v = (struct place_visit){ .place = p };
	r = root_of(p, &v->root);
	if (r < 0)
		return r;
	if (p->fixed) {
		v->io = p->fixed;
		return remote_place_meaning(p, REMOTE_CONFIG_NAME, recognise(v));
	}
	if (io_posix_open(p->path, &v->io) < 0)
		return -EREMOTEIO;
	r = root_of(p, &after);
	if (r < 0)
		return r;
	/* Something is being mounted right now: next time. */
	if (!same_root(&v->root, &after))
		return -EREMOTEIO;
	return remote_place_meaning(p, REMOTE_CONFIG_NAME, recognise(v));
}

int place_visit_confirm_absent(const struct place_visit *v)
{
	struct remote_place *p = v->place;
	struct root_id now;
	struct io_stat stat;
	bool marked;

	if (root_of(p, &now) < 0 || !same_root(&now, &v->root))
		return -EREMOTEIO;
	lock_take(&p->lock);
	marked = p->marked;
	lock_drop(&p->lock);
	if (io_stat(v->io, marked ? REMOTE_CONFIG_NAME : "", &stat) < 0)
		return -EREMOTEIO;
	return -ENOENT;
}

/* ---- folders ---- */

static bool is_durable(struct remote_place *p, const char *folder)
{
	bool found = false;

	lock_take(&p->lock);
	for (size_t at = 0; at < p->durable.n && !found;) {
		const char *name = (const char *)p->durable.data + at;

		found = strcmp(name, folder) == 0;
		at += strlen(name) + 1;
	}
	lock_drop(&p->lock);
	return found;
}

/* Not knowing it later only costs a few calls. */
static void note_durable(struct remote_place *p, const char *folder)
{
	const size_t n = strlen(folder) + 1;

	lock_take(&p->lock);
	if (p->durable.n + n > DURABLE_BYTES_MAX)
		byte_buf_clear(&p->durable);
	byte_buf_append(&p->durable, folder, n);
	if (p->durable.failed)
		byte_buf_done(&p->durable);
	lock_drop(&p->lock);
}

void remote_place_forget_folders(struct remote_place *p, bool unsure)
{
	lock_take(&p->lock);
	byte_buf_clear(&p->durable);
	p->unsure = p->unsure || unsure;
	lock_drop(&p->lock);
}

bool remote_place_unsure(struct remote_place *p)
{
	bool unsure;

	lock_take(&p->lock);
	unsure = p->unsure;
	lock_drop(&p->lock);
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

int place_visit_sync_parent(const struct place_visit *v, const char *name, enum io_object object)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1];
	int r;

	r = io_fsync_folder(v->io, parent_of(name, folder), object);
	if (r < 0)
		remote_place_forget_folders(v->place, true);
	return r;
}

/*
 * Make the folders above `name`, durably. They may have been made, but not
 * synced, by somebody who was killed: each is synced once by every process.
 */
int place_visit_make_folders(const struct place_visit *v, const char *name, enum io_object object)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1];
	int r;

	if (is_durable(v->place, parent_of(name, folder)))
		return 0;
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
		r = io_mkdir(v->io, folder, object);
		if (r == 0)
			r = place_visit_sync_parent(v, folder, object);
		if (r < 0)
			return r;
		note_durable(v->place, folder);
	}
	return 0;
}
