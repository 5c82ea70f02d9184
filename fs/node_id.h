/* SPDX-License-Identifier: MIT */
/*
 * node_id: how the 64-bit numbers by which the kernel knows our nodes are made.
 *
 *   1, 2, 3                  the root, .snapshots, .yore
 *   slot << 32               a directory of a snapshot; slots are the node
 *                            table's, from 1 to NODE_SLOT_MAX
 *   slot << 32 | index + 1   entry `index` of that directory, not a directory
 *   2 << 62 | sequence       the symlink `latest` while it means that snapshot
 *   3 << 62 | counter        one look-up's frozen control file
 *
 * So only looked-up directories cost memory, files never do.
 */
#ifndef FS_NODE_ID_H
#define FS_NODE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_ROOT UINT64_C(1)
#define NODE_SNAPSHOTS UINT64_C(2)
#define NODE_CONTROL UINT64_C(3)

#define NODE_SLOT_MAX UINT32_C(0x3fffffff)
#define NODE_INDEX_MAX UINT32_C(0xfffffffe) /* index + 1 must fit 32 bits */
#define NODE_NUMBER_MAX ((UINT64_C(1) << 62) - 1)

enum node_kind { NODE_FIXED, NODE_TREE, NODE_LATEST, NODE_CONTROL_FILE, NODE_UNKNOWN };

static inline enum node_kind node_kind(uint64_t node)
{
	if (node >> 62 == 3)
		return NODE_CONTROL_FILE;
	if (node >> 62 == 2)
		return NODE_LATEST;
	if (node >> 62 == 1)
		return NODE_UNKNOWN;
	return node >> 32 ? NODE_TREE : NODE_FIXED;
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

/* For NODE_LATEST and NODE_CONTROL_FILE. */
static inline uint64_t node_number(uint64_t node)
{
	return node & NODE_NUMBER_MAX;
}

static inline uint64_t node_of_latest(uint64_t seq)
{
	return UINT64_C(2) << 62 | (seq & NODE_NUMBER_MAX);
}

static inline uint64_t node_of_control_file(uint64_t number)
{
	return UINT64_C(3) << 62 | (number & NODE_NUMBER_MAX);
}

#endif
