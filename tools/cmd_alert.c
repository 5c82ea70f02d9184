/* SPDX-License-Identifier: MIT */
#include "tools/alert.h"
#include "tools/cmd_table.h"
#include "tools/failure.h"
#include "tools/options.h"
#include "tools/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int print_json(const char *command, int r, const char *end, const char *said)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "ok", json_boolean(r == 0));
	if (o) {
		(void)output_json_name(o, "command", command, strlen(command));
		(void)output_json_name(o, "end", end, strlen(end));
		(void)output_json_name(o, "said", said, strlen(said));
	}
	if (output_json(o) < 0)
		return failure_errno(-ENOMEM, "alert test");
	return r == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

static int report(const struct cmd_globals *globals, const struct config *config)
{
	char end[64], said[512];
	int r = alert_test(config->on_alert, config->repository, end, said);

	if (!*end)
		return failure_errno(r, "alert test: the on-alert command could not be run");
	if (globals->json)
		return print_json(config->on_alert, r, end, said);
	if (r == -ETIMEDOUT)
		return failure(EXIT_CODE_FAILED,
			       "alert test: the on-alert command took longer than %d s and was "
			       "ended: %s",
			       ALERT_LIMIT_MS / 1000, config->on_alert);
	if (r < 0)
		return failure(EXIT_CODE_FAILED,
			       "alert test: the on-alert command failed: %s (%s)%s%s",
			       config->on_alert, end, *said ? ": " : "", said);
	if (globals->verbosity >= 0) {
		(void)fputs("the test alert was taken by: ", stdout);
		output_name(stdout, config->on_alert, strlen(config->on_alert));
		(void)putchar('\n');
		if (*said)
			(void)fputs("it said: ", stdout);
		output_name(stdout, said, strlen(said));
		if (*said)
			(void)putchar('\n');
	}
	return EXIT_CODE_DONE;
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	CLEANUP(config_done) struct config config = { 0 };
	struct options o;
	int r;

	options_init(&o, globals, &cmd_alert, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind == argc)
		return options_wrong(&o, "wants the word 'test'");
	if (strcmp(argv[optind], "test") != 0)
		return options_wrong(&o, "unknown word '%s'; there is 'test'", argv[optind]);
	if (optind + 1 < argc)
		return options_wrong(&o, "unexpected word '%s'", argv[optind + 1]);
	r = config_load(&o.globals, &config);
	if (r != EXIT_CODE_DONE)
		return r;
	if (!config.on_alert || !*config.on_alert)
		return failure(EXIT_CODE_FAILED,
			       "no alert command is configured; set 'on-alert = COMMAND' in the "
			       "section [alerts] of %s",
			       config.file);
	return report(&o.globals, &config);
}

const struct cmd cmd_alert = {
	.name = "alert",
	.aliases = "",
	.summary = "try the command that tells of alerts",
	.help = "usage: yore alert test\n"
		"\n"
		"Sends a test event through the on-alert command of the configuration, waits\n"
		"for it, and says how it ended. The command gets one JSON object on its\n"
		"standard input, at most 30 s, and 'test' as the event; real ones are 'begin'\n"
		"and 'end'. See yore.conf(5), [alerts].\n"
		"\n"
		"examples:\n"
		"  yore alert test\n"
		"  yore config show | grep on-alert\n",
	.run = run,
};
