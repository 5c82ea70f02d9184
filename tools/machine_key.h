/* SPDX-License-Identifier: MIT */
/*
 * machine_key: the key file that lets this machine open a repository without
 * a question, kept outside the repository.
 *
 * Folder: $YORE_KEY_FOLDER, else /etc/yore/keys for root and
 * $XDG_CONFIG_HOME/yore/keys (~/.config/yore/keys) for others. File:
 * <repository id in hex>, mode 0600, 64 hex digits and a newline. Beside it
 * lies <id>.recovery with the recovery code until its owner says that it is
 * written down. Files that others can read are refused.
 *
 * Durability: written with O_EXCL, file and folder are synced on return.
 */
#ifndef TOOLS_MACHINE_KEY_H
#define TOOLS_MACHINE_KEY_H

#include "store/crypto.h"
#include "store/object.h"

/* File names beside one another. */
#define MACHINE_KEY_SUFFIX ""
#define MACHINE_KEY_RECOVERY ".recovery"

/** Path of the file; the caller frees it. NULL on no memory or when there is no home. */
char *machine_key_path(const uint8_t repository[static REPOSITORY_ID_BYTES], const char *suffix);
/** Write a new small file of mode 0600, making its folders. Returns 0; -EEXIST; -errno, logged. */
int machine_key_write_file(const char *path, const char *text);
/** Read a small secret file into `to`, cut at its newline. 0; -ENOENT; -EPERM others can read it
 * (logged); -EFBIG. */
int machine_key_read_file(const char *path, char *to, size_t room);
/** Write a key. Returns 0, -EEXIST, -errno. */
int machine_key_write(const char *path, const uint8_t key[static KEY_BYTES]);
/** Returns 0; -ENOENT; -EPERM others can read it; -EUCLEAN not a key (logged). */
int machine_key_read(const char *path, uint8_t ret_key[static KEY_BYTES]);
/** The same, replacing what is there in one step. */
int machine_key_replace_file(const char *path, const char *text);

#endif
