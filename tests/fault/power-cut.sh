#!/bin/bash
# SPDX-License-Identifier: MIT
# The power fails at random moments while snapshots are taken, on ext4 and XFS:
# what was acknowledged is there, everything is whole, the next one works.
# Usage: power-cut.sh YORE [SHUTDOWN_FS] [--long]
. "$(dirname "$(realpath "$0")")/fault-lib.sh"

helper=${2:-}
if [ -z "$helper" ] || [ "$helper" = --long ]; then
	helper=$work/shutdown_fs
	cc -D_GNU_SOURCE -o "$helper" "$here/shutdown_fs.c" || skip "no compiler for the helper"
fi

# Snapshots one after another until the disk is gone.
take_snapshots() {
	for i in $(seq 1 1000); do
		change_source "$i"
		[ $((i % 4)) = 0 ] && head -c 3000000 /dev/urandom >"$work/source/large"
		snapshot || return
	done
}

cut() { # kind, round
	take_snapshots &
	writer=$!
	sleep "$((RANDOM % seconds)).$((RANDOM % 8))$((RANDOM % 10))"
	"$helper" "$work/disk" || {
		not_ok "$1: the helper failed"
		kill $writer
	}
	wait $writer
	umount "$work/disk" || return 1
	mount -o loop "$work/image" "$work/disk" || return 1
	sound "$1, cut $2"
	snapshot || {
		not_ok "$1, cut $2: no snapshot can be taken"
		cat "$work/errors"
	}
	newest_equals_source "$1, cut $2"
}

rounds=10
seconds=1 # up to here the power lasts, nearly
[ $long = 1 ] && rounds=150 && seconds=3
any=0
for disk in ext4:256 xfs:300; do
	kind=${disk%:*}
	make_disk "$kind" "${disk#*:}" || continue
	any=1
	export YORE_REPOSITORY="$work/disk/repo"
	begin
	for round in $(seq 1 $rounds); do
		cut "$kind" "$round" || {
			not_ok "$kind: it cannot be mounted again"
			break
		}
		# Before it is full: a new one.
		if [ "$(df --output=pcent "$work/disk" | tail -1 | tr -dc 0-9)" -gt 70 ]; then
			umount "$work/disk" && make_disk "$kind" "${disk#*:}" && begin
		fi
	done
	echo "$kind: $rounds cuts, $(wc -l <"$work/acknowledged") snapshots acknowledged"
	umount "$work/disk"
done
[ $any = 1 ] || skip "no loop device, or no mkfs"
