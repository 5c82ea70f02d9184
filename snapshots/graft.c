/* SPDX-License-Identifier: MIT */
#include "snapshots/graft.h"

#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A folder on the way: its entry as bytes, and where its name lies in the path. */
struct spine {
	struct byte_buf entry;
	const char *name;
	uint32_t name_n;
};

struct spine_path {
	struct spine *steps;
	size_t n;
};

static void spine_done(struct spine_path *p)
{
	for (size_t i = 0; i < p->n; i++)
		byte_buf_done(&p->steps[i].entry);
	free(p->steps);
}

static size_t count_components(const char *path)
{
	size_t n = 0;

	for (const char *c = path; *c; c++)
		n += *c == '/' && c[1] != '\0' && c[1] != '/';
	return n;
}

/* Rewrite one folder with `entry` under a name (NULL: without that name). Its new root in
 * *ret_tree. */
static int rewrite(struct graft *g, const struct chunk_id *tree, const struct spine *step,
		   const struct tree_entry *entry, struct chunk_id *ret_tree)
{
	uint64_t count;
	int r = tree_patch_begin(g->patch, tree);

	if (r == 0 && entry)
		r = tree_patch_put(g->patch, entry, NULL);
	else if (r == 0)
		r = tree_patch_remove(g->patch, step->name, step->name_n, NULL);
	return r < 0 ? r : tree_patch_finish(g->patch, ret_tree, &count);
}

/* Find the folders from the root to the parent of the path's last name. */
static int descend(struct graft *g, const struct byte_buf *root, const char *path,
		   struct spine_path *p)
{
	CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
	struct tree_entry at;
	const char *c = path;
	size_t n = count_components(path);
	int r = tree_entry_decode(root->data, root->n, &d, &at);

	p->steps = calloc(n, sizeof(*p->steps));
	if (!p->steps)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct spine *s = &p->steps[p->n++];
		CLEANUP(free_ptr) char *here = NULL;

		r = tree_entry_encode(&s->entry, &at);
		c += strspn(c, "/");
		s->name = c;
		s->name_n = (uint32_t)strcspn(c, "/");
		c += s->name_n;
		if (r < 0 || i + 1 == n)
			break;
		if (!name_valid(s->name, s->name_n))
			return -ENAMETOOLONG;
		r = tree_reader_set(g->reader, &at.tree);
		if (r == 0)
			r = tree_reader_find(g->reader, s->name, s->name_n, &at, NULL);
		if (r != -ENOENT && r < 0)
			return r;
		if (r == 0 && S_ISDIR(at.mode))
			continue;
		here = strndup(path, (size_t)(c - path));
		r = here ? g->placeholder(g->context, here, &at) : -ENOMEM;
	}
	return r;
}

int graft_apply(struct graft *g, struct byte_buf *root, const char *path,
		const struct tree_entry *entry, bool keep)
{
	CLEANUP(spine_done) struct spine_path p = { 0 };
	CLEANUP(entry_decoder_done) struct entry_decoder d = { 0 };
	struct tree_entry folder, child;
	bool gone = !entry;
	int r;

	assert(path[0] == '/');
	if (count_components(path) == 0) { /* the root itself */
		assert(entry);
		child = *entry;
		child.name_n = 0;
		byte_buf_clear(root);
		return tree_entry_encode(root, &child);
	}
	r = descend(g, root, path, &p);
	if (r < 0)
		return r;
	for (size_t i = p.n; r == 0 && i-- > 0;) {
		struct spine *s = &p.steps[i];
		bool last = i + 1 == p.n;

		r = tree_entry_decode(s->entry.data, s->entry.n, &d, &folder);
		if (r < 0)
			return r;
		if (last && keep) {
			struct tree_entry unused;

			r = tree_reader_set(g->reader, &folder.tree);
			if (r == 0)
				r = tree_reader_find(g->reader, s->name, s->name_n, &unused, NULL);
			if (r != -ENOENT)
				return r;
		}
		if (last && entry)
			child = *entry;
		child.name = s->name;
		child.name_n = s->name_n;
		r = rewrite(g, &folder.tree, s, gone ? NULL : &child, &folder.tree);
		/* A placeholder that leads to nothing any more goes, too. */
		gone = gone && i > 0 && (folder.flags & ENTRY_PLACEHOLDER) &&
		       chunk_id_is_zero(&folder.tree);
		child = folder;
		if (r == 0 && i == 0) {
			byte_buf_clear(root);
			child.name_n = 0;
			r = tree_entry_encode(root, &child);
		}
	}
	return r;
}
