/* SPDX-License-Identifier: MIT */
#include "tools/restore_in_place.h"

#include "snapshots/capture.h"
#include "snapshots/source_path.h"
#include "tools/failure.h"
#include "tools/output.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define REASON "before-restore"

void in_place_done(struct in_place *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->jobs[i].path);
		free(p->jobs[i].target);
	}
	free(p->jobs);
	*p = (struct in_place){ 0 };
}

/* ---- jobs ---- */

static const char *or_root(const char *path)
{
	assert(path);
	return path[0] ? path : "/";
}

static int add_job(struct in_place *p, const char *path)
{
	struct in_place_job *job = &p->jobs[p->n];
	const char *name = strrchr(path, '/');

	/* A source inside another one comes with it. */
	if (p->n > 0 && source_path_within(path, or_root(p->jobs[p->n - 1].path)))
		return 0;
	if (strcmp(path, "/") == 0)
		path = "";
	job->is_parent = path[0] != '\0';
	job->path = strdup(path);
	job->target = path[0] && name > path ? strndup(path, (size_t)(name - path)) : strdup("/");
	p->n++;
	return job->path && job->target ? 0 : -ENOMEM;
}

static int find_jobs(const struct record *record, const char *path, struct in_place *p)
{
	int r = 0;

	p->jobs = calloc(record->n_sources + 1, sizeof(*p->jobs));
	if (!p->jobs)
		return -ENOMEM;
	for (size_t i = 0; i < record->n_sources && r == 0; i++) {
		const struct record_source *source = &record->sources[i];

		/* A program's output has no place to go back to. */
		if (source->flags & SOURCE_STREAM)
			continue;
		if (source_path_within(path, source->path))
			r = add_job(p, path);
		else if (source_path_within(source->path, path))
			r = add_job(p, source->path);
	}
	return r;
}

/* The place must be where it was: not behind a symlink that was put in the way. */
static int check_target(const struct in_place_job *job)
{
	CLEANUP(free_ptr) char *real = NULL;

	assert(job->target);
	real = realpath(job->target, NULL);
	if (!real && errno == ENOENT)
		return EXIT_CODE_DONE; /* made again */
	if (!real)
		return failure_errno(-errno, "cannot restore into %s", job->target);
	if (strcmp(real, job->target) != 0)
		return failure(EXIT_CODE_FAILED,
			       "%s is a way to %s now, so it is no longer the place that was "
			       "captured; restore with --to DIR",
			       job->target, real);
	return EXIT_CODE_DONE;
}

/* ---- the safety snapshot ---- */

/* What is to be captured, and the records that name it. */
struct safety {
	struct record latest;
	struct record old;
	struct capture_source *sources;
	size_t n;
};

static void safety_done(struct safety *s)
{
	record_done(&s->latest);
	record_done(&s->old);
	free(s->sources);
}

static const struct record_source *source_of(const struct record *record, const char *path)
{
	for (size_t i = 0; i < record->n_sources; i++)
		if (!(record->sources[i].flags & SOURCE_STREAM) &&
		    source_path_within(path, record->sources[i].path))
			return &record->sources[i];
	return NULL;
}

static int check_excludes(const struct record_source *source)
{
	if (source->excludes[0] || (source->flags & SOURCE_EXCLUDE_CACHES))
		return failure(EXIT_CODE_FAILED,
			       "%s has excludes, and what they leave out is in no snapshot: what "
			       "--delete removes could not be brought back; leave --delete out, or "
			       "add --no-safety to delete it all the same",
			       source->path);
	return EXIT_CODE_DONE;
}

static void add_source(struct safety *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		assert(s->sources[i].path);
		if (strcmp(s->sources[i].path, path) == 0)
			return;
	}
	s->sources[s->n++] = (struct capture_source){ .path = path };
}

/* Every source of a record that a job touches. EXIT_CODE_DONE or an exit code. */
static int add_touched(struct safety *s, const struct record *record, const char *path,
		       bool delete_extra)
{
	for (size_t i = 0; i < record->n_sources; i++) {
		const struct record_source *source = &record->sources[i];

		if ((source->flags & SOURCE_STREAM) || (!source_path_within(path, source->path) &&
							!source_path_within(source->path, path)))
			continue;
		if (delete_extra && check_excludes(source) != EXIT_CODE_DONE)
			return EXIT_CODE_FAILED;
		add_source(s, source->path);
	}
	return EXIT_CODE_DONE;
}

/* As they are protected now; what no longer is, as it was then. */
static int gather_sources(struct safety *s, const struct in_place *p, bool delete_extra)
{
	int r = EXIT_CODE_DONE;

	s->sources = calloc(s->latest.n_sources + s->old.n_sources + 1, sizeof(*s->sources));
	if (!s->sources)
		return failure_errno(-ENOMEM, "restore");
	for (size_t i = 0; i < p->n && r == EXIT_CODE_DONE; i++) {
		const char *path = or_root(p->jobs[i].path);

		r = add_touched(s, &s->latest, path, delete_extra);
		if (r == EXIT_CODE_DONE && !source_of(&s->latest, path))
			r = add_touched(s, &s->old, path, delete_extra);
	}
	return r;
}

static void say_problem(void *context, const char *path, const char *what, int error)
{
	(void)context;
	if (error)
		failure_note("%s: %s: %s", path, what, failure_reason(error));
	else
		failure_note("%s: %s", path, what);
}

/* Is anything there that restoring could overwrite? */
static bool anything_there(const struct safety *s)
{
	struct stat st;

	for (size_t i = 0; i < s->n; i++)
		if (lstat(s->sources[i].path, &st) == 0)
			return true;
	return false;
}

/* Another file system where a source was is neither in the snapshot nor the place to restore to. */
static int check_presence(struct session *session, const struct safety *s, uint64_t seq)
{
	CLEANUP(record_done) struct record taken = { 0 };
	struct stat st;
	int r = timeline_read(session->timeline, seq, &taken);

	if (r < 0)
		return failure_errno(r, "the safety snapshot cannot be read");
	for (size_t i = 0; i < s->n; i++) {
		const struct record_source *source = source_of(&taken, s->sources[i].path);

		if (source && source->state == SOURCE_ABSENT && lstat(source->path, &st) == 0)
			return failure(
				EXIT_CODE_FAILED,
				"%s is not the file system that was protected (a disk that is "
				"not mounted?); nothing was restored; --no-safety restores "
				"there all the same",
				source->path);
	}
	return EXIT_CODE_DONE;
}

static int capture(struct session *session, const struct safety *s, struct snapshot_info *ret_info)
{
	static const char *const tags[] = { REASON };
	struct capture_result result = { 0 };
	struct capture_options options = { .sources = s->sources,
					   .n_sources = s->n,
					   .tags = tags,
					   .n_tags = 1,
					   .reason = REASON,
					   .cancel = &cmd_cancelled,
					   .problem = say_problem };
	int r = capture_run(session->timeline, &options, &result);

	if (r == -ENOENT && !anything_there(s))
		return EXIT_CODE_DONE; /* nothing to lose */
	if (r == -ECANCELED)
		return failure(EXIT_CODE_INTERRUPTED, "interrupted; nothing was restored");
	if (r < 0)
		return failure_errno(r,
				     "no safety snapshot could be taken, so nothing was restored "
				     "(--no-safety does without)");
	if (result.errors)
		return failure(EXIT_CODE_FAILED,
			       "the safety snapshot @%s lacks %" PRIu64
			       " %s (named above), so nothing was restored; --no-safety does "
			       "without",
			       result.snapshot.name, result.errors,
			       output_plural(result.errors, "object", "objects"));
	r = result.n_absent ? check_presence(session, s, result.snapshot.seq) : EXIT_CODE_DONE;
	if (r == EXIT_CODE_DONE)
		*ret_info = result.snapshot;
	return r;
}

int in_place_prepare(struct session *s, const struct place *place,
		     const struct in_place_options *options, struct in_place *ret_in_place)
{
	CLEANUP(safety_done) struct safety safety = { 0 };
	struct snapshot_info latest;
	int r = timeline_read(s->timeline, place->snapshot.seq, &safety.old);

	if (r == 0)
		r = find_jobs(&safety.old, or_root(place->path), ret_in_place);
	if (r == 0)
		r = timeline_latest(s->timeline, &latest);
	if (r == 0)
		r = timeline_read(s->timeline, latest.seq, &safety.latest);
	if (r < 0)
		return failure_errno(r, "restore");
	if (ret_in_place->n == 0)
		return failure(EXIT_CODE_FAILED, "%s is in nothing that @%s protects; use --to DIR",
			       or_root(place->path), place->snapshot.name);
	for (size_t i = 0; i < ret_in_place->n; i++) {
		r = check_target(&ret_in_place->jobs[i]);
		if (r != EXIT_CODE_DONE)
			return r;
	}
	if (options->no_safety)
		return EXIT_CODE_DONE;
	r = gather_sources(&safety, ret_in_place, options->delete_extra);
	return r != EXIT_CODE_DONE || options->dry_run ? r
						       : capture(s, &safety, &ret_in_place->safety);
}
