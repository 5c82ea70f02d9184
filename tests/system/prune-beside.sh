#!/bin/bash
# SPDX-License-Identifier: MIT
# prune beside snapshots, checks and a mount that somebody works in: nobody fails, nothing that is
# held goes.
# Usage: prune-beside.sh YORE [ROUNDS]
. "$(dirname -- "$0")/lib.sh"
rounds=${2:-6}
need_fuse
fresh_repo
mkdir "$source/inner"
for i in {1..60}; do head -c $((i * 300)) /dev/urandom >"$source/inner/f$i"; done
head -c 3000000 /dev/urandom >"$source/large"
cp -a "$source" "$work/first"
snap "$source"
first=$(grep -Eo '"name": *"[^"]*"' "$out" | head -n 1 | grep -Eo '@[^"]*')
mount_it

# Somebody stands in the first snapshot and reads it, whatever is forgotten.
stand_and_read() {
	cd "$mnt/$first$source" || exit 1
	while [ ! -e "$work/stop" ]; do
		diff -r . "$work/first" || exit 1
		sleep 0.05
	done
}
snapshots() {
	local i
	for ((i = 1; i <= rounds * 3; i++)); do
		echo "$i" >"$source/number"
		head -c 5000 /dev/urandom >"$source/inner/f$((i % 7))"
		head -c 300000 /dev/urandom >"$source/blob$((i % 2))"
		"$yore" snapshot "$source" || exit 1
	done
}
checks() {
	while [ ! -e "$work/stop" ]; do
		"$yore" check || exit 1
		sleep 0.1
	done
}
run() { # NAME function
	( "$2" >"$work/$1.out" 2>"$work/$1.err"; echo $? >"$work/$1.code" ) &
}
run read stand_and_read
run check checks
run snapshots snapshots
while [ ! -e "$work/snapshots.code" ]; do
	# Exit 3: what somebody stands in stays.
	"$yore" forget --keep-last 3 --force >"$out" 2>"$err" || [ $? = 3 ] || fail "forget"
	"$yore" prune >"$out" 2>"$err" || fail "prune"
	sleep 0.1
done
touch "$work/stop"
wait
for label in snapshots read check; do
	[ "$(cat "$work/$label.code")" = 0 ] && continue
	cp "$work/$label.err" "$err"
	fail "$label failed"
done
diff -r "$mnt/$first$source" "$work/first" || fail "the snapshot that was held is hurt"
unmount_it
expect_exit 0 "$yore" forget --keep-last 1 --force
expect_exit 0 "$yore" prune
check --data
rm -rf "$work/to"
expect_exit 0 "$yore" restore "latest:$source" --to "$work/to"
diff -r "$source" "$work/to/source" || fail "the newest snapshot differs"
at_most "packs" 4 "$(pack_count)"
