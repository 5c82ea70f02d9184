#!/bin/bash
# SPDX-License-Identifier: MIT
# On a disk without a free byte, forget and prune give space back, with what the
# reserve keeps for them; then snapshots go on, and the reserve is there again.
# Usage: prune-full-disk.sh YORE
. "$(dirname "$(realpath "$0")")/fault-lib.sh"

free_kib() {
	df --output=avail -k "$work/disk" | tail -1 | tr -d ' '
}

fill_and_prune() { # kind
	export YORE_REPOSITORY="$work/disk/repo"
	begin
	for k in 1 2 3 4; do
		head -c 4000000 /dev/urandom >"$work/source/large"
		snapshot || return 1
	done
	"$yore" prune >"$work/prune" 2>&1 || {
		not_ok "$1: the first prune says:"
		cat "$work/prune"
	}
	[ -s "$YORE_REPOSITORY/local/reserve" ] || not_ok "$1: there is no reserve"
	# To the last block.
	{ cat /dev/zero >"$work/disk/ballast"; } 2>/dev/null
	{ cat /dev/zero >"$work/disk/ballast2"; } 2>/dev/null
	full=$(free_kib)
	head -c 4000000 /dev/urandom >"$work/source/large"
	snapshot && not_ok "$1: there is space for a snapshot on a full disk ($full KiB)"
	"$yore" forget --keep-last 1 --force >"$work/forget" 2>&1 || {
		not_ok "$1: on a full disk forget says:"
		cat "$work/forget"
	}
	"$yore" prune >"$work/prune" 2>&1 || {
		not_ok "$1: on a full disk prune says:"
		cat "$work/prune"
	}
	[ "$(free_kib)" -gt 8000 ] || not_ok "$1: prune has freed too little: $(free_kib) KiB"
	[ -s "$YORE_REPOSITORY/local/reserve" ] || not_ok "$1: the reserve is not there again"
	ids >"$work/acknowledged"
	[ "$(wc -l <"$work/acknowledged")" = 1 ] || not_ok "$1: there is not the one snapshot"
	sound "$1: after prune"
	snapshot || {
		not_ok "$1: no snapshot can be taken in the space that was freed:"
		cat "$work/errors"
	}
	sound "$1: at the end"
	newest_equals_source "$1: at the end"
	umount "$work/disk"
	echo "$1: done"
}

done=0
for disk in ext4:64 xfs:64 xfs:300; do
	kind=${disk%:*}
	[ $done = xfs ] && continue
	make_disk "$kind" "${disk#*:}" || continue
	fill_and_prune "$kind" || not_ok "$kind: it did not come to its end"
	done=$kind
done
[ $done != 0 ] || skip "no loop device, or no mkfs"
