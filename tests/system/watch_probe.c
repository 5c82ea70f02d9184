/* SPDX-License-Identifier: MIT */
/*
 * watch_probe: does the watch tell all that changes while a program runs?
 *
 *   watch_probe BACKEND FOLDER PROGRAM [ARGUMENT...]
 *
 * Lists FOLDER, runs PROGRAM, lists it again: whatever differs must have been
 * told. A file with several names may have been told by any of them. Prints
 * counts; exits 1 when something was missed, 77 when BACKEND is not to be had.
 */
#include "snapshots/watch.h"
#include "store/base/log.h"

#include <errno.h>
#include <ftw.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMES_MAX 1000000u
#define QUIET_MS 300

extern char **environ;

struct object {
	char *path; /* relative */
	struct stat st;
};

struct listing {
	struct object *objects;
	size_t n, room;
};

static struct listing *listing_now; /* nftw() has no argument to pass */
static size_t folder_n;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static int list_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	struct listing *l = listing_now;

	(void)kind;
	(void)at;
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 1024;
		l->objects = reallocarray(l->objects, l->room, sizeof(*l->objects));
		if (!l->objects)
			die("memory");
	}
	path += folder_n;
	l->objects[l->n] = (struct object){ .path = strdup(path + (*path == '/')), .st = *st };
	if (!l->objects[l->n++].path)
		die("memory");
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct object *)a)->path, ((const struct object *)b)->path);
}

static void list(const char *folder, struct listing *to)
{
	listing_now = to;
	folder_n = strlen(folder);
	if (nftw(folder, list_one, 64, FTW_PHYS) != 0)
		die(folder);
	qsort(to->objects, to->n, sizeof(*to->objects), by_path);
}

static void listing_done(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->objects[i].path);
	free(l->objects);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_size == b->st_size &&
	       a->st_nlink == b->st_nlink && same_time(a->st_mtim, b->st_mtim) &&
	       same_time(a->st_ctim, b->st_ctim);
}

static bool told(const struct dirty_set *d, const char *path)
{
	const struct dirty_name *node = dirty_set_root(d);

	if (dirty_set_is_all(d))
		return true;
	while (node && *path) {
		const size_t n = strcspn(path, "/");

		if (node->flags & DIRTY_DEEP)
			return true;
		node = dirty_name_child(node, path, (uint32_t)n);
		path += n + (path[n] == '/');
	}
	return node && node->flags & (DIRTY_SELF | DIRTY_DEEP);
}

static const struct object *find(const struct listing *l, const char *path)
{
	const struct object key = { .path = (char *)(uintptr_t)path };

	return bsearch(&key, l->objects, l->n, sizeof(key), by_path);
}

/* It went with a folder that it lay in, and that was told. */
static bool told_to_be_gone(const struct dirty_set *d, const struct object *o,
			    const struct listing *after)
{
	char *path = strdup(o->path);
	bool gone = false;

	if (!path)
		die("memory");
	for (char *slash = strrchr(path, '/'); slash && !gone; slash = strrchr(path, '/')) {
		const struct object *now;

		*slash = '\0';
		now = find(after, path);
		gone = told(d, path) && (!now || !S_ISDIR(now->st.st_mode));
	}
	free(path);
	return gone;
}

/* By this name, or by another one of the same file. */
static bool told_somehow(const struct dirty_set *d, const struct object *o,
			 const struct listing *before, const struct listing *after)
{
	if (told(d, o->path) || told_to_be_gone(d, o, after))
		return true;
	if (S_ISDIR(o->st.st_mode))
		return false;
	for (int i = 0; i < 2; i++) {
		const struct listing *l = i ? after : before;

		for (size_t j = 0; j < l->n; j++)
			if (l->objects[j].st.st_ino == o->st.st_ino && told(d, l->objects[j].path))
				return true;
	}
	return false;
}

/* Each difference must have been told. Returns how many were not. */
static size_t compare(const struct dirty_set *d, const struct listing *a, const struct listing *b,
		      size_t *ret_changed)
{
	size_t i = 0, j = 0, missed = 0, changed = 0;

	while (i < a->n || j < b->n) {
		const int order = i == a->n   ? 1
				  : j == b->n ? -1
					      : by_path(&a->objects[i], &b->objects[j]);
		const struct object *o = order <= 0 ? &a->objects[i] : &b->objects[j];
		const bool differs = order != 0 || !same(&a->objects[i].st, &b->objects[j].st);

		i += order <= 0;
		j += order >= 0;
		if (!differs)
			continue;
		changed++;
		if (told_somehow(d, o, a, b))
			continue;
		missed++;
		(void)fprintf(stderr, "never told: %s\n", o->path);
	}
	*ret_changed = changed;
	return missed;
}

static void collect(struct watch *w, struct dirty_set *to, int timeout_ms)
{
	struct dirty_set *d;

	(void)watch_wait(w, -1, timeout_ms);
	if (watch_take(w, 0, &d) < 0 || dirty_set_merge(to, d) < 0)
		die("memory");
	dirty_set_free(d);
}

static void run(struct watch *w, struct dirty_set *to, char **command)
{
	int status = 0;
	pid_t pid;

	errno = posix_spawn(&pid, command[0], NULL, NULL, command, environ);
	if (errno)
		die(command[0]);
	while (waitpid(pid, &status, WNOHANG) == 0)
		collect(w, to, 20);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		(void)fprintf(stderr, "%s failed\n", command[0]);
		exit(2);
	}
	for (int ms = 0; ms < QUIET_MS; ms += 50) {
		(void)usleep(50000);
		collect(w, to, 0);
	}
}

int main(int argc, char **argv)
{
	struct listing before = { 0 }, after = { 0 };
	struct watch_source source = { 0 };
	struct watch_options options = { .sources = &source,
					 .n_sources = 1,
					 .names_max = NAMES_MAX };
	struct dirty_set *d, *first;
	struct watch_state state;
	size_t changed, missed;
	struct watch *w;

	if (argc < 4)
		return 2;
	if (getenv("WATCH_PROBE_DEBUG"))
		log_set_level(LOG_LEVEL_DEBUG);
	source.path = argv[2];
	options.best = strcmp(argv[1], "fanotify") == 0 ? WATCH_FANOTIFY : WATCH_INOTIFY;
	if (watch_new(&options, &w) < 0 || dirty_set_new(NAMES_MAX, &d) < 0 ||
	    watch_take(w, 0, &first) < 0)
		die("watch");
	dirty_set_free(first);
	watch_state(w, 0, &state);
	if (state.backend != options.best) {
		(void)fprintf(stderr, "%s\n", state.reason);
		return 77;
	}
	list(argv[2], &before);
	run(w, d, argv + 3);
	list(argv[2], &after);
	if (dirty_set_freeze(d) < 0)
		die("memory");
	missed = compare(d, &before, &after, &changed);
	watch_state(w, 0, &state);
	(void)printf("%s: %zu changed, %zu missed, %zu names told%s, %llu events, %llu overflows, "
		     "%llu watches\n",
		     argv[1], changed, missed, dirty_set_count(d),
		     dirty_set_is_all(d) ? " (everything)" : "", (unsigned long long)state.events,
		     (unsigned long long)state.overflows, (unsigned long long)state.watches);
	watch_free(w);
	dirty_set_free(d);
	listing_done(&before);
	listing_done(&after);
	return missed > 0;
}
