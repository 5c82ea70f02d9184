/* SPDX-License-Identifier: MIT */
/*
 * tree_node: directory entries and the nodes that carry them.
 *
 * A directory is a tree of OBJECT_TREE nodes of at most NODE_BYTES_MAX, sorted
 * by raw name bytes, cut by a keyed hash of names (a prolly tree: equal
 * directories are equal trees, a change touches one path of nodes). Leaves
 * hold entries with all attributes inline and a table of the chunks that their
 * extents use; inner nodes hold (first name, child, number of entries).
 * Everything read is checked: names ascending, non-empty, without '/' or NUL,
 * not "." or ".."; lengths, counts and types in range. Bytes: yore-format(5),
 * "Trees".
 *
 * Threads: a view is immutable and may be shared; a decoder belongs to one thread.
 */
#ifndef SNAPSHOTS_TREE_NODE_H
#define SNAPSHOTS_TREE_NODE_H

#include "snapshots/content.h"

#include <stdbool.h>
#include <stdint.h>

struct node_time {
	int64_t seconds; /* since 1970, may be negative */
	uint32_t nanoseconds;
};

/* How sure we are that a file's bytes belong together. */
enum consistency {
	CONSISTENCY_STEADY = 0,  /* size, mtime and ctime equal before and after reading */
	CONSISTENCY_SMEARED = 1, /* kept changing while it was read */
	CONSISTENCY_FROZEN = 2,  /* read from a file system snapshot */
	CONSISTENCY_HOOK = 3,    /* read between its owner's hooks */
};

/* entry flags */
enum {
	ENTRY_SPARSE = 1, /* the source had holes: restore leaves zero blocks out */
	ENTRY_HAS_BTIME = 2,
	ENTRY_XATTRS_CHUNK = 4, /* attributes lie in an OBJECT_DATA of their own */
	ENTRY_PLACEHOLDER = 8,  /* a directory on the way to a source: not itself protected */
	ENTRY_UNREADABLE = 16, /* contents could not be read: the file's last known or no content */
};

/*
 * One directory entry. Pointers are borrowed. `size` is st_size; for regular
 * files it equals content.length.
 */
struct tree_entry {
	const char *name; /* not NUL-terminated */
	uint32_t name_n;
	uint32_t mode; /* st_mode: type and permissions */
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	uint32_t file_system; /* ordinal; the record maps it to an identity */
	uint64_t ino;
	uint64_t size;
	uint64_t rdev; /* (major << 32) | minor */
	struct node_time mtime;
	struct node_time ctime;
	struct node_time btime;   /* with ENTRY_HAS_BTIME */
	uint32_t attribute_flags; /* FS_*_FL as FS_IOC_GETFLAGS gives them, those worth keeping */
	uint32_t flags;           /* ENTRY_* */
	enum consistency consistency;
	const char *link; /* symlink's target, link_n bytes */
	uint32_t link_n;
	const uint8_t *xattrs; /* encoded set (see xattr_set.h), or with ENTRY_XATTRS_CHUNK the
				  32-byte id */
	uint32_t xattrs_n;
	struct chunk_id tree;   /* a directory's root node; all zero: empty */
	struct content content; /* a regular file's */
};

/* ---- reading one node ---- */
struct node_view {
	const uint8_t *data;
	uint32_t n;
	uint32_t level; /* 0: leaf */
	uint32_t count; /* entries or children */
	uint64_t total; /* entries below, all levels */
	/* the codec's own */
	const uint8_t *chunks;
	uint32_t n_chunks;
	const uint8_t *offsets;
	const uint8_t *body;
	uint32_t body_n;
};

/* Room for the arrays of one decoded entry; reused from entry to entry. */
struct entry_decoder {
	struct piece *pieces;
	struct extent *extents;
	size_t extents_room;
};
void entry_decoder_done(struct entry_decoder *d);

/** Check a node's frame (not yet each entry). `data` is borrowed. Returns 0 or -EUCLEAN. */
int node_view_init(struct node_view *v, const void *data, size_t n);
/** Decode entry i of a leaf; valid until the decoder is used again. Returns 0, -EUCLEAN, -ENOMEM.
 */
int node_view_entry(const struct node_view *v, uint32_t i, struct entry_decoder *d,
		    struct tree_entry *ret_entry);
/** Name of entry i of a leaf, or first name of child i. Returns 0 or -EUCLEAN. */
int node_view_name(const struct node_view *v, uint32_t i, const char **ret_name, uint32_t *ret_n);
/** Child i of an inner node, and how many entries lie below it. Returns 0 or -EUCLEAN. */
int node_view_child(const struct node_view *v, uint32_t i, struct chunk_id *ret_id,
		    uint64_t *ret_total);
/**
 * First i with name(i) >= name, or count. In an inner node: the child that may
 * hold the name. Returns the index or -EUCLEAN; *ret_equal (may be NULL) tells
 * whether a leaf's name is equal.
 */
int64_t node_view_search(const struct node_view *v, const char *name, uint32_t n, bool *ret_equal);
/** Check a whole node, every entry of it and their order, as audit does. 0 or -EUCLEAN. */
int node_view_check(const struct node_view *v);

/** memcmp order of names. */
int name_compare(const char *a, uint32_t a_n, const char *b, uint32_t b_n);
/** Non-empty, at most NAME_BYTES_MAX, no '/' or NUL, neither "." nor "..". */
bool name_valid(const char *name, uint32_t n);

/* ---- writing nodes ---- */
struct byte_buf;
/* Gathers the entries of one leaf or the children of one inner node. */
struct node_builder;
int node_builder_new(uint32_t level, struct node_builder **ret_builder);
void node_builder_free(struct node_builder *b);
CLEANUP_DEFINE(struct node_builder, node_builder_free)
/** Append; returns 0, -EFBIG when the node would pass NODE_BYTES_MAX (unchanged), -EINVAL for an
 * entry that a reader would refuse, -ENOMEM. */
int node_builder_add_entry(struct node_builder *b, const struct tree_entry *entry);
int node_builder_add_child(struct node_builder *b, const char *name, uint32_t name_n,
			   const struct chunk_id *id, uint64_t total);
uint32_t node_builder_count(const struct node_builder *b);
size_t node_builder_bytes(const struct node_builder *b);
/** The node's bytes, valid until the next call; _reset then starts an empty node. */
int node_builder_finish(struct node_builder *b, const uint8_t **ret_data, size_t *ret_n,
			uint64_t *ret_total);
void node_builder_reset(struct node_builder *b, uint32_t level);

/** One entry alone (the root directory in a record): append its bytes. */
int tree_entry_encode(struct byte_buf *to, const struct tree_entry *entry);
/** Read it back; name may be empty here. Borrowing from `data`. Returns 0 or -EUCLEAN. */
int tree_entry_decode(const void *data, size_t n, struct entry_decoder *d,
		      struct tree_entry *ret_entry);

#endif
