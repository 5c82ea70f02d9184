#!/bin/bash
# SPDX-License-Identifier: MIT
# A file that never holds still is captured, labelled, and read again until it is steady.
# Usage: capture-changing.sh YORE
. "$(dirname -- "$0")/lib.sh"
need getfattr
need_fuse
head -c 67108864 /dev/urandom >"$source/changing"
echo steady >"$source/steady"
echo small >"$source/small"
fresh_repo
settle

writer() {
	local i=0
	while :; do
		printf '%08d' "$i" | dd of="$source/changing" bs=8 seek=$((RANDOM % 8000000)) conv=notrunc status=none
		i=$((i + 1))
		[ $((i % 50)) != 0 ] || head -c 4096 /dev/zero >>"$source/changing"
	done
}

label() { # NAME
	getfattr --only-values -n user.yore.consistency "$mnt/latest$source/$1" 2>/dev/null || true
}

writer &
pid=$!
smeared=0
for _ in {1..5}; do
	expect_exit 0 "$yore" --json snapshot "$source"
	"$yore" ls --json "latest:$source/changing" >"$out"
	! grep -q changed_while_read "$out" || { smeared=1; break; }
done
kill "$pid" && wait "$pid" 2>/dev/null || true
equal "marked as changed while read" 1 "$smeared"
mount_it
equal "label of what changed" smeared "$(label changing)"
[ "$(label steady)" != smeared ] || fail "a steady file is called smeared"
unmount_it
check --data

settle
snap
equal "files read after the writer stopped" 1 "$(number files_read)"
mount_it
[ "$(label changing)" != smeared ] || fail "still called smeared"
cmp "$source/changing" "$mnt/latest$source/changing" || fail "contents differ"
unmount_it
settle
snap
equal "files read when all is steady" 0 "$(number files_read)"
check --data
