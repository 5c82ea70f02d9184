/* SPDX-License-Identifier: MIT */
#include "store/base/bytes.h"
#include "store/base/io.h"
#include "store/base/log.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define IO_POSIX_MAGIC 0x696f7078u

struct io_posix {
	struct io io; /* first, so that a struct io * is ours */
	uint32_t magic;
	int folder_fd;
};

/* Run a system call until no signal interrupts it; yields its answer or -errno. */
#define RETRIED(call)                                               \
	({                                                          \
		__typeof__(call) result_;                           \
		do {                                                \
			result_ = (call);                           \
		} while (result_ < 0 && errno == EINTR);            \
		result_ < 0 ? (__typeof__(call))(-errno) : result_; \
	})

static int folder_of(const struct io *io)
{
	const struct io_posix *p = (const struct io_posix *)io;

	assert(p);
	assert(p->magic == IO_POSIX_MAGIC);
	return p->folder_fd;
}

static int posix_open(struct io *io, const char *path, int flags, enum io_object object)
{
	int f = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;

	(void)object;
	f |= flags & IO_OPEN_WRITE ? O_RDWR : O_RDONLY;
	f |= flags & IO_OPEN_CREATE ? O_CREAT : 0;
	f |= flags & IO_OPEN_NEW ? O_EXCL : 0;
	return RETRIED(openat(folder_of(io), path, f, 0600));
}

static int posix_close(struct io *io, int fd)
{
	(void)io;
	/* Linux has closed it even when it says EINTR. */
	if (close(fd) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int64_t posix_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	(void)io;
	return RETRIED(pread(fd, to, n, (off_t)offset));
}

static int64_t posix_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
			    enum io_object object)
{
	(void)io;
	(void)object;
	return RETRIED(pwrite(fd, from, n, (off_t)offset));
}

static int posix_size(struct io *io, int fd, uint64_t *ret_size)
{
	struct stat st;

	(void)io;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int posix_fsync(struct io *io, int fd, enum io_object object)
{
	(void)io;
	(void)object;
	return RETRIED(fsync(fd));
}

static int fsync_folder_at(int at, const char *path)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	int r;

	fd = RETRIED(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return fd;
	r = RETRIED(fsync(fd));
	/*
	 * Some network and user-space file systems know no fsync of folders and
	 * say so in this way; they offer nothing better. Real failures are EIO
	 * and the like.
	 */
	if (r == -EINVAL || r == -EOPNOTSUPP)
		return 0;
	return r;
}

static int posix_fsync_folder(struct io *io, const char *path, enum io_object object)
{
	(void)object;
	return fsync_folder_at(folder_of(io), path[0] ? path : ".");
}

/* For file systems whose rename cannot refuse to replace: a link can. */
static int rename_by_link(int at, const char *from, const char *to)
{
	struct stat st;

	if (linkat(at, from, at, to, 0) == 0)
		return unlinkat(at, from, 0) < 0 ? -errno : 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	/* No links, either. Names are random or under a lock: looking first is enough. */
	if (fstatat(at, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	return renameat(at, from, at, to) < 0 ? -errno : 0;
}

static int posix_rename(struct io *io, const char *from, const char *to, bool replace,
			enum io_object object)
{
	const int at = folder_of(io);

	(void)object;
	if (replace)
		return renameat(at, from, at, to) < 0 ? -errno : 0;
	if (renameat2(at, from, at, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL || errno == ENOSYS)
		return rename_by_link(at, from, to);
	return -errno;
}

static int posix_unlink(struct io *io, const char *path, enum io_object object)
{
	(void)object;
	return unlinkat(folder_of(io), path, 0) < 0 ? -errno : 0;
}

static int posix_mkdir(struct io *io, const char *path, enum io_object object)
{
	const int at = folder_of(io);
	struct stat st;

	(void)object;
	if (mkdirat(at, path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(at, path, &st, 0) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Collect the names, each with its NUL. */
static int read_names(int at, const char *path, struct byte_buf *names)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	CLEANUP(close_dir_ptr) DIR *dir = NULL;

	fd = RETRIED(openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)STEAL_FD(fd); /* the stream's now */

	for (;;) {
		const struct dirent *e;

		errno = 0;
		e = readdir(dir); /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
		if (!e)
			return errno ? -errno : names->failed ? -ENOMEM : 0;
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			byte_buf_append(names, e->d_name, strlen(e->d_name) + 1);
	}
}

static int posix_list(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf names = { 0 };
	int r;

	r = read_names(folder_of(io), path[0] ? path : ".", &names);
	if (r < 0)
		return r;
	for (size_t at = 0; at < names.n;) {
		const char *name = (const char *)names.data + at;

		r = visit(context, name);
		if (r != 0)
			return r;
		at += strlen(name) + 1;
	}
	return 0;
}

static int posix_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	struct stat st;

	if (fstatat(folder_of(io), path[0] ? path : ".", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret_stat = (struct io_stat){
		.size = (uint64_t)st.st_size,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
		.is_folder = S_ISDIR(st.st_mode),
	};
	return 0;
}

static int posix_lock(struct io *io, int fd, enum io_lock lock, bool wait)
{
	static const int operations[] = {
		[IO_LOCK_SHARED] = LOCK_SH,
		[IO_LOCK_EXCLUSIVE] = LOCK_EX,
		[IO_LOCK_NONE] = LOCK_UN,
	};

	(void)io;
	return RETRIED(flock(fd, operations[lock] | (wait ? 0 : LOCK_NB)));
}

static void posix_index_committed(struct io *io)
{
	(void)io; /* LMDB has synced it on the real file system itself */
}

static void posix_free(struct io *io)
{
	struct io_posix *p = (struct io_posix *)io;

	assert(p->magic == IO_POSIX_MAGIC);
	if (p->folder_fd >= 0)
		(void)close(p->folder_fd);
	free(p->io.real_path);
	p->magic = 0;
	free(p);
}

static const struct io_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.size = posix_size,
	.fsync = posix_fsync,
	.fsync_folder = posix_fsync_folder,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.mkdir = posix_mkdir,
	.list = posix_list,
	.stat = posix_stat,
	.lock = posix_lock,
	.index_committed = posix_index_committed,
	.free = posix_free,
};

int io_posix_open(const char *path, struct io **ret_io)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	struct io_posix *p;

	assert(path);
	assert(ret_io);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	io = &p->io;
	p->magic = IO_POSIX_MAGIC;
	p->io.ops = &posix_ops;
	p->folder_fd = RETRIED(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (p->folder_fd < 0)
		return p->folder_fd;
	p->io.real_path = realpath(path, NULL);
	if (!p->io.real_path)
		return -errno;
	*ret_io = STEAL(io);
	return 0;
}

int io_posix_create(const char *path, struct io **ret_io)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int r;

	assert(path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return log_errno(-errno, "%s: cannot make the folder", path);
	r = io_posix_open(path, &io);
	if (r < 0)
		return log_errno(r, "%s: cannot open the folder", path);
	r = fsync_folder_at(folder_of(io), "..");
	/* A parent that we may enter but not read cannot be opened: sync all of it. */
	if (r == -EACCES)
		r = RETRIED(syncfs(folder_of(io)));
	if (r < 0)
		return log_errno(r, "%s: cannot make the folder durable", path);
	*ret_io = STEAL(io);
	return 0;
}
