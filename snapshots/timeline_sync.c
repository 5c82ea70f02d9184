/* SPDX-License-Identifier: MIT */
#include "snapshots/timeline_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A folder changed this shortly before it was listed may change again under the same mtime. */
#define RACY_NS 50000000
/* Digests entered into the index by one call. */
#define FRESH_BYTES_MAX MIB(4)
/* Listings before what no forget record explains is an alarm. */
#define LOOKS_MOST 4

/* A record file that is there. */
struct listed {
	uint64_t seq;
	struct record_id id;
	struct record_id previous; /* of fresh ones */
	bool known;                /* index or memory has its digest */
	bool fresh;                /* entered just now */
	bool forgets;              /* a forget record */
	bool ranges_missing;
};

struct sync {
	struct timeline *t;
	struct listed *names; /* ascending by sequence, then id */
	size_t n_names, names_room;
	size_t at; /* how far the merge with the index has come */
	struct timeline_entry *entries;
	size_t n_entries, entries_room;
	struct sequence_range *ranges; /* forgotten */
	size_t n_ranges, ranges_room;
	uint64_t *drops; /* in the index, but the file is gone */
	size_t n_drops, drops_room;
	bool unsorted;              /* entries were appended out of order */
	struct index_record *fresh; /* digests read just now, for one transaction; owns them */
	size_t n_fresh, fresh_room, fresh_bytes;
};

static void free_fresh(struct sync *s)
{
	for (size_t i = 0; i < s->n_fresh; i++)
		free((void *)(uintptr_t)s->fresh[i].digest);
	s->n_fresh = 0;
	s->fresh_bytes = 0;
}

static void sync_done(struct sync *s)
{
	free(s->names);
	free(s->entries);
	free(s->ranges);
	free(s->drops);
	free_fresh(s);
	free(s->fresh);
}

int timeline_grow(void *array, size_t n, size_t *room, size_t element)
{
	size_t wanted = *room ? 2 * *room : 64;
	void *old, *grown;

	if (n < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = reallocarray(old, wanted, element);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*room = wanted;
	return 0;
}

/* ---- what is in the folder ---- */

static int list_name(void *context, const char *name)
{
	struct sync *s = context;
	struct listed item = { 0 };
	int r;

	if (record_parse_name(name, &item.seq, &item.id) < 0) {
		log_debug("%s/%s: not a record's name, ignored", s->t->folder, name);
		return 0;
	}
	r = timeline_grow(&s->names, s->n_names, &s->names_room, sizeof(*s->names));
	if (r == 0)
		s->names[s->n_names++] = item;
	return r;
}

static int compare_names(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
}

static int list_folder(struct sync *s)
{
	int r = io_list(store_io(s->t->store), s->t->folder, list_name, s);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return log_errno(r, "%s: cannot list the records", s->t->folder);
	if (s->n_names > 0)
		qsort(s->names, s->n_names, sizeof(*s->names), compare_names);
	return 0;
}

static struct listed *find_name(const struct sync *s, uint64_t seq)
{
	size_t low = 0, high = s->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->names[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n_names && s->names[low].seq == seq ? &s->names[low] : NULL;
}

/* ---- what the index says ---- */

static int add_range(struct sync *s, struct sequence_range range)
{
	int r = timeline_grow(&s->ranges, s->n_ranges, &s->ranges_room, sizeof(*s->ranges));

	if (r == 0)
		s->ranges[s->n_ranges++] = range;
	return r;
}

static struct timeline_entry make_entry(uint64_t seq, const struct digest_head *head)
{
	return (struct timeline_entry){
		.seq = seq,
		.time_ns = head->time_ns,
		.floor_ns = head->time_ns,
		.suffix = head->suffix & RECORD_SUFFIX_MAX,
		.tagged = head->tagged,
		.id_head = (uint32_t)head->id.bytes[0] << 24 | (uint32_t)head->id.bytes[1] << 16 |
			   (uint32_t)head->id.bytes[2] << 8 | head->id.bytes[3],
	};
}

/* Take a digest that belongs to the file `name`. Returns 0, -EUCLEAN, -ENOMEM. */
static int note_digest(struct sync *s, struct listed *name, const void *digest, size_t n)
{
	struct byte_reader in = byte_reader_make(digest, n);
	size_t n_ranges = s->n_ranges;
	struct digest_head head;
	uint64_t last = 0;
	int r;

	r = timeline_digest_head(&in, &head);
	if (r < 0)
		return r;
	if (head.kind == RECORD_SNAPSHOT) {
		r = timeline_grow(&s->entries, s->n_entries, &s->entries_room, sizeof(*s->entries));
		if (r == 0)
			s->entries[s->n_entries++] = make_entry(name->seq, &head);
		return r;
	}
	for (uint64_t i = 0; r == 0 && i < head.n_ranges; i++)
		r = add_range(s, timeline_digest_range(&in, &last));
	if (in.bad) {
		s->n_ranges = n_ranges;
		return -EUCLEAN;
	}
	name->forgets = true;
	name->ranges_missing = head.ranges_missing;
	return r;
}

/* The file that a digest of this sequence is of, or NULL. */
static struct listed *match_digest(struct sync *s, uint64_t seq, const void *digest, size_t n)
{
	struct byte_reader in = byte_reader_make(digest, n);
	struct digest_head head;

	while (s->at < s->n_names && s->names[s->at].seq < seq)
		s->at++;
	if (timeline_digest_head(&in, &head) < 0)
		return NULL;
	/* A number once used is not used again, even if its file is gone. */
	if (seq > s->t->head_seq) {
		s->t->head_seq = seq;
		s->t->head_id = head.id;
	}
	for (size_t i = s->at; i < s->n_names && s->names[i].seq == seq; i++)
		if (memcmp(&s->names[i].id, &head.id, sizeof(head.id)) == 0)
			return &s->names[i];
	return NULL;
}

static int visit_indexed(void *context, uint64_t seq, const void *digest, size_t n)
{
	struct sync *s = context;
	struct listed *name = match_digest(s, seq, digest, n);
	int r = name ? note_digest(s, name, digest, n) : -EUCLEAN;

	if (r == 0)
		name->known = true;
	if (r != -EUCLEAN)
		return r;
	r = timeline_grow(&s->drops, s->n_drops, &s->drops_room, sizeof(*s->drops));
	if (r == 0)
		s->drops[s->n_drops++] = seq;
	return r;
}

static int scan_index(struct sync *s)
{
	int r = chunk_index_each_record(store_index(s->t->store), &s->t->host, 0, false,
					visit_indexed, s);

	if (r != -EUCLEAN)
		return r;
	log_warning("%s: the index's digests are damaged; reading the records again", s->t->folder);
	for (size_t i = 0; i < s->n_names; i++)
		s->names[i].known = false;
	s->n_entries = 0;
	s->n_ranges = 0;
	s->n_drops = 0;
	return 0;
}

/* The digests that only memory holds: use those whose file is there, forget the others. */
static int scan_kept(struct sync *s)
{
	struct timeline *t = s->t;
	size_t n_left = 0;
	int r = 0;

	for (size_t i = 0; i < t->n_kept; i++) {
		struct kept_digest *kept = &t->kept[i];
		struct listed *name;

		name = find_name(s, kept->seq);
		s->at = name ? (size_t)(name - s->names) : s->n_names;
		name = match_digest(s, kept->seq, kept->data, kept->n);
		if (name && !name->known && r == 0) {
			r = note_digest(s, name, kept->data, kept->n);
			name->known = r == 0;
			s->unsorted = true;
		} else if (!name || name->known) {
			free(kept->data);
			continue;
		}
		t->kept[n_left++] = *kept;
	}
	t->n_kept = n_left;
	return r;
}

static void drop_missing(struct sync *s)
{
	for (size_t i = 0; i < s->n_drops; i++) {
		int r = chunk_index_drop_record(store_index(s->t->store), &s->t->host, s->drops[i]);

		/* A line too many does no harm: it is met and left out again next time. */
		if (r < 0 && r != -ENOENT && r != -EROFS && r != -EACCES)
			(void)log_errno(r, "%s: cannot drop number %" PRIu64 " from the index",
					s->t->folder, s->drops[i]);
	}
}

/* ---- entering what the index does not know ---- */

int timeline_read_file(struct timeline *t, uint64_t seq, const struct record_id *id,
		       struct record *ret_record)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	uint8_t digest[SHA256_BYTES];
	char path[RECORD_PATH_BYTES];
	size_t n = 0;
	int r;

	(void)record_path(&t->host, seq, id, path);
	r = io_read_file(store_io(t->store), path, RECORD_BYTES_MAX, &data, &n);
	if (r == -EFBIG)
		return log_errno(r, "%s: larger than any record", path);
	if (r < 0)
		return r;
	sha256_of(data, n, digest);
	if (memcmp(digest, id->bytes, sizeof(digest)) != 0)
		r = -EBADMSG;
	else
		r = record_open(t->store, &t->host, seq, data, n, ret_record);
	if (r == -EBADMSG || r == -EUCLEAN)
		return log_errno(r, "%s: damaged record, this snapshot cannot be shown", path);
	return r;
}

struct kept_digest *timeline_kept(struct timeline *t, uint64_t seq)
{
	for (size_t i = 0; i < t->n_kept; i++)
		if (t->kept[i].seq == seq)
			return &t->kept[i];
	return NULL;
}

static int keep_digest(struct timeline *t, uint64_t seq, const void *data, size_t n)
{
	struct kept_digest *grown;
	uint8_t *copy;

	copy = malloc(n);
	if (!copy)
		return -ENOMEM;
	/* Read-only repositories aside there is none or one: growing by one is enough. */
	grown = reallocarray(t->kept, t->n_kept + 1, sizeof(*grown));
	if (!grown) {
		free(copy);
		return -ENOMEM;
	}
	memcpy(copy, data, n);
	t->kept = grown;
	t->kept[t->n_kept++] = (struct kept_digest){ seq, copy, n };
	return 0;
}

/* Put digests into the index in one transaction, or keep them in memory when that fails. */
static int put_digests(struct timeline *t, const struct index_record *records, size_t n)
{
	int r = chunk_index_put_records(store_index(t->store), &t->host, records, n);

	if (r == 0)
		return 0;
	if (r != -EROFS && r != -EACCES)
		(void)log_errno(r,
				"%s: cannot enter number %" PRIu64 " and %zu more into the index",
				t->folder, records[0].seq, n - 1);
	r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = keep_digest(t, records[i].seq, records[i].digest, records[i].n);
	return r;
}

int timeline_put_digest(struct timeline *t, uint64_t seq, const struct byte_buf *digest)
{
	const struct index_record record = { .seq = seq, .digest = digest->data, .n = digest->n };

	return put_digests(t, &record, 1);
}

int timeline_recall(struct timeline *t, uint64_t seq)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf digest = { 0 };
	CLEANUP(sync_done) struct sync s = { .t = t };
	int r = list_folder(&s);

	if (r < 0)
		return r;
	for (struct listed *name = find_name(&s, seq);
	     name && name < s.names + s.n_names && name->seq == seq; name++) {
		CLEANUP(record_done) struct record record = { 0 };

		r = timeline_read_file(t, seq, &name->id, &record);
		if (r == 0)
			r = timeline_digest_make(&record, &name->id, &digest);
		if (r == 0)
			return keep_digest(t, seq, digest.data, digest.n);
		if (r == -ENOMEM)
			return r;
	}
	return -ENOENT;
}

static int flush_fresh(struct sync *s)
{
	int r = s->n_fresh > 0 ? put_digests(s->t, s->fresh, s->n_fresh) : 0;

	free_fresh(s);
	return r;
}

/* Gather a digest: a transaction for each of thousands of records would take minutes. */
static int add_fresh(struct sync *s, uint64_t seq, const struct byte_buf *digest)
{
	void *copy;
	int r = timeline_grow(&s->fresh, s->n_fresh, &s->fresh_room, sizeof(*s->fresh));

	if (r < 0)
		return r;
	copy = malloc(digest->n);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, digest->data, digest->n);
	s->fresh[s->n_fresh++] =
		(struct index_record){ .seq = seq, .digest = copy, .n = digest->n };
	s->fresh_bytes += digest->n;
	return s->n_fresh == INDEX_BATCH_KEYS || s->fresh_bytes >= FRESH_BYTES_MAX ? flush_fresh(s)
										   : 0;
}

static bool is_bad(const struct timeline *t, const struct record_id *id)
{
	for (size_t i = 0; i < t->n_bad; i++)
		if (memcmp(&t->bad[i], id, sizeof(*id)) == 0)
			return true;
	return false;
}

/* Remember what was named in the log, so that a daemon does not name it every minute. */
static void remember_bad(struct timeline *t, const struct record_id *id)
{
	struct record_id *grown = reallocarray(t->bad, t->n_bad + 1, sizeof(*grown));

	if (!grown)
		return;
	t->bad = grown;
	t->bad[t->n_bad++] = *id;
}

/* Read one record and enter its digest. Only -ENOMEM is a failure: the rest is named and skipped.
 */
static int enter(struct sync *s, struct listed *name, struct byte_buf *digest)
{
	CLEANUP(record_done) struct record record = { 0 };
	int r;

	if (is_bad(s->t, &name->id))
		return 0;
	r = timeline_read_file(s->t, name->seq, &name->id, &record);
	if (r == 0) {
		r = timeline_digest_make(&record, &name->id, digest);
		if (r == -EUCLEAN)
			(void)log_errno(r, "%s: record %" PRIu64 " has no usable root",
					s->t->folder, name->seq);
	}
	if (r == 0)
		r = add_fresh(s, name->seq, digest);
	if (r == 0)
		r = note_digest(s, name, digest->data, digest->n);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		if (r == -EBADMSG || r == -EUCLEAN || r == -EFBIG)
			remember_bad(s->t, &name->id);
		return 0;
	}
	name->known = true;
	name->fresh = true;
	name->previous = record.previous;
	s->unsorted = true;
	return 0;
}

/* Several files of one sequence: say so once for each that is not shown. */
static void name_rivals(struct sync *s, size_t i, size_t end)
{
	char path[RECORD_PATH_BYTES];

	for (; i < end; i++) {
		if (s->names[i].known || is_bad(s->t, &s->names[i].id))
			continue;
		log_warning("%s: ALARM: another record has the same number; is another machine "
			    "writing as this one?",
			    record_path(&s->t->host, s->names[i].seq, &s->names[i].id, path));
		remember_bad(s->t, &s->names[i].id);
	}
}

/* All files of one sequence stand side by side: take the known one, else the first good one. */
static int enter_missing(struct sync *s)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf digest = { 0 };
	size_t end;

	for (size_t i = 0; i < s->n_names; i = end) {
		bool known = false;
		int r = 0;

		for (end = i; end < s->n_names && s->names[end].seq == s->names[i].seq; end++)
			known |= s->names[end].known;
		for (size_t j = i; j < end && !known && r == 0; j++) {
			r = enter(s, &s->names[j], &digest);
			known = s->names[j].known;
		}
		if (r < 0)
			return r;
		if (end - i > 1)
			name_rivals(s, i, end);
	}
	return flush_fresh(s);
}

/* ---- what was forgotten, and whether every gap is explained ---- */

/* Ranges of forget records that were too long for a digest. */
static int read_long_ranges(struct sync *s)
{
	for (size_t i = 0; i < s->n_names; i++) {
		CLEANUP(record_done) struct record record = { 0 };
		int r;

		if (!s->names[i].known || !s->names[i].ranges_missing)
			continue;
		r = timeline_read_file(s->t, s->names[i].seq, &s->names[i].id, &record);
		for (size_t j = 0; r == 0 && j < record.n_forgotten; j++)
			r = add_range(s, record.forgotten[j]);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct sequence_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

size_t timeline_merge_ranges(struct sequence_range *ranges, size_t n)
{
	size_t at = 0;

	if (n == 0)
		return 0;
	qsort(ranges, n, sizeof(*ranges), compare_ranges);
	for (size_t i = 1; i < n; i++) {
		if (ranges[at].last < UINT64_MAX && ranges[i].first > ranges[at].last + 1)
			ranges[++at] = ranges[i];
		else if (ranges[i].last > ranges[at].last)
			ranges[at].last = ranges[i].last;
	}
	return at + 1;
}

static bool is_forgotten(const struct sync *s, uint64_t seq)
{
	size_t low = 0, high = s->n_ranges;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->ranges[middle].last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n_ranges && s->ranges[low].first <= seq;
}

/*
 * Is what came before a fresh record there, or forgotten, in the listing `now`?
 * Returns true, or says so (if `say`) and returns false.
 */
static bool follows(const struct sync *now, const struct listed *name, bool say)
{
	static const struct record_id none;
	const struct listed *before;

	if (name->seq == 1) {
		if (memcmp(&name->previous, &none, sizeof(none)) == 0)
			return true;
		if (say)
			log_warning("%s: ALARM: the first record names one before it",
				    now->t->folder);
		return false;
	}
	before = find_name(now, name->seq - 1);
	if (!before) {
		if (is_forgotten(now, name->seq - 1))
			return true;
		if (say)
			log_warning("%s: ALARM: record %" PRIu64
				    " is missing, and no forget record explains it",
				    now->t->folder, name->seq - 1);
		return false;
	}
	for (; before < now->names + now->n_names && before->seq == name->seq - 1; before++)
		if (memcmp(&before->id, &name->previous, sizeof(before->id)) == 0)
			return true;
	if (say)
		log_warning("%s: ALARM: record %" PRIu64 " does not follow the record before it",
			    now->t->folder, name->seq);
	return false;
}

/* Does the listing `now` explain all that `s` found new or gone? */
static bool check_chain(const struct sync *s, const struct sync *now, bool say)
{
	bool sound = true;

	for (size_t i = 0; i < s->n_names; i++)
		if (s->names[i].fresh)
			sound &= follows(now, &s->names[i], say);
	for (size_t i = 0; i < s->n_drops; i++) {
		if (find_name(now, s->drops[i]) || is_forgotten(now, s->drops[i]))
			continue;
		sound = false;
		if (say)
			log_warning("%s: ALARM: record %" PRIu64
				    " is gone, and no forget record explains it",
				    now->t->folder, s->drops[i]);
	}
	return sound;
}

/* ---- the list ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct timeline_entry *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void finish_entries(struct sync *s)
{
	size_t n = 0;

	if (s->unsorted && s->n_entries > 0)
		qsort(s->entries, s->n_entries, sizeof(*s->entries), compare_entries);
	for (size_t i = 0; i < s->n_entries; i++)
		if (!is_forgotten(s, s->entries[i].seq))
			s->entries[n++] = s->entries[i];
	s->n_entries = n;
	for (size_t i = n; i-- > 1;)
		if (s->entries[i].floor_ns < s->entries[i - 1].floor_ns)
			s->entries[i - 1].floor_ns = s->entries[i].floor_ns;
}

void timeline_push(struct timeline *t, uint64_t seq, const struct digest_head *head)
{
	t->entries[t->n_entries++] = make_entry(seq, head);
	for (size_t i = t->n_entries - 1; i-- > 0 && t->entries[i].floor_ns > head->time_ns;)
		t->entries[i].floor_ns = head->time_ns;
}

/* Note what forgetting has left behind, and what the next forget record replaces. */
static int note_forgotten(struct sync *s)
{
	struct timeline *t = s->t;
	CLEANUP(free_ptr) struct record_file *leftovers = NULL;
	CLEANUP(free_ptr) uint64_t *forgets = NULL;
	size_t n_leftovers = 0, n_forgets = 0, leftovers_room = 0, forgets_room = 0;

	for (size_t i = 0; i < s->n_names; i++) {
		const struct listed *name = &s->names[i];
		bool forgotten = is_forgotten(s, name->seq);

		if (!name->known || (!forgotten && !name->forgets))
			continue;
		if (timeline_grow(&leftovers, n_leftovers, &leftovers_room, sizeof(*leftovers)) <
			    0 ||
		    timeline_grow(&forgets, n_forgets, &forgets_room, sizeof(*forgets)) < 0)
			return -ENOMEM;
		if (forgotten)
			leftovers[n_leftovers++] = (struct record_file){ name->seq, name->id };
		else
			forgets[n_forgets++] = name->seq;
	}
	free(t->ranges);
	free(t->leftovers);
	free(t->forgets);
	t->ranges = STEAL(s->ranges);
	t->n_ranges = s->n_ranges;
	t->leftovers = STEAL(leftovers);
	t->n_leftovers = n_leftovers;
	t->forgets = STEAL(forgets);
	t->n_forgets = n_forgets;
	return 0;
}

/* Take the new list over. 1 when it differs from the old one. */
static int adopt(struct sync *s)
{
	struct timeline *t = s->t;
	bool same = s->n_entries == t->n_entries;

	for (size_t i = 0; same && i < s->n_entries; i++)
		same = s->entries[i].seq == t->entries[i].seq &&
		       s->entries[i].time_ns == t->entries[i].time_ns &&
		       s->entries[i].id_head == t->entries[i].id_head;
	free(t->entries);
	t->entries = STEAL(s->entries);
	t->n_entries = s->n_entries;
	t->entries_room = s->entries_room;
	if (s->n_names > 0 && s->names[s->n_names - 1].seq >= t->head_seq) {
		t->head_seq = s->names[s->n_names - 1].seq;
		t->head_id = s->names[s->n_names - 1].id;
	}
	return !same;
}

/* The folder's mtime, for telling later whether anything changed. */
static int64_t folder_mtime(struct timeline *t)
{
	struct io_stat st;

	if (io_stat(store_io(t->store), t->folder, &st) < 0)
		return INT64_MIN;
	return clock_now_ns() - st.mtime_ns < RACY_NS ? INT64_MIN : st.mtime_ns;
}

/* List folder and index, enter and drop what differs, join what was forgotten. */
static int gather(struct sync *s)
{
	int r = list_folder(s);

	if (r == 0)
		r = scan_index(s);
	if (r == 0)
		r = scan_kept(s);
	if (r < 0)
		return r;
	drop_missing(s);
	r = enter_missing(s);
	if (r == 0)
		r = read_long_ranges(s);
	if (r == 0)
		s->n_ranges = timeline_merge_ranges(s->ranges, s->n_ranges);
	return r;
}

/*
 * A listing made while another process forgets may lack the forget record that
 * explains what it misses: who is surprised looks again before calling alarm.
 * `ret_last` is the newest listing, for the caller to free.
 */
static int look_again(const struct sync *first, struct sync *ret_last)
{
	int r = 0;

	for (int i = 1; i <= LOOKS_MOST; i++) {
		sync_done(ret_last);
		*ret_last = (struct sync){ .t = first->t };
		r = gather(ret_last);
		if (r < 0 || (check_chain(first, ret_last, i == LOOKS_MOST) &&
			      check_chain(ret_last, ret_last, i == LOOKS_MOST)))
			break;
	}
	return r;
}

int timeline_sync(struct timeline *t)
{
	CLEANUP(sync_done) struct sync first = { .t = t };
	CLEANUP(sync_done) struct sync again = { .t = t };
	struct sync *s = &first;
	int64_t mtime_ns = folder_mtime(t);
	int r = gather(&first);

	if (r == 0 && !check_chain(&first, &first, false)) {
		r = look_again(&first, &again);
		s = &again;
	}
	if (r < 0)
		return r;
	finish_entries(s);
	r = note_forgotten(s);
	if (r < 0)
		return r;
	if (chunk_index_last_record(store_index(t->store), &t->host, &t->indexed_seq) < 0)
		mtime_ns = INT64_MIN;
	t->folder_mtime_ns = mtime_ns;
	t->n_unlisted = 0;
	return adopt(s);
}
