/* SPDX-License-Identifier: MIT */
/*
 * A WebDAV server (RFC 4918) as a remote: nginx, Apache, Nextcloud, NAS boxes.
 *
 * What they have in common is less than the standard promises: If-None-Match
 * is ignored by nginx, half a PUT is kept by Nextcloud, a missing parent is
 * 409, 404 or 500. So: folders are written with a slash, Destination is a
 * whole URL, objects are staged (remote_staged.h), and a size is believed only
 * when it was asked for.
 */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/dav_listing.h"
#include "sync/remote_staged.h"
#include "sync/remote_url.h"
#include "sync/remote_walk.h"
#include "sync/transfer.h"
#include "sync/xml.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REMOTE_WEBDAV_MAGIC 0x64617672u
/* A folder's listing: some 100,000 objects of what servers write about each. */
#define LISTING_BYTES_MAX XML_BYTES_MAX

struct remote_webdav {
	struct remote remote; /* first, so that a struct remote * is ours */
	uint32_t magic;
	bool known; /* without a config it is not the remote */
	char *base; /* "https://host:port/path", encoded, no slash at its end */
	char *user, *password, *ca_file;
	struct transfer *engine; /* borrowed */
};

static struct remote_webdav *webdav_of(struct remote *r)
{
	struct remote_webdav *w = (struct remote_webdav *)r;

	assert(w);
	assert(w->magic == REMOTE_WEBDAV_MAGIC);
	return w;
}

/* ---- requests ---- */

/* The URL of an object, or of a folder when `name` ends in a slash or is "". NULL: no memory. */
static char *url_of(const struct remote_webdav *w, const char *name)
{
	char *url = NULL;

	return asprintf(&url, "%s/%s", w->base, name) < 0 ? NULL : url;
}

/* Run a request on `name`. Returns the status of its answer, or -errno. */
static int run(const struct remote_webdav *w, const char *name, struct transfer_request *request,
	       struct transfer_answer *ret_answer)
{
	const struct transfer_server server = {
		.user = w->user,
		.password = w->password,
		.ca_file = w->ca_file,
	};
	CLEANUP(free_ptr) char *url = url_of(w, name);
	int r;

	if (!url)
		return -ENOMEM;
	request->server = &server;
	request->url = url;
	r = transfer_run(w->engine, request, ret_answer);
	request->server = NULL;
	request->url = NULL;
	if (r < 0)
		return r;
	if (ret_answer->status == 401 || ret_answer->status == 403)
		log_warning("%s: %s %s is refused (HTTP %d): are the user and the password right?",
			    w->remote.url, request->method, name, ret_answer->status);
	else if (ret_answer->status >= 400 && ret_answer->status != 404)
		log_info("%s: %s %s: HTTP %d", w->remote.url, request->method, name,
			 ret_answer->status);
	return ret_answer->status;
}

/* The same for an answer of which only the status counts. */
static int run_plain(const struct remote_webdav *w, const char *method, const char *name,
		     const char *const *headers)
{
	struct transfer_request request = { .method = method, .headers = headers };
	struct transfer_answer answer = { 0 };
	const int status = run(w, name, &request, &answer);

	transfer_answer_done(&answer);
	return status;
}

/* In terms of remote.h; 423 (locked by somebody) passes by itself. */
static int meaning(int status)
{
	int r;

	if (status < 0)
		return status;
	if (status == 423)
		return -EAGAIN;
	r = transfer_status_error(status);
	return r == -EEXIST ? -EREMOTEIO : r;
}

/* Ask for properties. On 207 the answer's data are the caller's. */
static int propfind(const struct remote_webdav *w, const char *name, const char *depth,
		    struct transfer_answer *ret_answer)
{
	static const char text[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
				   "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/>"
				   "<D:getcontentlength/><D:getlastmodified/>"
				   "<D:quota-available-bytes/></D:prop></D:propfind>";
	const struct remote_body body = { .data = text, .size = sizeof(text) - 1 };
	const char *const headers[] = { depth, "Content-Type: application/xml; charset=utf-8",
					NULL };
	struct transfer_request request = {
		.method = "PROPFIND",
		.headers = headers,
		.body = &body,
		.collect_max = LISTING_BYTES_MAX,
	};

	return run(w, name, &request, ret_answer);
}

/* ---- is it there? ---- */

/* The first resource of an answer: that which was asked for. */
struct first {
	struct dav_resource resource;
	bool found;
};

static int take_first(void *context, const struct dav_resource *resource)
{
	struct first *first = context;

	if (!first->found)
		first->resource = *resource;
	first->found = true;
	first->resource.path = NULL; /* it does not outlive this call */
	return 0;
}

/* Properties of one name. Returns 0, -ENOENT (as the server says), or another -errno. */
static int ask(const struct remote_webdav *w, const char *name, struct dav_resource *ret_resource)
{
	struct transfer_answer answer = { 0 };
	struct first first = { 0 };
	int r;

	r = propfind(w, name, "Depth: 0", &answer);
	if (r == 207)
		r = dav_listing_parse(answer.data, answer.data_n, take_first, &first);
	else
		r = meaning(r);
	transfer_answer_done(&answer);
	if (r < 0)
		return r;
	if (!first.found)
		return -EPROTO;
	*ret_resource = first.resource;
	return 0;
}

/* Size and time of an object; -ENOENT as the server says it. */
static int stat_object(const struct remote_webdav *w, const char *name,
		       struct remote_stat *ret_stat)
{
	struct transfer_request request = { .method = "HEAD" };
	struct transfer_answer answer = { 0 };
	struct dav_resource resource;
	int r;

	r = meaning(run(w, name, &request, &answer));
	if (r == 0 && answer.content_length != UINT64_MAX) {
		*ret_stat = (struct remote_stat){ answer.content_length,
						  answer.modified_s * 1000000000 };
		transfer_answer_done(&answer);
		return 0;
	}
	transfer_answer_done(&answer);
	if (r < 0)
		return r;
	r = ask(w, name, &resource); /* a server that keeps sizes of files to itself */
	if (r < 0)
		return r;
	if (resource.is_folder)
		return -ENOENT;
	if (!resource.has_size)
		return -EPROTO;
	*ret_stat = (struct remote_stat){ resource.size, resource.modified_s * 1000000000 };
	return 0;
}

/* "Not found" is believed only while the remote's own folder is there. */
static int confirm_absent(const struct remote_webdav *w)
{
	struct dav_resource root;
	struct remote_stat stat;
	int r;

	r = ask(w, "", &root);
	if (r == 0 && w->known)
		r = stat_object(w, "config", &stat);
	if (r == -ENOENT) {
		log_info("%s: the remote's folder is not there, or is empty", w->remote.url);
		return -EREMOTEIO;
	}
	return r < 0 ? r : -ENOENT;
}

/* ---- put ---- */

static int webdav_look(struct remote *remote, const char *name, uint64_t size)
{
	const struct remote_webdav *w = webdav_of(remote);
	struct remote_stat stat;
	int r;

	r = stat_object(w, name, &stat);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return stat.size == size ? 1 : -EBADMSG;
}

/* Make the folders above `name`, but for the remote's own. */
static int make_folders(const struct remote_webdav *w, const char *name)
{
	char folder[REMOTE_NAME_BYTES_MAX + 2];
	int status;

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		const size_t n = (size_t)(slash - name) + 1;

		memcpy(folder, name, n);
		folder[n] = '\0';
		status = run_plain(w, "MKCOL", folder, NULL);
		if (status == 405) /* it is there */
			continue;
		if (status == 409 || status == 404)
			return -EREMOTEIO; /* the remote's own folder is missing */
		if (meaning(status) < 0)
			return meaning(status);
	}
	return 0;
}

static int send(const struct remote_webdav *w, const char *name, const struct remote_body *body,
		const volatile bool *cancel)
{
	static const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
	struct transfer_request request = {
		.method = "PUT",
		.headers = headers,
		.body = body,
		.cancel = cancel,
	};
	struct transfer_answer answer = { 0 };
	const int status = run(w, name, &request, &answer);

	transfer_answer_done(&answer);
	return status;
}

/* The many ways of saying that the folder above is missing: Apache's, nginx's for PUT, others'. */
static bool parent_missing(int status)
{
	return status == 409 || status == 404 || status == 500;
}

static int webdav_upload(struct remote *remote, const char *tmp, const struct remote_body *body,
			 const volatile bool *cancel)
{
	const struct remote_webdav *w = webdav_of(remote);
	int status, r;

	status = send(w, tmp, body, cancel);
	if (parent_missing(status)) {
		r = make_folders(w, tmp);
		if (r < 0)
			return r;
		status = send(w, tmp, body, cancel);
	}
	return meaning(status);
}

static int webdav_move(struct remote *remote, const char *tmp, const char *name)
{
	const struct remote_webdav *w = webdav_of(remote);
	CLEANUP(free_ptr) char *url = url_of(w, name);
	CLEANUP(free_ptr) char *destination = NULL;
	int status, r;

	if (!url || asprintf(&destination, "Destination: %s", url) < 0)
		return -ENOMEM;
	const char *const headers[] = { destination, "Overwrite: F", NULL };

	status = run_plain(w, "MOVE", tmp, headers);
	if (parent_missing(status)) {
		r = make_folders(w, name);
		if (r < 0)
			return r;
		status = run_plain(w, "MOVE", tmp, headers);
	}
	return status == 412 ? -EEXIST : meaning(status);
}

static void webdav_discard(struct remote *remote, const char *tmp)
{
	(void)run_plain(webdav_of(remote), "DELETE", tmp, NULL);
}

static const struct remote_stages stages = {
	.look = webdav_look,
	.upload = webdav_upload,
	.move = webdav_move,
	.discard = webdav_discard,
};

static int webdav_put(struct remote *remote, const char *name, const struct remote_body *body,
		      const volatile bool *cancel)
{
	return remote_staged_put(remote, &stages, name, body, cancel);
}

/* ---- get, head, list, remove ---- */

static int64_t webdav_get(struct remote *remote, const char *name, uint64_t offset, void *to,
			  size_t n, const volatile bool *cancel)
{
	const struct remote_webdav *w = webdav_of(remote);
	struct transfer_request request = {
		.method = "GET",
		.range_offset = offset,
		.range_n = n,
		.to = to,
		.room = n,
		.cancel = cancel,
	};
	struct transfer_answer answer = { 0 };
	int64_t got;
	int status;

	status = run(w, name, &request, &answer);
	got = (int64_t)answer.n;
	/* A server may send all of it instead, which is right for the beginning only. */
	if ((status == 206 && answer.range_offset != UINT64_MAX && answer.range_offset != offset) ||
	    (status == 200 && offset != 0) ||
	    (status >= 200 && status < 300 && status != 200 && status != 206))
		got = -EPROTO;
	else if (status == 416)
		got = 0; /* beyond the end */
	else if (meaning(status) < 0)
		got = meaning(status);
	transfer_answer_done(&answer);
	return got == -ENOENT ? confirm_absent(w) : got;
}

static int webdav_head(struct remote *remote, const char *name, struct remote_stat *ret_stat)
{
	const struct remote_webdav *w = webdav_of(remote);
	const int r = stat_object(w, name, ret_stat);

	return r == -ENOENT ? confirm_absent(w) : r;
}

static int take_child(void *context, const struct dav_resource *resource)
{
	const struct remote_stat stat = {
		.size = resource->size,
		.mtime_ns = resource->modified_s * 1000000000,
	};

	if (!resource->is_folder && !resource->has_size)
		return -EPROTO;
	return remote_entries_add(context, resource->path, resource->is_folder, &stat);
}

static int read_folder(void *context, const char *folder, struct remote_entries *to)
{
	const struct remote_webdav *w = context;
	char name[REMOTE_NAME_BYTES_MAX + 2];
	struct transfer_answer answer = { 0 };
	int r;

	(void)snprintf(name, sizeof(name), "%s%s", folder, folder[0] ? "/" : "");
	r = propfind(w, name, "Depth: 1", &answer);
	if (r == 207)
		r = dav_listing_children(answer.data, answer.data_n, take_child, to);
	else if (r == 404)
		r = confirm_absent(w);
	else
		r = meaning(r) == 0 ? -EPROTO : meaning(r);
	transfer_answer_done(&answer);
	return r;
}

static int webdav_list(struct remote *remote, const char *prefix, remote_list_visitor *visit,
		       void *context, const volatile bool *cancel)
{
	struct remote_webdav *w = webdav_of(remote);
	const struct remote_walk walk = {
		.prefix = prefix,
		.read = read_folder,
		.read_context = w,
		.visit = visit,
		.visit_context = context,
		.cancel = cancel,
	};
	int r;

	if (w->known) {
		r = confirm_absent(w);
		if (r != -ENOENT)
			return r;
	}
	return remote_walk_run(&walk);
}

static int webdav_remove(struct remote *remote, const char *name)
{
	const struct remote_webdav *w = webdav_of(remote);
	int r;

	r = meaning(run_plain(w, "DELETE", name, NULL));
	if (r == -ENOENT)
		r = confirm_absent(w);
	return r == -ENOENT ? 0 : r;
}

/* ---- probe ---- */

static void remove_quietly(void *context, const char *name)
{
	(void)run_plain(context, "DELETE", name, NULL);
}

/* The remote's own folder is made here and nowhere else: by the people who add it. */
static int find_root(const struct remote_webdav *w, struct remote_abilities *abilities)
{
	struct dav_resource root = { .quota_bytes = UINT64_MAX };
	int r;

	r = ask(w, "", &root);
	if (r == -ENOENT && !w->known) {
		r = meaning(run_plain(w, "MKCOL", "", NULL));
		if (r == 0)
			r = ask(w, "", &root);
	}
	if (r < 0)
		return r == -ENOENT ? -EREMOTEIO : r;
	if (!root.is_folder)
		return -EPROTO;
	abilities->free_bytes = root.quota_bytes;
	return 0;
}

/* Its clock, by the answer to a HEAD. */
static int look_at_clock(const struct remote_webdav *w, const char *name,
			 struct remote_abilities *abilities, int64_t *ret_now_ns)
{
	struct transfer_request request = { .method = "HEAD" };
	struct transfer_answer answer = { 0 };
	struct timespec now;
	int r;

	r = meaning(run(w, name, &request, &answer));
	(void)clock_gettime(CLOCK_REALTIME, &now);
	abilities->has_clock = r == 0 && answer.date_s > 0;
	if (abilities->has_clock)
		abilities->clock_skew_ms = (answer.date_s - (int64_t)now.tv_sec) * 1000;
	*ret_now_ns = answer.modified_s * 1000000000;
	transfer_answer_done(&answer);
	return r;
}

/* Put, read a part, move, find out whether a move replaces, remove. */
static int try_out(struct remote_webdav *w, const char *from, const char *to,
		   struct remote_abilities *abilities, int64_t *ret_now_ns)
{
	static const char text[] = "yore tries this server out";
	struct remote_body body = { .data = text, .size = sizeof(text) };
	struct remote *remote = &w->remote;
	char part[8];
	int64_t got;
	int r;

	r = webdav_upload(remote, from, &body, NULL);
	if (r == 0)
		r = webdav_look(remote, from, body.size) == 1 ? 0 : -EBADMSG;
	if (r == 0)
		r = webdav_move(remote, from, to);
	if (r == 0)
		r = webdav_upload(remote, from, &body, NULL);
	if (r < 0)
		return r == -ENOENT ? -EREMOTEIO : r;
	if (webdav_move(remote, from, to) != -EEXIST)
		log_info("%s: a move replaces what is there; names that are written once do not "
			 "need more",
			 remote->url);
	got = webdav_get(remote, to, 5, part, sizeof(part), NULL);
	abilities->ranges =
		got == (int64_t)sizeof(part) && memcmp(part, text + 5, sizeof(part)) == 0;
	r = look_at_clock(w, to, abilities, ret_now_ns);
	if (r == 0)
		abilities->deletes =
			meaning(run_plain(w, "DELETE", to, NULL)) == 0 && !remote->append_only;
	return r;
}

static int webdav_probe(struct remote *remote, struct remote_abilities *ret_abilities)
{
	struct remote_webdav *w = webdav_of(remote);
	struct remote_abilities abilities = { .atomic_put = true };
	int64_t now_ns = 0;
	char from[40], to[40];
	int r;

	r = find_root(w, &abilities);
	if (r < 0)
		return r;
	io_tmp_name(from);
	io_tmp_name(to);
	r = try_out(w, from, to, &abilities, &now_ns);
	if (r < 0 || !abilities.deletes)
		remove_quietly(w, to);
	remove_quietly(w, from);
	if (r == 0 && abilities.deletes)
		r = remote_walk_sweep(read_folder, remove_quietly, w, now_ns);
	if (r == 0)
		*ret_abilities = abilities;
	return r;
}

/* ---- life ---- */

static void webdav_free(struct remote *remote)
{
	struct remote_webdav *w = webdav_of(remote);

	if (w->password)
		crypto_wipe(w->password, strlen(w->password));
	free(w->base);
	free(w->user);
	free(w->password);
	free(w->ca_file);
	w->magic = 0;
	free(w);
}

static const struct remote_ops webdav_ops = {
	.put = webdav_put,
	.get = webdav_get,
	.head = webdav_head,
	.list = webdav_list,
	.remove = webdav_remove,
	.probe = webdav_probe,
	.free = webdav_free,
};

static int base_of(const struct remote_url *u, char **ret_base)
{
	CLEANUP(free_ptr) char *path = remote_url_encode(u->path);
	char port[8] = "";

	if (!path)
		return -ENOMEM;
	if (u->port)
		(void)snprintf(port, sizeof(port), ":%u", (unsigned int)u->port);
	if (asprintf(ret_base, "%s://%s%s%s%s", u->tls ? "https" : "http", u->host, port,
		     path[0] ? "/" : "", path) < 0) {
		*ret_base = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* NULL stays NULL. */
static int copy(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int remote_webdav_new(const char *url, const struct remote_settings *settings,
		      struct transfer *engine, struct remote **ret_remote, char **ret_wrong)
{
	CLEANUP(remote_url_done_ptr) struct remote_url parsed = { 0 };
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct remote_webdav *w;
	int r;

	assert(engine);
	r = remote_url_parse(url, &parsed, ret_wrong);
	if (r < 0)
		return r;
	assert(parsed.kind == REMOTE_KIND_WEBDAV);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	remote = &w->remote;
	remote->ops = &webdav_ops;
	w->magic = REMOTE_WEBDAV_MAGIC;
	w->known = settings->known;
	w->engine = engine;
	if (base_of(&parsed, &w->base) < 0 ||
	    copy(parsed.user ? parsed.user : settings->user, &w->user) < 0 ||
	    copy(settings->password, &w->password) < 0 || copy(settings->ca_file, &w->ca_file) < 0)
		return -ENOMEM;
	*ret_remote = STEAL(remote);
	return 0;
}
