#!/bin/sh
# SPDX-License-Identifier: MIT
# A mount whose program was killed harms nobody, and the next mount clears it.
. "$(dirname "$0")/mount-lib.sh"

head -c 20000000 /dev/urandom >"$src/big"
printf 'x' >"$src/small"
start "$src"
for round in 1 2 3; do
	pid=$(daemon_pid)
	check "round $round: it works" cmp -s "$src/big" "$mnt/latest$src/big"
	(while cat "$mnt/latest$src/big" >/dev/null 2>&1; do :; done) &
	reader=$!
	kill -9 "$pid"
	waited=0
	while kill -0 "$reader" 2>/dev/null && [ $waited -lt 50 ]; do
		sleep 0.1
		waited=$((waited + 1))
	done
	check "readers end" test $waited -lt 50
	check "the dead mount answers nothing" refuses ls "$mnt"
	check "the next mount clears it" "$yore" -q mount "$mnt"
done
check "nothing was lost" diff -r "$src" "$mnt/latest$src"

# Politely: SIGTERM unmounts, also while somebody is inside.
pid=$(daemon_pid)
cd "$mnt/latest$src"
kill -TERM "$pid"
waited=0
while kill -0 "$pid" 2>/dev/null && [ $waited -lt 50 ]; do
	sleep 0.1
	waited=$((waited + 1))
done
cd /
check "SIGTERM ends it" test $waited -lt 50
check "and unmounts" refuses grep -q " $mnt " /proc/mounts
