#!/bin/bash
# SPDX-License-Identifier: MIT
# The service manager hears when the daemon works, that it lives, and that it ends.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3

within() { # SECONDS WHAT command...: becomes true in time
	local n=$(($1 * 20)) what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ $((n -= 1)) -gt 0 ] || fail "not in time: $what"
		sleep 0.05
	done
}

heard() { # REGEX
	grep -Eq -- "$1" "$work/heard"
}

python3 -uc '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode())' "$work/notify" >"$work/heard" &
within 10 "the socket" test -S "$work/notify"

fresh_repo
printf '[mount]\npath = %s\n[source one]\npath = %s\n' "$mnt" "$source" >"$YORE_CONFIG"
NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=3000000 "$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
within 10 "ready" heard '^READY=1$'
mountpoint -q "$mnt" || fail "it said that it was ready and was not mounted"
within 10 "its status" heard '^STATUS=protecting'
within 10 "a sign of life" heard '^WATCHDOG=1$'
! heard '^STOPPING=1$' || fail "it does not end yet"
# Reloading, with the moment, and ready again.
lives=$(grep -c '^WATCHDOG=1$' "$work/heard")
kill -HUP $daemon
within 10 "that it reloads" heard '^RELOADING=1$'
within 10 "since when" heard '^MONOTONIC_USEC=[0-9]+$'
ready_again() { [ "$(grep -c '^READY=1$' "$work/heard")" -ge 2 ]; }
within 10 "ready again" ready_again
more_signs() { [ "$(grep -c '^WATCHDOG=1$' "$work/heard")" -gt "$lives" ]; }
within 10 "another sign of life" more_signs
! heard '^STOPPING=1$' || fail "it does not end yet"
kill -TERM $daemon
wait $daemon || fail "the daemon's exit code is $?"
within 10 "its end" heard '^STOPPING=1$'
