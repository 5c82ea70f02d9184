/* SPDX-License-Identifier: MIT */
#include "tools/config.h"

#include "store/base/cleanup.h"
#include "tools/config_internal.h"
#include "tools/config_text.h"
#include "tools/failure.h"
#include "tools/usual.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DROP_INS "conf.d"
#define PROTECT_FILE "50-protect.conf"
#define FILES_MAX 1000

static void source_done(struct config_source *s)
{
	free(s->name);
	free(s->path);
	free(s->canonical);
	free(s->excludes);
	free(s->before);
	free(s->after);
	free(s->command);
	free(s->file);
}

static void entry_done(struct config_entry *e)
{
	free(e->section);
	free(e->name);
	free(e->value);
	free(e->from);
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_sources; i++)
		source_done(&c->sources[i]);
	for (size_t i = 0; i < c->n_entries; i++)
		entry_done(&c->entries[i]);
	for (size_t i = 0; i < c->n_files; i++)
		free(c->files[i]);
	free(c->sources);
	free(c->entries);
	free(c->files);
	free(c->file);
	free(c->drop_ins);
	free(c->protect);
	free(c->repository);
	free(c->keep);
	free(c->mountpoint);
	free(c->on_alert);
	*c = (struct config){ 0 };
}

const struct config_source *config_source_at(const struct config *c, const char *canonical)
{
	for (size_t i = 0; i < c->n_sources; i++)
		if (strcmp(c->sources[i].canonical, canonical) == 0)
			return &c->sources[i];
	return NULL;
}

char *config_entry_from(const struct config_entry *e)
{
	char *text = NULL;

	if (e->origin == CONFIG_DEFAULT)
		return strdup("default");
	if (e->origin != CONFIG_FILE)
		return strdup(e->from);
	return asprintf(&text, "%s:%u", e->from, e->line) < 0 ? NULL : text;
}

/* ---- files ---- */

/* Whose words are these? They may hold commands. */
static bool trusted(struct config_loader *l, const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		config_loader_problem(l, path, 0, "it is not a regular file");
	else if (st->st_uid != 0 && st->st_uid != geteuid())
		config_loader_problem(l, path, 0,
				      "it belongs to another user, who could have commands run; "
				      "give it to root or to yourself with chown");
	else if (st->st_mode & S_IWOTH)
		config_loader_problem(l, path, 0,
				      "everybody may write to it; 'chmod o-w %s' ends that", path);
	else if ((uint64_t)st->st_size > CONFIG_BYTES_TEXT_MAX)
		config_loader_problem(l, path, 0, "it is larger than 1 MiB");
	else
		return true;
	return false;
}

/* Up to the size that was seen. Returns the length. */
static ssize_t read_all(int fd, char *to, size_t room)
{
	size_t n = 0;

	while (n < room) {
		ssize_t got = read(fd, to + n, room - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static int remember_file(struct config *c, const char *path)
{
	char **grown = reallocarray(c->files, c->n_files + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	c->files = grown;
	c->files[c->n_files] = strdup(path);
	return c->files[c->n_files++] ? 0 : -ENOMEM;
}

/* 0: read, or what is wrong has been told; -ENOENT; -ENOMEM. */
static int take_file(struct config_loader *l, const char *path)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP(free_ptr) char *text = NULL;
	struct stat st;
	ssize_t n;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0) {
		config_loader_problem(l, path, 0, "cannot read it: %s", failure_reason(errno));
		return 0;
	}
	if (!trusted(l, path, &st))
		return 0;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read_all(fd, text, (size_t)st.st_size);
	if (n < 0) {
		config_loader_problem(l, path, 0, "cannot read it: %s", failure_reason((int)n));
		return 0;
	}
	r = remember_file(l->c, path);
	return r < 0 ? r : config_loader_text(l, path, text, (size_t)n);
}

static int is_drop_in(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	/* Not ".name.conf", which editors leave behind. */
	return n > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

/* In the order of bytes: alphasort() would follow the language. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int take_drop_ins(struct config_loader *l)
{
	struct dirent **names = NULL;
	int n = scandir(l->c->drop_ins, &names, is_drop_in, by_name);
	int r = 0;

	if (n < 0) {
		if (errno == ENOMEM)
			return -ENOMEM;
		if (errno != ENOENT && errno != ENOTDIR)
			config_loader_problem(l, l->c->drop_ins, 0, "cannot read it: %s",
					      failure_reason(errno));
		return 0;
	}
	if (n > FILES_MAX)
		config_loader_problem(l, l->c->drop_ins, 0, "it holds more than %d files",
				      FILES_MAX);
	for (int i = 0; i < n; i++) {
		CLEANUP(free_ptr) char *path = usual_below(l->c->drop_ins, names[i]->d_name);

		free(names[i]);
		if (r == 0 && i < FILES_MAX)
			r = path ? take_file(l, path) : -ENOMEM;
		if (r == -ENOENT) /* gone in between, or a link to nowhere */
			r = 0;
	}
	free(names);
	return r;
}

static int set_places(struct config *c, const char *named)
{
	const char *slash;

	c->file = named ? usual_absolute(named) : usual_config();
	if (!c->file)
		return usual_home() || named ? -ENOMEM : -ENOENT;
	slash = strrchr(c->file, '/');
	assert(slash);
	if (asprintf(&c->drop_ins, "%.*s/" DROP_INS, (int)(slash - c->file), c->file) < 0) {
		c->drop_ins = NULL;
		return -ENOMEM;
	}
	c->protect = usual_below(c->drop_ins, PROTECT_FILE);
	return c->protect ? 0 : -ENOMEM;
}

static int take_files(struct config_loader *l, const char *named)
{
	int r = take_file(l, l->c->file);

	if (r == -ENOENT && named) {
		config_loader_problem(l, l->c->file, 0,
				      "there is no such file; look at -c and YORE_CONFIG");
		return 0;
	}
	return r == 0 || r == -ENOENT ? take_drop_ins(l) : r;
}

/* ---- option and environment ---- */

/* A local path out of what the user gave; an address of another kind stays what it is. */
static int set_repository(struct config_loader *l, const struct cmd_globals *globals)
{
	CLEANUP(free_ptr) char *path = NULL;
	const char *given = globals->repository;
	bool by_option = given && given[0];

	if (!by_option)
		given = getenv("YORE_REPOSITORY");
	if (!given || !given[0])
		return 0;
	if (strncmp(given, "file://", 7) == 0)
		given += 7;
	path = usual_absolute(given);
	if (!path)
		return -ENOMEM;
	return config_loader_set(l, "repository", "path", path,
				 by_option ? CONFIG_OPTION : CONFIG_ENVIRONMENT,
				 by_option ? "-r" : "YORE_REPOSITORY");
}

static int gather(struct config_loader *l, const struct cmd_globals *globals)
{
	const char *named = globals->config && globals->config[0] ? globals->config : NULL;
	int r = set_places(l->c, named);

	if (r == 0)
		r = config_loader_begin(l, l->c);
	if (r == 0)
		r = take_files(l, named);
	if (r == 0)
		r = set_repository(l, globals);
	return r == 0 ? config_loader_end(l) : r;
}

int config_load(const struct cmd_globals *globals, struct config *ret_config)
{
	CLEANUP(config_done) struct config c = { 0 };
	struct config_loader l = { .c = &c };
	int r = gather(&l, globals);

	*ret_config = (struct config){ 0 };
	if (r == -ENOENT)
		return failure(EXIT_CODE_FAILED,
			       "no home folder: set HOME, or name the files with -c and -r");
	if (r < 0)
		return failure_errno(r, "cannot read the configuration");
	if (l.n_problems > CONFIG_PROBLEMS_MAX)
		failure_note("and %zu more problems", l.n_problems - CONFIG_PROBLEMS_MAX);
	if (l.n_problems)
		return EXIT_CODE_FAILED;
	*ret_config = c;
	c = (struct config){ 0 };
	return EXIT_CODE_DONE;
}
