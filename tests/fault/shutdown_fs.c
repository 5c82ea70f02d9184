/* SPDX-License-Identifier: MIT */
/*
 * shutdown_fs: cut the power of a mounted ext4 or XFS file system: everything
 * that was not made durable is gone, as if the machine had stopped.
 *
 *   shutdown_fs MOUNTPOINT
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHUTDOWN_IOCTL _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOG_FLUSH 2u

int main(int argc, char **argv)
{
	uint32_t how = SHUTDOWN_NO_LOG_FLUSH;
	int fd;

	if (argc != 2)
		return 2;
	fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, SHUTDOWN_IOCTL, &how) < 0) {
		(void)fprintf(stderr, "%s: %s\n", argv[1], strerrordesc_np(errno));
		return 1;
	}
	return close(fd) < 0;
}
