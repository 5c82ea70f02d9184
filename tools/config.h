/* SPDX-License-Identifier: MIT */
/*
 * config: what the configuration files, the environment and the options say,
 * as one plain struct in which every value is settled.
 *
 * Files: the one of -c or YORE_CONFIG (it must be there), else
 * /etc/yore/yore.conf for root and $XDG_CONFIG_HOME/yore/yore.conf for others
 * (it may be missing); then conf.d/<name>.conf beside it, sorted by name. An
 * option beats the environment, that beats the files, a later file beats an
 * earlier one. Keys, their defaults and their meaning: yore.conf(5).
 *
 *   config.c        which files, in what order; the whole is made and judged
 *   config_text.c   one file's bytes: sections, keys, values, lines
 *   config_keys.c   the table of keys
 *   config_value.c  durations, sizes, words: text to number and back
 *   config_entry.c  the settings met so far, and where each comes from
 *
 * Because a hook runs as whoever runs yore, a file that belongs to somebody
 * else, or that everybody may write to, is refused.
 *
 * Threads: plain data; config_load may run in any thread.
 */
#ifndef TOOLS_CONFIG_H
#define TOOLS_CONFIG_H

#include "snapshots/retention.h"
#include "tools/cmd.h"

#include <stdint.h>

/* How a source's tree is read. */
enum config_method {
	CONFIG_METHOD_AUTO,  /* btrfs where it is one, else plain */
	CONFIG_METHOD_PLAIN, /* file by file, where it lies */
	CONFIG_METHOD_BTRFS, /* from a read-only subvolume snapshot, or not at all */
};

/* By what its changes are noticed; numbered apart from enum watch_backend. */
enum config_watch { CONFIG_WATCH_AUTO, CONFIG_WATCH_INOTIFY, CONFIG_WATCH_POLL };

enum config_io { CONFIG_IO_IDLE, CONFIG_IO_BEST_EFFORT };

/* [source NAME] */
struct config_source {
	char *name;
	char *path;      /* absolute, as it was written ("~/" is the home folder) */
	char *canonical; /* where that is now: source_path_resolve */
	char *excludes;  /* gitignore lines, each ended by a newline; "" for none */
	bool one_file_system;
	bool exclude_caches;
	enum config_method method;
	enum config_watch watch;
	char *before, *after;     /* hooks, for /bin/sh; "" for none */
	uint64_t hook_timeout_ms; /* of each of them, and of `command`; 0: none */
	char *command; /* not "": the source is a file at `path` with what this program prints */
	uint64_t every_ms; /* how often `command` runs */
	char *file;        /* where `path` is set, and its line */
	unsigned int line;
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_OPTION };

/* A setting and where it comes from, for people. */
struct config_entry {
	char *section; /* "snapshot", "source" */
	char *name;    /* of a source; "" elsewhere */
	const char *key;
	char *value; /* as `config show` prints it; lists: one item a line */
	enum config_origin origin;
	char *from; /* the file, the variable or the option; "" for a default */
	unsigned int line;
};

struct config {
	char *file;     /* the main file, there or not */
	char *drop_ins; /* the folder conf.d beside it */
	char *protect;  /* the drop-in that `yore protect` writes: below drop_ins */
	char **files;   /* those that were read, in order */
	size_t n_files;
	struct config_entry *entries; /* every setting, in the order of the manual page */
	size_t n_entries;

	char *repository;              /* absolute */
	struct config_source *sources; /* in the order in which their sections were met */
	size_t n_sources;

	/* [snapshot] */
	uint64_t quiet_ms;      /* a snapshot after so long without a change */
	uint64_t longest_ms;    /* or so long after the first change */
	uint64_t full_walk_ms;  /* everything is walked so often; 0: at the start only */
	uint64_t poll_every_ms; /* where changes are found by looking */

	/* [retention] */
	char *keep;                        /* the policy as text; "": nothing is forgotten */
	struct retention_policy retention; /* and parsed */
	uint64_t collect_every_ms;         /* 0: never by itself */
	uint64_t reserve_bytes;

	/* [limits] */
	unsigned int nice; /* 0 to 19 */
	enum config_io io;
	unsigned int cpu_percent;    /* of one core; 0: no limit */
	uint64_t read_rate_bytes;    /* a second, of sources; 0: no limit */
	uint64_t collect_rate_bytes; /* a second; 0: no limit */
	uint64_t check_rate_bytes;   /* a second; 0: no limit */

	/* [mount] */
	char *mountpoint;   /* absolute; "": protect without a mount */
	bool mount_default; /* nobody named one: `mountpoint` is the usual place */
	bool allow_other;
	uint64_t cache_bytes;

	/* [check] */
	uint64_t data_every_ms; /* all stored data is read once in this time; 0: never by itself */

	/* [alerts] */
	char *on_alert;           /* for /bin/sh; "" for none */
	uint64_t repeat_every_ms; /* 0: each condition is told once */
	uint64_t stale_after_ms;
	uint64_t disk_free_min_bytes;
	unsigned int changed_share; /* percent of a source's files; 0: no alarm */
};

/**
 * Read and settle everything; what is wrong is said, each with its file and
 * line. Returns EXIT_CODE_DONE or an exit code; then *ret_config is empty.
 */
int config_load(const struct cmd_globals *globals, struct config *ret_config);
/** A zeroed one is fine. */
void config_done(struct config *c);
/** The source with this canonical path, or NULL. */
const struct config_source *config_source_at(const struct config *c, const char *canonical);
/** "default", "/etc/yore/yore.conf:12", "YORE_REPOSITORY"; the caller frees it. */
char *config_entry_from(const struct config_entry *e);

#endif
