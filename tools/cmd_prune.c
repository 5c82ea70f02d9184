/* SPDX-License-Identifier: MIT */
#include "snapshots/collect.h"
#include "tools/cmd_table.h"
#include "tools/config.h"
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
#define PATIENCE_MS 10000

enum { OPTION_MAX_REWRITE = OPTIONS_FIRST_LONG, OPTION_RATE, OPTION_SPARSE, OPTION_ACCEPT_MISSING };

static const struct option longs[] = {
	{ "dry-run", no_argument, NULL, 'n' },
	{ "max-rewrite", required_argument, NULL, OPTION_MAX_REWRITE },
	{ "rate", required_argument, NULL, OPTION_RATE },
	{ "sparse", required_argument, NULL, OPTION_SPARSE },
	{ "accept-missing", no_argument, NULL, OPTION_ACCEPT_MISSING },
	{ 0 },
};

struct pruning {
	struct session *session;
	struct collect_options options;
	struct collect_result result;
	bool quiet;
	atomic_int phase; /* enum collect_phase */
	atomic_uint_fast64_t done, all;
};

static void sample(void *context, struct progress_state *ret_state)
{
	static const char *const verbs[] = { "reading snapshots", "freeing", "rewriting" };
	struct pruning *p = context;
	int phase = atomic_load(&p->phase);

	*ret_state = (struct progress_state){ .verb = verbs[phase],
					      .done = atomic_load(&p->done),
					      .all = atomic_load(&p->all),
					      .bytes = phase != COLLECT_MARKING };
}

static void on_progress(void *context, enum collect_phase phase, uint64_t done, uint64_t all)
{
	struct pruning *p = context;

	atomic_store(&p->phase, (int)phase);
	atomic_store(&p->done, done);
	atomic_store(&p->all, all);
}

static void on_problem(void *context, uint64_t seq, const char *what)
{
	(void)context;
	failure_note("snapshot %" PRIu64 ": %s", seq, what);
}

static int print_json(const struct pruning *p)
{
	const struct collect_result *r = &p->result;

	return output_json(json_pack(
		"{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
		"dry_run", p->options.dry_run, "records", (json_int_t)r->records, "objects",
		(json_int_t)r->objects, "live_bytes", (json_int_t)r->bytes_live, "packs_before",
		(json_int_t)r->packs_before, "packs_after", (json_int_t)r->packs_after,
		"bytes_before", (json_int_t)r->bytes_before, "bytes_after",
		(json_int_t)r->bytes_after, "packs_freed", (json_int_t)r->packs_freed,
		"bytes_freed", (json_int_t)r->bytes_freed, "packs_rewritten",
		(json_int_t)r->packs_rewritten, "bytes_copied", (json_int_t)r->bytes_copied,
		"problems", (json_int_t)r->problems, "damaged", (json_int_t)r->damaged, "no_space",
		r->no_space));
}

static void print_summary(const struct pruning *p)
{
	const struct collect_result *r = &p->result;
	const bool dry = p->options.dry_run;
	char size[OUTPUT_SIZE_BYTES], before[OUTPUT_SIZE_BYTES];

	(void)printf("%s  %" PRIu64 " %s in which nothing is needed, %s\n",
		     dry ? "would free    " : "freed    ", r->packs_freed,
		     output_plural(r->packs_freed, "pack", "packs"),
		     output_size(r->bytes_freed, size));
	(void)printf("%s  %" PRIu64 " small or sparse %s, %s copied\n",
		     dry ? "would rewrite " : "rewrote  ", r->packs_rewritten,
		     output_plural(r->packs_rewritten, "pack", "packs"),
		     output_size(r->bytes_copied, size));
	if (!dry)
		(void)printf("packs      %" PRIu64 " with %s before, %" PRIu64 " with %s now\n",
			     r->packs_before, output_size(r->bytes_before, before), r->packs_after,
			     output_size(r->bytes_after, size));
	if (r->packs_in_use > 0)
		(void)printf("left       %" PRIu64 " %s of a snapshot that is being taken\n",
			     r->packs_in_use, output_plural(r->packs_in_use, "pack", "packs"));
	if (r->no_space)
		(void)puts("note       the disk is full: nothing more could be rewritten");
}

static int collect(struct pruning *p)
{
	CLEANUP(progress_stop_ptr) struct progress *progress = NULL;
	int r = session_cache(p->session, CACHE_BYTES, 2);

	if (r == 0)
		r = progress_start(p->quiet, sample, p, &progress);
	if (r < 0)
		return r;
	return collect_run(p->session->timeline, p->session->cache, &p->options, &p->result);
}

/* Nothing was deleted that would have to be. */
static int say_failure(const struct pruning *p, int r)
{
	switch (r) {
	case -EBUSY:
		return failure(EXIT_CODE_BUSY, "another prune, or the daemon, is freeing space in "
					       "this repository; there is nothing to do but wait");
	case -ECANCELED:
		return failure(EXIT_CODE_INTERRUPTED,
			       "interrupted; what was freed is free, run it again for the rest");
	case -EUCLEAN:
		if (p->result.problems == 0)
			break;
		return failure(EXIT_CODE_VERIFY,
			       "nothing was deleted: what is named above may need any of it; 'yore "
			       "check' says more, 'yore repair' saves what can be saved, and "
			       "'--accept-missing' lets go of missing records");
	default:
		break;
	}
	return failure_errno(r, "space could not be freed");
}

static int prune(struct pruning *p, bool json)
{
	int r = collect(p);

	if (r < 0)
		return say_failure(p, r);
	if (json && print_json(p) < 0)
		return failure_errno(-ENOMEM, "prune");
	if (!json && !p->quiet)
		print_summary(p);
	if (p->result.damaged > 0)
		return failure(EXIT_CODE_PARTIAL,
			       "%" PRIu64 " damaged %s stayed where they are, with their packs; "
			       "'yore check --data' names what they belong to",
			       p->result.damaged,
			       output_plural(p->result.damaged, "object", "objects"));
	return EXIT_CODE_DONE;
}

/* "30" or "30%". 0 or -EINVAL. */
static int read_percent(const char *text, unsigned int *ret_percent)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || text[0] == '-' || (*end && strcmp(end, "%") != 0) || n < 1 || n > 100)
		return -EINVAL;
	*ret_percent = (unsigned int)n;
	return 0;
}

/* One option of our own. 0, or what was said about it. */
static int read_option(struct pruning *p, const struct options *o, int letter)
{
	size_t bytes;

	switch (letter) {
	case 'n':
		p->options.dry_run = true;
		return 0;
	case OPTION_ACCEPT_MISSING:
		p->options.accept_missing = true;
		return 0;
	case OPTION_SPARSE:
		return read_percent(optarg, &p->options.sparse_percent) == 0
			       ? 0
			       : options_wrong(o,
					       "--sparse wants a share from 1%% to 100%%, not '%s'",
					       optarg);
	default:
		break;
	}
	if (options_size(optarg, &bytes) < 0)
		return options_wrong(o, "'%s' is no size; write one like 500M or 2G", optarg);
	if (letter == OPTION_RATE)
		p->options.bytes_per_second = bytes;
	else
		p->options.rewrite_bytes = bytes;
	return 0;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(session_close) struct session s = { 0 };
	struct pruning p = { .session = &s,
			     .options = { .young_too = true,
					  .rewrite_bytes = UINT64_MAX,
					  .patience_ms = PATIENCE_MS,
					  .cancel = &cmd_cancelled,
					  .progress = on_progress,
					  .problem = on_problem } };
	struct options o;
	int letter, r;

	p.options.context = &p;
	options_init(&o, globals, &cmd_prune, argc, argv);
	options_add(&o, "n", longs);
	while ((letter = options_next(&o)) != OPTIONS_END) {
		if (letter == OPTIONS_STOP)
			return o.exit_code;
		r = read_option(&p, &o, letter);
		if (r != 0)
			return r;
	}
	if (optind < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind]);
	p.quiet = o.globals.verbosity < 0;
	r = config_load(&o.globals, &config);
	if (r != EXIT_CODE_DONE)
		return r;
	p.options.reserve_bytes = config.reserve_bytes;
	r = session_open(&s, &o.globals, SESSION_TIMELINE, SESSION_WRITES | SESSION_OWN_HOST);
	return r == EXIT_CODE_DONE ? prune(&p, o.globals.json) : r;
}

const struct cmd cmd_prune = {
	.name = "prune",
	.aliases = "gc",
	.summary = "free the space of what no snapshot needs",
	.help = "usage: yore prune [-n] [--max-rewrite SIZE] [--rate SIZE] [--json]\n"
		"\n"
		"Frees the space of what no snapshot needs any more, after 'yore forget'. First\n"
		"goes what can go whole, then small packs are merged and sparse ones rewritten.\n"
		"Snapshots, mounts and restores go on meanwhile; what they use stays. It can be\n"
		"interrupted at any time. Also forgets what an interrupted first snapshot stored.\n"
		"Nothing is deleted if any folder of any snapshot cannot be read (exit 20), or\n"
		"while another prune runs (exit 11).\n"
		"\n"
		"options:\n"
		"  -n, --dry-run            only say what would be done\n"
		"      --max-rewrite SIZE   copy at most this much; 0: only free whole packs\n"
		"      --rate SIZE          copy at most this much a second\n"
		"      --sparse N%          rewrite packs of which less than this is needed (50%)\n"
		"      --accept-missing     go on although records are missing: let go of what\n"
		"                           only they needed\n"
		"\n"
		"examples:\n"
		"  yore prune\n"
		"  yore prune --dry-run\n"
		"  yore forget --keep-daily 30 && yore prune --max-rewrite 2G\n",
	.run = run,
};
