#!/bin/bash
# SPDX-License-Identifier: MIT
# Killed before any of its changing system calls, a snapshot loses nothing that
# was there, and needs no hand afterwards.
# Usage: kill-every-syscall.sh YORE [--long]
. "$(dirname "$(realpath "$0")")/fault-lib.sh"
need_strace

calls="write pwrite64 pwritev fsync fdatasync rename renameat renameat2 unlink unlinkat
mkdir mkdirat ftruncate fallocate flock openat"
begin
kills=0
for call in $calls; do
	step=1
	[ $long = 0 ] && [ "$call" = openat ] && step=5
	n=1
	while [ $n -lt 2000 ]; do
		change_source "$call $n"
		# The braces keep the shell's own "Killed" out of the output.
		{ strace -f -qq -o /dev/null -e trace="$call" \
			-e inject="$call:signal=KILL:when=$n" \
			"$yore" snapshot "$work/source" >"$work/taken" 2>&1; } 2>/dev/null
		status=$?
		sound "killed at $call number $n"
		[ $status = 0 ] && break
		if [ $status != 137 ]; then
			not_ok "$call number $n: status $status instead of a kill"
			cat "$work/taken"
			break
		fi
		kills=$((kills + 1))
		n=$((n + step))
	done
	snapshot || not_ok "after the kills at $call no snapshot can be taken"
	newest_equals_source "after the kills at $call"
done
echo "$kills kills"
[ $kills -gt 10 ] || not_ok "too few kills to mean anything"
