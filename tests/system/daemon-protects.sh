#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon takes a snapshot soon after a change, also one that was made while
# it was down; reads its configuration again; goes on when it is unmounted from
# outside; ends in order with what was pending in a last snapshot.
. "$(dirname "$0")/lib.sh"
need_fuse

other=$work/other
mkdir "$other"
configure() { # paths...
	local i=0
	printf '[snapshot]\nquiet = 300ms\nlongest = 3s\n' >"$YORE_CONFIG"
	printf '[mount]\npath = %s\n' "$mnt" >>"$YORE_CONFIG"
	for path; do
		printf '[source s%d]\npath = %s\n' $((i += 1)) "$path" >>"$YORE_CONFIG"
	done
}

within() { # SECONDS WHAT command...: becomes true in time
	local n=$(($1 * 20)) what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		[ $((n -= 1)) -gt 0 ] || fail "not in time: $what"
		sleep 0.05
	done
}

is() { # WANTED FILE
	[ "$(cat "$2" 2>/dev/null)" = "$1" ]
}

gone() {
	! kill -0 "$daemon" 2>/dev/null
}

start_daemon() {
	"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
	daemon=$!
	within 10 "mounted" mountpoint -q "$mnt"
}

fresh_repo
configure "$source"
echo one >"$source/file"
start_daemon
within 10 "first snapshot" is one "$mnt/latest$source/file"
echo two >"$source/file"
within 10 "a changed file" is two "$mnt/latest$source/file"
mkdir -p "$source/new/deep"
echo deep >"$source/new/deep/file"
within 10 "a new folder" is deep "$mnt/latest$source/new/deep/file"
rm -r "$source/new"
within 10 "a removed folder" test ! -e "$mnt/latest$source/new"

# Nothing changes: nothing is added.
before=$(record_count)
sleep 2
equal "records while nothing changes" "$before" "$(record_count)"

# A snapshot's root says which rule keeps it.
if command -v getfattr >/dev/null; then
	equal "why the newest stays" latest \
		"$(getfattr --absolute-names --only-values -n user.yore.kept-by "$mnt/latest/")"
fi

# Another daemon beside it only shows.
mkdir "$work/second"
expect_exit 0 "$yore" mount "$work/second"
is two "$work/second/latest$source/file" || fail "the second mount does not show"
expect_exit 0 "$yore" umount "$work/second"
kill -0 $daemon || fail "the umount of another mount ended the daemon"

# A new source, and one that leaves.
echo more >"$other/file"
configure "$source" "$other"
kill -HUP $daemon
within 10 "a new source" is more "$mnt/latest$other/file"
configure "$other"
kill -HUP $daemon
within 10 "a source that left" test ! -e "$mnt/latest$source"
printf '[snapshot]\nquiet = nonsense\n' >>"$YORE_CONFIG"
kill -HUP $daemon
within 10 "a wrong configuration is named" grep -q "quiet" "$work/daemon.err"
configure "$source" "$other"
kill -HUP $daemon
within 10 "back again" is two "$mnt/latest$source/file"

# Unmounted from outside: goes on, and is mounted again.
umount "$mnt" 2>/dev/null || fusermount3 -u "$mnt"
echo three >"$source/file"
within 10 "a snapshot without the mount" sh -c "'$yore' cat latest:'$source/file' | grep -qx three"
within 20 "mounted again" mountpoint -q "$mnt"
within 10 "seen in the new mount" is three "$mnt/latest$source/file"

# The end: what is pending goes into a last snapshot.
echo four >"$source/file"
kill -TERM $daemon
within 20 "the end" gone
wait $daemon || fail "the daemon's exit code is $?"
equal "pending at the end" four "$("$yore" cat "latest:$source/file")"
! mountpoint -q "$mnt" || fail "still mounted after the end"

# Changed while it was down; then ended by umount.
echo five >"$source/file"
start_daemon
within 10 "a change made while it was down" is five "$mnt/latest$source/file"
expect_exit 0 "$yore" umount
within 20 "umount ends the daemon" gone

# Without a mount.
configure "$source"
sed -i 's/^path = .*mnt$/path =/' "$YORE_CONFIG"
"$yore" mount -f >"$work/daemon.out" 2>"$work/daemon.err" &
daemon=$!
echo six >"$source/file"
within 10 "without a mount" sh -c "'$yore' cat latest:'$source/file' | grep -qx six"
kill -TERM $daemon
within 20 "the end without a mount" gone
check --data
