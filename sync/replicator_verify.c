/* SPDX-License-Identifier: MIT */
/* Whether what is on the remote is right: each object again within 30 days, oldest first. */
#include "sync/replicator_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIST_S (24 * 3600LL)
#define SAMPLE_BYTES KIB(64)
/* From this age on it is due, so that all are within VERIFY_S; one that never was, much sooner. */
#define DUE_S (VERIFY_S * 2 / 3)
#define DUE_FIRST_S (24 * 3600LL)
#define DUE_MAX 4096   /* in one pass */
#define WHOLE_EVERY 16 /* packs are read whole, the others a sample of them */

/* ---- what the remote lists ---- */

/* Ids of packs there, and their sizes. */
struct listing {
	struct replicator *r;
	bool *there; /* by place in local.packs */
};

static int visit_listed(void *context, const char *name, const struct remote_stat *stat)
{
	struct listing *l = context;
	const char *last = strrchr(name, '/');
	const struct local_pack *pack;
	struct pack_id id;

	if (!last || strlen(last + 1) != 2ul * SHA256_BYTES ||
	    bytes_from_hex(last + 1, id.bytes, SHA256_BYTES) < 0)
		return 0;
	pack = local_objects_pack(&l->r->local, &id);
	if (pack && pack->size == stat->size)
		l->there[pack - l->r->local.packs] = true;
	return 0;
}

/* A listing did not show it, or not whole: ask, and send it again if it is not there. */
static int recheck_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	const struct local_pack *pack = &r->local.packs[r->jobs[i]];
	char path[PACK_PATH_BYTES];
	struct remote_stat st;
	int x = remote_head(r->remote, replicator_pack_path(r, &pack->id, path), &st);

	if (x == 0 && st.size == pack->size)
		return 0;
	if (x < 0 && x != -ENOENT)
		return x;
	log_warning("remote %s: %s is %s there; sending it again", r->name, path,
		    x == -ENOENT ? "missing" : "not whole");
	x = replicator_note(r, path, LEDGER_UPLOADING);
	if (x == 0)
		x = ledger_sync(r->ledger);
	if (x == 0)
		x = replicator_send_pack(r, pack, ret_bytes);
	if (x < 0)
		return x;
	LOCK_SCOPE(&r->lock);
	r->status.repaired++;
	return 0;
}

static int list_packs(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	CLEANUP(free_ptr) bool *there = calloc(r->local.n_packs + 1, sizeof(*there));
	struct listing l = { .r = r, .there = there };
	char hex[2 * HOST_ID_BYTES + 1], prefix[64];
	int x;

	(void)i;
	(void)ret_bytes;
	if (!there)
		return -ENOMEM;
	(void)snprintf(prefix, sizeof(prefix), "packs/%s/",
		       bytes_to_hex(store_host(r->store)->bytes, HOST_ID_BYTES, hex));
	x = remote_list(r->remote, prefix, visit_listed, &l, &r->stop);
	if (x < 0)
		return x;
	r->n_jobs = 0;
	for (size_t k = 0; k < r->local.n_packs; k++) {
		char path[PACK_PATH_BYTES];

		if (!there[k] &&
		    ledger_has(r->ledger, replicator_pack_path(r, &r->local.packs[k].id, path)))
			r->jobs[r->n_jobs++] = k;
	}
	return 0;
}

static int check_listing(struct replicator *r)
{
	const int64_t now_ns = replicator_now_ns(r);
	int x;

	if (r->listed_ns != 0 && now_ns - r->listed_ns < LIST_S * NS_PER_S)
		return 0;
	x = replicator_jobs(r, 0, 1, list_packs);
	if (x == 0)
		x = replicator_jobs(r, 0, r->n_jobs, recheck_job);
	if (x == 0)
		r->listed_ns = now_ns;
	return x;
}

/* ---- reading back ---- */

/* Read a range there. 0, -EBADMSG when it is not all there, -errno. */
static int read_there(struct replicator *r, const char *path, uint64_t at, uint8_t *to, size_t n)
{
	int64_t got = remote_get(r->remote, path, at, to, n, &r->stop);

	if (got < 0)
		return got == -ENOENT ? -EBADMSG : (int)got;
	return (size_t)got == n ? 0 : -EBADMSG;
}

static int compare_sample(struct replicator *r, const struct local_pack *pack, const char *path)
{
	CLEANUP(free_ptr) uint8_t *bytes = malloc(2 * SAMPLE_BYTES);
	struct io *io = store_io(r->store);
	const size_t n = pack->size < SAMPLE_BYTES ? (size_t)pack->size : SAMPLE_BYTES;
	uint64_t at;
	int64_t got;
	int fd, x;

	if (!bytes)
		return -ENOMEM;
	crypto_random(&at, sizeof(at));
	at %= pack->size - n + 1;
	x = read_there(r, path, at, bytes, n);
	if (x < 0)
		return x;
	fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_PACK);
	if (fd < 0)
		return fd;
	got = io_pread(io, fd, bytes + SAMPLE_BYTES, n, at);
	io_close(io, fd);
	if (got != (int64_t)n)
		return -ENOENT;
	return memcmp(bytes, bytes + SAMPLE_BYTES, n) == 0 ? 0 : -EBADMSG;
}

static int hash_there(struct replicator *r, const struct local_pack *pack, const char *path)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	CLEANUP(free_ptr) uint8_t *window = malloc(MIB(1));
	uint8_t digest[SHA256_BYTES];
	int x = window ? sha256_new(&sha) : -ENOMEM;

	for (uint64_t at = 0; x == 0 && at < pack->size; at += MIB(1)) {
		size_t n = pack->size - at < MIB(1) ? (size_t)(pack->size - at) : MIB(1);

		x = read_there(r, path, at, window, n);
		if (x == 0)
			sha256_update(sha, window, n);
	}
	if (x < 0)
		return x;
	sha256_final(sha, digest);
	return memcmp(digest, pack->id.bytes, sizeof(digest)) == 0 ? 0 : -EBADMSG;
}

/* Names there are never written twice: what is bad goes, and is sent again. */
static int repair(struct replicator *r, const struct local_pack *pack, const char *path,
		  uint64_t *ret_bytes)
{
	int x;

	if (r->remote->append_only) {
		log_error("remote %s: %s is damaged there, and may not be replaced (append-only)",
			  r->name, path);
		LOCK_SCOPE(&r->lock);
		r->status.unrepaired = true;
		return 0;
	}
	log_warning("remote %s: %s is damaged there; sending it again", r->name, path);
	x = replicator_note(r, path, LEDGER_UPLOADING);
	if (x == 0)
		x = ledger_sync(r->ledger);
	/* Without a good copy here or elsewhere, a bad one is better than none. */
	if (x == 0)
		x = replicator_pack_is_good(r, &pack->id, path);
	if (x == 0)
		x = remote_remove(r->remote, path);
	if (x == 0)
		x = replicator_send_pack(r, pack, ret_bytes);
	if (x == -EBADMSG)
		return 0; /* said */
	if (x < 0)
		return x;
	LOCK_SCOPE(&r->lock);
	r->status.repaired++;
	return 0;
}

static int verify_job(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	const struct local_pack *pack = &r->local.packs[r->jobs[i]];
	char path[PACK_PATH_BYTES];
	uint32_t dice;
	int x = -ENOENT;

	(void)replicator_pack_path(r, &pack->id, path);
	crypto_random(&dice, sizeof(dice));
	if (pack->here && dice % WHOLE_EVERY != 0 &&
	    ledger_get(r->ledger, path).when_s != SUSPECT_S)
		x = compare_sample(r, pack, path);
	/* Also what is not here any more, or could not be read here. */
	if (x == -ENOENT)
		x = hash_there(r, pack, path);
	if (x == -EBADMSG) /* or was our copy the bad one? */
		x = hash_there(r, pack, path);
	if (x == -EBADMSG)
		return repair(r, pack, path, ret_bytes);
	return x < 0 ? x : replicator_note(r, path, LEDGER_VERIFIED);
}

/* ---- which ---- */

struct due {
	size_t at; /* in local.packs */
	int64_t when_s;
};

static int compare_due(const void *a, const void *b)
{
	const struct due *x = a, *y = b;

	return x->when_s < y->when_s ? -1 : x->when_s > y->when_s;
}

/* Those that are due, oldest first, as many as the pass may read: into jobs. */
static int choose(struct replicator *r)
{
	CLEANUP(free_ptr) struct due *due = calloc(r->local.n_packs + 1, sizeof(*due));
	const int64_t now_s = replicator_now_ns(r) / NS_PER_S;
	uint64_t bytes = 0;
	size_t n = 0;

	if (!due)
		return -ENOMEM;
	for (size_t i = 0; i < r->local.n_packs; i++) {
		char path[PACK_PATH_BYTES];
		struct ledger_line line;
		int64_t age_s;

		line = ledger_get(r->ledger, replicator_pack_path(r, &r->local.packs[i].id, path));
		age_s = now_s - line.when_s;
		if ((line.state == LEDGER_VERIFIED && age_s >= DUE_S) ||
		    (line.state == LEDGER_UPLOADED && age_s >= DUE_FIRST_S))
			due[n++] = (struct due){ i, line.when_s };
	}
	qsort(due, n, sizeof(*due), compare_due);
	r->n_jobs = 0;
	for (size_t i = 0; i < n && i < DUE_MAX && bytes < r->options.verify_bytes; i++) {
		const struct local_pack *pack = &r->local.packs[due[i].at];

		/* About what will be read of it. */
		bytes += pack->here ? SAMPLE_BYTES + pack->size / WHOLE_EVERY : pack->size;
		r->jobs[r->n_jobs++] = due[i].at;
	}
	return 0;
}

int replicator_verify(struct replicator *r)
{
	int x = check_listing(r);

	if (x == 0)
		x = choose(r);
	return x < 0 ? x : replicator_jobs(r, 0, r->n_jobs, verify_job);
}
