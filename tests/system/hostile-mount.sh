#!/bin/bash
# SPDX-License-Identifier: MIT
# A snapshot made by an attacker who has the keys, under everyday tools in the
# mount: what is wrong is an error, what is right stays readable, nothing
# loops, and the daemon lives on in bounded memory. $MAKE_HOSTILE makes it.
. "$(dirname "$0")/lib.sh"
need_fuse
[ -n "${MAKE_HOSTILE:-}" ] || skip "MAKE_HOSTILE does not name the helper"

good='these bytes are as they were'
evil=$mnt/latest$source
"$yore" init >"$out" 2>"$err" || fail "init"
code=$(grep -hoE '\b([0-9A-Z]{5}-){6}[0-9A-Z]{5}\b' "$out" "$err" | head -n 1)
[ -n "$code" ] || fail "init printed no recovery code"
YORE_PASSWORD=$code "$MAKE_HOSTILE" "$YORE_REPOSITORY" "$source"
mount_it

# Each tool comes to an end by itself, with an error, not by a signal.
ends() { # WHAT command...
	local what=$1 got=0
	shift
	timeout -k 5 "${YORE_PATIENCE:-60}" "$@" >"$out" 2>"$err" || got=$?
	[ $got != 0 ] || fail "$what noticed nothing"
	[ $got -lt 124 ] || fail "$what did not end by itself: $got"
	"$yore" --json status >/dev/null 2>&1 || [ $? -lt 128 ] || fail "status after $what"
	mountpoint -q "$mnt" || fail "the mount is gone after $what"
}

refused() { # FILE
	! cat "$evil/$1" >"$out" 2>"$err" || fail "$1 was read"
	[ ! -s "$out" ] || equal "what was read of $1" "" "$(head -c 30 "$out")"
}

ends ls ls -lR "$evil/"
grep -q "name-unsorted" "$out" || fail "ls does not show what is beside the damage"
ends find find "$evil/" -ls
ends grep grep -r nothing-has-this "$evil/"
ends cp cp -a "$evil/." "$work/copy"
ends tar tar cf "$work/tar" -C "$evil" .
ends du du -s "$evil/"
ends find find "$mnt/.versions$source" -ls

for file in bomb file-is-folder file-is-missing list-is-folder too-long; do
	refused $file
done
for folder in folder-is-data folder-is-missing; do
	! ls "$evil/$folder" >"$out" 2>"$err" || fail "$folder was listed"
done
equal "good" "$good" "$(cat "$evil/good")"
equal "copy of good" "$good" "$(cat "$work/copy/good")"
equal "good, far down" "$good" "$(cat "$evil/deep/d/d/d/d/d/d/d/d/../../../../../../../../../good")"
[ ! -e "$work/etc" ] && [ "$(ls "$work/copy" | grep -c passwd)" = 0 ] || fail "something got out"
! grep -aq "$(head -c 20 /etc/passwd)" "$work/copy/link" 2>/dev/null || [ -L "$work/copy/link" ] ||
	fail "the link was followed"

for p in /proc/[0-9]*; do
	tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -qx -- "$mnt" || continue
	at_most "the daemon's KiB" 600000 "$(awk '/VmHWM/ { print $2 }' "$p/status")"
done

expect_exit 20 "$yore" check
expect_exit 3 "$yore" restore "latest:$source" --to "$work/restored"
equal "restored" "$good" "$(cat "$work/restored/source/good")"
unmount_it
