/* SPDX-License-Identifier: MIT */
#include "snapshots/audit.h"
#include "store/base/bytes.h"
#include "store/scrub.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define DAMAGE_LISTED_MAX 10000
#define CACHE_BYTES MIB(64)

static_assert(EXIT_CODE_VERIFY == CHUNK_INDEX_EXIT_DAMAGED, "one exit code for damage");

static const struct option longs[] = {
	{ "data", optional_argument, NULL, 'd' },
	{ 0 },
};

struct checking {
	struct session *session;
	bool data;
	unsigned int percent;
	bool quiet;
	const char *verb;
	bool in_bytes;
	atomic_uint_fast64_t done, all, nodes;
	json_t *damage; /* NULL: not wanted */
	struct audit_result audit;
	struct scrub_result scrub;
};

static void sample(void *context, struct progress_state *ret_state)
{
	struct checking *c = context;

	*ret_state = (struct progress_state){ .verb = c->verb,
					      .done = atomic_load(&c->done),
					      .all = atomic_load(&c->all),
					      .bytes = c->in_bytes,
					      .objects = atomic_load(&c->nodes),
					      .noun = "folders" };
}

static void audit_progress(void *context, uint64_t done, uint64_t all, uint64_t nodes)
{
	struct checking *c = context;

	atomic_store(&c->done, done);
	atomic_store(&c->all, all);
	atomic_store(&c->nodes, nodes);
}

static void scrub_progress(void *context, uint64_t done, uint64_t all)
{
	audit_progress(context, done, all, 0);
}

static void add_damage(struct checking *c, json_t *o, const char *what)
{
	(void)json_object_set_new(o, "what", json_string(what));
	if (json_array_size(c->damage) < DAMAGE_LISTED_MAX)
		(void)json_array_append(c->damage, o);
	json_decref(o);
}

static void tree_damaged(void *context, uint64_t seq, const char *path,
			 const struct chunk_id *object, const char *what)
{
	struct checking *c = context;
	char hex[2 * sizeof(object->bytes) + 1] = "";
	json_t *o;

	if (object)
		bytes_to_hex(object, sizeof(*object), hex);
	failure_note("damaged: snapshot %" PRIu64 "%s%s%s%s: %s", seq, path ? ", " : "",
		     path ? path : "", object ? ", object " : "", hex, what);
	if (!c->damage)
		return;
	o = json_object();
	(void)json_object_set_new(o, "seq", json_integer((json_int_t)seq));
	if (path)
		(void)output_json_name(o, "path", path, strlen(path));
	if (object)
		(void)json_object_set_new(o, "object", json_string(hex));
	add_damage(c, o, what);
}

static void pack_damaged(void *context, const struct pack_id *pack, const struct chunk_id *chunk,
			 const char *what)
{
	struct checking *c = context;
	char pack_hex[2 * sizeof(pack->bytes) + 1] = "", hex[2 * sizeof(chunk->bytes) + 1] = "";
	json_t *o;

	if (pack)
		bytes_to_hex(pack, sizeof(*pack), pack_hex);
	if (chunk)
		bytes_to_hex(chunk, sizeof(*chunk), hex);
	failure_note("damaged: pack %s%s%s: %s", pack_hex, chunk ? ", object " : "", hex, what);
	if (!c->damage)
		return;
	o = json_object();
	(void)json_object_set_new(o, "pack", json_string(pack_hex));
	if (chunk)
		(void)json_object_set_new(o, "object", json_string(hex));
	add_damage(c, o, what);
}

static int audit(struct checking *c)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct audit_options options = { .cancel = &cmd_cancelled,
					 .progress = audit_progress,
					 .damaged = tree_damaged,
					 .context = c };
	int r;

	c->verb = "checking snapshots";
	r = progress_start(c->quiet, sample, c, &progress);
	if (r < 0)
		return r;
	return audit_run(c->session->store, c->session->cache, &options, &c->audit);
}

static int scrub(struct checking *c)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct scrub_options options = { .data = c->data,
					 .percent = c->percent,
					 .cancel = &cmd_cancelled,
					 .progress = scrub_progress,
					 .damaged = pack_damaged,
					 .context = c };
	int r;

	c->verb = c->data ? "reading packs" : "checking packs";
	c->in_bytes = true;
	audit_progress(c, 0, 0, 0);
	r = progress_start(c->quiet, sample, c, &progress);
	if (r < 0)
		return r;
	return scrub_run(c->session->store, &options, &c->scrub);
}

static int print_json(struct checking *c, uint64_t errors)
{
	return output_json(json_pack(
		"{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:i, s:I, s:O}", "ok", errors == 0,
		"records", (json_int_t)c->audit.records, "nodes", (json_int_t)c->audit.nodes,
		"files", (json_int_t)c->audit.files, "chunks", (json_int_t)c->audit.chunks, "packs",
		(json_int_t)c->scrub.packs, "objects", (json_int_t)c->scrub.objects, "bytes",
		(json_int_t)c->scrub.bytes, "data", c->data, "percent",
		c->data ? (int)c->percent : 0, "errors", (json_int_t)errors, "damage", c->damage));
}

static void print_summary(const struct checking *c)
{
	char size[OUTPUT_SIZE_BYTES];

	(void)printf("snapshots  %" PRIu64 " %s, %" PRIu64 " folder %s, %" PRIu64 " %s, %" PRIu64
		     " %s\n",
		     c->audit.records, output_plural(c->audit.records, "record", "records"),
		     c->audit.nodes, output_plural(c->audit.nodes, "node", "nodes"), c->audit.files,
		     output_plural(c->audit.files, "file", "files"), c->audit.chunks,
		     output_plural(c->audit.chunks, "reference", "references"));
	(void)printf("packs      %" PRIu64 " %s, %" PRIu64 " %s, %s %s\n", c->scrub.packs,
		     output_plural(c->scrub.packs, "pack", "packs"), c->scrub.objects,
		     output_plural(c->scrub.objects, "object", "objects"),
		     output_size(c->scrub.bytes, size),
		     c->data ? "read and verified" : "(tables only; --data reads every byte)");
}

static int check(struct checking *c, bool json)
{
	uint64_t errors;
	int r = session_cache(c->session, CACHE_BYTES, 2);

	if (r == 0)
		r = audit(c);
	if (r == 0)
		r = scrub(c);
	if (r == -ECANCELED)
		return failure(EXIT_CODE_INTERRUPTED,
			       "interrupted; the check changes nothing, run it again");
	if (r < 0)
		return failure_errno(r, "the check could not be done");
	errors = c->audit.errors + c->scrub.errors;
	if (json) {
		if (print_json(c, errors) < 0)
			return failure_errno(-ENOMEM, "check");
	} else if (!c->quiet) {
		print_summary(c);
	}
	if (errors)
		return failure(EXIT_CODE_VERIFY,
			       "%" PRIu64 " damaged %s (named above); 'yore repair%s' saves "
			       "what can be saved",
			       errors, output_plural(errors, "object", "objects"),
			       c->data ? " --data" : "");
	if (!json && !c->quiet)
		(void)puts("everything is whole");
	return EXIT_CODE_DONE;
}

/* Nothing else was looked at: without the index every answer would be doubtful. */
static int print_index_damage(struct checking *c)
{
	add_damage(c, json_object(), "the index");
	if (print_json(c, 1) < 0)
		return failure_errno(-ENOMEM, "check");
	return EXIT_CODE_VERIFY;
}

/* "5", "5%", or nothing for all. 0 or -EINVAL. */
static int read_percent(const char *text, unsigned int *ret_percent)
{
	char *end;
	unsigned long n;

	if (!text) {
		*ret_percent = 100;
		return 0;
	}
	n = strtoul(text, &end, 10);
	if (end == text || text[0] == '-' || (*end && strcmp(end, "%") != 0) || n < 1 || n > 100)
		return -EINVAL;
	*ret_percent = (unsigned int)n;
	return 0;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct checking c = { .session = &s, .percent = 100 };
	struct options o;
	int letter, r;

	options_init(&o, globals, &cmd_check, argc, argv);
	options_add(&o, "", longs);
	while ((letter = options_next(&o)) != OPTIONS_END) {
		if (letter == OPTIONS_STOP)
			return o.exit_code;
		c.data = true;
		if (read_percent(optarg, &c.percent) < 0)
			return options_wrong(&o, "--data wants a share from 1%% to 100%%, not '%s'",
					     optarg);
	}
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	r = session_open(&s, &o.globals, SESSION_TIMELINE, SESSION_VERIFY_INDEX);
	c.quiet = o.globals.verbosity < 0;
	c.damage = o.globals.json ? json_array() : NULL;
	if (r == EXIT_CODE_DONE)
		r = check(&c, o.globals.json);
	else if (s.index_damaged && c.damage)
		r = print_index_damage(&c);
	json_decref(c.damage);
	return r;
}

const struct cmd cmd_check = {
	.name = "check",
	.aliases = "verify",
	.summary = "verify the repository",
	.help = "usage: yore check [--data[=N%]] [--json]\n"
		"\n"
		"Checks that every snapshot is whole: the index, records, folders, and that\n"
		"everything they refer to is there. A damaged index is named alone: rebuild it\n"
		"with 'yore repair', then check again. Changes nothing and disturbs nobody.\n"
		"Exit 20: something is damaged (named on stderr).\n"
		"\n"
		"options:\n"
		"      --data[=N%]  also read and verify every byte, or that of N% of the packs\n"
		"\n"
		"examples:\n"
		"  yore check\n"
		"  yore check --data=5%\n",
	.run = run,
};
