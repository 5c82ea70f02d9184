/* SPDX-License-Identifier: MIT */
#include "tools/sources.h"

#include "tools/daemon_note.h"
#include "tools/failure.h"
#include "tools/usual.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

bool sources_have_repository(const struct config *c)
{
	CLEANUP(free_ptr) char *path = usual_below(c->repository, "config");

	return path && access(path, F_OK) == 0;
}

int sources_newest(struct session *s, struct record *ret_record)
{
	struct snapshot_info latest;
	int r = timeline_latest(s->timeline, &latest);

	memset(ret_record, 0, sizeof(*ret_record));
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : timeline_read(s->timeline, latest.seq, ret_record);
}

const struct record_source *sources_find(const struct record *r, const char *path)
{
	for (size_t i = 0; i < r->n_sources; i++)
		if (strcmp(r->sources[i].path, path) == 0)
			return &r->sources[i];
	return NULL;
}

void sources_tell_daemon(const struct config *c, bool quiet)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int r = io_posix_open(c->repository, &io);

	if (r == 0)
		r = daemon_note_signal(io, SIGHUP);
	if (quiet || r == 0)
		return;
	if (r == -ENOENT && sources_have_repository(c))
		failure_note("no daemon protects it now; 'yore mount' starts one (after 'yore "
			     "umount' where it is mounted already)");
	else if (r == -ENOENT)
		failure_note("there is no repository at %s yet; 'yore init' makes it",
			     c->repository);
	else
		failure_note("the daemon could not be told (%s); have it read the configuration "
			     "again with SIGHUP",
			     failure_reason(r));
}
