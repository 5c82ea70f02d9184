/* SPDX-License-Identifier: MIT */
/*
 * An SFTP server as a remote, through libcurl.
 *
 * A cut-off upload leaves what arrived under the name given, hence staging
 * (remote_staged.h). A rename onto a name that is there fails on servers of
 * protocol 3 (nearly all), and the failure has no reason: what is there is
 * looked at. libcurl cannot ask for one file's size; a read of two bytes at
 * the place where the last one must be tells whether a size is right, and only
 * remote_head() reads the folder's listing. There is no fsync: what the server
 * has acknowledged may be lost when its power fails.
 */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_staged.h"
#include "sync/remote_url.h"
#include "sync/remote_walk.h"
#include "sync/sftp_listing.h"
#include "sync/transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REMOTE_SFTP_MAGIC 0x73667472u
/* A folder's listing: some 500,000 lines. */
#define LISTING_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define COMMANDS_MAX (REMOTE_NAME_BYTES_MAX / 2 + 2) /* a folder for each "a/", and one more */

struct remote_sftp {
	struct remote remote; /* first, so that a struct remote * is ours */
	uint32_t magic;
	bool known; /* without a config it is not the remote */
	char *base; /* "sftp://host:port/path", encoded, no slash at its end */
	char *path; /* the same folder in commands: absolute, or below home; "" is home */
	char *user, *password, *key_file, *known_hosts;
	struct transfer *engine; /* borrowed */
};

static struct remote_sftp *sftp_of(struct remote *r)
{
	struct remote_sftp *s = (struct remote_sftp *)r;

	assert(s);
	assert(s->magic == REMOTE_SFTP_MAGIC);
	return s;
}

/* ---- requests ---- */

/* Run a request on `name`: an object; a folder when it ends in a slash or is "". */
static int run(const struct remote_sftp *s, const char *name, struct transfer_request *request,
	       struct transfer_answer *ret_answer)
{
	const struct transfer_server server = {
		.user = s->user,
		.password = s->password,
		.key_file = s->key_file,
		.known_hosts = s->known_hosts,
	};
	CLEANUP(free_ptr) char *url = NULL;
	int r;

	if (asprintf(&url, "%s/%s", s->base, name) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	request->server = &server;
	request->url = url;
	r = transfer_run(s->engine, request, ret_answer);
	request->server = NULL;
	request->url = NULL;
	if (r == -EACCES)
		log_warning("%s: the server refuses %s: are the user, the key or password, and "
			    "the rights of the folder right?",
			    s->remote.url, name[0] ? name : "to let us in");
	return r;
}

/* Names as libcurl reads them ("" is the remote's own folder), behind "VERB ". NULL: no memory; the
 * caller frees it. */
static char *command(const struct remote_sftp *s, const char *verb, const char *name,
		     const char *second)
{
	struct byte_buf b = { 0 };
	const char *const names[] = { name, second };

	byte_buf_append(&b, verb, strlen(verb));
	for (size_t i = 0; i < 2 && names[i]; i++) {
		byte_buf_append(&b, " \"", 2);
		for (const char *c = s->path; *c; c++) {
			if (*c == '"' || *c == '\'' || *c == '\\')
				byte_buf_u8(&b, '\\');
			byte_buf_u8(&b, (uint8_t)*c);
		}
		if (s->path[0] && strcmp(s->path, "/") != 0 && names[i][0])
			byte_buf_u8(&b, '/');
		byte_buf_append(&b, names[i], strlen(names[i])); /* nothing in them to quote */
		byte_buf_u8(&b, '"');
	}
	byte_buf_u8(&b, 0);
	if (b.failed) {
		byte_buf_done(&b);
		return NULL;
	}
	return (char *)b.data;
}

/* Commands of one request. */
struct commands {
	char *lines[COMMANDS_MAX + 1]; /* ended by NULL */
	size_t n;
	bool failed;
};

static void commands_done(struct commands *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->lines[i]);
}

static void add_command(struct commands *c, char *line)
{
	if (line && c->n < COMMANDS_MAX)
		c->lines[c->n++] = line;
	else
		c->failed = true;
}

/* Folders above `name`; those that are there do no harm. */
static void add_folders(const struct remote_sftp *s, struct commands *c, const char *name)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1];

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
		add_command(c, command(s, "*mkdir", folder, NULL));
	}
}

static int run_commands(const struct remote_sftp *s, const struct commands *c)
{
	struct transfer_request request = {
		.method = "HEAD",
		.sftp_before = (const char *const *)c->lines,
	};
	struct transfer_answer answer = { 0 };
	int r;

	if (c->failed)
		return -ENOMEM;
	r = run(s, "", &request, &answer);
	transfer_answer_done(&answer);
	return r;
}

/* ---- is it there? ---- */

static int list_folder(const struct remote_sftp *s, const char *folder,
		       struct transfer_answer *ret_answer)
{
	char name[REMOTE_NAME_BYTES_MAX + 2];
	struct transfer_request request = { .method = "GET", .collect_max = LISTING_BYTES_MAX };

	(void)snprintf(name, sizeof(name), "%s%s", folder, folder[0] ? "/" : "");
	return run(s, name, &request, ret_answer);
}

/* An entry that is looked for. */
struct search {
	const char *name;
	struct sftp_entry found;
	bool is_found;
};

static int compare_name(void *context, const struct sftp_entry *entry)
{
	struct search *search = context;

	if (strcmp(entry->name, search->name) != 0)
		return 0;
	search->found = *entry;
	search->is_found = true;
	return 1;
}

/* "Not found" is believed only while the remote's own folder is there. */
static int confirm_absent(const struct remote_sftp *s)
{
	struct search config = { .name = "config" };
	struct transfer_answer answer = { 0 };
	int r;

	r = list_folder(s, "", &answer);
	if (r == 0)
		(void)sftp_listing_parse(answer.data, answer.data_n, compare_name, &config);
	transfer_answer_done(&answer);
	if (r == -ENOENT || (r == 0 && s->known && !config.is_found)) {
		log_info("%s: the remote's folder is not there, or is empty", s->remote.url);
		return -EREMOTEIO;
	}
	return r < 0 ? r : -ENOENT;
}

/* A part of an object, read into `to`. */
struct part {
	uint64_t offset;
	size_t n;
	void *to;
	int64_t modified_s; /* set by reading */
};

/*
 * libcurl takes a connection for dead that was used before and from which no
 * byte comes, so that reading nothing (at the end, of an empty file) looks so.
 */
#define NOTHING_READ (-ETIMEDOUT)

/* Returns the count; -ENOENT as the server says it; NOTHING_READ or 0 at the end, -EREMOTEIO
 * beyond it. */
static int64_t read_part(const struct remote_sftp *s, const char *name, struct part *part,
			 const volatile bool *cancel)
{
	struct transfer_request request = {
		.method = "GET",
		.range_offset = part->offset,
		.range_n = part->n,
		.to = part->to,
		.room = part->n,
		.cancel = cancel,
	};
	struct transfer_answer answer = { 0 };
	const int r = run(s, name, &request, &answer);
	const int64_t got = (int64_t)answer.n;

	part->modified_s = answer.modified_s;
	transfer_answer_done(&answer);
	return r < 0 ? r : got;
}

/* Size of an object, by its folder's listing; -ENOENT as the server says it. */
static int stat_object(const struct remote_sftp *s, const char *name, struct remote_stat *ret_stat)
{
	char folder[REMOTE_NAME_BYTES_MAX + 1] = "";
	const char *slash = strrchr(name, '/');
	struct search search = { .name = slash ? slash + 1 : name };
	struct transfer_answer answer = { 0 };
	int r;

	if (slash)
		memcpy(folder, name, (size_t)(slash - name));
	r = list_folder(s, folder, &answer);
	if (r == 0)
		(void)sftp_listing_parse(answer.data, answer.data_n, compare_name, &search);
	transfer_answer_done(&answer);
	if (r < 0)
		return r;
	if (!search.is_found || search.found.is_folder)
		return -ENOENT;
	if (!search.found.known)
		return -EPROTO;
	*ret_stat = (struct remote_stat){ .size = search.found.size };
	return 0;
}

/* ---- put ---- */

static int sftp_look(struct remote *remote, const char *name, uint64_t size)
{
	const struct remote_sftp *s = sftp_of(remote);
	uint8_t bytes[2];
	struct part last = { .offset = size - 1, .n = sizeof(bytes), .to = bytes };
	struct remote_stat stat;
	int64_t got = NOTHING_READ;
	int r;

	if (size > 0)
		got = read_part(s, name, &last, NULL);
	if (got >= 0)
		return got == 1 ? 1 : -EBADMSG;
	if (got == -ENOENT)
		return 0;
	if (got != NOTHING_READ && got != -EREMOTEIO)
		return (int)got;
	r = stat_object(s, name, &stat);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	return stat.size == size ? 1 : -EBADMSG;
}

static int make_folders(const struct remote_sftp *s, const char *name)
{
	CLEANUP(commands_done) struct commands c = { 0 };

	add_folders(s, &c, name);
	return run_commands(s, &c);
}

static int send(const struct remote_sftp *s, const char *name, const struct remote_body *body,
		const volatile bool *cancel)
{
	struct transfer_request request = { .method = "PUT", .body = body, .cancel = cancel };
	struct transfer_answer answer = { 0 };
	const int r = run(s, name, &request, &answer);

	transfer_answer_done(&answer);
	return r;
}

/* What may still be written there; UINT64_MAX: unknown. */
static uint64_t free_bytes_of(const struct remote_sftp *s)
{
	CLEANUP(commands_done) struct commands c = { 0 };
	struct transfer_request request = {
		.method = "HEAD",
		.sftp_before = (const char *const *)c.lines,
	};
	struct transfer_answer answer = { .sftp_free_bytes = UINT64_MAX };
	uint64_t bytes = UINT64_MAX;

	add_command(&c, command(s, "*statvfs", "", NULL));
	if (!c.failed && run(s, "", &request, &answer) == 0)
		bytes = answer.sftp_free_bytes;
	transfer_answer_done(&answer);
	return bytes;
}

static int sftp_upload(struct remote *remote, const char *tmp, const struct remote_body *body,
		       const volatile bool *cancel)
{
	const struct remote_sftp *s = sftp_of(remote);
	int r;

	r = send(s, tmp, body, cancel);
	if (r == -ENOENT) {
		r = make_folders(s, tmp);
		if (r == 0)
			r = send(s, tmp, body, cancel);
	}
	/* A write that fails has no reason in this protocol; libcurl takes it for a broken line. */
	if ((r == -ETIMEDOUT || r == -EREMOTEIO) && free_bytes_of(s) < body->size)
		return -ENOSPC;
	return r;
}

static int rename_object(const struct remote_sftp *s, const char *tmp, const char *name,
			 bool with_folders)
{
	CLEANUP(commands_done) struct commands c = { 0 };

	if (with_folders)
		add_folders(s, &c, name);
	add_command(&c, command(s, "rename", tmp, name));
	return run_commands(s, &c);
}

static int sftp_move(struct remote *remote, const char *tmp, const char *name)
{
	const struct remote_sftp *s = sftp_of(remote);
	int r;

	r = rename_object(s, tmp, name, false);
	if (r == -ENOENT || r == -EREMOTEIO)
		r = rename_object(s, tmp, name, true);
	return r;
}

static void sftp_discard(struct remote *remote, const char *tmp)
{
	const struct remote_sftp *s = sftp_of(remote);
	CLEANUP(commands_done) struct commands c = { 0 };

	add_command(&c, command(s, "*rm", tmp, NULL));
	(void)run_commands(s, &c);
}

static const struct remote_stages stages = {
	.look = sftp_look,
	.upload = sftp_upload,
	.move = sftp_move,
	.discard = sftp_discard,
};

static int sftp_put(struct remote *remote, const char *name, const struct remote_body *body,
		    const volatile bool *cancel)
{
	return remote_staged_put(remote, &stages, name, body, cancel);
}

/* ---- get, head, list, remove ---- */

static int sftp_head(struct remote *remote, const char *name, struct remote_stat *ret_stat)
{
	const struct remote_sftp *s = sftp_of(remote);
	const int r = stat_object(s, name, ret_stat);

	return r == -ENOENT ? confirm_absent(s) : r;
}

static int64_t sftp_get(struct remote *remote, const char *name, uint64_t offset, void *to,
			size_t n, const volatile bool *cancel)
{
	const struct remote_sftp *s = sftp_of(remote);
	struct part part = { .offset = offset, .n = n, .to = to };
	struct remote_stat stat;
	int64_t got;

	got = read_part(s, name, &part, cancel);
	if (got == -ENOENT)
		return confirm_absent(s);
	if ((got == NOTHING_READ || got == -EREMOTEIO) && stat_object(s, name, &stat) == 0 &&
	    offset >= stat.size)
		return 0;
	return got;
}

static int take_entry(void *context, const struct sftp_entry *entry)
{
	const struct remote_stat stat = { .size = entry->size };

	if (!entry->known)
		return -EPROTO;
	return remote_entries_add(context, entry->name, entry->is_folder, &stat);
}

static int read_folder(void *context, const char *folder, struct remote_entries *to)
{
	const struct remote_sftp *s = context;
	struct transfer_answer answer = { 0 };
	int r;

	r = list_folder(s, folder, &answer);
	if (r == 0)
		r = sftp_listing_parse(answer.data, answer.data_n, take_entry, to);
	transfer_answer_done(&answer);
	if (r == -EPROTO)
		log_info("%s: the server's listings have a form that is not understood",
			 s->remote.url);
	return r == -ENOENT ? confirm_absent(s) : r;
}

static int sftp_list(struct remote *remote, const char *prefix, remote_list_visitor *visit,
		     void *context, const volatile bool *cancel)
{
	struct remote_sftp *s = sftp_of(remote);
	const struct remote_walk walk = {
		.prefix = prefix,
		.read = read_folder,
		.read_context = s,
		.visit = visit,
		.visit_context = context,
		.cancel = cancel,
	};
	int r;

	if (s->known) {
		r = confirm_absent(s);
		if (r != -ENOENT)
			return r;
	}
	return remote_walk_run(&walk);
}

static int sftp_remove(struct remote *remote, const char *name)
{
	const struct remote_sftp *s = sftp_of(remote);
	CLEANUP(commands_done) struct commands c = { 0 };
	int r;

	add_command(&c, command(s, "rm", name, NULL));
	r = run_commands(s, &c);
	if (r == -ENOENT)
		r = confirm_absent(s);
	return r == -ENOENT ? 0 : r;
}

/* ---- probe ---- */

static void remove_quietly(void *context, const char *name)
{
	sftp_discard(context, name);
}

/* Listings name times in every form: ask for those of the few files that lie there. Empty ones
 * cannot be asked, and may stay. */
static int read_tmp(void *context, const char *folder, struct remote_entries *to)
{
	CLEANUP(remote_entries_done_ptr) struct remote_entries found = { 0 };
	struct remote_sftp *s = context;
	int r;

	r = read_folder(s, folder, &found);
	for (size_t i = 0; r == 0 && i < remote_entries_n(&found); i++) {
		const char *entry = remote_entries_name(&found, i);
		struct remote_stat stat = *remote_entries_stat(&found, i);
		char name[REMOTE_NAME_BYTES_MAX * 2 + 2];
		uint8_t byte;
		struct part part = { .n = 1, .to = &byte };

		(void)snprintf(name, sizeof(name), "%s/%s", folder, entry);
		if (strchr(entry, '/') || read_part(s, name, &part, NULL) < 0)
			continue;
		stat.mtime_ns = part.modified_s * 1000000000;
		r = remote_entries_add(to, entry, false, &stat);
	}
	return r;
}

/* The remote's own folder is made here and nowhere else: by the people who add it. */
static int find_root(const struct remote_sftp *s)
{
	CLEANUP(commands_done) struct commands c = { 0 };
	struct transfer_answer answer = { 0 };
	int r;

	r = list_folder(s, "", &answer);
	transfer_answer_done(&answer);
	if (r != -ENOENT)
		return r;
	if (s->known)
		return -EREMOTEIO;
	add_command(&c, command(s, "mkdir", "", NULL));
	r = run_commands(s, &c);
	return r == -ENOENT ? -EREMOTEIO : r;
}

/* Put, read a part, rename, rename onto what is there, remove. */
static int try_out(struct remote_sftp *s, const char *from, const char *to,
		   struct remote_abilities *abilities, int64_t *ret_now_ns)
{
	static const char text[] = "yore tries this server out";
	const struct remote_body body = { .data = text, .size = sizeof(text) };
	struct remote *remote = &s->remote;
	char bytes[8];
	struct part part = { .offset = 5, .n = sizeof(bytes), .to = bytes };
	int r;

	r = sftp_upload(remote, from, &body, NULL);
	if (r == 0)
		r = sftp_look(remote, from, body.size) == 1 ? 0 : -EBADMSG;
	if (r == 0)
		r = rename_object(s, from, to, false);
	if (r == 0)
		r = sftp_upload(remote, from, &body, NULL);
	if (r < 0)
		return r == -ENOENT ? -EREMOTEIO : r;
	if (rename_object(s, from, to, false) == 0)
		log_info("%s: a rename replaces what is there; names that are written once do not "
			 "need more",
			 remote->url);
	abilities->ranges = read_part(s, to, &part, NULL) == (int64_t)sizeof(bytes) &&
			    memcmp(bytes, text + 5, sizeof(bytes)) == 0;
	*ret_now_ns = part.modified_s * 1000000000;
	r = sftp_remove(remote, to);
	abilities->deletes = r == 0 && !remote->append_only;
	return r == -EACCES ? 0 : r;
}

static int sftp_probe(struct remote *remote, struct remote_abilities *ret_abilities)
{
	struct remote_sftp *s = sftp_of(remote);
	struct remote_abilities abilities = { .atomic_put = true };
	int64_t now_ns = 0;
	char from[40], to[40];
	int r;

	r = find_root(s);
	if (r < 0)
		return r;
	io_tmp_name(from);
	io_tmp_name(to);
	r = try_out(s, from, to, &abilities, &now_ns);
	remove_quietly(s, from);
	if (r < 0)
		remove_quietly(s, to);
	if (r == 0 && abilities.deletes)
		r = remote_walk_sweep(read_tmp, remove_quietly, s, now_ns);
	if (r < 0)
		return r;
	abilities.free_bytes = free_bytes_of(s);
	*ret_abilities = abilities;
	return 0;
}

/* ---- life ---- */

static void sftp_free(struct remote *remote)
{
	struct remote_sftp *s = sftp_of(remote);

	if (s->password)
		crypto_wipe(s->password, strlen(s->password));
	free(s->base);
	free(s->path);
	free(s->user);
	free(s->password);
	free(s->key_file);
	free(s->known_hosts);
	s->magic = 0;
	free(s);
}

static const struct remote_ops sftp_ops = {
	.put = sftp_put,
	.get = sftp_get,
	.head = sftp_head,
	.list = sftp_list,
	.remove = sftp_remove,
	.probe = sftp_probe,
	.free = sftp_free,
};

static int base_of(const struct remote_url *u, char **ret_base)
{
	CLEANUP(free_ptr) char *path = remote_url_encode(strcmp(u->path, "/") == 0 ? "" : u->path);
	char port[8] = "";

	if (!path)
		return -ENOMEM;
	if (u->port)
		(void)snprintf(port, sizeof(port), ":%u", (unsigned int)u->port);
	if (asprintf(ret_base, "sftp://%s%s%s%s%s", u->host, port, u->from_home ? "/~" : "",
		     u->from_home && path[0] ? "/" : "", path) < 0) {
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

int remote_sftp_new(const char *url, const struct remote_settings *settings,
		    struct transfer *engine, struct remote **ret_remote, char **ret_wrong)
{
	CLEANUP(remote_url_done_ptr) struct remote_url parsed = { 0 };
	CLEANUP(remote_free_ptr) struct remote *remote = NULL;
	struct remote_sftp *s;
	int r;

	assert(engine);
	r = remote_url_parse(url, &parsed, ret_wrong);
	if (r < 0)
		return r;
	assert(parsed.kind == REMOTE_KIND_SFTP);
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	remote = &s->remote;
	remote->ops = &sftp_ops;
	s->magic = REMOTE_SFTP_MAGIC;
	s->known = settings->known;
	s->engine = engine;
	if (base_of(&parsed, &s->base) < 0 || copy(parsed.path, &s->path) < 0 ||
	    copy(parsed.user ? parsed.user : settings->user, &s->user) < 0 ||
	    copy(settings->password, &s->password) < 0 ||
	    copy(settings->key_file, &s->key_file) < 0 ||
	    copy(settings->known_hosts, &s->known_hosts) < 0)
		return -ENOMEM;
	*ret_remote = STEAL(remote);
	return 0;
}
