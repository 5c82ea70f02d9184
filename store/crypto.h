/* SPDX-License-Identifier: MIT */
/*
 * crypto: the only user of libsodium and libcrypto.
 *
 * Keys, their memory, key derivation (BLAKE2b, crypto_kdf), Argon2id and
 * wrapping (XChaCha20-Poly1305) come from libsodium; bulk hashing and bulk
 * ChaCha20-Poly1305 (RFC 8439) from libcrypto, whose bytes the unit test
 * compares with libsodium's. Which bytes are hashed and sealed how is
 * specified in yore-format(5).
 *
 * Threads: a struct id_hasher or sha256 or cipher belongs to one thread at a
 * time; everything else may be called from any thread after crypto_init().
 */
#ifndef STORE_CRYPTO_H
#define STORE_CRYPTO_H

#include "store/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES 32
#define WRAP_NONCE_BYTES 24
#define WRAP_TAG_BYTES 16
#define SHA256_BYTES 32

/* The keyed hash of a plaintext under the key of its object type. */
struct chunk_id {
	uint8_t bytes[32];
};

/* Keyed hashes that a config can name. */
enum hash_algorithm { HASH_HMAC_SHA256 = 1, HASH_BLAKE2B = 2 };

/** Once per process, before anything else here. Returns 0 or -EIO. */
int crypto_init(void);

/** The keyed hash that this machine computes faster: a measurement of a few milliseconds. */
enum hash_algorithm crypto_faster_hash(void);

void crypto_random(void *to, size_t n);
/** Constant-time comparison of secrets. */
bool crypto_equal(const void *a, const void *b, size_t n);
void crypto_wipe(void *data, size_t n);
/** Guarded, locked memory for keys; NULL on no memory. Free with crypto_secret_free(). */
void *crypto_secret_new(size_t n);
void crypto_secret_free(void *secret);

/* ---- keyed ids ---- */
struct id_hasher;
/** -EINVAL for an unknown algorithm, -ENOMEM. Copies the key. */
int id_hasher_new(enum hash_algorithm algorithm, const uint8_t key[static KEY_BYTES],
		  struct id_hasher **ret_hasher);
void id_hasher_free(struct id_hasher *h);
CLEANUP_DEFINE(struct id_hasher, id_hasher_free)
/** Hash one whole plaintext. Cannot fail. */
void id_hasher_run(struct id_hasher *h, const void *data, size_t n, struct chunk_id *ret_id);

/* ---- plain SHA-256, streamed ---- */
struct sha256;
int sha256_new(struct sha256 **ret_sha);
void sha256_free(struct sha256 *s);
CLEANUP_DEFINE(struct sha256, sha256_free)
void sha256_update(struct sha256 *s, const void *data, size_t n);
/** Yields the digest and starts afresh. */
void sha256_final(struct sha256 *s, uint8_t ret_digest[static SHA256_BYTES]);
/** The digest of one buffer. */
void sha256_of(const void *data, size_t n, uint8_t ret_digest[static SHA256_BYTES]);

/* ---- bulk sealing: ChaCha20-Poly1305, 12-byte nonce = 4 zero bytes + LE64(nonce) ---- */
struct cipher;
/** A reusable context; the key is given per call. */
int cipher_new(struct cipher **ret_cipher);
void cipher_free(struct cipher *c);
CLEANUP_DEFINE(struct cipher, cipher_free)
/** Writes n + 16 bytes. `to` may equal `from`. Returns 0 or -EIO. */
int cipher_seal(struct cipher *c, const uint8_t key[static KEY_BYTES], uint64_t nonce,
		const void *ad, size_t ad_n, const void *from, size_t n, uint8_t *to);
/** Reads n + 16 bytes, writes n. Returns 0; -EBADMSG for a wrong tag (`to` is then garbage). */
int cipher_open(struct cipher *c, const uint8_t key[static KEY_BYTES], uint64_t nonce,
		const void *ad, size_t ad_n, const uint8_t *from, size_t n, void *to);

/* ---- wrapping of keys and small documents: XChaCha20-Poly1305 with a random nonce ---- */
/** Writes nonce (24) + n + 16 bytes. */
void crypto_wrap(const uint8_t key[static KEY_BYTES], const void *ad, size_t ad_n, const void *from,
		 size_t n, uint8_t *to);
/** Reads 24 + n + 16 bytes, writes n. Returns 0 or -EBADMSG. */
int crypto_unwrap(const uint8_t key[static KEY_BYTES], const void *ad, size_t ad_n,
		  const uint8_t *from, size_t n, void *to);

/** Derive key number `number` of the 8-character context from a master key. */
void crypto_derive(const uint8_t master[static KEY_BYTES], const char context[static 8],
		   uint64_t number, uint8_t ret_key[static KEY_BYTES]);
/** Argon2id. Returns 0, -EINVAL for parameters past limits.h, -ENOMEM. */
int crypto_argon2id(const char *password, size_t n, const uint8_t salt[static 16], uint32_t ops,
		    uint64_t memory_bytes, uint8_t ret_key[static KEY_BYTES]);
/** HMAC-SHA-256 under a key of any length: for protocols of others. */
void crypto_hmac_sha256(const void *key, size_t key_n, const void *data, size_t n,
			uint8_t ret_digest[static SHA256_BYTES]);
/** Unkeyed BLAKE2b-256. */
void crypto_blake2b(const void *data, size_t n, uint8_t ret_digest[static 32]);
/** SipHash-2-4 of data under 16 key bytes: short checksums and placement, not secrecy. */
uint64_t crypto_short_hash(const uint8_t key[static 16], const void *data, size_t n);

#endif
