/* SPDX-License-Identifier: MIT */
#include "tools/drop_in.h"

#include "tools/config_text.h"
#include "tools/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define HEADER "# Written by 'yore protect' and 'yore unprotect'; see yore.conf(5).\n"

static int read_text(struct drop_in *d)
{
	CLEANUP(close_fd_ptr) int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0 && errno == ENOENT) {
		byte_buf_append(&d->text, HEADER, strlen(HEADER));
		return d->text.failed ? -ENOMEM : 0;
	}
	if (fd < 0)
		return -errno;
	do {
		uint8_t *to = byte_buf_reserve(&d->text, 4096);

		if (!to)
			return -ENOMEM;
		n = read(fd, to, 4096);
		if (n < 0 && errno != EINTR)
			return -errno;
		d->text.n += n > 0 ? (size_t)n : 0;
		if (d->text.n > CONFIG_BYTES_TEXT_MAX)
			return -EFBIG;
	} while (n != 0);
	return 0;
}

int drop_in_open(struct drop_in *d, const char *folder, const char *path)
{
	int r;

	*d = (struct drop_in){ .path = path, .folder_fd = -1 };
	r = folder_make_all(folder, 0755);
	if (r < 0)
		return r;
	d->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->folder_fd < 0)
		return -errno;
	do {
		r = flock(d->folder_fd, LOCK_EX);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : read_text(d);
}

void drop_in_close(struct drop_in *d)
{
	close_fd_ptr(&d->folder_fd);
	d->folder_fd = -1;
	byte_buf_done(&d->text);
}

/* ---- taking a section away ---- */

struct removal {
	const char *name;
	unsigned int first; /* line of the section that is being left out; 0: none */
	bool found;
	const struct byte_buf *from;
	struct byte_buf *to;
	unsigned int copied; /* lines before this one are dealt with */
	size_t offset;       /* where that line begins */
};

/* Where the line begins, from the one that is known. */
static size_t line_offset(const struct removal *m, unsigned int line)
{
	const char *text = (const char *)m->from->data;
	size_t at = m->offset;

	for (unsigned int i = m->copied; i < line && at < m->from->n; i++) {
		const char *end = memchr(text + at, '\n', m->from->n - at);

		at = end ? (size_t)(end - text) + 1 : m->from->n;
	}
	return at;
}

/* Comments right above a section belong to it: where they begin. */
static size_t before_comments(const struct removal *m, size_t at)
{
	const char *text = (const char *)m->from->data;

	while (at > m->offset) {
		size_t begin = at - 1;

		while (begin > m->offset && text[begin - 1] != '\n')
			begin--;
		if (text[begin] != '#' && text[begin] != ';')
			break;
		at = begin;
	}
	return at;
}

static void deal_with(struct removal *m, unsigned int line, size_t offset, bool keep)
{
	if (keep)
		byte_buf_append(m->to, m->from->data + m->offset, offset - m->offset);
	m->offset = offset;
	m->copied = line;
}

static int remove_section(void *context, const char *section, const char *name, unsigned int line)
{
	struct removal *m = context;
	size_t at = line_offset(m, line);

	if (m->first) {
		size_t comments = before_comments(m, at);

		m->offset = comments;
		m->first = 0;
		deal_with(m, line, at, true);
	} else {
		deal_with(m, line, at, true);
	}
	if (strcmp(section, "source") == 0 && strcmp(name, m->name) == 0) {
		m->first = line;
		m->found = true;
	}
	return m->to->failed ? -ENOMEM : 0;
}

static int ignore_setting(void *context, const char *key, const char *value, unsigned int line)
{
	(void)context;
	(void)key;
	(void)value;
	(void)line;
	return 0;
}

static int ignore_wrong(void *context, const char *what, unsigned int line)
{
	(void)context;
	(void)what;
	(void)line;
	return 0;
}

int drop_in_remove(struct drop_in *d, const char *name)
{
	static const struct config_text_handlers handlers = { .section = remove_section,
							      .setting = ignore_setting,
							      .wrong = ignore_wrong };
	CLEANUP(byte_buf_done_ptr) struct byte_buf to = { 0 };
	struct removal m = { .name = name, .from = &d->text, .to = &to, .copied = 1 };
	int r = config_text_parse((const char *)d->text.data, d->text.n, &handlers, &m);

	if (r < 0)
		return r;
	if (!m.found)
		return 0;
	deal_with(&m, m.copied, d->text.n, m.first == 0);
	if (to.failed)
		return -ENOMEM;
	byte_buf_done(&d->text);
	d->text = to;
	to = (struct byte_buf){ 0 };
	return 1;
}

/* ---- writing ---- */

static int write_all(int fd, const uint8_t *data, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, data, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		n -= (size_t)done;
	}
	return 0;
}

static int fill(int fd, const struct byte_buf *text)
{
	int r = write_all(fd, text->data, text->n);

	if (r < 0)
		return r;
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int drop_in_write(struct drop_in *d)
{
	CLEANUP(free_ptr) char *temporary = NULL;
	CLEANUP(close_fd_ptr) int fd = -1;
	int r;

	if (d->text.failed)
		return -ENOMEM;
	/* No name that ends in ".conf": nobody reads it before it is whole. */
	if (asprintf(&temporary, "%s.XXXXXX", d->path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill(fd, &d->text);
	if (r == 0 && rename(temporary, d->path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	return fsync(d->folder_fd) < 0 ? -errno : 0;
}
