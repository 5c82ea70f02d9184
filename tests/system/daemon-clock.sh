#!/bin/bash
# SPDX-License-Identifier: MIT
# The clock is set ahead by twenty years, then back by forty: changes, streams,
# whole walks and collection go on, none of them stalls, and none of them spins.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_fuse
need python3
shift=${CLOCK_SHIFT_LIBRARY:?the library that shifts a clock}
year=31557600

set_clock() { # SECONDS beside the right time; in place, as it is mapped
	python3 -c '
import struct, sys
with open(sys.argv[1], "r+b" if len(sys.argv) > 3 else "wb") as f:
    f.write(struct.pack("<q", int(sys.argv[2])))' "$work/shift" "$@"
}

fresh_repo
mkdir "$work/outside"
echo one >"$source/file"
echo one >"$source/linked"
ln "$source/linked" "$work/outside/linked"
{
	quick 'full-walk = 2s'
	printf '[retention]\ncollect-every = 2s\n'
	printf '[source a]\npath = %s\nwatch = inotify\n' "$source"
	printf '[source runs]\npath = /runs\nevery = 1s\n'
	printf 'command = echo x >>%s; wc -l <%s\n' "$work/runs" "$work/runs"
} >"$YORE_CONFIG"
set_clock 0
export CLOCK_SHIFT=$work/shift
LD_PRELOAD=$shift "$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
within 20 "mounted" mountpoint -q "$mnt"

runs() {
	{ cat "$work/runs" 2>/dev/null || true; } | wc -l
}

ran_since() { # COUNT
	[ "$(runs)" -gt "$1" ]
}

goes_on() { # WHAT
	local ran
	ran=$(runs)
	echo "$1" >"$source/file"
	within 15 "a change, $1" captured "$1" "$source/file"
	within 15 "the program runs, $1" ran_since $((ran + 1))
	# A write through a name outside is what only a whole walk finds.
	echo "$1" >"$work/outside/linked"
	within 15 "a whole walk, $1" captured "$1" "$source/linked"
}

cpu() {
	awk '{ print $14 + $15 }' "/proc/$daemon/stat"
}

goes_on "at the right time"
set_clock $((20 * year)) in-place
goes_on "ahead"
set_clock $((-20 * year)) in-place
goes_on "back"
before=$(cpu) ran=$(runs)
sleep 2
at_most "CPU ms in 2 s after that" 500 $((($(cpu) - before) * 1000 / $(getconf CLK_TCK)))
at_most "runs in 2 s" 4 $(($(runs) - ran))
stop "$daemon"
check --data
