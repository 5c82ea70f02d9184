#!/bin/bash
# SPDX-License-Identifier: MIT
# A disk that fills: a clear error, nothing lost, and with space again the same
# command goes on. On ext4 (64 MiB) and XFS (as small as it can be made).
# Usage: small-filesystem.sh YORE
. "$(dirname "$(realpath "$0")")/fault-lib.sh"

free_kib() {
	df --output=avail -k "$work/disk" | tail -1 | tr -d ' '
}

fill_and_free() { # kind
	export YORE_REPOSITORY="$work/disk/repo"
	begin
	free=$(free_kib)
	head -c $((free * 55 / 100 * 1024)) /dev/zero >"$work/disk/ballast" || return 1
	head -c $((free * 60 / 100 * 1024)) /dev/urandom >"$work/source/large"
	snapshot && not_ok "$1: it fits into a disk that is too small"
	grep -qi 'space' "$work/errors" || {
		not_ok "$1: the error does not speak of space:"
		cat "$work/errors"
	}
	sound "$1: full"
	[ "$(wc -l <"$work/listed")" = 1 ] || not_ok "$1: full: there is not the one snapshot"
	rm "$work/disk/ballast"
	snapshot || {
		not_ok "$1: with space again no snapshot can be taken:"
		cat "$work/errors"
	}
	sound "$1: with space again"
	newest_equals_source "$1: with space again"
	rm "$work/source/large"
	umount "$work/disk"
	echo "$1: done"
}

done=0
for disk in ext4:64 xfs:64 xfs:300; do
	kind=${disk%:*}
	[ $done = xfs ] && continue
	make_disk "$kind" "${disk#*:}" || continue
	fill_and_free "$kind" || not_ok "$kind: it did not come to its end"
	done=$kind
done
[ $done != 0 ] || skip "no loop device, or no mkfs"
