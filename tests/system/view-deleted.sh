#!/bin/sh
# SPDX-License-Identifier: MIT
# .deleted: what is gone from the newest snapshot, as it last was, and nothing
# else; with the rights that it had.
. "$(dirname "$0")/mount-lib.sh"

take() { "$yore" -q snapshot "$src" >/dev/null; }
as() { # uid, command...
	id=$1
	shift
	setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
}
soon() { # command...
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return 0
		sleep 0.2
	done
	return 1
}
below() { (cd "$1" && find . -mindepth 1 | sort | tr '\n' ' '); }

mkdir -p "$src/kept/deep/er" "$src/gone/sub" "$src/same" "$src/changed" "$src/closed"
printf 'a\n' >"$src/kept/deep/er/lost"
printf 'b\n' >"$src/gone/sub/b"
printf 's\n' >"$src/same/s"
printf 'c1\n' >"$src/changed/c"
printf 't\n' >"$src/top"
printf 'k\n' >"$src/closed/secret"
chmod 700 "$src/closed"
chown 12345:12345 "$src/closed" 2>/dev/null || :
printf 'back\n' >"$src/back"
"$yore" init >/dev/null
take
printf 'a2\n' >"$src/kept/deep/er/lost"
printf 'early\n' >"$src/gone/early"
rm "$src/back"
take
rm "$src/kept/deep/er/lost" "$src/gone/early" "$src/top" "$src/closed/secret"
printf 'c2\n' >"$src/changed/c"
printf 'back again\n' >"$src/back"
take
rm -r "$src/gone"
printf 'new\n' >"$src/changed/new"
take
"$yore" -q mount "$mnt"
of="$mnt/.deleted$src"

check "what is gone and what leads there" equals \
	"./closed ./closed/secret ./gone ./gone/early ./gone/sub ./gone/sub/b ./kept ./kept/deep ./kept/deep/er ./kept/deep/er/lost ./top " \
	"$(below "$of")"
check "as it last was" equals a2 "$(cat "$of/kept/deep/er/lost")"
check "what is there is not deleted" refuses cat "$of/back"
check "nor what changed" refuses cat "$of/changed/c"
check "a folder that lost nothing is empty" equals "" "$(ls -A "$of/same")"
check "what never was is not there" refuses ls "$of/never"
check "one node with the last snapshot's that has it" equals \
	"$(cd "$mnt" && for s in .snapshots/*; do stat -c %i "$s$src/top" 2>/dev/null || :; done | tail -n 1)" \
	"$(stat -c %i "$of/top")"
check "it can be copied back" cp -a "$of/gone" "$work/again"
check "whole" equals "./early ./sub ./sub/b " "$(below "$work/again")"
check "nothing can be written" refuses rm "$of/top"

rm "$src/same/s"
printf 't again\n' >"$src/top"
take
check "a loss shows" soon test -e "$of/same/s"
check "in the listing, too" soon sh -c "ls '$of' | grep -qx same"
check "what came back is not deleted" soon refuses ls "$of/top"

# A folder that became a file: what it held is gone.
mkdir "$src/turns"
printf 'i\n' >"$src/turns/inside"
take
rm -r "$src/turns"
printf 'f\n' >"$src/turns"
take
check "what a folder held that is a file now" soon sh -c "[ \"\$(cat '$of/turns/inside')\" = i ]"

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	check "others do not enter what was closed" refuses as 23456 cat "$of/closed/secret"
	check "its owner does" as 12345 cmp -s "$of/closed/secret" "$of/closed/secret"
	rm -r "$src/closed"
	take
	check "now it is gone itself" soon equals 700 "$(stat -c %a "$of/closed")"
	check "and still closed" refuses as 23456 cat "$of/closed/secret"
	check "others read what was open" as 23456 cmp -s "$of/gone/early" "$of/gone/early"
fi
"$yore" -q umount "$mnt"
