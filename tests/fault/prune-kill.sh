#!/bin/bash
# SPDX-License-Identifier: MIT
# Killed before any of its changing system calls, or refused one, forget and
# prune lose nothing that was not forgotten, and the next prune goes on.
# Usage: prune-kill.sh YORE [--long]
. "$(dirname "$(realpath "$0")")/fault-lib.sh"
need_strace

# Snapshots, some of them to be forgotten: something to free, to merge and to rewrite.
more_to_do() { # number
	for k in 1 2 3; do
		change_source "$1 $k"
		head -c 1500000 /dev/urandom >"$work/source/large$((k % 2))"
		snapshot || not_ok "no snapshot can be taken before $1"
	done
	snapshot
	"$yore" snapshots --json 2>/dev/null | grep -o '"name": *"[^"]*"' | grep -o '@[^"]*' |
		head -n -2 >"$work/names"
	{ strace -f -qq -o /dev/null -e trace="$2" -e inject="$2:$3:when=$4" \
		"$yore" forget $(cat "$work/names") >"$work/forget" 2>&1; } 2>/dev/null
	status=$?
	# Begun is begun: what was to be forgotten need not be there any more.
	ids | tail -n +1 >"$work/acknowledged.now"
	sort "$work/acknowledged.now" >"$work/acknowledged"
	sound "forget with $3 at $2 number $4"
	"$yore" forget $(cat "$work/names") >"$work/forget" 2>&1
	case $? in
	0 | 1 | 3) ;; # a name may be gone already
	*)
		not_ok "forget does not go on:"
		cat "$work/forget"
		;;
	esac
	ids >"$work/acknowledged"
}

run_prune() { # CALL HOW NUMBER
	more_to_do "$2 at $1 number $3" "$1" "$2" "$3"
	{ strace -f -qq -o "$work/trace" -e trace="$1" -e inject="$1:$2:when=$3" \
		"$yore" prune >"$work/prune" 2>&1; } 2>/dev/null
	status=$?
	sound "prune with $2 at $1 number $3"
}

calls="pwrite64 fdatasync unlinkat"
[ $long = 1 ] && calls="$calls fsync renameat2 flock pwritev write openat mkdirat"
begin
hits=0
for call in $calls; do
	step=9
	[ $long = 1 ] && step=1
	n=1
	while [ $n -lt 400 ]; do
		run_prune "$call" signal=KILL $n
		[ $status = 137 ] || break
		hits=$((hits + 1))
		n=$((n + step))
	done
	[ $long = 1 ] || [ "$call" = fdatasync ] || continue
	for error in EIO ENOSPC; do
		n=1
		while [ $n -lt 400 ]; do
			run_prune "$call" "error=$error" $n
			[ $status -gt 128 ] && not_ok "$error at $call number $n: it crashed"
			grep -q INJECTED "$work/trace" || break
			hits=$((hits + 1))
			n=$((n + step))
		done
	done
done
"$yore" prune >"$work/prune" 2>&1 || {
	not_ok "at the end prune says:"
	cat "$work/prune"
}
"$yore" check --data >"$work/check" 2>&1 || {
	not_ok "at the end:"
	cat "$work/check"
}
snapshot || not_ok "no snapshot can be taken at the end"
newest_equals_source "at the end"
echo "$hits kills and failures"
[ $hits -gt 5 ] || not_ok "too few to mean anything"
