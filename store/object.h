/* SPDX-License-Identifier: MIT */
/*
 * object: what a pack holds, and where one of them lies.
 *
 * An object is a plaintext of 1 byte to CHUNK_RAW_MAX with a type. Its id is
 * the keyed hash of the plaintext under the key of its type, so that one type
 * can never be taken for another. Bytes: yore-format(5), "Objects".
 */
#ifndef STORE_OBJECT_H
#define STORE_OBJECT_H

#include "store/crypto.h"

#include <stdint.h>

enum object_type {
	OBJECT_DATA = 1, /* a piece of a file, a bundle, a large attribute set */
	OBJECT_TREE = 2, /* a directory node */
	OBJECT_LIST = 3, /* a node of a long list of pieces */
};
#define OBJECT_TYPE_MAX 3

#define HOST_ID_BYTES 16
#define REPOSITORY_ID_BYTES 16

struct host_id {
	uint8_t bytes[HOST_ID_BYTES];
};

struct pack_id {
	uint8_t bytes[SHA256_BYTES];
};

/* What a pack is for. */
enum pack_kind { PACK_DATA = 1, PACK_NODES = 2, PACK_MIXED = 3 };

/* One line of a pack's table. */
struct pack_entry {
	struct chunk_id id;
	uint32_t offset;   /* of the sealed header, from the pack's start */
	uint32_t stored_n; /* sealed body without its tag */
	uint32_t raw_n;
	uint8_t type;  /* enum object_type */
	uint8_t codec; /* enum codec */
};

#endif
