#!/bin/bash
# SPDX-License-Identifier: MIT
# Hooks run around a capture; once `before` was started, `after` runs exactly
# once, whatever happens to the capture or to yore.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
fresh_repo
echo one >"$source/file"
log=$work/log
: >"$log"
after="echo after \$YORE_HOOK >>$log"

# What the hooks wrote, at the latest in ten seconds; then nothing more comes.
wrote() { # WHAT WANTED
	local i
	for i in $(seq 100); do
		[ "$(tr '\n' ',' <"$log")" != "$2" ] || break
		sleep 0.1
	done
	[ "${3:-}" != settle ] || sleep 1.5
	equal "$1" "$2" "$(tr '\n' ',' <"$log")"
	: >"$log"
}

snap "$source" --before "echo before \$YORE_HOOK \$YORE_SOURCE >>$log; echo two >$source/dump" \
	--after "rm $source/dump; $after"
wrote "hooks" "before before $source,after after,"
equal "what before made" two "$("$yore" cat "latest:$source/dump")"
equal "its label" hook "$(label "$source/dump")"
equal "the snapshot's label" hook "$(snapshot_label)"

# Without `before` there is nothing to go by.
snap "$source" --after "$after"
wrote "hooks" "after after,"
equal "the snapshot's label" steady "$(snapshot_label)"

# A failing or slow `before`: no snapshot, but `after`.
count=$(record_count)
expect_exit 1 "$yore" snapshot "$source" --before "echo locked out >&2; exit 1" --after "$after"
said 'hook failed: exit status 1; it said: locked out'
wrote "hooks" "after after,"
expect_exit 1 "$yore" snapshot "$source" --before "trap '' TERM; sleep 60" --after "$after" \
	--hook-timeout 200ms
said 'time limit'
wrote "hooks" "after after,"
equal "records" "$count" "$(record_count)"

# A failing or slow `after`: the snapshot is good, and it is told.
expect_exit 3 "$yore" snapshot "$source" --before true --after "exit 9"
said 'exit status 9'
expect_exit 3 "$yore" snapshot "$source" --before true --after "sleep 60" --hook-timeout 200ms
said 'time limit'
equal "records" "$((count + 2))" "$(record_count)"

# The capture fails.
expect_exit 1 "$yore" snapshot "$work/missing" --before true --after "$after"
wrote "hooks" "after after,"

# Ended during `before`, and killed: a `before` that still runs is ended first.
before="echo before >>$log; sleep 2; echo frozen >>$log"
for signal in TERM KILL; do
	"$yore" snapshot "$source" --before "$before" --after "$after" >"$out" 2>"$err" &
	sleep 0.5
	kill -s $signal $!
	wait $! 2>/dev/null && fail "ended, yet good"
	wrote "hooks at $signal" "before,after after," settle
done

# Killed during the capture, which a fifo as standard input makes long.
mkfifo "$work/fifo"
for signal in TERM KILL; do
	"$yore" snapshot --stdin-name s --before "echo before >>$log" --after "$after" \
		<"$work/fifo" >"$out" 2>"$err" &
	exec 7>"$work/fifo"
	sleep 0.5
	kill -s $signal $!
	wait $! 2>/dev/null && fail "ended, yet good"
	exec 7>&-
	wrote "hooks in a capture at $signal" "before,after after,"
done
check
