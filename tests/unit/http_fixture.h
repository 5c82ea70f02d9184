/* SPDX-License-Identifier: MIT */
/*
 * http_fixture: an HTTP server on the loopback for tests: reads each request
 * whole, a thread a connection, and lets the test answer as wrongly as it likes.
 */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HTTP_HEAD_MAX 16384
#define HTTP_CONNECTIONS_MAX 256

struct http_seen {
	char head[HTTP_HEAD_MAX]; /* request line and headers */
	char method[16];
	char target[2048];
	uint8_t *body;
	size_t body_n;
};

struct http_server;
/* Answers one request. Returns whether the connection goes on. */
typedef bool http_answerer(struct http_server *server, int fd, const struct http_seen *seen);

struct http_server {
	int listener;
	uint16_t port;
	http_answerer *answer;
	void *context;
	pthread_t thread;
	pthread_t connections[HTTP_CONNECTIONS_MAX];
	_Atomic int n_connections;
	_Atomic int n_requests;
	_Atomic bool stop;
};

struct http_connection {
	struct http_server *server;
	int fd;
};

static inline void http_send(int fd, const void *data, size_t n)
{
	while (n > 0) {
		const ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		data = (const char *)data + sent;
		n -= (size_t)sent;
	}
}

static inline void http_say(int fd, const char *text)
{
	http_send(fd, text, strlen(text));
}

/* An answer with a body; `more` are header lines, each ended by CRLF. */
static inline bool http_reply(int fd, int status, const char *more, const void *body, size_t n)
{
	char head[2048];

	(void)snprintf(head, sizeof(head), "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n",
		       status, n, more);
	http_say(fd, head);
	http_send(fd, body, n);
	return true;
}

/* End with a reset instead of a farewell. */
static inline bool http_reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	return false;
}

/* Wait until the client has gone or the server is to stop. */
static inline bool http_hang(struct http_server *server, int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char byte;

	while (!server->stop) {
		if (poll(&poll_fd, 1, 20) > 0 && recv(fd, &byte, 1, 0) <= 0)
			break;
	}
	return false;
}

/* The value of a request's header, "" when there is none. `to` holds 512. */
static inline const char *http_header(const struct http_seen *seen, const char *name, char *to)
{
	const size_t n = strlen(name);

	to[0] = '\0';
	for (const char *line = strstr(seen->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
			(void)sscanf(line + 3 + n, " %511[^\r]", to);
	return to;
}

static inline bool http_read_head(int fd, struct http_seen *seen)
{
	size_t n = 0;

	while (n < HTTP_HEAD_MAX - 1) {
		if (recv(fd, seen->head + n, 1, 0) != 1)
			return false;
		seen->head[++n] = '\0';
		if (n >= 4 && memcmp(seen->head + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	return sscanf(seen->head, "%15s %2047s", seen->method, seen->target) == 2;
}

static inline bool http_read_body(int fd, struct http_seen *seen)
{
	char value[512];

	seen->body_n = strtoul(http_header(seen, "Content-Length", value), NULL, 10);
	seen->body = malloc(seen->body_n + 1);
	if (strcmp(http_header(seen, "Expect", value), "100-continue") == 0)
		http_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	for (size_t n = 0; n < seen->body_n;) {
		const ssize_t got = recv(fd, seen->body + n, seen->body_n - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

/* A target that begins with "/early" is answered before its body is read. */
static inline bool http_serve_one(struct http_server *server, int fd)
{
	struct http_seen *seen = calloc(1, sizeof(*seen));
	bool more = http_read_head(fd, seen);

	if (more && strncmp(seen->target, "/early", 6) != 0)
		more = http_read_body(fd, seen);
	if (more) {
		atomic_fetch_add(&server->n_requests, 1);
		more = server->answer(server, fd, seen);
	}
	free(seen->body);
	free(seen);
	return more;
}

static inline void *http_serve(void *context)
{
	struct http_connection *c = context;

	while (!c->server->stop && http_serve_one(c->server, c->fd))
		continue;
	(void)shutdown(c->fd, SHUT_WR);
	(void)close(c->fd);
	free(c);
	return NULL;
}

static inline void *http_listen(void *context)
{
	struct http_server *server = context;

	while (server->n_connections < HTTP_CONNECTIONS_MAX) {
		struct http_connection *c;
		const int one = 1;
		const int fd = accept(server->listener, NULL, NULL);

		if (fd < 0)
			break;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = malloc(sizeof(*c));
		*c = (struct http_connection){ .server = server, .fd = fd };
		if (pthread_create(&server->connections[server->n_connections], NULL, http_serve,
				   c) != 0)
			abort();
		server->n_connections++;
	}
	return NULL;
}

static inline void http_server_start(struct http_server *server, http_answerer *answer,
				     void *context)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);

	memset(server, 0, sizeof(*server));
	server->answer = answer;
	server->context = context;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(server->listener, 64) < 0 ||
	    getsockname(server->listener, (struct sockaddr *)&at, &n) < 0 ||
	    pthread_create(&server->thread, NULL, http_listen, server) != 0)
		abort();
	server->port = ntohs(at.sin_port);
}

/* Clients must have closed their connections, or be about to. */
static inline void http_server_stop(struct http_server *server)
{
	server->stop = true;
	(void)shutdown(server->listener, SHUT_RDWR);
	(void)pthread_join(server->thread, NULL);
	(void)close(server->listener);
	for (int i = 0; i < server->n_connections; i++)
		(void)pthread_join(server->connections[i], NULL);
}

#endif
