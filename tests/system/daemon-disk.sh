#!/bin/bash
# SPDX-License-Identifier: MIT
# The repository's disk fails and is pulled: reads end with an error, status says
# so, the daemon lets go of the disk; it is back: protection resumes by itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_root
need_fuse
need python3 mkfs.ext4

disk=$work/disk
mkdir "$disk"
truncate -s 100M "$work/image"
mkfs.ext4 -q "$work/image"
mount -o loop "$work/image" "$disk" 2>/dev/null || skip "no loop device"
export YORE_REPOSITORY=$disk/repo
fresh_repo
{ quick; printf '[source a]\npath = %s\n' "$source"; } >"$YORE_CONFIG"
head -c 3000000 /dev/urandom >"$source/big"
echo one >"$source/file"
background
within 10 "a first snapshot" is one "$mnt/latest$source/file"
supervisor=$(parent "$(worker)")

# Every access answers EIO from now on.
shut_down() {
	python3 -c '
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))' "$disk"
}

# What was never read before cannot be in a cache.
unreadable() {
	local r=0
	timeout 10 cat "$mnt/latest$source/big" >/dev/null 2>"$err" || r=$?
	[ $r != 124 ] || fail "a read hangs"
	[ $r != 0 ]
}

# While somebody holds the old one, mount(8) finds that again, and not the disk.
plugged_in() {
	mountpoint -q "$disk" || mount -o loop "$work/image" "$disk" || return 1
	: >"$disk/works" || { umount -l "$disk"; return 1; }
}

shut_down
unreadable || fail "a dead disk was read"
said 'Input/output error|not connected'
echo two >"$source/file"
expect_exit 1 "$yore" status --check
said 'Input/output error'
umount -l "$disk"
expect_exit 10 "$yore" status --check
! gone "$supervisor" || fail "nobody is left to resume"
within 40 "the disk can be mounted again" plugged_in
within 40 "protection resumes" captured two "$source/file"
within 20 "and the mount answers" is two "$mnt/latest$source/file"
echo three >"$source/file"
within 10 "and goes on" is three "$mnt/latest$source/file"
gone "$supervisor" && fail "the supervisor ended"
stop "$supervisor"
check --data
