/* SPDX-License-Identifier: MIT */
#include "store/base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[4096];
static enum log_level seen_level;
static int n_seen;

static void keep(enum log_level level, const char *line)
{
	(void)snprintf(seen, sizeof(seen), "%s", line);
	seen_level = level;
	n_seen++;
}

static int start(void **state)
{
	(void)state;
	log_set_sink(keep);
	log_set_level(LOG_LEVEL_WARNING);
	n_seen = 0;
	seen[0] = '\0';
	return 0;
}

static void test_levels_above_the_chosen_one_are_dropped(void **state)
{
	(void)state;
	log_info("not shown");
	assert_int_equal(n_seen, 0);
	log_warning("shown %d", 5);
	assert_int_equal(n_seen, 1);
	assert_string_equal(seen, "shown 5");
	assert_int_equal(seen_level, LOG_LEVEL_WARNING);
	log_set_level(LOG_LEVEL_DEBUG);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	log_debug("shown");
	assert_int_equal(n_seen, 2);
}

static void test_errno_survives_and_its_text_ends_the_line(void **state)
{
	(void)state;
	errno = EAGAIN;
	assert_int_equal(log_errno(-ENOSPC, "%s: cannot write", "a"), -ENOSPC);
	assert_int_equal(errno, EAGAIN);
	assert_string_equal(seen, "a: cannot write: No space left on device");
	log_errno(-EBADMSG, "a");
	assert_string_equal(seen, "a: contents do not match their checksum");
}

static void test_controls_and_broken_utf8_are_escaped(void **state)
{
	(void)state;
	log_error("%s", "a\nb\x1b[0m\x7f");
	assert_string_equal(seen, "a\\x0ab\\x1b[0m\\x7f");
	log_error("%s", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac \xf0\x9f\x98\x80");
	assert_string_equal(seen, "gr\xc3\xbc\xc3\x9f\xe2\x82\xac \xf0\x9f\x98\x80");
	/* overlong, surrogate, beyond the last character, C1 control, cut, lone tail */
	log_error("%s", "\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xc2\x9b \x80");
	assert_string_equal(seen,
			    "\\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xc2\\x9b \\x80");
	log_error("%s", "\xe2\x82");
	assert_string_equal(seen, "\\xe2\\x82");
}

static void test_long_lines_are_cut_but_keep_their_reason(void **state)
{
	static char text[5000];

	(void)state;
	for (size_t n = 1; n < sizeof(text); n++) {
		memset(text, n % 2 ? 'x' : '\x01', n);
		text[n] = '\0';
		log_error("%s", text);
		assert_true(strlen(seen) < 2048);
		log_errno(-ENOENT, "%s", text);
		assert_true(strlen(seen) < 2048);
		assert_string_equal(seen + strlen(seen) - 27, ": No such file or directory");
	}
	assert_non_null(strstr(seen, "...: No such"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_levels_above_the_chosen_one_are_dropped, start),
		cmocka_unit_test_setup(test_errno_survives_and_its_text_ends_the_line, start),
		cmocka_unit_test_setup(test_controls_and_broken_utf8_are_escaped, start),
		cmocka_unit_test_setup(test_long_lines_are_cut_but_keep_their_reason, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
