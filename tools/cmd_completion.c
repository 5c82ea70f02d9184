/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"
#include "tools/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define GLOBAL_OPTIONS "--repository --config --host --json --verbose --quiet --help --version"

/* The next "--" of a help text, before its examples: these show other commands, too. */
static const char *next_option(const char *help, const char *at)
{
	const char *end = strstr(help, "\nexamples:");

	at = strstr(at, "--");
	return at && (!end || at < end) ? at : NULL;
}

/* The long options that a help text names, each once. */
static void print_options(const char *help)
{
	const char *at = help;

	while ((at = next_option(help, at))) {
		size_t n = 2;
		bool seen = false;

		while (islower((unsigned char)at[n]) || (at[n] == '-' && n > 2))
			n++;
		for (const char *p = help; n > 2 && p < at && !seen; p++)
			seen = strncmp(p, at, n) == 0 && !islower((unsigned char)p[n]) &&
			       p[n] != '-';
		if (n > 2 && !seen)
			(void)printf(" %.*s", (int)n, at);
		at += n;
	}
}

static void print_names(void)
{
	for (size_t i = 0; i < cmd_table_n; i++)
		(void)printf("%s%s%s%s", i ? " " : "", cmd_table[i]->name,
			     cmd_table[i]->aliases[0] ? " " : "", cmd_table[i]->aliases);
}

/* "snapshot|backup" */
static void print_pattern(const struct cmd *cmd)
{
	(void)printf("%s", cmd->name);
	if (cmd->aliases[0])
		(void)putchar('|');
	for (const char *p = cmd->aliases; *p; p++)
		(void)putchar(*p == ' ' ? '|' : *p);
}

static void print_bash(void)
{
	(void)fputs(
		"# bash completion for yore\n"
		"_yore()\n"
		"{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tlocal i cmd= words\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tcase ${COMP_WORDS[i]} in\n"
		"\t\t-r|-c|--repository|--repo|--config|--host) ((i++)) ;;\n"
		"\t\t-*) ;;\n"
		"\t\t*) cmd=${COMP_WORDS[i]}; break ;;\n"
		"\t\tesac\n"
		"\tdone\n"
		"\tcase $prev in\n"
		"\t-r|--repository|--repo|--to|--target|-c|--config|--exclude-file|--accept|"
		"--password-file)\n"
		"\t\tCOMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
		"\t--method) COMPREPLY=($(compgen -W 'auto btrfs plain' -- \"$cur\")); return ;;\n"
		"\tesac\n"
		"\tcase $cmd in\n"
		"\t'') words='",
		stdout);
	print_names();
	(void)fputs(" " GLOBAL_OPTIONS "' ;;\n", stdout);
	for (size_t i = 0; i < cmd_table_n; i++) {
		(void)fputs("\t", stdout);
		print_pattern(cmd_table[i]);
		(void)fputs(") words='" GLOBAL_OPTIONS, stdout);
		print_options(cmd_table[i]->help);
		(void)fputs("' ;;\n", stdout);
	}
	(void)fputs("\tesac\n"
		    "\tif [[ -z $cmd || $cur == -* ]]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tcase $cmd in\n"
		    "\tls|cat|restore|diff|forget)\n"
		    "\t\tlocal moments='latest today yesterday '\n"
		    "\t\tmoments+=$(yore -q snapshots --names 2>/dev/null </dev/null)\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$moments\" -- \"$cur\")) ;;\n"
		    "\tkey) COMPREPLY=($(compgen -W 'list add remove recovery' -- \"$cur\")) ;;\n"
		    "\tconfig) COMPREPLY=($(compgen -W 'show check' -- \"$cur\")) ;;\n"
		    "\talert) COMPREPLY=($(compgen -W 'test' -- \"$cur\")) ;;\n"
		    "\tcompletion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")) ;;\n"
		    "\thelp) COMPREPLY=($(compgen -W '",
		    stdout);
	print_names();
	(void)fputs("' -- \"$cur\")) ;;\n"
		    "\t*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
		    "\tesac\n"
		    "}\n"
		    "complete -o filenames -F _yore yore\n",
		    stdout);
}

static void print_zsh(void)
{
	(void)fputs("#compdef yore\n"
		    "_yore()\n"
		    "{\n"
		    "\tlocal -a commands\n"
		    "\tlocal i cmd=\n"
		    "\tcommands=(\n",
		    stdout);
	for (size_t i = 0; i < cmd_table_n; i++) {
		(void)printf("\t\t'%s:", cmd_table[i]->name);
		for (const char *p = cmd_table[i]->summary; *p; p++)
			(void)fputs(*p == '\'' ? "'\\''" : (char[]){ *p, '\0' }, stdout);
		(void)fputs("'\n", stdout);
	}
	(void)fputs("\t)\n"
		    "\tfor ((i = 2; i < CURRENT; i++)); do\n"
		    "\t\tcase ${words[i]} in\n"
		    "\t\t-r|-c|--repository|--repo|--config|--host) ((i++)) ;;\n"
		    "\t\t-*) ;;\n"
		    "\t\t*) cmd=${words[i]}; break ;;\n"
		    "\t\tesac\n"
		    "\tdone\n"
		    "\tcase $cmd in\n"
		    "\t'') _describe command commands; compadd -- " GLOBAL_OPTIONS "; return ;;\n",
		    stdout);
	for (size_t i = 0; i < cmd_table_n; i++) {
		(void)fputs("\t", stdout);
		print_pattern(cmd_table[i]);
		(void)fputs(") [[ $PREFIX == -* ]] && compadd -- " GLOBAL_OPTIONS, stdout);
		print_options(cmd_table[i]->help);
		(void)fputs(" ;;\n", stdout);
	}
	(void)fputs(
		"\tesac\n"
		"\tcase $cmd in\n"
		"\tls|cat|restore|diff|forget)\n"
		"\t\tcompadd latest today yesterday "
		"$(yore -q snapshots --names 2>/dev/null </dev/null) ;;\n"
		"\tkey) compadd list add remove recovery ;;\n"
		"\tconfig) compadd show check ;;\n"
		"\talert) compadd test ;;\n"
		"\tcompletion) compadd bash zsh fish ;;\n"
		"\tesac\n"
		"\t[[ $PREFIX == -* ]] || _files\n"
		"}\n"
		"if [[ $funcstack[1] == _yore ]]; then _yore \"$@\"; else compdef _yore yore; fi\n",
		stdout);
}

static void print_fish_options(const struct cmd *cmd)
{
	const char *at = cmd->help;

	/* Fish takes one line an option; naming one twice does no harm. */
	while ((at = next_option(cmd->help, at))) {
		size_t n = 2;

		while (islower((unsigned char)at[n]) || (at[n] == '-' && n > 2))
			n++;
		if (n > 2)
			(void)printf("complete -c yore -n '__fish_seen_subcommand_from %s%s%s' -l "
				     "%.*s\n",
				     cmd->name, cmd->aliases[0] ? " " : "", cmd->aliases,
				     (int)n - 2, at + 2);
		at += n;
	}
}

static void print_fish(void)
{
	(void)puts("# fish completion for yore");
	for (size_t i = 0; i < cmd_table_n; i++) {
		(void)printf("complete -c yore -n __fish_use_subcommand -f -a %s -d \"",
			     cmd_table[i]->name);
		(void)printf("%s\"\n", cmd_table[i]->summary);
	}
	(void)puts(
		"complete -c yore -s r -l repository -r -d 'the repository'\n"
		"complete -c yore -s c -l config -r -d 'configuration file'\n"
		"complete -c yore -l host -x -d 'whose snapshots'\n"
		"complete -c yore -l json -d 'results for programs'\n"
		"complete -c yore -s v -l verbose -d 'say more'\n"
		"complete -c yore -s q -l quiet -d 'errors only'\n"
		"complete -c yore -s h -l help -d 'help'\n"
		"complete -c yore -n '__fish_seen_subcommand_from ls cat restore diff forget' -a "
		"'latest today yesterday (yore -q snapshots --names 2>/dev/null </dev/null)'\n"
		"complete -c yore -n '__fish_seen_subcommand_from key' -f -a "
		"'list add remove recovery'\n"
		"complete -c yore -n '__fish_seen_subcommand_from config' -f -a 'show check'\n"
		"complete -c yore -n '__fish_seen_subcommand_from alert' -f -a test\n"
		"complete -c yore -n '__fish_seen_subcommand_from completion' -f -a "
		"'bash zsh fish'");
	for (size_t i = 0; i < cmd_table_n; i++)
		print_fish_options(cmd_table[i]);
}

static int run(const struct cmd_globals *globals, int argc, char **argv)
{
	struct options o;

	options_init(&o, globals, &cmd_completion, argc, argv);
	if (options_next(&o) == OPTIONS_STOP)
		return o.exit_code;
	if (optind + 1 != argc)
		return options_wrong(&o, "name one shell: bash, zsh or fish");
	if (strcmp(argv[optind], "bash") == 0)
		print_bash();
	else if (strcmp(argv[optind], "zsh") == 0)
		print_zsh();
	else if (strcmp(argv[optind], "fish") == 0)
		print_fish();
	else
		return options_wrong(&o, "no completion for '%s'; there is bash, zsh and fish",
				     argv[optind]);
	return EXIT_CODE_DONE;
}

const struct cmd cmd_completion = {
	.name = "completion",
	.aliases = "",
	.summary = "print completion for bash, zsh or fish",
	.help = "usage: yore completion bash|zsh|fish\n"
		"\n"
		"examples:\n"
		"  source <(yore completion bash)\n"
		"  yore completion fish > ~/.config/fish/completions/yore.fish\n",
	.run = run,
};
