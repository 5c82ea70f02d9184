/* SPDX-License-Identifier: MIT */
#include "tools/daemon_note.h"

#include "store/base/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOTE "local/daemon"
#define NOTE_BYTES (PATH_MAX + 32)
#define LOCK_TRIES 50
#define LOCK_PAUSE_NS 10000000

/* Who reads the note holds its lock for an instant: that is no other daemon. */
static int take_lock(struct io *io, int fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, false);

	for (int i = 1; r == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, false);
	}
	return r == -EWOULDBLOCK ? -EBUSY : r;
}

int daemon_note_write(struct io *io, const char *mountpoint)
{
	char text[NOTE_BYTES];
	int fd, n, r;

	n = snprintf(text, sizeof(text), "%ld\n%s\n", (long)getpid(), mountpoint ? mountpoint : "");
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	fd = io_open(io, NOTE, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (fd < 0)
		return log_errno(fd, "%s/" NOTE ": cannot open it", io_real_path(io));
	r = take_lock(io, fd);
	if (r == 0) {
		/* With its zero byte. Nothing relies on it after a crash: no fsync. */
		r = io_pwrite(io, fd, text, (size_t)n + 1, 0, IO_OBJECT_LOCAL);
		if (r < 0)
			(void)log_errno(r, "%s/" NOTE ": cannot write it", io_real_path(io));
	}
	if (r < 0) {
		io_close(io, fd);
		return r;
	}
	return fd;
}

void daemon_note_end(struct io *io, int fd)
{
	io_close(io, fd);
}

/* "PID\nMOUNTPOINT\n" */
static pid_t parse(const char *text, char **ret_mountpoint)
{
	const char *end = strchr(text, '\n');
	const char *last = strrchr(text, '\n');
	char *rest;
	long pid;

	errno = 0;
	pid = strtol(text, &rest, 10);
	if (errno || !end || last == end || rest != end || pid <= 0 || pid > INT_MAX)
		return -EUCLEAN;
	if (ret_mountpoint) {
		*ret_mountpoint = strndup(end + 1, (size_t)(last - end) - 1);
		if (!*ret_mountpoint)
			return -ENOMEM;
	}
	return (pid_t)pid;
}

static pid_t read_open(struct io *io, int fd, char **ret_mountpoint)
{
	char text[NOTE_BYTES + 1];
	int64_t n;
	int r = io_lock(io, fd, IO_LOCK_SHARED, false);

	if (r == 0)
		return -ENOENT; /* nobody holds it: whoever wrote it is gone */
	if (r != -EWOULDBLOCK)
		return r;
	n = io_pread(io, fd, text, NOTE_BYTES, 0);
	if (n < 0)
		return (pid_t)n;
	text[n] = '\0';
	return parse(text, ret_mountpoint);
}

pid_t daemon_note_read(struct io *io, char **ret_mountpoint)
{
	int fd = io_open(io, NOTE, IO_OPEN_READ, IO_OBJECT_LOCAL);
	pid_t pid;

	if (fd < 0)
		return fd;
	pid = read_open(io, fd, ret_mountpoint);
	io_close(io, fd);
	return pid;
}

int daemon_note_signal(struct io *io, int signal_number)
{
	pid_t pid = daemon_note_read(io, NULL);

	if (pid < 0)
		return pid;
	return kill(pid, signal_number) < 0 ? -errno : 0;
}
