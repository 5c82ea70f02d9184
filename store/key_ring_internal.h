/* SPDX-License-Identifier: MIT */
/*
 * key_ring_internal: a key slot's image, apart from the folder it lies in.
 * For key_ring.c, its tests and the fuzzer only.
 */
#ifndef STORE_KEY_RING_INTERNAL_H
#define STORE_KEY_RING_INTERNAL_H

#include "store/key_ring.h"

#include <assert.h>

#define SLOT_MAGIC "yore-key"
#define SLOT_VERSION 1
#define SLOT_SALT_BYTES 16
#define SLOT_LIST_BYTES 40                              /* what is wrapped: count, id, key */
#define SLOT_ABOUT_BYTES (8 + 1 + SLOT_LABEL_BYTES_MAX) /* time, length, label */
#define SLOT_WRAP_EXTRA (WRAP_NONCE_BYTES + WRAP_TAG_BYTES)

/* A slot as it lies in its file. */
struct slot_image {
	uint8_t magic[8];
	uint8_t version;
	uint8_t kind;
	uint8_t reserved[2];
	uint8_t key_id[4];
	uint8_t argon2_ops[4];
	uint8_t argon2_memory_kib[4];
	uint8_t salt[SLOT_SALT_BYTES];
	uint8_t commitment[32];
	uint8_t keys[SLOT_WRAP_EXTRA + SLOT_LIST_BYTES];
	uint8_t about[SLOT_WRAP_EXTRA + SLOT_ABOUT_BYTES];
	uint8_t checksum[32];
};
static_assert(sizeof(struct slot_image) == 297, "a slot's bytes are fixed");

/**
 * Check form and checksum of a slot's bytes, its parameters included, and copy
 * them. Returns 0; -EBADMSG for a wrong checksum; -EUCLEAN for a right one over
 * something that is no slot of this version.
 */
int slot_image_parse(const void *data, size_t n, struct slot_image *ret_image);

/**
 * Open a parsed slot. `secret` is a machine key, the key made from a recovery
 * code, or NULL: then the password is run through Argon2id. Returns 0;
 * -ENOKEY when it does not fit; -EBADMSG when it fits but the rest was tampered
 * with or belongs to another repository; -EUCLEAN; -ENOMEM.
 */
int slot_image_open(const struct slot_image *image, const uint8_t binding[static 32],
		    const uint8_t *secret, const char *password, struct key_ring **ret_ring);

/** The key that a recovery code stands for. Returns 0, or -EINVAL for text that is no code. */
int recovery_code_secret(const char *text, uint8_t ret_secret[static KEY_BYTES]);

#endif
