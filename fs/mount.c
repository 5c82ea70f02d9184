/* SPDX-License-Identifier: MIT */
#include "fs/mount.h"

#include "fs/control_files.h"
#include "fs/fuse_ops.h"
#include "fs/mount_point.h"
#include "fs/notifier.h"
#include "snapshots/mount_kind.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fuse_log.h>
#include <fuse_opt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOUNT_MAGIC 0x796d6e74u
#define THREADS_MIN 4u
#define THREADS_MAX 64u

struct mount {
	uint32_t magic;
	char *mountpoint; /* canonical */
	unsigned int threads;
	struct view *view;
	struct fuse_ops ops;
	bool ops_made;
	struct fuse_session *session;
	bool is_mounted;
	struct notifier *notifier;
};

/* libfuse prints by itself; its lines are for people who debug. */
__attribute__((format(printf, 2, 0))) static void
log_from_fuse(enum fuse_log_level level, const char *format, va_list arguments)
{
	char line[512];

	(void)vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = 0;
	if (level <= FUSE_LOG_ERR)
		log_warning("mount: %s", line);
	else
		log_debug("mount: %s", line);
}

/* ---- options ---- */

static int mount_option_string(const struct mount *m, bool allow_other, char **ret_options)
{
	const char *path = io_real_path(store_io(timeline_store(m->view->timeline)));
	CLEANUP(free_ptr) char *name = NULL;
	char *options = NULL;
	int r;

	if (asprintf(&name, "fsname=yore:%s", path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	r = fuse_opt_add_opt(&options, "ro,nosuid,nodev,subtype=yore");
	/* Without others there are no rights to check: its one user reads everything. */
	if (r == 0 && allow_other)
		r = fuse_opt_add_opt(&options, "allow_other,default_permissions");
	if (r == 0)
		r = fuse_opt_add_opt_escaped(&options, name); /* a path may hold a comma */
	if (r != 0) {
		free(options);
		return -ENOMEM;
	}
	*ret_options = options;
	return 0;
}

static int make_session(struct mount *m, const struct mount_options *options)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
	CLEANUP(free_ptr) char *text = NULL;
	int r;

	r = mount_option_string(m, options->allow_other, &text);
	if (r < 0)
		return r;
	if (fuse_opt_add_arg(&arguments, "yore") != 0 || fuse_opt_add_arg(&arguments, "-o") != 0 ||
	    fuse_opt_add_arg(&arguments, text) != 0 ||
	    (options->debug && fuse_opt_add_arg(&arguments, "-d") != 0)) {
		fuse_opt_free_args(&arguments);
		return -ENOMEM;
	}
	m->session = fuse_session_new(&arguments, &fuse_ops_table, sizeof(fuse_ops_table), &m->ops);
	fuse_opt_free_args(&arguments);
	return m->session ? 0 : log_errno(-EINVAL, "mount: libfuse refuses its options");
}

static int start_mount(struct mount *m, bool allow_other)
{
	if (fuse_session_mount(m->session, m->mountpoint) == 0) {
		m->is_mounted = true;
		return 0;
	}
	if (access("/dev/fuse", F_OK) < 0)
		return log_errno(-ENODEV, "mount: there is no /dev/fuse; load the kernel module "
					  "fuse, or give the container that device");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return log_errno(-EACCES, "mount: /dev/fuse may not be opened");
	if (allow_other && geteuid() != 0)
		return log_errno(-EPERM,
				 "mount: %s cannot be mounted for all users; put the line "
				 "user_allow_other into /etc/fuse.conf, or mount for "
				 "yourself only",
				 m->mountpoint);
	return log_errno(-EPERM, "mount: %s cannot be mounted", m->mountpoint);
}

static unsigned int choose_threads(unsigned int wanted)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int n = wanted;

	if (n == 0)
		n = processors > 0 && processors < THREADS_MAX ? 2 * (unsigned int)processors
							       : THREADS_MIN;
	if (n < THREADS_MIN)
		n = THREADS_MIN;
	return n < THREADS_MAX ? n : THREADS_MAX;
}

/* Each snapshot in use is an open file, and whoever lists many uses them all. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int mount_new(struct timeline *t, struct chunk_cache *cache, const struct mount_options *options,
	      struct mount **ret_mount)
{
	CLEANUP(mount_free_ptr) struct mount *m = NULL;
	struct notifier_options notify = { 0 };
	int r;

	assert(options->mountpoint);

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->magic = MOUNT_MAGIC;
	m->threads = choose_threads(options->threads);
	fuse_set_log_func(log_from_fuse);
	raise_file_limit();
	r = mount_point_resolve(options->mountpoint, &m->mountpoint);
	if (r < 0)
		return log_errno(r, "mount: folder %s cannot be found", options->mountpoint);
	r = mount_point_prepare(m->mountpoint);
	if (r < 0)
		return r;
	r = view_new(t, cache, options->status_json, options->context, &m->view);
	if (r < 0)
		return r;
	control_files_texts(m->view->control, options->metrics, options->banner);
	m->view->allow_other = options->allow_other;
	m->view->snapshot_xattr = options->snapshot_xattr;
	m->view->snapshot_xattr_context = options->snapshot_xattr_context;
	r = fuse_ops_init(&m->ops, m->view, options->allow_other, options->read_ahead_bytes);
	if (r < 0)
		return r;
	m->ops_made = true;
	r = make_session(m, options);
	if (r < 0)
		return r;
	notify.session = m->session;
	notify.ops = &m->ops;
	notify.mountpoint = m->mountpoint;
	notify.ready = options->ready;
	notify.context = options->context;
	r = notifier_new(&notify, &m->notifier);
	if (r < 0)
		return r;
	r = start_mount(m, options->allow_other);
	if (r < 0)
		return r;
	*ret_mount = STEAL(m);
	return 0;
}

/* ---- running ---- */

static int run_loop(struct mount *m)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, m->threads);
	r = fuse_session_loop_mt(m->session, config);
	fuse_loop_cfg_destroy(config);
	/* Positive: a signal's number, and no fault. */
	return r < 0 ? log_errno(r, "mount: %s: reading requests failed", m->mountpoint) : 0;
}

static void end_mount(struct mount *m)
{
	if (m->is_mounted)
		fuse_session_unmount(m->session);
	m->is_mounted = false;
}

int mount_run(struct mount *m)
{
	int r;

	assert(m->magic == MOUNT_MAGIC);

	r = notifier_start(m->notifier);
	if (r < 0)
		return r;
	r = run_loop(m);
	/*
	 * The notifier talks through the session's descriptor and so must be
	 * gone before that is closed; unless the kernel makes it wait for an
	 * answer that nobody gives any more, which only the closing ends.
	 */
	if (notifier_join(m->notifier) < 0) {
		end_mount(m);
		while (notifier_join(m->notifier) < 0)
			log_warning("mount: %s: waiting for the kernel", m->mountpoint);
	}
	end_mount(m);
	return r;
}

void mount_stop(struct mount *m)
{
	notifier_stop(m->notifier);
}

void mount_free(struct mount *m)
{
	if (!m)
		return;
	assert(m->magic == MOUNT_MAGIC);
	end_mount(m);
	notifier_free(m->notifier);
	if (m->session)
		fuse_session_destroy(m->session);
	if (m->ops_made)
		fuse_ops_done(&m->ops);
	view_free(m->view);
	free(m->mountpoint);
	m->magic = 0;
	free(m);
}

void mount_stats(struct mount *m, struct mount_stats *ret_stats)
{
	fuse_ops_stats(&m->ops, ret_stats);
}

/* ---- from outside ---- */

int mount_unmount(const char *mountpoint)
{
	CLEANUP(free_ptr) char *path = NULL;
	char type[64];
	int r;

	r = mount_point_resolve(mountpoint, &path);
	if (r >= 0)
		r = mount_point_type(path, type);
	if (r < 0)
		return log_errno(-EINVAL, "umount: nothing is mounted at %s", mountpoint);
	if (strcmp(type, MOUNT_TYPE) != 0)
		return log_errno(-EINVAL, "umount: %s is a mount of another kind (%s)", path, type);
	r = mount_point_unmount(path, false);
	if (r == -EBUSY) {
		mount_point_log_users(path);
		return log_errno(-EBUSY, "umount: %s is in use; leave it and try again", path);
	}
	return r < 0 ? log_errno(r, "umount: %s cannot be unmounted", path) : 0;
}
