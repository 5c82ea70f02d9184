/* SPDX-License-Identifier: MIT */
#include "fs/name_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAMES (3 * NAME_BATCH_MAX)

/* A listing that takes `room` names and notes how often it saw each. */
struct listing {
	struct dir_sink sink;
	size_t room;
	uint8_t seen[NAMES];
	uint64_t last;
};

static bool fits(struct dir_sink *sink, const char *name)
{
	(void)name;
	return ((struct listing *)sink)->room > 0;
}

static void add(struct dir_sink *sink, const char *name, const struct node_info *info,
		uint64_t cookie)
{
	struct listing *l = (struct listing *)sink;

	l->room--;
	assert_true(cookie > l->last);
	l->last = cookie;
	assert_int_equal(info->st.st_ino, 1000 + strtoul(name, NULL, 10));
	l->seen[strtoul(name, NULL, 10)]++;
}

/* All names, the even ones twice. */
static struct name_batch *fill(const struct view *v, uint64_t from, unsigned int n)
{
	struct name_batch *b;
	char name[16];

	assert_int_equal(name_batch_new(7, 1, from, &b), 0);
	for (unsigned int i = 0; i < 2 * n; i++) {
		unsigned int number = i < n ? i : (i - n) & ~1u;
		int length = snprintf(name, sizeof(name), "%u", number);

		assert_int_equal(name_batch_add(b, name_cookie(v, name, (size_t)length), name,
						(size_t)length, S_IFREG,
						/* the first one counts */
						i < n ? 1000 + number : 0),
				 0);
	}
	name_batch_finish(b);
	return b;
}

static void list_all(unsigned int n, size_t room)
{
	static struct listing l;
	struct view v = { .ino_key = { 1, 2, 3 } };
	struct name_batch *b = NULL;
	enum batch_end end = BATCH_MORE;
	uint64_t cookie = 2;

	memset(&l, 0, sizeof(l));
	l.sink = (struct dir_sink){ .fits = fits, .add = add };
	while (end != BATCH_DONE) {
		if (end == BATCH_MORE) {
			name_batch_free(b);
			b = fill(&v, cookie, n);
		}
		l.room = room;
		end = name_batch_list(b, &cookie, &l.sink);
	}
	name_batch_free(b);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(l.seen[i], 1);
}

static void test_each_name_is_listed_once(void **state)
{
	(void)state;
	list_all(0, 10);
	list_all(1, 10);
	list_all(1000, 10);
	list_all(1000, 100000);
}

static void test_a_folder_larger_than_a_batch_comes_in_several(void **state)
{
	(void)state;
	list_all(NAME_BATCH_MAX, 1000);
	list_all(NAMES, 1000);
}

static void test_the_pool_gives_back_what_goes_on_there(void **state)
{
	struct view v = { .ino_key = { 1, 2, 3 } };
	struct name_batch *b;
	struct name_pool *p;

	(void)state;
	assert_int_equal(name_pool_new(&p), 0);
	b = fill(&v, 0, 10);
	name_pool_keep(p, b);
	assert_null(name_pool_take(p, 8, 1, 2));
	assert_null(name_pool_take(p, 7, 2, 2));
	assert_ptr_equal(name_pool_take(p, 7, 1, 2), b);
	assert_null(name_pool_take(p, 7, 1, 2)); /* it is out */
	name_pool_keep(p, b);
	for (int i = 0; i < 20; i++)
		name_pool_keep(p, fill(&v, NAME_COOKIE_FIRST, 10));
	assert_null(name_pool_take(p, 7, 1, 2)); /* it made room */
	name_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_name_is_listed_once),
		cmocka_unit_test(test_a_folder_larger_than_a_batch_comes_in_several),
		cmocka_unit_test(test_the_pool_gives_back_what_goes_on_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
