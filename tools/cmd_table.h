/* SPDX-License-Identifier: MIT */
/* cmd_table: the commands, one from each cmd_<verb>.c. */
#ifndef TOOLS_CMD_TABLE_H
#define TOOLS_CMD_TABLE_H

#include "tools/cmd.h"

extern const struct cmd cmd_alert, cmd_init, cmd_protect, cmd_unprotect, cmd_sources, cmd_snapshot,
	cmd_snapshots, cmd_ls, cmd_cat, cmd_find, cmd_diff, cmd_history, cmd_status, cmd_mount,
	cmd_umount, cmd_restore, cmd_forget, cmd_prune, cmd_check, cmd_repair, cmd_config, cmd_key,
	cmd_completion, cmd_version, cmd_help, cmd_unlock;

#endif
