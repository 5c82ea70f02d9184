/* SPDX-License-Identifier: MIT */
/*
 * The file: header (96 bytes): "yoreledg", u32 version, u32 zero, identity
 * (32), 16 random bytes (key of the checksums), B(all that). Lines (32 bytes):
 * key (16: the first bytes of B(object's name)), u8 state, 3 zero bytes, u32
 * seconds since 1970, u64 SipHash of the checksum before it and this line.
 */
#include "sync/ledger.h"

#include "store/base/bytes.h"
#include "store/base/lock.h"
#include "store/base/log.h"
#include "store/crypto.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LEDGER_VERSION 1
#define HEADER_BYTES 96
#define HEADER_SUM_AT 64
#define IDENTITY_AT 16
#define SALT_AT 48
#define KEY_SIZE 16
#define LINE_BYTES 32
#define LINE_SUM_AT 24
#define PATH_BYTES 128
#define WINDOW_LINES 2048
#define ROOM_LEAST 1024 /* of the table: a power of two */
#define LINES_MAX (1u << 26)
/* Write the file anew when it has this many lines more than twice what they say. */
#define SLACK_LINES 4096

static const char ledger_magic[8] = { 'y', 'o', 'r', 'e', 'l', 'e', 'd', 'g' };

struct slot {
	uint8_t key[KEY_SIZE];
	uint32_t when_s;
	uint8_t state;
	bool used;
};

struct ledger {
	struct io *io;
	char path[PATH_BYTES];
	int lock_fd;

	struct lock lock; /* guards everything below */
	uint8_t header[HEADER_BYTES];
	struct slot *slots;
	size_t room; /* a power of two */
	size_t n_used;
	struct ledger_counts counts;
	int fd; /* -1: to be written anew */
	uint64_t n_lines;
	uint64_t sum; /* of the last line */
};

bool ledger_name_valid(const char *name)
{
	size_t n = strnlen(name, LEDGER_NAME_BYTES_MAX + 1);

	return n > 0 && n <= LEDGER_NAME_BYTES_MAX && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* ---- the table ---- */

static void key_of(const char *object, uint8_t key[static KEY_SIZE])
{
	uint8_t digest[32];

	crypto_blake2b(object, strlen(object), digest);
	memcpy(key, digest, KEY_SIZE);
}

static struct slot *find_slot(const struct ledger *l, const uint8_t key[static KEY_SIZE])
{
	size_t at;

	memcpy(&at, key, sizeof(at));
	for (at &= l->room - 1; l->slots[at].used; at = (at + 1) & (l->room - 1))
		if (memcmp(l->slots[at].key, key, KEY_SIZE) == 0)
			break;
	return &l->slots[at];
}

static int grow(struct ledger *l)
{
	struct slot *old = l->slots;
	const size_t old_room = l->room;

	if (l->room > 0 && l->n_used < l->room / 4 * 3)
		return 0;
	if (l->n_used >= LINES_MAX)
		return -EFBIG;
	l->slots = calloc(old_room ? 2 * old_room : ROOM_LEAST, sizeof(*l->slots));
	if (!l->slots) {
		l->slots = old;
		return -ENOMEM;
	}
	l->room = old_room ? 2 * old_room : ROOM_LEAST;
	for (size_t i = 0; i < old_room; i++)
		if (old[i].used)
			*find_slot(l, old[i].key) = old[i];
	free(old);
	return 0;
}

static void count(struct ledger *l, uint8_t state, uint64_t step)
{
	if (state >= LEDGER_UPLOADED)
		l->counts.uploaded += step;
	if (state == LEDGER_VERIFIED)
		l->counts.verified += step;
}

static int set_slot(struct ledger *l, const uint8_t key[static KEY_SIZE], uint8_t state,
		    uint32_t when_s)
{
	struct slot *slot;
	int r = grow(l);

	if (r < 0)
		return r;
	slot = find_slot(l, key);
	if (!slot->used)
		l->n_used++;
	else
		count(l, slot->state, UINT64_MAX);
	memcpy(slot->key, key, KEY_SIZE);
	slot->used = true;
	slot->state = state;
	slot->when_s = when_s;
	count(l, state, 1);
	return 0;
}

static void clear(struct ledger *l)
{
	free(STEAL(l->slots));
	l->room = l->n_used = 0;
	l->counts = (struct ledger_counts){ 0 };
}

/* ---- bytes ---- */

static void make_header(struct ledger *l, const uint8_t identity[static LEDGER_IDENTITY_BYTES])
{
	memset(l->header, 0, sizeof(l->header));
	memcpy(l->header, ledger_magic, sizeof(ledger_magic));
	l->header[8] = LEDGER_VERSION;
	memcpy(l->header + IDENTITY_AT, identity, LEDGER_IDENTITY_BYTES);
	/* New with every file: lines of an older one are never taken for this one's. */
	crypto_random(l->header + SALT_AT, 16);
	crypto_blake2b(l->header, HEADER_SUM_AT, l->header + HEADER_SUM_AT);
}

static bool header_valid(const uint8_t header[static HEADER_BYTES])
{
	uint8_t sum[32];

	crypto_blake2b(header, HEADER_SUM_AT, sum);
	return memcmp(header, ledger_magic, sizeof(ledger_magic)) == 0 &&
	       header[8] == LEDGER_VERSION && memcmp(sum, header + HEADER_SUM_AT, sizeof(sum)) == 0;
}

static uint64_t line_sum(const struct ledger *l, uint64_t before,
			 const uint8_t line[static LINE_BYTES])
{
	uint8_t joined[8 + LINE_SUM_AT];

	for (int i = 0; i < 8; i++)
		joined[i] = (uint8_t)(before >> (8 * i));
	memcpy(joined + 8, line, LINE_SUM_AT);
	return crypto_short_hash(l->header + SALT_AT, joined, sizeof(joined));
}

/* Yields the checksum that the next line continues. */
static uint64_t put_line(const struct ledger *l, const struct slot *slot, uint64_t before,
			 struct byte_buf *to)
{
	const uint8_t *line;
	uint64_t sum;

	line = byte_buf_reserve(to, LINE_BYTES);
	if (!line)
		return 0;
	byte_buf_append(to, slot->key, KEY_SIZE);
	byte_buf_u32(to, slot->state);
	byte_buf_u32(to, slot->when_s);
	sum = line_sum(l, before, line);
	byte_buf_u64(to, sum);
	return sum;
}

static bool take_line(struct ledger *l, const uint8_t line[static LINE_BYTES], struct slot *ret)
{
	struct byte_reader in = byte_reader_make(line, LINE_BYTES);
	uint32_t state;
	uint64_t sum;

	byte_reader_copy(&in, ret->key, KEY_SIZE);
	state = byte_reader_u32(&in);
	ret->when_s = byte_reader_u32(&in);
	sum = byte_reader_u64(&in);
	if (state > LEDGER_VERIFIED || sum != line_sum(l, l->sum, line))
		return false;
	ret->state = (uint8_t)state;
	l->sum = sum;
	return true;
}

/* ---- the file ---- */

/* Write all that is known into a new file. The lock is held, or nobody else knows the ledger. */
static int write_anew(struct ledger *l)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf all = { 0 };
	uint8_t identity[LEDGER_IDENTITY_BYTES];
	uint64_t n = 0, sum = 0;
	int r;

	io_close(l->io, l->fd);
	l->fd = -1;
	memcpy(identity, l->header + IDENTITY_AT, sizeof(identity));
	make_header(l, identity);
	byte_buf_append(&all, l->header, HEADER_BYTES);
	for (size_t i = 0; i < l->room; i++) {
		if (!l->slots[i].used || l->slots[i].state == LEDGER_ABSENT)
			continue;
		sum = put_line(l, &l->slots[i], sum, &all);
		n++;
	}
	if (all.failed)
		return -ENOMEM;
	r = io_write_file(l->io, l->path, all.data, all.n, true, IO_OBJECT_LOCAL);
	if (r == 0)
		l->fd = r = io_open(l->io, l->path, IO_OPEN_WRITE, IO_OBJECT_LOCAL);
	if (r < 0) {
		l->fd = -1;
		return log_errno(r, "%s/%s: cannot write it", io_real_path(l->io), l->path);
	}
	l->n_lines = n;
	l->sum = sum;
	return 0;
}

/* Read lines until the end, or until one that is not whole. 1 when all of them were. */
static int read_lines(struct ledger *l, uint64_t size)
{
	CLEANUP(free_ptr) uint8_t *window = malloc((size_t)WINDOW_LINES * LINE_BYTES);
	uint64_t at = HEADER_BYTES;

	if (!window)
		return -ENOMEM;
	while (at + LINE_BYTES <= size) {
		int64_t n = io_pread(l->io, l->fd, window, (size_t)WINDOW_LINES * LINE_BYTES, at);

		if (n < 0)
			return (int)n;
		for (int64_t i = 0; i + LINE_BYTES <= n; i += LINE_BYTES) {
			struct slot line;
			int r;

			if (!take_line(l, window + i, &line))
				return 0;
			r = set_slot(l, line.key, line.state, line.when_s);
			if (r < 0)
				return r;
			l->n_lines++;
			at += LINE_BYTES;
		}
		if (n < LINE_BYTES)
			break;
	}
	return at == size;
}

/* 1 when the file is there and whole, 0 when it is to be written anew, -errno. */
static int read_file(struct ledger *l)
{
	uint64_t size = 0;
	int64_t n;
	int r;

	l->fd = io_open(l->io, l->path, IO_OPEN_WRITE, IO_OBJECT_LOCAL);
	if (l->fd == -ENOENT)
		return 0;
	r = l->fd < 0 ? l->fd : io_size(l->io, l->fd, &size);
	if (r < 0)
		return log_errno(r, "%s/%s: cannot open", io_real_path(l->io), l->path);
	n = io_pread(l->io, l->fd, l->header, HEADER_BYTES, 0);
	if (n == HEADER_BYTES && header_valid(l->header)) {
		r = read_lines(l, size);
		return r < 0 ? log_errno(r, "%s/%s: cannot read", io_real_path(l->io), l->path) : r;
	}
	log_warning("%s/%s: damaged; the remote is asked again for what it holds",
		    io_real_path(l->io), l->path);
	make_header(l, (const uint8_t[LEDGER_IDENTITY_BYTES]){ 0 });
	return 0;
}

static int take_lock(struct ledger *l)
{
	char path[PATH_BYTES + 8];
	int r = io_mkdir(l->io, LEDGER_FOLDER, IO_OBJECT_LOCAL);

	(void)snprintf(path, sizeof(path), "%s.lock", l->path);
	if (r == 0)
		l->lock_fd = r =
			io_open(l->io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (r >= 0)
		r = io_lock(l->io, l->lock_fd, IO_LOCK_EXCLUSIVE, false);
	if (r == -EWOULDBLOCK)
		return -EBUSY;
	return r < 0 ? log_errno(r, "%s/%s: cannot lock", io_real_path(l->io), path) : 0;
}

int ledger_open(struct io *io, const char *name, struct ledger **ret_ledger)
{
	CLEANUP(ledger_close_ptr) struct ledger *l = NULL;
	int r;

	/* Ledgers of our own, of no remote, begin with a character that a remote's cannot. */
	if (!ledger_name_valid(name[0] == '_' ? name + 1 : name))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	lock_init(&l->lock, LOCK_RANK_LEDGER);
	l->io = io;
	l->fd = l->lock_fd = -1;
	(void)snprintf(l->path, sizeof(l->path), LEDGER_FOLDER "/%s.ledger", name);
	make_header(l, (const uint8_t[LEDGER_IDENTITY_BYTES]){ 0 });
	r = grow(l);
	if (r == 0)
		r = take_lock(l);
	if (r == 0)
		r = read_file(l);
	/* A torn end: what would be appended behind it would never be read. */
	if (r == 0)
		r = write_anew(l);
	if (r < 0)
		return r;
	*ret_ledger = STEAL(l);
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	io_close(l->io, l->fd);
	io_close(l->io, l->lock_fd);
	lock_done(&l->lock);
	free(l->slots);
	free(l);
}

int ledger_remove(struct io *io, const char *name)
{
	static const char *const suffixes[] = { "ledger", "heads", "ledger.lock" };
	int first = 0;

	if (!ledger_name_valid(name))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[PATH_BYTES];
		int r;

		(void)snprintf(path, sizeof(path), LEDGER_FOLDER "/%s.%s", name, suffixes[i]);
		r = io_unlink(io, path, IO_OBJECT_LOCAL);
		if (r < 0 && r != -ENOENT && first == 0)
			first = log_errno(r, "%s/%s: cannot remove", io_real_path(io), path);
	}
	return first;
}

/* ---- asking and noting ---- */

void ledger_identity(struct ledger *l, uint8_t to[static LEDGER_IDENTITY_BYTES])
{
	LOCK_SCOPE(&l->lock);
	memcpy(to, l->header + IDENTITY_AT, LEDGER_IDENTITY_BYTES);
}

int ledger_reset(struct ledger *l, const uint8_t identity[static LEDGER_IDENTITY_BYTES])
{
	int r;

	LOCK_SCOPE(&l->lock);
	clear(l);
	memcpy(l->header + IDENTITY_AT, identity, LEDGER_IDENTITY_BYTES);
	r = grow(l);
	return r < 0 ? r : write_anew(l);
}

struct ledger_line ledger_get(struct ledger *l, const char *object)
{
	struct ledger_line line = { 0 };
	uint8_t key[KEY_SIZE];
	const struct slot *slot;

	key_of(object, key);
	LOCK_SCOPE(&l->lock);
	slot = find_slot(l, key);
	if (slot->used)
		line = (struct ledger_line){ (enum ledger_state)slot->state, slot->when_s };
	return line;
}

bool ledger_has(struct ledger *l, const char *object)
{
	return ledger_get(l, object).state >= LEDGER_UPLOADED;
}

/* The file cannot be relied on any more: what it is to hold is written anew at the next sync. */
static int give_file_up(struct ledger *l, int r)
{
	io_close(l->io, l->fd);
	l->fd = -1;
	return log_errno(r, "%s/%s: cannot append", io_real_path(l->io), l->path);
}

int ledger_note(struct ledger *l, const char *object, struct ledger_line line)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	struct slot slot = { .state = (uint8_t)line.state, .when_s = (uint32_t)line.when_s };
	uint64_t sum;
	int r;

	key_of(object, slot.key);
	LOCK_SCOPE(&l->lock);
	r = set_slot(l, slot.key, slot.state, slot.when_s);
	if (r < 0)
		return r;
	if (l->fd < 0 || l->n_lines > 2 * l->n_used + SLACK_LINES)
		return write_anew(l);
	sum = put_line(l, &slot, l->sum, &bytes);
	if (bytes.failed)
		return -ENOMEM;
	r = io_pwrite(l->io, l->fd, bytes.data, bytes.n, HEADER_BYTES + l->n_lines * LINE_BYTES,
		      IO_OBJECT_LOCAL);
	if (r < 0)
		return give_file_up(l, r);
	l->n_lines++;
	l->sum = sum;
	return 0;
}

int ledger_sync(struct ledger *l)
{
	int r;

	LOCK_SCOPE(&l->lock);
	if (l->fd < 0)
		return write_anew(l);
	r = io_fsync(l->io, l->fd, IO_OBJECT_LOCAL);
	return r < 0 ? give_file_up(l, r) : 0;
}

void ledger_count(struct ledger *l, struct ledger_counts *ret_counts)
{
	LOCK_SCOPE(&l->lock);
	*ret_counts = l->counts;
}
