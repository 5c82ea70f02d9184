/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "sync/ledger.h"

#define LEDGER_FILE "local/remotes/usb.ledger"

static const struct ledger_line uploaded = { LEDGER_UPLOADED, 1000 };
static const struct ledger_line absent = { LEDGER_ABSENT, 2000 };

static struct ledger *open_usb(struct fixture *f)
{
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(f->io, "usb", &l), 0);
	return l;
}

static const char *name_of(unsigned int i)
{
	static char name[32];

	(void)snprintf(name, sizeof(name), "packs/%u", i);
	return name;
}

static void test_notes_are_there_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = open_usb(f);
	struct ledger_counts counts;
	struct ledger_line line;

	assert_false(ledger_has(l, "packs/a"));
	assert_int_equal(ledger_note(l, "packs/a", uploaded), 0);
	assert_int_equal(ledger_note(l, "packs/b", (struct ledger_line){ LEDGER_UPLOADING, 1 }), 0);
	assert_int_equal(ledger_note(l, "packs/c", (struct ledger_line){ LEDGER_VERIFIED, 77 }), 0);
	assert_int_equal(ledger_note(l, "packs/d", uploaded), 0);
	assert_int_equal(ledger_note(l, "packs/d", absent), 0);
	assert_int_equal(ledger_sync(l), 0);
	ledger_close(l);

	l = open_usb(f);
	assert_true(ledger_has(l, "packs/a"));
	assert_false(ledger_has(l, "packs/b"));
	assert_int_equal(ledger_get(l, "packs/b").state, LEDGER_UPLOADING);
	line = ledger_get(l, "packs/c");
	assert_int_equal(line.state, LEDGER_VERIFIED);
	assert_int_equal(line.when_s, 77);
	assert_false(ledger_has(l, "packs/d"));
	ledger_count(l, &counts);
	assert_int_equal(counts.uploaded, 2);
	assert_int_equal(counts.verified, 1);
	ledger_close(l);
}

static void test_one_process_at_a_time_has_it_open(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = open_usb(f), *other = NULL;

	assert_int_equal(ledger_open(f->io, "usb", &other), -EBUSY);
	assert_int_equal(ledger_open(f->io, "nas", &other), 0);
	ledger_close(other);
	ledger_close(l);
	l = open_usb(f);
	ledger_close(l);
}

static void test_names_that_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = NULL;
	char longest[LEDGER_NAME_BYTES_MAX + 2];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(ledger_open(f->io, longest, &l), -EINVAL);
	assert_int_equal(ledger_open(f->io, "", &l), -EINVAL);
	assert_int_equal(ledger_open(f->io, "../x", &l), -EINVAL);
	assert_int_equal(ledger_open(f->io, "A", &l), -EINVAL);
	assert_false(ledger_name_valid("_tables"));
	assert_false(ledger_name_valid("-x"));
	assert_true(ledger_name_valid("nas-2"));
}

static void test_what_was_begun_anew_is_forgotten_and_bound(void **state)
{
	const uint8_t identity[LEDGER_IDENTITY_BYTES] = { 1, 2, 3 };
	uint8_t got[LEDGER_IDENTITY_BYTES];
	struct fixture *f = *state;
	struct ledger *l = open_usb(f);

	ledger_identity(l, got);
	assert_true(got[0] == 0 && got[1] == 0);
	assert_int_equal(ledger_note(l, "packs/a", uploaded), 0);
	assert_int_equal(ledger_reset(l, identity), 0);
	assert_false(ledger_has(l, "packs/a"));
	assert_int_equal(ledger_note(l, "packs/b", uploaded), 0);
	ledger_close(l);
	l = open_usb(f);
	ledger_identity(l, got);
	assert_memory_equal(got, identity, sizeof(got));
	assert_false(ledger_has(l, "packs/a"));
	assert_true(ledger_has(l, "packs/b"));
	ledger_close(l);
}

/* Note 40 objects, take every fourth back; what is said of each afterwards is a prefix's truth. */
static size_t write_forty(struct fixture *f, uint8_t **ret_data)
{
	struct ledger *l = open_usb(f);
	size_t n;

	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(ledger_note(l, name_of(i), uploaded), 0);
	for (unsigned int i = 0; i < 40; i += 4)
		assert_int_equal(ledger_note(l, name_of(i), absent), 0);
	assert_int_equal(ledger_sync(l), 0);
	ledger_close(l);
	assert_int_equal(io_read_file(f->io, LEDGER_FILE, MIB(1), ret_data, &n), 0);
	return n;
}

static void test_a_torn_end_costs_lines_but_never_invents_one(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = write_forty(f, &data);

	for (size_t cut = 0; cut <= n; cut += cut < 64 ? 31 : 101) {
		size_t lines = cut < 96 ? 0 : (cut - 96) / 32;
		struct ledger *l;

		assert_int_equal(
			io_write_file(f->io, LEDGER_FILE, data, cut, true, IO_OBJECT_LOCAL), 0);
		l = open_usb(f);
		for (unsigned int i = 0; i < 40; i++) {
			bool back = i % 4 == 0 && 40 + i / 4 < lines;

			assert_int_equal(ledger_has(l, name_of(i)), i < lines && !back);
		}
		/* And it goes on behind what is left. */
		assert_int_equal(ledger_note(l, "packs/new", uploaded), 0);
		ledger_close(l);
		l = open_usb(f);
		assert_true(ledger_has(l, "packs/new"));
		ledger_close(l);
	}
}

/* A line that never reached the disk hides what follows it: also after another took its place. */
static void test_lines_behind_a_lost_one_are_never_believed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct ledger *l;
	size_t n = write_forty(f, &data);

	for (size_t lost = 0; lost < (n - 96) / 32; lost += 7) {
		CLEANUP(free_ptr) uint8_t *copy = malloc(n);

		memcpy(copy, data, n);
		memset(copy + 96 + 32 * lost, 0, 32);
		assert_int_equal(io_write_file(f->io, LEDGER_FILE, copy, n, true, IO_OBJECT_LOCAL),
				 0);
		l = open_usb(f);
		assert_int_equal(ledger_note(l, name_of(39), absent), 0);
		ledger_close(l);
		l = open_usb(f);
		for (unsigned int i = 0; i < 40; i++)
			if (ledger_has(l, name_of(i)))
				assert_true(i < lost && i != 39);
		ledger_close(l);
	}
}

static void test_flipped_bits_never_make_an_object_appear(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n = write_forty(f, &data);

	for (size_t at = 0; at < n; at += 83) {
		size_t lines = at < 96 ? 0 : (at - 96) / 32;
		struct ledger *l;

		data[at] ^= 0x10;
		assert_int_equal(io_write_file(f->io, LEDGER_FILE, data, n, true, IO_OBJECT_LOCAL),
				 0);
		data[at] ^= 0x10;
		l = open_usb(f);
		assert_false(ledger_has(l, name_of(40)));
		for (unsigned int i = 0; i < 40; i++)
			assert_true(i < lines || !ledger_has(l, name_of(i)));
		ledger_close(l);
	}
}

static void test_the_file_does_not_grow_with_changes(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = open_usb(f);
	struct io_stat st;

	for (unsigned int i = 0; i < 20000; i++)
		assert_int_equal(ledger_note(l, name_of(i % 10), i % 3 ? uploaded : absent), 0);
	assert_int_equal(ledger_sync(l), 0);
	ledger_close(l);
	assert_int_equal(io_stat(f->io, LEDGER_FILE, &st), 0);
	assert_true(st.size < 32 * 5000);
	l = open_usb(f);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(ledger_has(l, name_of(i)), (19990 + i) % 3 != 0);
	ledger_close(l);
}

static void test_removing_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = open_usb(f);

	assert_int_equal(ledger_note(l, "packs/a", uploaded), 0);
	ledger_close(l);
	assert_int_equal(ledger_remove(f->io, "usb"), 0);
	assert_int_equal(ledger_remove(f->io, "usb"), 0);
	l = open_usb(f);
	assert_false(ledger_has(l, "packs/a"));
	ledger_close(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notes_are_there_after_reopening),
		TEST(test_one_process_at_a_time_has_it_open),
		TEST(test_names_that_are_none_are_refused),
		TEST(test_what_was_begun_anew_is_forgotten_and_bound),
		TEST(test_a_torn_end_costs_lines_but_never_invents_one),
		TEST(test_lines_behind_a_lost_one_are_never_believed),
		TEST(test_flipped_bits_never_make_an_object_appear),
		TEST(test_the_file_does_not_grow_with_changes),
		TEST(test_removing_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
