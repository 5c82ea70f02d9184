/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/daemon.h"
#include "tools/failure.h"
#include "tools/mount_request.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/service.h"
#include "tools/supervisor.h"
#include "tools/usual.h"

#include <errno.h>
#include <string.h>

enum { OPTION_CACHE_SIZE = OPTIONS_FIRST_LONG };

static const struct option longs[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "options", required_argument, NULL, 'o' },
	{ "cache-size", required_argument, NULL, OPTION_CACHE_SIZE },
	{ 0 },
};

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
	if (!*q->mountpoint) {
		(void)puts("protecting");
		return EXIT_CODE_DONE;
	}
	(void)fputs("mounted at ", stdout);
	output_name(stdout, q->mountpoint, strlen(q->mountpoint));
	(void)putchar('\n');
	return EXIT_CODE_DONE;
}

/* What the options leave open, the configuration says. */
static int settle(struct mount_request *q, const struct config *config)
{
	if (!q->allow_other_given)
		q->allow_other = config->allow_other;
	if (!q->cache_given)
		q->cache_bytes = config->cache_bytes;
	if (q->mountpoint)
		return 0;
	q->default_mountpoint = config->mount_default;
	q->mountpoint = strdup(config->mountpoint);
	return q->mountpoint ? 0 : -ENOMEM;
}

struct job {
	struct cmd_globals *globals;
	struct mount_request *request;
	struct config *config;
};

static int work(void *context, int ready_fd)
{
	const struct job *job = context;
	CLEANUP(config_done) struct config fresh = { 0 };
	int r;

	if (ready_fd >= 0)
		return service_run(job->globals, job->request, job->config, ready_fd);
	/* Started again: what the configuration says by now. */
	r = config_load(job->globals, &fresh);
	return r == EXIT_CODE_DONE ? service_run(job->globals, job->request, &fresh, -1) : r;
}

static int absolute_variable(const char *name)
{
	CLEANUP(free_ptr) char *path = NULL;
	const char *value = getenv(name);

	if (!value || !*value || *value == '/' || strstr(value, "://"))
		return 0;
	path = usual_absolute(value);
	return path && setenv(name, path, 1) == 0 ? 0 : -ENOMEM;
}

static int absolute_option(const char **option)
{
	const char *value = *option;

	if (!value || !*value || *value == '/' || strstr(value, "://"))
		return 0;
	*option = usual_absolute(value); /* for as long as the process lives */
	return *option ? 0 : -ENOMEM;
}

/* The daemon works in "/", and reads all of these again: on SIGHUP, or started again. */
static int name_absolutely(struct cmd_globals *globals)
{
	static const char *const variables[] = { "YORE_REPOSITORY", "YORE_CONFIG",
						 "YORE_KEY_FOLDER", "YORE_PASSWORD_FILE" };
	int r = absolute_option(&globals->repository);

	if (r == 0)
		r = absolute_option(&globals->config);
	for (size_t i = 0; r == 0 && i < sizeof(variables) / sizeof(*variables); i++)
		r = absolute_variable(variables[i]);
	return r;
}

static int go_into_background(struct job *job)
{
	int ready_fd = -1, code = EXIT_CODE_FAILED, r = name_absolutely(job->globals);

	if (r < 0)
		return failure_errno(r, "mount");
	/* LMDB and threads do not survive a fork: they come after it. */
	(void)fflush(NULL);
	r = daemon_begin(&ready_fd, &code);
	if (r < 0)
		return failure_errno(r, "cannot go into the background");
	if (r == 0 && job->config->n_sources > 0)
		return supervisor_run(work, job, ready_fd);
	if (r == 0)
		return work(job, ready_fd);
	return code == EXIT_CODE_DONE ? print_mounted(job->globals, job->request) : code;
}

static int mount_as_asked(struct cmd_globals *globals, struct mount_request *q)
{
	CLEANUP(config_done) struct config config = { 0 };
	struct job job = { .globals = globals, .request = q, .config = &config };
	int r;

	if (q->host)
		globals->host = q->host;
	r = config_load(globals, &config);
	if (r != EXIT_CODE_DONE)
		return r;
	if (settle(q, &config) < 0)
		return failure_errno(-ENOMEM, "mount");
	return q->foreground ? service_run(globals, q, &config, -1) : go_into_background(&job);
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
		q->cache_given = true;
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
	int r = mountpoint ? mount_request_mountpoint(q, mountpoint) : 0;

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
	.summary = "protect, and show every moment as ordinary folders",
	.help = "usage: yore mount [MOUNTPOINT] [-f] [-o OPTIONS] [--host NAME]\n"
		"\n"
		"Shows the repository at MOUNTPOINT, or at the configured one (/backups for\n"
		"root, ~/backups for others; made if missing), and returns when it answers.\n"
		"From then on it also protects what 'yore protect' and yore.conf(5) name: a\n"
		"snapshot soon after each change, old ones forgotten by the rules for keeping.\n"
		"SIGHUP reads the configuration again; 'yore umount' ends it.\n"
		"Every day with snapshots is a folder; any moment can be named: @yesterday,\n"
		"@2h-ago, @2024-05-01T14-30, @monday, a tag. 'latest' leads to the newest;\n"
		".versions/PATH, .deleted/PATH and .diff/@a..@b show what was over time.\n"
		"\n"
		"options:\n"
		"  -f, --foreground       stay in the foreground\n"
		"  -o, --options OPTIONS  mount options: allow_other (root's default: all users,\n"
		"                         as modes and ACLs say), private, host=NAME,\n"
		"                         cache_size=N, read_ahead=N, threads=N, debug,\n"
		"                         foreground\n"
		"      --cache-size N     memory for decoded data, such as 64M (default 256M)\n"
		"\n"
		"fstab:\n"
		"  /var/lib/yore /backups fuse.yore ro,allow_other,nofail 0 0\n"
		"\n"
		"examples:\n"
		"  yore protect ~/Documents && yore mount\n"
		"  yore mount /mnt/past -o private\n"
		"  cp /backups/@yesterday$PWD/report.odt .\n"
		"  diff -r /backups/@monday/etc /backups/latest/etc\n",
	.run = run,
};
