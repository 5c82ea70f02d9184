/* SPDX-License-Identifier: MIT */
#include "fs/fuse_ops.h"

#include "fs/control_files.h"
#include "fs/view_file.h"
#include "fs/view_hosts.h"
#include "fs/view_root.h"
#include "fs/view_spots.h"
#include "fs/view_tree.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/xattr.h>

#define REPLY_BYTES_MAX MIB(8) /* more than any kernel asks for at once */
#define MAX_BACKGROUND 64
#define MAX_READ_AHEAD MIB(1)

/* A thread's memory for replies; only grows. */
struct reply_buffer {
	size_t room;
	char data[];
};

int fuse_ops_init(struct fuse_ops *ops, struct view *view, bool allow_other,
		  size_t read_ahead_bytes)
{
	*ops = (struct fuse_ops){
		.view = view,
		.allow_other = allow_other,
		.read_ahead_bytes = read_ahead_bytes ? read_ahead_bytes : MAX_READ_AHEAD,
	};
	return -pthread_key_create(&ops->buffers, free);
}

void fuse_ops_done(struct fuse_ops *ops)
{
	/* Its threads are gone, and their buffers with them; but the main one lives on. */
	free(pthread_getspecific(ops->buffers));
	(void)pthread_key_delete(ops->buffers);
}

void fuse_ops_stats(struct fuse_ops *ops, struct mount_stats *ret_stats)
{
	struct mount_stats s = {
		.lookups = atomic_load_explicit(&ops->lookups, memory_order_relaxed),
		.getattrs = atomic_load_explicit(&ops->getattrs, memory_order_relaxed),
		.readdirs = atomic_load_explicit(&ops->readdirs, memory_order_relaxed),
		.reads = atomic_load_explicit(&ops->reads, memory_order_relaxed),
		.xattrs = atomic_load_explicit(&ops->xattrs, memory_order_relaxed),
		.others = atomic_load_explicit(&ops->others, memory_order_relaxed),
		.nodes = node_table_count(ops->view->nodes),
	};

	s.requests = s.lookups + s.getattrs + s.readdirs + s.reads + s.xattrs + s.others;
	*ret_stats = s;
}

static void count(atomic_uint_fast64_t *counter)
{
	(void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static char *buffer_of(struct fuse_ops *ops, size_t n)
{
	struct reply_buffer *b = pthread_getspecific(ops->buffers), *larger;

	if (b && b->room >= n)
		return b->data;
	if (n > REPLY_BYTES_MAX)
		return NULL;
	larger = malloc(sizeof(*larger) + n);
	if (!larger)
		return NULL;
	larger->room = n;
	if (pthread_setspecific(ops->buffers, larger) != 0) {
		free(larger);
		return NULL;
	}
	free(b);
	return larger->data;
}

/* What users see of an error: all that is wrong with stored bytes is EIO. */
static int user_error(int64_t r)
{
	switch (r) {
	case -EBADMSG:
	case -EUCLEAN:
	case -ENOKEY:
	case -EREMOTEIO:
	case -EFBIG:
		return EIO;
	default:
		return (int)-r;
	}
}

static void reply_error(fuse_req_t req, int64_t r)
{
	(void)fuse_reply_err(req, user_error(r));
}

static struct fuse_ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* ---- nodes ---- */

static struct fuse_entry_param entry_of(const struct node_info *info)
{
	return (struct fuse_entry_param){
		.ino = info->node,
		.generation = info->generation,
		.attr = info->st,
		.attr_timeout = info->attr_timeout,
		.entry_timeout = info->entry_timeout,
	};
}

static void forget(struct view *v, uint64_t node, uint64_t n)
{
	switch (node_kind(node)) {
	case NODE_TREE:
		node_table_forget(v->nodes, node, n);
		return;
	case NODE_SPOT:
		spot_table_forget(v->spots, node, n);
		return;
	case NODE_CONTROL_FILE:
		control_files_forget(v, node, n);
		return;
	default: /* costs no memory */
		return;
	}
}

/* A folder that is always there. */
static int lookup_fixed(struct view *v, uint64_t parent, const char *name,
			struct node_info *ret_info)
{
	if (parent == NODE_CONTROL)
		return control_files_lookup(v, name, ret_info);
	if (parent == NODE_HOSTS)
		return view_hosts_lookup(v, name, ret_info);
	switch (node_folder(parent)) {
	case FOLDER_ROOT:
	case FOLDER_SNAPSHOTS:
		return view_root_lookup(v, parent, name, ret_info);
	case FOLDER_NONE:
		return -ESTALE;
	default:
		return view_spot_lookup(v, parent, name, ret_info);
	}
}

static int lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info)
{
	switch (node_kind(parent)) {
	case NODE_FIXED:
		return lookup_fixed(v, parent, name, ret_info);
	case NODE_SPOT:
		return view_spot_lookup(v, parent, name, ret_info);
	default:
		return view_tree_lookup(v, parent, name, ret_info);
	}
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_ops *ops = ops_of(req);
	struct fuse_entry_param entry;
	struct node_info info = { 0 };
	int r;

	count(&ops->lookups);
	r = lookup(ops->view, parent, name, &info);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	entry = entry_of(&info);
	/* An interrupted caller has not got it, and will not forget it. */
	if (fuse_reply_entry(req, &entry) != 0 && info.node)
		forget(ops->view, info.node, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
	forget(ops_of(req)->view, node, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
	struct view *v = ops_of(req)->view;

	for (size_t i = 0; i < n; i++)
		forget(v, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static int stat_node(struct view *v, uint64_t node, struct node_info *ret_info)
{
	switch (node_kind(node)) {
	case NODE_TREE:
		return view_tree_stat(v, node, ret_info);
	case NODE_SPOT:
		return view_spot_stat(v, node, ret_info);
	case NODE_LATEST:
		return view_root_latest_stat(v, node, ret_info);
	case NODE_CONTROL_FILE:
		return control_files_stat(v, node, ret_info);
	default:
		break;
	}
	if (node == NODE_CONTROL)
		control_files_folder(v, ret_info);
	else if (node == NODE_HOSTS)
		view_hosts_stat(v, ret_info);
	else if (node_folder(node) == FOLDER_NONE || !view_host(v, node_host(node)))
		return -ESTALE;
	else
		view_root_stat(v, node, ret_info);
	return 0;
}

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct fuse_ops *ops = ops_of(req);
	struct node_info info;
	int r;

	(void)fi;
	count(&ops->getattrs);
	r = stat_node(ops->view, node, &info);
	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_attr(req, &info.st, info.attr_timeout);
}

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct fuse_ops *ops = ops_of(req);
	char target[LINK_BYTES_MAX + 1];
	int r;

	static_assert(LATEST_TARGET_BYTES <= sizeof(target), "room for latest");
	count(&ops->others);
	if (node_kind(node) == NODE_LATEST)
		r = view_root_latest(ops->view, node, target);
	else if (node_kind(node) == NODE_TREE)
		r = view_tree_link(ops->view, node, target);
	else
		r = -EINVAL;
	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_readlink(req, target);
}

/* ---- files ---- */

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	count(&ops_of(req)->others);
	(void)fuse_reply_err(req, ENOSYS);
}

static void read_control_file(fuse_req_t req, fuse_ino_t node, size_t n, uint64_t offset)
{
	struct fuse_ops *ops = ops_of(req);
	char *to = buffer_of(ops, n);
	int64_t r = to ? control_files_read(ops->view, node, offset, to, n) : -ENOMEM;

	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_buf(req, to, (size_t)r);
}

/* Holes, or bytes from very many places: they are put together first. */
static void reply_copy(fuse_req_t req, struct file_read *read, size_t n)
{
	char *to = buffer_of(ops_of(req), n);
	int64_t r = to ? view_file_read_copy(read, to, n) : -ENOMEM;

	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_buf(req, to, (size_t)r);
}

static void op_read(fuse_req_t req, fuse_ino_t node, size_t n, off_t offset,
		    struct fuse_file_info *fi)
{
	struct fuse_ops *ops = ops_of(req);
	struct file_read read;
	int64_t r;

	(void)fi;
	count(&ops->reads);
	if (offset < 0) {
		reply_error(req, -EINVAL);
		return;
	}
	if (node_kind(node) == NODE_CONTROL_FILE) {
		read_control_file(req, node, n, (uint64_t)offset);
		return;
	}
	r = view_file_read_begin(ops->view, node, (uint64_t)offset, n, &read);
	if (r == -EFBIG)
		reply_copy(req, &read, n);
	else if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_iov(req, read.spans, (int)read.n_spans);
	view_file_read_end(ops->view, &read);
}

static void op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	struct fuse_ops *ops = ops_of(req);
	int64_t r;

	(void)fi;
	count(&ops->others);
	if (offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE))
		r = -EINVAL;
	else if (node_kind(node) != NODE_TREE)
		r = -EOPNOTSUPP;
	else
		r = view_file_seek(ops->view, node, (uint64_t)offset, whence == SEEK_HOLE);
	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_lseek(req, r);
}

/* ---- directories ---- */

/* A listing being written into a thread's buffer. */
struct list_buffer {
	struct dir_sink sink;
	fuse_req_t req;
	char *data;
	size_t room;
	size_t n;
};

static size_t add_direntry(const struct list_buffer *b, const char *name,
			   const struct fuse_entry_param *entry, uint64_t cookie)
{
	size_t room = b->room - b->n;

	/* Without an entry only the length is asked for. */
	if (b->sink.plus)
		return fuse_add_direntry_plus(b->req, entry ? b->data + b->n : NULL,
					      entry ? room : 0, name, entry, (off_t)cookie);
	return fuse_add_direntry(b->req, entry ? b->data + b->n : NULL, entry ? room : 0, name,
				 entry ? &entry->attr : NULL, (off_t)cookie);
}

static bool list_fits(struct dir_sink *sink, const char *name)
{
	const struct list_buffer *b = (const struct list_buffer *)sink;

	return add_direntry(b, name, NULL, 0) <= b->room - b->n;
}

static void list_add(struct dir_sink *sink, const char *name, const struct node_info *info,
		     uint64_t cookie)
{
	struct list_buffer *b = (struct list_buffer *)sink;
	struct fuse_entry_param entry = entry_of(info);

	b->n += add_direntry(b, name, &entry, cookie);
}

/* A listing that did not arrive: take back the look-ups that it counted. */
static void forget_listed(struct view *v, const struct list_buffer *b)
{
	const size_t head = offsetof(struct fuse_direntplus, dirent.name);
	struct fuse_direntplus entry;

	for (size_t at = 0; b->n - at >= head;) {
		memcpy(&entry, b->data + at, head);
		if (entry.entry_out.nodeid)
			forget(v, entry.entry_out.nodeid, 1);
		at += FUSE_DIRENT_ALIGN(head + entry.dirent.namelen);
	}
}

static int list_fixed(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink)
{
	if (node == NODE_HOSTS)
		return view_hosts_list(v, cookie, sink);
	if (node == NODE_CONTROL) {
		control_files_list(v, cookie, sink);
		return 0;
	}
	switch (node_folder(node)) {
	case FOLDER_ROOT:
	case FOLDER_SNAPSHOTS:
		return view_root_list(v, node, cookie, sink);
	case FOLDER_NONE:
		return -ESTALE;
	default:
		return view_spot_list(v, node, cookie, sink);
	}
}

static int list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink)
{
	switch (node_kind(node)) {
	case NODE_FIXED:
		return list_fixed(v, node, cookie, sink);
	case NODE_SPOT:
		return view_spot_list(v, node, cookie, sink);
	default:
		return view_tree_list(v, node, cookie, sink);
	}
}

static void reply_list(fuse_req_t req, fuse_ino_t node, size_t n, off_t cookie, bool plus)
{
	struct fuse_ops *ops = ops_of(req);
	struct list_buffer b = {
		.sink = { .plus = plus, .fits = list_fits, .add = list_add },
		.req = req,
		.data = buffer_of(ops, n),
		.room = n,
	};
	int r;

	count(&ops->readdirs);
	if (!b.data || cookie < 0) {
		reply_error(req, b.data ? -EINVAL : -ENOMEM);
		return;
	}
	r = list(ops->view, node, (uint64_t)cookie, &b.sink);
	/* What was listed before a fault is listed; the fault comes with the next request. */
	if (r < 0 && b.n == 0) {
		reply_error(req, r);
		return;
	}
	if (fuse_reply_buf(req, b.data, b.n) != 0 && plus)
		forget_listed(ops->view, &b);
}

static void op_readdir(fuse_req_t req, fuse_ino_t node, size_t n, off_t cookie,
		       struct fuse_file_info *fi)
{
	(void)fi;
	reply_list(req, node, n, cookie, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t n, off_t cookie,
			   struct fuse_file_info *fi)
{
	(void)fi;
	reply_list(req, node, n, cookie, true);
}

/* ---- extended attributes ---- */

/* Reply with a value, or with its length when none is wanted. */
static void reply_xattr(fuse_req_t req, const struct byte_buf *value, size_t room)
{
	if (room == 0)
		(void)fuse_reply_xattr(req, value->n);
	else if (value->n > room)
		(void)fuse_reply_err(req, ERANGE);
	else
		(void)fuse_reply_buf(req, (const char *)value->data, value->n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t room)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf value = { 0 };
	struct fuse_ops *ops = ops_of(req);
	int r;

	count(&ops->xattrs);
	if (node_kind(node) == NODE_TREE || node_kind(node) == NODE_SPOT)
		r = view_tree_xattr(ops->view, node, name, &value);
	else
		r = strcmp(name, "security.selinux") == 0 ? -EOPNOTSUPP : -ENODATA;
	if (r < 0)
		reply_error(req, r);
	else
		reply_xattr(req, &value, room);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t room)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf names = { 0 };
	struct fuse_ops *ops = ops_of(req);
	int r = 0;

	count(&ops->xattrs);
	if (node_kind(node) == NODE_TREE || node_kind(node) == NODE_SPOT)
		r = view_tree_xattr_names(ops->view, node, &names);
	if (r < 0)
		reply_error(req, r);
	else
		reply_xattr(req, &names, room);
}

/* ---- the whole ---- */

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct fuse_ops *ops = ops_of(req);
	const char *path = io_real_path(store_io(timeline_store(ops->view->timeline)));
	struct statvfs st;

	(void)node;
	count(&ops->others);
	/* The repository's disk: what is stored and what is left for more. */
	if (statvfs(path, &st) < 0) {
		reply_error(req, -errno);
		return;
	}
	st.f_namemax = NAME_BYTES_MAX;
	(void)fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fuse_ops *ops = userdata;
	unsigned int want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
			    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
			    FUSE_CAP_EXPIRE_ONLY;

	if (ops->allow_other)
		want |= FUSE_CAP_POSIX_ACL;
	if (ops->allow_other && !(conn->capable & FUSE_CAP_POSIX_ACL))
		log_warning("mount: this kernel does not enforce ACLs on FUSE; modes alone decide");
	/* Nothing else that libfuse would want by itself: replies come from memory. */
	conn->want = want & conn->capable;
	atomic_store(&ops->can_expire, (conn->want & FUSE_CAP_EXPIRE_ONLY) != 0);
	if (ops->read_ahead_bytes < conn->max_readahead)
		conn->max_readahead = (unsigned int)ops->read_ahead_bytes;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->time_gran = 1;
}

const struct fuse_lowlevel_ops fuse_ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.opendir = op_open,
	.read = op_read,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.lseek = op_lseek,
	.statfs = op_statfs,
};
