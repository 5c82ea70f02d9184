# SPDX-License-Identifier: MIT
# Sourced after lib.sh by the daemon-* tests: a daemon, waiting for what it does, and its end.

within() { # SECONDS WHAT command...: becomes true in time
	local n=$(($1 * 20)) what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ $((n -= 1)) -gt 0 ] || fail "not in time: $what: $(said_last)"
		sleep 0.05
	done
}

said_last() {
	tail -n 3 "$work/daemon.err" 2>/dev/null || true
}

is() { # WANTED FILE
	[ "$(timeout 5 cat "$2" 2>/dev/null)" = "$1" ]
}

captured() { # WANTED PATH: without the mount
	[ "$(timeout 20 "$yore" cat "latest:$2" 2>/dev/null)" = "$1" ]
}

quick() { # more lines of [snapshot]...: of the configuration, with a mount
	printf '[snapshot]\nquiet = 300ms\nlongest = 2s\n'
	[ $# = 0 ] || printf '%s\n' "$@"
	printf '[mount]\npath = %s\n' "$mnt"
}

foreground() {
	"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
	daemon=$!
	within 20 "mounted" mountpoint -q "$mnt"
}

# Under a supervisor; its log goes to syslog.
background() {
	"$yore" mount >"$work/daemon.out" 2>"$work/daemon.err" || fail "mount: $(said_last)"
}

gone() { # PID
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status"
}

worker() { # the process that protects; fails while there is none
	local pid
	pid=$(head -n 1 "$YORE_REPOSITORY/local/daemon" 2>/dev/null) || return 1
	[ -n "$pid" ] && ! gone "$pid" && echo "$pid"
}

parent() { # PID
	awk '/^PPid/ { print $2 }' "/proc/$1/status"
}

stop() { # PID: in order
	kill -TERM "$1"
	within 20 "the end" gone "$1"
}

# All that this test started and that still runs: they have its private home.
before_cleanup() {
	local p
	for p in /proc/[0-9]*; do
		! grep -qzsxF "HOME=$HOME" "$p/environ" || [ "${p#/proc/}" = $$ ] ||
			[ "$(cat "$p/comm" 2>/dev/null)" = bash ] ||
			kill -9 "${p#/proc/}" 2>/dev/null || true
	done
}
