#!/bin/bash
# SPDX-License-Identifier: MIT
# More changes at once than the system or the daemon keeps count of: the newest
# snapshot is the tree all the same, and status counts that it happened.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/daemon-lib.sh"
need_fuse
limit=/proc/sys/fs/inotify/max_queued_events

overflowed() {
	"$yore" --json status | grep -Eq '"watch_overflows": *[1-9]'
}

same() {
	diff -r --no-dereference "$source" "$mnt/latest$source" >"$work/differs" 2>&1
}

fresh_repo
mkdir "$source/d"
echo one >"$source/file"
{
	quick
	printf '[source a]\npath = %s\nwatch = inotify\n' "$source"
} >"$YORE_CONFIG"
n=17000
if [ -w $limit ]; then # each queue takes its limit when it is made
	was=$(cat $limit)
	restore_limit() { echo "$was" >$limit; }
	trap 'restore_limit; cleanup' EXIT
	echo 500 >$limit 2>/dev/null && n=1500
fi
foreground
[ -z "${was:-}" ] || echo "$was" >$limit
within 10 "a first snapshot" is one "$mnt/latest$source/file"
kill -STOP "$daemon"
(cd "$source/d" && seq $n | xargs touch)
rm "$source/file"
kill -CONT "$daemon"
within 20 "the tree after an overflow" same
within 10 "an overflow is counted" overflowed
stop "$daemon"
check
