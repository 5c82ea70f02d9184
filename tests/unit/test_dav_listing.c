/* SPDX-License-Identifier: MIT */
#include "sync/dav_listing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Everything that was visited, one line each. */
struct seen {
	char text[1024];
	int result;
};

static int note(void *context, const struct dav_resource *resource)
{
	struct seen *s = context;
	const size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%s %c %d %d\n", resource->path,
		       resource->is_folder ? 'd' : '-',
		       resource->has_size ? (int)resource->size : -1, (int)resource->modified_s);
	return s->result;
}

#define OPEN "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">"
#define CLOSE "</D:multistatus>"
#define FOLDER(href)                                                                \
	"<D:response><D:href>" href "</D:href><D:propstat><D:prop><D:resourcetype>" \
	"<D:collection/></D:resourcetype></D:prop></D:propstat></D:response>"
#define OBJECT(href, size)                                                     \
	"<D:response><D:href>" href "</D:href><D:propstat><D:prop>"            \
	"<D:getcontentlength>" size "</D:getcontentlength><D:resourcetype/>"   \
	"<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>" \
	"</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"

static int children(const char *text, struct seen *seen)
{
	*seen = (struct seen){ .result = 0 };
	return dav_listing_children(text, strlen(text), note, seen);
}

static void test_the_children_of_a_folder_are_listed(void **state)
{
	struct seen seen;

	(void)state;
	assert_int_equal(children(OPEN FOLDER("/dav/r/packs/") OBJECT("/dav/r/packs/a", "16")
					  FOLDER("/dav/r/packs/b/") CLOSE,
				  &seen),
			 0);
	assert_string_equal(seen.text, "a - 16 784111777\nb d -1 0\n");
	/* Whole URLs, encoded, under another path than asked for, itself in the middle. */
	assert_int_equal(children(OPEN OBJECT("https://h:1/x/%61", "0") FOLDER("https://h:1/x")
					  CLOSE,
				  &seen),
			 0);
	assert_string_equal(seen.text, "a - 0 784111777\n");
	/* The server's own root. */
	assert_int_equal(children(OPEN FOLDER("/") OBJECT("/config", "5") CLOSE, &seen), 0);
	assert_string_equal(seen.text, "config - 5 784111777\n");
	/* Empty. */
	assert_int_equal(children(OPEN FOLDER("/a/b/") CLOSE, &seen), 0);
	assert_string_equal(seen.text, "");
}

static void test_properties_that_are_not_there_do_not_hide_those_that_are(void **state)
{
	struct seen seen;

	(void)state;
	/* As Apache and Nextcloud write it. */
	assert_int_equal(
		children("<d:multistatus xmlns:d=\"DAV:\" xmlns:lp1=\"DAV:\"><d:response>"
			 "<d:href>/f/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/>"
			 "</d:resourcetype></d:prop></d:propstat></d:response>"
			 "<d:response xmlns:g0=\"DAV:\"><d:href>\n /f/a\n</d:href>"
			 "<d:propstat><d:prop><lp1:getcontentlength>7</lp1:getcontentlength>"
			 "<lp1:resourcetype/></d:prop><d:status>HTTP/1.1 200 OK</d:status>"
			 "</d:propstat><d:propstat><d:prop><g0:getlastmodified/>"
			 "<g0:getcontentlength/></d:prop><d:status>HTTP/1.1 404 Not Found"
			 "</d:status></d:propstat></d:response></d:multistatus>",
			 &seen),
		0);
	assert_string_equal(seen.text, "a - 7 0\n");
}

static void test_what_is_no_listing_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<html><body>Welcome</body>",
		OPEN "<D:response><D:href>/a%0</D:href></D:response>" CLOSE,
		OPEN "<D:response><D:href>/a%00b</D:href></D:response>" CLOSE,
		OPEN "<D:response></D:response>" CLOSE,
		"<!DOCTYPE x [<!ENTITY e \"eeee\">]><x>&e;</x>",
	};
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(children(bad[i], &seen), -EPROTO);
	assert_int_equal(children("<html/>", &seen), 0);
	assert_string_equal(seen.text, "");
}

static void test_a_visitor_ends_the_reading(void **state)
{
	const char *text = OPEN OBJECT("/a", "1") OBJECT("/b", "2") CLOSE;
	struct seen seen = { .result = -ENOMEM };

	(void)state;
	assert_int_equal(dav_listing_parse(text, strlen(text), note, &seen), -ENOMEM);
	assert_string_equal(seen.text, "/a - 1 784111777\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_children_of_a_folder_are_listed),
		cmocka_unit_test(test_properties_that_are_not_there_do_not_hide_those_that_are),
		cmocka_unit_test(test_what_is_no_listing_is_refused),
		cmocka_unit_test(test_a_visitor_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
