#!/bin/sh
# SPDX-License-Identifier: MIT
# Several names of one snapshot, one name of several snapshots: nobody finds
# himself elsewhere, and no two versions are taken for one file.
. "$(dirname "$0")/mount-lib.sh"

mkdir -p "$src/d/e"
printf 'one\n' >"$src/d/e/f"
printf 'same\n' >"$src/d/g"
start "$src"
first="@$("$yore" snapshots --json | tr ',' '\n' | sed -n 's/.*"name": *"@\([^"]*\)".*/\1/p' | head -n 1)"

cd "$mnt/@today$src/d/e"
check "the place before" equals "$mnt/@today$src/d/e" "$(pwd -P)"
printf 'two\n' >"$src/d/e/f"
sleep 1
"$yore" -q snapshot "$src" >/dev/null
second=$(readlink "$mnt/latest")
check "two snapshots" equals 2 "$(ls "$mnt/.snapshots" | wc -l)"
check "@today means the second" equals two "$(cat "$mnt/@today$src/d/e/f")"
check "who is inside stays in the first" equals one "$(cat f)"
check "also above him" equals one "$(cat ../../d/e/f)"
cd /

check "cmp sees two versions" refuses cmp "$mnt/.snapshots/$first$src/d/e/f" \
	"$mnt/.snapshots/$second$src/d/e/f"
check "two inodes" test "$(stat -c %i "$mnt/$first$src/d/g")" != "$(stat -c %i "$mnt/$second$src/d/g")"
check "one snapshot has one" equals "$(stat -c %i "$mnt/$second$src/d/g")" \
	"$(stat -c %i "$mnt/.snapshots/$second$src/d/g")"
tar cf "$work/both.tar" -C "$mnt/.snapshots" "$first$src" "$second$src"
mkdir "$work/x"
tar xf "$work/both.tar" -C "$work/x"
check "tar has the first" equals one "$(cat "$work/x/$first$src/d/e/f")"
check "tar has the second" equals two "$(cat "$work/x/$second$src/d/e/f")"

# Each name keeps its own way up, whichever was used before.
for name in "@today" "$second" ".snapshots/$second" "@$(date +%Y-%m-%d)"; do
	cd "$mnt/$name$src/d/e"
	check "pwd below $name" equals "$mnt/$name$src/d/e" "$(pwd -P)"
	cd ../../..
	check "and above" equals "$mnt/$name$work" "$(pwd -P)"
done
cd "$mnt/@today$src/d"
ls -lR "$mnt/.snapshots" "$mnt/$second" "$mnt/$first" >/dev/null
check "after walks elsewhere as well" equals "$mnt/@today$src/d" "$(pwd -P)"
cd /
check "diff of the two" equals "1" "$(diff -rq "$mnt/$first$src" "$mnt/$second$src" | wc -l)"
