/* SPDX-License-Identifier: MIT */
/*
 * remote_check URL [put-rate N MIB [GET]]
 *
 * Drives a remote of any kind through the whole contract of sync/remote.h, with
 * objects below check/<random>/ that are gone afterwards. Says what the remote
 * can do, and exits 1 at the first claim that does not hold.
 *
 * With put-rate it measures instead: N threads put objects of 16 MiB, MIB in
 * all, and with GET read them again; prints MiB/s.
 *
 * Settings come from the environment: REMOTE_USER, REMOTE_PASSWORD,
 * REMOTE_KEY_FILE, REMOTE_KNOWN_HOSTS, REMOTE_CA, REMOTE_ACCESS_KEY,
 * REMOTE_SECRET_KEY, REMOTE_SESSION_TOKEN, REMOTE_REGION, REMOTE_VIRTUAL_HOST
 * (any value), REMOTE_APPEND_ONLY (any value), REMOTE_STALL_MS, REMOTE_VERBOSE.
 */
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_THREADS 16
#define N_LISTED 1100 /* more than a page of S3 */
#define BIG_BYTES ((size_t)5 * 1024 * 1024 + 17)
#define OBJECT_BYTES ((size_t)16 * 1024 * 1024)

static struct remote *remote;
static struct transfer *engine;
static char base[64]; /* "check/<random>/" */
static const char *claim = "start";

/* Say which claim has failed, and why, and end. */
#define CHECK(condition)                            \
	do {                                        \
		if (!(condition))                   \
			fail(__LINE__, #condition); \
	} while (0)
/* An expected result of a call: 0, or a negative errno. */
#define EXPECT(call, expected)                                                  \
	do {                                                                    \
		const int64_t got_ = (call);                                    \
		if (got_ != (expected)) {                                       \
			fprintf(stderr, "%s: %" PRId64 " (%s)\n", #call, got_,  \
				got_ < 0 ? strerror((int)-got_) : "an answer"); \
			fail(__LINE__, #expected " was expected");              \
		}                                                               \
	} while (0)

__attribute__((noreturn)) static void fail(int line, const char *what)
{
	fprintf(stderr, "remote_check: FAILED (line %d): %s: %s\n", line, claim, what);
	exit(1);
}

static void begin(const char *text)
{
	claim = text;
	fprintf(stderr, "  %s\n", text);
}

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* A name below our own folder. `to` holds REMOTE_NAME_BYTES_MAX + 1. */
static const char *named(char *to, const char *rest)
{
	(void)snprintf(to, REMOTE_NAME_BYTES_MAX + 1, "%s%s", base, rest);
	return to;
}

static struct remote_body body_of(const void *data, size_t n)
{
	struct remote_body body = { .data = data, .size = n };

	sha256_of(data, n, body.sha256);
	return body;
}

static uint8_t *random_bytes(size_t n)
{
	uint8_t *bytes = malloc(n);

	CHECK(bytes);
	crypto_random(bytes, n);
	return bytes;
}

static void check_small_object(void)
{
	static const char text[] = "The first object of this remote.";
	const struct remote_body body = body_of(text, sizeof(text));
	struct remote_stat stat;
	char name[REMOTE_NAME_BYTES_MAX + 1];
	char back[100];

	begin("an object is put, found, and put again without harm");
	named(name, "small/one");
	EXPECT(remote_head(remote, name, &stat), -ENOENT);
	EXPECT(remote_get(remote, name, 0, back, sizeof(back), NULL), -ENOENT);
	for (int i = 0; i < 2; i++) {
		EXPECT(remote_put(remote, name, &body, NULL), 0);
		EXPECT(remote_head(remote, name, &stat), 0);
		CHECK(stat.size == sizeof(text));
		memset(back, 0, sizeof(back));
		EXPECT(remote_get(remote, name, 0, back, sizeof(back), NULL),
		       (int64_t)sizeof(text));
		CHECK(memcmp(back, text, sizeof(text)) == 0);
	}
	if (stat.mtime_ns != 0)
		CHECK(llabs(stat.mtime_ns / 1000000000 - (int64_t)time(NULL)) < 7200);
}

static void check_ranges(void)
{
	CLEANUP(free_ptr) uint8_t *data = random_bytes(BIG_BYTES);
	CLEANUP(free_ptr) uint8_t *back = malloc(BIG_BYTES);
	const struct remote_body body = body_of(data, BIG_BYTES);
	static const uint64_t offsets[] = { 0, 1, 4095, 1048576, BIG_BYTES - 1, BIG_BYTES - 1000 };
	char name[REMOTE_NAME_BYTES_MAX + 1];

	begin("parts of a big object are read, also at its end and beyond");
	CHECK(back);
	named(name, "big/one");
	EXPECT(remote_put(remote, name, &body, NULL), 0);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		const uint64_t left = BIG_BYTES - offsets[i];
		const size_t n = 100000;
		const int64_t expected = left < n ? (int64_t)left : (int64_t)n;

		EXPECT(remote_get(remote, name, offsets[i], back, n, NULL), expected);
		CHECK(memcmp(back, data + offsets[i], (size_t)expected) == 0);
	}
	EXPECT(remote_get(remote, name, 0, back, BIG_BYTES, NULL), (int64_t)BIG_BYTES);
	CHECK(memcmp(back, data, BIG_BYTES) == 0);
	EXPECT(remote_get(remote, name, BIG_BYTES, back, 10, NULL), 0);
	EXPECT(remote_get(remote, name, BIG_BYTES + 12345, back, 10, NULL), 0);
}

static void check_empty_object(void)
{
	const struct remote_body body = body_of("", 0);
	char name[REMOTE_NAME_BYTES_MAX + 1];
	struct remote_stat stat;
	uint8_t back[10];

	begin("an object without bytes is one as well");
	named(name, "small/empty");
	EXPECT(remote_put(remote, name, &body, NULL), 0);
	EXPECT(remote_head(remote, name, &stat), 0);
	CHECK(stat.size == 0);
	EXPECT(remote_get(remote, name, 0, back, sizeof(back), NULL), 0);
}

static void check_file_bodies(void)
{
	char folder[] = "/tmp/remote-check-XXXXXX";
	CLEANUP(io_free_ptr) struct io *io = NULL;
	CLEANUP(free_ptr) uint8_t *data = random_bytes(BIG_BYTES);
	CLEANUP(free_ptr) uint8_t *back = malloc(BIG_BYTES);
	struct remote_body body = body_of(data, BIG_BYTES);
	char name[REMOTE_NAME_BYTES_MAX + 1];
	struct remote_stat stat;

	begin("a file of the repository is put; one that is too short is not");
	CHECK(back && mkdtemp(folder));
	EXPECT(io_posix_open(folder, &io), 0);
	body.data = NULL;
	body.io = io;
	body.fd = io_open(io, "pack", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_PACK);
	CHECK(body.fd >= 0);
	EXPECT(io_pwrite(io, body.fd, data, BIG_BYTES, 0, IO_OBJECT_PACK), 0);
	named(name, "file/whole");
	EXPECT(remote_put(remote, name, &body, NULL), 0);
	EXPECT(remote_get(remote, name, 0, back, BIG_BYTES, NULL), (int64_t)BIG_BYTES);
	CHECK(memcmp(back, data, BIG_BYTES) == 0);
	body.size++;
	named(name, "file/short");
	CHECK(remote_put(remote, name, &body, NULL) < 0);
	EXPECT(remote_head(remote, name, &stat), -ENOENT);
	io_close(io, body.fd);
	EXPECT(io_unlink(io, "pack", IO_OBJECT_PACK), 0);
	CHECK(rmdir(folder) == 0);
}

static void check_wrong_hash(const struct remote_abilities *abilities)
{
	static const char text[] = "This is not what was announced.";
	struct remote_body body = body_of(text, sizeof(text));
	char name[REMOTE_NAME_BYTES_MAX + 1];
	struct remote_stat stat;

	if (!abilities->checks_uploads)
		return;
	begin("a body that is not what its hash says is refused");
	body.sha256[0] ^= 1;
	named(name, "small/wrong");
	CHECK(remote_put(remote, name, &body, NULL) < 0);
	EXPECT(remote_head(remote, name, &stat), -ENOENT);
}

static void check_hostile_names(void)
{
	static const char *const names[] = { "",     "/a",    "a/",  "a//b",     "../a",
					     "a/..", "a/./b", "A",   "a b",      "a\nb",
					     "a%2e", "a\\b",  "a?b", "\xc3\xa4", "a_b" };
	const struct remote_body body = body_of("x", 1);
	char longest[REMOTE_NAME_BYTES_MAX + 2];
	struct remote_stat stat;
	char byte;

	begin("names that are none are refused before they travel");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
		const char *name = i < sizeof(names) / sizeof(names[0]) ? names[i] : longest;

		EXPECT(remote_put(remote, name, &body, NULL), -EINVAL);
		EXPECT(remote_get(remote, name, 0, &byte, 1, NULL), -EINVAL);
		EXPECT(remote_head(remote, name, &stat), -EINVAL);
		EXPECT(remote_remove(remote, name), -EINVAL);
	}
}

/* ---- many at once ---- */

static _Atomic int next_number;
static _Atomic bool went_wrong;

static void list_name(char *to, int number)
{
	char rest[32];

	(void)snprintf(rest, sizeof(rest), "list/%02x/%04d", (unsigned int)number % 7, number);
	(void)named(to, rest);
}

static void *put_listed(void *context)
{
	char name[REMOTE_NAME_BYTES_MAX + 1];
	uint8_t data[64] = { 0 };
	int number;

	(void)context;
	while (!went_wrong && (number = next_number++) < N_LISTED) {
		/* The sizes differ, so that the list's can be told apart. */
		const struct remote_body body = body_of(data, (size_t)number % sizeof(data));
		int r;

		list_name(name, number);
		r = remote_put(remote, name, &body, NULL);
		if (r < 0) {
			fprintf(stderr, "put %s: %s\n", name, strerror(-r));
			went_wrong = true;
		}
	}
	return NULL;
}

static void *remove_listed(void *context)
{
	char name[REMOTE_NAME_BYTES_MAX + 1];
	int number;

	(void)context;
	while (!went_wrong && (number = next_number++) < N_LISTED) {
		int r;

		list_name(name, number);
		r = remote_remove(remote, name);
		if (r < 0) {
			fprintf(stderr, "remove %s: %s\n", name, strerror(-r));
			went_wrong = true;
		}
	}
	return NULL;
}

static void *exchange(void *context)
{
	const int number = (int)(intptr_t)context;
	CLEANUP(free_ptr) uint8_t *data = random_bytes(300000);
	CLEANUP(free_ptr) uint8_t *back = malloc(300000);
	char name[REMOTE_NAME_BYTES_MAX + 1];
	char rest[32];

	for (int i = 0; i < 4; i++) {
		const size_t n = 300000 - (size_t)number * 1000 - (size_t)i;
		const struct remote_body body = body_of(data, n);

		(void)snprintf(rest, sizeof(rest), "threads/%d-%d", number, i);
		if (remote_put(remote, named(name, rest), &body, NULL) != 0 ||
		    remote_get(remote, name, 0, back, 300000, NULL) != (int64_t)n ||
		    memcmp(back, data, n) != 0)
			went_wrong = true;
	}
	return NULL;
}

static void run_threads(void *(*work)(void *))
{
	pthread_t threads[N_THREADS];

	next_number = 0;
	for (int i = 0; i < N_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < N_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(!went_wrong);
}

struct seen {
	int n;
	int stop_after; /* 0: never */
	char last[REMOTE_NAME_BYTES_MAX + 1];
	bool sizes; /* of the listed objects, by their numbers */
};

static int on_name(void *context, const char *name, const struct remote_stat *stat)
{
	struct seen *s = context;
	const char *number = strrchr(name, '/');

	CHECK(remote_name_valid(name));
	CHECK(strcmp(s->last, name) < 0);
	if (s->sizes)
		CHECK(number && stat->size == (uint64_t)atoi(number + 1) % 64);
	(void)snprintf(s->last, sizeof(s->last), "%s", name);
	s->n++;
	return s->n == s->stop_after ? 42 : 0;
}

static int list_count(const char *rest, bool sizes)
{
	char prefix[REMOTE_NAME_BYTES_MAX + 1];
	struct seen seen = { .sizes = sizes };

	EXPECT(remote_list(remote, named(prefix, rest), on_name, &seen, NULL), 0);
	return seen.n;
}

static void check_lists(void)
{
	char prefix[REMOTE_NAME_BYTES_MAX + 1];
	const volatile bool cancel = true;
	struct seen seen = { .stop_after = 3 };

	begin("1,100 objects are put by 16 threads and listed in order, page by page");
	run_threads(put_listed);
	CHECK(list_count("list/", true) == N_LISTED);
	CHECK(list_count("list/03/", true) == (N_LISTED - 3 + 6) / 7);
	CHECK(list_count("list/0", true) == N_LISTED);
	CHECK(list_count("list/00/000", true) == 2); /* 0000 and 0007 */
	CHECK(list_count("nothing/", false) == 0);
	EXPECT(remote_list(remote, named(prefix, "list/"), on_name, &seen, NULL), 42);
	CHECK(seen.n == 3);
	EXPECT(remote_list(remote, prefix, on_name, &seen, &cancel), -ECANCELED);
	EXPECT(remote_list(remote, "../", on_name, &seen, NULL), -EINVAL);
}

/* ---- cancelling ---- */

struct slow_put {
	struct remote_body body;
	char name[REMOTE_NAME_BYTES_MAX + 1];
	volatile bool cancel;
	int r;
};

static void *put_slowly(void *context)
{
	struct slow_put *s = context;

	s->r = remote_put(remote, s->name, &s->body, &s->cancel);
	return NULL;
}

static void check_cancel(void)
{
	CLEANUP(free_ptr) uint8_t *data = random_bytes(BIG_BYTES);
	struct slow_put s = { .body = body_of(data, BIG_BYTES) };
	struct remote_stat stat;
	pthread_t thread;
	int64_t began;
	char byte;

	begin("a put is cancelled in its middle, and leaves nothing under its name");
	named(s.name, "cancelled/one");
	transfer_limit(engine, 256 * 1024, 0);
	CHECK(pthread_create(&thread, NULL, put_slowly, &s) == 0);
	(void)usleep(300000);
	began = now_ms();
	s.cancel = true;
	CHECK(pthread_join(thread, NULL) == 0);
	transfer_limit(engine, 0, 0);
	CHECK(now_ms() - began < 2000);
	if (s.r == 0) { /* a folder is done before one can say so */
		CHECK(strncmp(remote->url, "/", 1) == 0);
		return;
	}
	EXPECT(s.r, -ECANCELED);
	EXPECT(remote_head(remote, s.name, &stat), -ENOENT);
	EXPECT(remote_put(remote, s.name, &s.body, &s.cancel), -ECANCELED);
	EXPECT(remote_get(remote, s.name, 0, &byte, 1, &s.cancel), -ECANCELED);
	s.cancel = false;
	EXPECT(remote_put(remote, s.name, &s.body, &s.cancel), 0);
}

/* ---- the end ---- */

struct names {
	struct byte_buf buf;
	int n;
};

static int keep_name(void *context, const char *name, const struct remote_stat *stat)
{
	struct names *names = context;

	(void)stat;
	byte_buf_append(&names->buf, name, strlen(name) + 1);
	names->n++;
	return 0;
}

static void check_removal(const struct remote_abilities *abilities)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf keep = { 0 };
	struct names names = { 0 };
	char name[REMOTE_NAME_BYTES_MAX + 1];
	struct remote_stat stat;
	const char *at;

	named(name, "small/one");
	if (!abilities->deletes) {
		begin("what is append-only deletes nothing");
		EXPECT(remote_remove(remote, name), -EPERM);
		EXPECT(remote_head(remote, name, &stat), 0);
		return;
	}
	begin("what is removed is gone, and may be removed again");
	EXPECT(remote_remove(remote, name), 0);
	EXPECT(remote_head(remote, name, &stat), -ENOENT);
	EXPECT(remote_remove(remote, name), 0);
	run_threads(remove_listed);
	EXPECT(remote_list(remote, base, keep_name, &names, NULL), 0);
	keep = names.buf;
	at = (const char *)keep.data;
	for (int i = 0; i < names.n; i++, at += strlen(at) + 1)
		EXPECT(remote_remove(remote, at), 0);
	CHECK(list_count("", false) == 0);
}

static void check_probe(struct remote_abilities *ret_abilities)
{
	begin("the probe finds out what the remote can do");
	EXPECT(remote_probe(remote, ret_abilities), 0);
	printf("checks_uploads=%d atomic_put=%d ranges=%d deletes=%d",
	       ret_abilities->checks_uploads, ret_abilities->atomic_put, ret_abilities->ranges,
	       ret_abilities->deletes);
	if (ret_abilities->has_clock)
		printf(" clock_skew_ms=%" PRId64, ret_abilities->clock_skew_ms);
	if (ret_abilities->free_bytes != UINT64_MAX)
		printf(" free_bytes=%" PRIu64, ret_abilities->free_bytes);
	printf("\n");
	CHECK(ret_abilities->ranges);
}

static void check_everything(void)
{
	struct remote_abilities abilities = { 0 };

	check_probe(&abilities);
	check_small_object();
	check_empty_object();
	check_ranges();
	check_file_bodies();
	check_wrong_hash(&abilities);
	check_hostile_names();
	begin("16 threads exchange objects");
	run_threads(exchange);
	check_lists();
	check_cancel();
	check_removal(&abilities);
	printf("remote_check: ok\n");
}

/* ---- measuring ---- */

static struct remote_body object;
static int n_objects;

static void object_name(char *to, int number)
{
	char rest[32];

	(void)snprintf(rest, sizeof(rest), "rate/%d", number);
	(void)named(to, rest);
}

static void *put_objects(void *context)
{
	char name[REMOTE_NAME_BYTES_MAX + 1];
	int number;

	(void)context;
	while ((number = next_number++) < n_objects) {
		object_name(name, number);
		if (remote_put(remote, name, &object, NULL) < 0)
			went_wrong = true;
	}
	return NULL;
}

static void *get_objects(void *context)
{
	CLEANUP(free_ptr) uint8_t *back = malloc(OBJECT_BYTES);
	char name[REMOTE_NAME_BYTES_MAX + 1];
	int number;

	(void)context;
	while ((number = next_number++) < n_objects) {
		object_name(name, number);
		if (remote_get(remote, name, 0, back, OBJECT_BYTES, NULL) != (int64_t)OBJECT_BYTES)
			went_wrong = true;
	}
	return NULL;
}

static double measure(void *(*work)(void *), int n_threads)
{
	pthread_t threads[64];
	const int64_t began = now_ms();

	next_number = 0;
	for (int i = 0; i < n_threads; i++)
		CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (int i = 0; i < n_threads; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(!went_wrong);
	return (double)n_objects * (double)OBJECT_BYTES / 1048576 * 1000 /
	       (double)(now_ms() - began);
}

static void measure_rates(int n_threads, int mib, bool gets)
{
	CLEANUP(free_ptr) uint8_t *data = random_bytes(OBJECT_BYTES);
	char name[REMOTE_NAME_BYTES_MAX + 1];

	claim = "measuring";
	CHECK(n_threads >= 1 && n_threads <= 64);
	object = body_of(data, OBJECT_BYTES);
	n_objects = mib / 16;
	printf("put %d %.0f MiB/s\n", n_threads, measure(put_objects, n_threads));
	if (gets)
		printf("get %d %.0f MiB/s\n", n_threads, measure(get_objects, n_threads));
	for (int i = 0; i < n_objects; i++) {
		object_name(name, i);
		EXPECT(remote_remove(remote, name), 0);
	}
}

int main(int argc, char **argv)
{
	const struct remote_settings settings = {
		.user = getenv("REMOTE_USER"),
		.password = getenv("REMOTE_PASSWORD"),
		.key_file = getenv("REMOTE_KEY_FILE"),
		.known_hosts = getenv("REMOTE_KNOWN_HOSTS"),
		.access_key = getenv("REMOTE_ACCESS_KEY"),
		.secret_key = getenv("REMOTE_SECRET_KEY"),
		.session_token = getenv("REMOTE_SESSION_TOKEN"),
		.region = getenv("REMOTE_REGION"),
		.virtual_host = getenv("REMOTE_VIRTUAL_HOST") != NULL,
		.ca_file = getenv("REMOTE_CA"),
		.append_only = getenv("REMOTE_APPEND_ONLY") != NULL,
	};
	const char *stall = getenv("REMOTE_STALL_MS");
	const struct transfer_options options = { .stall_ms = stall ? (uint32_t)atoi(stall) : 0 };
	const bool rates = argc >= 5 && strcmp(argv[2], "put-rate") == 0;
	char *wrong = NULL;
	uint8_t number[8];
	char hex[17];

	if (argc != 2 && !rates) {
		fprintf(stderr, "usage: remote_check URL [put-rate THREADS MIB [get]]\n");
		return 2;
	}
	log_set_level(getenv("REMOTE_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	EXPECT(crypto_init(), 0);
	crypto_random(number, sizeof(number));
	(void)snprintf(base, sizeof(base), "check/%s/", bytes_to_hex(number, 8, hex));
	EXPECT(transfer_new(&options, &engine), 0);
	if (remote_open(argv[1], &settings, engine, &remote, &wrong) < 0) {
		fprintf(stderr, "remote_check: %s: %s\n", argv[1], wrong ? wrong : "no memory");
		return 1;
	}
	if (rates)
		measure_rates(atoi(argv[3]), atoi(argv[4]), argc > 5);
	else
		check_everything();
	remote_free(remote);
	transfer_free(engine);
	free(wrong);
	return 0;
}
