#!/bin/sh
# SPDX-License-Identifier: MIT
# .diff/@a..@b: only what changed between two moments, as three trees that
# agree with yore diff, and that stay what they are.
. "$(dirname "$0")/mount-lib.sh"

take() { "$yore" -q snapshot "$src" "$@" >/dev/null; }
here() { find . -mindepth 1 | sort | tr '\n' ' '; }
below() { (cd "$1" && here); }
as() { # uid, command...
	id=$1
	shift
	setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
}

mkdir -p "$src/a/b" "$src/same/deep" "$src/went/away" "$src/moded" "$src/closed"
printf '1\n' >"$src/a/b/changed"
printf '1\n' >"$src/a/b/removed"
printf '1\n' >"$src/a/b/mode"
printf '1\n' >"$src/same/deep/file"
printf '1\n' >"$src/went/away/file"
printf '1\n' >"$src/turns"
printf '1\n' >"$src/closed/f"
chmod 700 "$src/closed"
chown 12345:12345 "$src/closed" 2>/dev/null || :
"$yore" init >/dev/null
take --tag before
printf '22\n' >"$src/a/b/changed"
rm "$src/a/b/removed"
chmod 600 "$src/a/b/mode"
rm -r "$src/went"
rm "$src/turns"
mkdir "$src/turns" "$src/added"
printf '2\n' >"$src/turns/in"
printf '2\n' >"$src/added/file"
printf '22\n' >"$src/closed/f"
chmod 711 "$src/moded"
take --tag after
"$yore" -q mount "$mnt"
d="$mnt/.diff/@before..@after"

check "three trees" equals "added modified removed " "$(ls "$d" | tr '\n' ' ')"
check "added" equals "./added ./added/file ./turns ./turns/in " "$(below "$d/added$src")"
check "removed" equals \
	"./a ./a/b ./a/b/removed ./turns ./went ./went/away ./went/away/file " \
	"$(below "$d/removed$src")"
check "modified" equals "./a ./a/b ./a/b/changed ./a/b/mode ./closed ./closed/f ./moded " \
	"$(below "$d/modified$src")"
check "modified is as in the second" equals 22 "$(cat "$d/modified$src/a/b/changed")"
check "removed is as in the first" equals 1 "$(cat "$d/removed$src/turns")"
check "added is as in the second" equals 2 "$(cat "$d/added$src/turns/in")"
check "what is equal is not there" refuses ls "$d/modified$src/same"
check "the other way round" equals "./a ./a/b ./a/b/removed ./turns ./went ./went/away ./went/away/file " \
	"$(below "$mnt/.diff/@after..@before/added$src")"
check "nothing with itself" equals "" "$(below "$mnt/.diff/@after..@latest/modified")"
check "moments of every kind" test -d "$mnt/.diff/@before..@today/added$src/added"
check "no such moment" refuses ls "$mnt/.diff/@before..@nothing"
check "no such name" refuses ls "$mnt/.diff/before"
check "nothing is listed there" equals "" "$(ls -A "$mnt/.diff")"
check "yore diff counts the same" equals 2 \
	"$("$yore" diff before after | grep -c '^- .*[^/]$')"

# Who is in a comparison stays in it, whatever its name means by now.
cd "$mnt/.diff/@before..@latest/added$src"
printf '3\n' >"$src/third"
take
sleep 1.2
check "before" refuses ls third
check "now" test -e "$mnt/.diff/@before..@latest/added$src/third"
check "still the old one" equals "./added ./added/file ./turns ./turns/in " "$(here)"
cd /

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	check "others do not enter what is closed" refuses as 23456 cat "$d/modified$src/closed/f"
	check "its owner does" as 12345 cmp -s "$d/modified$src/closed/f" "$d/modified$src/closed/f"
	check "others read what is open" as 23456 cmp -s "$d/added$src/turns/in" "$d/added$src/turns/in"
fi
"$yore" -q umount "$mnt"
