/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

static int setup_bytes(void **state)
{
	struct store_config *config = malloc(sizeof(*config));

	log_set_sink(quiet_sink);
	assert_int_equal(crypto_init(), 0);
	store_config_new(config);
	*state = config;
	return 0;
}

static int teardown_bytes(void **state)
{
	free(*state);
	return 0;
}

static void test_config_comes_back(void **state)
{
	struct store_config *config = *state, back;
	uint8_t bytes[CONFIG_BYTES];

	assert_int_equal(store_config_bytes(config, bytes), 0);
	assert_true(store_config_magic(bytes, sizeof(bytes)));
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), 0);
	assert_memory_equal(back.repository, config->repository, REPOSITORY_ID_BYTES);
	assert_int_equal(back.hash, config->hash);
	assert_int_equal(back.chunks.avg, config->chunks.avg);
	assert_int_equal(back.bundle_target, config->bundle_target);
	assert_int_equal(back.created_ns, config->created_ns);
}

static void test_every_flipped_bit_is_damage(void **state)
{
	uint8_t bytes[CONFIG_BYTES];
	struct store_config back;

	assert_int_equal(store_config_bytes(*state, bytes), 0);
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -EUCLEAN);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_every_truncation_is_damage(void **state)
{
	uint8_t bytes[CONFIG_BYTES];
	struct store_config back;

	assert_int_equal(store_config_bytes(*state, bytes), 0);
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(store_config_parse(bytes, n, &back), -EUCLEAN);
}

static void test_foreign_and_newer_files_are_told_apart(void **state)
{
	uint8_t bytes[CONFIG_BYTES + 8] = { 0 };
	struct store_config back;

	assert_int_equal(store_config_bytes(*state, bytes), 0);
	bytes[16] = FORMAT_VERSION + 1;
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -EPROTONOSUPPORT);
	memcpy(bytes, "[core]\n\tbare = true", 20);
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -ENOTUNIQ);
	assert_int_equal(store_config_parse(bytes, 5, &back), -ENOTUNIQ);
}

static void test_impossible_parameters_are_refused(void **state)
{
	struct store_config *config = *state, back;
	uint8_t bytes[CONFIG_BYTES];

	config->chunks.avg++;
	assert_int_equal(store_config_bytes(config, bytes), 0);
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -EUCLEAN);
	config->chunks.avg--;
	config->chunks.max = CHUNK_RAW_MAX + 1;
	assert_int_equal(store_config_bytes(config, bytes), 0);
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -EUCLEAN);
	config->chunks.max = CHUNK_RAW_MAX;
	config->hash = (enum hash_algorithm)9;
	assert_int_equal(store_config_bytes(config, bytes), 0);
	assert_int_equal(store_config_parse(bytes, sizeof(bytes), &back), -EPROTONOSUPPORT);
}

static void test_binding_depends_on_every_field(void **state)
{
	struct store_config *config = *state;
	uint8_t a[32], b[32];

	store_config_binding(config, a);
	config->created_ns++;
	store_config_binding(config, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void test_second_init_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store_prepare(f->io), -EEXIST);
	assert_int_equal(store_publish(f->io, store_config(f->store)), -EEXIST);
}

/* Empty the repository's folder, but keep the folder, which is held open. */
static void empty_root(struct fixture *f)
{
	static const char *const names[] = { "packs", "records", "tables", "keys",
					     "index", "local",   "tmp",    "config" };
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		file_path(f, names[i], path);
		remove_tree(path);
	}
}

static void test_interrupted_init_is_taken_over(void **state)
{
	struct fixture *f = *state;
	struct store_config config = *store_config(f->store);

	fixture_close(f);
	assert_int_equal(io_unlink(f->io, "config", IO_OBJECT_CONFIG), 0);
	/* Somebody's packs: the config is lost, not unmade. */
	assert_int_equal(store_prepare(f->io), -ENOTEMPTY);
	assert_int_equal(store_config_read(f->io, &config), -ENOENT);
	empty_root(f);
	assert_int_equal(store_prepare(f->io), 0);
	assert_int_equal(store_prepare(f->io), 0);
	assert_int_equal(store_publish(f->io, &config), 0);
	fixture_open(f, STORE_READ_WRITE);
}

static void test_foreign_files_are_not_touched(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	empty_root(f);
	assert_int_equal(io_mkdir(f->io, "photos", IO_OBJECT_FOLDER), 0);
	assert_int_equal(store_prepare(f->io), -ENOTEMPTY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_bytes, teardown_bytes)
#define TEST_STORE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config_comes_back),
		TEST(test_every_flipped_bit_is_damage),
		TEST(test_every_truncation_is_damage),
		TEST(test_foreign_and_newer_files_are_told_apart),
		TEST(test_impossible_parameters_are_refused),
		TEST(test_binding_depends_on_every_field),
		TEST_STORE(test_second_init_is_refused),
		TEST_STORE(test_interrupted_init_is_taken_over),
		TEST_STORE(test_foreign_files_are_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
