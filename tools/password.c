/* SPDX-License-Identifier: MIT */
#include "tools/password.h"

#include "store/base/log.h"
#include "store/crypto.h"
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

void password_free(char *password)
{
	if (password)
		crypto_secret_free(password);
}

/* Read a line (or all) from a descriptor into guarded memory, without its newline. */
static int read_line(int fd, char **ret_password)
{
	CLEANUP(password_free_ptr) char *text = crypto_secret_new(PASSWORD_BYTES_MAX);
	size_t n = 0;

	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t got;

		if (n == PASSWORD_BYTES_MAX)
			return -EFBIG;
		got = read(fd, text + n, 1);
		if (got < 0 && errno == EINTR && !cmd_cancelled)
			continue;
		if (got < 0)
			return errno == EINTR ? -ECANCELED : -errno;
		if (got == 0 || text[n] == '\n')
			break;
		n++;
	}
	if (n > 0 && text[n - 1] == '\r')
		n--;
	text[n] = '\0';
	if (n == 0)
		return -EINVAL;
	*ret_password = STEAL(text);
	return 0;
}

int password_from_file(const char *path, char **ret_password)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0) {
		r = log_errno(-errno, "password: cannot open %s", path);
		return r == -ENOENT ? -EIO : r; /* it was given, but cannot be had */
	}
	r = read_line(fd, ret_password);
	return r < 0 ? log_errno(r, "password: cannot read one from %s", path) : 0;
}

static int from_command(const char *command, char **ret_password)
{
	FILE *pipe = popen(command, "re");
	int r, status;

	if (!pipe)
		return log_errno(-errno, "password: cannot run YORE_PASSWORD_COMMAND");
	r = read_line(fileno(pipe), ret_password);
	status = pclose(pipe);
	if (r == 0 && status == 0)
		return 0;
	if (r == 0) {
		password_free(STEAL(*ret_password));
		r = -EIO;
	}
	log_error("password: YORE_PASSWORD_COMMAND gave no password (exit status %d)",
		  status < 0 ? -1 : (status >> 8) & 0xff);
	return r;
}

static int from_text(const char *text, char **ret_password)
{
	size_t n = strlen(text);
	char *copy;

	if (n == 0)
		return -EINVAL;
	if (n >= PASSWORD_BYTES_MAX)
		return -EFBIG;
	copy = crypto_secret_new(n + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, n + 1);
	*ret_password = copy;
	return 0;
}

/* systemd: LoadCredential=yore-password:... */
static int from_credentials(char **ret_password)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	CLEANUP(free_ptr) char *path = NULL;

	if (!folder || asprintf(&path, "%s/yore-password", folder) < 0)
		return -ENOENT;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	return password_from_file(path, ret_password);
}

int password_given(char **ret_password)
{
	const char *text = getenv("YORE_PASSWORD");
	const char *file = getenv("YORE_PASSWORD_FILE");
	const char *command = getenv("YORE_PASSWORD_COMMAND");
	int r = from_credentials(ret_password);

	if (r != -ENOENT)
		return r;
	if (text)
		return from_text(text, ret_password);
	if (file && file[0])
		return password_from_file(file, ret_password);
	if (command && command[0])
		return from_command(command, ret_password);
	return -ENOENT;
}

static int ask_once(int tty, const char *prompt, char **ret_password)
{
	struct termios before, silent;
	int r;

	if (tcgetattr(tty, &before) < 0)
		return -ENXIO;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(tty, TCSAFLUSH, &silent);
	(void)dprintf(tty, "%s: ", prompt);
	r = read_line(tty, ret_password);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	(void)dprintf(tty, "\n");
	return r;
}

int password_ask(const char *prompt, const char *again, char **ret_password)
{
	CLEANUP(close_fd_ptr) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	CLEANUP(password_free_ptr) char *first = NULL;
	CLEANUP(password_free_ptr) char *second = NULL;
	int r;

	if (tty < 0)
		return -ENXIO;
	r = ask_once(tty, prompt, &first);
	if (r < 0 || !first)
		return r;
	if (again) {
		r = ask_once(tty, again, &second);
		if (r < 0 || !second)
			return r;
		if (strcmp(first, second) != 0)
			return -EINVAL;
	}
	*ret_password = STEAL(first);
	return 0;
}
