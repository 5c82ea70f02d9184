/* SPDX-License-Identifier: MIT */
#include "tests/fault/memory_io_internal.h"

#include "store/base/bytes.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct memory_io {
	struct io io; /* first */
	struct memory_tree *tree;
	uint64_t number;
};

uint64_t memory_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t memory_hash(const void *data, size_t n)
{
	const uint8_t *at = data;
	uint64_t h = 0x9e3779b97f4a7c15u ^ (n * 0xff51afd7ed558ccdu);
	uint64_t word;

	for (; n >= 8; n -= 8, at += 8) {
		memcpy(&word, at, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	word = 0;
	if (n > 0)
		memcpy(&word, at, n);
	h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
	h ^= h >> 29;
	return h ? h : 1;
}

/* ---- names ---- */

size_t memory_parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_lmdb(const char *path)
{
	return strcmp(path, MEMORY_INDEX_PATH) == 0 || strcmp(path, "index/lock.mdb") == 0;
}

static void slot_enter(struct memory_tree *t, uint32_t i)
{
	uint64_t s = t->entries[i].hash % SLOTS;

	while (t->slots[s])
		s = (s + 1) % SLOTS;
	t->slots[s] = (uint16_t)(i + 1);
}

struct entry *memory_entry_find(const struct memory_tree *t, const char *path)
{
	const uint64_t hash = memory_hash(path, strlen(path));

	for (uint64_t s = hash % SLOTS; t->slots[s]; s = (s + 1) % SLOTS) {
		const struct entry *e = &t->entries[t->slots[s] - 1];

		if (e->hash == hash && strcmp(e->path, path) == 0)
			return (struct entry *)e;
	}
	return NULL;
}

static void slots_rebuild(struct memory_tree *t)
{
	memset(t->slots, 0, sizeof(t->slots));
	for (uint32_t i = 0; i < t->n_entries; i++)
		slot_enter(t, i);
}

void memory_entry_remove(struct memory_tree *t, struct entry *e)
{
	*e = t->entries[--t->n_entries];
	slots_rebuild(t);
}

void memory_entry_add(struct memory_tree *t, const struct memory_name *name, struct inode *inode)
{
	assert(t->n_entries < ENTRIES_MAX);
	t->entries[t->n_entries] = (struct entry){
		.path = name->path,
		.hash = name->hash,
		.parent = name->parent,
		.inode = inode,
	};
	slot_enter(t, t->n_entries++);
}

struct memory_name memory_name_of(const char *path)
{
	return (struct memory_name){
		.path = path,
		.hash = memory_hash(path, strlen(path)),
		.parent = memory_hash(path, memory_parent_length(path)),
	};
}

static void entry_add(struct memory_tree *t, const char *path, struct inode *inode)
{
	const struct memory_name name = memory_name_of(path);

	memory_entry_add(t, &name, inode);
}

bool memory_is_folder(const struct memory_tree *t, const char *path, size_t n)
{
	char copy[PATH_ROOM];
	const struct entry *e;

	if (n == 0)
		return true;
	assert(n < sizeof(copy));
	memcpy(copy, path, n);
	copy[n] = '\0';
	e = memory_entry_find(t, copy);
	return e && e->inode->is_folder;
}

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A folder's time of change tells others that there is something new. */
static void touch_parent(const struct memory_tree *t, const char *path)
{
	const size_t n = memory_parent_length(path);
	char copy[PATH_ROOM];
	struct entry *e;

	memcpy(copy, path, n);
	copy[n] = '\0';
	e = memory_entry_find(t, copy);
	if (e)
		e->inode->mtime_ns = now_ns();
}

/* ---- memory ---- */

void *memory_tree_alloc(struct memory_tree *t, size_t n)
{
	void *p = (uint8_t *)t + t->used;

	n = (n + 15) & ~(size_t)15;
	assert(n <= t->arena_bytes - t->used);
	t->used += n;
	return p;
}

static char *keep_path(struct memory_tree *t, const char *path)
{
	const size_t n = strlen(path) + 1;

	return memcpy(memory_tree_alloc(t, n), path, n);
}

struct inode *memory_inode_new(struct memory_tree *t, bool folder)
{
	struct inode *inode = memory_tree_alloc(t, sizeof(*inode));

	*inode = (struct inode){ .number = ++t->n_inodes, .is_folder = folder, .mtime_ns = 1 };
	return inode;
}

static void inode_grow(struct memory_tree *t, struct inode *inode, size_t n)
{
	const size_t room = n < 4096 ? 4096 : n + n / 2;
	uint8_t *data;

	if (!inode->borrowed && n <= inode->room)
		return;
	data = memory_tree_alloc(t, room);
	if (inode->n > 0)
		memcpy(data, inode->data, inode->n);
	memset(data + inode->n, 0, room - inode->n);
	inode->data = data;
	inode->room = room;
	inode->borrowed = false;
}

struct memory_op *memory_record(struct memory_tree *t, enum memory_op_kind kind,
				enum io_object object)
{
	static _Thread_local struct memory_op unrecorded;

	if (!t->recording)
		return &unrecorded;
	assert(t->n_ops < OPS_MAX);
	t->ops[t->n_ops] = (struct memory_op){ .kind = kind, .object = object };
	return &t->ops[t->n_ops++];
}

static struct memory_tree *tree_of(struct io *io)
{
	return ((struct memory_io *)io)->tree;
}

static uint64_t owner_of(const struct io *io)
{
	return ((const struct memory_io *)io)->number;
}

static int stat_real(const struct memory_tree *t, const char *path, struct stat *ret_stat)
{
	char real[2 * PATH_ROOM];

	(void)snprintf(real, sizeof(real), "%s/%s", t->real_path, path);
	return lstat(real, ret_stat) < 0 ? -errno : 0;
}

/* LMDB's file is removed and made anew behind the seam's back: say so in the trace. */
static void notice_index_removed(struct memory_tree *t)
{
	struct entry *e = memory_entry_find(t, MEMORY_INDEX_PATH);
	struct memory_op *op;
	struct stat st;

	if (!e || (stat_real(t, MEMORY_INDEX_PATH, &st) == 0 && st.st_ino == t->index_ino))
		return;
	op = memory_record(t, MEMORY_UNLINK, IO_OBJECT_INDEX);
	op->path = e->path;
	op->inode = e->inode->number;
	memory_entry_remove(t, e);
}

/* Before a change: let the others run. */
static void shake(struct memory_tree *t)
{
	struct timespec nap = { 0 };

	if (!t->shake)
		return;
	(void)pthread_mutex_lock(&t->mutex);
	nap.tv_nsec = (long)(memory_random(&t->shake) % 8) * 30000;
	(void)pthread_mutex_unlock(&t->mutex);
	if (nap.tv_nsec > 0)
		(void)nanosleep(&nap, NULL);
}

/* ---- the seam's calls ---- */

static int fd_new(struct io *io, struct inode *inode, int flags)
{
	struct memory_tree *t = tree_of(io);

	for (int i = 0; i < FDS_MAX; i++) {
		if (t->fds[i].inode)
			continue;
		t->fds[i] = (struct fd){
			.inode = inode, .owner = owner_of(io), .lock = IO_LOCK_NONE, .flags = flags
		};
		return i;
	}
	return -EMFILE;
}

static int memory_open(struct io *io, const char *path, int flags, enum io_object object)
{
	struct memory_tree *t = tree_of(io);
	struct entry *e;
	struct memory_op *op;
	struct inode *inode;

	assert(!is_lmdb(path));
	if (flags & IO_OPEN_CREATE)
		shake(t);
	TREE_SCOPE(t);
	e = memory_entry_find(t, path);
	if (e) {
		if (flags & IO_OPEN_NEW)
			return -EEXIST;
		if (e->inode->is_folder)
			return -EISDIR;
		return fd_new(io, e->inode, flags);
	}
	if (!(flags & IO_OPEN_CREATE) || !memory_is_folder(t, path, memory_parent_length(path)))
		return -ENOENT;
	inode = memory_inode_new(t, false);
	inode->mtime_ns = now_ns();
	path = keep_path(t, path);
	entry_add(t, path, inode);
	op = memory_record(t, MEMORY_CREATE, object);
	op->path = path;
	op->inode = inode->number;
	touch_parent(t, path);
	return fd_new(io, inode, flags);
}

static void unlock_fd(struct memory_tree *t, struct fd *fd)
{
	if (fd->lock == IO_LOCK_SHARED)
		fd->inode->shared--;
	if (fd->lock == IO_LOCK_EXCLUSIVE)
		fd->inode->exclusive = 0;
	fd->lock = IO_LOCK_NONE;
	(void)pthread_cond_broadcast(&t->unlocked);
}

static struct fd *fd_of(struct io *io, int fd)
{
	struct memory_tree *t = tree_of(io);

	assert(fd >= 0);
	assert(fd < FDS_MAX);
	assert(t->fds[fd].owner == owner_of(io));
	return &t->fds[fd];
}

static int memory_close(struct io *io, int fd)
{
	struct memory_tree *t = tree_of(io);
	TREE_SCOPE(t);
	struct fd *f = fd_of(io, fd);

	unlock_fd(t, f);
	*f = (struct fd){ 0 };
	return 0;
}

static int64_t memory_pread(struct io *io, int fd, void *to, size_t n, uint64_t offset)
{
	TREE_SCOPE(tree_of(io));
	const struct inode *inode = fd_of(io, fd)->inode;

	if (offset >= inode->n)
		return 0;
	if (n > inode->n - offset)
		n = inode->n - (size_t)offset;
	memcpy(to, inode->data + offset, n);
	return (int64_t)n;
}

static int64_t memory_pwrite(struct io *io, int fd, const void *from, size_t n, uint64_t offset,
			     enum io_object object)
{
	struct memory_tree *t = tree_of(io);
	struct memory_op *op;
	struct inode *inode;

	shake(t);
	TREE_SCOPE(t);
	assert(fd_of(io, fd)->flags & IO_OPEN_WRITE);
	inode = fd_of(io, fd)->inode;
	inode_grow(t, inode, (size_t)offset + n);
	memcpy(inode->data + offset, from, n);
	if (inode->n < offset + n)
		inode->n = (size_t)offset + n;
	inode->hash = 0;
	inode->mtime_ns = now_ns();
	op = memory_record(t, MEMORY_WRITE, object);
	if (!t->recording)
		return (int64_t)n;
	op->inode = inode->number;
	op->offset = offset;
	op->data = memcpy(memory_tree_alloc(t, n), from, n);
	op->n = n;
	return (int64_t)n;
}

static int memory_size(struct io *io, int fd, uint64_t *ret_size)
{
	TREE_SCOPE(tree_of(io));

	*ret_size = fd_of(io, fd)->inode->n;
	return 0;
}

static int memory_fsync(struct io *io, int fd, enum io_object object)
{
	struct memory_tree *t = tree_of(io);

	shake(t);
	TREE_SCOPE(t);
	memory_record(t, MEMORY_FSYNC, object)->inode = fd_of(io, fd)->inode->number;
	return 0;
}

static int memory_fsync_folder(struct io *io, const char *path, enum io_object object)
{
	struct memory_tree *t = tree_of(io);

	shake(t);
	TREE_SCOPE(t);
	if (!memory_is_folder(t, path, strlen(path)))
		return -ENOENT;
	if (t->recording)
		notice_index_removed(t);
	memory_record(t, MEMORY_FSYNC_FOLDER, object)->path =
		t->recording ? keep_path(t, path) : NULL;
	return 0;
}

static int memory_rename(struct io *io, const char *from, const char *to, bool replace,
			 enum io_object object)
{
	struct memory_tree *t = tree_of(io);
	struct memory_op *op;
	struct inode *inode;
	struct entry *e;

	assert(!is_lmdb(from));
	assert(!is_lmdb(to));
	shake(t);
	TREE_SCOPE(t);
	e = memory_entry_find(t, from);
	if (!e || !memory_is_folder(t, to, memory_parent_length(to)))
		return -ENOENT;
	assert(!e->inode->is_folder);
	inode = e->inode;
	from = e->path;
	if (memory_entry_find(t, to) && !replace)
		return -EEXIST;
	memory_entry_remove(t, e);
	e = memory_entry_find(t, to);
	if (e)
		memory_entry_remove(t, e);
	to = keep_path(t, to);
	entry_add(t, to, inode);
	op = memory_record(t, MEMORY_RENAME, object);
	op->path = from;
	op->to = to;
	op->inode = inode->number;
	touch_parent(t, from);
	touch_parent(t, to);
	return 0;
}

/* LMDB's own files are real. */
int memory_unlink_lmdb(struct memory_tree *t, const char *path)
{
	char real[2 * PATH_ROOM];

	(void)snprintf(real, sizeof(real), "%s/%s", t->real_path, path);
	return unlink(real) < 0 ? -errno : 0;
}

static int memory_unlink(struct io *io, const char *path, enum io_object object)
{
	struct memory_tree *t = tree_of(io);
	struct memory_op *op;
	struct entry *e;
	int r = 0;

	shake(t);
	TREE_SCOPE(t);
	if (is_lmdb(path))
		r = memory_unlink_lmdb(t, path);
	e = memory_entry_find(t, path);
	if (!e)
		return is_lmdb(path) ? r : -ENOENT;
	if (e->inode->is_folder)
		return -EISDIR;
	op = memory_record(t, MEMORY_UNLINK, object);
	op->path = e->path;
	op->inode = e->inode->number;
	touch_parent(t, e->path);
	memory_entry_remove(t, e);
	return 0;
}

static int memory_mkdir(struct io *io, const char *path, enum io_object object)
{
	struct memory_tree *t = tree_of(io);
	const struct entry *e;

	shake(t);
	TREE_SCOPE(t);
	e = memory_entry_find(t, path);
	if (e)
		return e->inode->is_folder ? 0 : -ENOTDIR;
	if (!memory_is_folder(t, path, memory_parent_length(path)))
		return -ENOENT;
	if (strcmp(path, "index") == 0) {
		char real[2 * PATH_ROOM];

		(void)snprintf(real, sizeof(real), "%s/index", t->real_path);
		(void)mkdir(real, 0700);
	}
	path = keep_path(t, path);
	entry_add(t, path, memory_inode_new(t, true));
	memory_record(t, MEMORY_MKDIR, object)->path = path;
	touch_parent(t, path);
	return 0;
}

static void list_lmdb(const struct memory_tree *t, struct byte_buf *names)
{
	char real[2 * PATH_ROOM];
	const struct dirent *d;
	DIR *dir;

	(void)snprintf(real, sizeof(real), "%s/index", t->real_path);
	dir = opendir(real);
	if (!dir)
		return;
	while ((d = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
		if (strstr(d->d_name, ".mdb"))
			byte_buf_append(names, d->d_name, strlen(d->d_name) + 1);
	(void)closedir(dir);
}

static int list_names(struct memory_tree *t, const char *path, struct byte_buf *names)
{
	const uint64_t hash = memory_hash(path, strlen(path));
	TREE_SCOPE(t);

	if (!memory_is_folder(t, path, strlen(path)))
		return -ENOENT;
	for (uint32_t i = 0; i < t->n_entries; i++) {
		const char *name;

		if (t->entries[i].parent != hash || is_lmdb(t->entries[i].path))
			continue;
		name = base_name(t->entries[i].path);
		byte_buf_append(names, name, strlen(name) + 1);
	}
	if (strcmp(path, "index") == 0)
		list_lmdb(t, names);
	return names->failed ? -ENOMEM : 0;
}

static int memory_list(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf names = { 0 };
	int r = list_names(tree_of(io), path, &names);

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

static int stat_lmdb(const struct memory_tree *t, const char *path, struct io_stat *ret_stat)
{
	struct stat st;
	int r = stat_real(t, path, &st);

	if (r < 0)
		return r;
	*ret_stat = (struct io_stat){ .size = (uint64_t)st.st_size, .mtime_ns = 1 };
	return 0;
}

static int memory_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
	struct memory_tree *t = tree_of(io);
	const struct entry *e;
	TREE_SCOPE(t);

	if (is_lmdb(path))
		return stat_lmdb(t, path, ret_stat);
	if (path[0] == '\0') {
		*ret_stat = (struct io_stat){ .is_folder = true, .mtime_ns = 1 };
		return 0;
	}
	e = memory_entry_find(t, path);
	if (!e)
		return -ENOENT;
	*ret_stat = (struct io_stat){
		.size = e->inode->n,
		.mtime_ns = e->inode->mtime_ns,
		.is_folder = e->inode->is_folder,
	};
	return 0;
}

/* May `f` have this lock, whatever it holds itself? */
static bool lock_free_for(const struct fd *f, int fd, enum io_lock lock)
{
	const int others = f->inode->shared - (f->lock == IO_LOCK_SHARED);

	if (f->inode->exclusive && f->inode->exclusive != fd + 1)
		return false;
	return lock == IO_LOCK_SHARED || others == 0;
}

static int memory_lock(struct io *io, int fd, enum io_lock lock, bool wait)
{
	struct memory_tree *t = tree_of(io);
	TREE_SCOPE(t);
	struct fd *f = fd_of(io, fd);

	if (lock == IO_LOCK_NONE) {
		unlock_fd(t, f);
		return 0;
	}
	if (!lock_free_for(f, fd, lock)) {
		if (!wait)
			return -EWOULDBLOCK;
		unlock_fd(t, f); /* as flock(2): a conversion that waits gives up what it had */
	}
	while (!lock_free_for(f, fd, lock))
		(void)pthread_cond_wait(&t->unlocked, &t->mutex);
	unlock_fd(t, f);
	f->lock = lock;
	if (lock == IO_LOCK_SHARED)
		f->inode->shared++;
	else
		f->inode->exclusive = fd + 1;
	return 0;
}

/* ---- LMDB's file ---- */

#define META_BYTES 8192

int memory_open_index(const struct memory_tree *t, int flags)
{
	char real[2 * PATH_ROOM];

	(void)snprintf(real, sizeof(real), "%s/" MEMORY_INDEX_PATH, t->real_path);
	return open(real, flags | O_CLOEXEC, 0600);
}

/*
 * Copy the file into the arena. Another process may commit meanwhile: then
 * the meta pages, read first, differ afterwards, and the copy is taken again.
 */
static uint8_t *copy_real_index(struct memory_tree *t, struct stat *ret_stat)
{
	CLEANUP(close_fd_ptr) int fd = memory_open_index(t, O_RDONLY);
	uint8_t metas[META_BYTES];

	for (int i = 0; fd >= 0 && i < 100; i++) {
		const size_t used = t->used;
		uint8_t *copy;

		if (fstat(fd, ret_stat) < 0 || ret_stat->st_size < META_BYTES)
			return NULL;
		copy = memory_tree_alloc(t, (size_t)ret_stat->st_size);
		if (pread(fd, copy, (size_t)ret_stat->st_size, 0) == ret_stat->st_size &&
		    pread(fd, metas, META_BYTES, 0) == META_BYTES &&
		    memcmp(metas, copy, META_BYTES) == 0)
			return copy;
		t->used = used;
	}
	return NULL;
}

static int64_t stat_mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void memory_index_committed(struct io *io)
{
	struct memory_tree *t = tree_of(io);
	struct memory_op *op;
	struct inode *inode;
	struct entry *e;
	struct stat st;
	uint8_t *copy;

	TREE_SCOPE(t);
	if (!t->recording)
		return;
	notice_index_removed(t);
	copy = copy_real_index(t, &st);
	assert(copy);
	t->index_ino = st.st_ino;
	e = memory_entry_find(t, MEMORY_INDEX_PATH);
	inode = e ? e->inode : memory_inode_new(t, false);
	if (!e) {
		entry_add(t, MEMORY_INDEX_PATH, inode);
		op = memory_record(t, MEMORY_CREATE, IO_OBJECT_INDEX);
		op->path = MEMORY_INDEX_PATH;
		op->inode = inode->number;
	}
	inode->data = copy;
	inode->n = (size_t)st.st_size;
	inode->borrowed = true;
	op = memory_record(t, MEMORY_INDEX, IO_OBJECT_INDEX);
	op->path = MEMORY_INDEX_PATH;
	op->inode = inode->number;
	op->data = copy;
	op->n = inode->n;
	op->offset = (uint64_t)stat_mtime_ns(&st);
}

static void memory_free(struct io *io)
{
	struct memory_tree *t = tree_of(io);

	(void)pthread_mutex_lock(&t->mutex);
	for (int i = 0; i < FDS_MAX; i++) {
		if (t->fds[i].owner != owner_of(io))
			continue;
		unlock_fd(t, &t->fds[i]);
		t->fds[i] = (struct fd){ 0 };
	}
	(void)pthread_mutex_unlock(&t->mutex);
	free(io->real_path);
	free(io);
}

static const struct io_ops memory_ops = {
	.open = memory_open,
	.close = memory_close,
	.pread = memory_pread,
	.pwrite = memory_pwrite,
	.size = memory_size,
	.fsync = memory_fsync,
	.fsync_folder = memory_fsync_folder,
	.rename = memory_rename,
	.unlink = memory_unlink,
	.mkdir = memory_mkdir,
	.list = memory_list,
	.stat = memory_stat,
	.lock = memory_lock,
	.index_committed = memory_index_committed,
	.free = memory_free,
};

int memory_io_open(struct memory_tree *t, struct io **ret_io)
{
	struct memory_io *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->io.ops = &memory_ops;
	m->tree = t;
	m->number = __atomic_add_fetch(&t->n_owners, 1, __ATOMIC_SEQ_CST);
	m->io.real_path = strdup(t->real_path);
	if (!m->io.real_path) {
		free(m);
		return -ENOMEM;
	}
	*ret_io = &m->io;
	return 0;
}
