/* SPDX-License-Identifier: MIT */
#include "store/base/log.h"
#include "store/key_ring.h"
#include "store/key_ring_internal.h"
#include "store/limits.h"

#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const uint8_t binding[32] = "binding";
static const uint8_t machine[KEY_BYTES] = "machine key";
static const uint8_t other_machine[KEY_BYTES] = "other key";
static char folder[64];
static struct io *io;
static struct key_ring *ring;
static int n_lines;

static void count_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
	n_lines++;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int start(void **state)
{
	(void)state;
	log_set_sink(count_line);
	n_lines = 0;
	(void)snprintf(folder, sizeof(folder), "/tmp/yore-keys-XXXXXX");
	if (crypto_init() < 0 || !mkdtemp(folder) || io_posix_open(folder, &io) < 0)
		return -1;
	if (io_mkdir(io, "tmp", IO_OBJECT_FOLDER) < 0 || io_mkdir(io, "keys", IO_OBJECT_FOLDER) < 0)
		return -1;
	return key_ring_create(binding, &ring);
}

static int stop(void **state)
{
	(void)state;
	key_ring_free(ring);
	io_free(io);
	ring = NULL;
	io = NULL;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Open with what is given; on success the keys must be ours. */
static int try_open(const uint8_t *machine_key, const char *password)
{
	const struct unlock unlock = { .machine_key = machine_key, .password = password };
	CLEANUP(key_ring_free_ptr) struct key_ring *opened = NULL;
	int r = key_ring_open(io, binding, &unlock, &opened);

	if (r < 0) {
		assert_null(opened);
		return r;
	}
	assert_int_equal(key_ring_id(opened), key_ring_id(ring));
	for (int p = 0; p < KEY_PURPOSES; p++)
		assert_memory_equal(key_ring_get(opened, (enum key_purpose)p),
				    key_ring_get(ring, (enum key_purpose)p), KEY_BYTES);
	return r;
}

static void read_image(const char *name, struct slot_image *image)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[64];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "keys/%s", name);
	assert_int_equal(io_read_file(io, path, KEY_SLOT_BYTES_MAX, &data, &n), 0);
	assert_int_equal(n, sizeof(*image));
	memcpy(image, data, n);
}

static void write_image(const char *name, const void *data, size_t n)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "keys/%s", name);
	assert_int_equal(io_write_file(io, path, data, n, true, IO_OBJECT_KEY), 0);
}

static void test_each_kind_of_slot_opens_the_same_keys(void **state)
{
	char code[RECOVERY_CODE_BYTES];

	(void)state;
	assert_int_equal(try_open(machine, NULL), -ENOENT);
	assert_int_equal(key_ring_add_machine(ring, io, machine, "desk", NULL), 0);
	assert_int_equal(try_open(machine, NULL), 0);
	assert_int_equal(try_open(other_machine, NULL), -ENOKEY);
	assert_int_equal(try_open(NULL, "secret"), -ENOKEY);
	assert_int_equal(key_ring_add_recovery(ring, io, code, NULL), 0);
	assert_int_equal(try_open(NULL, code), 0);
	assert_int_equal(key_ring_add_password(ring, io, "secret", NULL, NULL), 0);
	assert_int_equal(try_open(NULL, "secret"), 0);
	assert_int_equal(try_open(NULL, "Secret"), -ENOKEY);
	assert_int_equal(try_open(NULL, ""), -ENOKEY);
	assert_int_equal(n_lines, 0);
}

static void test_keys_differ_by_purpose_and_ring(void **state)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;

	(void)state;
	assert_int_equal(key_ring_create(binding, &other), 0);
	for (int p = 0; p < KEY_PURPOSES; p++) {
		const uint8_t *key = key_ring_get(ring, (enum key_purpose)p);

		assert_memory_not_equal(key, key_ring_get(other, (enum key_purpose)p), KEY_BYTES);
		for (int q = 0; q < p; q++)
			assert_memory_not_equal(key, key_ring_get(ring, (enum key_purpose)q),
						KEY_BYTES);
	}
}

static int open_image(const void *data, size_t n)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *opened = NULL;
	struct slot_image parsed;
	int r = slot_image_parse(data, n, &parsed);

	/* Argon2id is for a password slot alone: with a key given, none is run. */
	return r < 0 ? r : slot_image_open(&parsed, binding, machine, NULL, &opened);
}

static void test_every_flipped_bit_is_noticed(void **state)
{
	char name[SLOT_NAME_BYTES + 1];
	struct slot_image image;
	uint8_t *bytes = (uint8_t *)&image;

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, "a label", name), 0);
	read_image(name, &image);
	assert_int_equal(open_image(&image, sizeof(image)), 0);
	for (size_t bit = 0; bit < 8 * sizeof(image); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_image(&image, sizeof(image)), -EBADMSG);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof(image); n++)
		assert_int_equal(open_image(&image, n), -EBADMSG);
}

static void test_every_forged_bit_is_noticed(void **state)
{
	char name[SLOT_NAME_BYTES + 1];
	struct slot_image image;
	uint8_t *bytes = (uint8_t *)&image;

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, "a label", name), 0);
	read_image(name, &image);
	for (size_t bit = 0; bit < 8 * offsetof(struct slot_image, checksum); bit++) {
		struct slot_image forged = image;
		int r;

		bytes = (uint8_t *)&forged;
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		crypto_blake2b(&forged, offsetof(struct slot_image, checksum), forged.checksum);
		r = open_image(&forged, sizeof(forged));
		assert_true(r == -EBADMSG || r == -ENOKEY || r == -EUCLEAN);
	}
}

static void test_a_slot_is_tied_to_its_config(void **state)
{
	const struct unlock unlock = { .machine_key = machine };
	const uint8_t other[32] = "other";
	struct key_ring *opened = NULL;

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, NULL), 0);
	assert_int_equal(key_ring_open(io, other, &unlock, &opened), -EBADMSG);
	assert_null(opened);
}

static void test_damaged_slots_are_skipped_and_named(void **state)
{
	char first[SLOT_NAME_BYTES + 1], second[SLOT_NAME_BYTES + 1];
	struct slot_image image;

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, first), 0);
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, second), 0);
	read_image(first, &image);
	image.salt[0] ^= 1;
	write_image(first, &image, sizeof(image));
	assert_int_equal(try_open(machine, NULL), 0);
	assert_int_equal(n_lines, 1);
	assert_int_equal(try_open(other_machine, NULL), -ENOKEY);
	write_image(second, "", 0);
	assert_int_equal(try_open(machine, NULL), -EBADMSG);
}

static void test_a_slot_too_large_is_damage(void **state)
{
	static const uint8_t large[KEY_SLOT_BYTES_MAX + 1];

	(void)state;
	write_image("0123456789abcdef0123456789abcdef", large, sizeof(large));
	assert_int_equal(try_open(machine, NULL), -EBADMSG);
	/* Other names are no slots. */
	write_image("readme", "x", 1);
	assert_int_equal(io_unlink(io, "keys/0123456789abcdef0123456789abcdef", IO_OBJECT_KEY), 0);
	assert_int_equal(try_open(machine, NULL), -ENOENT);
}

static void test_parameters_past_the_limits_are_never_run(void **state)
{
	static const struct {
		uint32_t ops, memory_kib;
	} bad[] = { { 0, 1024 }, { ARGON2_OPS_MAX + 1, 1024 },        { 1, 0 },
		    { 1, 7 },    { 1, ARGON2_MEMORY_MAX / 1024 + 1 }, { UINT32_MAX, UINT32_MAX } };
	char name[SLOT_NAME_BYTES + 1];
	struct slot_image image, parsed;

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, name), 0);
	read_image(name, &image);
	image.kind = SLOT_PASSWORD;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(image.argon2_ops, &bad[i].ops, 4);
		memcpy(image.argon2_memory_kib, &bad[i].memory_kib, 4);
		crypto_blake2b(&image, offsetof(struct slot_image, checksum), image.checksum);
		assert_int_equal(slot_image_parse(&image, sizeof(image), &parsed), -EUCLEAN);
	}
}

static const struct slot_info *find_slot(const struct slot_info *slots, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(slots[i].name, name) == 0)
			return &slots[i];
	}
	return NULL;
}

static void test_labels_are_listed(void **state)
{
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	const char *label =
		"64 bytes: \xc3\xbc 1234567890123456789012345678901234567890123456789012";
	char first[SLOT_NAME_BYTES + 1], second[SLOT_NAME_BYTES + 1], foreign[SLOT_NAME_BYTES + 1];
	char code[RECOVERY_CODE_BYTES];
	size_t n = 0;

	(void)state;
	assert_int_equal(strlen(label), SLOT_LABEL_BYTES_MAX + 1);
	assert_int_equal(key_ring_add_machine(ring, io, machine, label, first), -EINVAL);
	assert_int_equal(key_ring_add_machine(ring, io, machine, "a\nb", first), -EINVAL);
	assert_int_equal(key_ring_add_machine(ring, io, machine, label + 1, first), 0);
	assert_int_equal(key_ring_add_recovery(ring, io, code, second), 0);
	assert_int_equal(key_ring_create(binding, &other), 0);
	assert_int_equal(key_ring_add_machine(other, io, machine, "theirs", foreign), 0);
	assert_int_equal(key_ring_list(ring, io, &slots, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(find_slot(slots, n, first)->label, label + 1);
	assert_int_equal(find_slot(slots, n, first)->kind, SLOT_MACHINE);
	assert_true(find_slot(slots, n, first)->created_ns > 1500000000ll * 1000000000);
	assert_int_equal(find_slot(slots, n, second)->kind, SLOT_RECOVERY);
	assert_string_equal(find_slot(slots, n, second)->label, "");
	assert_string_equal(find_slot(slots, n, foreign)->label, "");
}

static void test_the_last_working_slot_stays(void **state)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	char first[SLOT_NAME_BYTES + 1], second[SLOT_NAME_BYTES + 1];

	(void)state;
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, first), 0);
	assert_int_equal(key_ring_remove(ring, io, first), -EPERM);
	assert_int_equal(key_ring_remove(ring, io, "../config"), -ENOENT);
	/* Damaged ones and those of other keys do not count. */
	write_image("0123456789abcdef0123456789abcdef", "x", 1);
	assert_int_equal(key_ring_create(binding, &other), 0);
	assert_int_equal(key_ring_add_machine(other, io, machine, NULL, NULL), 0);
	assert_int_equal(key_ring_remove(ring, io, first), -EPERM);
	assert_int_equal(key_ring_add_machine(ring, io, other_machine, NULL, second), 0);
	assert_int_equal(key_ring_remove(ring, io, first), 0);
	assert_int_equal(key_ring_remove(ring, io, first), -ENOENT);
	assert_int_equal(key_ring_remove(ring, io, "0123456789abcdef0123456789abcdef"), 0);
	assert_int_equal(try_open(other_machine, NULL), 0);
}

static void test_the_number_of_slots_is_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < KEY_SLOTS_MAX; i++)
		assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, NULL), 0);
	assert_int_equal(key_ring_add_machine(ring, io, machine, NULL, NULL), -ENOSPC);
	assert_int_equal(try_open(machine, NULL), 0);
}

static void test_recovery_codes_forgive_writing_but_not_typing(void **state)
{
	char code[RECOVERY_CODE_BYTES], loose[2 * RECOVERY_CODE_BYTES];
	uint8_t secret[KEY_BYTES], again[KEY_BYTES];
	size_t n = 0;

	(void)state;
	assert_int_equal(key_ring_add_recovery(ring, io, code, NULL), 0);
	assert_int_equal(strlen(code), RECOVERY_CODE_BYTES - 1);
	assert_true(recovery_code_valid(code));
	assert_int_equal(recovery_code_secret(code, secret), 0);
	for (size_t i = 0; code[i]; i++) {
		const char ch = code[i];

		assert_true((i % 6 == 5) == (ch == '-'));
		if (ch == '-')
			continue;
		loose[n++] = (char)(ch == '0' ? 'o' : ch == '1' ? 'l' : tolower(ch));
		loose[n++] = ' ';
		for (const char *wrong = "0123456789ABCDEFGHJKMNPQRSTVWXYZU!"; *wrong; wrong++) {
			code[i] = *wrong;
			assert_int_equal(recovery_code_valid(code), *wrong == ch);
		}
		code[i] = ch;
	}
	loose[n] = '\0';
	assert_int_equal(recovery_code_secret(loose, again), 0);
	assert_memory_equal(again, secret, KEY_BYTES);
	assert_int_equal(try_open(NULL, loose), 0);
	code[RECOVERY_CODE_BYTES - 2] = '\0';
	assert_false(recovery_code_valid(code));
	assert_false(recovery_code_valid(""));
	assert_false(recovery_code_valid("correct horse battery staple"));
}

struct removal {
	pthread_t thread;
	char name[SLOT_NAME_BYTES + 1];
	int result;
};

static void *run_removal(void *context)
{
	struct removal *m = context;

	m->result = key_ring_remove(ring, io, m->name);
	return NULL;
}

static void test_two_removals_at_once_leave_a_slot(void **state)
{
	(void)state;
	for (int round = 0; round < 30; round++) {
		struct removal removals[2];
		char path[64];

		memset(removals, 0, sizeof(removals));
		for (int i = 0; i < 2; i++)
			assert_int_equal(key_ring_add_machine(ring, io, i ? machine : other_machine,
							      NULL, removals[i].name),
					 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&removals[i].thread, NULL, run_removal,
							&removals[i]),
					 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_join(removals[i].thread, NULL), 0);
		assert_int_equal(removals[0].result + removals[1].result, -EPERM);
		(void)snprintf(path, sizeof(path), "keys/%s",
			       removals[removals[0].result == 0].name);
		assert_int_equal(io_unlink(io, path, IO_OBJECT_KEY), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_kind_of_slot_opens_the_same_keys, start,
						stop),
		cmocka_unit_test_setup_teardown(test_keys_differ_by_purpose_and_ring, start, stop),
		cmocka_unit_test_setup_teardown(test_every_flipped_bit_is_noticed, start, stop),
		cmocka_unit_test_setup_teardown(test_every_forged_bit_is_noticed, start, stop),
		cmocka_unit_test_setup_teardown(test_a_slot_is_tied_to_its_config, start, stop),
		cmocka_unit_test_setup_teardown(test_damaged_slots_are_skipped_and_named, start,
						stop),
		cmocka_unit_test_setup_teardown(test_a_slot_too_large_is_damage, start, stop),
		cmocka_unit_test_setup_teardown(test_parameters_past_the_limits_are_never_run,
						start, stop),
		cmocka_unit_test_setup_teardown(test_labels_are_listed, start, stop),
		cmocka_unit_test_setup_teardown(test_the_last_working_slot_stays, start, stop),
		cmocka_unit_test_setup_teardown(test_two_removals_at_once_leave_a_slot, start,
						stop),
		cmocka_unit_test_setup_teardown(test_the_number_of_slots_is_bounded, start, stop),
		cmocka_unit_test_setup_teardown(test_recovery_codes_forgive_writing_but_not_typing,
						start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
