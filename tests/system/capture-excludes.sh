#!/bin/bash
# SPDX-License-Identifier: MIT
# What is left out: patterns, caches, other and virtual file systems, the repository, our mounts.
# Usage: capture-excludes.sh YORE
. "$(dirname -- "$0")/lib.sh"
need strace
# The leak check of a sanitized build cannot work below strace.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
paths() { # of the newest snapshot, below the source
	"$yore" ls -R --json "latest:$source" >"$out" || fail "ls -R"
	grep -Eo '"path": *"[^"]*"' "$out" | sed 's/.*"\([^"]*\)"$/\1/' | sed "s|^$source||" |
		sed 's|^/||; s|/$||' | grep . | sort
}
has() {
	for p; do grep -Fxq -- "$p" <<<"$listing" || fail "$p is missing"; done
}
lacks() {
	for p; do ! grep -Fxq -- "$p" <<<"$listing" || fail "$p is there"; done
}

cd "$source"
mkdir -p build/deep src/build node_modules/x docs/html cache tagged .hidden "with space"
for f in a.o b.c build/out build/deep/out src/c.o src/build/x src/keep.o node_modules/x/y docs/a.html \
	docs/html/b.html cache/data tagged/data .hidden/file "with space/f" '#hash' '!bang' foo1 foo2 foox; do
	echo "$f" >"$f"
done
printf 'Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n' >tagged/CACHEDIR.TAG
echo 'no signature' >cache/CACHEDIR.TAG
cd "$work"
fresh_repo

expect_exit 0 "$yore" snapshot "$source" --exclude '*.o' --exclude '!src/keep.o' \
	--exclude '/build/' --exclude 'node_modules' --exclude 'docs/**/*.html' --exclude '# a comment' \
	--exclude '\#hash' --exclude '\!bang' --exclude 'foo[0-9]'
listing=$(paths)
has b.c src src/build/x src/keep.o cache/data tagged/data .hidden/file 'with space/f' foox docs docs/html
lacks a.o src/c.o build build/out build/deep/out node_modules node_modules/x/y docs/a.html docs/html/b.html \
	'#hash' '!bang' foo1 foo2

# Remembered, then replaced by a file, then dropped.
expect_exit 0 "$yore" snapshot
listing=$(paths)
lacks a.o build/out
printf '# patterns\n*.c\n\ncache/*\n' >"$work/patterns"
expect_exit 0 "$yore" snapshot "$source" --exclude-file "$work/patterns" --exclude-caches
listing=$(paths)
has a.o build/out tagged tagged/CACHEDIR.TAG cache
lacks b.c cache/data tagged/data
expect_exit 0 "$yore" snapshot "$source" --exclude ''
listing=$(paths)
has a.o b.c cache/data tagged/data build/deep/out '#hash'
expect_exit 1 "$yore" snapshot "$source" --exclude-file "$work/no-such-file"
said 'no-such-file'

# The repository within the source: not one of its files is opened by the walk.
rm -rf "$YORE_REPOSITORY"
export YORE_REPOSITORY=$source/inside/repository
mkdir "$source/inside" && echo beside >"$source/inside/beside"
fresh_repo
expect_exit 0 "$yore" snapshot "$source"
listing=$(paths)
has inside inside/beside
lacks inside/repository/config inside/repository/index
other=$work/repo-elsewhere
expect_exit 0 env YORE_REPOSITORY="$other" "$yore" init
mv "$other" "$source/other-repository"
strace -ff -y -e trace=open,openat -o "$work/trace" "$yore" snapshot "$source" >/dev/null 2>"$err" || fail "snapshot"
walked=$(cat "$work"/trace.* | grep O_NOATIME) # how a capture, and nothing else, opens
grep -qF "<$source/inside>" <<<"$walked" || fail "the trace does not show the walk"
! grep -F "<$source/inside/repository" <<<"$walked" || fail "the walk entered the repository"
listing=$(paths)
has other-repository
lacks other-repository/config other-repository/keys
check

[ "$(id -u)" = 0 ] || exit 0
# Other file systems: taken, unless -x; virtual ones never.
mkdir "$source/tmpfs" "$source/proc" "$source/bind" "$source/sys"
if mount -t tmpfs none "$source/tmpfs" 2>/dev/null; then
	echo within >"$source/tmpfs/within"
	mount -t proc proc "$source/proc"
	mount --bind /sys "$source/sys"
	mount --bind /etc "$source/bind"
	expect_exit 0 "$yore" snapshot "$source"
	listing=$(paths)
	has proc sys bind/passwd
	lacks proc/version proc/self sys/kernel
	expect_exit 0 "$yore" snapshot "$source" -x
	listing=$(paths)
	has tmpfs proc bind bind/passwd b.c # a bind mount is the same file system
	lacks tmpfs/within proc/version
	umount "$source/tmpfs" "$source/proc" "$source/bind" "$source/sys"
fi

# A yore mount within the source.
[ -w /dev/fuse ] || exit 0
mkdir "$source/backups"
expect_exit 0 "$yore" -q mount "$source/backups"
snap "$source" --exclude ''
files=$(number files)
listing=$(paths)
lacks backups/latest
snap
equal "files of the next" "$files" "$(number files)"
check
