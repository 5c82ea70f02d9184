/* SPDX-License-Identifier: MIT */
#include "tools/place.h"

#include "snapshots/moment.h"
#include "store/base/log.h"
#include "tools/failure.h"

#include <errno.h>
#include <string.h>

void place_done(struct place *p)
{
	free(p->path);
	p->path = NULL;
	if (p->io)
		io_close(STEAL(p->io), p->hold);
}

int place_hold(struct session *s, struct place *p)
{
	int fd = timeline_hold(s->timeline, p->snapshot.seq);

	if (fd >= 0) {
		p->io = s->io;
		p->hold = fd;
		return EXIT_CODE_DONE;
	}
	if (fd == -ENOENT)
		return failure(EXIT_CODE_FAILED, "the snapshot @%s has just been forgotten",
			       p->snapshot.name);
	/* What cannot be locked, in a place that is read-only, cannot be taken away either. */
	log_debug("@%s cannot be held: %s", p->snapshot.name, strerror(-fd));
	return EXIT_CODE_DONE;
}

int place_plain_path(const char *path, char **ret_path)
{
	CLEANUP(free_ptr) char *plain = malloc(strlen(path) + 2);
	size_t n = 0;

	if (!plain)
		return -ENOMEM;
	while (*path) {
		size_t length;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (length == 2 && path[0] == '.' && path[1] == '.')
			return -EINVAL;
		if (length > 0 && !(length == 1 && path[0] == '.')) {
			plain[n++] = '/';
			memcpy(plain + n, path, length);
			n += length;
		}
		path += length;
	}
	plain[n] = '\0';
	*ret_path = STEAL(plain);
	return 0;
}

int place_moment(struct session *s, const char *moment, struct snapshot_info *ret_info)
{
	uint64_t n = 0;
	int r = moment_resolve(s->timeline, moment, clock_now_ns(), ret_info);

	switch (-r) {
	case 0:
		return EXIT_CODE_DONE;
	case ENOENT:
		if (timeline_count(s->timeline, &n) == 0 && n == 0)
			return failure(EXIT_CODE_FAILED,
				       "there are no snapshots yet; take one with 'yore snapshot "
				       "PATH'");
		return failure(EXIT_CODE_FAILED,
			       "no snapshot for the moment '%s'; 'yore snapshots' lists them",
			       moment);
	case EINVAL:
		return failure(EXIT_CODE_FAILED,
			       "'%s' is no moment; say latest, yesterday, 2024-05-01, "
			       "2024-05-01T14-30, 2h-ago, a tag or an id ('yore snapshots' lists "
			       "them)",
			       moment);
	case ENOTUNIQ:
		return failure(
			EXIT_CODE_FAILED,
			"several snapshots have an id that begins with '%s'; give more of it",
			moment);
	default:
		return failure_errno(r, "cannot look up the moment '%s'", moment);
	}
}

int place_find(struct session *s, const char *text, struct place *ret_place)
{
	CLEANUP(free_ptr) char *copy = strdup(text);
	const char *moment = "latest", *path = NULL;
	int r;

	*ret_place = (struct place){ 0 };
	if (!copy)
		return failure_errno(-ENOMEM, "'%s'", text);
	if (text[0] == '/')
		path = copy;
	else
		moment_split(copy, &moment, &path);

	r = place_moment(s, moment, &ret_place->snapshot);
	if (r == EXIT_CODE_DONE)
		r = place_hold(s, ret_place);
	if (r != EXIT_CODE_DONE)
		return r;
	r = place_plain_path(path, &ret_place->path);
	if (r == -EINVAL)
		return failure(EXIT_CODE_USAGE, "'%s': '..' is not taken in a path", path);
	return r < 0 ? failure_errno(r, "'%s'", text) : EXIT_CODE_DONE;
}

int place_say_failure(int r, const struct place *p)
{
	if (r == -ENOENT || r == -ENOTDIR)
		return failure(EXIT_CODE_FAILED,
			       "no %s in the snapshot @%s; 'yore find' looks for names in all "
			       "snapshots",
			       p->path, p->snapshot.name);
	return failure_errno(r, "cannot read %s in the snapshot @%s", p->path[0] ? p->path : "/",
			     p->snapshot.name);
}

int place_look(struct session *s, const struct place *p, struct tree_reader *reader,
	       struct record *ret_record, struct entry_decoder *decoder,
	       struct tree_entry *ret_entry)
{
	int r;

	memset(ret_record, 0, sizeof(*ret_record));
	if (p->path[0])
		return tree_reader_walk(reader, &p->snapshot.root_tree, p->path + 1, ret_entry);
	r = timeline_read(s->timeline, p->snapshot.seq, ret_record);
	if (r < 0)
		return r;
	return tree_entry_decode(ret_record->root, ret_record->root_n, decoder, ret_entry);
}

int place_entry(struct session *s, const struct place *p, struct tree_reader *reader,
		struct record *ret_record, struct entry_decoder *decoder,
		struct tree_entry *ret_entry)
{
	int r = place_look(s, p, reader, ret_record, decoder, ret_entry);

	return r < 0 ? place_say_failure(r, p) : EXIT_CODE_DONE;
}
