#!/bin/bash
# SPDX-License-Identifier: MIT
#
# dir.sh REMOTE_CHECK REMOTE_TOOL: a folder as a remote: the whole contract, a
# full disk, a client that is killed, a disk that is unmounted and comes back.
source "$(dirname "$0")/remote-lib.sh"

mkdir "$work/plain"
works "a plain folder" "$work/plain"
works "the same as a URL" "file://$work/plain"

echo "== a client that is killed shows no part of an object"
random_file "$work/big" 64
mkdir "$work/killed"
for delay in 0.02 0.05 0.1 0.15 0.2; do
	echo "put packs/$delay-x $work/big" | sed 's/0\.//' | "$tool" "$work/killed" >/dev/null &
	victim=$!
	sleep "$delay"
	kill -KILL "$victim" 2>/dev/null || true
	wait "$victim" 2>/dev/null || true
	assert_whole "$work/killed" "$work/big"
done
answers ok "$work/killed" put packs/5-x "$work/big"
rm -rf "$work/killed"

[ "$(id -u)" = 0 ] || { echo "the rest needs root"; exit 0; }
mkdir "$work/small"
mount -t tmpfs -o size=8m none "$work/small" || { echo "the rest needs mounts"; exit 0; }

echo "== a full disk"
url=$work/small
full_disk "$work/small" ENOSPC

echo "== a disk that is unmounted is missing, not empty, and nothing is written below it"
mkdir "$work/disk" "$work/mnt"
mount --bind "$work/disk" "$work/mnt"
echo config >"$work/config"
echo object >"$work/object"
open_remote "$work/mnt"
tell ok put config "$work/config"
tell ok put packs/a "$work/object"
umount "$work/mnt" # nothing of ours keeps it busy
for command in "head packs/a" "head packs/b" "put packs/b $work/object" "remove packs/a" \
	"list packs/" "get packs/a $work/back" probe; do
	# shellcheck disable=SC2086
	tell EREMOTEIO $command
done
[ -z "$(ls "$work/mnt")" ] || fail "written below the mount point: $(ls "$work/mnt")"
mount --bind "$work/disk" "$work/mnt"
tell ok get packs/a "$work/back"
cmp "$work/back" "$work/object" || fail "packs/a differs"
tell ENOENT head packs/b
tell ok put packs/b "$work/object"
tell "ok 2" list packs/
umount "$work/mnt"
close_remote
(
	export REMOTE_KNOWN=1
	answers EREMOTEIO "$work/mnt" head config
	answers EREMOTEIO "$work/mnt" put config "$work/config"
	answers "ok 7" "$work/disk" head config
)
rmdir "$work/mnt" || fail "written below the mount point"
answers EREMOTEIO "$work/mnt" put config "$work/config"
[ ! -e "$work/mnt" ] || fail "the folder was made"
echo "all of it"
