/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/machine_key.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/password.h"
#include "tools/session.h"

#include <errno.h>
#include <string.h>

#define NAME_PREFIX_MIN 4

enum { OPTION_LABEL = OPTIONS_FIRST_LONG, OPTION_MACHINE, OPTION_CONFIRM, OPTION_PASSWORD_FILE };

static const struct option longs[] = {
	{ "label", required_argument, NULL, OPTION_LABEL },
	{ "machine", no_argument, NULL, OPTION_MACHINE },
	{ "confirm", no_argument, NULL, OPTION_CONFIRM },
	{ "password-file", required_argument, NULL, OPTION_PASSWORD_FILE },
	{ 0 },
};

struct request {
	const char *label;
	const char *password_file;
	bool machine;
	bool confirm;
	const char *name; /* of a slot */
};

static const char *kind_name(enum slot_kind kind)
{
	switch (kind) {
	case SLOT_PASSWORD:
		return "password";
	case SLOT_RECOVERY:
		return "recovery";
	case SLOT_MACHINE:
		return "machine";
	default:
		return "unknown";
	}
}

static int compare_slots(const void *a, const void *b)
{
	const struct slot_info *x = a, *y = b;

	if (x->created_ns != y->created_ns)
		return x->created_ns < y->created_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Sorted by age. What went wrong is said. */
static int list_slots(struct session *s, struct slot_info **ret_slots, size_t *ret_n)
{
	int r = key_ring_list(s->ring, s->io, ret_slots, ret_n);

	if (r < 0)
		return failure_errno(r, "cannot list the keys");
	if (*ret_n > 0)
		qsort(*ret_slots, *ret_n, sizeof(**ret_slots), compare_slots);
	return EXIT_CODE_DONE;
}

static char *recovery_path(const struct session *s)
{
	return machine_key_path(s->config.repository, MACHINE_KEY_RECOVERY);
}

/* The code need not lie about once there is another way in. */
static void forget_recovery_file(const struct session *s)
{
	CLEANUP(free_ptr) char *path = recovery_path(s);

	if (path)
		(void)unlink(path);
}

static json_t *slot_json(const struct slot_info *slot)
{
	char time[OUTPUT_TIME_BYTES];
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)json_object_set_new(o, "name", json_string(slot->name));
	(void)json_object_set_new(o, "kind", json_string(kind_name(slot->kind)));
	(void)json_object_set_new(o, "created",
				  json_string(output_time_utc(slot->created_ns, time)));
	(void)output_json_name(o, "label", slot->label, strlen(slot->label));
	return o;
}

static int list(struct session *s, const struct options *o, const struct request *q)
{
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	struct json_list out;
	char time[OUTPUT_TIME_BYTES];
	size_t n = 0;
	int r = list_slots(s, &slots, &n);

	(void)q;
	if (r != EXIT_CODE_DONE)
		return r;
	if (o->globals.json) {
		json_list_begin(&out, stdout);
		for (size_t i = 0; i < n; i++)
			(void)json_list_add(&out, slot_json(&slots[i]));
		json_list_end(&out);
		return EXIT_CODE_DONE;
	}
	(void)printf("%-32s  %-8s  %-25s  %s\n", "name", "kind", "made", "label");
	for (size_t i = 0; i < n; i++) {
		(void)printf("%-32s  %-8s  %-25s  ", slots[i].name, kind_name(slots[i].kind),
			     output_time(slots[i].created_ns, time));
		output_name(stdout, slots[i].label, strlen(slots[i].label));
		(void)putchar('\n');
	}
	return EXIT_CODE_DONE;
}

/* A key file for this machine, replacing one that does not fit. */
static int add_machine(struct session *s, const char *label)
{
	CLEANUP(free_ptr) char *path = machine_key_path(s->config.repository, MACHINE_KEY_SUFFIX);
	char host[SLOT_LABEL_BYTES_MAX + 1] = "", hex[2 * KEY_BYTES + 2];
	uint8_t *key = crypto_secret_new(KEY_BYTES);
	int r = path && key ? 0 : -ENOMEM;

	if (r == 0) {
		(void)gethostname(host, sizeof(host) - 1);
		crypto_random(key, KEY_BYTES);
		bytes_to_hex(key, KEY_BYTES, hex);
		hex[sizeof(hex) - 2] = '\n';
		hex[sizeof(hex) - 1] = '\0';
		/* Slot first: a key file without one would lock this machine out. */
		r = key_ring_add_machine(s->ring, s->io, key, label ? label : host, NULL);
	}
	if (r == 0)
		r = machine_key_replace_file(path, hex);
	crypto_wipe(hex, sizeof(hex));
	crypto_secret_free(key);
	if (r < 0)
		return failure_errno(r, "cannot add a machine key");
	(void)fputs("this machine opens the repository with ", stdout);
	output_name(stdout, path, strlen(path));
	(void)putchar('\n');
	return EXIT_CODE_DONE;
}

static int new_password(const struct request *q, char **ret_password)
{
	int r = q->password_file ? password_from_file(q->password_file, ret_password)
				 : password_given(ret_password);

	if (r == -ENOENT && !q->password_file)
		r = password_ask("New password", "New password again", ret_password);
	return r;
}

static int add(struct session *s, const struct options *o, const struct request *q)
{
	CLEANUP(password_free_ptr) char *password = NULL;
	char name[SLOT_NAME_BYTES + 1];
	int r;

	if (q->machine)
		return add_machine(s, q->label);
	r = new_password(q, &password);
	if (r == -EINVAL)
		return failure(EXIT_CODE_FAILED,
			       "the password is empty, or the two differ; nothing was changed");
	if (r == -ENXIO)
		return options_wrong(o, "no terminal to ask on; give the new password in "
					"YORE_PASSWORD, YORE_PASSWORD_FILE, YORE_PASSWORD_COMMAND "
					"or --password-file");
	if (r == 0)
		r = key_ring_add_password(s->ring, s->io, password, q->label, name);
	if (r < 0)
		return failure_errno(r, "cannot add the password");
	forget_recovery_file(s);
	if (o->globals.json)
		return output_json(json_pack("{s:s}", "name", name)) < 0 ? EXIT_CODE_FAILED
									 : EXIT_CODE_DONE;
	(void)printf("added the password %s\n", name);
	return EXIT_CODE_DONE;
}

static int remove_key(struct session *s, const struct options *o, const struct request *q)
{
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	const struct slot_info *found = NULL;
	size_t n = 0, matches = 0;
	int r;

	if (!q->name || strlen(q->name) < NAME_PREFIX_MIN)
		return options_wrong(o,
				     "name a key, or at least %d digits of it; 'yore key list' "
				     "shows them",
				     NAME_PREFIX_MIN);
	r = list_slots(s, &slots, &n);
	if (r != EXIT_CODE_DONE)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(slots[i].name, q->name, strlen(q->name)) == 0) {
			found = &slots[i];
			matches++;
		}
	}
	if (matches == 0)
		return failure(EXIT_CODE_FAILED, "no key '%s'; 'yore key list' shows them",
			       q->name);
	if (matches > 1)
		return failure(EXIT_CODE_FAILED, "several keys begin with '%s'; give more of it",
			       q->name);
	r = key_ring_remove(s->ring, s->io, found->name);
	if (r == -EPERM)
		return failure(EXIT_CODE_FAILED,
			       "%s is the last key and stays: without it nobody could read the "
			       "repository",
			       found->name);
	if (r < 0)
		return failure_errno(r, "cannot remove the key %s", found->name);
	if (!o->globals.json)
		(void)printf("removed the %s key %s\n", kind_name(found->kind), found->name);
	return EXIT_CODE_DONE;
}

/* Older codes end, the new one lies beside the machine key unless a password exists. */
static int settle_recovery(struct session *s, const char *code, const char *name)
{
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	CLEANUP(free_ptr) char *path = recovery_path(s);
	char line[RECOVERY_CODE_BYTES + 1];
	bool has_password = false;
	size_t n = 0;
	int r = list_slots(s, &slots, &n);

	if (r != EXIT_CODE_DONE)
		return r;
	for (size_t i = 0; i < n; i++)
		has_password |= slots[i].kind == SLOT_PASSWORD;
	if (has_password) {
		forget_recovery_file(s);
	} else if (path) {
		(void)snprintf(line, sizeof(line), "%s\n", code);
		r = machine_key_replace_file(path, line);
		crypto_wipe(line, sizeof(line));
		if (r < 0)
			return failure_errno(r, "cannot keep the recovery code in %s", path);
	}
	for (size_t i = 0; i < n; i++) {
		if (slots[i].kind != SLOT_RECOVERY || strcmp(slots[i].name, name) == 0)
			continue;
		r = key_ring_remove(s->ring, s->io, slots[i].name);
		if (r < 0 && r != -ENOENT)
			return failure_errno(r, "cannot end the old recovery code %s",
					     slots[i].name);
	}
	return EXIT_CODE_DONE;
}

static int recovery(struct session *s, const struct options *o, const struct request *q)
{
	char code[RECOVERY_CODE_BYTES], name[SLOT_NAME_BYTES + 1];
	int r;

	if (q->confirm) {
		forget_recovery_file(s);
		if (!o->globals.json)
			(void)puts("the recovery code no longer lies on this machine");
		return EXIT_CODE_DONE;
	}
	r = key_ring_add_recovery(s->ring, s->io, code, name);
	if (r < 0)
		return failure_errno(r, "cannot make a recovery code");
	/* Printed whatever follows: it opens the repository from now on. */
	if (o->globals.json)
		(void)output_json(json_pack("{s:s, s:s}", "recovery_code", code, "name", name));
	else
		(void)printf("recovery code  %s\n\nWrite it down and keep it away from this "
			     "machine, then run 'yore key recovery --confirm'.\n",
			     code);
	r = settle_recovery(s, code, name);
	crypto_wipe(code, sizeof(code));
	return r;
}

typedef int action(struct session *s, const struct options *o, const struct request *q);

static action *find_action(const char *word)
{
	static const struct {
		const char *word;
		action *run;
	} actions[] = {
		{ "list", list }, { "add", add }, { "remove", remove_key }, { "recovery", recovery }
	};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].word, word) == 0)
			return actions[i].run;
	return NULL;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct request q = { 0 };
	struct options o;
	action *act;
	int c, r, words;

	options_init(&o, globals, &cmd_key, argc, argv);
	options_add(&o, "", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		if (c == OPTION_LABEL)
			q.label = optarg;
		else if (c == OPTION_PASSWORD_FILE)
			q.password_file = optarg;
		else if (c == OPTION_MACHINE)
			q.machine = true;
		else
			q.confirm = true;
	}
	words = argc - optind;
	act = find_action(words > 0 ? argv[optind] : "list");
	if (!act)
		return options_wrong(&o, "no action '%s'; there are list, add, remove and recovery",
				     argv[optind]);
	if (words > (act == remove_key ? 2 : 1))
		return options_wrong(&o, "unexpected word '%s'", argv[argc - 1]);
	q.name = words > 1 ? argv[optind + 1] : NULL;
	if (q.label && strlen(q.label) > SLOT_LABEL_BYTES_MAX)
		return options_wrong(&o, "a label has at most %d bytes", SLOT_LABEL_BYTES_MAX);
	r = session_open(&s, &o.globals, SESSION_KEYS, 0);
	return r == EXIT_CODE_DONE ? act(&s, &o, &q) : r;
}

const struct cmd cmd_key = {
	.name = "key",
	.aliases = "",
	.summary = "list, add and remove keys; a new recovery code",
	.help = "usage: yore key [list] [--json]\n"
		"       yore key add [--label TEXT] [--password-file FILE]\n"
		"       yore key add --machine\n"
		"       yore key remove NAME\n"
		"       yore key recovery [--confirm]\n"
		"\n"
		"A repository is opened by a machine key outside of it, by a password, or by the\n"
		"recovery code. 'add' takes a new password from FILE, from YORE_PASSWORD,\n"
		"YORE_PASSWORD_FILE or YORE_PASSWORD_COMMAND, or asks twice on the terminal;\n"
		"'add --machine' lets this machine open it unattended. 'recovery' issues a new\n"
		"code and ends the old one; '--confirm' says that it is written down, and takes\n"
		"it off this machine. The last key cannot be removed.\n"
		"\n"
		"examples:\n"
		"  yore key list\n"
		"  yore key add --label 'for the safe'\n"
		"  YORE_PASSWORD=XXXXX-... yore key add --machine\n"
		"  yore key recovery && yore key recovery --confirm\n",
	.run = run,
};
