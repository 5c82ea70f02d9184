/* SPDX-License-Identifier: MIT */
#include "sync/remote.h"

#include "sync/remote_url.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int make(const char *url, const struct remote_url *parsed,
		const struct remote_settings *settings, struct transfer *engine,
		struct remote **ret_remote, char **ret_wrong)
{
	switch (parsed->kind) {
	case REMOTE_KIND_FOLDER:
		return remote_dir_new(parsed->path, settings->known, ret_remote);
	case REMOTE_KIND_SFTP:
		return remote_sftp_new(url, settings, engine, ret_remote, ret_wrong);
	case REMOTE_KIND_WEBDAV:
		return remote_webdav_new(url, settings, engine, ret_remote, ret_wrong);
	case REMOTE_KIND_S3:
		return remote_s3_new(url, settings, engine, ret_remote, ret_wrong);
	}
	return -EINVAL;
}

int remote_open(const char *url, const struct remote_settings *settings, struct transfer *engine,
		struct remote **ret_remote, char **ret_wrong)
{
	static const struct remote_settings none;
	CLEANUP(remote_url_done_ptr) struct remote_url parsed = { 0 };
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	int r;

	assert(url);
	assert(ret_remote);
	assert(ret_wrong);
	if (!settings)
		settings = &none;
	r = remote_url_parse(url, &parsed, ret_wrong);
	if (r < 0)
		return r;
	assert(engine || parsed.kind == REMOTE_KIND_FOLDER);
	r = make(url, &parsed, settings, engine, &remote, ret_wrong);
	if (r < 0)
		return r;
	remote->append_only = settings->append_only;
	/* A password in it was refused above. */
	remote->url = strdup(parsed.kind == REMOTE_KIND_FOLDER ? parsed.path : url);
	if (!remote->url)
		return -ENOMEM;
	*ret_remote = STEAL(remote);
	return 0;
}

void remote_free(struct remote *r)
{
	if (!r)
		return;
	free(STEAL(r->url));
	r->ops->free(r);
}

static bool name_byte_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '/';
}

/* Names, or their beginnings, which may end in a slash. */
static bool prefix_valid(const char *prefix)
{
	size_t n = 0;

	for (; prefix[n]; n++)
		if (n == REMOTE_NAME_BYTES_MAX || !name_byte_valid(prefix[n]) ||
		    (prefix[n] == '/' && (n == 0 || prefix[n - 1] == '/')))
			return false;
	return true;
}

bool remote_name_valid(const char *name)
{
	const size_t n = strnlen(name, REMOTE_NAME_BYTES_MAX + 1);

	return n > 0 && prefix_valid(name) && name[n - 1] != '/';
}

int remote_put(struct remote *r, const char *name, const struct remote_body *body,
	       const volatile bool *cancel)
{
	assert(r);
	assert(body);
	assert(body->data || body->io || body->size == 0);
	if (!remote_name_valid(name) || body->size > INT64_MAX)
		return -EINVAL;
	if (cancel && *cancel)
		return -ECANCELED;
	return r->ops->put(r, name, body, cancel);
}

int64_t remote_get(struct remote *r, const char *name, uint64_t offset, void *to, size_t n,
		   const volatile bool *cancel)
{
	int64_t got;

	assert(r);
	assert(to || n == 0);
	if (!remote_name_valid(name) || n > INT64_MAX || offset > INT64_MAX - n)
		return -EINVAL;
	if (cancel && *cancel)
		return -ECANCELED;
	if (n == 0)
		return 0;
	got = r->ops->get(r, name, offset, to, n, cancel);
	assert(got < 0 || (uint64_t)got <= n);
	return got;
}

int remote_head(struct remote *r, const char *name, struct remote_stat *ret_stat)
{
	assert(r);
	assert(ret_stat);
	return remote_name_valid(name) ? r->ops->head(r, name, ret_stat) : -EINVAL;
}

/* What stands between a kind and the caller's visitor. */
struct listing {
	const char *prefix;
	size_t prefix_n;
	remote_list_visitor *visit;
	void *context;
	const volatile bool *cancel;
	char last[REMOTE_NAME_BYTES_MAX + 1];
};

/*
 * Names come from outside. Those that no object of ours can have are nobody's
 * business (a "lost+found", a NAS box's thumbnails); an order that is not kept
 * would make the caller take objects for absent.
 */
static int visit_checked(void *context, const char *name, const struct remote_stat *stat)
{
	struct listing *l = context;

	if (l->cancel && *l->cancel)
		return -ECANCELED;
	if (!remote_name_valid(name) || strncmp(name, l->prefix, l->prefix_n) != 0)
		return 0;
	if (strcmp(l->last, name) >= 0)
		return -EPROTO;
	(void)stpcpy(l->last, name); /* remote_name_valid() has bounded it */
	return l->visit(l->context, name, stat);
}

int remote_list(struct remote *r, const char *prefix, remote_list_visitor *visit, void *context,
		const volatile bool *cancel)
{
	struct listing l = {
		.prefix = prefix,
		.prefix_n = strlen(prefix),
		.visit = visit,
		.context = context,
		.cancel = cancel,
	};

	assert(r);
	assert(visit);
	if (!prefix_valid(prefix))
		return -EINVAL;
	if (cancel && *cancel)
		return -ECANCELED;
	return r->ops->list(r, prefix, visit_checked, &l, cancel);
}

int remote_remove(struct remote *r, const char *name)
{
	assert(r);
	if (!remote_name_valid(name))
		return -EINVAL;
	if (r->append_only)
		return -EPERM;
	return r->ops->remove(r, name);
}

int remote_probe(struct remote *r, struct remote_abilities *ret_abilities)
{
	assert(r);
	assert(ret_abilities);
	return r->ops->probe(r, ret_abilities);
}
