/* SPDX-License-Identifier: MIT */
/*
 * The crash model: records workloads, cuts the power at every step of them,
 * checks at least STATES different states of the disk that may be left; then
 * takes single steps out of the commit protocol and demands to notice each.
 *
 *   test_crash_model [--seed N] [--states N] [--processes N] [--no-mutants]
 *
 * Linked with --wrap=index_check: whether LMDB's file is sound is asked once
 * for the same bytes, because the question costs a fork.
 */
#include "store/base/log.h"
#include "store/chunk_index_internal.h"
#include "tests/fault/crash_check.h"
#include "tests/fault/crash_states.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATES_DEFAULT 100000
#define SEED_DEFAULT 20240501
#define PER_STEP_MAX 36 /* random states after one step of a trace */
#define MUTANT_PER_STEP_MAX 24
#define MUTANT_SECONDS_MAX 120
#define THOROUGH_EVERY 400
#define SEEN_SLOTS (1u << 21)
#define PROCESSES_MAX 8
#define LARGE_EVERY 6 /* the first and every sixth workload is large */
#define LARGE_SHARE 8 /* its part of the states: each costs several times another's */
#define MMAP_FROM (1 << 20)

/* ---- LMDB's soundness, asked once per content ---- */

#define SOUND_SLOTS 65536u

static struct {
	uint64_t hash;
	int answer;
} sound[SOUND_SLOTS];

int __real_index_check(const char *folder, const uint8_t sum_key[static 16]);
int __wrap_index_check(const char *folder, const uint8_t sum_key[static 16]);

static uint64_t file_hash(const char *folder)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	char path[300];
	struct stat st;
	uint64_t hash;
	void *map;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 0;
	hash = memory_hash(map, (size_t)st.st_size);
	(void)munmap(map, (size_t)st.st_size);
	return hash;
}

int __wrap_index_check(const char *folder, const uint8_t sum_key[static 16])
{
	const uint64_t hash = file_hash(folder);
	uint64_t i = hash % SOUND_SLOTS;

	if (hash == 0)
		return __real_index_check(folder, sum_key);
	for (uint32_t tries = 0; sound[i].hash && sound[i].hash != hash; tries++) {
		if (tries == SOUND_SLOTS)
			return __real_index_check(folder, sum_key);
		i = (i + 1) % SOUND_SLOTS;
	}
	if (!sound[i].hash) {
		sound[i].answer = __real_index_check(folder, sum_key);
		sound[i].hash = hash;
	}
	return sound[i].answer;
}

/* ---- which states were met ---- */

struct seen {
	uint64_t *slots;
	uint64_t n;
};

/* Enter a hash. True when it is new. */
static bool seen_enter(struct seen *s, uint64_t hash)
{
	hash = hash ? hash : 1;
	for (uint64_t i = hash % SEEN_SLOTS;; i = (i + 1) % SEEN_SLOTS) {
		if (s->slots[i] == hash)
			return false;
		if (s->slots[i] == 0) {
			assert(s->n < SEEN_SLOTS / 2);
			s->slots[i] = hash;
			s->n++;
			return true;
		}
	}
}

static void seen_init(struct seen *s)
{
	*s = (struct seen){ .slots = calloc(SEEN_SLOTS, sizeof(uint64_t)) };
	assert(s->slots);
}

/* ---- going through a trace ---- */

/* What all processes of the test add to. */
struct totals {
	uint64_t states; /* different states of the disk */
	uint64_t checks; /* with what had been acknowledged by then */
	uint64_t traces;
	uint64_t steps;
	uint64_t thorough;
	uint32_t failed;
	char text[1000];
};

struct walk {
	struct workload *w;
	struct crash_check *check;
	struct crash_states *states;
	struct acknowledged acknowledged;
	uint32_t n_acknowledged;
	uint64_t seed;
	uint64_t per_step_max;
	uint64_t wanted;    /* states of this trace, spread over its steps; 0: all that come */
	size_t first_step;  /* no checks before */
	struct seen disks;  /* states */
	struct seen checks; /* states with acknowledgements */
	struct totals *totals;
};

static const char *check_one(struct walk *k, enum crash_choice choice)
{
	const int64_t mtime_ns =
		crash_states_make(k->states, choice, &k->seed, crash_check_tree(k->check));
	const uint64_t hash = memory_tree_hash(crash_check_tree(k->check), "");
	bool thorough;

	if (seen_enter(&k->disks, hash))
		k->totals->states++;
	if (!seen_enter(&k->checks, hash + k->n_acknowledged * 0x9e3779b97f4a7c15u))
		return NULL;
	k->totals->checks++;
	thorough = k->totals->checks % THOROUGH_EVERY == 0 && choice == CRASH_RANDOM;
	k->totals->thorough += thorough;
	return crash_check_run(k->check, &k->acknowledged, mtime_ns, thorough);
}

/* How many random states to make after this part of the trace. */
static uint64_t random_states(const struct walk *k, size_t done, size_t n_ops)
{
	const uint64_t count = crash_states_count(k->states);
	const uint64_t n = count < k->per_step_max / 4 ? 4 * count : k->per_step_max;
	const uint64_t due = k->wanted * done / n_ops;
	const uint64_t room = due > k->disks.n ? due - k->disks.n : 1;

	return k->wanted && room < n ? room : n;
}

static const char *check_step(struct walk *k, uint64_t n)
{
	const char *problem = check_one(k, CRASH_ALL_LOST);

	if (!problem)
		problem = check_one(k, CRASH_ALL_KEPT);
	for (uint64_t i = 0; i < n && !problem; i++)
		problem = check_one(k, CRASH_RANDOM);
	return problem;
}

/* Walk the trace. Returns NULL or what is wrong; *ret_step says after which op. */
static const char *walk_trace(struct walk *k, const struct memory_op *ops, size_t n,
			      size_t *ret_step)
{
	const char *problem = k->first_step == 0 ? check_step(k, 1) : NULL;

	*ret_step = 0;
	for (size_t i = 0; i < n && !problem; i++) {
		*ret_step = i;
		if (ops[i].kind == MEMORY_MARK) {
			acknowledged_add(&k->acknowledged, k->w, ops[i].value);
			k->n_acknowledged++;
		}
		crash_states_step(k->states, &ops[i]);
		k->totals->steps++;
		if (i >= k->first_step)
			problem = check_step(k, random_states(k, i + 1, n));
	}
	return problem;
}

static void walk_init(struct walk *k, struct workload *w, struct totals *totals)
{
	*k = (struct walk){
		.w = w,
		.check = crash_check_new(w),
		.states = crash_states_new(),
		.seed = w->seed,
		.per_step_max = PER_STEP_MAX,
		.totals = totals,
	};
	assert(k->states);
	seen_init(&k->disks);
	seen_init(&k->checks);
}

static void walk_done(struct walk *k)
{
	crash_check_free(k->check);
	crash_states_free(k->states);
	free(k->disks.slots);
	free(k->checks.slots);
}

/* ---- names for people ---- */

static const char *const op_names[MEMORY_OP_KINDS] = {
	[MEMORY_CREATE] = "create",        [MEMORY_WRITE] = "write",
	[MEMORY_FSYNC] = "fsync",          [MEMORY_FSYNC_FOLDER] = "fsync of the folder",
	[MEMORY_RENAME] = "rename",        [MEMORY_UNLINK] = "unlink",
	[MEMORY_MKDIR] = "mkdir",          [MEMORY_INDEX] = "commit",
	[MEMORY_MARK] = "acknowledgement",
};

static const char *const object_names[IO_OBJECT_KINDS] = {
	[IO_OBJECT_FOLDER] = "folder", [IO_OBJECT_CONFIG] = "config", [IO_OBJECT_KEY] = "key",
	[IO_OBJECT_PACK] = "pack",     [IO_OBJECT_RECORD] = "record", [IO_OBJECT_LOCAL] = "local",
	[IO_OBJECT_INDEX] = "index",   [IO_OBJECT_TMP] = "tmp",
};

static void op_print(const struct memory_op *op, char *to, size_t n)
{
	(void)snprintf(to, n, "%s of %s %s%s%s (inode %u, %zu bytes)", op_names[op->kind],
		       object_names[op->object], op->path ? op->path : "", op->to ? " -> " : "",
		       op->to ? op->to : "", op->inode, op->n);
}

/* ---- the true protocol ---- */

static bool run_workload(struct totals *mine, uint64_t seed, bool large, uint64_t wanted)
{
	const struct memory_op *ops;
	const char *problem;
	struct workload w;
	struct walk k;
	char where[400];
	size_t n, step;
	int r = workload_record(&w, seed, large);

	if (r < 0) {
		(void)snprintf(mine->text, sizeof(mine->text), "seed %" PRIu64 ": recording: %s",
			       seed, strerrordesc_np(-r));
		workload_done(&w);
		return false;
	}
	walk_init(&k, &w, mine);
	k.wanted = wanted;
	ops = memory_tree_trace(w.tree, &n);
	problem = walk_trace(&k, ops, n, &step);
	mine->traces++;
	if (problem) {
		op_print(&ops[step], where, sizeof(where));
		(void)snprintf(mine->text, sizeof(mine->text),
			       "seed %" PRIu64 ", after step %zu of %zu, %s: %s", seed, step, n,
			       where, problem);
	}
	walk_done(&k);
	workload_done(&w);
	return !problem;
}

static void run_process(struct totals *mine, uint64_t seed, uint64_t n_states)
{
	for (uint64_t round = 0; mine->states < n_states && !mine->failed; round++) {
		const bool large = round % LARGE_EVERY == 0;
		const uint64_t missing = (n_states - mine->states) * 65 / 64;
		const uint64_t share = n_states / LARGE_SHARE + 1;
		const uint64_t wanted = large && share < missing ? share : missing;

		if (!run_workload(mine, seed + round, large, wanted))
			mine->failed = 1;
	}
	mine->failed |= mine->states < n_states;
}

static double seconds_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool test_every_state_is_sound(uint64_t seed, uint64_t n_states, uint32_t n_processes)
{
	struct totals *totals = mmap(NULL, PROCESSES_MAX * sizeof(*totals), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const double start = seconds_now();
	struct totals sum = { 0 };

	assert(totals != MAP_FAILED);
	for (uint32_t i = 0; i < n_processes; i++) {
		pid_t child;

		totals[i].failed = 1; /* until it has come to its end */
		(void)fflush(NULL);
		child = fork();
		assert(child >= 0);
		if (child > 0)
			continue;
		totals[i].failed = 0;
		run_process(&totals[i], seed + i * 1000000, n_states / n_processes + 1);
		_exit(0);
	}
	for (uint32_t i = 0; i < n_processes; i++) {
		int status;

		(void)wait(&status);
		sum.failed |= !WIFEXITED(status);
	}
	for (uint32_t i = 0; i < n_processes; i++) {
		sum.states += totals[i].states;
		sum.checks += totals[i].checks;
		sum.traces += totals[i].traces;
		sum.steps += totals[i].steps;
		sum.thorough += totals[i].thorough;
		sum.failed |= totals[i].failed;
		if (totals[i].text[0])
			printf("  FOUND: %s\n", totals[i].text);
	}
	printf("  seed %" PRIu64 ": %" PRIu64 " different states, %" PRIu64 " checks (%" PRIu64
	       " with an index built anew and one more snapshot), %" PRIu64 " workloads, %" PRIu64
	       " steps, %.1f s: %s\n",
	       seed, sum.states, sum.checks, sum.thorough, sum.traces, sum.steps,
	       seconds_now() - start, sum.failed ? "FAILED" : "all sound");
	(void)munmap(totals, PROCESSES_MAX * sizeof(*totals));
	return !sum.failed;
}

/* ---- mutants ---- */

#define SKIP(op, thing)                                              \
	{                                                            \
		.form = MUTANT_SKIP, .kind = (op), .object = (thing) \
	}
#define SKIP_IN(op, thing, where)                                                       \
	{                                                                               \
		.form = MUTANT_SKIP, .kind = (op), .object = (thing), .folder = (where) \
	}
#define FSYNC_LATE(thing)                                    \
	{                                                    \
		.form = MUTANT_FSYNC_LATE, .object = (thing) \
	}
#define WITHOUT_RENAME(thing)                                    \
	{                                                        \
		.form = MUTANT_WITHOUT_RENAME, .object = (thing) \
	}
#define AFTER(thing, op, other)                                              \
	{                                                                    \
		.form = MUTANT_AFTER, .object = (thing), .after_kind = (op), \
		.after_object = (other)                                      \
	}

#define LAST_SKIP(op, thing)                                                                  \
	{                                                                                     \
		.form = MUTANT_SKIP, .kind = (op), .object = (thing), .last_collection = true \
	}
#define LAST_FORM(way, thing)                                             \
	{                                                                 \
		.form = (way), .object = (thing), .last_collection = true \
	}
#define LAST_AFTER(thing, op, other)                                         \
	{                                                                    \
		.form = MUTANT_AFTER, .object = (thing), .after_kind = (op), \
		.after_object = (other), .last_collection = true             \
	}
#define LAST_EARLY(op, thing, where, other_op, other)                                      \
	{                                                                                  \
		.form = MUTANT_EARLY, .kind = (op), .object = (thing), .folder = (where),  \
		.after_kind = (other_op), .after_object = (other), .last_collection = true \
	}

static const struct mutant mutants[] = {
	SKIP(MEMORY_FSYNC, IO_OBJECT_PACK),
	SKIP(MEMORY_FSYNC, IO_OBJECT_RECORD),
	SKIP(MEMORY_FSYNC, IO_OBJECT_KEY),
	SKIP(MEMORY_FSYNC, IO_OBJECT_CONFIG),
	SKIP(MEMORY_FSYNC, IO_OBJECT_LOCAL),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_PACK),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_RECORD),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_KEY),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_CONFIG),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_LOCAL),
	SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_FOLDER),
	SKIP_IN(MEMORY_FSYNC_FOLDER, IO_OBJECT_FOLDER, "packs"),
	SKIP_IN(MEMORY_FSYNC_FOLDER, IO_OBJECT_FOLDER, "records"),
	FSYNC_LATE(IO_OBJECT_PACK),
	FSYNC_LATE(IO_OBJECT_RECORD),
	FSYNC_LATE(IO_OBJECT_KEY),
	FSYNC_LATE(IO_OBJECT_CONFIG),
	FSYNC_LATE(IO_OBJECT_LOCAL),
	WITHOUT_RENAME(IO_OBJECT_PACK),
	WITHOUT_RENAME(IO_OBJECT_RECORD),
	WITHOUT_RENAME(IO_OBJECT_KEY),
	WITHOUT_RENAME(IO_OBJECT_CONFIG),
	WITHOUT_RENAME(IO_OBJECT_LOCAL),
	AFTER(IO_OBJECT_PACK, MEMORY_INDEX, IO_OBJECT_INDEX),
	AFTER(IO_OBJECT_PACK, MEMORY_FSYNC_FOLDER, IO_OBJECT_RECORD),
	AFTER(IO_OBJECT_RECORD, MEMORY_MARK, IO_OBJECT_LOCAL),
	AFTER(IO_OBJECT_KEY, MEMORY_FSYNC_FOLDER, IO_OBJECT_CONFIG),
	LAST_SKIP(MEMORY_FSYNC, IO_OBJECT_PACK),
	LAST_SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_PACK),
	LAST_FORM(MUTANT_FSYNC_LATE, IO_OBJECT_PACK),
	LAST_FORM(MUTANT_WITHOUT_RENAME, IO_OBJECT_PACK),
	LAST_AFTER(IO_OBJECT_PACK, MEMORY_INDEX, IO_OBJECT_INDEX),
	LAST_AFTER(IO_OBJECT_PACK, MEMORY_UNLINK, IO_OBJECT_PACK),
	LAST_EARLY(MEMORY_UNLINK, IO_OBJECT_PACK, "packs/", MEMORY_INDEX, IO_OBJECT_INDEX),
	LAST_SKIP(MEMORY_FSYNC, IO_OBJECT_RECORD),
	LAST_SKIP(MEMORY_FSYNC_FOLDER, IO_OBJECT_RECORD),
	LAST_AFTER(IO_OBJECT_RECORD, MEMORY_UNLINK, IO_OBJECT_RECORD),
	LAST_AFTER(IO_OBJECT_RECORD, MEMORY_UNLINK, IO_OBJECT_PACK),
};
#define N_MUTANTS (sizeof(mutants) / sizeof(mutants[0]))

static void mutant_print(const struct mutant *m, char *to, size_t n)
{
	const char *object = object_names[m->object];

	if (m->last_collection) {
		int used = snprintf(to, n, "in forgetting and collecting: ");

		to += used;
		n -= (size_t)used;
	}

	switch (m->form) {
	case MUTANT_SKIP:
		(void)snprintf(to, n, "no %s of a %s%s%s", op_names[m->kind], object,
			       m->folder ? ", in " : "", m->folder ? m->folder : "");
		break;
	case MUTANT_FSYNC_LATE:
		(void)snprintf(to, n, "rename of a %s before its fsync", object);
		break;
	case MUTANT_WITHOUT_RENAME:
		(void)snprintf(to, n, "no rename of a %s: written in place", object);
		break;
	case MUTANT_AFTER:
		(void)snprintf(to, n, "a %s made durable only after the %s of the %s", object,
			       op_names[m->after_kind],
			       m->after_kind == MEMORY_MARK ? "user"
							    : object_names[m->after_object]);
		break;
	case MUTANT_EARLY:
		(void)snprintf(to, n, "%s of a %s before the %s of the %s", op_names[m->kind],
			       object, op_names[m->after_kind], object_names[m->after_object]);
		break;
	case MUTANT_NONE:
		(void)snprintf(to, n, "the true protocol");
		break;
	}
}

/* Outcome of one mutant, from its process. */
struct outcome {
	size_t applied;
	bool found;
	bool ended;
	uint64_t states;
	char text[700];
};

/* Up to here the traces are one, and so are the states. */
static size_t first_difference(const struct memory_op *a, const struct memory_op *b, size_t n)
{
	size_t i = 0;

	while (i < n && memcmp(&a[i], &b[i], sizeof(a[i])) == 0)
		i++;
	return i;
}

/* Where the last snapshot was acknowledged. */
static size_t last_collection(const struct workload *w, const struct memory_op *ops, size_t n)
{
	while (n > 0 &&
	       (ops[n - 1].kind != MEMORY_MARK || w->facts[ops[n - 1].value].kind != FACT_SNAPSHOT))
		n--;
	return n;
}

static void try_mutant(struct workload *w, const struct mutant *m, struct outcome *outcome)
{
	CLEANUP(free_ptr) struct memory_op *mutated = NULL;
	const struct memory_op *ops;
	struct totals totals = { 0 };
	const char *problem;
	struct walk k;
	size_t n, step, from;

	ops = memory_tree_trace(w->tree, &n);
	from = m->last_collection ? last_collection(w, ops, n) : 0;
	outcome->applied = mutant_apply(m, ops, n, from, &mutated, &n);
	walk_init(&k, w, &totals);
	k.per_step_max = MUTANT_PER_STEP_MAX;
	k.first_step = first_difference(ops, mutated, n);
	problem = walk_trace(&k, mutated, n, &step);
	outcome->found = problem != NULL;
	outcome->states = totals.states;
	if (problem)
		(void)snprintf(outcome->text, sizeof(outcome->text), "%s", problem);
	walk_done(&k);
	outcome->ended = true;
}

static bool run_mutants(struct workload *w, struct outcome *outcomes, uint32_t n_processes)
{
	uint32_t running = 0;

	for (size_t i = 0; i < N_MUTANTS || running > 0;) {
		pid_t child;
		int status;

		if (i == N_MUTANTS || running == n_processes) {
			(void)wait(&status);
			running--;
			continue;
		}
		(void)fflush(NULL);
		child = fork();
		assert(child >= 0);
		if (child == 0) {
			(void)alarm(MUTANT_SECONDS_MAX);
			try_mutant(w, &mutants[i], &outcomes[i]);
			_exit(0);
		}
		running++;
		i++;
	}
	return true;
}

static bool outcome_print(const struct mutant *m, const struct outcome *o)
{
	const bool killed = o->applied > 0 && (o->found || !o->ended);
	char name[200];

	mutant_print(m, name, sizeof(name));
	printf("  %-8s  %-72s  %s\n",
	       killed        ? "found"
	       : !o->applied ? "UNUSED"
			     : "SURVIVED",
	       name,
	       o->text[0]  ? o->text
	       : !o->ended ? "opening crashed or hung"
			   : "");
	return killed;
}

static bool test_every_mutant_is_found(uint64_t seed, uint32_t n_processes)
{
	struct outcome *outcomes = mmap(NULL, N_MUTANTS * sizeof(*outcomes), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const double start = seconds_now();
	struct workload w;
	size_t n_found = 0;
	int r;

	assert(outcomes != MAP_FAILED);
	r = workload_record(&w, seed, false);
	if (r < 0) {
		printf("  recording: %s\n", strerrordesc_np(-r));
		return false;
	}
	(void)run_mutants(&w, outcomes, n_processes);
	for (size_t i = 0; i < N_MUTANTS; i++)
		n_found += outcome_print(&mutants[i], &outcomes[i]);
	printf("  %zu of %zu mutants found, %.1f s\n", n_found, N_MUTANTS, seconds_now() - start);
	workload_done(&w);
	(void)munmap(outcomes, N_MUTANTS * sizeof(*outcomes));
	return n_found == N_MUTANTS;
}

static uint64_t number_after(int argc, char **argv, const char *option, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], option) == 0)
			return strtoull(argv[i + 1], NULL, 10);
	return otherwise;
}

int main(int argc, char **argv)
{
	const uint64_t seed = number_after(argc, argv, "--seed", SEED_DEFAULT);
	const uint64_t n_states = number_after(argc, argv, "--states", STATES_DEFAULT);
	uint64_t n_processes = number_after(argc, argv, "--processes", 2);
	bool good;

	if (n_processes < 1 || n_processes > PROCESSES_MAX)
		n_processes = 2;
	/* LMDB callocs two megabytes at each opening and touches little of them. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	log_set_sink(crash_check_log);
	if (crypto_init() < 0)
		return 1;
	printf("crash model: every step of recorded workloads\n");
	good = test_every_state_is_sound(seed, n_states, (uint32_t)n_processes);
	if (argc > 1 && strcmp(argv[argc - 1], "--no-mutants") == 0)
		return !good;
	printf("crash model: the protocol with one step switched off\n");
	good &= test_every_mutant_is_found(seed, (uint32_t)n_processes);
	return !good;
}
