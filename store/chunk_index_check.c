/* SPDX-License-Identifier: MIT */
/*
 * LMDB trusts its pages: a damaged one makes it crash or loop. So a database
 * that was not closed in order is walked by a child, and only its word that all
 * is well counts; and what the mark of a clean end did not notice is caught by
 * a guard, which ends the process with a message instead of a signal.
 */
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CHECK_FLAGS (MDB_RDONLY | MDB_NOTLS)
#define CHECK_SECONDS_MAX 3600 /* a loop inside LMDB must not hang the program */

static void child_assert(MDB_env *env, const char *message)
{
	(void)env;
	(void)message;
	_exit(1);
}

static int open_env(const char *folder, unsigned int flags, MDB_env **ret_env)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);

	if (rc == 0)
		rc = mdb_env_set_assert(env, child_assert);
	if (rc == 0)
		rc = mdb_env_set_mapsize(env, INDEX_MAP_BYTES);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(env, DB_COUNT + 1);
	if (rc == 0)
		rc = mdb_env_open(env, folder, flags, 0600);
	*ret_env = env;
	return rc;
}

/*
 * Every key in strict order, every value whole, and every key found again from
 * the root: that last look-up is what notices a wrong separator in a branch.
 */
static bool table_valid(MDB_txn *txn, MDB_dbi dbi, enum index_db db,
			const uint8_t sum_key[static 16])
{
	MDB_cursor *walk, *find;
	MDB_stat stat;
	MDB_val key, value, previous = { 0 };
	uint8_t previous_key[64];
	size_t n = 0;
	int rc;

	if (mdb_stat(txn, dbi, &stat) != 0 || mdb_cursor_open(txn, dbi, &walk) != 0 ||
	    mdb_cursor_open(txn, dbi, &find) != 0)
		return false;
	while ((rc = mdb_cursor_get(walk, &key, &value, n ? MDB_NEXT : MDB_FIRST)) == 0) {
		MDB_val again = key, other;

		if (++n > stat.ms_entries || key.mv_size == 0 || key.mv_size > sizeof(previous_key))
			return false;
		if (previous.mv_size && mdb_cmp(txn, dbi, &previous, &key) >= 0)
			return false;
		if (!index_value_valid(sum_key, db, &key, &value))
			return false;
		if (mdb_cursor_get(find, &again, &other, MDB_SET) != 0 ||
		    other.mv_data != value.mv_data)
			return false;
		memcpy(previous_key, key.mv_data, key.mv_size);
		previous = (MDB_val){ .mv_size = key.mv_size, .mv_data = previous_key };
	}
	return rc == MDB_NOTFOUND && n == stat.ms_entries;
}

/* LMDB's own list of free pages (table 0): a page named twice would be written twice. */
static bool free_list_valid(MDB_txn *txn, size_t n_pages)
{
	CLEANUP(free_ptr) uint8_t *seen = calloc(n_pages / 8 + 1, 1);
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc;

	if (!seen || mdb_cursor_open(txn, 0, &cursor) != 0)
		return false;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		const size_t *list = value.mv_data;

		if (key.mv_size != sizeof(size_t) || value.mv_size < sizeof(size_t) ||
		    list[0] >= value.mv_size / sizeof(size_t))
			return false;
		for (size_t i = 1; i <= list[0]; i++) {
			size_t page = list[i];

			if (page < 2 || page >= n_pages || (seen[page / 8] >> (page % 8) & 1))
				return false;
			seen[page / 8] |= (uint8_t)(1u << (page % 8));
		}
	}
	return rc == MDB_NOTFOUND;
}

static bool database_valid(const char *folder, const uint8_t sum_key[static 16], unsigned int flags)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_envinfo info;

	/* The count of pages last: beside a writer it only grows. */
	if (open_env(folder, flags, &env) != 0 || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 ||
	    mdb_env_info(env, &info) != 0)
		return false;
	for (int db = 0; db < DB_COUNT; db++) {
		MDB_dbi dbi;

		if (mdb_dbi_open(txn, index_db_names[db], 0, &dbi) != 0 ||
		    !table_valid(txn, dbi, (enum index_db)db, sum_key))
			return false;
	}
	return free_list_valid(txn, info.me_last_pgno + 1);
}

static void child_run(const char *folder, const uint8_t sum_key[static 16], unsigned int flags,
		      int fd)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM };
	struct rlimit none = { 0 };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)alarm(CHECK_SECONDS_MAX);
	if (!database_valid(folder, sum_key, flags) || write(fd, "y", 1) != 1)
		_exit(1);
	_exit(0);
}

static int run_check(const char *folder, const uint8_t sum_key[static 16], unsigned int flags)
{
	int fds[2];
	char answer = 0;
	ssize_t n;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int r = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return log_errno(r, "index: cannot start its verification");
	}
	if (child == 0)
		child_run(folder, sum_key, flags, fds[1]);
	(void)close(fds[1]);
	/* The byte counts, not the exit status: the program may ignore SIGCHLD. */
	do
		n = read(fds[0], &answer, 1);
	while (n < 0 && errno == EINTR);
	(void)close(fds[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
	return n == 1 && answer == 'y' ? 0 : -EUCLEAN;
}

int index_check(const char *folder, const uint8_t sum_key[static 16])
{
	return run_check(folder, sum_key, CHECK_FLAGS | MDB_NOLOCK);
}

/* With a reader's slot of its own, so that no page under the walk is written again. */
int index_check_beside(const char *folder, const uint8_t sum_key[static 16])
{
	return run_check(folder, sum_key, CHECK_FLAGS);
}

/* ---- the guard ---- */

/* Signal handlers have no argument of ours: the one place for state outside of handles. */
static _Thread_local const char *guarded_mark; /* index/clean of the database this thread is in */
static _Thread_local unsigned int guard_depth;
static _Thread_local bool guard_ready; /* this thread lets the signals through */

static const int guard_signals[] = { SIGBUS, SIGSEGV, SIGFPE };
#define GUARD_SIGNALS (sizeof(guard_signals) / sizeof(guard_signals[0]))
static struct sigaction previous_actions[GUARD_SIGNALS];

/* Threads begin with every signal blocked; one that a fault raises would then kill. */
static void let_through(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < GUARD_SIGNALS; i++)
		(void)sigaddset(&set, guard_signals[i]);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	guard_ready = true;
}

void index_guard_enter(const struct chunk_index *x)
{
	if (!guard_ready)
		let_through();
	guarded_mark = x->clean_path;
	guard_depth++;
}

void index_guard_leave(void)
{
	assert(guard_depth > 0);
	guard_depth--;
}

/* Only what is allowed in a signal handler. Nothing was committed, so nothing is half done. */
void index_guard_give_up(void)
{
	static const char text[] = "yore: the index is damaged; 'yore repair' rebuilds it, and no "
				   "snapshot is lost\n";

	if (guard_depth == 0)
		return;
	(void)unlink(guarded_mark);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(CHUNK_INDEX_EXIT_DAMAGED);
	_exit(CHUNK_INDEX_EXIT_DAMAGED);
}

static void guard_handle(int number)
{
	index_guard_give_up();
	/* Not LMDB's: the faulting instruction runs again, into what was there before. */
	for (size_t i = 0; i < GUARD_SIGNALS; i++)
		if (guard_signals[i] == number)
			(void)sigaction(number, &previous_actions[i], NULL);
}

void index_guard_start(void)
{
	struct sigaction action = { .sa_handler = guard_handle };
	struct sigaction now;

	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < GUARD_SIGNALS; i++) {
		if (sigaction(guard_signals[i], NULL, &now) < 0 || now.sa_handler == guard_handle)
			continue;
		previous_actions[i] = now;
		(void)sigaction(guard_signals[i], &action, NULL);
	}
}
