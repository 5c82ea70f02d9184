/* SPDX-License-Identifier: MIT */
/*
 * memory_tree: entries and directories for tests of trees. Include after
 * memory_cache.h, in one file of a test.
 */
#ifndef TESTS_UNIT_MEMORY_TREE_H
#define TESTS_UNIT_MEMORY_TREE_H

#include "snapshots/tree_internal.h"
#include "snapshots/tree_writer.h"
#include "tests/unit/memory_cache.h"

#include <stdio.h>
#include <sys/stat.h>

static const uint8_t test_key[KEY_BYTES] = { 9 };

/* A regular file of one piece; its arrays live in the struct. */
struct test_file {
	char name[NAME_BYTES_MAX + 1];
	struct piece piece;
	struct extent extent;
	struct tree_entry entry;
};

/* A file as they commonly are: in a bundle, written once. `version` is its content. */
static inline const struct tree_entry *test_file(struct test_file *f, const char *name,
						 uint64_t version)
{
	uint64_t seed = version;
	const uint64_t length = test_random(&seed) % 50000 + 1;

	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->piece = (struct piece){ .id = test_id(version), .length = length, .n_extents = 1 };
	f->extent = (struct extent){ .chunk = test_id(version / 50 + 1000000),
				     .offset = (uint32_t)(test_random(&seed) % 250000),
				     .length = (uint32_t)length };
	f->entry = (struct tree_entry){
		.name = f->name,
		.name_n = (uint32_t)strlen(f->name),
		.mode = S_IFREG | 0644,
		.uid = 1000,
		.gid = 1000,
		.nlink = 1,
		.ino = 5000000 + version,
		.size = length,
		.mtime = { 1700000000 + (int64_t)(version * 77), 123456789 },
		.ctime = { 1700000000 + (int64_t)(version * 77), 123999789 },
		.btime = { 1700000000 + (int64_t)(version * 77), 123000789 },
		.flags = ENTRY_HAS_BTIME,
		.content = { .form = CONTENT_INLINE,
			     .id = f->piece.id,
			     .length = length,
			     .pieces = &f->piece,
			     .n_pieces = 1,
			     .extents = &f->extent,
			     .n_extents = 1 },
	};
	return &f->entry;
}

static inline struct tree_entry test_directory(const char *name, const struct chunk_id *tree)
{
	return (struct tree_entry){ .name = name,
				    .name_n = (uint32_t)strlen(name),
				    .mode = S_IFDIR | 0755,
				    .nlink = 2,
				    .ino = 2,
				    .tree = *tree };
}

/* Are two entries the same in every field? */
static inline void assert_entry_equal(const struct tree_entry *a, const struct tree_entry *b)
{
	assert_int_equal(a->name_n, b->name_n);
	assert_memory_equal(a->name, b->name, a->name_n);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->file_system, b->file_system);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->rdev, b->rdev);
	assert_int_equal(a->mtime.seconds, b->mtime.seconds);
	assert_int_equal(a->mtime.nanoseconds, b->mtime.nanoseconds);
	assert_int_equal(a->ctime.seconds, b->ctime.seconds);
	assert_int_equal(a->ctime.nanoseconds, b->ctime.nanoseconds);
	assert_int_equal(a->btime.seconds, b->btime.seconds);
	assert_int_equal(a->btime.nanoseconds, b->btime.nanoseconds);
	assert_int_equal(a->attribute_flags, b->attribute_flags);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->consistency, b->consistency);
	assert_int_equal(a->link_n, b->link_n);
	if (a->link_n > 0)
		assert_memory_equal(a->link, b->link, a->link_n);
	assert_int_equal(a->xattrs_n, b->xattrs_n);
	if (a->xattrs_n > 0)
		assert_memory_equal(a->xattrs, b->xattrs, a->xattrs_n);
	assert_memory_equal(&a->tree, &b->tree, sizeof(a->tree));
	assert_int_equal(a->content.form, b->content.form);
	assert_memory_equal(&a->content.id, &b->content.id, sizeof(a->tree));
	assert_memory_equal(&a->content.list, &b->content.list, sizeof(a->tree));
	assert_int_equal(a->content.length, b->content.length);
	assert_int_equal(a->content.n_pieces, b->content.n_pieces);
	assert_int_equal(a->content.n_extents, b->content.n_extents);
	for (uint32_t i = 0; i < a->content.n_pieces; i++) {
		const struct piece *p = &a->content.pieces[i], *q = &b->content.pieces[i];

		assert_memory_equal(&p->id, &q->id, sizeof(p->id));
		assert_int_equal(p->length, q->length);
		assert_int_equal(p->n_extents, q->n_extents);
	}
	for (uint32_t i = 0; i < a->content.n_extents; i++) {
		const struct extent *p = &a->content.extents[i], *q = &b->content.extents[i];

		assert_memory_equal(&p->chunk, &q->chunk, sizeof(p->chunk));
		assert_int_equal(p->offset, q->offset);
		assert_int_equal(p->length, q->length);
	}
}

#endif
