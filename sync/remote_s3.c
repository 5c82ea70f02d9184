/* SPDX-License-Identifier: MIT */
/*
 * An S3 bucket as a remote, one PUT an object (packs are 32 MiB at most).
 *
 * A PUT is all or nothing there, and the hash of its body, which is signed and
 * which servers compare, keeps wrong bytes out. Putting again replaces an
 * object by the same bytes. No conditional writes: not all servers have them,
 * and names are written once.
 */
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/s3_answer.h"
#include "sync/s3_client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMOTE_S3_MAGIC 0x73337233u
#define LIST_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define EMPTY_PAGES_MAX 1000
#define PROBE_NAME_BYTES 64

struct remote_s3 {
	struct remote remote; /* first, so that a struct remote * is ours */
	uint32_t magic;
	struct s3_client *client;
};

static struct remote_s3 *s3_of(struct remote *remote)
{
	struct remote_s3 *s = (struct remote_s3 *)remote;

	assert(s->magic == REMOTE_S3_MAGIC);
	return s;
}

/* Run a request of whose answer only the success counts. */
static int run(struct remote_s3 *s, const struct s3_request *request)
{
	struct transfer_answer answer;
	int r;

	r = s3_client_run(s->client, request, &answer);
	if (r < 0)
		return r == -ERANGE ? -EPROTO : r;
	transfer_answer_done(&answer);
	return 0;
}

static int s3_put(struct remote *remote, const char *name, const struct remote_body *body,
		  const volatile bool *cancel)
{
	return run(s3_of(remote),
		   &(struct s3_request){
			   .method = "PUT", .name = name, .body = body, .cancel = cancel });
}

/* What came must be what was asked for: there, and as much, or up to the end. */
static int check_range(const struct transfer_answer *a, uint64_t offset, size_t n)
{
	if (a->status != 206 || a->range_offset != offset || a->n > n || a->n == 0)
		return -EPROTO;
	return a->n == n || a->range_total == offset + a->n ? 0 : -EPROTO;
}

static int64_t s3_get(struct remote *remote, const char *name, uint64_t offset, void *to, size_t n,
		      const volatile bool *cancel)
{
	struct transfer_answer answer;
	int64_t got;
	int r;

	r = s3_client_run(s3_of(remote)->client,
			  &(struct s3_request){
				  .method = "GET",
				  .name = name,
				  .range_offset = offset,
				  .range_n = n,
				  .to = to,
				  .room = n,
				  .cancel = cancel,
			  },
			  &answer);
	if (r == -ERANGE)
		return 0; /* at the end, or beyond */
	if (r < 0)
		return r;
	r = check_range(&answer, offset, n);
	got = (int64_t)answer.n;
	transfer_answer_done(&answer);
	if (r < 0)
		log_info("%s/%s: an answer to a range that is not that range", remote->url, name);
	return r < 0 ? r : got;
}

/* HEAD's answer has no body that says what is missing, or why it is refused: a GET's has. */
static int why_not(struct remote_s3 *s, const char *name, int r)
{
	uint8_t byte;
	const int64_t got = s3_get(&s->remote, name, 0, &byte, 1, NULL);

	return got < 0 ? (int)got : r;
}

static int s3_head(struct remote *remote, const char *name, struct remote_stat *ret_stat)
{
	struct remote_s3 *s = s3_of(remote);
	struct transfer_answer answer;
	int r;

	r = s3_client_run(s->client, &(struct s3_request){ .method = "HEAD", .name = name },
			  &answer);
	if (r == -EREMOTEIO || r == -EACCES)
		return why_not(s, name, r);
	if (r < 0)
		return r;
	if (answer.content_length == UINT64_MAX) {
		r = -EPROTO;
	} else {
		ret_stat->size = answer.content_length;
		ret_stat->mtime_ns = answer.modified_s * 1000000000;
	}
	transfer_answer_done(&answer);
	return r;
}

/* ---- lists ---- */

struct listing {
	struct remote_s3 *s;
	char *key_prefix;
	remote_list_visitor *visit;
	void *context;
	const volatile bool *cancel;
};

static int get_page(const struct listing *l, const char *token, struct s3_page *ret_page)
{
	const struct sigv4_pair query[] = {
		{ "list-type", "2" },
		{ "max-keys", "1000" },
		{ "encoding-type", "url" },
		{ "prefix", l->key_prefix },
		{ "continuation-token", token },
	};
	struct transfer_answer answer;
	int r;

	static_assert(REMOTE_LIST_PAGE == 1000, "as asked for above");
	r = s3_client_run(l->s->client,
			  &(struct s3_request){
				  .method = "GET",
				  .query = query,
				  .n_query = token ? 5 : 4,
				  .collect_max = LIST_BYTES_MAX,
				  .cancel = l->cancel,
			  },
			  &answer);
	if (r == -ENOENT || r == -ERANGE)
		return -EREMOTEIO; /* no object was asked for */
	if (r < 0)
		return r;
	r = s3_page_read(answer.data, answer.data_n, ret_page);
	transfer_answer_done(&answer);
	if (r == -EPROTO)
		log_info("%s: an answer to a listing that is none", l->s->remote.url);
	return r;
}

static int visit_page(const struct listing *l, const struct s3_page *page)
{
	const char *const prefix = s3_client_prefix(l->s->client);
	const size_t prefix_n = strlen(prefix);

	for (size_t i = 0; i < page->n; i++) {
		const struct s3_object *object = s3_page_object(page, i);
		const struct remote_stat stat = { object->size, object->mtime_ns };
		const char *key = s3_page_key(page, i);
		int r;

		if (strncmp(key, prefix, prefix_n) != 0)
			return -EPROTO;
		r = l->visit(l->context, key + prefix_n, &stat);
		if (r != 0)
			return r;
	}
	return 0;
}

static int list_pages(const struct listing *l)
{
	CLEANUP(free_ptr) char *token = NULL;
	int n_empty = 0;

	do {
		CLEANUP(s3_page_done_ptr) struct s3_page page = { 0 };
		int r;

		r = get_page(l, token, &page);
		if (r == 0)
			r = visit_page(l, &page);
		if (r != 0)
			return r;
		n_empty = page.n > 0 ? 0 : n_empty + 1;
		if (n_empty > EMPTY_PAGES_MAX)
			return -EPROTO;
		free(token);
		token = STEAL(page.next);
	} while (token);
	return 0;
}

static int s3_list(struct remote *remote, const char *prefix, remote_list_visitor *visit,
		   void *context, const volatile bool *cancel)
{
	struct remote_s3 *s = s3_of(remote);
	CLEANUP(free_ptr) char *key_prefix = NULL;
	struct listing l = { .s = s, .visit = visit, .context = context, .cancel = cancel };

	if (asprintf(&key_prefix, "%s%s", s3_client_prefix(s->client), prefix) < 0) {
		key_prefix = NULL;
		return -ENOMEM;
	}
	l.key_prefix = key_prefix;
	return list_pages(&l);
}

static int s3_remove(struct remote *remote, const char *name)
{
	const int r = run(s3_of(remote), &(struct s3_request){ .method = "DELETE", .name = name });

	return r == -ENOENT ? 0 : r;
}

/* ---- probe ---- */

static const char probe_text[] = "yore tries this bucket out";

static int count_name(void *context, const char *name, const struct remote_stat *stat)
{
	int *n = context;

	(void)name;
	*n += stat->size == sizeof(probe_text);
	return 0;
}

static int try_object(struct remote *remote, const char *name)
{
	struct remote_body body = { .data = probe_text, .size = sizeof(probe_text) };
	struct remote_stat stat;
	char part[8];
	int64_t got;
	int n = 0;
	int r;

	sha256_of(probe_text, sizeof(probe_text), body.sha256);
	r = s3_put(remote, name, &body, NULL);
	if (r == 0) /* again: replacing is a right of its own with some servers */
		r = s3_put(remote, name, &body, NULL);
	if (r == 0)
		r = s3_head(remote, name, &stat);
	if (r == 0)
		r = s3_list(remote, name, count_name, &n, NULL);
	if (r < 0)
		return r == -ENOENT ? -EPROTO : r;
	got = s3_get(remote, name, 5, part, sizeof(part), NULL);
	if (got < 0)
		return (int)got;
	if (got != sizeof(part) || memcmp(part, probe_text + 5, sizeof(part)) != 0)
		return -EBADMSG;
	if (n != 1 || stat.size != sizeof(probe_text))
		return log_errno(-EPROTO, "%s: it does not list what was put there", remote->url);
	return 0;
}

/* Put bytes under the hash of others. Returns 1 when that is refused, 0 when it is not. */
static int try_wrong_hash(struct remote *remote, const char *name)
{
	struct remote_body body = { .data = probe_text, .size = sizeof(probe_text) };
	int r;

	sha256_of("another", 7, body.sha256);
	r = s3_put(remote, name, &body, NULL);
	return r == -EBADMSG ? 1 : r;
}

static int s3_probe(struct remote *remote, struct remote_abilities *ret_abilities)
{
	struct remote_s3 *s = s3_of(remote);
	struct remote_abilities abilities = { .atomic_put = true,
					      .ranges = true,
					      .free_bytes = UINT64_MAX };
	char name[PROBE_NAME_BYTES] = "probe/append-only"; /* stays: one for all times */
	uint8_t number[8];
	char hex[2 * sizeof(number) + 1];
	int r;

	if (!remote->append_only) {
		crypto_random(number, sizeof(number));
		(void)snprintf(name, sizeof(name), "probe/%s",
			       bytes_to_hex(number, sizeof(number), hex));
	}
	r = try_object(remote, name);
	if (r < 0)
		return r;
	r = try_wrong_hash(remote, name);
	if (r < 0)
		return r;
	abilities.checks_uploads = r == 1;
	r = remote->append_only ? -EACCES : s3_remove(remote, name);
	if (r < 0 && r != -EACCES)
		return r;
	abilities.deletes = r == 0;
	abilities.has_clock = s3_client_clock(s->client, &abilities.clock_skew_ms);
	*ret_abilities = abilities;
	return 0;
}

/* ---- making ---- */

static void s3_free(struct remote *remote)
{
	struct remote_s3 *s = s3_of(remote);

	s3_client_free(s->client);
	free(s);
}

static const struct remote_ops s3_ops = {
	.put = s3_put,
	.get = s3_get,
	.head = s3_head,
	.list = s3_list,
	.remove = s3_remove,
	.probe = s3_probe,
	.free = s3_free,
};

int remote_s3_new(const char *url, const struct remote_settings *settings, struct transfer *engine,
		  struct remote **ret_remote, char **ret_wrong)
{
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct remote_s3 *s;
	int r;

	assert(engine);
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->magic = REMOTE_S3_MAGIC;
	s->remote.ops = &s3_ops;
	remote = &s->remote;
	r = s3_client_new(url, settings, engine, remote, &s->client, ret_wrong);
	if (r < 0)
		return r;
	*ret_remote = STEAL(remote);
	return 0;
}
