/* SPDX-License-Identifier: MIT */
#include "sync/remote_url.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_BYTES_MAX 255
#define USER_BYTES_MAX 255

/* What a scheme stands for. */
struct scheme {
	const char *name;
	enum remote_kind kind;
	bool tls;
	bool has_host;
};

static const struct scheme schemes[] = {
	{ "file", REMOTE_KIND_FOLDER, false, false }, { "sftp", REMOTE_KIND_SFTP, false, true },
	{ "dav", REMOTE_KIND_WEBDAV, false, true },   { "davs", REMOTE_KIND_WEBDAV, true, true },
	{ "s3", REMOTE_KIND_S3, true, false },        { "s3+https", REMOTE_KIND_S3, true, true },
	{ "s3+http", REMOTE_KIND_S3, false, true },
};

/* What people write instead. */
static const struct {
	const char *name, *better;
} mistaken[] = {
	{ "http", "dav://host/path for WebDAV, or s3+http://host/bucket for S3" },
	{ "https", "davs://host/path for WebDAV, or s3+https://host/bucket for S3" },
	{ "webdav", "dav://host/path" },
	{ "webdavs", "davs://host/path" },
	{ "ssh", "sftp://user@host/path" },
	{ "scp", "sftp://user@host/path" },
	{ "smb", "the folder where it is mounted" },
	{ "nfs", "the folder where it is mounted" },
};

__attribute__((format(printf, 2, 3))) static int wrong(char **ret_wrong, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	*ret_wrong = n < 0 ? NULL : text;
	return -EINVAL;
}

static const struct scheme *scheme_of(const char *url, size_t n)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strlen(schemes[i].name) == n && strncasecmp(url, schemes[i].name, n) == 0)
			return &schemes[i];
	return NULL;
}

static int wrong_scheme(const char *url, size_t n, char **ret_wrong)
{
	for (size_t i = 0; i < sizeof(mistaken) / sizeof(mistaken[0]); i++)
		if (strlen(mistaken[i].name) == n && strncasecmp(url, mistaken[i].name, n) == 0)
			return wrong(ret_wrong, "%s:// is no kind of remote; write %s",
				     mistaken[i].name, mistaken[i].better);
	return wrong(ret_wrong,
		     "no known kind of remote; write /path, sftp://user@host/path, "
		     "davs://host/path, s3://bucket/prefix or s3+https://host/bucket/prefix");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decode %XX in n bytes. Returns 0; -EINVAL for a broken escape or a control
 * character (also a plain one); -ENOMEM.
 */
static int decode(const char *from, size_t n, char **ret_text)
{
	CLEANUP(free_ptr) char *text = NULL;
	size_t used = 0;

	text = malloc(n + 1);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int byte = (unsigned char)from[i];

		if (byte == '%') {
			const int high = n - i > 2 ? hex_digit(from[i + 1]) : -1;
			const int low = high >= 0 ? hex_digit(from[i + 2]) : -1;

			if (low < 0)
				return -EINVAL;
			byte = high * 16 + low;
			i += 2;
		}
		if (byte < 0x20 || byte == 0x7f)
			return -EINVAL;
		text[used++] = (char)byte;
	}
	text[used] = '\0';
	*ret_text = STEAL(text);
	return 0;
}

/* Make one slash of several, take those at the end away. Returns false for parts "." and "..". */
static bool tidy_path(char *path)
{
	size_t used = 0, part = 0;

	for (size_t i = 0; path[i]; i++) {
		if (path[i] == '/' && used > 0 && path[used - 1] == '/')
			continue;
		path[used++] = path[i];
	}
	while (used > 1 && path[used - 1] == '/')
		used--;
	path[used] = '\0';
	for (size_t i = 0; i <= used; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		if ((i - part == 1 && path[part] == '.') ||
		    (i - part == 2 && path[part] == '.' && path[part + 1] == '.'))
			return false;
		part = i + 1;
	}
	return true;
}

static int parse_user(const char *from, size_t n, const struct scheme *scheme, struct remote_url *u,
		      char **ret_wrong)
{
	if (memchr(from, ':', n)) {
		(void)wrong(ret_wrong, "a password in a URL is seen by others; leave it out and "
				       "give it in the configuration, the environment or a file");
		return -EPERM;
	}
	if (scheme->kind != REMOTE_KIND_SFTP && scheme->kind != REMOTE_KIND_WEBDAV)
		return wrong(ret_wrong,
			     "%s:// takes no user: give keys in the configuration or "
			     "the environment",
			     scheme->name);
	if (n == 0 || n > USER_BYTES_MAX)
		return wrong(ret_wrong, "the user's name before the @ is empty or too long");
	if (decode(from, n, &u->user) < 0)
		return wrong(ret_wrong, "the user's name before the @ is no text");
	/* HTTP's basic authentication ends the name at the first colon. */
	if (strchr(u->user, ':'))
		return wrong(ret_wrong, "a user's name cannot hold a colon");
	return 0;
}

static int parse_port(const char *from, size_t n, uint16_t *ret_port)
{
	unsigned int port = 0;

	if (n == 0 || n > 5)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (from[i] < '0' || from[i] > '9')
			return -EINVAL;
		port = port * 10 + (unsigned int)(from[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* Length of the host at the start of n bytes: a name, or an IPv6 address in brackets; 0: none. */
static size_t host_length(const char *from, size_t n)
{
	size_t i = 0;

	if (n > 0 && from[0] == '[') {
		for (i = 1; i < n && from[i] != ']'; i++)
			if (hex_digit(from[i]) < 0 && from[i] != ':' && from[i] != '.')
				return 0;
		return i < n && i > 2 ? i + 1 : 0;
	}
	while (i < n && from[i] != ':') {
		const char c = from[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '_' && (c != '-' || i == 0))
			return 0;
		i++;
	}
	return i <= HOST_BYTES_MAX ? i : 0;
}

static int parse_host(const char *from, size_t n, struct remote_url *u, char **ret_wrong)
{
	const size_t length = host_length(from, n);

	if (length == 0)
		return wrong(ret_wrong, "there is no host after the ://, or it is not one");
	u->host = strndup(from, length);
	if (!u->host)
		return -ENOMEM;
	for (char *c = u->host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (length == n)
		return 0;
	if (from[length] != ':' || parse_port(from + length + 1, n - length - 1, &u->port) < 0)
		return wrong(ret_wrong, "the port after the host must be a number from 1 to 65535");
	return 0;
}

/* The path, still with a slash at its beginning, decoded and tidied, becomes what the kind wants.
 */
static int place_path(struct remote_url *u, const char *scheme, char *path, char **ret_wrong)
{
	const char *start = path;

	switch (u->kind) {
	case REMOTE_KIND_FOLDER:
		break;
	case REMOTE_KIND_SFTP:
		if (path[0] == '\0')
			return wrong(ret_wrong,
				     "name the folder: sftp://%s/path, or "
				     "sftp://%s/~/path for one below the home folder",
				     u->host, u->host);
		u->from_home = path[1] == '~' && (path[2] == '/' || path[2] == '\0');
		if (u->from_home)
			start = path[2] ? path + 3 : path + 2;
		break;
	case REMOTE_KIND_S3:
		start = u->host && path[0] == '/' ? path + 1 : path;
		if (strcspn(start, "/") == 0)
			return wrong(ret_wrong, "name the bucket: %s://%s%sbucket/prefix", scheme,
				     u->host ? u->host : "", u->host ? "/" : "");
		break;
	case REMOTE_KIND_WEBDAV:
		start = path[0] == '/' ? path + 1 : path;
		break;
	}
	u->path = strdup(start);
	return u->path ? 0 : -ENOMEM;
}

static int parse_path(struct remote_url *u, const struct scheme *scheme, const char *from,
		      char **ret_wrong)
{
	CLEANUP(free_ptr) char *path = NULL;
	int r;

	if (strpbrk(from, "?#"))
		return wrong(ret_wrong, "a remote's URL has no ? or #; in a name write %%3F or "
					"%%23");
	r = decode(from, strlen(from), &path);
	if (r == -EINVAL)
		return wrong(ret_wrong, "the path holds a control character, or a %% that is not "
					"followed by two hex digits");
	if (r < 0)
		return r;
	if (!tidy_path(path))
		return wrong(ret_wrong, "the path must not hold the parts \".\" and \"..\"");
	return place_path(u, scheme->name, path, ret_wrong);
}

/* Everything behind "scheme://". */
static int parse_rest(struct remote_url *u, const struct scheme *scheme, const char *rest,
		      char **ret_wrong)
{
	const size_t n = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', n);
	const char *host = at ? at + 1 : rest;
	const size_t host_n = n - (size_t)(host - rest);
	int r;

	if (at) {
		r = parse_user(rest, (size_t)(at - rest), scheme, u, ret_wrong);
		if (r < 0)
			return r;
	}
	if (scheme->has_host) {
		r = parse_host(host, host_n, u, ret_wrong);
		return r < 0 ? r : parse_path(u, scheme, rest + n, ret_wrong);
	}
	/* What stands in the host's place is the bucket. */
	if (scheme->kind == REMOTE_KIND_S3)
		return parse_path(u, scheme, rest, ret_wrong);
	if (host_n > 0 && (host_n != 9 || strncasecmp(host, "localhost", host_n) != 0))
		return wrong(ret_wrong, "file:// reaches this machine only: write file:///path");
	if (rest[n] != '/')
		return wrong(ret_wrong, "name the folder: file:///path");
	return parse_path(u, scheme, rest + n, ret_wrong);
}

static int parse_folder(const char *path, struct remote_url *u, char **ret_wrong)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return wrong(ret_wrong, "the path holds a control character");
	while (n > 1 && path[n - 1] == '/')
		n--;
	u->kind = REMOTE_KIND_FOLDER;
	u->path = strndup(path, n);
	return u->path ? 0 : -ENOMEM;
}

static int parse(const char *url, struct remote_url *u, char **ret_wrong)
{
	const char *mark = strstr(url, "://");
	const struct scheme *scheme;
	const char *at;

	if (strlen(url) > REMOTE_URL_BYTES_MAX)
		return wrong(ret_wrong, "longer than %d bytes", REMOTE_URL_BYTES_MAX);
	if (url[0] == '/')
		return parse_folder(url, u, ret_wrong);
	if (!mark) {
		at = strchr(url, '@');
		if (at && strchr(at, ':'))
			return wrong(ret_wrong, "for SFTP write sftp://user@host/path, or "
						"sftp://user@host/~/path below the home folder");
		return wrong(ret_wrong, "a folder is named by its whole path, beginning with /; a "
					"server by a URL such as sftp://user@host/path");
	}
	scheme = scheme_of(url, (size_t)(mark - url));
	if (!scheme)
		return wrong_scheme(url, (size_t)(mark - url), ret_wrong);
	u->kind = scheme->kind;
	u->tls = scheme->tls;
	return parse_rest(u, scheme, mark + 3, ret_wrong);
}

int remote_url_parse(const char *url, struct remote_url *ret_url, char **ret_wrong)
{
	CLEANUP(remote_url_done_ptr) struct remote_url u = { 0 };
	int r;

	assert(url);
	assert(ret_url);
	assert(ret_wrong);
	*ret_wrong = NULL;
	r = parse(url, &u, ret_wrong);
	if (r < 0)
		return r;
	*ret_url = u;
	u = (struct remote_url){ 0 };
	return 0;
}

void remote_url_done(struct remote_url *u)
{
	free(u->user);
	free(u->host);
	free(u->path);
	*u = (struct remote_url){ 0 };
}

char *remote_url_encode(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._~/-";
	static const char digits[] = "0123456789ABCDEF";
	char *text, *to;

	text = malloc(strlen(path) * 3 + 1);
	if (!text)
		return NULL;
	to = text;
	for (; *path; path++) {
		const unsigned char byte = (unsigned char)*path;

		if (strchr(plain, byte)) {
			*to++ = (char)byte;
			continue;
		}
		*to++ = '%';
		*to++ = digits[byte >> 4];
		*to++ = digits[byte & 15];
	}
	*to = '\0';
	return text;
}
