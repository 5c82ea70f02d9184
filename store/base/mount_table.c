/* SPDX-License-Identifier: MIT */
#include "store/base/mount_table.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define READ_BYTES 65536u

static bool is_octal(const char *text)
{
	return text[0] >= '0' && text[0] <= '3' && text[1] >= '0' && text[1] <= '7' &&
	       text[2] >= '0' && text[2] <= '7';
}

/* Copy the next word, blanks and backslashes no longer written as \ooo. */
static char *take_word(const char **at)
{
	const size_t n = strcspn(*at, " \n");
	const char *from = *at, *end = from + n;
	char *word = malloc(n + 1), *to = word;

	if (!word)
		return NULL;
	while (from < end) {
		if (from[0] == '\\' && end - from >= 4 && is_octal(from + 1)) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	*at = end + (*end == ' ');
	return word;
}

static void row_done(struct mount_row *row)
{
	free(row->root);
	free(row->point);
	free(row->type);
	free(row->source);
}

/* "36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/sda rw". 1 parsed, 0 malformed, -ENOMEM. */
static int parse_line(const char *line, struct mount_row *ret_row)
{
	const size_t n = strcspn(line, "\n");
	const char *dash = memmem(line, n, " - ", 3);
	unsigned int major_n, minor_n;
	struct mount_row row = { 0 };
	const char *at, *type;
	int used = 0;

	if (!dash || sscanf(line, "%u %*u %u:%u %n", &row.id, &major_n, &minor_n, &used) != 3)
		return 0;
	if (used == 0 || line + used >= dash)
		return 0;
	at = line + used;
	type = dash + 3;
	row.device = makedev(major_n, minor_n);
	row.root = take_word(&at);
	row.point = take_word(&at);
	row.type = take_word(&type);
	row.source = take_word(&type);
	if (!row.root || !row.point || !row.type || !row.source || row.point[0] != '/') {
		const int r = row.root && row.point && row.type && row.source ? 0 : -ENOMEM;

		row_done(&row);
		return r;
	}
	*ret_row = row;
	return 1;
}

int mount_table_parse(const char *text, struct mount_table *ret_table)
{
	struct mount_table t = { 0 };
	size_t room = 0;
	int r = 0;

	for (; *text && r >= 0; text += strcspn(text, "\n"), text += *text == '\n') {
		if (t.n == room) {
			struct mount_row *rows;

			room = room ? room * 2 : 32;
			rows = reallocarray(t.rows, room, sizeof(*rows));
			if (!rows) {
				r = -ENOMEM;
				break;
			}
			t.rows = rows;
		}
		r = parse_line(text, &t.rows[t.n]);
		if (r > 0)
			t.n++;
	}
	if (r < 0) {
		mount_table_done(&t);
		return r;
	}
	*ret_table = t;
	return 0;
}

int mount_table_load(struct mount_table *ret_table)
{
	CLEANUP(close_fd_ptr) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : mount_table_read(fd, ret_table);
}

int mount_table_read(int fd, struct mount_table *ret_table)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf text = { 0 };
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	do {
		uint8_t *to = byte_buf_reserve(&text, READ_BYTES);

		if (!to)
			return -ENOMEM;
		n = read(fd, to, READ_BYTES);
		if (n < 0)
			return -errno;
		text.n += (size_t)n;
	} while (n > 0);
	byte_buf_u8(&text, 0);
	return text.failed ? -ENOMEM : mount_table_parse((const char *)text.data, ret_table);
}

void mount_table_done(struct mount_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		row_done(&t->rows[i]);
	free(t->rows);
	*t = (struct mount_table){ 0 };
}

const struct mount_row *mount_table_find(const struct mount_table *t, unsigned int id)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].id == id)
			return &t->rows[i];
	return NULL;
}

const struct mount_row *mount_table_top(const struct mount_table *t, const char *point)
{
	for (size_t i = t->n; i > 0; i--)
		if (strcmp(t->rows[i - 1].point, point) == 0)
			return &t->rows[i - 1];
	return NULL;
}
