#!/bin/sh
# SPDX-License-Identifier: MIT
# .hosts: what other machines keep in the same repository, each with the
# folders that the root has.
. "$(dirname "$0")/mount-lib.sh"

repo=$YORE_REPOSITORY
# Another machine: without the note of who we are, the next command is one.
become() { # name
	[ ! -e "$repo/local/host" ] || mv "$repo/local/host" "$repo/local/host.$me"
	[ ! -e "$repo/local/host.$1" ] || mv "$repo/local/host.$1" "$repo/local/host"
	me=$1
}
soon() { # command...
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return 0
		sleep 0.2
	done
	return 1
}
ids() { ls "$repo/records"; }
me=one
named=no
if [ "$(id -u)" = 0 ] && unshare -u true 2>/dev/null; then
	named=yes
fi
take() { # host name, snapshot's arguments
	name=$1
	shift
	if [ $named = yes ]; then
		unshare -u sh -c 'hostname "$1"; shift; exec "$@"' sh "$name" "$yore" -q snapshot "$@" >/dev/null
	else
		"$yore" -q snapshot "$@" >/dev/null
	fi
}

printf 'one\n' >"$src/file"
"$yore" init >/dev/null
take alpha "$src"
first=$(ids)
become two
printf 'two\n' >"$src/file"
printf 'two\n' >"$src/extra"
take beta "$src" --tag theirs
rm "$src/extra"
sleep 1.1
take beta "$src"
second=$(ids | grep -v "$first")
become one
"$yore" -q mount "$mnt"

check "the root shows ours" equals one "$(cat "$mnt/latest$src/file")"
other=$(ls "$mnt/.hosts")
check "one other host" equals 1 "$(ls "$mnt/.hosts" | wc -l)"
[ $named = no ] || check "by its name" equals beta "$other"
of="$mnt/.hosts/$other"
check "its newest" equals two "$(cat "$of/latest$src/file")"
check "its moments" test -e "$of/@theirs$src/extra"
check "not ours" refuses ls "$mnt/@theirs"
check "its snapshots" equals 2 "$(ls "$of/.snapshots" | wc -l)"
check "its days" equals 2 "$(ls "$of" | wc -l)"
check "ours" equals 1 "$(ls "$mnt/.snapshots" | wc -l)"
check "what it deleted" equals two "$(cat "$of/.deleted$src/extra")"
check "its versions" equals 1 "$(ls "$of/.versions$src/file" | wc -l)"
check "its changes" test -e "$of/.diff/@theirs..@latest/removed$src/extra"
check "its files are not ours" test "$(stat -c %i "$of/latest$src/file")" != \
	"$(stat -c %i "$mnt/latest$src/file")"
cd "$of/@theirs$src"
check "the way back up" equals "$of/@theirs$work" "$(cd .. && pwd -P)"
check "and from the host" equals "$mnt/.hosts" "$(cd "$of/.." && pwd -P)"
cd /
check "no such host" refuses ls "$mnt/.hosts/nobody"
check "no control files of another host" refuses ls "$of/.yore"
check "nothing can be written" refuses mkdir "$mnt/.hosts/x"

# A third one of the same name: both get the beginning of their id.
if [ $named = yes ]; then
	become three
	take beta "$src"
	third=$(ids | grep -v -e "$first" -e "$second")
	become one
	check "no name twice" soon refuses ls "$mnt/.hosts/beta"
	check "both are there" test -e "$mnt/.hosts/beta-$(printf '%.8s' "$second")/latest$src"
	check "whoever knows the new name" equals two \
		"$(cat "$mnt/.hosts/beta-$(printf '%.8s' "$third")/latest$src/file")"
fi
"$yore" -q umount "$mnt"

# A machine that has none of its own, and several others to choose from.
become four
check "commands want one chosen" refuses "$yore" ls latest
"$yore" -q mount "$mnt"
check "nothing of its own in the root" equals "" "$(ls "$mnt")"
check "the others" test "$(ls "$mnt/.hosts" | wc -l)" -ge 2
"$yore" -q umount "$mnt"
