/* SPDX-License-Identifier: MIT */
#include "snapshots/source_path.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel allows on one path */

void source_path_done(struct source_path *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_links; i++) {
		free(p->links[i].path);
		free(p->links[i].target);
	}
	free(p->links);
	free(p->path);
	*p = (struct source_path){ 0 };
}

int source_path_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	if (n == 1 && folder[0] == '/')
		return 1;
	return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* The text made absolute. */
static char *absolute(const char *text)
{
	CLEANUP(free_ptr) char *cwd = NULL;
	char *all = NULL;

	if (text[0] == '/')
		return strdup(text);
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&all, "%s/%s", cwd, text) < 0)
		return NULL;
	return all;
}

/* `target` as seen from the folder of the link at `link`: no leading slash, as many ".." as needed.
 */
static char *relative_target(const char *link, const char *target)
{
	char *all = NULL;
	char *at;
	size_t depth = 0;

	assert(target);
	if (target[0] != '/')
		return strdup(target);
	for (const char *c = link + 1; *c; c++)
		depth += *c == '/';
	all = malloc(depth * 3 + strlen(target) + 2);
	if (!all)
		return NULL;
	at = all;
	for (size_t i = 0; i < depth; i++)
		at = stpcpy(at, "../");
	while (*target == '/')
		target++;
	(void)stpcpy(at, *target ? target : ".");
	return all;
}

static int add_link(struct source_path *p, const char *path, const char *target)
{
	struct source_link *links = reallocarray(p->links, p->n_links + 1, sizeof(*links));
	struct source_link *l;

	if (!links)
		return -ENOMEM;
	p->links = links;
	l = &links[p->n_links];
	l->path = strdup(path);
	l->target = l->path ? relative_target(path, target) : NULL;
	if (!l->target) {
		free(l->path);
		return -ENOMEM;
	}
	p->n_links++;
	return 0;
}

/* Read a symlink whole. 0 and the target, -EINVAL when it is none, another -errno. */
static int read_link(const char *path, char **ret_target)
{
	char buffer[PATH_MAX];
	ssize_t n = readlink(path, buffer, sizeof(buffer) - 1);

	if (n < 0)
		return -errno;
	buffer[n] = '\0';
	*ret_target = strdup(buffer);
	return *ret_target ? 0 : -ENOMEM;
}

/* Drop the last component of a canonical path. */
static void pop(char *path, size_t *n)
{
	while (*n > 0 && path[*n - 1] != '/')
		(*n)--;
	if (*n > 0)
		(*n)--;
	path[*n] = '\0';
}

/* The link at done[0..n): remember it and put its target before the rest. */
static int follow(struct source_path *p, char *done, size_t *n, const char *target, char **rest)
{
	CLEANUP(free_ptr) char *before = *rest;
	int r;

	assert(target);
	*rest = NULL;
	r = p->n_links == LINKS_MAX ? -ELOOP : add_link(p, done, target);
	if (r < 0)
		return r;
	if (target[0] == '/') {
		*n = 0;
		done[0] = '\0';
	} else {
		pop(done, n);
	}
	return asprintf(rest, "%s/%s", target, before) < 0 ? -ENOMEM : 0;
}

/* Take the first component off *rest, add it to done[0..n), follow it if it is a link. */
static int step(struct source_path *p, char **done, size_t *n, char **rest)
{
	CLEANUP(free_ptr) char *target = NULL;
	size_t skip = strspn(*rest, "/");
	size_t len = strcspn(*rest + skip, "/");
	size_t was = *n;
	char *grown;
	int r;

	grown = realloc(*done, *n + len + 2);
	if (!grown)
		return -ENOMEM;
	*done = grown;
	memcpy(grown + *n, "/", 1);
	memcpy(grown + *n + 1, *rest + skip, len);
	*n += len + 1;
	grown[*n] = '\0';
	memmove(*rest, *rest + skip + len, strlen(*rest + skip + len) + 1);

	if (len == 0 || strcmp(grown + was, "/.") == 0) {
		*n = was;
		grown[was] = '\0';
		return 0;
	}
	if (strcmp(grown + was, "/..") == 0) {
		*n = was;
		grown[was] = '\0';
		pop(grown, n);
		return 0;
	}
	r = read_link(grown, &target);
	if (r == 0)
		return follow(p, grown, n, target, rest);
	return r == -ENOMEM || r == -ELOOP ? r : 0;
}

int source_path_resolve(const char *text, struct source_path *ret_path)
{
	CLEANUP(free_ptr) char *rest = absolute(text);
	CLEANUP(free_ptr) char *done = calloc(1, 2);
	struct source_path p = { 0 };
	size_t n = 0;
	int r = rest && done ? 0 : -ENOMEM;

	assert(ret_path);
	while (r == 0 && rest[strspn(rest, "/")] != '\0')
		r = step(&p, &done, &n, &rest);
	if (r < 0) {
		source_path_done(&p);
		return r;
	}
	if (n == 0)
		(void)stpcpy(done, "/");
	p.path = STEAL(done);
	*ret_path = p;
	return 0;
}
