#!/bin/bash
# SPDX-License-Identifier: MIT
# The working process is killed in the middle of its work: it is started again,
# clears its dead mount and goes on; nothing is damaged, nothing is missed.
# Whoever kills the supervisor ends both, in order.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_fuse
mutator=${MUTATOR:?the program that changes a tree}

fresh_repo
{ quick; printf '[source a]\npath = %s\n' "$source"; } >"$YORE_CONFIG"
echo one >"$source/file"
cd "$work"
# Relative names must mean the same when it is started again, from "/".
env -u YORE_REPOSITORY YORE_KEY_FOLDER=keys "$yore" -r repo -c yore.conf mount \
	>"$work/daemon.out" 2>"$work/daemon.err" || fail "mount: $(said_last)"
cd /
within 10 "a first snapshot" is one "$mnt/latest$source/file"
first=$(worker)
supervisor=$(parent "$first")

replaced() { # PID: another one works
	local now
	now=$(worker) && [ "$now" != "$1" ] && mountpoint -q "$mnt"
}

last=$first
for round in 1 2; do
	"$mutator" "$source/tree" $round 2 100 >/dev/null &
	sleep 0.7 # in the midst of it
	kill -9 "$last"
	wait $! || fail "the mutator"
	if timeout 5 ls "$mnt/latest/" >/dev/null 2>"$err"; then
		replaced "$last" || fail "a dead mount answers"
	fi
	within 40 "started again" replaced "$last"
	last=$(worker)
	equal "its supervisor" "$supervisor" "$(parent "$last")"
done
echo end >"$source/file"
within 20 "what was changed meanwhile" is end "$mnt/latest$source/file"
diff -r --no-dereference "$source" "$mnt/latest$source" >"$out" 2>&1 ||
	fail "the newest snapshot is not the tree"

# All processes are told at once, as when a machine goes down: what is pending is captured.
echo pending >"$source/file"
kill -TERM "$supervisor" "$last"
within 20 "both end" gone "$supervisor"
within 20 "both end" gone "$last"
within 5 "what was pending" captured pending "$source/file"
! mountpoint -q "$mnt" || fail "still mounted"

background
last=$(worker)
supervisor=$(parent "$last")
echo orphan >"$source/file"
kill -9 "$supervisor"
within 20 "the worker of a killed supervisor ends" gone "$last"
within 5 "and in order" captured orphan "$source/file"
! mountpoint -q "$mnt" || fail "still mounted after the supervisor was killed"
check --data
