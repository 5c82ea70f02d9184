/* SPDX-License-Identifier: MIT */
#include "snapshots/stream_capture.h"

#include "snapshots/content_internal.h"

#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What an attempt has read; the program cannot be asked again. */
struct kept_stream {
	struct kept_stream *next;
	const struct capture_source *asked;
	int64_t start_ns, end_ns;
	uint64_t bytes;
	bool added, changed; /* beside the newest record */
	struct byte_buf entry;
};

/* ---- where ---- */

bool stream_path_valid(const char *path)
{
	if (path[0] != '/' || strlen(path) > RECORD_PATH_BYTES_MAX)
		return false;
	while (*path) {
		size_t n = strcspn(path + 1, "/");

		if (!name_valid(path + 1, (uint32_t)n))
			return false;
		path += 1 + n;
	}
	return true;
}

/* Is one of them a stream, and would the other have to lie below it? */
static bool in_the_way(const char *stream, const struct record_source *other)
{
	if (strcmp(stream, other->path) == 0)
		return !(other->flags & SOURCE_STREAM);
	if (source_path_within(other->path, stream))
		return true;
	return (other->flags & SOURCE_STREAM) && source_path_within(stream, other->path);
}

/*
 * May the stream of s->asked have this path? Returns 0; -EINVAL (logged) when
 * something else has it, or would lie below it.
 */
static int admit(const struct captured_source *s)
{
	const char *path = s->result.path;
	struct stat st;

	for (size_t i = 0; s->head && i < s->head->n_sources; i++)
		if (in_the_way(path, &s->head->sources[i]) && !s->accept)
			return log_errno(-EINVAL,
					 "%s: %s is protected already; choose another name for the "
					 "stream",
					 path, s->head->sources[i].path);
	if (!s->known && !s->accept && lstat(path, &st) == 0)
		return log_errno(-EINVAL, "%s is a file; choose a name that no file has", path);
	return 0;
}

/* ---- what ---- */

/* Its content in the newest record, borrowed from the reader and the decoder. */
static const struct content *find_old(const struct captured_source *s, struct tree_reader *reader,
				      struct entry_decoder *decoder, struct tree_entry *old)
{
	struct tree_entry root;

	if (!s->head || s->head->root_n == 0)
		return NULL;
	if (tree_entry_decode(s->head->root, s->head->root_n, decoder, &root) < 0 ||
	    tree_reader_walk(reader, &root.tree, s->result.path + 1, old) < 0 ||
	    !S_ISREG(old->mode))
		return NULL;
	return &old->content;
}

static int make_entry(const struct captured_source *s, const struct content *content,
		      struct byte_buf *to)
{
	static const uint8_t key[16];
	const char *path = s->result.path;
	int64_t now = clock_now_ns();
	struct node_time time = { .seconds = now / 1000000000,
				  .nanoseconds = (uint32_t)(now % 1000000000) };
	struct tree_entry e = { .name = strrchr(path, '/') + 1,
				.mode = S_IFREG | 0600,
				.uid = geteuid(),
				.gid = getegid(),
				.nlink = 1,
				.file_system = s->result.file_system,
				/* The number of no file, but always the same one. */
				.ino = crypto_short_hash(key, path, strlen(path)),
				.size = content->length,
				.mtime = time,
				.ctime = time,
				.consistency = s->asked->consistency,
				.content = *content };

	e.name_n = (uint32_t)strlen(e.name);
	return tree_entry_encode(to, &e);
}

static int read_stream(struct capture *c, struct captured_source *s, struct kept_stream *kept)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	CLEANUP(ingest_free_ptr) struct ingest *ingest = NULL;
	const struct content *was;
	struct content content;
	struct tree_entry old;
	bool source_failed = false;
	int r = tree_reader_new(c->cache, &reader);

	if (r == 0)
		r = ingest_new(c->store, c->writer, c->cache, c->pool, c->nodes, &ingest);
	if (r < 0)
		return r;
	was = find_old(s, reader, &decoder, &old);
	r = ingest_stream(ingest, s->asked->stream_fd, was, c->options->cancel, &content,
			  &source_failed);
	kept->bytes = ingest_bytes_read(ingest);
	if (r == 0) {
		kept->added = !was;
		kept->changed = !was || was->length != content.length ||
				!chunk_id_equal(&was->id, &content.id);
	}
	if (r < 0 && source_failed)
		return log_errno(r, "%s: its stream cannot be read", s->result.path);
	if (r == 0 && c->options->stream_ended)
		r = c->options->stream_ended(c->options->context, s->asked);
	return r < 0 ? r : make_entry(s, &content, &kept->entry);
}

/* ---- an attempt after the first ---- */

static struct kept_stream *find_kept(struct capture *c, const struct capture_source *asked)
{
	for (struct kept_stream *k = c->kept_streams; k; k = k->next)
		if (k->asked == asked)
			return k;
	return NULL;
}

/* Is everything still usable that the stream was stored as? 1, 0 or -errno. */
static int still_usable(struct capture *c, const struct kept_stream *kept)
{
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	CLEANUP(content_reader_free_ptr) struct content_reader *reader = NULL;
	struct tree_entry e = { 0 };
	struct piece_view v;
	int r = store_writer_finish(c->writer); /* what is in no pack yet cannot be read */

	if (r == 0)
		r = tree_entry_decode(kept->entry.data, kept->entry.n, &decoder, &e);
	if (r < 0 || e.content.form == CONTENT_EMPTY)
		return r < 0 ? r : 1;
	r = e.content.form == CONTENT_LIST ? store_writer_has(c->writer, &e.content.list) : 1;
	if (r <= 0)
		return r;
	r = content_reader_new(c->cache, &reader);
	if (r == 0)
		r = content_reader_set(reader, &e.content);
	while (r == 0 && (r = content_reader_next(reader, &v)) == 1) {
		for (uint32_t i = 0; r == 1 && i < v.piece.n_extents; i++)
			r = store_writer_has(c->writer, &v.extents[i].chunk);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r < 0 ? r : 1;
}

static int read_once(struct capture *c, struct captured_source *s, struct kept_stream **ret_kept)
{
	struct kept_stream *kept = find_kept(c, s->asked);
	int r;

	*ret_kept = kept;
	if (kept) {
		r = still_usable(c, kept);
		if (r == 0)
			return log_errno(-EAGAIN,
					 "%s: what was stored of its stream became unusable; run "
					 "the program again",
					 s->result.path);
		return r < 0 ? r : 0;
	}
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	kept->next = c->kept_streams;
	c->kept_streams = kept;
	kept->asked = s->asked;
	kept->start_ns = clock_now_ns();
	r = read_stream(c, s, kept);
	kept->end_ns = clock_now_ns();
	*ret_kept = kept;
	return r;
}

void stream_capture_forget(struct capture *c)
{
	while (c->kept_streams) {
		struct kept_stream *k = c->kept_streams;

		c->kept_streams = k->next;
		byte_buf_done(&k->entry);
		free(k);
	}
}

/* It lies on no file system; the root's stands in. */
static int root_file_system(struct capture *c, uint32_t *ret_ordinal)
{
	CLEANUP(close_fd_ptr) int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_virtual;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return capture_file_system(c, st.st_dev, fd, ret_ordinal, &is_virtual);
}

int stream_capture_run(struct capture *c, struct captured_source *s)
{
	struct kept_stream *kept = NULL;
	int r = admit(s);

	assert(s->asked && s->asked->is_stream);
	if (r == 0)
		r = root_file_system(c, &s->result.file_system);
	if (r == 0 && !c->options->dry_run)
		r = read_once(c, s, &kept);
	if (r < 0 || !kept)
		return r;
	byte_buf_append(&s->entry, kept->entry.data, kept->entry.n);
	s->result.flags = SOURCE_STREAM;
	s->result.consistency = s->asked->consistency;
	s->result.walk_start_ns = s->began_ns = kept->start_ns;
	s->result.captured_ns = kept->end_ns;
	s->result.files = 1;
	s->result.directories = s->result.others = s->result.errors = 0;
	s->result.bytes = kept->bytes;
	s->changes = (struct capture_source_result){ .compared = s->known != NULL,
						     .whole_walk = true,
						     .files_added = s->known && kept->added,
						     .files_changed = s->known && kept->changed };
	atomic_fetch_add(&c->progress->files, 1);
	atomic_fetch_add(&c->progress->files_read, 1);
	atomic_fetch_add(&c->progress->bytes, kept->bytes);
	atomic_fetch_add(&c->progress->bytes_read, kept->bytes);
	return s->entry.failed ? -ENOMEM : 0;
}
