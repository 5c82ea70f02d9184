/* SPDX-License-Identifier: MIT */
/* Putting a whole pack, verified, into the place of one that is damaged or gone. */
#include "sync/fetcher_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct heal {
	struct fetcher *f;
	const struct pack_id *pack;
	char path[PACK_PATH_BYTES];
	char tmp[40];
	int fd;
	int64_t deadline_ns;
	uint64_t size; /* by the index */
	uint8_t *window;
};

/* With the lock held. */
static bool is_healing(const struct fetcher *f, const struct pack_id *pack)
{
	for (size_t i = 0; i < f->n_healing; i++)
		if (memcmp(&f->healing[i], pack, sizeof(*pack)) == 0)
			return true;
	return false;
}

/* One healing of a pack at a time. 1 when this thread is to do it, 0 when another has ended one. */
static int begin(struct fetcher *f, const struct pack_id *pack)
{
	bool waited = false;

	LOCK_SCOPE(&f->lock);
	while (!f->stop && (is_healing(f, pack) || f->n_healing == FETCH_HEALS_MAX)) {
		waited |= is_healing(f, pack);
		lock_wait(&f->lock, &f->wake);
	}
	if (f->stop)
		return -ECANCELED;
	if (waited)
		return 0;
	f->healing[f->n_healing++] = *pack;
	return 1;
}

static void end(struct fetcher *f, const struct pack_id *pack, bool healed)
{
	LOCK_SCOPE(&f->lock);
	for (size_t i = 0; i < f->n_healing; i++)
		if (memcmp(&f->healing[i], pack, sizeof(*pack)) == 0)
			f->healing[i] = f->healing[--f->n_healing];
	f->stats.healed += healed;
	(void)pthread_cond_broadcast(&f->wake);
}

/* All of it from one remote into the file, if its SHA-256 is its name. 0, -EBADMSG, -errno. */
static int copy_from(struct heal *h, unsigned int origin)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	uint8_t digest[SHA256_BYTES];
	int r = sha256_new(&sha);

	for (uint64_t at = 0; r == 0 && at < h->size; at += FETCH_BLOCK_BYTES) {
		const uint64_t left = h->size - at;
		const size_t n = left < FETCH_BLOCK_BYTES ? (size_t)left : FETCH_BLOCK_BYTES;
		const struct fetch_part part = { h->path, at, h->window, n, h->deadline_ns };
		int64_t got = fetch_from(h->f, origin, &part);

		if (got < 0)
			return (int)got;
		if ((size_t)got != n)
			return -EBADMSG;
		sha256_update(sha, h->window, n);
		r = io_pwrite(store_io(h->f->store), h->fd, h->window, n, at, IO_OBJECT_PACK);
	}
	if (r < 0)
		return r;
	sha256_final(sha, digest);
	return memcmp(digest, h->pack->bytes, sizeof(digest)) == 0 ? 0 : -EBADMSG;
}

static int publish(struct heal *h)
{
	struct io *io = store_io(h->f->store);
	char folder[PACK_PATH_BYTES];
	int r = io_fsync(io, h->fd, IO_OBJECT_PACK);

	/* The host's folder, and in it the one of the first two digits. */
	(void)snprintf(folder, sizeof(folder), "%s", h->path);
	*strrchr(folder, '/') = '\0';
	if (r == 0) {
		char *inner = strrchr(folder, '/');

		*inner = '\0';
		r = io_mkdir(io, folder, IO_OBJECT_PACK);
		if (r == 0)
			r = io_fsync_folder(io, "packs", IO_OBJECT_PACK);
		*inner = '/';
		if (r == 0)
			r = io_mkdir(io, folder, IO_OBJECT_PACK);
		*inner = '\0';
		if (r == 0)
			r = io_fsync_folder(io, folder, IO_OBJECT_PACK);
		*inner = '/';
	}
	if (r == 0)
		r = io_rename(io, h->tmp, h->path, true, IO_OBJECT_PACK);
	return r < 0 ? r : io_fsync_folder(io, folder, IO_OBJECT_PACK);
}

static int from_remotes(struct heal *h, const struct host_id *host, unsigned int *ret_origin)
{
	uint8_t order[FETCH_REMOTES_MAX];
	const size_t n = fetch_order(h->f, fetch_refused(h->f, h->pack), order);
	int result = -ENOENT;

	for (size_t i = 0; i < n; i++) {
		int r = copy_from(h, order[i]);

		*ret_origin = order[i];
		if (r == 0 || r == -ECANCELED)
			return r;
		if (r == -EBADMSG)
			fetch_refuse(h->f, host, h->pack, 1u << order[i]);
		else if (r != -ENOENT)
			result = r;
		if (clock_monotonic_ns() >= h->deadline_ns)
			return -ETIMEDOUT;
	}
	return result;
}

static int heal(struct heal *h, const struct host_id *host)
{
	struct io *io = store_io(h->f->store);
	unsigned int origin = 0;
	int r;

	io_tmp_name(h->tmp);
	h->fd = io_open(io, h->tmp, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, IO_OBJECT_PACK);
	if (h->fd < 0)
		return log_errno(h->fd, "%s/%s: cannot write a good copy", io_real_path(io),
				 h->path);
	/* Nobody else takes it for a dead one. */
	r = io_lock(io, h->fd, IO_LOCK_EXCLUSIVE, false);
	if (r == 0)
		r = from_remotes(h, host, &origin);
	if (r == 0) {
		r = publish(h);
		if (r < 0)
			(void)log_errno(r, "%s/%s: cannot put a good copy there", io_real_path(io),
					h->path);
	}
	if (r < 0)
		(void)io_unlink(io, h->tmp, IO_OBJECT_TMP);
	io_close(io, h->fd);
	if (r == 0)
		log_warning("%s: healed with the copy of remote %s", h->path,
			    h->f->remotes[origin].name);
	return r;
}

/* What the index says of the pack. -ENOENT when it was collected. */
static int find_size(struct fetcher *f, const struct pack_id *pack, uint64_t *ret_size)
{
	struct chunk_index *index = store_index(f->store);
	struct pack_info info;
	uint32_t number;
	int r = chunk_index_find_pack(index, pack, &number);

	if (r == 0)
		r = chunk_index_pack(index, number, &info);
	if (r == 0)
		*ret_size = info.size;
	return r;
}

int fetch_heal(struct chunk_source *source, const struct host_id *host, const struct pack_id *pack,
	       bool missing)
{
	struct fetcher *f = (struct fetcher *)source;
	struct heal h = { .f = f, .pack = pack };
	int r;

	if (missing && f->options.elsewhere)
		return -EOPNOTSUPP;
	r = begin(f, pack);
	/* Another has done it, or could not: the reader sees. */
	if (r <= 0)
		return r;
	(void)pack_path(host, pack, h.path);
	h.deadline_ns = clock_monotonic_ns() + f->options.limit_ms * FETCH_NS_PER_MS;
	h.window = malloc(FETCH_BLOCK_BYTES);
	r = h.window ? find_size(f, pack, &h.size) : -ENOMEM;
	if (r == 0)
		r = heal(&h, host);
	free(h.window);
	end(f, pack, r == 0);
	return r;
}
