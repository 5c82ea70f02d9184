/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 uses libcrypto's low-level functions, deprecated but kept for good:
 * they need no memory and cannot fail, and an HMAC of 100 bytes takes 130 ns
 * instead of the 190 of EVP (both run at the same speed on large inputs).
 * Keyed BLAKE2b is libsodium's, a tenth faster than libcrypto's EVP_MAC.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "store/crypto.h"

#include "store/base/clock.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

#define HMAC_BLOCK_BYTES 64
#define CIPHER_NONCE_BYTES 12
#define SECRET_ALIGNMENT 64
#define MEASURE_BYTES KIB(256)
#define MEASURE_ROUNDS 3

static_assert(KEY_BYTES == crypto_kdf_KEYBYTES, "libsodium derives from our keys");
static_assert(KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "and wraps with them");
static_assert(WRAP_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "wrap nonce");
static_assert(WRAP_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "wrap tag");
static_assert(SHA256_BYTES == SHA256_DIGEST_LENGTH, "SHA-256");
static_assert(sizeof(((struct chunk_id *)0)->bytes) == SHA256_BYTES, "an id is a whole digest");
static_assert(crypto_pwhash_argon2id_SALTBYTES == 16, "Argon2id salt");

struct id_hasher {
	enum hash_algorithm algorithm;
	/* HMAC-SHA-256: the states after the padded key, so that a call hashes only data. */
	SHA256_CTX inner;
	SHA256_CTX outer;
	/* BLAKE2b: the key. */
	uint8_t key[KEY_BYTES];
};

struct sha256 {
	SHA256_CTX state;
};

struct cipher {
	EVP_CIPHER_CTX *context;
};

int crypto_init(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

void crypto_random(void *to, size_t n)
{
	randombytes_buf(to, n);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *data, size_t n)
{
	sodium_memzero(data, n);
}

void *crypto_secret_new(size_t n)
{
	void *secret;
	size_t rounded;

	/* libsodium puts the end at a page's end, so only round sizes are aligned. */
	if (__builtin_add_overflow(n, SECRET_ALIGNMENT - 1, &rounded))
		return NULL;
	rounded -= rounded % SECRET_ALIGNMENT;
	secret = sodium_malloc(rounded);
	if (secret)
		memset(secret, 0, rounded);
	return secret;
}

void crypto_secret_free(void *secret)
{
	sodium_free(secret); /* wipes */
}

/* ---- keyed ids ---- */

static void hmac_start(SHA256_CTX *state, const uint8_t key[static KEY_BYTES], uint8_t pad)
{
	uint8_t block[HMAC_BLOCK_BYTES];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < KEY_BYTES; i++)
		block[i] ^= key[i];
	SHA256_Init(state);
	SHA256_Update(state, block, sizeof(block));
	sodium_memzero(block, sizeof(block));
}

int id_hasher_new(enum hash_algorithm algorithm, const uint8_t key[static KEY_BYTES],
		  struct id_hasher **ret_hasher)
{
	struct id_hasher *h;

	assert(ret_hasher);
	if (algorithm != HASH_HMAC_SHA256 && algorithm != HASH_BLAKE2B)
		return -EINVAL;
	h = crypto_secret_new(sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->algorithm = algorithm;
	hmac_start(&h->inner, key, 0x36);
	hmac_start(&h->outer, key, 0x5c);
	memcpy(h->key, key, KEY_BYTES);
	*ret_hasher = h;
	return 0;
}

void id_hasher_free(struct id_hasher *h)
{
	crypto_secret_free(h);
}

static void hmac_run(const struct id_hasher *h, const void *data, size_t n,
		     uint8_t ret_digest[static SHA256_BYTES])
{
	SHA256_CTX state = h->inner;
	uint8_t digest[SHA256_BYTES];

	SHA256_Update(&state, data, n);
	SHA256_Final(digest, &state);
	state = h->outer;
	SHA256_Update(&state, digest, sizeof(digest));
	SHA256_Final(ret_digest, &state);
}

void id_hasher_run(struct id_hasher *h, const void *data, size_t n, struct chunk_id *ret_id)
{
	int r;

	assert(data || n == 0);
	if (h->algorithm == HASH_HMAC_SHA256) {
		hmac_run(h, data, n, ret_id->bytes);
		return;
	}
	r = crypto_generichash_blake2b(ret_id->bytes, sizeof(ret_id->bytes), data, n, h->key,
				       KEY_BYTES);
	assert(r == 0);
}

/* The shortest of a few rounds: what others run at the same time only adds. */
static uint64_t measure_hash(enum hash_algorithm algorithm, const uint8_t *data)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	const uint8_t key[KEY_BYTES] = { 0 };
	uint64_t best = UINT64_MAX;
	struct chunk_id id;

	if (id_hasher_new(algorithm, key, &h) < 0)
		return best;
	for (int i = 0; i < MEASURE_ROUNDS; i++) {
		const int64_t start = clock_monotonic_ns();
		uint64_t took;

		id_hasher_run(h, data, MEASURE_BYTES, &id);
		took = (uint64_t)(clock_monotonic_ns() - start);
		if (took < best)
			best = took;
	}
	return best;
}

enum hash_algorithm crypto_faster_hash(void)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;

	data = malloc(MEASURE_BYTES);
	if (!data)
		return HASH_HMAC_SHA256;
	memset(data, 0x5a, MEASURE_BYTES); /* have the pages before the clock runs */
	return measure_hash(HASH_BLAKE2B, data) < measure_hash(HASH_HMAC_SHA256, data)
		       ? HASH_BLAKE2B
		       : HASH_HMAC_SHA256;
}

/* ---- plain SHA-256 ---- */

int sha256_new(struct sha256 **ret_sha)
{
	struct sha256 *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	SHA256_Init(&s->state);
	*ret_sha = s;
	return 0;
}

void sha256_free(struct sha256 *s)
{
	free(s);
}

void sha256_update(struct sha256 *s, const void *data, size_t n)
{
	SHA256_Update(&s->state, data, n);
}

void sha256_final(struct sha256 *s, uint8_t ret_digest[static SHA256_BYTES])
{
	SHA256_Final(ret_digest, &s->state);
	SHA256_Init(&s->state);
}

void sha256_of(const void *data, size_t n, uint8_t ret_digest[static SHA256_BYTES])
{
	SHA256_CTX state;

	SHA256_Init(&state);
	SHA256_Update(&state, data, n);
	SHA256_Final(ret_digest, &state);
}

/* ---- bulk sealing ---- */

int cipher_new(struct cipher **ret_cipher)
{
	CLEANUP(cipher_free_ptr) struct cipher *c = NULL;
	EVP_CIPHER *kind;
	int ok;

	assert(ret_cipher);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->context = EVP_CIPHER_CTX_new();
	if (!c->context)
		return -ENOMEM;
	kind = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (!kind)
		return -EIO;
	/* The context keeps its own reference; calls then name only key and nonce. */
	ok = EVP_CipherInit_ex2(c->context, kind, NULL, NULL, 1, NULL);
	EVP_CIPHER_free(kind);
	if (ok != 1)
		return -EIO;
	*ret_cipher = STEAL(c);
	return 0;
}

void cipher_free(struct cipher *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->context); /* wipes */
	free(c);
}

/* Set key and nonce and take in the additional data. */
static bool cipher_start(struct cipher *c, const uint8_t *key, uint64_t nonce, const void *ad,
			 size_t ad_n, bool seal)
{
	uint8_t bytes[CIPHER_NONCE_BYTES] = { 0 };
	int done;

	for (size_t i = 0; i < 8; i++)
		bytes[4 + i] = (uint8_t)(nonce >> (8 * i));
	if (EVP_CipherInit_ex2(c->context, NULL, key, bytes, seal, NULL) != 1)
		return false;
	return ad_n == 0 || EVP_CipherUpdate(c->context, NULL, &done, ad, (int)ad_n) == 1;
}

/* An AEAD takes what an AEAD takes. NOLINTNEXTLINE(readability-function-size) */
int cipher_seal(struct cipher *c, const uint8_t key[static KEY_BYTES], uint64_t nonce,
		const void *ad, size_t ad_n, const void *from, size_t n, uint8_t *to)
{
	int done = 0;

	assert(n <= INT_MAX);
	assert(ad_n <= INT_MAX);
	if (!cipher_start(c, key, nonce, ad, ad_n, true))
		return -EIO;
	if (n > 0 && EVP_CipherUpdate(c->context, to, &done, from, (int)n) != 1)
		return -EIO;
	if (EVP_CipherFinal_ex(c->context, to + n, &done) != 1)
		return -EIO;
	if (EVP_CIPHER_CTX_ctrl(c->context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, to + n) != 1)
		return -EIO;
	return 0;
}

/* An AEAD takes what an AEAD takes. NOLINTNEXTLINE(readability-function-size) */
int cipher_open(struct cipher *c, const uint8_t key[static KEY_BYTES], uint64_t nonce,
		const void *ad, size_t ad_n, const uint8_t *from, size_t n, void *to)
{
	uint8_t tag[SEAL_TAG_BYTES], rest[SEAL_TAG_BYTES];
	int done = 0;

	assert(n <= INT_MAX);
	assert(ad_n <= INT_MAX);
	memcpy(tag, from + n, sizeof(tag));
	if (!cipher_start(c, key, nonce, ad, ad_n, false))
		return -EBADMSG;
	if (n > 0 && EVP_CipherUpdate(c->context, to, &done, from, (int)n) != 1)
		return -EBADMSG;
	if (EVP_CIPHER_CTX_ctrl(c->context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1)
		return -EBADMSG;
	/* A stream cipher: nothing is left to write, but no null pointer may be given. */
	return EVP_CipherFinal_ex(c->context, rest, &done) == 1 ? 0 : -EBADMSG;
}

/* ---- wrapping, derivation ---- */

void crypto_wrap(const uint8_t key[static KEY_BYTES], const void *ad, size_t ad_n, const void *from,
		 size_t n, uint8_t *to)
{
	int r;

	randombytes_buf(to, WRAP_NONCE_BYTES);
	r = crypto_aead_xchacha20poly1305_ietf_encrypt(to + WRAP_NONCE_BYTES, NULL, from, n, ad,
						       ad_n, NULL, to, key);
	assert(r == 0);
}

int crypto_unwrap(const uint8_t key[static KEY_BYTES], const void *ad, size_t ad_n,
		  const uint8_t *from, size_t n, void *to)
{
	const uint8_t *sealed = from + WRAP_NONCE_BYTES;
	int r;

	r = crypto_aead_xchacha20poly1305_ietf_decrypt(to, NULL, NULL, sealed, n + WRAP_TAG_BYTES,
						       ad, ad_n, from, key);
	return r == 0 ? 0 : -EBADMSG;
}

void crypto_derive(const uint8_t master[static KEY_BYTES], const char context[static 8],
		   uint64_t number, uint8_t ret_key[static KEY_BYTES])
{
	int r = crypto_kdf_derive_from_key(ret_key, KEY_BYTES, number, context, master);

	assert(r == 0);
}

int crypto_argon2id(const char *password, size_t n, const uint8_t salt[static 16], uint32_t ops,
		    uint64_t memory_bytes, uint8_t ret_key[static KEY_BYTES])
{
	int r;

	assert(password);
	if (ops < crypto_pwhash_argon2id_OPSLIMIT_MIN || ops > ARGON2_OPS_MAX)
		return -EINVAL;
	if (memory_bytes < crypto_pwhash_argon2id_MEMLIMIT_MIN || memory_bytes > ARGON2_MEMORY_MAX)
		return -EINVAL;
	if (n > crypto_pwhash_argon2id_PASSWD_MAX)
		return -EINVAL;
	/* Within these limits only memory can be missing. */
	r = crypto_pwhash_argon2id(ret_key, KEY_BYTES, password, n, salt, ops, (size_t)memory_bytes,
				   crypto_pwhash_argon2id_ALG_ARGON2ID13);
	return r == 0 ? 0 : -ENOMEM;
}

void crypto_blake2b(const void *data, size_t n, uint8_t ret_digest[static 32])
{
	int r = crypto_generichash_blake2b(ret_digest, 32, data, n, NULL, 0);

	assert(r == 0);
}

void crypto_hmac_sha256(const void *key, size_t key_n, const void *data, size_t n,
			uint8_t ret_digest[static SHA256_BYTES])
{
	crypto_auth_hmacsha256_state state;

	(void)crypto_auth_hmacsha256_init(&state, key, key_n);
	(void)crypto_auth_hmacsha256_update(&state, data, n);
	(void)crypto_auth_hmacsha256_final(&state, ret_digest);
	sodium_memzero(&state, sizeof(state));
}

uint64_t crypto_short_hash(const uint8_t key[static 16], const void *data, size_t n)
{
	uint8_t hash[crypto_shorthash_siphash24_BYTES];
	uint64_t v = 0;

	(void)crypto_shorthash_siphash24(hash, data, n, key);
	for (size_t i = 0; i < sizeof(hash); i++)
		v |= (uint64_t)hash[i] << (8 * i);
	return v;
}
