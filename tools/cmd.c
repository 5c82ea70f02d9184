/* SPDX-License-Identifier: MIT */
#include "tools/cmd_table.h"

#include <string.h>

volatile bool cmd_cancelled;

const struct cmd *const cmd_table[] = {
	&cmd_init,       &cmd_protect, &cmd_unprotect, &cmd_sources, &cmd_snapshot, &cmd_snapshots,
	&cmd_ls,         &cmd_cat,     &cmd_find,      &cmd_diff,    &cmd_history,  &cmd_restore,
	&cmd_mount,      &cmd_umount,  &cmd_status,    &cmd_alert,   &cmd_forget,   &cmd_prune,
	&cmd_check,      &cmd_repair,  &cmd_config,    &cmd_key,     &cmd_unlock,   &cmd_help,
	&cmd_completion, &cmd_version,
};
const size_t cmd_table_n = sizeof(cmd_table) / sizeof(cmd_table[0]);

/* Visit each alias of a command. */
static bool has_alias(const struct cmd *cmd, const char *name)
{
	size_t n = strlen(name);
	const char *at = cmd->aliases;

	while (*at) {
		size_t length = strcspn(at, " ");

		if (length == n && memcmp(at, name, n) == 0)
			return true;
		at += length + (at[length] == ' ');
	}
	return false;
}

const struct cmd *cmd_by_name(const char *name)
{
	for (size_t i = 0; i < cmd_table_n; i++)
		if (strcmp(cmd_table[i]->name, name) == 0 || has_alias(cmd_table[i], name))
			return cmd_table[i];
	return NULL;
}
