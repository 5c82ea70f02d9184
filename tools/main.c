/* SPDX-License-Identifier: MIT */
/*
 * The yore program: finds the command and runs it.
 */
#include "store/base/log.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/progress.h"
#include "tools/spelling.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void cancel(int signal_number)
{
	static const char text[] = "\nyore: stopping; once more to stop at once\n";

	if (cmd_cancelled) {
		/* The store needs no orderly end. */
		(void)signal(signal_number, SIG_DFL);
		(void)raise(signal_number);
		return;
	}
	cmd_cancelled = true;
	if (signal_number == SIGINT && isatty(STDERR_FILENO))
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

/* Without SA_RESTART, so that a prompt ends. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = cancel };

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static void print_log(enum log_level level, const char *line)
{
	progress_note("yore: %s%s", level == LOG_LEVEL_WARNING ? "warning: " : "", line);
}

/* A closed stdout or stderr must not become the next file that is opened. */
static void open_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static int unknown_command(const char *word)
{
	struct spelling near = { 0 };

	for (size_t i = 0; i < cmd_table_n; i++)
		spelling_offer(&near, word, cmd_table[i]->name);
	if (near.word)
		return failure(EXIT_CODE_USAGE, "unknown command '%s'; did you mean '%s'?", word,
			       near.word);
	return failure(EXIT_CODE_USAGE, "unknown command '%s'; 'yore --help' lists them", word);
}

/* `yore SOURCE MOUNTPOINT -o ...`, as mount(8) calls it for fuse.yore. */
static bool is_fstab_form(int argc, char **argv)
{
	return argc >= 2 && (argv[1][0] == '/' || strstr(argv[1], "://"));
}

static int run(int argc, char **argv)
{
	struct cmd_globals globals = { .config = getenv("YORE_CONFIG") };
	const struct cmd *cmd;
	struct options o;

	if (is_fstab_form(argc, argv))
		return cmd_mount_fstab(&globals, argc, argv);
	options_init(&o, &globals, NULL, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind >= argc) {
		(void)cmd_help.run(&o.globals, 0, NULL);
		return EXIT_CODE_USAGE;
	}
	cmd = cmd_by_name(argv[optind]);
	if (!cmd)
		return unknown_command(argv[optind]);
	return cmd->run(&o.globals, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	int code;

	/* An arena a thread would keep what each once freed: 40 MiB more in a first snapshot. */
	(void)mallopt(M_ARENA_MAX, 2);
	open_standard_streams();
	(void)setlocale(LC_CTYPE, "");
	tzset();
	log_set_sink(print_log);
	catch_signals();
	code = run(argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		int error = errno;

		if (code == EXIT_CODE_DONE)
			code = failure(EXIT_CODE_FAILED, "cannot write the output: %s",
				       failure_reason(error));
	}
	return code;
}
