/* SPDX-License-Identifier: MIT */
#include "snapshots/file_system.h"

#include "store/base/bytes.h"
#include "store/base/mount_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define DEVFS_MAGIC 0x1373 /* of the devfs of old: what devtmpfs is called here */
#define BY_UUID "/dev/disk/by-uuid"

/* Since Linux 6.9; older headers lack it. */
struct fs_uuid {
	uint8_t length;
	uint8_t uuid[16];
};
#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

int file_system_parse_uuid(const char *text, uint8_t ret_uuid[static 16])
{
	uint8_t uuid[16] = { 0 };
	unsigned int n = 0;

	for (; *text; text++) {
		int digit = bytes_hex_digit(*text);

		if (*text == '-')
			continue;
		if (digit < 0 || n == 32)
			return -EINVAL;
		uuid[n / 2] = (uint8_t)(uuid[n / 2] | (n % 2 ? digit : digit << 4));
		n++;
	}
	if (n == 0)
		return -EINVAL;
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

/* Ask the file system. Btrfs needs its own call: its st_dev is no block device. */
static bool uuid_from_kernel(int fd, uint8_t to[static 16])
{
	struct btrfs_ioctl_fs_info_args btrfs = { 0 };
	struct fs_uuid answer = { 0 };

	if (ioctl(fd, GET_FS_UUID, &answer) == 0 && answer.length > 0 && answer.length <= 16) {
		memcpy(to, answer.uuid, answer.length);
		return true;
	}
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &btrfs) == 0) {
		memcpy(to, btrfs.fsid, sizeof(btrfs.fsid));
		return true;
	}
	return false;
}

static bool uuid_from_udev(dev_t device, uint8_t to[static 16])
{
	CLEANUP(close_dir_ptr) DIR *d = opendir(BY_UUID);
	struct dirent *entry;
	struct stat st;

	while (d && (entry = readdir(d))) {
		if (fstatat(dirfd(d), entry->d_name, &st, 0) < 0 || !S_ISBLK(st.st_mode))
			continue;
		if (st.st_rdev == device && file_system_parse_uuid(entry->d_name, to) == 0)
			return true;
	}
	return false;
}

/* devtmpfs calls itself a tmpfs: only the list of mounts tells them apart. */
static bool is_devtmpfs(dev_t device)
{
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };

	(void)mount_table_load(&mounts);
	for (size_t i = 0; i < mounts.n; i++)
		if (mounts.rows[i].device == device)
			return strcmp(mounts.rows[i].type, "devtmpfs") == 0;
	return false;
}

int file_system_identify(int fd, struct file_system_identity *ret_identity)
{
	struct file_system_identity identity = { 0 };
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* f_type is a signed long, 32 bits wide on some machines: keep what all agree on. */
	identity.type = (uint32_t)fs.f_type;
	if (identity.type == TMPFS_MAGIC && is_devtmpfs(st.st_dev))
		identity.type = DEVFS_MAGIC;
	if (!file_system_is_virtual(identity.type) && !uuid_from_kernel(fd, identity.uuid))
		(void)uuid_from_udev(st.st_dev, identity.uuid);
	*ret_identity = identity;
	return 0;
}

bool file_system_is_virtual(uint64_t f_type)
{
	static const uint32_t types[] = {
		PROC_SUPER_MAGIC,   SYSFS_MAGIC,         DEVPTS_SUPER_MAGIC,
		CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
		TRACEFS_MAGIC,      SECURITYFS_MAGIC,    BPF_FS_MAGIC,
		PSTOREFS_MAGIC,     0x62656570, /* configfs */
		0x65735543,                     /* fusectl */
		0x19800202,                     /* mqueue */
		HUGETLBFS_MAGIC,    BINFMTFS_MAGIC,      EFIVARFS_MAGIC,
		0x67596969, /* rpc_pipefs */
		NSFS_MAGIC,         SELINUX_MAGIC,       SMACK_MAGIC,
		AUTOFS_SUPER_MAGIC, DEVFS_MAGIC,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((uint32_t)f_type == types[i])
			return true;
	return false;
}

bool file_system_equal(const struct file_system_identity *a, const struct file_system_identity *b)
{
	return a->type == b->type && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
}
