/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/config_internal.h"
#include "tools/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char said[8192]; /* what was wrong in the last text, a line each */

static void hear(void *context, const char *text)
{
	size_t n = strlen(said);

	(void)context;
	(void)snprintf(said + n, sizeof(said) - n, "%s\n", text);
}

/* The problems of one file's text; `c` is to be done by the caller. */
static const char *problems(const char *text, struct config *c)
{
	struct config_loader l = { .problem = hear };

	said[0] = '\0';
	*c = (struct config){ 0 };
	assert_int_equal(config_loader_begin(&l, c), 0);
	assert_int_equal(config_loader_text(&l, "FILE", text, strlen(text)), 0);
	assert_int_equal(config_loader_end(&l), 0);
	assert_int_equal(l.n_problems > 0, said[0] != '\0');
	return said;
}

static void expect_wrong(const char *text, const char *expected)
{
	struct config c;
	const char *got = problems(text, &c);

	if (!strstr(got, expected))
		fail_msg("of '%s' is said '%s', not '%s'", text, got, expected);
	config_done(&c);
}

static const struct config_entry *entry(const struct config *c, const char *section,
					const char *name, const char *key)
{
	for (size_t i = 0; i < c->n_entries; i++)
		if (strcmp(c->entries[i].section, section) == 0 &&
		    strcmp(c->entries[i].name, name) == 0 && strcmp(c->entries[i].key, key) == 0)
			return &c->entries[i];
	fail_msg("no entry [%s %s] %s", section, name, key);
	return NULL;
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

/* Load folder/yore.conf as -c would. */
static int load(struct config *c)
{
	static char path[128];
	struct cmd_globals globals = { .config = path, .verbosity = -1 };

	(void)snprintf(path, sizeof(path), "%s/yore.conf", folder);
	return config_load(&globals, c);
}

static int set_up(void **state)
{
	char path[128];

	(void)state;
	(void)strcpy(folder, "/tmp/yore-config-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/conf.d", folder);
	(void)unsetenv("YORE_REPOSITORY");
	(void)setenv("HOME", "/home/me", 1);
	(void)unsetenv("XDG_DATA_HOME");
	return mkdir(path, 0755);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void test_nothing_said_gives_the_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_string_equal(problems("", &c), "");
	assert_int_equal(c.quiet_ms, 2000);
	assert_int_equal(c.longest_ms, 60000);
	assert_int_equal(c.full_walk_ms, 86400000);
	assert_string_equal(c.keep, RETENTION_DEFAULT);
	assert_int_equal(c.retention.n_rules, 6);
	assert_int_equal(c.cache_bytes, 256 << 20);
	assert_int_equal(c.changed_share, 50);
	assert_string_equal(c.on_alert, "");
	assert_true(c.mount_default);
	assert_int_equal(c.allow_other, geteuid() == 0);
	assert_int_equal(c.n_sources, 0);
	for (size_t i = 0; i < c.n_entries; i++)
		assert_int_equal(c.entries[i].origin, CONFIG_DEFAULT);
	config_done(&c);
}

static void test_every_setting_arrives_in_its_field(void **state)
{
	static const char text[] =
		"[source home dir]\n"
		"path = ~/Documents\n"
		"one-file-system = yes\nexclude-caches = on\n"
		"method = btrfs\nwatch = poll\n"
		"before = freeze --now \"a b\"\nafter = thaw\n"
		"hook-timeout = 90s\n"
		"[source dump]\npath=/dumps/db.sql\ncommand = pg_dump x | cat\n"
		"every = 1h 30min\n"
		"[snapshot]\nquiet = 500ms\nlongest=2min\nfull-walk=0\n"
		"poll-every = 1h\n"
		"[retention]\nkeep = daily for 7d,\n  monthly\n"
		"collect-every = 7d\nreserve = 1.5G\n"
		"[limits]\nnice = 5\nio = best-effort\ncpu = 50%\n"
		"read-rate = 20M/s\ncollect-rate = 5M\ncheck-rate = 0\n"
		"[mount]\npath =\nallow-other = no\ncache-size = 64 MiB\n"
		"[check]\ndata-every = 2w\n"
		"[alerts]\non-alert = mail me\nrepeat-every = 1h\n"
		"stale-after = 10min\ndisk-free-min = 4096\nchanged-share = 20\n";
	struct config c;

	(void)state;
	assert_string_equal(problems(text, &c), "");
	assert_int_equal(c.n_sources, 2);
	assert_string_equal(c.sources[0].name, "home dir");
	assert_string_equal(c.sources[0].path, "/home/me/Documents");
	assert_true(c.sources[0].one_file_system);
	assert_true(c.sources[0].exclude_caches);
	assert_int_equal(c.sources[0].method, CONFIG_METHOD_BTRFS);
	assert_int_equal(c.sources[0].watch, CONFIG_WATCH_POLL);
	assert_string_equal(c.sources[0].before, "freeze --now \"a b\"");
	assert_string_equal(c.sources[0].after, "thaw");
	assert_int_equal(c.sources[0].hook_timeout_ms, 90000);
	assert_string_equal(c.sources[1].command, "pg_dump x | cat");
	assert_int_equal(c.sources[1].every_ms, 5400000);
	assert_int_equal(c.quiet_ms, 500);
	assert_int_equal(c.longest_ms, 120000);
	assert_int_equal(c.full_walk_ms, 0);
	assert_int_equal(c.poll_every_ms, 3600000);
	assert_string_equal(c.keep, "daily for 7d, monthly");
	assert_int_equal(c.retention.n_rules, 2);
	assert_int_equal(c.collect_every_ms, 7 * 86400000);
	assert_int_equal(c.reserve_bytes, UINT64_C(3) << 29);
	assert_int_equal(c.nice, 5);
	assert_int_equal(c.io, CONFIG_IO_BEST_EFFORT);
	assert_int_equal(c.cpu_percent, 50);
	assert_int_equal(c.read_rate_bytes, 20 << 20);
	assert_int_equal(c.collect_rate_bytes, 5 << 20);
	assert_int_equal(c.check_rate_bytes, 0);
	assert_string_equal(c.mountpoint, "");
	assert_false(c.mount_default);
	assert_false(c.allow_other);
	assert_int_equal(c.cache_bytes, 64 << 20);
	assert_int_equal(c.data_every_ms, 14 * 86400000);
	assert_string_equal(c.on_alert, "mail me");
	assert_int_equal(c.repeat_every_ms, 3600000);
	assert_int_equal(c.stale_after_ms, 600000);
	assert_int_equal(c.disk_free_min_bytes, 4096);
	assert_int_equal(c.changed_share, 20);
	config_done(&c);
}

static void test_excludes_add_up_and_an_empty_one_clears(void **state)
{
	struct config c;

	(void)state;
	assert_string_equal(problems("[source a]\npath = /a\nexclude = *.o\n"
				     "exclude =\n    /tmp/*\n  # a comment\n\n\t!keep me\n"
				     "exclude = end\\ \nexclude = #kept\n",
				     &c),
			    "");
	assert_string_equal(c.sources[0].excludes, "*.o\n/tmp/*\n!keep me\nend\\ \n#kept\n");
	config_done(&c);
	assert_string_equal(
		problems("[source a]\npath = /a\nexclude = *.o\nexclude =\nexclude = b\n", &c), "");
	assert_string_equal(c.sources[0].excludes, "b\n");
	config_done(&c);
}

static void test_a_long_line_is_kept_whole(void **state)
{
	char text[3000], value[2001];
	struct config c;

	(void)state;
	memset(value, 'y', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "[alerts]\non-alert = %s\n", value);
	assert_string_equal(problems(text, &c), "");
	assert_string_equal(c.on_alert, value);
	config_done(&c);
}

static void test_bytes_that_are_no_utf8_and_windows_line_ends_are_fine(void **state)
{
	struct config c;

	(void)state;
	assert_string_equal(problems("\xef\xbb\xbf[source \xe4]\r\npath = /\xe4\xff/x\r\n"
				     "[source q]\npath = \"/ a\\n\\\"\\\\\\xe4 \"\n",
				     &c),
			    "");
	assert_string_equal(c.sources[0].name, "\xe4");
	assert_string_equal(c.sources[0].path, "/\xe4\xff/x");
	assert_string_equal(c.sources[1].path, "/ a\n\"\\\xe4 ");
	config_done(&c);
}

static void test_names_differ_by_case(void **state)
{
	struct config c;

	(void)state;
	assert_string_equal(problems("[source x]\npath=/a\n[source X]\npath=/b\n", &c), "");
	assert_int_equal(c.n_sources, 2);
	config_done(&c);
}

static void test_a_wrong_word_is_told_with_its_line_and_the_right_one(void **state)
{
	(void)state;
	expect_wrong("\n# x\n[snapsot]\nquiet=2s\n",
		     "FILE:3: unknown section [snapsot]; did you mean [snapshot]?");
	expect_wrong("[sorce a]\n", "FILE:1: unknown section [sorce]; did you mean [source NAME]?");
	expect_wrong("[snapshot]\n\nqiet = 2s\n",
		     "FILE:3: unknown key 'qiet'; did you mean 'quiet'?");
	expect_wrong("[source a]\npath=/a\nOneFileSystem = yes\n",
		     "FILE:3: unknown key 'OneFileSystem'; did you mean 'one-file-system'?");
	expect_wrong("[source a]\npath=/a\nexclude_caches = yes\n",
		     "did you mean 'exclude-caches'?");
	expect_wrong("[mount]\nquiet = 2s\n",
		     "FILE:2: [mount] has no key 'quiet'; it belongs to [snapshot]");
	expect_wrong("[mount]\nexclude = a\n", "it belongs to [source NAME]");
	expect_wrong("[mount]\nfrobnicate = 1\n", "FILE:2: unknown key 'frobnicate'");
}

static void test_each_bad_value_is_told(void **state)
{
	static const char *const cases[][2] = {
		{ "[snapshot]\nquiet = 2\n", "FILE:2: quiet = 2: it wants a time" },
		{ "[snapshot]\nquiet = -2s\n", "it wants a time" },
		{ "[snapshot]\nquiet = 25h\n", "at most 86400s" },
		{ "[snapshot]\nlongest = 1ms\n", "it must be at least 100ms" },
		{ "[snapshot]\nquiet = 2min\n", "FILE:2: 'quiet' (2min) is longer than 'longest'" },
		{ "[snapshot]\nfull-walk = 11y\n", "ten years" },
		{ "[retention]\nkeep = hurly for 2d\n", "FILE:2: keep = hurly for 2d: " },
		{ "[retention]\nreserve = many\n", "it wants a size" },
		{ "[retention]\nreserve = 99999999T\n", "it wants a size" },
		{ "[limits]\nnice = 20\n", "it wants a number from 0 to 19" },
		{ "[limits]\nnice = -1\n", "it wants a number" },
		{ "[limits]\nio = lazy\n", "it wants one of: idle best-effort" },
		{ "[limits]\nread-rate = 2M/h\n", "it wants bytes a second" },
		{ "[limits]\ncpu = 50 percent\n", "(percent)" },
		{ "[mount]\nallow-other = maybe\n", "it wants yes or no" },
		{ "[mount]\npath = backups\n", "it wants a path that begins with '/'" },
		{ "[mount]\ncache-size = 1M\n", "it must be at least 4M" },
		{ "[repository]\npath =\n", "it wants a path" },
		{ "[alerts]\nchanged-share = 101%\n", "from 0 to 100" },
		{ "[source a]\npath = \"/a\n", "it wants a path" },
		{ "[source a]\npath = \"/a\\q\"\n", "it wants a path" },
		{ "[source a]\npath=/a\nmethod = zfs\n", "it wants one of: auto plain btrfs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_wrong(cases[i][0], cases[i][1]);
}

static void test_what_makes_no_sense_is_told(void **state)
{
	(void)state;
	expect_wrong("[source]\npath = /a\n", "FILE:1: a source has a name of your choice");
	expect_wrong("[source a]\nexclude = x\n", "FILE:1: [source a] wants a line 'path = ...'");
	expect_wrong("[source a]\npath=/a\n[source b]\npath=/a/\n",
		     "FILE:4: [source b] is the same folder as [source a] of FILE:2");
	expect_wrong("[source a]\npath=/a\npath=/b\n",
		     "FILE:3: 'path' is set twice: first in line 2");
	expect_wrong("[source a]\npath=/a\nevery=1h\n", "FILE:3: 'every' is for sources with");
	expect_wrong("[source a]\npath=/a\ncommand=x\nexclude=y\n",
		     "FILE:4: 'exclude' is for folders");
	expect_wrong("[source a]\npath = /a\n  method = plain\n", "FILE:2: 'path' takes one line");
	expect_wrong("[source a]\npath=/a\nexclude = x\n  method = plain\n",
		     "FILE:3: 'method =' is indented");
	expect_wrong("path = /a\n", "FILE:1: 'path' stands before the first [section]");
	expect_wrong("[mount\n", "FILE:1: a section's line ends with ']'");
	expect_wrong("[mount]\nwhat\n", "FILE:2: this is neither");
	expect_wrong("[mount]\n= 1\n", "FILE:2: no key stands before");
	expect_wrong("[mount x]\n", "FILE:1: [mount] takes no name");
	expect_wrong("[]\n", "FILE:1: unknown section []");
}

static void test_all_problems_are_told_at_once(void **state)
{
	struct config c;
	const char *got = problems("[mount]\npath = x\nfoo = 1\n[limits]\nnice = x\n", &c);

	(void)state;
	assert_non_null(strstr(got, "FILE:2:"));
	assert_non_null(strstr(got, "FILE:3:"));
	assert_non_null(strstr(got, "FILE:5:"));
	config_done(&c);
}

static void test_a_file_indented_throughout_is_understood(void **state)
{
	struct config c;

	(void)state;
	assert_string_equal(
		problems("[source a]\n\tpath = /a\n\texclude = x\n\tmethod = plain\n", &c), "");
	assert_string_equal(c.sources[0].excludes, "x\n");
	assert_int_equal(c.sources[0].method, CONFIG_METHOD_PLAIN);
	config_done(&c);
}

static void test_drop_ins_follow_by_name_and_the_last_wins(void **state)
{
	struct config c;
	char *from;
	char expected[128];

	(void)state;
	write_file("yore.conf", "[snapshot]\nquiet = 1s\nlongest = 10s\n"
				"[source a]\npath = /a\nexclude = x\n");
	write_file("conf.d/20-b.conf", "[snapshot]\nquiet = 3s\n[source a]\nexclude = y\n");
	write_file("conf.d/10-a.conf", "\n[snapshot]\nquiet = 2s\nlongest = 20s\n");
	write_file("conf.d/.hidden.conf", "nonsense");
	write_file("conf.d/30-c.conf~", "nonsense");
	assert_int_equal(load(&c), EXIT_CODE_DONE);
	assert_int_equal(c.quiet_ms, 3000);
	assert_int_equal(c.longest_ms, 20000);
	assert_int_equal(c.n_files, 3);
	assert_string_equal(c.sources[0].excludes, "x\ny\n");
	from = config_entry_from(entry(&c, "snapshot", "", "longest"));
	(void)snprintf(expected, sizeof(expected), "%s/conf.d/10-a.conf:4", folder);
	assert_string_equal(from, expected);
	free(from);
	(void)snprintf(expected, sizeof(expected), "%s/yore.conf", folder);
	assert_string_equal(c.sources[0].file, expected);
	assert_int_equal(c.sources[0].line, 5);
	assert_string_equal(entry(&c, "source", "a", "path")->from, expected);
	assert_int_equal(entry(&c, "source", "a", "method")->origin, CONFIG_DEFAULT);
	config_done(&c);
}

static void test_an_option_beats_the_environment_and_that_the_file(void **state)
{
	struct cmd_globals globals = { .verbosity = -1 };
	char path[128];
	struct config c;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/yore.conf", folder);
	globals.config = path;
	write_file("yore.conf", "[repository]\npath = /of/file\n");
	assert_int_equal(config_load(&globals, &c), EXIT_CODE_DONE);
	assert_string_equal(c.repository, "/of/file");
	assert_int_equal(entry(&c, "repository", "", "path")->origin, CONFIG_FILE);
	config_done(&c);
	(void)setenv("YORE_REPOSITORY", "/of/environment", 1);
	assert_int_equal(config_load(&globals, &c), EXIT_CODE_DONE);
	assert_string_equal(c.repository, "/of/environment");
	assert_string_equal(entry(&c, "repository", "", "path")->from, "YORE_REPOSITORY");
	config_done(&c);
	globals.repository = "/of/option";
	assert_int_equal(config_load(&globals, &c), EXIT_CODE_DONE);
	assert_string_equal(c.repository, "/of/option");
	assert_int_equal(entry(&c, "repository", "", "path")->origin, CONFIG_OPTION);
	config_done(&c);
}

static void test_a_named_file_must_be_there(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c), EXIT_CODE_FAILED);
	assert_null(c.repository);
}

static void test_a_file_that_everybody_may_write_is_refused(void **state)
{
	struct config c;
	char path[128];

	(void)state;
	write_file("yore.conf", "");
	(void)snprintf(path, sizeof(path), "%s/yore.conf", folder);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(load(&c), EXIT_CODE_FAILED);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(load(&c), EXIT_CODE_DONE);
	config_done(&c);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(load(&c), EXIT_CODE_FAILED);
	}
}

static void test_a_huge_file_is_refused(void **state)
{
	struct config c;
	char path[128];

	(void)state;
	write_file("yore.conf", "");
	(void)snprintf(path, sizeof(path), "%s/yore.conf", folder);
	assert_int_equal(truncate(path, (1 << 20) + 1), 0);
	assert_int_equal(load(&c), EXIT_CODE_FAILED);
}

static void test_many_sections_are_bounded_and_quick(void **state)
{
	struct config c;
	char *text = malloc(1 << 20);
	size_t n = 0;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < 60000; i++)
		n += (size_t)snprintf(text + n, (1 << 20) - n, "[source %d]\n", i);
	assert_non_null(strstr(problems(text, &c), "more than 1000 sources"));
	assert_int_equal(c.n_sources, 1000);
	config_done(&c);
	free(text);
}

static void test_quoting_a_path_comes_back_the_same(void **state)
{
	static const char *const paths[] = { "/plain", "/a b",        "/ends ",    "/new\nline\t",
					     "\"",     "/q\"uo\\te ", "/\x7f\xe4", "/back\\slash" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *quoted = config_value_quote(paths[i]);

		assert_null(strchr(quoted, '\n'));
		assert_int_equal(config_value_unquote(quoted), 0);
		assert_string_equal(quoted, paths[i]);
		free(quoted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_said_gives_the_defaults),
		cmocka_unit_test(test_every_setting_arrives_in_its_field),
		cmocka_unit_test(test_excludes_add_up_and_an_empty_one_clears),
		cmocka_unit_test(test_a_long_line_is_kept_whole),
		cmocka_unit_test(test_bytes_that_are_no_utf8_and_windows_line_ends_are_fine),
		cmocka_unit_test(test_names_differ_by_case),
		cmocka_unit_test(test_a_wrong_word_is_told_with_its_line_and_the_right_one),
		cmocka_unit_test(test_each_bad_value_is_told),
		cmocka_unit_test(test_what_makes_no_sense_is_told),
		cmocka_unit_test(test_all_problems_are_told_at_once),
		cmocka_unit_test(test_a_file_indented_throughout_is_understood),
		cmocka_unit_test_setup_teardown(test_drop_ins_follow_by_name_and_the_last_wins,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_an_option_beats_the_environment_and_that_the_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_named_file_must_be_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_that_everybody_may_write_is_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_huge_file_is_refused, set_up, tear_down),
		cmocka_unit_test(test_many_sections_are_bounded_and_quick),
		cmocka_unit_test(test_quoting_a_path_comes_back_the_same),
	};

	(void)setenv("HOME", "/home/me", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
