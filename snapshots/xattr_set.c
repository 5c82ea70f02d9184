/* SPDX-License-Identifier: MIT */
#include "snapshots/xattr_set.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define LIST_FIRST_TRY 1024
#define LIST_MAX 65536 /* the kernel's own limits: XATTR_LIST_MAX, XATTR_SIZE_MAX, ... */
#define VALUE_MAX 65536
#define NAME_MAX_BYTES 255
#define OWN_PREFIX "user.yore."

/* The object whose attributes are read. */
struct subject {
	int fd;
	const char *path;
	bool follow;
};

static ssize_t list_names(const struct subject *s, char *to, size_t n)
{
	ssize_t r;

	if (s->fd >= 0)
		r = flistxattr(s->fd, to, n);
	else
		r = s->follow ? listxattr(s->path, to, n) : llistxattr(s->path, to, n);
	return r < 0 ? -errno : r;
}

static ssize_t get_value(const struct subject *s, const char *name, void *to, size_t n)
{
	ssize_t r;

	if (s->fd >= 0)
		r = fgetxattr(s->fd, name, to, n);
	else
		r = s->follow ? getxattr(s->path, name, to, n) : lgetxattr(s->path, name, to, n);
	return r < 0 ? -errno : r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Cut the list into names worth keeping. Returns their number, or -EUCLEAN. */
static int split_names(char *list, size_t n, const char **names)
{
	int count = 0;

	for (size_t at = 0; at < n;) {
		const size_t name_n = strnlen(list + at, n - at);

		if (name_n == n - at)
			return -EUCLEAN;
		if (name_n > 0 && name_n <= NAME_MAX_BYTES &&
		    strncmp(list + at, OWN_PREFIX, strlen(OWN_PREFIX)) != 0)
			names[count++] = list + at;
		at += name_n + 1;
	}
	return count;
}

/* Append one pair. Returns 0; 1 when it could not be read; -errno. */
static int append_pair(const struct subject *s, const char *name, uint8_t *scratch,
		       struct byte_buf *to)
{
	const ssize_t n = get_value(s, name, scratch, VALUE_MAX);

	if (n == -ENODATA)
		return 0; /* removed since it was listed */
	if (n == -EACCES || n == -EPERM || n == -ENOTSUP || n == -EIO || n == -ERANGE)
		return 1;
	if (n < 0)
		return (int)n;
	byte_buf_blob(to, name, strlen(name) + 1);
	byte_buf_blob(to, scratch, (size_t)n);
	return to->failed ? -ENOMEM : 0;
}

static int read_values(const struct subject *s, char *list, size_t list_n, struct byte_buf *to)
{
	CLEANUP(free_ptr) const char **names = NULL;
	CLEANUP(free_ptr) uint8_t *scratch = NULL;
	const size_t start = to->n;
	int unreadable = 0;
	int count;

	/* A name takes two bytes at least. */
	names = malloc((list_n / 2 + 1) * sizeof(*names));
	scratch = malloc(VALUE_MAX);
	if (!names || !scratch)
		return -ENOMEM;
	count = split_names(list, list_n, names);
	if (count < 0)
		return count;
	qsort(names, (size_t)count, sizeof(*names), compare_names);
	for (int i = 0; i < count; i++) {
		int r = 0;

		if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
			r = append_pair(s, names[i], scratch, to);
		if (r == 0 && to->n - start > XATTR_BYTES_MAX)
			r = -E2BIG;
		if (r < 0) {
			to->n = start;
			return r;
		}
		unreadable |= r;
	}
	return unreadable;
}

int xattr_set_read(int fd, const char *path, bool follow, struct byte_buf *to)
{
	const struct subject s = { .fd = fd, .path = path, .follow = follow };
	CLEANUP(free_ptr) char *large = NULL;
	char few[LIST_FIRST_TRY];
	ssize_t n;

	assert(fd >= 0 || path);
	n = list_names(&s, few, sizeof(few));
	if (n == -ERANGE) {
		large = malloc(LIST_MAX);
		if (!large)
			return -ENOMEM;
		n = list_names(&s, large, LIST_MAX);
	}
	if (n == -ENOTSUP || n == -ENODATA)
		return 0;
	if (n <= 0)
		return (int)n;
	return read_values(&s, large ? large : few, (size_t)n, to);
}

int xattr_set_next(const uint8_t *set, size_t n, size_t *position, const char **ret_name,
		   const uint8_t **ret_value, size_t *ret_value_n)
{
	struct byte_reader r;
	const uint8_t *name, *value;
	size_t name_n, value_n;

	if (*position >= n)
		return *position == n ? 0 : -EUCLEAN;
	r = byte_reader_make(set + *position, n - *position);
	name = byte_reader_blob(&r, NAME_MAX_BYTES + 1, &name_n);
	value = byte_reader_blob(&r, VALUE_MAX, &value_n);
	if (r.bad || name_n < 2 || memchr(name, '\0', name_n) != name + name_n - 1)
		return -EUCLEAN;
	*position = n - byte_reader_left(&r);
	*ret_name = (const char *)name;
	*ret_value = value;
	*ret_value_n = value_n;
	return 1;
}

int xattr_set_find(const uint8_t *set, size_t n, const char *name, const uint8_t **ret_value,
		   size_t *ret_value_n)
{
	size_t position = 0, value_n;
	const uint8_t *value;
	const char *here;
	int r;

	while ((r = xattr_set_next(set, n, &position, &here, &value, &value_n)) > 0) {
		if (strcmp(here, name) != 0)
			continue;
		*ret_value = value;
		*ret_value_n = value_n;
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

int xattr_set_check(const uint8_t *set, size_t n)
{
	const char *name, *last = NULL;
	size_t position = 0, value_n;
	const uint8_t *value;
	int r;

	if (n > XATTR_BYTES_MAX)
		return -EUCLEAN;
	while ((r = xattr_set_next(set, n, &position, &name, &value, &value_n)) > 0) {
		if (last && strcmp(last, name) >= 0)
			return -EUCLEAN;
		last = name;
	}
	return r;
}
