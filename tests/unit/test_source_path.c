/* SPDX-License-Identifier: MIT */
#include "snapshots/source_path.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	char made[] = "/tmp/yore-test-XXXXXX";
	char *real;

	(void)state;
	assert_non_null(mkdtemp(made));
	real = realpath(made, NULL);
	assert_non_null(real);
	(void)snprintf(base, sizeof(base), "%s", real);
	free(real);
	assert_int_equal(chdir(base), 0);
	assert_int_equal(mkdir("real", 0755), 0);
	assert_int_equal(mkdir("real/inner", 0755), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Text below the test's folder resolves to the path below it. */
static struct source_path resolves(const char *text, const char *below)
{
	struct source_path p;
	char wanted[PATH_MAX];

	assert_int_equal(source_path_resolve(text, &p), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s%s%s", base, *below ? "/" : "", below);
	assert_string_equal(p.path, wanted);
	return p;
}

static void resolves_without_links(const char *text, const char *below)
{
	struct source_path p = resolves(text, below);

	assert_int_equal(p.n_links, 0);
	source_path_done(&p);
}

static void test_dots_and_slashes_are_taken_out(void **state)
{
	(void)state;
	resolves_without_links("real", "real");
	resolves_without_links("./real//inner/", "real/inner");
	resolves_without_links("real/./inner/..", "real");
	resolves_without_links(".", "");
	resolves_without_links("real/inner/../../real", "real");
}

static void test_the_root_is_a_slash(void **state)
{
	static const char *const roots[] = { "/", "//", "/..", "/../..", "/./" };

	(void)state;
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
		struct source_path p;

		assert_int_equal(source_path_resolve(roots[i], &p), 0);
		assert_string_equal(p.path, "/");
		source_path_done(&p);
	}
}

static void test_missing_components_are_kept(void **state)
{
	(void)state;
	resolves_without_links("no/such/folder", "no/such/folder");
	resolves_without_links("real/gone", "real/gone");
}

static void test_links_on_the_way_are_followed_and_listed(void **state)
{
	struct source_path p;
	char wanted[PATH_MAX];

	(void)state;
	assert_int_equal(symlink("real", "one"), 0);
	assert_int_equal(symlink("../one/inner", "real/two"), 0);
	p = resolves("real/two", "real/inner");
	assert_int_equal(p.n_links, 2);
	(void)snprintf(wanted, sizeof(wanted), "%s/real/two", base);
	assert_string_equal(p.links[0].path, wanted);
	assert_string_equal(p.links[0].target, "../one/inner");
	(void)snprintf(wanted, sizeof(wanted), "%s/one", base);
	assert_string_equal(p.links[1].path, wanted);
	assert_string_equal(p.links[1].target, "real");
	source_path_done(&p);
}

static void test_absolute_targets_become_relative(void **state)
{
	char target[PATH_MAX], wanted[PATH_MAX * 2];
	struct source_path p;

	(void)state;
	(void)snprintf(target, sizeof(target), "%s/real", base);
	assert_int_equal(symlink(target, "absolute"), 0);
	p = resolves("absolute/inner", "real/inner");
	assert_int_equal(p.n_links, 1);
	/* /tmp/yore-test-x/absolute lies two folders deep. */
	(void)snprintf(wanted, sizeof(wanted), "../../%s", target + 1);
	assert_string_equal(p.links[0].target, wanted);
	assert_int_equal(chdir(base), 0);
	source_path_done(&p);
}

static void test_a_loop_of_links_is_refused(void **state)
{
	struct source_path p;

	(void)state;
	assert_int_equal(symlink("round", "and"), 0);
	assert_int_equal(symlink("and", "round"), 0);
	assert_int_equal(source_path_resolve("round/x", &p), -ELOOP);
}

static void test_within_compares_whole_names(void **state)
{
	(void)state;
	assert_true(source_path_within("/a/b", "/a/b"));
	assert_true(source_path_within("/a/b/c", "/a/b"));
	assert_true(source_path_within("/a", "/"));
	assert_true(source_path_within("/", "/"));
	assert_false(source_path_within("/a/bc", "/a/b"));
	assert_false(source_path_within("/a", "/a/b"));
	assert_false(source_path_within("/", "/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dots_and_slashes_are_taken_out, setup,
						teardown),
		cmocka_unit_test(test_the_root_is_a_slash),
		cmocka_unit_test_setup_teardown(test_missing_components_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_on_the_way_are_followed_and_listed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_absolute_targets_become_relative, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_loop_of_links_is_refused, setup, teardown),
		cmocka_unit_test(test_within_compares_whole_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
