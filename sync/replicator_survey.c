/* SPDX-License-Identifier: MIT */
/* What is on the remote, and whether it is what was there before. */
#include "sync/replicator_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define THEIRS_MAX (1u << 22)
#define HOST_HEX (2ul * HOST_ID_BYTES)

/* ---- is it the same remote ---- */

static int put_bytes(struct replicator *r, const char *name, const void *data, size_t n)
{
	struct remote_body body = { .data = data, .size = n };

	sha256_of(data, n, body.sha256);
	return remote_put(r->remote, name, &body, &r->stop);
}

/* The key slots first: a repository without one is of no use to anybody. */
static int put_config(struct replicator *r, const uint8_t *config, size_t n)
{
	for (size_t i = 0; i < r->local.n_keys; i++) {
		CLEANUP(free_ptr) uint8_t *slot = NULL;
		size_t slot_n = 0;
		int x = io_read_file(store_io(r->store), r->local.keys[i].path, KEY_SLOT_BYTES_MAX,
				     &slot, &slot_n);

		if (x == 0)
			x = put_bytes(r, r->local.keys[i].path, slot, slot_n);
		if (x < 0 && x != -ENOENT)
			return x;
	}
	return put_bytes(r, "config", config, n);
}

static void identity_of(const struct remote_stat *st, const uint8_t *config, size_t n,
			uint8_t to[static LEDGER_IDENTITY_BYTES])
{
	uint8_t joined[16 + CONFIG_BYTES_MAX] = { 0 };

	/* When it was written tells a copy, or a remote that was filled again by another host. */
	memcpy(joined, &st->mtime_ns, sizeof(st->mtime_ns));
	memcpy(joined + 16, config, n);
	crypto_blake2b(joined, 16 + n, to);
}

static int begin_anew(struct replicator *r, const uint8_t identity[static LEDGER_IDENTITY_BYTES])
{
	int x = ledger_reset(r->ledger, identity);

	r->fresh = true;
	r->retired_next = 0;
	r->surveyed_ns = r->listed_ns = 0;
	return x;
}

static void say_wiped(struct replicator *r)
{
	LOCK_SCOPE(&r->lock);
	if (!r->status.wiped)
		log_warning("remote %s: ALARM: %s was emptied; everything is sent there again",
			    r->name, r->remote->url);
	r->status.wiped = true;
}

static int compare_config(struct replicator *r, const uint8_t *ours, size_t n)
{
	uint8_t theirs[CONFIG_BYTES_MAX];
	int64_t got = remote_get(r->remote, "config", 0, theirs, sizeof(theirs), &r->stop);

	if (got < 0)
		return (int)got;
	if ((size_t)got == n && memcmp(ours, theirs, n) == 0)
		return 0;
	return log_errno(
		-ENOTUNIQ,
		"remote %s: %s holds another repository; choose another place for this one",
		r->name, r->remote->url);
}

/* All of it again on a refusal. */
static int identify(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	static const uint8_t zeros[LEDGER_IDENTITY_BYTES];
	CLEANUP(free_ptr) uint8_t *config = NULL;
	uint8_t known[LEDGER_IDENTITY_BYTES], now[LEDGER_IDENTITY_BYTES];
	struct remote_stat st = { 0 };
	size_t n = 0;
	int x = io_read_file(store_io(r->store), "config", CONFIG_BYTES_MAX, &config, &n);

	(void)i;
	(void)ret_bytes;
	if (x < 0)
		return log_errno(x, "%s/config: cannot read", io_real_path(store_io(r->store)));
	ledger_identity(r->ledger, known);
	x = compare_config(r, config, n);
	if (x == -ENOENT) {
		if (memcmp(known, zeros, sizeof(zeros)) != 0)
			say_wiped(r);
		x = begin_anew(r, zeros);
		if (x == 0)
			x = put_config(r, config, n);
		memset(known, 0, sizeof(known));
	}
	if (x == 0)
		x = remote_head(r->remote, "config", &st);
	if (x < 0)
		return x;
	identity_of(&st, config, n, now);
	if (memcmp(known, now, sizeof(now)) == 0)
		return 0;
	if (memcmp(known, zeros, sizeof(zeros)) != 0)
		log_warning("remote %s: %s is not what it was (a copy?); looking at what it holds",
			    r->name, r->remote->url);
	return begin_anew(r, now);
}

int replicator_identify(struct replicator *r)
{
	return replicator_jobs(r, 0, 1, identify);
}

/* ---- records ---- */

/* What a listing of the remote's records has shown. */
struct survey {
	struct replicator *r;
	struct remote_heads heads; /* the highest listed */
	bool *found;               /* of r->heads: it was listed with its id */
	bool *other;               /* its number was listed with another id */
};

static void survey_done(struct survey *s)
{
	remote_heads_done(&s->heads);
	free(s->found);
	free(s->other);
}

static int parse_record(const char *name, struct remote_head *ret_head)
{
	char hex[HOST_HEX + 1] = "";

	if (strncmp(name, "records/", 8) != 0 || strlen(name) < 8 + HOST_HEX + 1 ||
	    name[8 + HOST_HEX] != '/')
		return -EINVAL;
	memcpy(hex, name + 8, HOST_HEX);
	if (bytes_from_hex(hex, ret_head->host.bytes, HOST_ID_BYTES) < 0)
		return -EINVAL;
	return record_parse_name(name + 8 + HOST_HEX + 1, &ret_head->seq, &ret_head->id);
}

static int keep_theirs(struct replicator *r, const struct remote_head *head)
{
	if (r->n_theirs == THEIRS_MAX)
		return -EPROTO;
	if (r->n_theirs == r->theirs_room) {
		size_t room = r->theirs_room ? 2 * r->theirs_room : 256;
		struct local_record *theirs = reallocarray(r->theirs, room, sizeof(*theirs));

		if (!theirs)
			return -ENOMEM;
		r->theirs = theirs;
		r->theirs_room = room;
	}
	r->theirs[r->n_theirs++] = (struct local_record){ head->seq, head->id };
	return 0;
}

static int visit_record(void *context, const char *name, const struct remote_stat *stat)
{
	const struct remote_head *seen;
	struct survey *s = context;
	struct remote_head head;
	int x = 0;

	(void)stat;
	if (parse_record(name, &head) < 0)
		return 0;
	seen = remote_heads_find(&s->r->heads, &head.host);
	if (seen && seen->seq == head.seq) {
		if (memcmp(&seen->id, &head.id, sizeof(head.id)) == 0)
			s->found[seen - s->r->heads.heads] = true;
		else
			s->other[seen - s->r->heads.heads] = true;
	}
	if (memcmp(&head.host, store_host(s->r->store), sizeof(head.host)) == 0)
		x = keep_theirs(s->r, &head);
	if (x == 0)
		x = remote_heads_raise(&s->heads, &head);
	return x == -ENOSPC ? 0 : x;
}

static void raise_alarm(struct replicator *r, bool *flag, const struct remote_head *head,
			const char *what)
{
	char hex[HOST_HEX + 1];

	LOCK_SCOPE(&r->lock);
	if (!*flag)
		log_warning("remote %s: ALARM: %s (record %" PRIu64 " of host %s)", r->name, what,
			    head->seq, bytes_to_hex(head->host.bytes, HOST_ID_BYTES, hex));
	*flag = true;
}

/* What was seen there once must still be there, or something newer. */
static int check_head(struct survey *s, size_t i)
{
	struct replicator *r = s->r;
	const struct remote_head *seen = &r->heads.heads[i];
	const struct remote_head *now = remote_heads_find(&s->heads, &seen->host);
	char path[RECORD_PATH_BYTES];
	struct remote_stat st;
	int x;

	if (s->other[i])
		raise_alarm(r, &r->status.forked, seen,
			    "another record has the number of one that was there before");
	if (s->found[i] || s->other[i] || (now && now->seq > seen->seq))
		return 0;
	/* A listing may be old: the object itself is asked for. */
	x = remote_head(r->remote, record_path(&seen->host, seen->seq, &seen->id, path), &st);
	if (x == -ENOENT)
		raise_alarm(r, &r->status.rolled_back, seen,
			    "the newest record that it once showed is gone; it was set back");
	return x == -ENOENT ? 0 : x;
}

/* Of our own records there: known, forgotten, or of somebody who is as we are. */
static int check_own(struct replicator *r)
{
	uint64_t head_seq = 0;
	int x = 0;

	if (r->local.n_records > 0)
		head_seq = r->local.records[r->local.n_records - 1].seq;
	for (size_t i = 0; i < r->n_theirs && x == 0; i++) {
		const struct local_record *record = &r->theirs[i];
		struct remote_head head = { *store_host(r->store), record->seq, record->id };
		char path[RECORD_PATH_BYTES];

		(void)record_path(&head.host, record->seq, &record->id, path);
		if (local_objects_record(&r->local, record->seq, &record->id)) {
			if (!ledger_has(r->ledger, path))
				x = replicator_note(r, path, LEDGER_UPLOADED);
		} else if (!replicator_is_forgotten(r, record->seq) &&
			   (record->seq > head_seq || r->fresh || !ledger_has(r->ledger, path))) {
			raise_alarm(r, &r->status.foreign, &head,
				    "it holds a record of this host that this machine does not "
				    "know: a clone of this machine, or a restored disk?");
		}
	}
	return x;
}

static int survey_records(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	CLEANUP(survey_done) struct survey s = { .r = r };
	int x;

	(void)i;
	(void)ret_bytes;
	s.found = calloc(r->heads.n + 1, sizeof(*s.found));
	s.other = calloc(r->heads.n + 1, sizeof(*s.other));
	if (!s.found || !s.other)
		return -ENOMEM;
	r->n_theirs = 0;
	x = remote_list(r->remote, "records/", visit_record, &s, &r->stop);
	for (size_t k = 0; k < r->heads.n && x == 0; k++)
		x = check_head(&s, k);
	if (x == 0)
		x = check_own(r);
	for (size_t k = 0; k < s.heads.n && x == 0; k++) {
		x = remote_heads_raise(&r->heads, &s.heads.heads[k]);
		if (x == -ENOSPC)
			x = 0;
	}
	return x;
}

/* ---- everything of ours, for a ledger that knows nothing ---- */

static int visit_object(void *context, const char *name, const struct remote_stat *stat)
{
	struct replicator *r = context;
	const struct local_pack *pack = NULL;
	const char *last = strrchr(name, '/');
	struct pack_id id;

	if (strlen(name) >= PACK_PATH_BYTES + 40 || !last)
		return 0;
	if (strncmp(name, "packs/", 6) == 0 && strlen(last + 1) == 2ul * SHA256_BYTES &&
	    bytes_from_hex(last + 1, id.bytes, SHA256_BYTES) == 0)
		pack = local_objects_pack(&r->local, &id);
	/* Half an object is none. */
	if (pack && pack->size != stat->size)
		return 0;
	return ledger_has(r->ledger, name) ? 0 : replicator_note(r, name, LEDGER_UPLOADED);
}

static int survey_objects(struct replicator *r, size_t i, uint64_t *ret_bytes)
{
	static const char *const kinds[] = { "packs", "tables" };
	char hex[HOST_HEX + 1], prefix[64];
	int x = 0;

	(void)i;
	(void)ret_bytes;
	bytes_to_hex(store_host(r->store)->bytes, HOST_ID_BYTES, hex);
	for (size_t k = 0; k < 2 && x == 0; k++) {
		(void)snprintf(prefix, sizeof(prefix), "%s/%s/", kinds[k], hex);
		x = remote_list(r->remote, prefix, visit_object, r, &r->stop);
	}
	return x;
}

int replicator_survey(struct replicator *r)
{
	const int64_t now_ns = replicator_now_ns(r);
	int x;

	if (!r->fresh && r->surveyed_ns != 0 &&
	    now_ns - r->surveyed_ns < (int64_t)r->options.survey_s * NS_PER_S)
		return 0;
	x = replicator_jobs(r, 0, 1, survey_records);
	if (x == 0 && r->fresh)
		x = replicator_jobs(r, 0, 1, survey_objects);
	if (x < 0)
		return x;
	if (r->fresh)
		r->listed_ns = now_ns;
	r->fresh = false;
	r->surveyed_ns = now_ns;
	return 0;
}
