/* SPDX-License-Identifier: MIT */
#include "snapshots/link_set.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct link {
	dev_t device;
	uint64_t ino;
};

struct link_set {
	struct link *links; /* ascending once collected */
	size_t n, room;
};

static int order_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int add_link(struct link_set *s, const struct stat *st)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct link *grown = reallocarray(s->links, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->links = grown;
		s->room = room;
	}
	s->links[s->n++] = (struct link){ .device = st->st_dev, .ino = st->st_ino };
	return 0;
}

/* The name that `path` ends with, and what is below it. As deep as paths are: the dirty set
 * holds none that is longer than the kernel's. */
static int collect(struct link_set *s, struct byte_buf *path, const struct dirty_name *d)
{
	size_t n = path->n;
	struct stat st;
	int r = 0;

	if (d->flags & DIRTY_CLOSED) {
		byte_buf_u8(path, '\0');
		if (path->failed)
			return -ENOMEM;
		if (lstat((const char *)path->data, &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_nlink > 1)
			r = add_link(s, &st);
		path->n = n;
	}
	for (size_t i = 0; r == 0 && i < d->n_children; i++) {
		const char *name = d->children[i].name;

		byte_buf_u8(path, '/');
		byte_buf_append(path, name, strlen(name));
		r = path->failed ? -ENOMEM : collect(s, path, &d->children[i]);
		path->n = n;
	}
	return r;
}

int link_set_collect(const char *path, const struct dirty_name *root, struct link_set **ret_set)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf at = { 0 };
	CLEANUP(link_set_free_ptr) struct link_set *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	byte_buf_append(&at, path, strlen(path));
	r = at.failed ? -ENOMEM : collect(s, &at, root);
	if (r < 0)
		return r;
	if (s->n > 0)
		qsort(s->links, s->n, sizeof(*s->links), order_links);
	*ret_set = s->n > 0 ? STEAL(s) : NULL;
	return 0;
}

bool link_set_has(const struct link_set *s, dev_t device, uint64_t ino)
{
	const struct link wanted = { .device = device, .ino = ino };

	return bsearch(&wanted, s->links, s->n, sizeof(wanted), order_links) != NULL;
}

void link_set_free(struct link_set *s)
{
	if (!s)
		return;
	free(s->links);
	free(s);
}
