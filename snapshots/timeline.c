/* SPDX-License-Identifier: MIT */
#include "snapshots/timeline.h"

#include "snapshots/timeline_internal.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COMMIT_LOCK "local/commit"
#define ID_PREFIX_MIN 8

void snapshot_name(int64_t time_ns, uint32_t suffix, char to[static SNAPSHOT_NAME_BYTES])
{
	time_t seconds = clock_floor_seconds(time_ns);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(to, SNAPSHOT_NAME_BYTES, "%Y-%m-%dT%H-%M-%SZ", &tm);
	if (suffix)
		(void)snprintf(to + n, SNAPSHOT_NAME_BYTES - n, ".%" PRIu32, suffix);
}

/* ---- opening ---- */

void timeline_close(struct timeline *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_kept; i++)
		free(t->kept[i].data);
	free(t->kept);
	free(t->bad);
	free(t->ranges);
	free(t->leftovers);
	free(t->forgets);
	free(t->entries);
	lock_done(&t->lock);
	free(t);
}

int timeline_open(struct store *s, const struct host_id *host, struct timeline **ret_timeline)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = calloc(1, sizeof(*t));
	char hex[2 * HOST_ID_BYTES + 1];
	int r;

	if (!t)
		return -ENOMEM;
	lock_init(&t->lock, LOCK_RANK_TIMELINE);
	t->store = s;
	t->host = *host;
	t->folder_mtime_ns = INT64_MIN;
	(void)snprintf(t->folder, sizeof(t->folder), "records/%s",
		       bytes_to_hex(host->bytes, sizeof(host->bytes), hex));
	{
		LOCK_SCOPE(&t->lock);
		r = timeline_sync(t);
	}
	if (r < 0)
		return r;
	*ret_timeline = STEAL(t);
	return 0;
}

/* Hosts in the repository, gathered before any timeline is opened. */
struct hosts {
	struct host_id *ids;
	size_t n, room;
};

static void hosts_done(struct hosts *h)
{
	free(h->ids);
}

static int add_host(void *context, const struct host_id *host)
{
	struct hosts *h = context;
	int r = timeline_grow(&h->ids, h->n, &h->room, sizeof(*h->ids));

	if (r == 0)
		h->ids[h->n++] = *host;
	return r;
}

/* Is this the wanted host's timeline? Without a name: has it snapshots? 1, 0 or -errno. */
static int timeline_fits(struct timeline *t, const char *host_name)
{
	CLEANUP(record_done) struct record record = { 0 };
	char hex[2 * HOST_ID_BYTES + 1];
	uint64_t n = 0, seq;
	int r;

	if (host_name && strcmp(host_name, bytes_to_hex(t->host.bytes, HOST_ID_BYTES, hex)) == 0)
		return 1;
	r = timeline_count(t, &n);
	if (r < 0 || n == 0)
		return r;
	if (!host_name)
		return 1;
	/* The display name is what its latest readable snapshot says. */
	for (r = -ENOENT; r < 0 && n > 0; n--)
		if (timeline_at(t, n - 1, &seq, NULL, NULL) == 0)
			r = timeline_read(t, seq, &record);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return strcmp(record.host_name, host_name) == 0;
}

static int choose_among(struct store *s, const struct hosts *hosts, const char *host_name,
			struct timeline **ret_timeline)
{
	CLEANUP(timeline_close_ptr) struct timeline *found = NULL;

	for (size_t i = 0; i < hosts->n; i++) {
		CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
		int r = timeline_open(s, &hosts->ids[i], &t);

		if (r == 0)
			r = timeline_fits(t, host_name);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (found)
			return -ENOTUNIQ;
		found = STEAL(t);
	}
	if (!found)
		return -ENOENT;
	*ret_timeline = STEAL(found);
	return 0;
}

int timeline_choose(struct store *s, const char *host_name, struct timeline **ret_timeline)
{
	CLEANUP(timeline_close_ptr) struct timeline *own = NULL;
	CLEANUP(hosts_done) struct hosts hosts = { 0 };
	int r;

	if (!host_name) {
		r = timeline_open(s, store_host(s), &own);
		if (r == 0)
			r = timeline_fits(own, NULL);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_timeline = STEAL(own);
			return 0;
		}
	}
	r = store_each_host(s, add_host, &hosts);
	if (r == 0)
		r = choose_among(s, &hosts, host_name, ret_timeline);
	if (r == -ENOENT && !host_name) {
		*ret_timeline = STEAL(own);
		return 0;
	}
	return r;
}

struct store *timeline_store(struct timeline *t)
{
	return t->store;
}

const struct host_id *timeline_host(const struct timeline *t)
{
	return &t->host;
}

/* Is the list what it was when folder and index were last looked at? Lock held. */
static bool is_current(struct timeline *t)
{
	struct io_stat st = { 0 };
	uint64_t last = 0;
	int r = io_stat(store_io(t->store), t->folder, &st);

	if (r == -ENOENT)
		return t->head_seq == 0;
	return r == 0 && t->folder_mtime_ns == st.mtime_ns &&
	       chunk_index_last_record(store_index(t->store), &t->host, &last) == 0 &&
	       last == t->indexed_seq;
}

int timeline_refresh(struct timeline *t)
{
	LOCK_SCOPE(&t->lock);
	return is_current(t) ? 0 : timeline_sync(t);
}

/* ---- questions ---- */

/* Number of entries with a sequence below this one. Lock held. */
static size_t entries_below(const struct timeline *t, uint64_t seq)
{
	size_t low = 0, high = t->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->entries[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_listed(const struct timeline *t, uint64_t seq)
{
	size_t i = entries_below(t, seq);

	return i < t->n_entries && t->entries[i].seq == seq;
}

/* Decode the digest of a listed snapshot, wherever it is kept. Lock held. */
static int decode_digest(struct timeline *t, uint64_t seq, struct snapshot_info *ret_info)
{
	uint8_t buffer[DIGEST_SNAPSHOT_BYTES_MAX];
	struct kept_digest *kept = timeline_kept(t, seq);
	int64_t n;

	if (kept)
		return timeline_digest_info(kept->data, kept->n, seq, ret_info);
	n = chunk_index_get_record(store_index(t->store), &t->host, seq, buffer, sizeof(buffer));
	if (n < 0)
		return (int)n;
	if (n > (int64_t)sizeof(buffer))
		return -EUCLEAN;
	return timeline_digest_info(buffer, (size_t)n, seq, ret_info);
}

static int get_locked(struct timeline *t, uint64_t seq, struct snapshot_info *ret_info)
{
	int r;

	if (!is_listed(t, seq))
		return -ENOENT;
	r = decode_digest(t, seq, ret_info);
	if (r != -ENOENT && r != -EUCLEAN)
		return r;
	/* Another process dropped it, or the index lost it: see what the folder says. */
	r = timeline_sync(t);
	if (r < 0)
		return r;
	if (!is_listed(t, seq))
		return -ENOENT;
	r = decode_digest(t, seq, ret_info);
	if (r != -ENOENT && r != -EUCLEAN)
		return r;
	/* A damaged index can list what it does not find: the record itself decides. */
	r = timeline_recall(t, seq);
	return r < 0 ? r : decode_digest(t, seq, ret_info);
}

int timeline_count(struct timeline *t, uint64_t *ret_n)
{
	LOCK_SCOPE(&t->lock);
	*ret_n = t->n_entries;
	return 0;
}

int timeline_latest(struct timeline *t, struct snapshot_info *ret_info)
{
	LOCK_SCOPE(&t->lock);
	if (t->n_entries == 0)
		return -ENOENT;
	return get_locked(t, t->entries[t->n_entries - 1].seq, ret_info);
}

int timeline_get(struct timeline *t, uint64_t seq, struct snapshot_info *ret_info)
{
	LOCK_SCOPE(&t->lock);
	return get_locked(t, seq, ret_info);
}

/*
 * Clocks are set back, so times need not ascend; floors do. The last entry
 * whose floor is at most T has a time of at most T itself, because the floor
 * of the one behind it is later than T. Yields how many there are up to it, all
 * that have a time of at most T among them. Lock held.
 */
static size_t entries_until(const struct timeline *t, int64_t time_ns)
{
	size_t low = 0, high = t->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->entries[middle].floor_ns <= time_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int timeline_as_of(struct timeline *t, int64_t time_ns, struct snapshot_info *ret_info)
{
	size_t n;

	LOCK_SCOPE(&t->lock);
	n = entries_until(t, time_ns);
	return n == 0 ? -ENOENT : get_locked(t, t->entries[n - 1].seq, ret_info);
}

int timeline_at(struct timeline *t, uint64_t i, uint64_t *ret_seq, int64_t *ret_time_ns,
		uint32_t *ret_suffix)
{
	LOCK_SCOPE(&t->lock);
	if (i >= t->n_entries)
		return -ENOENT;
	if (ret_seq)
		*ret_seq = t->entries[i].seq;
	if (ret_time_ns)
		*ret_time_ns = t->entries[i].time_ns;
	if (ret_suffix)
		*ret_suffix = t->entries[i].suffix;
	return 0;
}

/* Read the second and the suffix out of "2024-05-01T14-30-00Z.1". 0 or -EINVAL. */
static int parse_name(const char *name, int64_t *ret_seconds, uint32_t *ret_suffix)
{
	char again[SNAPSHOT_NAME_BYTES];
	struct tm tm = { 0 };
	unsigned long suffix = 0;
	const char *rest;
	int64_t seconds;

	rest = strptime(name, "%Y-%m-%dT%H-%M-%SZ", &tm);
	if (!rest)
		return -EINVAL;
	if (*rest == '.')
		suffix = strtoul(rest + 1, NULL, 10);
	seconds = timegm(&tm);
	if (suffix > RECORD_SUFFIX_MAX || seconds > INT64_MAX / NS_PER_S ||
	    seconds < INT64_MIN / NS_PER_S)
		return -EINVAL;
	/* Only the one way in which a name is written is a name. */
	snapshot_name(seconds * NS_PER_S, (uint32_t)suffix, again);
	if (strcmp(again, name) != 0)
		return -EINVAL;
	*ret_seconds = seconds;
	*ret_suffix = (uint32_t)suffix;
	return 0;
}

static int64_t last_ns_of(int64_t second)
{
	int64_t ns;

	return __builtin_mul_overflow(second + 1, NS_PER_S, &ns) ? INT64_MAX : ns - 1;
}

int timeline_named(struct timeline *t, const char *name, struct snapshot_info *ret_info)
{
	int64_t seconds;
	uint32_t suffix;

	if (parse_name(name, &seconds, &suffix) < 0)
		return -ENOENT;
	LOCK_SCOPE(&t->lock);
	/* Unless clocks were set back it is the first one looked at. */
	for (size_t i = entries_until(t, last_ns_of(seconds)); i-- > 0;)
		if (t->entries[i].suffix == suffix &&
		    clock_floor_seconds(t->entries[i].time_ns) == seconds)
			return get_locked(t, t->entries[i].seq, ret_info);
	return -ENOENT;
}

/* Is the tag one of the comma-separated ones? */
static bool has_tag(const char *tags, const char *tag)
{
	size_t n = strlen(tag);

	while (*tags) {
		size_t here = strcspn(tags, ",");

		if (here == n && memcmp(tags, tag, n) == 0)
			return true;
		tags += here + (tags[here] == ',');
	}
	return false;
}

int timeline_tagged(struct timeline *t, const char *tag, struct snapshot_info *ret_info)
{
	struct snapshot_info info;

	LOCK_SCOPE(&t->lock);
	for (size_t i = t->n_entries; i-- > 0;) {
		if (!t->entries[i].tagged || decode_digest(t, t->entries[i].seq, &info) < 0)
			continue;
		if (has_tag(info.tags, tag)) {
			*ret_info = info;
			return 0;
		}
	}
	return -ENOENT;
}

int timeline_by_id(struct timeline *t, const char *hex, struct snapshot_info *ret_info)
{
	char id[2 * SHA256_BYTES + 1], head[9] = "";
	struct snapshot_info info;
	size_t n = strlen(hex);
	uint8_t bytes[4];
	uint32_t id_head;
	bool found = false;

	if (n < ID_PREFIX_MIN || n > 2ul * SHA256_BYTES)
		return -ENOENT;
	memcpy(head, hex, 8);
	if (bytes_from_hex(head, bytes, sizeof(bytes)) < 0)
		return -ENOENT;
	id_head = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
		  bytes[3];

	LOCK_SCOPE(&t->lock);
	for (size_t i = t->n_entries; i-- > 0;) {
		if (t->entries[i].id_head != id_head ||
		    decode_digest(t, t->entries[i].seq, &info) < 0)
			continue;
		(void)bytes_to_hex(info.id.bytes, sizeof(info.id.bytes), id);
		if (strncmp(id, hex, n) != 0)
			continue;
		if (found)
			return -ENOTUNIQ;
		found = true;
		*ret_info = info;
	}
	return found ? 0 : -ENOENT;
}

/* The next snapshot beyond *seq in the direction; the list may have changed since the last call. */
static int step(struct timeline *t, bool descending, uint64_t *seq, struct snapshot_info *ret_info)
{
	size_t i;

	LOCK_SCOPE(&t->lock);
	if (descending) {
		i = entries_below(t, *seq);
		if (i-- == 0)
			return -ENOENT;
	} else {
		i = entries_below(t, *seq + 1);
		if (i == t->n_entries)
			return -ENOENT;
	}
	*seq = t->entries[i].seq;
	return decode_digest(t, *seq, ret_info) < 0 ? -EAGAIN : 0;
}

int timeline_each(struct timeline *t, bool descending, timeline_visitor *visit, void *context)
{
	struct snapshot_info info;
	uint64_t seq = descending ? UINT64_MAX : 0;
	int r;

	for (;;) {
		r = step(t, descending, &seq, &info);
		if (r == -ENOENT)
			return 0;
		/* Its digest is gone or damaged: ask once more, with all that entails. */
		if (r == -EAGAIN)
			r = timeline_get(t, seq, &info);
		if (r == -ENOENT)
			continue;
		if (r == 0)
			r = visit(context, &info);
		if (r != 0)
			return r;
	}
}

/* ---- whole records ---- */

int timeline_read(struct timeline *t, uint64_t seq, struct record *ret_record)
{
	struct snapshot_info info;
	int r = timeline_get(t, seq, &info);

	return r < 0 ? r : timeline_read_file(t, seq, &info.id, ret_record);
}

int timeline_hold(struct timeline *t, uint64_t seq)
{
	struct io *io = store_io(t->store);
	char path[RECORD_PATH_BYTES];
	struct snapshot_info info;
	struct io_stat st;
	int fd, r;

	r = timeline_get(t, seq, &info);
	if (r < 0)
		return r;
	(void)record_path(&t->host, seq, &info.id, path);
	fd = io_open(io, path, IO_OPEN_READ, IO_OBJECT_RECORD);
	if (fd < 0)
		return fd == -ENOENT ? fd : log_errno(fd, "%s: cannot open", path);
	r = io_lock(io, fd, IO_LOCK_SHARED, true);
	/* Whoever held it exclusively may have taken the file away meanwhile; or has forgotten it
	 * durably and was killed before that. From here on, nobody can. */
	if (r == 0)
		r = io_stat(io, path, &st);
	if (r == 0)
		r = timeline_refresh(t);
	if (r >= 0)
		r = timeline_get(t, seq, &info);
	if (r < 0) {
		io_close(io, fd);
		return r == -ENOENT ? r : log_errno(r, "%s: cannot lock", path);
	}
	return fd;
}

/* ---- appending ---- */

int timeline_lock(struct timeline *t)
{
	struct io *io = store_io(t->store);
	int fd = io_open(io, COMMIT_LOCK, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	int r;

	if (fd < 0)
		return log_errno(fd, COMMIT_LOCK ": cannot open");
	r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, true);
	if (r < 0) {
		io_close(io, fd);
		return log_errno(r, COMMIT_LOCK ": cannot lock");
	}
	return fd;
}

/* The least suffix that no snapshot of the same second has. */
static uint32_t free_suffix(const struct timeline *t, int64_t time_ns)
{
	int64_t seconds = clock_floor_seconds(time_ns);
	uint32_t suffix = 0;
	bool taken;

	do {
		taken = false;
		for (size_t i = 0; i < t->n_entries && !taken; i++)
			taken = t->entries[i].suffix == suffix &&
				clock_floor_seconds(t->entries[i].time_ns) == seconds;
		suffix += taken;
	} while (taken);
	return suffix;
}

/* The host's folder is made with the repository; a cloned or thinned-out one may lack it. */
static int ensure_folder(struct timeline *t)
{
	struct io *io = store_io(t->store);
	struct io_stat st;
	int r = io_stat(io, t->folder, &st);

	if (r != -ENOENT)
		return r;
	r = io_mkdir(io, t->folder, IO_OBJECT_FOLDER);
	if (r == 0)
		r = io_fsync_folder(io, "records", IO_OBJECT_FOLDER);
	return r < 0 ? log_errno(r, "%s: cannot make the folder", t->folder) : 0;
}

/* Bring index and list up to a record that is committed: nothing here may fail the caller. */
static void enter_committed(struct timeline *t, const struct record *record,
			    const struct byte_buf *digest)
{
	struct byte_reader in = byte_reader_make(digest->data, digest->n);
	struct digest_head head;

	(void)timeline_put_digest(t, record->seq, digest);
	if (timeline_digest_head(&in, &head) < 0)
		return;
	t->head_seq = record->seq;
	t->head_id = head.id;
	if (record->kind == RECORD_SNAPSHOT)
		timeline_push(t, record->seq, &head);
	else
		(void)timeline_sync(t);
}

/*
 * The folder has changed by our own record only: it need not be listed for the
 * next one. A record that another process appends at once, within the same
 * tick of the file system's clock, is seen in the index. Lock held.
 */
static void note_own_record(struct timeline *t)
{
	struct io_stat st;

	if (t->folder_mtime_ns == INT64_MIN)
		return;
	t->folder_mtime_ns = INT64_MIN;
	if (++t->n_unlisted < UNLISTED_MAX &&
	    chunk_index_last_record(store_index(t->store), &t->host, &t->indexed_seq) == 0 &&
	    io_stat(store_io(t->store), t->folder, &st) == 0)
		t->folder_mtime_ns = st.mtime_ns;
}

int timeline_append(struct timeline *t, struct record *record, struct snapshot_info *ret_info)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf digest = { 0 };
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[RECORD_PATH_BYTES];
	struct record_id id;
	size_t n = 0;
	int r;

	LOCK_SCOPE(&t->lock);
	r = is_current(t) ? 0 : timeline_sync(t);
	if (r < 0)
		return r;
	if (t->head_seq >= UINT64_MAX - 1)
		return -EOVERFLOW;
	record->host = t->host;
	record->seq = t->head_seq + 1;
	record->previous = t->head_id;
	record->name_suffix = record->kind == RECORD_SNAPSHOT ? free_suffix(t, record->time_ns) : 0;
	record->written_ns = clock_now_ns();

	/* Everything that can fail comes before the write. */
	r = record_seal(record, t->store, &data, &n, &id);
	if (r == 0)
		r = timeline_digest_make(record, &id, &digest);
	if (r == 0)
		r = timeline_grow(&t->entries, t->n_entries, &t->entries_room, sizeof(*t->entries));
	if (r == 0)
		r = ensure_folder(t);
	if (r == 0)
		r = io_write_file(store_io(t->store), record_path(&t->host, record->seq, &id, path),
				  data, n, false, IO_OBJECT_RECORD);
	if (r < 0)
		return r;
	enter_committed(t, record, &digest);
	if (record->kind == RECORD_SNAPSHOT)
		note_own_record(t);
	if (ret_info && record->kind == RECORD_SNAPSHOT)
		(void)timeline_digest_info(digest.data, digest.n, record->seq, ret_info);
	return 0;
}
