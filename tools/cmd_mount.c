/* SPDX-License-Identifier: MIT */
#include "fs/mount.h"
#include "tools/cmd_table.h"
#include "tools/daemon.h"
#include "tools/failure.h"
#include "tools/folder.h"
#include "tools/mount_request.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/status.h"

#include "store/base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define PREFETCHERS 4

enum { OPTION_CACHE_SIZE = OPTIONS_FIRST_LONG };

static const struct option longs[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "options", required_argument, NULL, 'o' },
	{ "cache-size", required_argument, NULL, OPTION_CACHE_SIZE },
	{ 0 },
};

/* The mount that signals end. */
static struct mount *volatile mounted;

struct serving {
	struct session *session;
	struct mount *mount;
	const struct mount_request *request;
	int ready_fd; /* -1: in the foreground */
};

static void stop(int signal_number)
{
	(void)signal_number;
	cmd_cancelled = true;
	if (mounted)
		mount_stop(mounted);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = stop };

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* What the mount has done so far, and what it holds in memory. */
static json_t *mount_json(const struct serving *serving)
{
	struct chunk_cache_stats cache;
	struct mount_stats requests;
	json_t *o = json_object();

	if (!o)
		return NULL;
	mount_stats(serving->mount, &requests);
	chunk_cache_stats(serving->session->cache, &cache);
	(void)output_json_name(o, "path", serving->request->mountpoint,
			       strlen(serving->request->mountpoint));
	(void)json_object_set_new(o, "requests", number(requests.requests));
	(void)json_object_set_new(o, "lookups", number(requests.lookups));
	(void)json_object_set_new(o, "getattrs", number(requests.getattrs));
	(void)json_object_set_new(o, "readdirs", number(requests.readdirs));
	(void)json_object_set_new(o, "reads", number(requests.reads));
	(void)json_object_set_new(o, "xattrs", number(requests.xattrs));
	(void)json_object_set_new(o, "others", number(requests.others));
	(void)json_object_set_new(o, "nodes", number(requests.nodes));
	(void)json_object_set_new(o, "cache_hits", number(cache.hits));
	(void)json_object_set_new(o, "cache_waits", number(cache.waits));
	(void)json_object_set_new(o, "cache_decodes", number(cache.decodes));
	(void)json_object_set_new(o, "cache_bytes", number(cache.bytes));
	return o;
}

static char *serving_status(void *context)
{
	const struct serving *serving = context;

	return status_text(serving->session, mount_json(serving));
}

static void serving_ready(void *context)
{
	struct serving *serving = context;

	if (serving->ready_fd >= 0)
		daemon_ready(STEAL_FD(serving->ready_fd));
	else
		log_info("mounted at %s", serving->request->mountpoint);
}

/* The default mountpoint is made, any other must be there. */
static int check_mountpoint(const struct mount_request *q)
{
	struct stat st;
	int r;

	if (q->default_mountpoint) {
		r = folder_make_all(q->mountpoint, 0755);
		/* ENOTCONN: a dead mount, which mount_new takes away. */
		if (r < 0 && r != -ENOTCONN)
			return failure_errno(r, "cannot make the mountpoint %s", q->mountpoint);
	}
	if (stat(q->mountpoint, &st) < 0 && errno == ENOENT)
		return failure(EXIT_CODE_FAILED,
			       "the mountpoint %s is not there; make it with 'mkdir -p'",
			       q->mountpoint);
	return EXIT_CODE_DONE;
}

/* mount_new has said what is wrong and what to do about it. */
static int mount_failure(int r)
{
	if (r == -ENODEV || r == -EACCES || r == -EPERM)
		failure_note("'yore ls', 'yore cat' and 'yore restore' need no mount");
	return (int)failure_code(r);
}

static int serve(struct serving *serving)
{
	CLEANUP(mount_free_ptr) struct mount *m = NULL;
	const struct mount_request *q = serving->request;
	struct session *s = serving->session;
	struct mount_options options = { .mountpoint = q->mountpoint,
					 .allow_other = q->allow_other,
					 .read_ahead_bytes = q->read_ahead_bytes,
					 .threads = q->threads,
					 .status_json = serving_status,
					 .ready = serving_ready,
					 .context = serving,
					 .debug = q->debug };
	int r = session_cache(s, q->cache_bytes, PREFETCHERS);

	if (r < 0)
		return failure_errno(r, "mount");
	r = mount_new(s->timeline, s->cache, &options, &m);
	if (r < 0)
		return mount_failure(r);
	serving->mount = m;
	mounted = m;
	if (cmd_cancelled)
		mount_stop(m);
	r = mount_run(m);
	mounted = NULL;
	return r < 0 ? (int)failure_code(r) : EXIT_CODE_DONE;
}

/* In the process that will serve. */
static int open_and_serve(const struct cmd_globals *globals, const struct mount_request *q,
			  int ready_fd)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct serving serving = { .session = &s, .request = q, .ready_fd = ready_fd };
	int r;

	catch_signals();
	r = session_open(&s, globals, SESSION_TIMELINE, 0);
	if (r == EXIT_CODE_DONE)
		r = check_mountpoint(q);
	return r == EXIT_CODE_DONE ? serve(&serving) : r;
}

static int print_mounted(const struct cmd_globals *globals, const struct mount_request *q)
{
	json_t *o;

	if (globals->json) {
		o = json_object();
		(void)output_json_name(o, "mountpoint", q->mountpoint, strlen(q->mountpoint));
		return output_json(o) < 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
	}
	if (globals->verbosity < 0)
		return EXIT_CODE_DONE;
	(void)fputs("mounted at ", stdout);
	output_name(stdout, q->mountpoint, strlen(q->mountpoint));
	(void)putchar('\n');
	return EXIT_CODE_DONE;
}

static int mount_as_asked(struct cmd_globals *globals, const struct mount_request *q)
{
	int ready_fd = -1, code = EXIT_CODE_FAILED, r;

	if (q->host)
		globals->host = q->host;
	if (q->foreground)
		return open_and_serve(globals, q, -1);

	/* LMDB and threads do not survive a fork: they come after it. */
	(void)fflush(NULL);
	r = daemon_begin(&ready_fd, &code);
	if (r < 0)
		return failure_errno(r, "cannot go into the background");
	if (r == 0)
		return open_and_serve(globals, q, ready_fd);
	return code == EXIT_CODE_DONE ? print_mounted(globals, q) : code;
}

static int take_option(struct mount_request *q, const struct options *o, int c)
{
	CLEANUP(free_ptr) char *wrong = NULL;
	size_t n;
	int r;

	switch (c) {
	case 'f':
		q->foreground = true;
		return EXIT_CODE_DONE;
	case 'o':
		r = mount_request_options(q, optarg, &wrong);
		if (r == -EINVAL)
			return options_wrong(o, "%s", wrong);
		return r < 0 ? failure_errno(r, "mount") : EXIT_CODE_DONE;
	default:
		if (options_size(optarg, &n) < 0 || n < MIB(4))
			return options_wrong(o, "--cache-size wants at least 4M, such as 256M");
		q->cache_bytes = n;
		return EXIT_CODE_DONE;
	}
}

static int read_options(struct mount_request *q, struct options *o, bool *ret_stop)
{
	int c, r;

	*ret_stop = true;
	options_add(o, "fo:", longs);
	while ((c = options_next(o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o->exit_code;
		r = take_option(q, o, c);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	*ret_stop = false;
	return EXIT_CODE_DONE;
}

static int run_with(struct mount_request *q, struct options *o, const char *mountpoint)
{
	int r = mount_request_mountpoint(q, mountpoint);

	if (r == -ENOENT)
		return failure(EXIT_CODE_USAGE, "no home folder; name a mountpoint");
	if (r < 0)
		return failure_errno(r, "mount");
	return mount_as_asked(&o->globals, q);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(mount_request_done) struct mount_request q;
	struct options o;
	bool stop_here;
	int r;

	mount_request_init(&q);
	options_init(&o, globals, &cmd_mount, argc, argv);
	r = read_options(&q, &o, &stop_here);
	if (stop_here)
		return r;
	if (optind + 1 < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind + 1]);
	return run_with(&q, &o, argv[optind]);
}

int cmd_mount_fstab(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(mount_request_done) struct mount_request q;
	struct options o;
	bool stop_here;
	int r;

	mount_request_init(&q);
	options_init(&o, globals, &cmd_mount, argc, argv);
	/* mount(8) passes -n and -s on. */
	options_add(&o, "ns", NULL);
	o.globals.verbosity = -1;
	r = read_options(&q, &o, &stop_here);
	if (stop_here)
		return r;
	if (argc - optind != 2)
		return options_wrong(&o, "wants REPOSITORY MOUNTPOINT -o OPTIONS");
	o.globals.repository = argv[optind];
	return run_with(&q, &o, argv[optind + 1]);
}

const struct cmd cmd_mount = {
	.name = "mount",
	.aliases = "",
	.summary = "show every moment as ordinary folders",
	.help = "usage: yore mount [MOUNTPOINT] [-f] [-o OPTIONS] [--host NAME]\n"
		"\n"
		"Mounts the repository at MOUNTPOINT, or at the default one (/backups for root,\n"
		"~/backups for others; made if missing), and returns when it answers. Every day\n"
		"with snapshots is a folder; any moment can be named: @yesterday, @2h-ago,\n"
		"@2024-05-01T14-30, @monday, a tag. 'latest' leads to the newest.\n"
		"\n"
		"options:\n"
		"  -f, --foreground       stay in the foreground\n"
		"  -o, --options OPTIONS  mount options: allow_other (root's default: all users,\n"
		"                         as modes and ACLs say), private, host=NAME,\n"
		"                         cache_size=N, read_ahead=N, threads=N, debug\n"
		"      --cache-size N     memory for decoded data, such as 64M (default 256M)\n"
		"\n"
		"fstab:\n"
		"  /var/lib/yore /backups fuse.yore ro,allow_other,nofail 0 0\n"
		"\n"
		"examples:\n"
		"  yore mount\n"
		"  cp /backups/@yesterday$PWD/report.odt .\n"
		"  diff -r /backups/@monday/etc /backups/latest/etc\n",
	.run = run,
};
