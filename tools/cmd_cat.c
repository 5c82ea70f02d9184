/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/describe.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES MIB(1)
#define CACHE_BYTES MIB(16)

static int write_all(const uint8_t *data, size_t n)
{
	while (n > 0) {
		ssize_t written = write(STDOUT_FILENO, data, n);

		if (written < 0 && errno == EINTR && !cmd_cancelled)
			continue;
		if (written < 0)
			return errno == EINTR ? -ECANCELED : -errno;
		data += written;
		n -= (size_t)written;
	}
	return 0;
}

static int print_content(struct session *s, const struct tree_entry *entry, const char *path)
{
	CLEANUP(content_reader_free_ptr) struct content_reader *reader = NULL;
	CLEANUP(free_ptr) uint8_t *buffer = malloc(READ_BYTES);
	uint64_t offset = 0;
	int64_t n = buffer ? content_reader_new(s->cache, &reader) : -ENOMEM;
	int r;

	if (n == 0)
		n = content_reader_set(reader, &entry->content);
	while (n >= 0) {
		if (cmd_cancelled)
			return failure(EXIT_CODE_INTERRUPTED, "interrupted");
		n = content_read(reader, offset, buffer, READ_BYTES);
		if (n <= 0)
			break;
		r = write_all(buffer, (size_t)n);
		if (r < 0)
			return failure_errno(r, "cannot write the output");
		offset += (uint64_t)n;
	}
	return n < 0 ? failure_errno((int)n, "cannot read %s", path) : EXIT_CODE_DONE;
}

static int print_place(struct session *s, const char *text)
{
	CLEANUP(tree_reader_free_ptr) struct tree_reader *reader = NULL;
	CLEANUP(place_done) struct place place = { 0 };
	CLEANUP(record_done) struct record record = { 0 };
	CLEANUP(entry_decoder_done) struct entry_decoder decoder = { 0 };
	struct tree_entry entry;
	int r = place_find(s, text, &place);

	if (r != EXIT_CODE_DONE)
		return r;
	r = session_cache(s, CACHE_BYTES, 1);
	if (r == 0)
		r = tree_reader_new(s->cache, &reader);
	if (r < 0)
		return failure_errno(r, "cat");
	r = place_entry(s, &place, reader, &record, &decoder, &entry);
	if (r != EXIT_CODE_DONE)
		return r;
	if (S_ISLNK(entry.mode))
		return failure(EXIT_CODE_FAILED, "%s is a symbolic link to %.*s; name that",
			       place.path, (int)entry.link_n, entry.link);
	if (!S_ISREG(entry.mode))
		return failure(EXIT_CODE_FAILED, "%s is no file but a %s; 'yore ls' lists it",
			       place.path[0] ? place.path : "/", describe_type(entry.mode));
	return print_content(s, &entry, place.path);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(session_close) struct session s = { 0 };
	struct options o;
	int r;

	options_init(&o, globals, &cmd_cat, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind >= argc)
		return options_wrong(&o, "name a file as MOMENT:PATH");
	r = session_open(&s, &o.globals, SESSION_TIMELINE, 0);
	for (int i = optind; i < argc && r == EXIT_CODE_DONE; i++)
		r = print_place(&s, argv[i]);
	return r;
}

const struct cmd cmd_cat = {
	.name = "cat",
	.aliases = "",
	.summary = "print a file as it was",
	.help = "usage: yore cat MOMENT:PATH...\n"
		"\n"
		"Writes the bytes of each file to stdout. /PATH alone means latest:/PATH.\n"
		"\n"
		"examples:\n"
		"  yore cat yesterday:/etc/fstab\n"
		"  yore cat 2024-05-01T14-30:/home/me/photo.jpg > photo.jpg\n",
	.run = run,
};
