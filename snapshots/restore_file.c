/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What happens to each piece in turn. */
struct file_pass {
	int fd;
	bool sparse;  /* leave zero blocks out */
	bool counted; /* bytes count as progress one by one */
	int (*hole)(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
		    uint64_t length);
	int (*bytes)(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
		     const uint8_t *data, size_t n);
	uint64_t end; /* of what is there now */
};

/* ---- walking the content ---- */

static int pin_chunk(struct restore_thread *t, const struct chunk_id *id)
{
	if (t->pin.data && memcmp(&t->pin_id, id, sizeof(*id)) == 0)
		return 0;
	chunk_cache_unpin(t->run->cache, &t->pin);
	t->pin = (struct chunk_pin){ 0 };
	t->pin_id = *id;
	return chunk_cache_get(t->run->cache, id, OBJECT_DATA, &t->pin);
}

static int pass_piece(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
		      const struct piece *piece, const struct extent *extents)
{
	uint64_t at = offset;
	int r = restore_stopped(t->run);

	if (r < 0)
		return r;
	if (pass->counted)
		restore_progress_add(t->run, 0, piece->length);
	if (piece_is_hole(piece))
		return pass->hole(t, pass, offset, piece->length);
	for (uint32_t i = 0; i < piece->n_extents; i++) {
		const struct extent *x = &extents[i];

		r = pin_chunk(t, &x->chunk);
		if (r < 0)
			return r;
		if (x->offset > t->pin.n || x->length > t->pin.n - x->offset)
			return -EUCLEAN;
		r = pass->bytes(t, pass, at, t->pin.data + x->offset, x->length);
		if (r < 0)
			return r;
		at += x->length;
	}
	return at == offset + piece->length ? 0 : -EUCLEAN;
}

static int pass_inline(struct restore_thread *t, struct file_pass *pass, const struct content *c,
		       uint64_t *ret_length)
{
	uint32_t extent = 0;
	uint64_t offset = 0;

	for (uint32_t i = 0; i < c->n_pieces; i++) {
		int r;

		if (c->pieces[i].n_extents > c->n_extents - extent)
			return -EUCLEAN;
		r = pass_piece(t, pass, offset, &c->pieces[i], c->extents + extent);
		if (r < 0)
			return r;
		extent += c->pieces[i].n_extents;
		offset += c->pieces[i].length;
	}
	*ret_length = offset;
	return 0;
}

/* Have the chunks up to `to` decoded by the cache's threads while we write. */
static int look_ahead(struct restore_thread *t, uint64_t to, uint64_t *position,
		      struct chunk_id *newest)
{
	struct piece_view view;
	int r;

	while (*position < to) {
		r = content_reader_next(t->ahead, &view);
		if (r <= 0)
			return r;
		*position = view.offset + view.piece.length;
		for (uint32_t i = 0; i < view.piece.n_extents; i++) {
			if (memcmp(newest, &view.extents[i].chunk, sizeof(*newest)) == 0)
				continue;
			*newest = view.extents[i].chunk;
			chunk_cache_prefetch(t->run->cache, newest, OBJECT_DATA);
		}
	}
	return 0;
}

static int pass_list(struct restore_thread *t, struct file_pass *pass, const struct content *c,
		     uint64_t *ret_length)
{
	struct chunk_id newest = { 0 };
	uint64_t position = 0, length = 0;
	struct piece_view view;
	int r;

	r = content_reader_set(t->reader, c);
	if (r == 0)
		r = content_reader_set(t->ahead, c);
	while (r >= 0) {
		r = look_ahead(t, length + PREFETCH_BYTES, &position, &newest);
		if (r == 0)
			r = content_reader_next(t->reader, &view);
		if (r <= 0)
			break;
		/* The reader sets it with every 1.
		 * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
		if (view.offset != length)
			return -EUCLEAN;
		r = pass_piece(t, pass, view.offset, &view.piece, view.extents);
		length += view.piece.length;
	}
	*ret_length = length;
	return r;
}

static int pass_content(struct restore_thread *t, struct file_pass *pass,
			const struct tree_entry *entry)
{
	uint64_t length = 0;
	int r = 0;

	if (entry->content.form == CONTENT_INLINE)
		r = pass_inline(t, pass, &entry->content, &length);
	else if (entry->content.form == CONTENT_LIST)
		r = pass_list(t, pass, &entry->content, &length);
	if (r < 0)
		return r;
	return length == entry->size ? 0 : -EUCLEAN;
}

/* ---- writing ---- */

static int write_all(int fd, const uint8_t *data, size_t n, uint64_t offset)
{
	while (n > 0) {
		const ssize_t done = pwrite(fd, data, n, (off_t)offset);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done == 0)
			return -EIO;
		if (done > 0) {
			data += done;
			n -= (size_t)done;
			offset += (size_t)done;
		}
	}
	return 0;
}

static int read_all(int fd, uint8_t *to, size_t n, uint64_t offset)
{
	while (n > 0) {
		const ssize_t done = pread(fd, to, n, (off_t)offset);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done == 0)
			return -EIO;
		if (done > 0) {
			to += done;
			n -= (size_t)done;
			offset += (size_t)done;
		}
	}
	return 0;
}

/* 0 when the file has these bytes there, -EIO when it has others. */
static int compare_bytes(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
			 const uint8_t *data, size_t n)
{
	while (n > 0) {
		const size_t step = n < VERIFY_BYTES ? n : VERIFY_BYTES;
		const int r = read_all(pass->fd, t->back, step, offset);

		if (r < 0)
			return r;
		if (memcmp(t->back, data, step) != 0)
			return -EIO;
		data += step;
		offset += step;
		n -= step;
	}
	return 0;
}

static int compare_hole(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
			uint64_t length)
{
	while (length > 0) {
		const size_t step = length < VERIFY_BYTES ? (size_t)length : VERIFY_BYTES;
		int r = read_all(pass->fd, t->back, step, offset);

		if (r == 0)
			r = restore_stopped(t->run);
		if (r < 0)
			return r;
		if (!bytes_are_zero(t->back, step))
			return -EIO;
		offset += step;
		length -= step;
	}
	return 0;
}

/* Bytes from `at` on up to the next block boundary of the file. */
static size_t block_step(uint64_t at, size_t left)
{
	const size_t step = HOLE_BLOCK - (size_t)(at % HOLE_BLOCK);

	return step < left ? step : left;
}

/* Write the runs of blocks that are not zero. */
static int write_sparse(int fd, const uint8_t *data, size_t n, uint64_t offset)
{
	size_t start = 0; /* of the run not yet written */
	size_t i = 0;

	while (i < n) {
		const size_t step = block_step(offset + i, n - i);

		if (bytes_are_zero(data + i, step)) {
			const int r = write_all(fd, data + start, i - start, offset + start);

			if (r < 0)
				return r;
			start = i + step;
		}
		i += step;
	}
	return start < n ? write_all(fd, data + start, n - start, offset + start) : 0;
}

static int write_bytes(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
		       const uint8_t *data, size_t n)
{
	int r;

	if (!pass->sparse) {
		r = write_all(pass->fd, data, n, offset);
		pass->end = offset + n;
	} else {
		r = write_sparse(pass->fd, data, n, offset);
		/* A file that ends in a gap cannot be read back unless it has its length. */
		if (r == 0 && bytes_are_zero(data + n - 1, 1) &&
		    ftruncate(pass->fd, (off_t)(offset + n)) < 0)
			r = -errno;
		pass->end = offset + n;
	}
	return r < 0 ? r : compare_bytes(t, pass, offset, data, n);
}

static int write_hole(struct restore_thread *t, struct file_pass *pass, uint64_t offset,
		      uint64_t length)
{
	(void)t;
	(void)pass;
	(void)offset;
	(void)length;
	return 0; /* a gap; the length is set at the end */
}

static int fill(struct restore_thread *t, int fd, const struct tree_entry *entry)
{
	struct file_pass pass = { .fd = fd,
				  .sparse = entry->flags & ENTRY_SPARSE,
				  .counted = true,
				  .hole = write_hole,
				  .bytes = write_bytes };
	const int r = pass_content(t, &pass, entry);

	if (r < 0)
		return r;
	if (pass.end < entry->size && ftruncate(fd, (off_t)entry->size) < 0)
		return -errno;
	return 0;
}

/* Contents and attributes of a new file; its descriptor is closed in any case. */
static int complete(struct restore_thread *t, int fd, const struct restore_item *item,
		    struct stat *ret_made)
{
	const struct restore_handle h = { .fd = fd, .dir = item->dir, .name = item->entry.name };
	int r = fill(t, fd, &item->entry);

	if (r == 0 && fstat(fd, ret_made) < 0)
		r = -errno;
	if (r == 0 && (uint64_t)ret_made->st_size != item->entry.size)
		r = -EIO;
	if (r == 0) {
		if (item->dir->default_acl)
			(void)fremovexattr(fd, "system.posix_acl_access");
		restore_attributes(t, &h, &item->entry, ret_made, true);
	}
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int create_temporary(struct restore_thread *t, int dirfd, char name[static TEMPORARY_BYTES])
{
	for (int i = 0; i < 16; i++) {
		int fd;

		restore_temporary(t->run, name);
		fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	return -errno;
}

static int write_file(struct restore_thread *t, const struct restore_item *item,
		      const struct stat *there, struct stat *ret_made)
{
	const int dirfd = item->dir->fd;
	char temporary[TEMPORARY_BYTES];
	int fd, r;

	fd = create_temporary(t, dirfd, temporary);
	if (fd < 0)
		return fd;
	r = complete(t, fd, item, ret_made);
	if (r == 0 && there)
		r = restore_clear_way(t, item, there);
	if (r == 0 && renameat(dirfd, temporary, dirfd, item->entry.name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0);
	return r;
}

/* ---- what is there already ---- */

static bool looks_equal(const struct tree_entry *entry, const struct stat *there)
{
	return S_ISREG(there->st_mode) && there->st_size >= 0 &&
	       (uint64_t)there->st_size == entry->size &&
	       there->st_mtim.tv_sec == entry->mtime.seconds &&
	       there->st_mtim.tv_nsec == (long)entry->mtime.nanoseconds;
}

/* 1: it has the entry's contents and attributes now; 0: it is to be written; -errno. */
static int keep_existing(struct restore_thread *t, const struct restore_item *item,
			 struct stat *there)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	struct restore_handle h = { .dir = item->dir, .name = item->entry.name };
	struct file_pass pass = { .hole = compare_hole, .bytes = compare_bytes };
	int r;

	fd = openat(item->dir->fd, h.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !t->run->options->verify_existing) {
		h.located = true;
		fd = openat(item->dir->fd, h.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, there) < 0 || !looks_equal(&item->entry, there))
		return 0;
	h.fd = fd;
	pass.fd = fd;
	if (t->run->options->verify_existing) {
		r = pass_content(t, &pass, &item->entry);
		if (r == -EIO)
			return 0;
		if (r < 0)
			return r;
	}
	restore_progress_add(t->run, 0, item->entry.size);
	if (!t->run->options->dry_run)
		restore_attributes(t, &h, &item->entry, there, false);
	return 1;
}

int restore_file(struct restore_thread *t, const struct restore_item *item,
		 const struct stat *there, struct stat *ret_made)
{
	const struct tree_entry *entry = &item->entry;
	struct stat found;
	int r;

	if (there && looks_equal(entry, there)) {
		r = keep_existing(t, item, &found);
		if (r == 1)
			*ret_made = found;
		if (r != 0)
			return r < 0 ? r : 0;
	}
	/* Nothing is better than an empty file in place of one that could not be read. */
	if ((entry->flags & ENTRY_UNREADABLE) && entry->content.form == CONTENT_EMPTY)
		return -ENODATA;
	if (t->run->options->dry_run) {
		if (there) {
			r = restore_clear_way(t, item, there);
			if (r < 0)
				return r;
		}
		restore_plan(t->run, item->dir, entry->name, "write");
		*ret_made = (struct stat){ 0 };
	} else {
		r = write_file(t, item, there, ret_made);
		if (r < 0)
			return r;
	}
	atomic_fetch_add(&t->run->written, 1);
	atomic_fetch_add(&t->run->written_bytes, entry->size);
	return 0;
}
