/* SPDX-License-Identifier: MIT */
/*
 * node_id: how the 64-bit numbers by which the kernel knows our nodes are made.
 *
 *   1, 2, 3, 4               the root, .snapshots, .yore, .hosts
 *   16 + 8 host + which      a host's root, .snapshots, .versions, .deleted, .diff
 *   slot << 32               a directory of a snapshot; slots are the node
 *                            table's, from 1 to NODE_SLOT_MAX
 *   slot << 32 | index + 1   entry `index` of that directory, not a directory
 *   1 << 62 | number         a folder below .versions, .deleted or .diff, from a counter
 *   2 << 62 | key            the symlink `latest` while it means that snapshot
 *   3 << 62 | counter        one look-up's frozen control file
 *
 * So only looked-up directories cost memory, files never do. A snapshot's key
 * is its sequence and the number of its host: 0 for the one whose snapshots the
 * root shows, others as the mount came to know them.
 */
#ifndef FS_NODE_ID_H
#define FS_NODE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_ROOT UINT64_C(1)
#define NODE_SNAPSHOTS UINT64_C(2)
#define NODE_CONTROL UINT64_C(3)
#define NODE_HOSTS UINT64_C(4)

#define HOST_SHOWN 0u   /* by the root */
#define HOSTS_MAX 8192u /* a number fits beside a sequence in NODE_NUMBER_MAX */
#define SEQUENCE_BITS 48

#define NODE_SLOT_MAX UINT32_C(0x3fffffff)
#define NODE_INDEX_MAX UINT32_C(0xfffffffe) /* index + 1 must fit 32 bits */
#define NODE_NUMBER_MAX ((UINT64_C(1) << 62) - 1)

enum node_kind { NODE_FIXED, NODE_TREE, NODE_SPOT, NODE_LATEST, NODE_CONTROL_FILE };

/* The folders that each host has. */
enum host_folder {
	FOLDER_ROOT,
	FOLDER_SNAPSHOTS,
	FOLDER_VERSIONS,
	FOLDER_DELETED,
	FOLDER_DIFF,
	FOLDER_NONE, /* another fixed node */
};

static inline enum node_kind node_kind(uint64_t node)
{
	if (node >> 62 == 3)
		return NODE_CONTROL_FILE;
	if (node >> 62 == 2)
		return NODE_LATEST;
	if (node >> 62 == 1)
		return NODE_SPOT;
	return node >> 32 ? NODE_TREE : NODE_FIXED;
}

#define NODE_HOST_FIRST 16u
#define NODE_HOST_FOLDERS 8u

static inline uint64_t node_of_folder(uint32_t host, enum host_folder folder)
{
	if (host == HOST_SHOWN && folder == FOLDER_ROOT)
		return NODE_ROOT;
	if (host == HOST_SHOWN && folder == FOLDER_SNAPSHOTS)
		return NODE_SNAPSHOTS;
	return NODE_HOST_FIRST + (uint64_t)host * NODE_HOST_FOLDERS + (uint64_t)folder;
}

/* For NODE_FIXED: which folder of its host it is. */
static inline enum host_folder node_folder(uint64_t node)
{
	uint64_t folder = (node - NODE_HOST_FIRST) % NODE_HOST_FOLDERS;

	if (node == NODE_ROOT)
		return FOLDER_ROOT;
	if (node == NODE_SNAPSHOTS)
		return FOLDER_SNAPSHOTS;
	return node < NODE_HOST_FIRST || folder > FOLDER_NONE ? FOLDER_NONE
							      : (enum host_folder)folder;
}

/* For NODE_FIXED: the number of the host whose folder it is. */
static inline uint32_t node_host(uint64_t node)
{
	return node < NODE_HOST_FIRST ? HOST_SHOWN
				      : (uint32_t)((node - NODE_HOST_FIRST) / NODE_HOST_FOLDERS);
}

static inline uint64_t snapshot_key(uint32_t host, uint64_t seq)
{
	return (uint64_t)host << SEQUENCE_BITS | (seq & ((UINT64_C(1) << SEQUENCE_BITS) - 1));
}

static inline uint32_t key_host(uint64_t key)
{
	return (uint32_t)(key >> SEQUENCE_BITS);
}

static inline uint64_t key_seq(uint64_t key)
{
	return key & ((UINT64_C(1) << SEQUENCE_BITS) - 1);
}

/* For NODE_TREE. */
static inline uint32_t node_slot(uint64_t node)
{
	return (uint32_t)(node >> 32);
}

static inline bool node_is_directory(uint64_t node)
{
	return (uint32_t)node == 0;
}

static inline uint32_t node_index(uint64_t node)
{
	return (uint32_t)node - 1;
}

static inline uint64_t node_of_directory(uint32_t slot)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	return (uint64_t)slot << 32;
}

static inline uint64_t node_of_file(uint32_t slot, uint32_t index)
{
	return (uint64_t)slot << 32 | (uint64_t)(index + 1);
}

/* For NODE_SPOT, NODE_LATEST and NODE_CONTROL_FILE. */
static inline uint64_t node_number(uint64_t node)
{
	return node & NODE_NUMBER_MAX;
}

static inline uint64_t node_of_spot(uint64_t number)
{
	return UINT64_C(1) << 62 | (number & NODE_NUMBER_MAX);
}

static inline uint64_t node_of_latest(uint64_t key)
{
	return UINT64_C(2) << 62 | (key & NODE_NUMBER_MAX);
}

static inline uint64_t node_of_control_file(uint64_t number)
{
	return UINT64_C(3) << 62 | (number & NODE_NUMBER_MAX);
}

#endif
