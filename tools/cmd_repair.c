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

#define CACHE_BYTES MIB(64)

static const struct option longs[] = {
	{ "data", no_argument, NULL, 'd' },
	{ 0 },
};

/* Ids of damaged objects, sorted before they are asked for. */
struct chunk_set {
	struct chunk_id *ids;
	size_t n, room;
	bool failed;
};

struct repairing {
	struct session *session;
	bool quiet;
	const char *verb;
	bool in_bytes;
	atomic_uint_fast64_t done, all;
	struct chunk_set bad;
	uint64_t hurt;    /* paths and records named */
	uint64_t objects; /* in the index now */
	int64_t lost;
};

static void chunk_set_add(struct chunk_set *set, const struct chunk_id *id)
{
	size_t room = set->room ? set->room * 2 : 64;
	struct chunk_id *ids;

	if (set->n == set->room) {
		ids = reallocarray(set->ids, room, sizeof(*ids));
		if (!ids) {
			set->failed = true;
			return;
		}
		set->ids = ids;
		set->room = room;
	}
	set->ids[set->n++] = *id;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct chunk_id));
}

static bool is_bad(void *context, const struct chunk_id *chunk)
{
	const struct chunk_set *set = context;

	return set->n > 0 && bsearch(chunk, set->ids, set->n, sizeof(*chunk), compare_ids);
}

static void sample(void *context, struct progress_state *ret_state)
{
	struct repairing *p = context;

	*ret_state = (struct progress_state){ .verb = p->verb,
					      .done = atomic_load(&p->done),
					      .all = atomic_load(&p->all),
					      .bytes = p->in_bytes };
}

static void scrub_progress(void *context, uint64_t done, uint64_t all)
{
	struct repairing *p = context;

	atomic_store(&p->done, done);
	atomic_store(&p->all, all);
}

static void audit_progress(void *context, uint64_t done, uint64_t all, uint64_t nodes)
{
	(void)nodes;
	scrub_progress(context, done, all);
}

static void pack_damaged(void *context, const struct pack_id *pack, const struct chunk_id *chunk,
			 const char *what)
{
	struct repairing *p = context;
	char hex[2 * sizeof(pack->bytes) + 1] = "";

	if (chunk)
		chunk_set_add(&p->bad, chunk);
	if (pack)
		bytes_to_hex(pack, sizeof(*pack), hex);
	failure_note("damaged: pack %s: %s", hex, what);
}

static void path_hurt(void *context, uint64_t seq, const char *path, const struct chunk_id *object,
		      const char *what)
{
	struct repairing *p = context;

	(void)object;
	p->hurt++;
	failure_note("lost: snapshot %" PRIu64 "%s%s: %s", seq, path ? ", " : "", path ? path : "",
		     what);
}

static int scrub(struct repairing *p)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct scrub_options options = { .data = true,
					 .percent = 100,
					 .cancel = &cmd_cancelled,
					 .progress = scrub_progress,
					 .damaged = pack_damaged,
					 .context = p };
	struct scrub_result result;
	int r;

	p->verb = "reading packs";
	p->in_bytes = true;
	r = progress_start(p->quiet, sample, p, &progress);
	if (r == 0)
		r = scrub_run(p->session->store, &options, &result);
	if (r < 0)
		return r;
	if (p->bad.n > 0)
		qsort(p->bad.ids, p->bad.n, sizeof(*p->bad.ids), compare_ids);
	return p->bad.failed ? -ENOMEM : 0;
}

static int shun(struct repairing *p)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	struct audit_options options = { .cancel = &cmd_cancelled,
					 .progress = audit_progress,
					 .damaged = path_hurt,
					 .context = p };
	int r;

	p->verb = "checking snapshots";
	p->in_bytes = false;
	scrub_progress(p, 0, 0);
	r = progress_start(p->quiet, sample, p, &progress);
	if (r < 0)
		return r;
	p->lost = audit_shun(p->session->store, p->session->cache, &options, is_bad, &p->bad);
	return p->lost < 0 ? (int)p->lost : 0;
}

static int say_result(const struct repairing *p, bool json)
{
	const struct store_rebuild_result *index = &p->session->rebuilt;

	if (json &&
	    output_json(json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "whole",
				  p->lost == 0 && p->hurt == 0, "packs", (json_int_t)index->packs,
				  "packs_damaged", (json_int_t)index->packs_damaged, "objects",
				  (json_int_t)p->objects, "objects_lost", (json_int_t)p->lost,
				  "paths_hurt", (json_int_t)p->hurt)) < 0)
		return failure_errno(-ENOMEM, "repair");
	if (!json)
		(void)printf("rebuilt the index: %" PRIu64 " %s in %" PRIu64 " %s (%" PRIu64
			     " of them damaged)\n",
			     p->objects, output_plural(p->objects, "object", "objects"),
			     index->packs, output_plural(index->packs, "pack", "packs"),
			     index->packs_damaged);
	if (p->lost == 0 && p->hurt == 0) {
		if (!json)
			(void)puts("every snapshot is whole");
		return EXIT_CODE_DONE;
	}
	return failure(EXIT_CODE_VERIFY,
		       "%" PRId64 " objects are lost, which hurts what is named above and nothing "
		       "else; the next 'yore snapshot' stores them again from files that still "
		       "have them",
		       p->lost);
}

static int repair(struct repairing *p, bool data, bool json)
{
	uint64_t packs, bytes;
	int r = chunk_index_stats(store_index(p->session->store), &p->objects, &packs, &bytes);

	if (r == 0)
		r = session_cache(p->session, CACHE_BYTES, 2);
	if (r == 0 && data)
		r = scrub(p);
	if (r == 0)
		r = shun(p);
	if (r == -ECANCELED)
		return failure(EXIT_CODE_INTERRUPTED, "interrupted; run it again to finish");
	if (r < 0)
		return failure_errno(r, "the repair could not be done");
	return say_result(p, json);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct repairing p = { .session = &s };
	struct options o;
	bool data = false;
	int c, r;

	options_init(&o, globals, &cmd_repair, argc, argv);
	options_add(&o, "", longs);
	while ((c = options_next(&o)) != OPTIONS_END) {
		if (c == OPTIONS_STOP)
			return o.exit_code;
		data = true;
	}
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	p.quiet = o.globals.verbosity < 0;
	r = session_open(&s, &o.globals, SESSION_STORE, SESSION_WRITES | SESSION_NEW_INDEX);
	if (r == EXIT_CODE_DONE)
		r = repair(&p, data, o.globals.json);
	free(p.bad.ids);
	return r;
}

const struct cmd cmd_repair = {
	.name = "repair",
	.aliases = "",
	.summary = "rebuild the index, save what can be saved",
	.help = "usage: yore repair [--data] [--json]\n"
		"\n"
		"Rebuilds the index from the packs, also from damaged ones as far as they can be\n"
		"read, and names what is lost. What is lost is stored again at the next snapshot\n"
		"if its source still has it. Nothing but the old index is deleted.\n"
		"While others use the repository, a sound index is brought up to date instead.\n"
		"Exit 11: it is damaged, and others use it: stop them (a mount) first.\n"
		"Exit 20: something is lost (named on stderr).\n"
		"\n"
		"options:\n"
		"      --data  read every byte first, to find what is damaged\n"
		"\n"
		"examples:\n"
		"  yore repair\n"
		"  yore repair --data && yore snapshot\n",
	.run = run,
};
