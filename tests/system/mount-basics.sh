#!/bin/sh
# SPDX-License-Identifier: MIT
# What was captured is in the mount, with all that belongs to it.
. "$(dirname "$0")/mount-lib.sh"

mkdir -p "$src/deep/er" "$src/empty" "$src/many"
printf 'hello\n' >"$src/a"
ln "$src/a" "$src/deep/hard"
ln -s ../a "$src/deep/soft"
mkfifo "$src/fifo"
: >"$src/zero"
head -c 3000000 /dev/urandom >"$src/big"
truncate -s 5M "$src/sparse"
printf 'end' >>"$src/sparse"
touch -d '2001-02-03 04:05:06.789012345' "$src/a"
i=0
while [ $i -lt 500 ]; do
	printf '%s' "$i" >"$src/many/file $i"
	i=$((i + 1))
done
printf 'x' >"$src/$(printf 'new\nline')"
chmod 640 "$src/zero"
start "$src"
old="$mnt/latest$src"

check "all is equal" diff -r --no-dereference -x fifo "$src" "$old"
check "as many names" equals "$(find "$src" | wc -l)" "$(find "$old" | wc -l)"
describe() { (cd "$1" && find . -printf '%p %y %m %U %G %s %T@ %l\n' | sort); }
check "equal attributes" equals "$(describe "$src")" "$(describe "$old")"
check "hard links are one inode" equals "$(stat -c %i "$old/a")" "$(stat -c %i "$old/deep/hard")"
check "nlink" equals 2 "$(stat -c %h "$old/a")"
check "the fifo is one" test -p "$old/fifo"
check "the sparse file has a hole" test "$(($(stat -c %b "$old/sparse") * 512))" -lt 5242880
mkdir "$work/copy"
check "cp -a works" cp -a "$old/." "$work/copy/"
check "the copy is equal" diff -r --no-dereference -x fifo "$src" "$work/copy"
check "tar works" sh -c "tar cf - -C '$old' . | tar tf - >/dev/null"
check "read only" refuses touch "$old/new"
check "read only for root, too" refuses rm "$old/a"
check "an absent name" refuses stat "$old/absent"
check "the root lists latest and a day" equals 2 "$(ls "$mnt" | wc -l)"
check ".snapshots lists one" equals 1 "$(ls "$mnt/.snapshots" | wc -l)"
check "latest points at the exact name" equals "$(ls "$mnt/.snapshots")" "$(readlink "$mnt/latest")"
check "nothing before the first" refuses stat "$mnt/@2001-01-01"
check "no such moment" refuses stat "$mnt/@nonsense"
check "@today" diff -q "$src/a" "$mnt/@today$src/a"
check "status.json is JSON of the right size" equals "$(stat -c %s "$mnt/.yore/status.json" | wc -l)" 1
check "status.json is readable" grep -q snapshots "$mnt/.yore/status.json"

printf 'changed\n' >"$src/b"
"$yore" -q snapshot "$src" >/dev/null
# The daemon hears of it a moment later.
waited=0
while [ "$(ls "$mnt/.snapshots" | wc -l)" != 2 ] && [ $waited -lt 50 ]; do
	sleep 0.1
	waited=$((waited + 1))
done
check "the new snapshot is in the listing" test $waited -lt 50
check "and in latest" diff -q "$src/b" "$mnt/latest$src/b"
check "a second mount on it is refused" refuses "$yore" -q mount "$mnt"
(cd "$mnt/latest$src" && refuses "$yore" -q umount "$mnt") && echo "ok: in use" || failed=1
check "umount" "$yore" -q umount "$mnt"
check "gone" refuses mountpoint -q "$mnt"
touch "$mnt/file"
check "a folder with files is refused" refuses "$yore" -q mount "$mnt"
rm "$mnt/file"
check "a second mount" "$yore" -q mount "$mnt"
check "is as good" diff -q "$src/b" "$mnt/latest$src/b"
