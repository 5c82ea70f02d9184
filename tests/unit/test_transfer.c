/* SPDX-License-Identifier: MIT */
#include "sync/transfer.h"

#include "store/base/log.h"
#include "tests/unit/http_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#define STALL_MS 300
#define BIG_BYTES (3u * 1024 * 1024)
#define N_PARALLEL 16

static struct http_server server;
static struct transfer *engine;
static struct transfer *impatient; /* ends what stalls for STALL_MS */
static uint8_t *big;               /* what every body is cut from */
static _Atomic int n_together, n_together_most;

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static bool drip(int fd)
{
	http_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	for (int i = 0; i < 40 && !server.stop; i++) {
		http_send(fd, big, 10);
		(void)usleep(10000);
	}
	return false;
}

static bool endless_headers(int fd)
{
	http_say(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 3000; i++)
		http_say(fd, "X-More: 0123456789012345678901234567890123456789\r\n");
	http_say(fd, "\r\n");
	return false;
}

static bool together(int fd)
{
	const int n = ++n_together;
	int most = n_together_most;

	while (n > most && !atomic_compare_exchange_weak(&n_together_most, &most, n))
		continue;
	/* Wait for the others, but not for ever. */
	for (int i = 0; i < 200 && n_together_most < N_PARALLEL && !server.stop; i++)
		(void)usleep(10000);
	n_together--;
	return http_reply(fd, 200, "", "x", 1);
}

static bool parrot(int fd, const struct http_seen *seen)
{
	char value[512];
	char more[1024];

	(void)snprintf(more, sizeof(more),
		       "X-Method: %s\r\nETag: \"abc\"\r\nDate: Thu, 01 Jan 2026 00:00:10 GMT\r\n"
		       "Last-Modified: Thu, 01 Jan 2026 00:00:05 GMT\r\n",
		       http_header(seen, "Authorization", value));
	return http_reply(fd, 200, more, seen->body, seen->body_n);
}

static bool answer_wrongly(int fd, const struct http_seen *seen)
{
	const char *target = seen->target;

	if (strcmp(target, "/short") == 0) {
		http_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		http_send(fd, big, 500);
		return false;
	}
	if (strcmp(target, "/stall") == 0) {
		http_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		http_send(fd, big, 500);
		return http_hang(&server, fd);
	}
	if (strcmp(target, "/silent") == 0)
		return http_hang(&server, fd);
	if (strcmp(target, "/drip") == 0)
		return drip(fd);
	if (strcmp(target, "/headers") == 0)
		return endless_headers(fd);
	if (strcmp(target, "/reset") == 0)
		return http_reset(fd);
	http_say(fd, "hello, this is no HTTP at all\r\n\r\n");
	return false;
}

static bool answer_status(int fd, const char *target)
{
	const int status = atoi(target + 8);

	if (status == 302)
		return http_reply(fd, 302, "Location: /big\r\n", "", 0);
	return http_reply(fd, status, "Retry-After: 7\r\n", big, BIG_BYTES);
}

static bool answer(struct http_server *s, int fd, const struct http_seen *seen)
{
	char value[512];
	uint64_t first, last;
	char more[128];

	(void)s;
	if (strncmp(seen->target, "/status/", 8) == 0)
		return answer_status(fd, seen->target);
	if (strcmp(seen->target, "/parrot") == 0)
		return parrot(fd, seen);
	if (strcmp(seen->target, "/together") == 0)
		return together(fd);
	if (strcmp(seen->target, "/early") == 0) {
		(void)http_reply(fd, 403, "Connection: close\r\n", "no", 2);
		return http_hang(s, fd);
	}
	if (strcmp(seen->target, "/big") != 0)
		return answer_wrongly(fd, seen);
	if (sscanf(http_header(seen, "Range", value), "bytes=%lu-%lu", &first, &last) != 2)
		return http_reply(fd, 200, "", big, BIG_BYTES);
	(void)snprintf(more, sizeof(more), "Content-Range: bytes %lu-%lu/%u\r\n", first, last,
		       BIG_BYTES);
	return http_reply(fd, 206, more, big + first, last - first + 1);
}

static int set_up(void **state)
{
	const struct transfer_options options = { .stall_ms = STALL_MS, .connect_ms = 2000 };

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	big = malloc(BIG_BYTES);
	for (uint32_t i = 0; i < BIG_BYTES; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	http_server_start(&server, answer, NULL);
	if (transfer_new(&options, &impatient) < 0)
		return -1;
	return transfer_new(NULL, &engine);
}

static int tear_down(void **state)
{
	(void)state;
	transfer_free(engine);
	transfer_free(impatient);
	http_server_stop(&server);
	free(big);
	return 0;
}

struct call {
	struct transfer_request request;
	struct transfer_answer answer;
	struct transfer *engine;
	char url[128];
	int r;
};

static void prepare(struct call *c, const char *method, const char *path)
{
	memset(c, 0, sizeof(*c));
	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u%s", server.port, path);
	c->engine = engine;
	c->request.url = c->url;
	c->request.method = method;
}

static int run(struct call *c)
{
	c->r = transfer_run(c->engine, &c->request, &c->answer);
	return c->r;
}

static void done(struct call *c)
{
	if (c->r == 0)
		transfer_answer_done(&c->answer);
}

static void *run_call(void *context)
{
	(void)run(context);
	return NULL;
}

/* Run GET of a path that can only go wrong. */
static int get_error(const char *path)
{
	struct call c;

	prepare(&c, "GET", path);
	(void)run(&c);
	done(&c);
	return c.r;
}

static void test_a_body_arrives_whole_and_with_its_facts(void **state)
{
	static const uint8_t text[] = "what is sent comes back";
	const struct remote_body body = { .data = text, .size = sizeof(text) };
	struct call c;

	(void)state;
	prepare(&c, "PUT", "/parrot");
	c.request.body = &body;
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.status, 200);
	assert_int_equal(c.answer.n, sizeof(text));
	assert_int_equal(c.answer.data_n, sizeof(text));
	assert_memory_equal(c.answer.data, text, sizeof(text));
	assert_int_equal(c.answer.content_length, sizeof(text));
	assert_int_equal(c.answer.sent_bytes, sizeof(text));
	assert_string_equal(c.answer.etag, "\"abc\"");
	assert_int_equal(c.answer.date_s - c.answer.modified_s, 5);
	assert_true(c.answer.range_offset == UINT64_MAX);
	done(&c);
}

static void test_a_file_of_the_repository_is_sent_through_the_seam(void **state)
{
	char folder[] = "/tmp/transfer-XXXXXX";
	CLEANUP(io_free_ptr) struct io *io = NULL;
	struct remote_body body = { .size = BIG_BYTES };
	CLEANUP(free_ptr) uint8_t *back = malloc(BIG_BYTES);
	struct call c;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(io_posix_open(folder, &io), 0);
	body.io = io;
	body.fd = io_open(io, "pack", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_PACK);
	assert_true(body.fd >= 0);
	assert_int_equal(io_pwrite(io, body.fd, big, BIG_BYTES, 0, IO_OBJECT_PACK), 0);
	prepare(&c, "PUT", "/parrot");
	c.request.body = &body;
	c.request.to = back;
	c.request.room = BIG_BYTES;
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.n, BIG_BYTES);
	assert_null(c.answer.data);
	assert_memory_equal(back, big, BIG_BYTES);
	done(&c);

	/* One that is shorter than its body says is found out, and not padded. */
	body.size = BIG_BYTES + 1;
	assert_int_equal(run(&c), -EIO);
	io_close(io, body.fd);
	assert_int_equal(io_unlink(io, "pack", IO_OBJECT_PACK), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void test_a_range_says_where_it_lies(void **state)
{
	uint8_t to[1000];
	struct call c;

	(void)state;
	prepare(&c, "GET", "/big");
	c.request.range_offset = 12345;
	c.request.range_n = sizeof(to);
	c.request.to = to;
	c.request.room = sizeof(to);
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.status, 206);
	assert_int_equal(c.answer.n, sizeof(to));
	assert_int_equal(c.answer.range_offset, 12345);
	assert_int_equal(c.answer.range_total, BIG_BYTES);
	assert_memory_equal(to, big + 12345, sizeof(to));
	done(&c);
}

static void test_bodies_that_are_not_as_declared_are_refused(void **state)
{
	uint8_t to[100];
	struct call c;

	(void)state;
	assert_int_equal(get_error("/short"), -EBADMSG);
	assert_int_equal(get_error("/big"), -EBADMSG); /* more than is collected */
	prepare(&c, "GET", "/big");
	c.request.to = to;
	c.request.room = sizeof(to);
	assert_int_equal(run(&c), -EBADMSG);
}

static void test_an_error_is_an_answer_and_its_body_is_cut(void **state)
{
	uint8_t to[100] = { 0 };
	struct call c;

	(void)state;
	prepare(&c, "GET", "/status/503");
	c.request.to = to;
	c.request.room = sizeof(to);
	c.request.collect_max = 5000;
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.status, 503);
	assert_int_equal(c.answer.retry_after_s, 7);
	assert_int_equal(transfer_status_error(c.answer.status), -EAGAIN);
	assert_int_equal(c.answer.data_n, 5000);
	assert_memory_equal(c.answer.data, big, 5000);
	assert_int_equal(to[0], 0);
	done(&c);
	prepare(&c, "GET", "/status/302");
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.status, 302); /* not followed */
	assert_int_equal(transfer_status_error(302), -EPROTO);
	done(&c);
	assert_int_equal(transfer_status_error(204), 0);
	assert_int_equal(transfer_status_error(429), -EAGAIN);
	assert_int_equal(transfer_status_error(404), -ENOENT);
	assert_int_equal(transfer_status_error(507), -ENOSPC);
	assert_int_equal(transfer_status_error(500), -EREMOTEIO);
}

static void test_an_upload_that_is_refused_early_ends_with_that_answer(void **state)
{
	const struct remote_body body = { .data = big, .size = BIG_BYTES };
	struct call c;

	(void)state;
	prepare(&c, "PUT", "/early");
	c.request.body = &body;
	assert_int_equal(run(&c), 0);
	assert_int_equal(c.answer.status, 403);
	assert_true(c.answer.sent_bytes < BIG_BYTES);
	done(&c);
}

static void test_what_stalls_or_drips_is_ended_in_time(void **state)
{
	static const char *const paths[] = { "/stall", "/silent", "/drip" };
	const int64_t began = now_ms();
	struct call calls[3];
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		prepare(&calls[i], "GET", paths[i]);
		calls[i].engine = impatient;
		assert_int_equal(pthread_create(&threads[i], NULL, run_call, &calls[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(calls[i].r, -ETIMEDOUT);
		assert_in_range(now_ms() - began, STALL_MS - 20, STALL_MS + 1000);
	}
}

static void test_broken_connections_and_nonsense_are_told_apart(void **state)
{
	struct call c;

	(void)state;
	assert_int_equal(get_error("/reset"), -ETIMEDOUT);
	assert_int_equal(get_error("/nonsense"), -EPROTO);
	assert_int_equal(get_error("/headers"), -EPROTO);
	prepare(&c, "GET", "/");
	c.request.url = "http://127.0.0.1:1/"; /* nobody listens */
	assert_int_equal(run(&c), -ETIMEDOUT);
	c.request.url = "ftp://127.0.0.1/x";
	assert_int_equal(run(&c), -EINVAL);
	c.request.url = "file:///etc/passwd";
	assert_int_equal(run(&c), -EINVAL);
	c.request.url = "http://me:secret@127.0.0.1/";
	assert_int_equal(run(&c), -EPERM);
}

static void no_line(enum log_level level, const char *line)
{
	(void)level;
	assert_null(strstr(line, "open sesame"));
}

static void test_a_password_goes_out_in_clear_only_on_the_loopback(void **state)
{
	const struct transfer_server who = { .user = "me", .password = "open sesame" };
	struct call c;

	(void)state;
	log_set_sink(no_line);
	prepare(&c, "GET", "/parrot");
	c.request.server = &who;
	assert_int_equal(run(&c), 0);
	done(&c);
	c.request.url = "http://192.0.2.1/x";
	assert_int_equal(run(&c), -EPERM);
	c.request.url = "http://127.0.0.1.example.org/x";
	assert_int_equal(run(&c), -EPERM);
	log_set_sink(NULL);
}

static void test_a_request_is_cancelled_while_it_waits(void **state)
{
	volatile bool cancel = false;
	struct call c;
	pthread_t thread;
	int64_t began;

	(void)state;
	prepare(&c, "GET", "/silent");
	c.request.cancel = &cancel;
	assert_int_equal(pthread_create(&thread, NULL, run_call, &c), 0);
	(void)usleep(20000);
	began = now_ms();
	__atomic_store_n(&cancel, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.r, -ECANCELED);
	assert_in_range(now_ms() - began, 0, 2000);
}

static void test_sixteen_run_at_once_on_sixteen_connections(void **state)
{
	struct call calls[N_PARALLEL];
	pthread_t threads[N_PARALLEL];
	int before;

	(void)state;
	for (int round = 0; round < 2; round++) {
		before = server.n_connections;
		for (int i = 0; i < N_PARALLEL; i++) {
			prepare(&calls[i], "GET", "/together");
			assert_int_equal(pthread_create(&threads[i], NULL, run_call, &calls[i]), 0);
		}
		for (int i = 0; i < N_PARALLEL; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			assert_int_equal(calls[i].r, 0);
			done(&calls[i]);
		}
	}
	assert_int_equal(server.n_connections, before); /* the second time they are there */
	assert_int_equal(n_together_most, N_PARALLEL);
}

/* Several uploads at once share a limit, whose rate is kept within a quarter. */
static void test_a_rate_holds_over_all_requests(void **state)
{
	const struct remote_body body = { .data = big, .size = 100 * 1024 };
	struct call calls[4];
	pthread_t threads[4];
	struct transfer_stats before, after;
	struct rusage used[2];
	int64_t began, took;

	(void)state;
	transfer_stats(engine, &before);
	transfer_limit(engine, 1600 * 1024, 0);
	(void)getrusage(RUSAGE_SELF, &used[0]);
	began = now_ms();
	for (int i = 0; i < 4; i++) {
		prepare(&calls[i], "PUT", "/parrot");
		calls[i].request.body = &body;
		assert_int_equal(pthread_create(&threads[i], NULL, run_call, &calls[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(calls[i].r, 0);
		done(&calls[i]);
	}
	took = now_ms() - began;
	(void)getrusage(RUSAGE_SELF, &used[1]);
	transfer_limit(engine, 0, 0);
	transfer_stats(engine, &after);
	assert_int_equal(after.sent_bytes - before.sent_bytes, 4 * body.size);
	assert_int_equal(after.requests - before.requests, 4);
	/* 400 KiB at 1,600 KiB/s: a quarter of a second, but for a tenth that goes at once. */
	assert_in_range(took, 140, 1500);
	/* And waiting costs no processor time. */
	assert_in_range((used[1].ru_utime.tv_sec - used[0].ru_utime.tv_sec) * 1000000 +
				used[1].ru_utime.tv_usec - used[0].ru_utime.tv_usec,
			0, 100000);
}

static void test_a_download_is_limited_as_well(void **state)
{
	CLEANUP(free_ptr) uint8_t *to = malloc(BIG_BYTES);
	struct call c;
	int64_t began;

	(void)state;
	transfer_limit(engine, 0, 4 * BIG_BYTES);
	prepare(&c, "GET", "/big");
	c.request.to = to;
	c.request.room = BIG_BYTES;
	began = now_ms();
	assert_int_equal(run(&c), 0);
	assert_in_range(now_ms() - began, 150, 1500); /* a quarter of a second */
	assert_memory_equal(to, big, BIG_BYTES);
	transfer_limit(engine, 0, 0);
	done(&c);
}

static void test_a_pause_holds_and_is_no_stall(void **state)
{
	struct call c;
	pthread_t thread;
	struct transfer_stats stats;

	(void)state;
	transfer_pause(impatient, true);
	prepare(&c, "GET", "/parrot");
	c.engine = impatient;
	assert_int_equal(pthread_create(&thread, NULL, run_call, &c), 0);
	(void)usleep((STALL_MS + 150) * 1000);
	transfer_stats(impatient, &stats);
	assert_int_equal(stats.running, 1);
	transfer_pause(impatient, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.r, 0);
	done(&c);
}

static void test_freeing_the_engine_ends_what_runs(void **state)
{
	struct transfer *own = NULL;
	struct call c;
	pthread_t thread;

	(void)state;
	assert_int_equal(transfer_new(NULL, &own), 0);
	prepare(&c, "GET", "/silent");
	c.engine = own;
	assert_int_equal(pthread_create(&thread, NULL, run_call, &c), 0);
	(void)usleep(50000);
	transfer_free(own);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.r, -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_body_arrives_whole_and_with_its_facts),
		cmocka_unit_test(test_a_file_of_the_repository_is_sent_through_the_seam),
		cmocka_unit_test(test_a_range_says_where_it_lies),
		cmocka_unit_test(test_bodies_that_are_not_as_declared_are_refused),
		cmocka_unit_test(test_an_error_is_an_answer_and_its_body_is_cut),
		cmocka_unit_test(test_an_upload_that_is_refused_early_ends_with_that_answer),
		cmocka_unit_test(test_what_stalls_or_drips_is_ended_in_time),
		cmocka_unit_test(test_broken_connections_and_nonsense_are_told_apart),
		cmocka_unit_test(test_a_password_goes_out_in_clear_only_on_the_loopback),
		cmocka_unit_test(test_a_request_is_cancelled_while_it_waits),
		cmocka_unit_test(test_sixteen_run_at_once_on_sixteen_connections),
		cmocka_unit_test(test_a_rate_holds_over_all_requests),
		cmocka_unit_test(test_a_download_is_limited_as_well),
		cmocka_unit_test(test_a_pause_holds_and_is_no_stall),
		cmocka_unit_test(test_freeing_the_engine_ends_what_runs),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
