/* SPDX-License-Identifier: MIT */
/*
 * The test vectors of yore-format(5): the program still computes what the
 * manual shows (tests/lint/vectors.sh compares this table with the page), and
 * its readers open what a writer that knows the manual alone has made.
 */
#include "tests/golden/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Taken from the output of tests/golden/vectors.c. Never change one: repositories exist. */
static const struct {
	const char *name;
	const char *hex;
} vectors[] = {
	{ "config", "796f7265207265706f7369746f72790a01000000707172737475767778797a7b"
		    "7c7d7e7f010100000000010000000400000010000000040000103172c963cb17"
		    "0000000000000000000000000000000000000000000000000000000000000000"
		    "f3778a7c1842679fe35476ddcb6c3fa2c4bc6bc75d5899f8c1f50c548d4477a0" },
	{ "binding", "b14c37e3cabb6eb5661f681a8b628e89f8ec0b2a775c11506fd01ff88948c372" },
	{ "key 1", "0873d019f04a4ccfbfe91c65bdc5db04be825d95241936bd8595f69259415089" },
	{ "key 2", "5df710e824739450399fe7ec1fabd95e43c826414cedf7dd1f480e3367d99561" },
	{ "key 3", "d9d44ef1c4cbba5039de55f47375b60135ef136767ca8162b8f30a80fa21a426" },
	{ "key 4", "3e32153943be4c3f5f28427018b9ea7343031fdddb3412c87c7a4af5c69d90f1" },
	{ "key 5", "3eae6aa699da9e025f0b15cdbbce06a05cbeb2b2a71f150939d1de1ece46ed5b" },
	{ "key 6", "cf626f5c8cbb4299df087b4e66036a88d40b7146a471492d0b18edc738af2466" },
	{ "key 7", "3540bf11fc995b3678e277a2558d3f46c73794bdb5b6a07520771e614ee4c713" },
	{ "key 8", "9f0e2aa5932db0b72c4547026b5a8ff0054d66484773012debc1bf4afbdafe76" },
	{ "key 9", "5278807e375fc606587da042382793d13bfa79b019ea1fac8afe164c93b434ad" },
	{ "slot", "796f72652d6b6579010300000100000000000000000000006061626364656667"
		  "68696a6b6c6d6e6f09cdf7d2b85e968aa428996b7757f3650834b4f3d3b0e197"
		  "8045347708ba565d909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7"
		  "dbc15340a2ecd6346beed064d263b6e93547002416e79c194704253a9d67f1af"
		  "ed52717c721ba61c9d1188a7955264f6cffcf005945e8bd89091929394959697"
		  "98999a9b9c9d9e9fa0a1a2a3a4a5a6a78152ab251733fed1e42393873db91cc0"
		  "a505c339c5a2406a2edf8ec1352924a2b407d6f72d318040432a0056830d75be"
		  "c378c5086d2abd886f9ca53243991a99d03671ab78b741d9ebb83bd0b3a0986f"
		  "b71262dcf5e590bf2ff6c46d50f0ed6dbb4a6f98131ed7677dbe41df4af6f195"
		  "09fd5234cd668f5248" },
	{ "code check", "42413837505a4e5145" },
	{ "code secret", "f5e4dc41c7fc414a226906c3f7261acecfab618f1702573d484746ce154abd65" },
	{ "argon2id", "28b2ec33b737a8a7a9cb4669a5290da839ab55c998c27b33aa849b964f3101c5" },
	{ "hmac data id", "8cd27d0d3831a48a5f77847918fbba70a0d6722992b7776a25b084de121ee270" },
	{ "hmac tree id", "6778cb8ae92a3a66cc8c193a6beb2430e957b5c6096e8ad1886cadda6154b8ea" },
	{ "hmac list id", "750cf462826b656b795e066c2a1413fd6200d7b7c3278c3c4a98a5bbbc03ca14" },
	{ "blake2b data id", "0473d7d99fd698a997f048df335ef118c5c76aef805a85bca14ad80a016d16ae" },
	{ "gear 0..3", "6bac49eea9f5f6423eddd356b032a4ee09cbc85468ddab58c85edd5119e78ef4" },
	{ "gear 252..255", "7c6d9228de818d98882a4543487681353be3d8d673efbf5f90a75fd292ad3e7b" },
	{ "cuts", "825004001a580400976306007c2604009ce90500fa2f0400b60305008e110400"
		  "c33b07003bbf0100636604001ced010029040500c55504000cf60000" },
	{ "pack", "796f72657061636b0101010001000000707172737475767778797a7b7c7d7e7f"
		  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
		  "a0a1a2a3a4a5a6a7ec69c659494a888a7236967b7c61030b84b472634f9d7d07"
		  "b0982870f332603bd1bdb74f7161d3e0f7fe8eb86719d3f50000000000000000"
		  "a5e507e473e5c707687e881119abb4cc4cfd60d21aa210ba84387f562c426700"
		  "150e2bf465d00b61e1e88985705b9daa11f7a9e1c5e4db412f5bc55d54c83e32"
		  "e55333d434b371a2eb3f0df5e085d26342406dbf0699fb10adeb7b816a5c0dbc"
		  "b69d5eeeb664c8fdadac0817d834bdceb72a8e3cd851b981c6576638ea57c233"
		  "c1e2ccbadad42381470f8f33292a34d3355aa87b9f3a822416843ead6fad6679"
		  "6f72657061636b0101010001000000707172737475767778797a7b7c7d7e7f80"
		  "8182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0"
		  "a1a2a3a4a5a6a7ec69c659494a888a7236967b7c61030b84b472634f9d7d07b0"
		  "982870f332603bd1bdb74f7161d3e0f7fe8eb86719d3f500000000000000003a"
		  "00000001000000796f726570656e64" },
	{ "pack id", "092f0478f7796d0263716f4d0180a8d3bfe48c0f6c1dec8a3e9097267b759bbe" },
	{ "content id", "21d7d17e6eefd0b04fa2cae6fa11b04cdbb9bf8d4800592d0fcc6c74705fd422" },
	{ "node", "010003000100bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		  "bbbbbbbbbbbb0164ed410400ac02d0c792e30c05000000020166a4812100ad02"
		  "d0c792e30c05000000f6a7d6b907e80701568cd27d0d3831a48a5f77847918fb"
		  "ba70a0d6722992b7776a25b084de121ee270008020016cffa10000ae02d0c792"
		  "e30c050000000166000012004f00" },
	{ "node id", "69ef4802ce19b909accff8eb63bdbd4b13861ea580e74f1f94f0667f70deef52" },
};
#define N_VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static struct vector_base base;

static int start(void **state)
{
	(void)state;
	return vector_base_init(&base);
}

static void compare(void *context, const char *name, const void *data, size_t n)
{
	size_t *at = context;
	CLEANUP(free_ptr) char *hex = malloc(2 * n + 1);

	assert_non_null(hex);
	assert_true(*at < N_VECTORS);
	assert_string_equal(name, vectors[*at].name);
	assert_string_equal(bytes_to_hex(data, n, hex), vectors[*at].hex);
	++*at;
}

static void test_the_program_computes_what_the_manual_shows(void **state)
{
	size_t at = 0;

	(void)state;
	assert_int_equal(vectors_each(&base, compare, &at), 0);
	assert_int_equal(at, N_VECTORS);
}

static struct key_ring *open_slot(void)
{
	uint8_t bytes[sizeof(struct slot_image)];
	struct slot_image image;
	struct key_ring *ring;

	vector_slot(&base, bytes);
	assert_int_equal(slot_image_parse(bytes, sizeof(bytes), &image), 0);
	assert_int_equal(slot_image_open(&image, base.binding, base.machine, NULL, &ring), 0);
	return ring;
}

static void test_a_config_by_the_manual_is_read(void **state)
{
	struct store_config config, ours;

	(void)state;
	vector_config(&ours);
	assert_int_equal(store_config_parse(base.config, sizeof(base.config), &config), 0);
	assert_memory_equal(config.repository, ours.repository, sizeof(ours.repository));
	assert_int_equal(config.created_ns, ours.created_ns);
	assert_int_equal(config.chunks.avg, ours.chunks.avg);
	assert_int_equal(config.bundle_target, ours.bundle_target);
}

static void test_a_slot_by_the_manual_opens_with_its_machine_key(void **state)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	uint8_t key[KEY_BYTES];

	(void)state;
	ring = open_slot();
	assert_int_equal(key_ring_id(ring), VECTOR_KEY_ID);
	for (uint64_t p = 1; p <= KEY_PURPOSES; p++) {
		vector_key(&base, p, key);
		assert_memory_equal(key_ring_get(ring, (enum key_purpose)(p - 1)), key, KEY_BYTES);
	}
}

static void test_a_recovery_code_by_the_manual_is_one(void **state)
{
	uint8_t ours[KEY_BYTES], theirs[KEY_BYTES];
	char code[36];

	(void)state;
	vector_code(code);
	vector_code_secret(ours);
	assert_true(recovery_code_valid(code));
	assert_int_equal(recovery_code_secret(code, theirs), 0);
	assert_memory_equal(ours, theirs, KEY_BYTES);
}

/* Open a sealed part of the pack in place. */
static int open_part(const uint8_t *key, uint64_t offset, const void *ad, size_t ad_n,
		     const uint8_t *pack, size_t n, void *to)
{
	CLEANUP(cipher_free_ptr) struct cipher *cipher = NULL;
	int r = cipher_new(&cipher);

	return r < 0 ? r : cipher_open(cipher, key, offset, ad, ad_n, pack + offset, n, to);
}

static void test_a_pack_by_the_manual_is_read(void **state)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = open_slot();
	struct pack_context context = { .keys = ring };
	uint8_t pack[VECTOR_PACK_BYTES_MAX], key[KEY_BYTES], ad[PACK_BODY_AD_BYTES];
	uint8_t plain[OBJECT_PLAIN_BYTES], text[VECTOR_TEXT_BYTES];
	struct pack_entry entry, line;
	struct pack_trailer trailer;
	enum pack_kind kind;
	uint64_t table_at;
	size_t n;

	(void)state;
	memcpy(context.repository, base.repository, sizeof(context.repository));
	memcpy(context.host.bytes, base.host, sizeof(context.host.bytes));
	n = vector_pack(&base, pack);
	assert_int_equal(pack_header_open(&context, pack, key, &kind), 0);
	assert_int_equal(kind, PACK_DATA);
	assert_int_equal(pack_end_parse(pack + n - 16, &trailer), 0);
	assert_int_equal(trailer.n_entries, 1);

	pack_header_ad(&context, ad);
	assert_int_equal(open_part(key, VECTOR_OBJECT_AT, ad, PACK_HEADER_AD_BYTES, pack,
				   sizeof(plain), plain),
			 0);
	assert_int_equal(pack_object_parse(plain, &entry), 0);
	pack_body_ad(&context, &entry, ad);
	assert_int_equal(open_part(key, VECTOR_OBJECT_AT + OBJECT_HEADER_BYTES, ad,
				   PACK_BODY_AD_BYTES, pack, entry.stored_n, text),
			 0);
	assert_memory_equal(text, VECTOR_TEXT, VECTOR_TEXT_BYTES);

	table_at = n - PACK_TRAILER_BYTES - trailer.table_n;
	pack_table_ad(&context, kind, trailer, ad);
	assert_int_equal(
		open_part(key, table_at, ad, PACK_TABLE_AD_BYTES, pack, PACK_LINE_BYTES, plain), 0);
	assert_int_equal(pack_table_parse(plain, 1, table_at, &line), 0);
	assert_int_equal(line.offset, VECTOR_OBJECT_AT);
	assert_memory_equal(&line.id, &entry.id, sizeof(line.id));
}

static void test_a_node_of_the_manual_holds_three_entries(void **state)
{
	CLEANUP(node_builder_free_ptr) struct node_builder *builder = NULL;
	struct entry_decoder decoder = { 0 };
	struct tree_entry entry;
	struct node_view view;
	const uint8_t *data;
	uint64_t total;
	size_t n;

	(void)state;
	assert_int_equal(node_builder_new(0, &builder), 0);
	assert_int_equal(vector_node(&base, builder), 0);
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_int_equal(node_view_init(&view, data, n), 0);
	assert_int_equal(view.count, 3);
	assert_int_equal(node_view_entry(&view, 1, &decoder, &entry), 0);
	assert_int_equal(entry.size, VECTOR_TEXT_BYTES);
	assert_int_equal(entry.gid, 1000);
	assert_int_equal(entry.ctime.seconds, 1714573801);
	assert_int_equal(entry.content.extents[0].offset, 4096);
	entry_decoder_done(&decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_program_computes_what_the_manual_shows),
		cmocka_unit_test(test_a_config_by_the_manual_is_read),
		cmocka_unit_test(test_a_slot_by_the_manual_opens_with_its_machine_key),
		cmocka_unit_test(test_a_recovery_code_by_the_manual_is_one),
		cmocka_unit_test(test_a_pack_by_the_manual_is_read),
		cmocka_unit_test(test_a_node_of_the_manual_holds_three_entries),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
