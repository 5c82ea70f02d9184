/* SPDX-License-Identifier: MIT */
#include "snapshots/mount_kind.h"

#include <string.h>

static bool is_one_of(const char *type, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(type, *names) == 0)
			return true;
	return false;
}

bool mount_kind_is_own(const struct mount_row *row)
{
	return strcmp(row->type, MOUNT_TYPE) == 0;
}

/* By name: asking the file system itself may wake an automounter, or hang with a dead server. */
bool mount_kind_is_virtual(const struct mount_row *row)
{
	static const char *const names[] = {
		"proc",    "sysfs",   "devpts",     "devtmpfs", "cgroup",     "cgroup2",
		"debugfs", "tracefs", "securityfs", "bpf",      "pstore",     "configfs",
		"fusectl", "mqueue",  "hugetlbfs",  "efivarfs", "rpc_pipefs", "binfmt_misc",
		"nsfs",    "autofs",  "selinuxfs",  "smackfs",  MOUNT_TYPE,   "fuse.portal",
		"resctrl", "pidfs",   "fuse.lxcfs", NULL,
	};

	return is_one_of(row->type, names);
}

bool mount_kind_is_remote(const struct mount_row *row)
{
	static const char *const names[] = {
		"nfs",   "nfs4",     "cifs",     "smb3",   "smbfs",  "9p",
		"afs",   "ceph",     "coda",     "gfs2",   "lustre", "ncpfs",
		"ocfs2", "orangefs", "virtiofs", "vboxsf", "fuse",   NULL,
	};

	/* What a program serves may change behind the kernel's back: it alone knows. */
	return strncmp(row->type, "fuse.", 5) == 0 || is_one_of(row->type, names);
}
