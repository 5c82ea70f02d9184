#!/bin/bash
# SPDX-License-Identifier: MIT
# A daemon follows a tree that a random program changes: when both are at rest,
# the newest snapshot is equal to the tree, by each backend.
# Usage: watch-model.sh YORE [--long]
. "$(dirname -- "$0")/lib.sh"
need_fuse
[ -x "${MUTATOR:-}" ] || skip "MUTATOR names no program"
seconds=2 rounds=1
[ "${2:-}" != --long ] || { seconds=60 rounds=3; }

within() { # SECONDS command...: true in time?
	local n=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $((n -= 1)) -gt 0 ] || return 1
		sleep 0.05
	done
}

gone() {
	! kill -0 "$daemon" 2>/dev/null
}

start_daemon() { # BACKEND
	# No whole walk helps out, but where polling is all there is.
	cat >"$YORE_CONFIG" <<-END
		[snapshot]
		quiet = 200ms
		longest = 1s
		poll-every = 1s
		full-walk = 0
		[mount]
		path = $mnt
		[source s]
		path = $source
		watch = $1
	END
	"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
	daemon=$!
	within 10 mountpoint -q "$mnt" || { cp "$work/daemon.err" "$err"; fail "not mounted"; }
	within 20 test -e "$mnt/latest$source" || fail "no first snapshot"
}

# The tree does not change any more: it is printed once, and has to be reached.
reached() {
	tree_print -f "$mnt/latest$source" >"$work/print-b" && cmp -s "$work/print-a" "$work/print-b"
}

fresh_repo
seed=0
for backend in auto inotify poll; do
	for ((round = 0; round < rounds; round++)); do
		seed=$((seed + 1))
		start_daemon $backend
		echo "$seed" >"$source/marker"
		"$MUTATOR" "$source" $seed $seconds 300 >"$out" || fail "mutator"
		tree_print -f "$source" >"$work/print-a"
		if ! within 15 reached; then
			cp "$work/daemon.err" "$err"
			same_trees "$backend, seed $seed" "$source" "$mnt/latest$source" -f
		fi
		kill -TERM $daemon
		within 20 gone || fail "the daemon does not end"
		wait $daemon || fail "the daemon's exit code is $?"
	done
done
check --data
