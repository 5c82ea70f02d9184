#!/bin/bash
# SPDX-License-Identifier: MIT
# Snapshots, a mount and a check of one repository at once neither fail nor lose anything.
# Usage: concurrent.sh YORE
. "$(dirname -- "$0")/lib.sh"
fuse=0
if [ -r /dev/fuse ] && [ -w /dev/fuse ]; then fuse=1; fi
a=$work/a b=$work/b
mkdir "$a" "$b"
for i in {1..300}; do echo "$i" >"$a/f$i"; echo "$i" >"$b/f$i"; done
head -c 20000000 /dev/urandom >"$a/big"
head -c 20000000 /dev/urandom >"$b/big"
fresh_repo
expect_exit 0 "$yore" snapshot "$a" "$b"
[ "$fuse" = 0 ] || mount_it

run() { # NAME command...: in the background, its exit code into a file
	local label=$1
	shift
	( "$@" >"$work/$label.out" 2>"$work/$label.err"; echo $? >"$work/$label.code" ) &
}
succeeded() { # NAME...
	for label; do
		[ "$(cat "$work/$label.code")" = 0 ] && continue
		cp "$work/$label.err" "$err"
		fail "round $round: $label exited with $(cat "$work/$label.code")"
	done
}

for round in {1..6}; do
	for i in {1..30}; do
		echo "round $round of a" >"$a/f$((i * round))"
		echo "round $round of b" >"$b/f$((i * round + 1))"
	done
	echo "$round" >"$a/only-a-$round" && echo "$round" >"$b/only-b-$round"
	head -c 3000000 /dev/urandom >"$a/new$round"
	head -c 3000000 /dev/urandom | tee "$b/new$round" >"$a/copy$round"
	records=$(record_count)
	run a "$yore" snapshot "$a"
	run b "$yore" snapshot "$b"
	run check "$yore" check
	[ "$fuse" = 0 ] || run read tar cf - -C "$mnt/latest" .
	wait
	succeeded a b check
	[ "$fuse" = 0 ] || succeeded read
	equal "records after round $round" $((records + 2)) "$(record_count)"
	for side in a b; do
		equal "round $round: change in $side" "$round" "$("$yore" cat "latest:$work/$side/only-$side-$round")"
	done
	if [ "$fuse" = 1 ]; then
		sleep 1.1 # latest may lag by a second
		diff -r "$a" "$mnt/latest$a" || fail "round $round: a differs in the mount"
		diff -r "$b" "$mnt/latest$b" || fail "round $round: b differs in the mount"
	fi
done

# Many at once on one source.
for i in {1..6}; do run "same$i" "$yore" snapshot "$a"; done
wait
round=same
for i in {1..6}; do succeeded "same$i"; done
equal "sequences are one after another" "$("$yore" --json snapshots | grep -c '"seq"')" "$(record_count)"
[ "$fuse" = 0 ] || unmount_it
check --data
rm -rf "$work/to"
expect_exit 0 "$yore" restore "latest:$work" --to "$work/to"
diff -r "$a" "$work/to/${work##*/}/a" && diff -r "$b" "$work/to/${work##*/}/b" || fail "restored differ"
