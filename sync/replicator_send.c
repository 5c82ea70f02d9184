/* SPDX-License-Identifier: MIT */
/* What goes to the remote: packs, then tables, then records. */
#include "sync/replicator_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <string.h>

#define WINDOW_BYTES KIB(256)

/* ---- packs ---- */

/* Is the file what its name says? 0, -EBADMSG, -errno. */
static int check_file(struct replicator *r, int fd, const struct pack_id *id, uint64_t size)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	CLEANUP(free_ptr) uint8_t *window = malloc(WINDOW_BYTES);
	uint8_t digest[SHA256_BYTES];
	int x = window ? sha256_new(&sha) : -ENOMEM;

	for (uint64_t at = 0; x == 0 && at < size;) {
		int64_t n = io_pread(store_io(r->store), fd, window, WINDOW_BYTES, at);

		if (n <= 0)
			return n < 0 ? (int)n : -EBADMSG;
		sha256_update(sha, window, (size_t)n);
		at += (uint64_t)n;
	}
	if (x < 0)
		return x;
	sha256_final(sha, digest);
	return memcmp(digest, id->bytes, sizeof(digest)) == 0 ? 0 : -EBADMSG;
}

/* Open a local pack that is whole. A descriptor, -ENOENT, -EBADMSG, -errno. */
static int open_pack(struct replicator *r, const struct pack_id *id, const char *path,
		     uint64_t *ret_size)
{
	struct io *io = store_io(r->store);
	int fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_PACK);
	int x = fd < 0 ? fd : io_size(io, fd, ret_size);

	if (x == 0)
		x = check_file(r, fd, id, *ret_size);
	if (x == 0)
		return fd;
	if (fd >= 0)
		io_close(io, fd);
	return x;
}

/* The same, mended by another copy if there is one. -ENOENT when it was collected. */
static int open_mended(struct replicator *r, const struct pack_id *id, const char *path,
		       uint64_t *ret_size)
{
	struct chunk_source *source = r->options.source;
	int fd = open_pack(r, id, path, ret_size);
	uint32_t number;
	int x;

	if (fd != -ENOENT && fd != -EBADMSG && fd != -EIO)
		return fd;
	/* The index lets go of a pack before its file does. */
	if (fd == -ENOENT && chunk_index_find_pack(store_index(r->store), id, &number) == -ENOENT)
		return -ENOENT;
	x = -EBADMSG;
	if (source && source->heal)
		x = source->heal(source, store_host(r->store), id, fd == -ENOENT);
	return x == 0 ? open_pack(r, id, path, ret_size) : -EBADMSG;
}

/* Is it there already, whole? 1, 0, -errno. */
static int is_there(struct replicator *r, const char *path, uint64_t size)
{
	struct remote_stat st;
	int x = remote_head(r->remote, path, &st);

	if (x < 0)
		return x == -ENOENT ? 0 : x;
	if (st.size == size)
		return 1;
	log_warning("remote %s: %s has %llu bytes there instead of %llu", r->name, path,
		    (unsigned long long)st.size, (unsigned long long)size);
	if (r->remote->append_only) {
		LOCK_SCOPE(&r->lock);
		r->status.unrepaired = true;
		return -EBADMSG;
	}
	x = remote_remove(r->remote, path);
	return x < 0 ? x : 0;
}

static void count_sent(struct replicator *r, uint64_t bytes)
{
	LOCK_SCOPE(&r->lock);
	r->status.sent_bytes += bytes;
	r->status.sent_objects++;
}

static int put_pack(struct replicator *r, const struct pack_id *id, const char *path, int fd,
		    uint64_t size)
{
	struct remote_body body = { .io = store_io(r->store), .fd = fd, .size = size };
	int x = replicator_note(r, path, LEDGER_UPLOADING);

	memcpy(body.sha256, id->bytes, sizeof(body.sha256));
	if (x == 0)
		x = remote_put(r->remote, path, &body, &r->stop);
	if (x < 0)
		return x;
	count_sent(r, size);
	return replicator_note(r, path, LEDGER_UPLOADED);
}

static void note_damaged(struct replicator *r, const char *path)
{
	log_error(
		"%s: damaged or missing here, so it cannot be sent to remote %s; run 'yore check'",
		path, r->name);
	LOCK_SCOPE(&r->lock);
	r->status.packs_damaged++;
	r->incomplete = true;
}

int replicator_pack_is_good(struct replicator *r, const struct pack_id *id, const char *path)
{
	uint64_t size;
	int fd = open_mended(r, id, path, &size);

	if (fd == -EBADMSG)
		note_damaged(r, path);
	if (fd >= 0)
		io_close(store_io(r->store), fd);
	return fd < 0 ? fd : 0;
}

static void note_changed(struct replicator *r)
{
	LOCK_SCOPE(&r->lock);
	r->changed = true;
}

int replicator_send_pack(struct replicator *r, const struct local_pack *pack, uint64_t *ret_bytes)
{
	char path[PACK_PATH_BYTES];
	uint64_t size = pack->size;
	int fd, x;

	(void)replicator_pack_path(r, &pack->id, path);
	x = is_there(r, path, pack->size);
	if (x != 0)
		return x < 0 ? x : replicator_note(r, path, LEDGER_UPLOADED);
	fd = open_mended(r, &pack->id, path, &size);
	if (fd == -ENOENT) {
		note_changed(r);
		return 0;
	}
	if (fd == -EBADMSG) {
		note_damaged(r, path);
		return 0;
	}
	if (fd < 0)
		return log_errno(fd, "%s: cannot read", path);
	x = put_pack(r, &pack->id, path, fd, size);
	io_close(store_io(r->store), fd);
	if (x == 0)
		*ret_bytes = size;
	return x;
}

static int pack_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	return replicator_send_pack(r, &r->local.packs[r->jobs[i]], ret_bytes);
}

static int send_packs(struct replicator *r)
{
	free(STEAL(r->jobs));
	r->n_jobs = 0;
	r->jobs = calloc(r->local.n_packs + 1, sizeof(*r->jobs));
	if (!r->jobs)
		return -ENOMEM;
	for (size_t i = 0; i < r->local.n_packs; i++) {
		char path[PACK_PATH_BYTES];

		if (ledger_has(r->ledger, replicator_pack_path(r, &r->local.packs[i].id, path)))
			continue;
		r->jobs[r->n_jobs++] = i;
		lock_take(&r->lock);
		r->all_bytes += r->local.packs[i].size;
		lock_drop(&r->lock);
	}
	return replicator_jobs(r, 0, r->n_jobs, pack_job);
}

/* ---- what is small ---- */

int replicator_send_file(struct replicator *r, const char *path, const uint8_t *id,
			 uint64_t *ret_bytes)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct remote_body body = { 0 };
	size_t n = 0;
	int x;

	if (ledger_has(r->ledger, path))
		return 0;
	x = io_read_file(store_io(r->store), path, RECORD_BYTES_MAX, &data, &n);
	if (x < 0)
		return x;
	sha256_of(data, n, body.sha256);
	if (id && memcmp(body.sha256, id, sizeof(body.sha256)) != 0)
		return log_errno(-EBADMSG, "%s: damaged here, so it is not sent to remote %s", path,
				 r->name);
	body.data = data;
	body.size = n;
	x = remote_put(r->remote, path, &body, &r->stop);
	if (x < 0)
		return x;
	count_sent(r, n);
	*ret_bytes = n;
	return replicator_note(r, path, LEDGER_UPLOADED);
}

static int key_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	int x = replicator_send_file(r, r->local.keys[i].path, NULL, ret_bytes);

	return x == -ENOENT ? 0 : x;
}

static int table_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	const struct range_table_name *name = &r->local.tables[i];
	char path[RANGE_TABLE_PATH_BYTES];
	int x = replicator_send_file(r, range_table_path(name, path), name->id, ret_bytes);

	/* Taken up into another one meanwhile; or damaged: a table only saves requests. */
	return x == -ENOENT || x == -EBADMSG ? 0 : x;
}

/* ---- records ---- */

/* It is visible there from now on. */
static int note_record(struct replicator *r, const struct local_record *record)
{
	const struct remote_head head = { *store_host(r->store), record->seq, record->id };
	int x = remote_heads_raise(&r->heads, &head);

	if (x < 0 && x != -ENOSPC)
		return x;
	if (r->n_theirs == r->theirs_room) {
		size_t room = r->theirs_room ? 2 * r->theirs_room : 256;
		struct local_record *theirs = reallocarray(r->theirs, room, sizeof(*theirs));

		if (!theirs)
			return -ENOMEM;
		r->theirs = theirs;
		r->theirs_room = room;
	}
	r->theirs[r->n_theirs++] = *record;
	return 0;
}

static int record_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	const struct local_record *record = &r->local.records[i];
	char path[RECORD_PATH_BYTES];
	int x;

	(void)record_path(store_host(r->store), record->seq, &record->id, path);
	x = replicator_send_file(r, path, record->id.bytes, ret_bytes);
	if (x == 0)
		return note_record(r, record);
	/* Forgotten just now: the record that says so comes with the next list. */
	if (x == -ENOENT)
		note_changed(r);
	/* A damaged one would be of no use there. */
	return x == -ENOENT || x == -EBADMSG ? 0 : x;
}

/* One after another: whoever looks sees no gap that a later record explains. */
static int send_records(struct replicator *r)
{
	int x = 0;

	for (size_t i = 0; i < r->local.n_records && x == 0 && !r->changed; i++) {
		const struct local_record *record = &r->local.records[i];

		if (replicator_is_forgotten(r, record->seq) ||
		    replicator_holds(r, record->seq, &record->id))
			continue;
		x = replicator_jobs(r, i, 1, record_job);
	}
	return x;
}

int replicator_send(struct replicator *r)
{
	int x;

	r->changed = false;
	x = replicator_jobs(r, 0, r->local.n_keys, key_job);
	if (x == 0)
		x = send_packs(r);
	if (x < 0 || r->changed)
		return x < 0 ? x : 1;
	x = replicator_jobs(r, 0, r->local.n_tables, table_job);
	if (x == 0)
		x = send_records(r);
	return x < 0 ? x : r->changed;
}
