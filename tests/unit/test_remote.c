/* SPDX-License-Identifier: MIT */
#include "sync/remote.h"
#include "sync/remote_url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- URLs ---- */

struct good {
	const char *url;
	enum remote_kind kind;
	bool tls, from_home;
	uint16_t port;
	const char *user, *host, *path;
};

static void assert_same(const char *is, const char *expected)
{
	if (!expected)
		assert_null(is);
	else
		assert_string_equal(is, expected);
}

static void test_each_kind_of_url_is_taken_apart(void **state)
{
	static const struct good good[] = {
		{ "/mnt/usb/", REMOTE_KIND_FOLDER, 0, 0, 0, NULL, NULL, "/mnt/usb" },
		{ "/", REMOTE_KIND_FOLDER, 0, 0, 0, NULL, NULL, "/" },
		{ "/a%20b?#://", REMOTE_KIND_FOLDER, 0, 0, 0, NULL, NULL, "/a%20b?#:" },
		{ "file:///a%20b/", REMOTE_KIND_FOLDER, 0, 0, 0, NULL, NULL, "/a b" },
		{ "FILE://localhost/a", REMOTE_KIND_FOLDER, 0, 0, 0, NULL, NULL, "/a" },
		{ "sftp://me@nas/srv//y/", REMOTE_KIND_SFTP, 0, 0, 0, "me", "nas", "/srv/y" },
		{ "sftp://nas:2222/~/y", REMOTE_KIND_SFTP, 0, 1, 2222, NULL, "nas", "y" },
		{ "sftp://nas/~", REMOTE_KIND_SFTP, 0, 1, 0, NULL, "nas", "" },
		{ "sftp://nas/", REMOTE_KIND_SFTP, 0, 0, 0, NULL, "nas", "/" },
		{ "sftp://nas/~me/y", REMOTE_KIND_SFTP, 0, 0, 0, NULL, "nas", "/~me/y" },
		{ "sftp://a%40b@[fe80::1]:22/x", REMOTE_KIND_SFTP, 0, 0, 22, "a@b", "[fe80::1]",
		  "/x" },
		{ "dav://Box.Local", REMOTE_KIND_WEBDAV, 0, 0, 0, NULL, "box.local", "" },
		{ "davs://me@c:65535/remote.php/dav/My%20Files/", REMOTE_KIND_WEBDAV, 1, 0, 65535,
		  "me", "c", "remote.php/dav/My Files" },
		{ "s3://bucket", REMOTE_KIND_S3, 1, 0, 0, NULL, NULL, "bucket" },
		{ "s3://bucket/a/b/", REMOTE_KIND_S3, 1, 0, 0, NULL, NULL, "bucket/a/b" },
		{ "s3+http://127.0.0.1:9000/b/p", REMOTE_KIND_S3, 0, 0, 9000, NULL, "127.0.0.1",
		  "b/p" },
		{ "s3+https://ceph/b", REMOTE_KIND_S3, 1, 0, 0, NULL, "ceph", "b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct remote_url u;
		char *wrong;

		assert_int_equal(remote_url_parse(good[i].url, &u, &wrong), 0);
		assert_null(wrong);
		assert_int_equal(u.kind, good[i].kind);
		assert_int_equal(u.tls, good[i].tls);
		assert_int_equal(u.from_home, good[i].from_home);
		assert_int_equal(u.port, good[i].port);
		assert_same(u.user, good[i].user);
		assert_same(u.host, good[i].host);
		assert_same(u.path, good[i].path);
		remote_url_done(&u);
	}
}

static void test_wrong_urls_say_what_is_wrong(void **state)
{
	static const struct {
		const char *url, *says;
	} bad[] = {
		{ "", "whole path" },
		{ "backup", "whole path" },
		{ "../backup", "whole path" },
		{ "me@nas:backup", "sftp://user@host/path" },
		{ "https://cloud/x", "davs://" },
		{ "http://cloud/x", "dav://" },
		{ "ssh://nas/x", "sftp://" },
		{ "ftp://nas/x", "no known kind" },
		{ "://nas/x", "no known kind" },
		{ "file://nas/x", "this machine" },
		{ "file://", "name the folder" },
		{ "sftp://nas", "name the folder" },
		{ "sftp:///x", "no host" },
		{ "sftp://a b/x", "no host" },
		{ "sftp://-oProxyCommand/x", "no host" },
		{ "sftp://[::1/x", "no host" },
		{ "sftp://nas:/x", "port" },
		{ "sftp://nas:0/x", "port" },
		{ "sftp://nas:65536/x", "port" },
		{ "sftp://nas:+22/x", "port" },
		{ "sftp://[::1]22/x", "port" },
		{ "sftp://@nas/x", "user" },
		{ "sftp://%00@nas/x", "user" },
		{ "davs://a%3ab@nas/x", "colon" },
		{ "sftp://nas/a/../b", "parts" },
		{ "sftp://nas/%2e%2e/b", "parts" },
		{ "davs://nas/./b", "parts" },
		{ "sftp://nas/a%0ab", "control" },
		{ "sftp://nas/a\nb", "control" },
		{ "/a\nb", "control" },
		{ "sftp://nas/a%2", "hex" },
		{ "sftp://nas/a%zz", "hex" },
		{ "davs://nas/a?b", "?" },
		{ "davs://nas/a#b", "#" },
		{ "s3://", "name the bucket" },
		{ "s3:///x", "name the bucket" },
		{ "s3+https://ceph/", "name the bucket" },
		{ "s3+https://key@ceph/b", "takes no user" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct remote_url u;
		char *wrong = NULL;

		assert_int_equal(remote_url_parse(bad[i].url, &u, &wrong), -EINVAL);
		assert_non_null(wrong);
		if (!strstr(wrong, bad[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].url, wrong, bad[i].says);
		free(wrong);
	}
}

static void test_a_password_in_a_url_is_refused_and_not_repeated(void **state)
{
	static const char *const urls[] = { "sftp://me:geheim@nas/x", "davs://me:@nas/x",
					    "s3://KEY:geheim@bucket/x", "davs://:geheim@nas/x",
					    "sftp://me:ge@heim@nas/x" };

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct remote_url u;
		char *wrong = NULL;

		assert_int_equal(remote_url_parse(urls[i], &u, &wrong), -EPERM);
		assert_non_null(strstr(wrong, "password"));
		assert_null(strstr(wrong, "heim"));
		free(wrong);
	}
}

static void test_a_url_of_any_length_is_judged(void **state)
{
	char url[REMOTE_URL_BYTES_MAX + 2];
	struct remote_url u;
	char *wrong;

	(void)state;
	memset(url, 'a', sizeof(url));
	url[0] = '/';
	url[sizeof(url) - 1] = '\0';
	assert_int_equal(remote_url_parse(url, &u, &wrong), -EINVAL);
	free(wrong);
	url[sizeof(url) - 2] = '\0';
	assert_int_equal(remote_url_parse(url, &u, &wrong), 0);
	remote_url_done(&u);
}

static void test_paths_are_encoded(void **state)
{
	char *text = remote_url_encode("a b/%~\xc3\xa4?.-_");

	(void)state;
	assert_string_equal(text, "a%20b/%25~%C3%A4%3F.-_");
	free(text);
}

/* ---- what stands before every kind ---- */

struct fake {
	struct remote remote;
	const char *const *names; /* what it lists */
	int n_calls;
};

static int fake_list(struct remote *r, const char *prefix, remote_list_visitor *visit,
		     void *context, const volatile bool *cancel)
{
	struct fake *f = (struct fake *)r;
	const struct remote_stat stat = { .size = 1 };

	(void)prefix;
	(void)cancel;
	for (const char *const *name = f->names; *name; name++) {
		const int is = visit(context, *name, &stat);

		if (is != 0)
			return is;
	}
	return 0;
}

static int fake_remove(struct remote *r, const char *name)
{
	(void)name;
	((struct fake *)r)->n_calls++;
	return 0;
}

static void fake_free(struct remote *r)
{
	(void)r;
}

static const struct remote_ops fake_ops = {
	.list = fake_list,
	.remove = fake_remove,
	.free = fake_free,
};

static int count(void *context, const char *name, const struct remote_stat *stat)
{
	assert_true(remote_name_valid(name));
	assert_int_equal(stat->size, 1);
	++*(int *)context;
	return 0;
}

static void test_names_are_checked(void **state)
{
	static const char *const bad[] = { "",    "/a", "a/",  "a//b", "A",  "a b",
					   "a.b", "..", "a_b", "a\n",  "a%", "\xc3\xa4" };
	char longest[REMOTE_NAME_BYTES_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(remote_name_valid(bad[i]));
	assert_true(remote_name_valid("config"));
	assert_true(remote_name_valid("packs/0123-ab/00/f"));
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_false(remote_name_valid(longest));
	longest[sizeof(longest) - 2] = '\0';
	assert_true(remote_name_valid(longest));
}

static void test_strange_names_in_a_list_are_nobodys_business(void **state)
{
	static const char *const names[] = { "lost+found", "packs/..",  "packs/a", "packs/b.tmp",
					     "packs/c",    "records/a", NULL };
	struct fake f = { .remote = { .ops = &fake_ops }, .names = names };
	bool cancel = true;
	int n = 0;

	(void)state;
	assert_int_equal(remote_list(&f.remote, "packs/", count, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(remote_list(&f.remote, "packs/", count, &n, &cancel), -ECANCELED);
	assert_int_equal(remote_list(&f.remote, "packs//", count, &n, NULL), -EINVAL);
	assert_int_equal(remote_list(&f.remote, "../", count, &n, NULL), -EINVAL);
}

static void test_a_list_out_of_order_is_no_list(void **state)
{
	static const char *const swapped[] = { "b", "a", NULL };
	static const char *const twice[] = { "a", "a", NULL };
	struct fake f = { .remote = { .ops = &fake_ops }, .names = swapped };
	int n = 0;

	(void)state;
	assert_int_equal(remote_list(&f.remote, "", count, &n, NULL), -EPROTO);
	f.names = twice;
	assert_int_equal(remote_list(&f.remote, "", count, &n, NULL), -EPROTO);
}

static void test_an_append_only_remote_is_never_asked_to_remove(void **state)
{
	struct fake f = { .remote = { .ops = &fake_ops, .append_only = true } };

	(void)state;
	assert_int_equal(remote_remove(&f.remote, "packs/a"), -EPERM);
	assert_int_equal(f.n_calls, 0);
	f.remote.append_only = false;
	assert_int_equal(remote_remove(&f.remote, "../a"), -EINVAL);
	assert_int_equal(f.n_calls, 0);
	assert_int_equal(remote_remove(&f.remote, "packs/a"), 0);
	assert_int_equal(f.n_calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind_of_url_is_taken_apart),
		cmocka_unit_test(test_wrong_urls_say_what_is_wrong),
		cmocka_unit_test(test_a_password_in_a_url_is_refused_and_not_repeated),
		cmocka_unit_test(test_a_url_of_any_length_is_judged),
		cmocka_unit_test(test_paths_are_encoded),
		cmocka_unit_test(test_names_are_checked),
		cmocka_unit_test(test_strange_names_in_a_list_are_nobodys_business),
		cmocka_unit_test(test_a_list_out_of_order_is_no_list),
		cmocka_unit_test(test_an_append_only_remote_is_never_asked_to_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
