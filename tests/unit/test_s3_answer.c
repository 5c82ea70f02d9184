/* SPDX-License-Identifier: MIT */
#include "sync/s3_answer.h"
#include "sync/xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                         \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>" \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define TAIL "</ListBucketResult>"

static int read_page(const char *text, struct s3_page *page)
{
	return s3_page_read(text, strlen(text), page);
}

static int page_error(const char *text)
{
	struct s3_page page;
	const int r = read_page(text, &page);

	if (r == 0)
		s3_page_done(&page);
	return r;
}

static void test_a_page_is_read_with_its_token(void **state)
{
	struct s3_page page;

	(void)state;
	assert_int_equal(read_page(HEAD
				   "<Name>bucket</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount>"
				   "<IsTruncated>true</IsTruncated><Contents><Key>p/a</Key>"
				   "<LastModified>2009-10-12T17:50:30.000Z</LastModified>"
				   "<ETag>&quot;fba9&quot;</ETag><Size>434234</Size>"
				   "<Owner><ID>x</ID><Key>not this</Key></Owner></Contents>"
				   "<Contents><Size>0</Size><Key>p/b&amp;c</Key></Contents>"
				   "<NextContinuationToken>1ueG/+=</NextContinuationToken>" TAIL,
				   &page),
			 0);
	assert_int_equal(page.n, 2);
	assert_string_equal(s3_page_key(&page, 0), "p/a");
	assert_int_equal(s3_page_object(&page, 0)->size, 434234);
	assert_int_equal(s3_page_object(&page, 0)->mtime_ns, 1255369830000000000);
	assert_string_equal(s3_page_key(&page, 1), "p/b&c");
	assert_int_equal(s3_page_object(&page, 1)->mtime_ns, 0);
	assert_string_equal(page.next, "1ueG/+=");
	s3_page_done(&page);
}

static void test_keys_are_decoded_only_when_they_are_encoded(void **state)
{
	static const char contents[] = "<Contents><Key>a%2Fb+c</Key><Size>1</Size></Contents>"
				       "<Contents><Key>%00</Key><Size>1</Size></Contents>"
				       "<Contents><Key>%4</Key><Size>1</Size></Contents>";
	char text[1024];
	struct s3_page page;

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s<EncodingType>url</EncodingType>%s", HEAD, contents,
		       TAIL);
	assert_int_equal(read_page(text, &page), 0);
	assert_int_equal(page.n, 1);
	assert_string_equal(s3_page_key(&page, 0), "a/b c");
	assert_null(page.next);
	s3_page_done(&page);
	(void)snprintf(text, sizeof(text), "%s%s%s", HEAD, contents, TAIL);
	assert_int_equal(read_page(text, &page), 0);
	assert_int_equal(page.n, 3);
	assert_string_equal(s3_page_key(&page, 0), "a%2Fb+c");
	s3_page_done(&page);
}

static void test_what_is_no_page_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"<html><body>Please log in</body></html>",
		HEAD "<Contents><Key>a</Key><Size>1</Size></Contents>", /* cut off */
		HEAD "<Contents><Key>a</Key></Contents>" TAIL,
		HEAD "<Contents><Size>1</Size></Contents>" TAIL,
		HEAD "<Contents><Key>a</Key><Size>-1</Size></Contents>" TAIL,
		HEAD "<Contents><Key>a</Key><Size>9999999999999999999</Size></Contents>" TAIL,
		HEAD "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>" TAIL,
		HEAD "<IsTruncated>true</IsTruncated>" TAIL,
		HEAD "<IsTruncated>true</IsTruncated><NextContinuationToken/>" TAIL,
		"<Error><Code>NoSuchBucket</Code></Error>",
		"<!DOCTYPE x [<!ENTITY a \"aaaa\">]>" HEAD "<Name>&a;</Name>" TAIL,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(page_error(wrong[i]), -EPROTO);
	assert_int_equal(page_error(HEAD TAIL), 0);
}

static void test_depth_and_length_are_bounded(void **state)
{
	struct byte_buf b = { 0 };

	(void)state;
	byte_buf_append(&b, HEAD, strlen(HEAD));
	for (int i = 0; i < XML_DEPTH_MAX; i++)
		byte_buf_append(&b, "<a>", 3);
	byte_buf_u8(&b, 0);
	assert_int_equal(page_error((char *)b.data), -EPROTO);
	byte_buf_clear(&b);
	byte_buf_append(&b, HEAD "<Name>", strlen(HEAD "<Name>"));
	for (int i = 0; i < XML_TEXT_MAX + 1; i++)
		byte_buf_u8(&b, 'x');
	byte_buf_append(&b, "</Name>" TAIL, strlen("</Name>" TAIL) + 1);
	assert_int_equal(page_error((char *)b.data), -EPROTO);
	byte_buf_done(&b);
}

static void test_errors_are_read_and_made_printable(void **state)
{
	static const char text[] = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code>"
				   "<Message>The \xc3\xa4 key\n does not</Message>"
				   "<Region>eu-west-1</Region></Error>";
	struct s3_error e;

	(void)state;
	s3_error_read(text, strlen(text), &e);
	assert_string_equal(e.code, "NoSuchKey");
	assert_string_equal(e.message, "The  key does not");
	assert_string_equal(e.region, "eu-west-1");
	s3_error_read(text, strlen(text) - 3, &e);
	assert_string_equal(e.code, "");
	s3_error_read(NULL, 0, &e);
	assert_string_equal(e.code, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_page_is_read_with_its_token),
		cmocka_unit_test(test_keys_are_decoded_only_when_they_are_encoded),
		cmocka_unit_test(test_what_is_no_page_is_refused),
		cmocka_unit_test(test_depth_and_length_are_bounded),
		cmocka_unit_test(test_errors_are_read_and_made_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
