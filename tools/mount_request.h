/* SPDX-License-Identifier: MIT */
/*
 * mount_request: what a user, or a line of fstab, asks `yore mount` for.
 *
 * Mount options that are for others (mount(8), systemd, the kernel's own
 * flags) are dropped; an unknown one is an error. Threads: none.
 */
#ifndef TOOLS_MOUNT_REQUEST_H
#define TOOLS_MOUNT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

struct mount_request {
	char *mountpoint; /* absolute; "": none, protect only */
	bool default_mountpoint;
	bool foreground;
	bool allow_other, allow_other_given;
	bool debug;
	size_t cache_bytes;
	bool cache_given;
	size_t read_ahead_bytes; /* 0: the mount's default */
	unsigned int threads;    /* 0: the mount's default */
	char *host;              /* NULL: as the command says */
};

void mount_request_init(struct mount_request *q);
void mount_request_done(struct mount_request *q);
/**
 * Take a comma-separated list of mount options. Returns 0; -EINVAL and what is
 * wrong in *ret_wrong (the caller frees it); -ENOMEM.
 */
int mount_request_options(struct mount_request *q, const char *options, char **ret_wrong);
/** Set the mountpoint; NULL: the default one. Returns 0, -ENOENT (there is no home), -ENOMEM. */
int mount_request_mountpoint(struct mount_request *q, const char *path);
/** Is this mount option for somebody else? */
bool mount_request_foreign(const char *option);

#endif
