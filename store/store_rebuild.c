/* SPDX-License-Identifier: MIT */
/* Making the index equal to what lies in packs/. */
#include "store/base/log.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PACKS_LOCK "local/packs"
#define REBUILD_PACKS 1024 /* packs that may share a transaction */

/* A rebuild under way. */
struct rebuild {
	struct store *s;
	bool salvage;
	bool enter_all;   /* packs were dropped: others may hold the same chunks */
	bool only_others; /* not this host's */
	struct store_rebuild_result result;
	struct read_scratch scratch;
	struct host_id host; /* being listed */
	char folder[PACK_PATH_BYTES];
	bool folder_synced;
	struct index_pack *packs; /* REBUILD_PACKS, gathered for one call */
	size_t n_packs;
	size_t n_entries;
	struct pack_id *gone;
	size_t n_gone;
	size_t gone_room;
};

int store_lock_packs(struct store *s, enum io_lock lock)
{
	int fd = io_open(s->io, PACKS_LOCK, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	int r;

	if (fd < 0)
		return log_errno(fd, "%s/" PACKS_LOCK ": cannot open", io_real_path(s->io));
	r = io_lock(s->io, fd, lock, true);
	if (r == 0)
		return fd;
	io_close(s->io, fd);
	return log_errno(r, "%s/" PACKS_LOCK ": cannot lock", io_real_path(s->io));
}

/* Forget those that were collected since they were read. */
static void drop_vanished(struct rebuild *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_packs; i++) {
		const struct pack_info *info = &b->packs[i].info;
		char path[PACK_PATH_BYTES];
		struct io_stat st;

		if (io_stat(b->s->io, pack_path(&info->host, &info->id, path), &st) == -ENOENT)
			free((void *)(uintptr_t)b->packs[i].entries);
		else
			b->packs[n++] = b->packs[i];
	}
	b->n_packs = n;
}

static int flush(struct rebuild *b)
{
	int lock = -1;
	int r = 0;

	/* A private index is only read from. */
	if (!b->s->private_io && b->n_packs > 0) {
		lock = store_lock_packs(b->s, IO_LOCK_SHARED);
		if (lock < 0)
			r = lock;
		else
			drop_vanished(b);
	}
	if (r == 0)
		r = chunk_index_add_packs(b->s->index, b->packs, b->n_packs);
	io_close(b->s->io, lock);
	for (size_t i = 0; i < b->n_packs; i++)
		free((void *)(uintptr_t)b->packs[i].entries);
	b->n_packs = 0;
	b->n_entries = 0;
	return r;
}

/* Returns 0, or -errno when the pack does not tell what it holds. */
static int read_entries(struct rebuild *b, const struct pack_id *id, struct index_pack *to)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *p = NULL;
	struct pack_context context = b->s->context;
	struct pack_entry *entries;
	enum pack_kind kind;
	size_t n;
	int r;

	context.host = b->host;
	r = pack_reader_open(&context, id, &p);
	if (r < 0)
		return r;
	r = pack_reader_table(p, &b->scratch, &entries, &n, &kind);
	if (r < 0 && b->salvage && r != -ENOMEM) {
		kind = PACK_MIXED;
		r = pack_reader_scan(p, &b->scratch, &entries, &n);
		if (r == 0) {
			b->result.packs_damaged++;
			log_warning("a scan found %zu objects in the damaged pack", n);
		}
	}
	if (r < 0)
		return r;
	*to = (struct index_pack){
		.info = { .host = b->host, .id = *id, .size = pack_reader_size(p), .kind = kind },
		.entries = entries,
		.n = n
	};
	return 0;
}

static int visit_pack(void *context, const char *name)
{
	struct rebuild *b = context;
	struct pack_id id;
	uint32_t number;
	int r;

	if (strlen(name) != 2ul * SHA256_BYTES || bytes_from_hex(name, id.bytes, SHA256_BYTES) < 0)
		return 0;
	r = chunk_index_find_pack(b->s->index, &id, &number);
	if (r < 0 && r != -ENOENT)
		return r;
	b->result.packs++;
	if (r == 0 && !b->enter_all)
		return 0;
	r = read_entries(b, &id, &b->packs[b->n_packs]);
	if (r == -ENOENT) /* collected meanwhile */
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		b->result.packs_damaged++; /* and named by the reader */
		return 0;
	}
	/* The writer may have died between rename and sync; nothing may rely on such a name. */
	if (!b->folder_synced && b->s->mode == STORE_READ_WRITE) {
		r = io_fsync_folder(b->s->io, b->folder, IO_OBJECT_PACK);
		b->folder_synced = true;
	} else {
		r = 0;
	}
	b->n_entries += b->packs[b->n_packs].n;
	b->result.chunks += b->packs[b->n_packs].n;
	b->n_packs++;
	if (r == 0 && (b->n_packs == REBUILD_PACKS || b->n_entries >= INDEX_BATCH_KEYS))
		r = flush(b);
	return r;
}

static int visit_shard(void *context, const char *name)
{
	struct rebuild *b = context;
	char hex[2 * HOST_ID_BYTES + 1];
	uint8_t shard;

	if (strlen(name) != 2 || bytes_from_hex(name, &shard, 1) < 0)
		return 0;
	(void)snprintf(b->folder, sizeof(b->folder), "packs/%s/%s",
		       bytes_to_hex(b->host.bytes, HOST_ID_BYTES, hex), name);
	b->folder_synced = false;
	return io_list(b->s->io, b->folder, visit_pack, b);
}

static int visit_host(void *context, const struct host_id *host)
{
	struct rebuild *b = context;
	char hex[2 * HOST_ID_BYTES + 1];
	char path[PACK_PATH_BYTES];
	int r;

	if (b->only_others && memcmp(host, &b->s->context.host, sizeof(*host)) == 0)
		return 0;
	b->host = *host;
	(void)snprintf(path, sizeof(path), "packs/%s",
		       bytes_to_hex(host->bytes, HOST_ID_BYTES, hex));
	r = io_list(b->s->io, path, visit_shard, b);
	return r == -ENOENT ? 0 : r;
}

/* Asked of the folder itself: a list read before would not know the newest packs. */
static int visit_listed(void *context, uint32_t number, const struct pack_info *info)
{
	struct rebuild *b = context;
	char path[PACK_PATH_BYTES];
	struct io_stat st;
	int r = io_stat(b->s->io, pack_path(&info->host, &info->id, path), &st);

	(void)number;
	if (r != -ENOENT)
		return r;
	if (b->n_gone == b->gone_room) {
		size_t room = b->gone_room ? 2 * b->gone_room : 64;
		struct pack_id *gone = reallocarray(b->gone, room, sizeof(*gone));

		if (!gone)
			return -ENOMEM;
		b->gone = gone;
		b->gone_room = room;
	}
	b->gone[b->n_gone++] = info->id;
	log_warning("%s is gone; what it held is dropped from the index", path);
	return 0;
}

static int drop_gone(struct rebuild *b)
{
	int r;

	/* With replicas, packs may rightly be elsewhere only. */
	if (b->s->source)
		return 0;
	r = chunk_index_each_pack(b->s->index, visit_listed, b);
	if (r < 0 || b->n_gone == 0)
		return r;
	b->enter_all = true;
	return chunk_index_drop_packs(b->s->index, b->gone, b->n_gone);
}

static int rebuild_begin(struct rebuild *b)
{
	b->packs = calloc(REBUILD_PACKS, sizeof(*b->packs));
	return b->packs ? read_scratch_init(&b->scratch) : -ENOMEM;
}

/* Enter what is gathered. Returns r, or the first failure of that. */
static int rebuild_end(struct rebuild *b, int r)
{
	int flushed = b->packs ? flush(b) : 0;

	read_scratch_done(&b->scratch);
	free(b->packs);
	free(b->gone);
	if (r == 0)
		r = flushed;
	return r < 0 ? log_errno(r, "index: cannot enter all packs") : 0;
}

int store_rebuild_index(struct store *s, bool salvage, struct store_rebuild_result *ret_result)
{
	struct rebuild b = { .s = s, .salvage = salvage };
	int r = rebuild_begin(&b);

	if (r == 0)
		r = drop_gone(&b);
	if (r == 0)
		r = store_each_host(s, visit_host, &b);
	r = rebuild_end(&b, r);
	if (r == 0)
		*ret_result = b.result;
	return r;
}

int store_enter_unlisted(struct store *s)
{
	struct rebuild b = { .s = s };
	int r = rebuild_begin(&b);

	if (r == 0)
		r = visit_host(&b, &s->context.host);
	return rebuild_end(&b, r);
}

int store_enter_foreign(struct store *s)
{
	struct rebuild b = { .s = s, .enter_all = true, .only_others = true };
	int r = rebuild_begin(&b);

	if (r == 0)
		r = store_each_host(s, visit_host, &b);
	return rebuild_end(&b, r);
}
