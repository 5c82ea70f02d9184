#!/bin/bash
# SPDX-License-Identifier: MIT
# Symlinks in the target lead nothing out of it.
# Usage: restore-symlink-escape.sh YORE
set -eu
yore=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo"
mkdir -p "$HOME" "$work/source/dir/sub" "$work/source/a/b" "$work/victim/sub" "$work/victim/b"
fail() {
	echo "restore-symlink-escape: $*" >&2
	exit 1
}

cd "$work"
echo snapshot >source/dir/file
echo snapshot >source/dir/sub/deeper
echo snapshot >source/top
ln source/top source/a/hard
echo snapshot >source/a/b/file
for name in file sub/deeper top b/file; do echo victim >"victim/$name"; done
chmod -R go+w victim
find victim -printf '%p %m %u %s %T@ %C@\n' | sort >before

"$yore" init >/dev/null
"$yore" snapshot "$work/source" >/dev/null
mkdir -p to/source/a
ln -s "$work/victim" to/source/dir
ln -s "$work/victim/top" to/source/top
ln -s "$work/victim/b" to/source/a/b
ln -s "$work/victim/top" to/source/a/hard
mkdir to/source/extra
ln -s "$work/victim" to/source/extra/out
ln -s "$work/victim" to/source/gone

"$yore" restore "latest:$work/source" --to to --delete >/dev/null || fail "restore: exit $?"
find victim -printf '%p %m %u %s %T@ %C@\n' | sort >after
cmp before after || { diff before after >&2; fail "something outside was touched"; }
diff -r source to/source || fail "contents differ"
[ ! -L to/source/dir ] && [ ! -L to/source/top ] && [ ! -L to/source/a/b ] || fail "a symlink is left"
[ ! -e to/source/extra ] && [ ! -L to/source/gone ] || fail "extras are left"
[ "$(stat -c %i to/source/top)" = "$(stat -c %i to/source/a/hard)" ] || fail "hard links"
echo "restore-symlink-escape: ok"
