#!/bin/sh
# SPDX-License-Identifier: MIT
# .versions: every version of a file under the name of the first snapshot that
# has it, every name that ever was in a folder; rights as they last were.
. "$(dirname "$0")/mount-lib.sh"

names() { # of all snapshots, oldest first
	"$yore" snapshots --json | tr ',' '\n' | sed -n 's/.*"name": *"\(@[^"]*\)".*/\1/p' | sort
}
nth() { # number, lines on stdin
	sed -n "$1p"
}
take() { "$yore" -q snapshot "$src" "$@" >/dev/null; }
as() { # uid, command...
	id=$1
	shift
	setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
}
soon() { # command...: the mount hears of a snapshot a moment later
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		"$@" && return 0
		sleep 0.2
	done
	return 1
}
listing() { ls "$1" | tr '\n' ' '; }
sorted() { printf '%s\n' "$@" | sort | tr '\n' ' '; } # as ls does

mkdir -p "$src/docs" "$src/was" "$src/closed" "$src/both"
printf 'one\n' >"$src/docs/report.odt"
printf 'x\n' >"$src/docs/.profile"
printf 'x\n' >"$src/docs/all.tar.gz"
printf 'x\n' >"$src/was/here"
printf 'inside\n' >"$src/both/inside"
printf 'secret\n' >"$src/closed/secret"
ln -s report.odt "$src/docs/link"
chmod 700 "$src/closed"
chown 12345:12345 "$src/closed" 2>/dev/null || :
"$yore" init >/dev/null
take
touch "$src/docs/report.odt"
take
printf 'two\n' >"$src/docs/report.odt"
rm -r "$src/was" "$src/both"
printf 'file\n' >"$src/both"
take
rm "$src/docs/report.odt"
take
printf 'one\n' >"$src/docs/report.odt"
take
names >"$work/names"
s1=$(nth 1 <"$work/names") s3=$(nth 3 <"$work/names") s5=$(nth 5 <"$work/names")
"$yore" -q mount "$mnt"
of="$mnt/.versions$src"
report="$of/docs/report.odt"

check "runs of equal content" equals "$(sorted "$s1.odt" "$s3.odt" "$s5.odt")" "$(listing "$report")"
check "the first" equals one "$(cat "$report/$s1.odt")"
check "the second" equals two "$(cat "$report/$s3.odt")"
check "it came back" equals one "$(cat "$report/$s5.odt")"
check "what was there all the time has no other" refuses cat "$report/$(nth 2 <"$work/names").odt"
check "nor under another ending" refuses cat "$report/$s1"
check "one node with the snapshot's" equals "$(stat -c %i "$mnt/$s1$src/docs/report.odt")" \
	"$(stat -c %i "$report/$s1.odt")"
check "listed under that number" equals "$(stat -c %i "$report/$s1.odt")" \
	"$(ls -i "$report" | awk -v n="$s1.odt" '$2 == n { print $1 }')"
check "names without ending" equals "$s1 " "$(listing "$of/docs/.profile")"
check "double endings" equals "$s1.tar.gz " "$(listing "$of/docs/all.tar.gz")"
check "links have versions" equals report.odt "$(readlink "$of/docs/link/$s1")"
check "all names of a folder" equals "both closed docs was " "$(listing "$of")"
check "also of one that is gone" equals "here " "$(listing "$of/was")"
check "and what was in it" equals x "$(cat "$of/was/here/$s1")"
check "a name that was both" equals "$s3 inside " "$(listing "$of/both")"
check "as a folder" equals inside "$(cat "$of/both/inside/$s1")"
check "as a file" equals file "$(cat "$of/both/$s3")"
check "what never was is not there" refuses ls "$of/never"
check "they are folders" test -d "$report"
check "nothing can be written" refuses touch "$report/new"
check "not listed in the root" equals "" "$(ls -A "$mnt" | grep '^\.' || :)"
check "history agrees" equals "$s1 $s3 $(nth 4 <"$work/names") $s5 " \
	"$("$yore" history "$src/docs/report.odt" 2>/dev/null | awk '{ printf "%s ", $1 }')"
check "of a relative path, too" equals 4 \
	"$(cd "$src/docs" && "$yore" history report.odt --json | grep -c '"change"')"

ln -s "$src/docs" "$work/way"
check "and of one that symlinks lead to" equals 4 \
	"$("$yore" history "$work/way/report.odt" --json | grep -c '"change"')"
check "what never was has no history" refuses "$yore" history "$src/never"
check "a folder's history counts" sh -c "'$yore' history '$src/docs' 2>/dev/null | grep -q ' -1 '"

# What is listed follows what is taken, for who is in there as well.
cd "$report"
printf 'three\n' >"$src/docs/report.odt"
printf 'n\n' >"$src/docs/new"
take
s6=$(names | nth 6)
check "a new version" soon test -e "$report/$s6.odt"
check "is listed" soon sh -c '[ "$(ls | wc -l)" = 4 ]'
check "a new name" soon test -d "$of/docs/new"
check "who is inside stays" equals "$report" "$(pwd -P)"
cd /

# A folder of 3,000 names that came and went lists each of them once.
mkdir "$src/many"
seq -f "$src/many/a%.0f" 2000 | xargs touch
take
rm "$src"/many/a1*
seq -f "$src/many/b%.0f" 1000 | xargs touch
take
check "many names" soon sh -c "[ \"\$(ls '$of/many' | wc -l)\" = 3000 ]"
check "each once" equals 3000 "$(find "$of/many" -mindepth 1 -maxdepth 1 | sort -u | wc -l)"

# What was only looked at is no reason to keep a snapshot; what is open is one.
s2=$(nth 2 <"$work/names")
ls -lR "$report" >/dev/null
cat "$report"/* >/dev/null
cd "$of/docs"
check "a snapshot goes" "$yore" -q forget "$s1"
check "its version has the name of the next that has it" soon test -e "$report/$s2.odt"
check "and no longer its own" soon refuses ls "$report/$s1.odt"
check "with its content" equals one "$(cat "$report/$s2.odt")"
check "who is inside stays there" equals "$of/docs" "$(/bin/pwd -P)"
cd /
exec 7<"$report/$s2.odt"
check "one in use stays" refuses "$yore" -q forget "$s2"
check "and is read" equals one "$(cat <&7)"
exec 7<&-
s1=$s2

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	check "others read what is open" as 23456 cmp -s "$report/$s1.odt" "$report/$s1.odt"
	check "others do not enter what was closed" refuses as 23456 ls "$of/closed"
	check "nor reach through it" refuses as 23456 cat "$of/closed/secret/$s1"
	check "its owner does" as 12345 cmp -s "$of/closed/secret/$s1" "$of/closed/secret/$s1"
	check "mode and owner" equals "700 12345" "$(stat -c '%a %u' "$of/closed")"
	rmdir_closed() { rm -r "$src/closed" && printf 'now a file\n' >"$src/closed"; }
	rmdir_closed
	take
	check "now it is a file" soon sh -c "ls '$of/closed' | grep -q '^@'"
	check "what it held stays closed" refuses as 23456 cat "$of/closed/secret/$s1"
	if command -v setfacl >/dev/null && setfacl -m u:23456:- "$src/docs" 2>/dev/null; then
		take
		check "an ACL denies" soon refuses as 23456 ls "$of/docs"
		check "it is shown" sh -c "getfacl -pn '$of/docs' 2>/dev/null | grep -q 'user:23456:---'"
	fi
fi
"$yore" -q umount "$mnt"
