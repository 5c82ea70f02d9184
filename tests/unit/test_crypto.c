/* SPDX-License-Identifier: MIT */
#include "store/base/bytes.h"
#include "store/crypto.h"
#include "store/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LARGEST MIB(1)

static const size_t large[] = { 1023, 1024, 4096, 65535, 65536, 262144, LARGEST };
#define N_SMALL 301
#define N_LENGTHS (N_SMALL + sizeof(large) / sizeof(large[0]))

static uint8_t *data, *sealed, *opened;

static size_t length_number(size_t i)
{
	return i < N_SMALL ? i : large[i - N_SMALL];
}

static int start(void **state)
{
	(void)state;
	if (crypto_init() < 0 || crypto_init() < 0)
		return -1;
	data = malloc(LARGEST);
	sealed = malloc(LARGEST + SEAL_TAG_BYTES);
	opened = malloc(LARGEST);
	if (!data || !sealed || !opened)
		return -1;
	crypto_random(data, LARGEST);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	free(data);
	free(sealed);
	free(opened);
	return 0;
}

static void assert_hex(const void *bytes, size_t n, const char *hex)
{
	char text[257];

	assert_true(n <= 128);
	assert_string_equal(bytes_to_hex(bytes, n, text), hex);
}

static void test_hmac_equals_the_reference(void **state)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	uint8_t key[KEY_BYTES], expected[32];
	struct chunk_id id;

	(void)state;
	crypto_random(key, sizeof(key));
	assert_int_equal(id_hasher_new(HASH_HMAC_SHA256, key, &h), 0);
	for (size_t i = 0; i < N_LENGTHS; i++) {
		crypto_auth_hmacsha256(expected, data, length_number(i), key);
		id_hasher_run(h, data, length_number(i), &id);
		assert_memory_equal(id.bytes, expected, sizeof(expected));
	}
}

static void test_keyed_blake2b_equals_the_reference(void **state)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	uint8_t key[KEY_BYTES], expected[32];
	struct chunk_id id;

	(void)state;
	crypto_random(key, sizeof(key));
	assert_int_equal(id_hasher_new(HASH_BLAKE2B, key, &h), 0);
	for (size_t i = 0; i < N_LENGTHS; i++) {
		crypto_generichash(expected, sizeof(expected), data, length_number(i), key,
				   sizeof(key));
		id_hasher_run(h, data, length_number(i), &id);
		assert_memory_equal(id.bytes, expected, sizeof(expected));
	}
}

static void test_hashes_give_known_answers(void **state)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	CLEANUP(sha256_free_ptr) struct sha256 *s = NULL;
	/* RFC 4231, case 2: a short key is the same as one padded with zeros. */
	const uint8_t key[KEY_BYTES] = "Jefe";
	uint8_t digest[32];
	struct chunk_id id;

	(void)state;
	assert_int_equal(id_hasher_new(HASH_HMAC_SHA256, key, &h), 0);
	id_hasher_run(h, "what do ya want for nothing?", 28, &id);
	assert_hex(id.bytes, 32,
		   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	sha256_of("abc", 3, digest);
	assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(sha256_new(&s), 0);
	for (int i = 0; i < 2; i++) {
		sha256_update(s, "a", 1);
		sha256_update(s, "bc", 2);
		sha256_final(s, digest);
		assert_hex(digest, 32,
			   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	}
	crypto_blake2b("", 0, digest);
	assert_hex(digest, 32, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
	crypto_blake2b("abc", 3, digest);
	assert_hex(digest, 32, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void test_an_unknown_hash_is_refused(void **state)
{
	const uint8_t key[KEY_BYTES] = { 0 };
	struct id_hasher *h = NULL;

	(void)state;
	assert_int_equal(id_hasher_new((enum hash_algorithm)0, key, &h), -EINVAL);
	assert_int_equal(id_hasher_new((enum hash_algorithm)3, key, &h), -EINVAL);
	assert_null(h);
}

static void test_a_hash_is_chosen(void **state)
{
	enum hash_algorithm algorithm = crypto_faster_hash();

	(void)state;
	assert_true(algorithm == HASH_HMAC_SHA256 || algorithm == HASH_BLAKE2B);
}

static void test_sealing_equals_the_reference(void **state)
{
	CLEANUP(cipher_free_ptr) struct cipher *c = NULL;
	uint8_t key[KEY_BYTES], nonce[12] = { 0 };
	uint8_t *expected = malloc(LARGEST + SEAL_TAG_BYTES);

	(void)state;
	assert_non_null(expected);
	crypto_random(key, sizeof(key));
	assert_int_equal(cipher_new(&c), 0);
	for (size_t i = 0; i < N_LENGTHS; i++) {
		const size_t n = length_number(i), ad_n = i % 70;
		const uint64_t number = 0x0102030405060708 * i;

		memcpy(nonce + 4, &number, sizeof(number)); /* tests run on little-endian only */
		crypto_aead_chacha20poly1305_ietf_encrypt(expected, NULL, data, n, data + 7, ad_n,
							  NULL, nonce, key);
		assert_int_equal(cipher_seal(c, key, number, data + 7, ad_n, data, n, sealed), 0);
		assert_memory_equal(sealed, expected, n + SEAL_TAG_BYTES);
		assert_int_equal(cipher_open(c, key, number, data + 7, ad_n, sealed, n, opened), 0);
		assert_memory_equal(opened, data, n);
		/* in place */
		memcpy(sealed, data, n);
		assert_int_equal(cipher_seal(c, key, number, data + 7, ad_n, sealed, n, sealed), 0);
		assert_memory_equal(sealed, expected, n + SEAL_TAG_BYTES);
		assert_int_equal(cipher_open(c, key, number, data + 7, ad_n, sealed, n, sealed), 0);
		assert_memory_equal(sealed, data, n);
	}
	free(expected);
}

static void test_sealing_gives_a_known_answer(void **state)
{
	/* RFC 8439, appendix A.5: its nonce's first four bytes are zero. */
	CLEANUP(cipher_free_ptr) struct cipher *c = NULL;
	const char *text = "Internet-Drafts are draft documents valid for a maximum of six months "
			   "and may be updated, replaced, or obsoleted by other documents at any "
			   "time. It is inappropriate to use Internet-Drafts as reference material "
			   "or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80"
			   "\x9d";
	uint8_t key[KEY_BYTES], ad[12];

	(void)state;
	assert_int_equal(
		bytes_from_hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
			       key, sizeof(key)),
		0);
	assert_int_equal(bytes_from_hex("f33388860000000000004e91", ad, sizeof(ad)), 0);
	assert_int_equal(strlen(text), 265);
	assert_int_equal(cipher_new(&c), 0);
	assert_int_equal(cipher_seal(c, key, 0x0807060504030201, ad, sizeof(ad), text, 265, sealed),
			 0);
	assert_hex(sealed, 16, "64a0861575861af460f062c79be643bd");
	assert_hex(sealed + 265, 16, "eead9d67890cbb22392336fea1851f38");
}

static void test_every_flipped_bit_is_noticed(void **state)
{
	CLEANUP(cipher_free_ptr) struct cipher *c = NULL;
	uint8_t key[KEY_BYTES] = { 1 };
	const size_t n = 100;

	(void)state;
	assert_int_equal(cipher_new(&c), 0);
	assert_int_equal(cipher_seal(c, key, 5, "ad", 2, data, n, sealed), 0);
	for (size_t bit = 0; bit < 8 * (n + SEAL_TAG_BYTES); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cipher_open(c, key, 5, "ad", 2, sealed, n, opened), -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(cipher_open(c, key, 6, "ad", 2, sealed, n, opened), -EBADMSG);
	assert_int_equal(cipher_open(c, key, 5, "aD", 2, sealed, n, opened), -EBADMSG);
	assert_int_equal(cipher_open(c, key, 5, "ad", 1, sealed, n, opened), -EBADMSG);
	assert_int_equal(cipher_open(c, key, 5, NULL, 0, sealed, n, opened), -EBADMSG);
	key[31] ^= 128;
	assert_int_equal(cipher_open(c, key, 5, "ad", 2, sealed, n, opened), -EBADMSG);
	key[31] ^= 128;
	/* a failure leaves the context usable */
	assert_int_equal(cipher_open(c, key, 5, "ad", 2, sealed, n, opened), 0);
	assert_memory_equal(opened, data, n);
}

static void test_wrapping_goes_both_ways_or_fails(void **state)
{
	uint8_t key[KEY_BYTES] = { 2 }, other[KEY_BYTES] = { 3 };
	uint8_t wrapped[WRAP_NONCE_BYTES + 40 + WRAP_TAG_BYTES], again[sizeof(wrapped)], to[40];

	(void)state;
	crypto_wrap(key, "ad", 2, data, 40, wrapped);
	crypto_wrap(key, "ad", 2, data, 40, again);
	assert_memory_not_equal(wrapped, again, sizeof(wrapped));
	assert_int_equal(crypto_unwrap(key, "ad", 2, wrapped, 40, to), 0);
	assert_memory_equal(to, data, 40);
	assert_int_equal(crypto_unwrap(other, "ad", 2, wrapped, 40, to), -EBADMSG);
	assert_int_equal(crypto_unwrap(key, "ad", 1, wrapped, 40, to), -EBADMSG);
	for (size_t i = 0; i < sizeof(wrapped); i++) {
		wrapped[i] ^= 1;
		assert_int_equal(crypto_unwrap(key, "ad", 2, wrapped, 40, to), -EBADMSG);
		wrapped[i] ^= 1;
	}
}

static void test_derived_keys_differ_by_master_context_and_number(void **state)
{
	const uint8_t a[KEY_BYTES] = { 4 }, b[KEY_BYTES] = { 5 };
	uint8_t keys[4][KEY_BYTES];

	(void)state;
	crypto_derive(a, "context1", 1, keys[0]);
	crypto_derive(b, "context1", 1, keys[1]);
	crypto_derive(a, "context2", 1, keys[2]);
	crypto_derive(a, "context1", 2, keys[3]);
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < i; j++)
			assert_false(crypto_equal(keys[i], keys[j], KEY_BYTES));
	}
	crypto_derive(a, "context1", 1, keys[1]);
	assert_true(crypto_equal(keys[0], keys[1], KEY_BYTES));
}

static void test_argon2_is_bounded(void **state)
{
	const uint8_t salt[16] = { 1 };
	uint8_t key[KEY_BYTES], expected[KEY_BYTES];

	(void)state;
	assert_int_equal(crypto_argon2id("pw", 2, salt, 0, MIB(1), key), -EINVAL);
	assert_int_equal(crypto_argon2id("pw", 2, salt, ARGON2_OPS_MAX + 1, MIB(1), key), -EINVAL);
	assert_int_equal(crypto_argon2id("pw", 2, salt, 1, ARGON2_MEMORY_MAX + 1, key), -EINVAL);
	assert_int_equal(crypto_argon2id("pw", 2, salt, 1, 1024, key), -EINVAL);
	assert_int_equal(crypto_argon2id("pw", 2, salt, 2, MIB(1), key), 0);
	assert_int_equal(crypto_pwhash(expected, sizeof(expected), "pw", 2, salt, 2, MIB(1),
				       crypto_pwhash_ALG_ARGON2ID13),
			 0);
	assert_memory_equal(key, expected, sizeof(key));
}

static void test_short_hash_gives_a_known_answer(void **state)
{
	/* The SipHash paper's appendix A. */
	uint8_t key[16], message[15];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		message[i] = i;
	assert_true(crypto_short_hash(key, message, sizeof(message)) == 0xa129ca6149be45e5);
}

static void test_secret_memory_is_zeroed_and_aligned(void **state)
{
	(void)state;
	crypto_secret_free(NULL);
	assert_null(crypto_secret_new(SIZE_MAX));
	for (size_t n = 1; n < 200; n += 33) {
		uint8_t *secret = crypto_secret_new(n);

		assert_non_null(secret);
		assert_int_equal((uintptr_t)secret % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(secret[i], 0);
		memset(secret, 1, n);
		crypto_wipe(secret, n);
		assert_int_equal(secret[n - 1], 0);
		crypto_secret_free(secret);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hmac_equals_the_reference),
		cmocka_unit_test(test_keyed_blake2b_equals_the_reference),
		cmocka_unit_test(test_hashes_give_known_answers),
		cmocka_unit_test(test_an_unknown_hash_is_refused),
		cmocka_unit_test(test_a_hash_is_chosen),
		cmocka_unit_test(test_sealing_equals_the_reference),
		cmocka_unit_test(test_sealing_gives_a_known_answer),
		cmocka_unit_test(test_every_flipped_bit_is_noticed),
		cmocka_unit_test(test_wrapping_goes_both_ways_or_fails),
		cmocka_unit_test(test_derived_keys_differ_by_master_context_and_number),
		cmocka_unit_test(test_argon2_is_bounded),
		cmocka_unit_test(test_short_hash_gives_a_known_answer),
		cmocka_unit_test(test_secret_memory_is_zeroed_and_aligned),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
