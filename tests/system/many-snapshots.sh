#!/bin/bash
# SPDX-License-Identifier: MIT
# Thousands of snapshots mount, list and resolve like ten. 2,000 of them;
# 10,000 with YORE_TEST_LONG=1. MAKE_SNAPSHOTS names the helper.
. "$(dirname "$0")/lib.sh"
need_fuse
[ -n "${MAKE_SNAPSHOTS:-}" ] || skip "MAKE_SNAPSHOTS is not set"
many=2000
[ "${YORE_TEST_LONG:-0}" = 0 ] || many=10000
first=1704067200 # 2024-01-01, then one an hour

# In memory where that is possible: thousands of commits wait for a disk.
if [ -w /dev/shm ]; then
	memory=$(mktemp -d /dev/shm/yore-test.XXXXXX)
	export YORE_REPOSITORY=$memory/repo
	before_cleanup() { unmount_all; rm -rf "$memory"; }
fi

timed() { # WHAT command...
	local what=$1 start
	shift
	start=$(now)
	"$@" >"$out" 2>"$err" || fail "$what"
	now | awk -v s="$start" -v n="$snapshots" -v w="$what" \
		'{ printf "%6d snapshots: %-34s %8.1f ms\n", n, w, ($1 - s) * 1000 }'
}

resolve_hundred() {
	local i
	for i in $(seq 100); do
		# Each a name that was not asked for yet: by date, hour and minute.
		printf '%s\0' "$mnt/@$(printf '2024-01-01T0%d-%02dZ' $((1 + i / 60)) $((i % 60)))"
	done | xargs -0 stat -c %i
}

look() {
	local last count
	last=$(TZ=UTC date -d "@$((first + (snapshots - 1) * 3600))" +%Y-%m-%dT%H-%M-%SZ)
	timed "yore mount" "$yore" -q mount "$mnt"
	timed "ls of the root" ls "$mnt"
	count=$(wc -l <"$out")
	# `latest` and the days; and the day of the one that was taken for real.
	equal "names in the root" $(((snapshots + 23) / 24 + 2)) "$count"
	timed "ls of .snapshots" ls "$mnt/.snapshots"
	equal "snapshots listed" $((snapshots + 1)) "$(wc -l <"$out")"
	timed "stat of @$last" stat "$mnt/@$last"
	timed "stat of latest" stat -L "$mnt/latest/"
	[ "$(readlink "$mnt/latest")" = "@$last" ] || fail "latest is not @$last"
	timed "stat of @yesterday" stat "$mnt/@yesterday"
	timed "100 other moments" resolve_hundred
	equal "moments found" 100 "$(wc -l <"$out")"
	timed "ls -l of .snapshots" ls -l "$mnt/.snapshots"
	timed "a new snapshot" "$make" 1 $((first + snapshots * 3600)) 3600
	snapshots=$((snapshots + 1))
	# The daemon hears of it a moment later.
	for _ in $(seq 50); do
		[ "$(ls "$mnt/.snapshots" | wc -l)" -le "$snapshots" ] || break
		sleep 0.1
	done
	timed "ls of .snapshots after it" ls "$mnt/.snapshots"
	equal "snapshots listed" $((snapshots + 1)) "$(wc -l <"$out")"
	timed "yore umount" "$yore" -q umount "$mnt"
	timed "yore snapshots --json" "$yore" --json snapshots
	equal "snapshots in JSON" $((snapshots + 1)) "$(grep -o '"seq"' "$out" | wc -l)"
	timed "yore ls latest" "$yore" ls "latest:$source"
	said file
	timed "yore status" "$yore" status
}

make=$MAKE_SNAPSHOTS
echo content >"$source/file"
fresh_repo
"$yore" -q snapshot "$source"
snapshots=10
"$make" 10 "$first" 3600
look
timed "making the rest" "$make" $((many - snapshots)) $((first + snapshots * 3600)) 3600
snapshots=$many
look
check
