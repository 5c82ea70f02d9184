/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/page_cache.h"
#include "snapshots/xattr_set.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_ATTEMPTS 3
#define INODE_BUCKETS 4096u

/* Flags that a user sets and would want back; the rest is the file system's own business. */
#define FLAGS_KEPT                                                                              \
	(FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | \
	 FS_NODUMP_FL | FS_NOATIME_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL | FS_DIRSYNC_FL |     \
	 FS_TOPDIR_FL | FS_NOCOW_FL | FS_PROJINHERIT_FL | FS_CASEFOLD_FL)

uint32_t attribute_flags_read(int fd, const struct tree_entry *e)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return e->attribute_flags; /* what statx said */
	return (uint32_t)flags & FLAGS_KEPT;
}

/* ---- lives ---- */

struct file_job *file_job_new(struct folder *folder, const char *name,
			      const struct tree_entry *seen, dev_t device,
			      const struct content *old)
{
	struct file_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->refs = 1;
	job->folder = folder;
	job->name = name;
	job->seen = *seen;
	job->device = device;
	job->old = old;
	return job;
}

void file_job_unref(struct file_job *job)
{
	if (--job->refs > 0)
		return;
	if (job->batch && --job->batch->refs == 0)
		batch_free(job->batch);
	bundle_unref(job->place.bundle);
	free((void *)job->content.pieces);
	free((void *)job->content.extents);
	free(job->data);
	free(job->xattrs);
	free(job);
}

static void batch_run(struct worker *w, struct task *task);

struct batch *batch_new(struct folder *folder)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->task.run = batch_run;
	b->folder = folder;
	return b;
}

void batch_free(struct batch *b)
{
	free(b);
}

/* ---- hard links ---- */

struct inode_entry {
	struct inode_entry *next;
	dev_t device;
	uint64_t ino;
	struct file_job *job;
};

struct inode_table {
	struct inode_entry *buckets[INODE_BUCKETS];
};

struct file_job *inode_table_find(struct capture *c, dev_t device, uint64_t ino)
{
	LOCK_SCOPE(&c->lock);
	if (!c->links)
		return NULL;
	for (struct inode_entry *e = c->links->buckets[ino % INODE_BUCKETS]; e; e = e->next)
		if (e->ino == ino && e->device == device) {
			e->job->refs++;
			return e->job;
		}
	return NULL;
}

int inode_table_enter(struct capture *c, dev_t device, uint64_t ino, struct file_job *job)
{
	struct inode_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	LOCK_SCOPE(&c->lock);
	if (!c->links)
		c->links = calloc(1, sizeof(*c->links));
	if (!c->links) {
		free(e);
		return -ENOMEM;
	}
	*e = (struct inode_entry){ .next = c->links->buckets[ino % INODE_BUCKETS],
				   .device = device,
				   .ino = ino,
				   .job = job };
	job->refs++;
	c->links->buckets[ino % INODE_BUCKETS] = e;
	return 0;
}

/* With the capture's lock held, or after its threads. */
void inode_table_free(struct inode_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < INODE_BUCKETS; i++)
		while (t->buckets[i]) {
			struct inode_entry *e = t->buckets[i];

			t->buckets[i] = e->next;
			file_job_unref(e->job);
			free(e);
		}
	free(t);
}

/* ---- reading ---- */

static bool same_state(const struct tree_entry *a, const struct tree_entry *b)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): fstat filled both */
	return a->size == b->size && a->ino == b->ino &&
	       memcmp(&a->mtime.seconds, &b->mtime.seconds, sizeof(int64_t)) == 0 &&
	       a->mtime.nanoseconds == b->mtime.nanoseconds &&
	       a->ctime.seconds == b->ctime.seconds && a->ctime.nanoseconds == b->ctime.nanoseconds;
}

/* Attributes of the open file; name and file system stay. */
static int look_again(int fd, const struct tree_entry *before, struct tree_entry *ret_after)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;
	entry_from_statx(&sx, ret_after);
	ret_after->name = before->name;
	ret_after->name_n = before->name_n;
	ret_after->file_system = before->file_system;
	return S_ISREG(sx.stx_mode) ? 0 : -ENOENT;
}

/* Read a short file whole. 1 when it is no longer short. */
static int read_small(struct worker *w, struct file_job *job, int fd)
{
	size_t size = (size_t)job->seen.size, n = 0;
	uint8_t *data = realloc(job->data, size + 1);

	if (!data)
		return -ENOMEM;
	job->data = data;
	while (n < size + 1) {
		/* The first attempt finds out, at no cost, whether the file was in memory. */
		bool first = n == 0 && job->outcome == JOB_OPEN;
		ssize_t got = first ? page_cache_read(fd, data, size + 1, &job->cold)
				    : pread(fd, data + n, size + 1 - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
		if (n == size) /* the look afterwards tells if it has grown */
			break;
	}
	job->n = n;
	if (n > 0)
		id_hasher_run(w->hasher, data, n, &job->id);
	job->outcome = JOB_SMALL;
	atomic_fetch_add_explicit(&w->capture->progress->bytes_read, n, memory_order_relaxed);
	pacer_spend(w->capture->options->pacer, n, w->capture->options->cancel);
	return 0;
}

/* Keep a copy of what the ingest lends. */
static int keep_content(struct file_job *job, const struct content *content)
{
	free((void *)job->content.pieces);
	free((void *)job->content.extents);
	job->content = *content;
	job->content.pieces = NULL;
	job->content.extents = NULL;
	if (content->n_pieces) {
		size_t n = content->n_pieces * sizeof(*content->pieces);
		void *copy = malloc(n);

		if (!copy)
			return -ENOMEM;
		job->content.pieces = memcpy(copy, content->pieces, n);
	}
	if (content->n_extents) {
		size_t n = content->n_extents * sizeof(*content->extents);
		void *copy = malloc(n);

		if (!copy)
			return -ENOMEM;
		job->content.extents = memcpy(copy, content->extents, n);
	}
	job->outcome = JOB_CONTENT;
	return 0;
}

static int read_large(struct worker *w, struct file_job *job, int fd)
{
	struct capture *c = w->capture;
	struct content content;
	bool source_failed = false;
	int r = 0;

	free(STEAL(job->data));
	if (!w->ingest)
		r = ingest_new(c->store, c->writer, c->cache, c->pool, c->nodes, &w->ingest);
	if (r < 0) {
		capture_fail(c, r);
		return r;
	}
	ingest_drop_behind(w->ingest, job->cold);
	ingest_pace(w->ingest, c->options->pacer);
	r = ingest_run(w->ingest, fd, job->seen.size, job->old, c->options->cancel, &content,
		       &source_failed);
	atomic_fetch_add_explicit(&c->progress->bytes_read, ingest_bytes_read(w->ingest),
				  memory_order_relaxed);
	if (r < 0 && !source_failed)
		capture_fail(c, r);
	return r < 0 ? r : keep_content(job, &content);
}

static int read_contents(struct worker *w, struct file_job *job, int fd)
{
	return job->seen.size < w->capture->small_max ? read_small(w, job, fd)
						      : read_large(w, job, fd);
}

/*
 * A copy of the open file as it is at one instant, which shares its blocks; it
 * has no name, and does not touch the folder's times. Returns its descriptor,
 * or -1 where the file system makes none, or this is not our folder to write to.
 */
static int clone_file(const struct file_job *job, int fd)
{
	CLEANUP(close_fd_ptr)
	int clone = openat(job->folder->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (clone < 0 || ioctl(clone, FICLONE, fd) < 0)
		return -1;
	return STEAL_FD(clone);
}

/*
 * A file that keeps changing, read from a clone: 1; 0 when there is none; -errno.
 * Its times are from before the cloning, so that the next capture reads it again.
 */
static int read_clone(struct worker *w, struct file_job *job, int fd)
{
	CLEANUP(close_fd_ptr) int clone = -1;
	struct tree_entry before;
	struct stat st;
	int r = look_again(fd, &job->seen, &before);

	if (r < 0)
		return r;
	clone = clone_file(job, fd);
	if (clone < 0 || fstat(clone, &st) < 0)
		return 0;
	job->seen = before;
	job->seen.size = (uint64_t)st.st_size;
	r = read_contents(w, job, clone);
	if (r < 0)
		return r;
	job->seen.size = job->outcome == JOB_SMALL ? job->n : job->content.length;
	job->seen.consistency = CONSISTENCY_FROZEN;
	return 1;
}

/* What is to be said of a file that held still. */
static enum consistency label_steady(const struct capture *c, const struct file_job *job)
{
	if (c->live && !live_parts_is_frozen(c->live, job->device))
		return CONSISTENCY_STEADY;
	return c->consistency;
}

/* Read until it holds still, three times at most; from a clone where one can be made. */
static int read_steadily(struct worker *w, struct file_job *job, int fd)
{
	for (int i = 0; i < READ_ATTEMPTS; i++) {
		struct tree_entry after;
		int r = read_contents(w, job, fd);

		if (r == 0)
			r = look_again(fd, &job->seen, &after);
		if (r < 0)
			return r;
		if (same_state(&job->seen, &after) &&
		    (job->outcome != JOB_SMALL || job->n == after.size)) {
			job->seen = after;
			job->seen.consistency = label_steady(w->capture, job);
			return 0;
		}
		job->seen = after;
		if (capture_failed(w->capture))
			return -ECANCELED;
		r = i == 0 ? read_clone(w, job, fd) : 0;
		if (r != 0)
			return r < 0 ? r : 0;
	}
	atomic_fetch_add(&w->capture->smeared, 1);
	job->seen.consistency = CONSISTENCY_SMEARED;
	job->seen.size = job->outcome == JOB_SMALL ? job->n : job->content.length;
	return 0;
}

static int read_attributes(struct worker *w, struct file_job *job, int fd)
{
	int r;

	job->seen.attribute_flags = attribute_flags_read(fd, &job->seen);
	byte_buf_clear(&w->scratch);
	r = xattr_set_read(fd, NULL, false, &w->scratch);
	if (r == -ENOTSUP)
		return 0;
	if (r < 0)
		return r;
	if (r > 0)
		capture_problem(w->capture, job->folder, job->name,
				"some attributes cannot be read", EACCES);
	if (w->scratch.n == 0)
		return 0;
	job->xattrs = malloc(w->scratch.n);
	if (!job->xattrs)
		return -ENOMEM;
	memcpy(job->xattrs, w->scratch.data, w->scratch.n);
	job->seen.xattrs = job->xattrs;
	job->seen.xattrs_n = (uint32_t)w->scratch.n;
	return 0;
}

static int open_file(const struct file_job *job)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(job->folder->fd, job->name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(job->folder->fd, job->name, flags);
	return fd < 0 ? -errno : fd;
}

/* A dry run only counts what would be read. */
static void job_skip(struct capture *c, struct file_job *job)
{
	job->outcome = JOB_SMALL;
	atomic_fetch_add_explicit(&c->progress->files_read, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->progress->bytes_read, job->seen.size, memory_order_relaxed);
}

static void job_read(struct worker *w, struct file_job *job)
{
	CLEANUP(close_fd_ptr) int fd = open_file(job);
	struct tree_entry now;
	int r = fd < 0 ? fd : 0;

	/* Another object may have taken the name since the walk: what is open counts. */
	if (r == 0) {
		r = look_again(fd, &job->seen, &now);
		if (r == 0 && !same_state(&job->seen, &now))
			job->seen = now;
	}
	if (r == 0) {
		if (job->seen.size >= w->capture->small_max)
			job->cold = page_cache_lacks(fd, job->seen.size);
		r = read_steadily(w, job, fd);
	}
	if (r == 0)
		r = read_attributes(w, job, fd);
	if (fd >= 0 && job->cold)
		page_cache_drop(fd, 0, 0);
	if (r == 0) {
		atomic_fetch_add_explicit(&w->capture->progress->files_read, 1,
					  memory_order_relaxed);
		return;
	}
	free(STEAL(job->data));
	job->error = r;
	job->outcome = r == -ENOENT || r == -ELOOP ? JOB_VANISHED : JOB_FAILED;
	if (r == -ENOMEM)
		capture_fail(w->capture, r);
}

static void batch_run(struct worker *w, struct task *task)
{
	struct batch *b = (struct batch *)task;
	struct capture *c = w->capture;

	for (size_t i = 0; i < b->n && !capture_failed(c); i++)
		c->options->dry_run ? job_skip(c, b->jobs[i]) : job_read(w, b->jobs[i]);
	LOCK_SCOPE(&c->lock);
	folder_release_fd(b->folder);
}
