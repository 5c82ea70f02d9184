/* SPDX-License-Identifier: MIT */
#include "fs/open_snapshot.h"

#include "fs/node_id.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

struct open_snapshot {
	atomic_uint n_references;
	uint64_t key;
	enum consistency consistency;
	struct io *io; /* NULL: nothing held */
	int hold;
	size_t root_n;
	uint8_t root[];
};

int open_snapshot_from_root(uint64_t key, const void *root, size_t n,
			    struct open_snapshot **ret_snapshot)
{
	struct open_snapshot *s;

	assert(ret_snapshot);

	if (n == 0 || n > RECORD_BYTES_MAX)
		return -EUCLEAN;
	s = malloc(sizeof(*s) + n);
	if (!s)
		return -ENOMEM;
	*s = (struct open_snapshot){ .key = key, .hold = -1, .root_n = n };
	atomic_init(&s->n_references, 1);
	memcpy(s->root, root, n);
	*ret_snapshot = s;
	return 0;
}

static int check_root(const struct open_snapshot *s)
{
	struct entry_decoder decoder = { 0 };
	struct tree_entry entry;
	int r;

	r = open_snapshot_root(s, &decoder, &entry);
	entry_decoder_done(&decoder);
	return r;
}

int open_snapshot_new(struct timeline *t, uint32_t host, uint64_t seq,
		      struct open_snapshot **ret_snapshot)
{
	CLEANUP(open_snapshot_unref_ptr) struct open_snapshot *s = NULL;
	struct io *io = store_io(timeline_store(t));
	CLEANUP(record_done) struct record record = { 0 };
	int hold, r;

	/* Held first: what is read after that cannot be forgotten in between. */
	hold = timeline_hold(t, seq);
	if (hold < 0)
		return hold;
	r = timeline_read(t, seq, &record);
	if (r >= 0)
		r = open_snapshot_from_root(snapshot_key(host, seq), record.root, record.root_n,
					    &s);
	if (r < 0) {
		io_close(io, hold);
		return r;
	}
	s->io = io;
	s->hold = hold;
	s->consistency = record_consistency(&record);

	r = check_root(s);
	if (r < 0)
		return log_errno(r, "mount: root entry of snapshot %" PRIu64 " cannot be read",
				 seq);
	*ret_snapshot = STEAL(s);
	return 0;
}

struct open_snapshot *open_snapshot_ref(struct open_snapshot *s)
{
	(void)atomic_fetch_add_explicit(&s->n_references, 1, memory_order_relaxed);
	return s;
}

void open_snapshot_unref(struct open_snapshot *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->n_references, 1, memory_order_acq_rel) != 1)
		return;
	if (s->io)
		io_close(s->io, s->hold);
	free(s);
}

uint64_t open_snapshot_key(const struct open_snapshot *s)
{
	return s->key;
}

enum consistency open_snapshot_consistency(const struct open_snapshot *s)
{
	return s->consistency;
}

int open_snapshot_root(const struct open_snapshot *s, struct entry_decoder *d,
		       struct tree_entry *ret_entry)
{
	struct tree_entry entry;
	int r;

	r = tree_entry_decode(s->root, s->root_n, d, &entry);
	if (r < 0)
		return r;
	if (!S_ISDIR(entry.mode))
		return -EUCLEAN;
	*ret_entry = entry;
	return 0;
}
