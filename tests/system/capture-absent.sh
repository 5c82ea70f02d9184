#!/bin/bash
# SPDX-License-Identifier: MIT
# A source whose disk is away keeps its last state until it is back or its absence is accepted.
# Usage: capture-absent.sh YORE
. "$(dirname -- "$0")/lib.sh"
need_root
need mkfs.ext4 losetup
truncate -s 32M "$work/disk"
mkfs.ext4 -q -F "$work/disk"
mkdir "$work/media"
disk=$work/media
mount -o loop "$work/disk" "$disk" 2>"$err" || skip "no loop mounts here"
for i in {1..50}; do echo "on the disk $i" >"$disk/f$i"; done
echo plain >"$source/plain"
fresh_repo
expect_exit 0 "$yore" snapshot "$disk" "$source"

# Unplugged: an empty mount point is no reason to forget anything.
umount "$disk"
echo changed >"$source/plain"
expect_exit 3 "$yore" snapshot
said "$disk.*another file system"
said '--accept'
equal "kept" "on the disk 7" "$("$yore" cat "latest:$disk/f7")"
equal "the other source goes on" changed "$("$yore" cat "latest:$source/plain")"
"$yore" --json snapshots >"$out"
[ "$(grep -Eo '"absent": *[0-9]+' "$out" | tail -n 1 | grep -Eo '[0-9]+$')" = 1 ] || fail "not marked absent"
expect_exit 0 "$yore" --json status
said 'sources-absent'
expect_exit 3 "$yore" snapshot "$disk"
equal "kept by the second, too" "on the disk 50" "$("$yore" cat "latest:$disk/f50")"

# Back again: as if nothing had been.
mount -o loop "$work/disk" "$disk"
echo more >"$disk/more"
expect_exit 0 "$yore" snapshot
equal "after it came back" more "$("$yore" cat "latest:$disk/more")"
equal "and what was there" "on the disk 1" "$("$yore" cat "latest:$disk/f1")"

# The mount point itself gone.
umount "$disk" && rmdir "$disk"
expect_exit 3 "$yore" snapshot
said "$disk.*No such file"
equal "kept without a mount point" more "$("$yore" cat "latest:$disk/more")"
mkdir "$disk"

# Accepted as it is now.
echo instead >"$disk/instead"
expect_exit 0 "$yore" snapshot --accept "$disk"
equal "accepted" instead "$("$yore" cat "latest:$disk/instead")"
expect_exit 1 "$yore" cat "latest:$disk/f1"
expect_exit 0 "$yore" snapshot

# The disk is now the one that is not as last time.
mount -o loop "$work/disk" "$disk"
expect_exit 3 "$yore" snapshot
equal "kept what was accepted" instead "$("$yore" cat "latest:$disk/instead")"
expect_exit 0 "$yore" snapshot --accept "$disk"
equal "accepted the disk" "on the disk 3" "$("$yore" cat "latest:$disk/f3")"
expect_exit 0 "$yore" snapshot

# Mounted again by another name of the device: the file system is the same.
umount "$disk"
mount -o loop,ro "$work/disk" "$disk"
expect_exit 0 "$yore" snapshot
umount "$disk"
expect_exit 3 "$yore" snapshot

# A plain folder that was removed; and then accepted as gone.
mkdir "$work/folder" && echo kept >"$work/folder/file"
expect_exit 0 "$yore" snapshot "$work/folder"
rm -r "$work/folder"
expect_exit 3 "$yore" snapshot "$work/folder"
said "$work/folder.*No such file"
equal "a removed folder's file" kept "$("$yore" cat "latest:$work/folder/file")"
expect_exit 0 "$yore" snapshot --accept "$work/folder"
expect_exit 1 "$yore" cat "latest:$work/folder/file"
expect_exit 0 "$yore" snapshot --accept "$disk"
expect_exit 0 "$yore" snapshot
expect_exit 1 "$yore" cat "latest:$work/folder/file"

# One that is a file now is taken as it is.
expect_exit 0 "$yore" snapshot "$source"
rm -r "$source" && echo file >"$source"
expect_exit 0 "$yore" snapshot
equal "a folder that became a file" file "$("$yore" cat "latest:$source")"

# Never there: nothing is captured, and the timeline is as it was.
before=$(record_count)
expect_exit 1 "$yore" snapshot "$work/never"
said "$work/never"
equal records "$before" "$(record_count)"
check --data
