#!/bin/bash
# SPDX-License-Identifier: MIT
# Any changing system call of a snapshot may fail: the snapshot fails and says
# so, or is whole; nothing that was there is lost, and the next one works.
# Usage: inject-errors.sh YORE [--long]
. "$(dirname "$(realpath "$0")")/fault-lib.sh"
need_strace

calls="pwrite64 pwritev fsync fdatasync rename renameat renameat2"
[ $long = 1 ] && calls="$calls write mkdirat unlinkat ftruncate flock openat"
begin
failures=0
for call in $calls; do
	for error in EIO ENOSPC; do
		n=1
		while [ $n -lt 2000 ]; do
			what="$error at $call number $n"
			before=$(ids | wc -l)
			change_source "$what"
			strace -f -qq -o "$work/trace" -e trace="$call" \
				-e inject="$call:error=$error:when=$n" \
				"$yore" snapshot "$work/source" >"$work/taken" 2>"$work/errors"
			status=$?
			sound "$what"
			if [ $status -gt 128 ]; then
				not_ok "$what: it crashed (status $status)"
			elif [ $status = 0 ] || [ $status = 3 ]; then
				[ "$(wc -l <"$work/listed")" -gt "$before" ] ||
					not_ok "$what: success without a snapshot"
			elif [ ! -s "$work/errors" ]; then
				not_ok "$what: status $status, and not a word"
			fi
			ids >"$work/acknowledged"
			grep -q INJECTED "$work/trace" || break
			failures=$((failures + 1))
			n=$((n + 1))
		done
		snapshot || not_ok "after $error at $call no snapshot can be taken"
		newest_equals_source "after $error at $call"
	done
done
echo "$failures failures"
[ $failures -gt 10 ] || not_ok "too few failures to mean anything"
