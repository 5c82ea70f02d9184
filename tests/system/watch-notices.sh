#!/bin/bash
# SPDX-License-Identifier: MIT
# Whatever a random program does to a tree, the watch tells of it, by each backend.
# Usage: watch-notices.sh YORE [--long]
. "$(dirname -- "$0")/lib.sh"
[ -x "${WATCH_PROBE:-}" ] && [ -x "${MUTATOR:-}" ] || skip "WATCH_PROBE and MUTATOR name no programs"
rounds=2
[ "${2:-}" != --long ] || rounds=100

tried=0
for backend in fanotify inotify; do
	for ((seed = 1; seed <= rounds; seed++)); do
		got=0
		# A slow one, then one that is in a hurry.
		rate=$((seed % 2 ? 400 : 5000))
		"$WATCH_PROBE" $backend "$source" "$MUTATOR" "$source" $seed 0.5 $rate >"$out" 2>"$err" ||
			got=$?
		[ $got != 77 ] || continue 2
		[ $got = 0 ] || fail "$backend, seed $seed: something was missed"
		tried=$((tried + 1))
	done
done
[ $tried -gt 0 ] || skip "no backend is to be had"
