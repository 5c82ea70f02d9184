/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/folder.h"
#include "tools/machine_key.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/password.h"
#include "tools/session.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <string.h>

/* A repository in the making. */
struct making {
	char *path;
	struct io *io;
	struct key_ring *ring;
	struct store_config config;
	char *password; /* NULL: none */
	char *key_path;
	char *recovery_path;
	char code[RECOVERY_CODE_BYTES];
};

static void making_done(struct making *m)
{
	key_ring_free(m->ring);
	io_free(m->io);
	password_free(m->password);
	free(m->path);
	free(m->key_path);
	free(m->recovery_path);
	crypto_wipe(m->code, sizeof(m->code));
}

static int say_prepare_failure(int r, const char *path)
{
	switch (-r) {
	case EEXIST:
		return failure(EXIT_CODE_FAILED,
			       "there is a repository at %s already, and it stays as it is; 'yore "
			       "-r %s status' shows it",
			       path, path);
	case ENOTEMPTY:
		return failure(EXIT_CODE_FAILED,
			       "%s holds files that are not yore's; name an empty or a new folder",
			       path);
	case ENOTDIR:
		return failure(EXIT_CODE_FAILED, "%s is not a folder; name an empty or a new one",
			       path);
	default:
		return failure_errno(r, "cannot make a repository at %s", path);
	}
}

static int open_folder(struct making *m)
{
	uint8_t binding[32];
	int r = folder_make_parents(m->path, 0755);

	if (r == 0)
		r = io_posix_create(m->path, &m->io);
	if (r < 0)
		return say_prepare_failure(r, m->path);
	store_config_new(&m->config);
	store_config_binding(&m->config, binding);
	r = key_ring_create(binding, &m->ring);
	if (r == 0)
		r = store_prepare(m->io);
	/* A config that is not yore's is a foreign file like any other. */
	if (r == -EEXIST && store_config_read(m->io, &m->config) == -ENOTUNIQ)
		r = -ENOTEMPTY;
	return r < 0 ? say_prepare_failure(r, m->path) : EXIT_CODE_DONE;
}

static int make_machine_key(struct making *m)
{
	uint8_t *key = crypto_secret_new(KEY_BYTES);
	char label[SLOT_LABEL_BYTES_MAX + 1];
	int r;

	if (!key)
		return -ENOMEM;
	crypto_random(key, KEY_BYTES);
	r = machine_key_write(m->key_path, key);
	if (gethostname(label, sizeof(label)) < 0)
		label[0] = '\0';
	label[sizeof(label) - 1] = '\0';
	if (r == 0)
		r = key_ring_add_machine(m->ring, m->io, key, label, NULL);
	crypto_secret_free(key);
	return r;
}

static int make_keys(struct making *m)
{
	char line[RECOVERY_CODE_BYTES + 1];
	int r;

	m->key_path = machine_key_path(m->config.repository, MACHINE_KEY_SUFFIX);
	m->recovery_path = machine_key_path(m->config.repository, MACHINE_KEY_RECOVERY);
	if (!m->key_path || !m->recovery_path)
		return failure(EXIT_CODE_FAILED,
			       "no home folder for the machine key; set HOME or YORE_KEY_FOLDER");
	r = make_machine_key(m);
	if (r < 0)
		return failure_errno(r, "cannot make the machine key %s", m->key_path);
	r = key_ring_add_recovery(m->ring, m->io, m->code, NULL);
	if (r == 0 && m->password)
		r = key_ring_add_password(m->ring, m->io, m->password, "given at init", NULL);
	if (r < 0)
		return failure_errno(r, "cannot write the keys of %s", m->path);
	if (m->password)
		return EXIT_CODE_DONE;

	/* Whoever overlooks the code can still find it. */
	(void)snprintf(line, sizeof(line), "%s\n", m->code);
	r = machine_key_write_file(m->recovery_path, line);
	crypto_wipe(line, sizeof(line));
	return r < 0 ? failure_errno(r, "cannot keep the recovery code in %s", m->recovery_path)
		     : EXIT_CODE_DONE;
}

static int make(struct making *m)
{
	int r = password_given(&m->password);

	if (r == -EINVAL)
		return failure(EXIT_CODE_USAGE, "the given password is empty");
	if (r < 0 && r != -ENOENT)
		return EXIT_CODE_FAILED; /* named in the log */
	r = open_folder(m);
	if (r != EXIT_CODE_DONE)
		return r;
	r = make_keys(m);
	if (r == EXIT_CODE_DONE && cmd_cancelled)
		r = failure(EXIT_CODE_INTERRUPTED, "interrupted; no repository was made at %s",
			    m->path);
	if (r == EXIT_CODE_DONE) {
		r = store_publish(m->io, &m->config);
		r = r < 0 ? say_prepare_failure(r, m->path) : EXIT_CODE_DONE;
	}
	if (r != EXIT_CODE_DONE) {
		/* Keys of a repository that does not exist. */
		if (m->key_path)
			(void)unlink(m->key_path);
		if (m->recovery_path)
			(void)unlink(m->recovery_path);
	}
	return r;
}

static int print_json(const struct making *m)
{
	char id[2 * REPOSITORY_ID_BYTES + 1];
	json_t *o = json_object();

	bytes_to_hex(m->config.repository, REPOSITORY_ID_BYTES, id);
	(void)output_json_name(o, "repository", m->path, strlen(m->path));
	(void)json_object_set_new(o, "repository_id", json_string(id));
	(void)output_json_name(o, "machine_key", m->key_path, strlen(m->key_path));
	(void)json_object_set_new(o, "recovery_code", json_string(m->code));
	if (m->password)
		(void)json_object_set_new(o, "recovery_file", json_null());
	else
		(void)output_json_name(o, "recovery_file", m->recovery_path,
				       strlen(m->recovery_path));
	(void)json_object_set_new(o, "password", json_boolean(m->password != NULL));
	return output_json(o);
}

static void print_made(const struct making *m)
{
	(void)fputs("made the repository ", stdout);
	output_name(stdout, m->path, strlen(m->path));
	(void)fputs("\nmachine key    ", stdout);
	output_name(stdout, m->key_path, strlen(m->key_path));
	(void)printf("\nrecovery code  %s\n\n", m->code);
	(void)puts(
		"Write the recovery code down and keep it away from this machine: with it (or a\n"
		"password) the backups can be read when the machine key is gone.");
	if (!m->password)
		(void)puts("Until you run 'yore key recovery --confirm' it also lies beside the "
			   "machine key.");
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(making_done) struct making m = { 0 };
	struct options o;
	int r;

	options_init(&o, globals, &cmd_init, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind + 1 < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind + 1]);
	if (optind < argc)
		o.globals.repository = argv[optind];

	r = session_repository(&o.globals, &m.path);
	if (r != EXIT_CODE_DONE)
		return r;
	if (strstr(m.path, "://"))
		return failure(EXIT_CODE_USAGE, "%s: a repository is a folder on this machine",
			       m.path);
	if (crypto_init() < 0)
		return failure(EXIT_CODE_FAILED, "the cryptographic libraries do not start");
	r = make(&m);
	if (r != EXIT_CODE_DONE)
		return r;
	if (!o.globals.json)
		print_made(&m);
	else if (print_json(&m) < 0)
		return failure_errno(-ENOMEM, "init");
	return EXIT_CODE_DONE;
}

const struct cmd cmd_init = {
	.name = "init",
	.aliases = "",
	.summary = "make a repository",
	.help = "usage: yore init [DIR] [--json]\n"
		"\n"
		"Makes a repository in DIR, or in the one of -r, YORE_REPOSITORY or the\n"
		"default place, without a question. A machine key outside the repository lets\n"
		"this machine open it unattended; the recovery code is printed once. With\n"
		"YORE_PASSWORD, YORE_PASSWORD_FILE or YORE_PASSWORD_COMMAND a password opens\n"
		"it as well; one can be added later with 'yore key add'.\n"
		"\n"
		"examples:\n"
		"  yore init\n"
		"  yore -r /mnt/disk/backups init\n"
		"  YORE_PASSWORD_FILE=~/pw yore init --json\n",
	.run = run,
};
