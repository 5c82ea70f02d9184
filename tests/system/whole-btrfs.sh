#!/bin/bash
# SPDX-License-Identifier: MIT
# A btrfs source is captured from a snapshot of its subvolume: frozen, without
# reading again what did not change, without losing what is mounted in it, and
# without a trace left.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
need_root
need btrfs getfattr

loop_mount btrfs 256 "$work/disk"
disk=$work/disk
btrfs -q subvolume create "$disk/data"
btrfs -q subvolume create "$disk/data/inner"
mkdir "$disk/data/folder" "$disk/data/mounted"
mount -t tmpfs tmpfs "$disk/data/mounted"
echo outer >"$disk/data/folder/file"
seq 200000 >"$disk/data/big"
echo inner >"$disk/data/inner/file"
echo mounted >"$disk/data/mounted/file"
mkdir -m 0700 "$disk/.yore-frozen.mine"
fresh_repo

before=$(stat -c '%Y %y' "$disk/data")
snap "$disk/data"
equal "its label" frozen "$(label "$disk/data/folder/file")"
equal "a nested subvolume's label" steady "$(label "$disk/data/inner/file")"
equal "the snapshot's label" steady "$(snapshot_label)"
for f in folder/file big inner/file mounted/file; do
	"$yore" cat "latest:$disk/data/$f" | cmp - "$disk/data/$f" || fail "$f differs"
done
equal "time of the subvolume's top" "$before" "$(stat -c '%Y %y' "$disk/data")"
equal "snapshots left" 0 "$(find "$disk/data/.yore-frozen" -mindepth 1 | wc -l)"
expect_exit 0 "$yore" ls "latest:$disk/data"
not_said yore-frozen

# What did not change is not read again, though the copy is another device each time.
settle
snap "$disk/data"
settle
echo more >>"$disk/data/folder/file"
snap "$disk/data"
equal "files read" 1 "$(number files_read)"
snap --method plain "$disk/data"
at_most "files read where it lies" 1 "$(number files_read)"
check

# A source of its own, wholly frozen; by its path, and by none.
umount "$disk/data/mounted"
"$yore" init >/dev/null -r "$work/second"
export YORE_REPOSITORY=$work/second
snap --method btrfs "$disk/data/folder"
equal "its label" frozen "$(snapshot_label)"
echo x >"$disk/data/folder/new"
snap
equal "its label" frozen "$(label "$disk/data/folder/new")"
if [ -r /dev/fuse ]; then
	mount_it
	equal "label in the mount" frozen "$(getfattr --absolute-names --only-values -n user.yore.consistency \
		"$mnt/latest$disk/data/folder/new")"
	equal "label of the root" frozen "$(getfattr --absolute-names --only-values -n user.yore.consistency \
		"$mnt/latest/")"
	unmount_it
fi

# One that a killed process left behind goes with the next.
btrfs -q subvolume snapshot -r "$disk/data" "$disk/data/.yore-frozen/1-1"
snap "$disk/data/folder"
equal "snapshots left" 0 "$(find "$disk/data/.yore-frozen" -mindepth 1 | wc -l)"

# What cannot be frozen is told, or captured where it lies.
echo y >"$source/file"
expect_exit 1 "$yore" snapshot --method btrfs "$source"
said 'not on btrfs'
expect_exit 0 "$yore" snapshot "$source"
equal "its label" steady "$(label "$source/file")"
check
