#!/bin/bash
# SPDX-License-Identifier: MIT
# What the snapshot does not have stays, unless --delete; a dry run only tells.
# Usage: restore-overlay.sh YORE
set -eu
yore=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo"
mkdir -p "$HOME" "$work/source/dir"
fail() {
	echo "restore-overlay: $*" >&2
	exit 1
}

cd "$work"
echo then >source/changed
echo then >source/dir/same
echo then >source/was-file
mkdir source/was-dir
"$yore" init >/dev/null
"$yore" snapshot "$work/source" >/dev/null

mkdir -p to/source/dir/extra/deep to/source/was-file/full
echo now, and longer >to/source/changed
cp -p source/dir/same to/source/dir/same
chmod 0600 to/source/dir/same
echo mine >to/source/dir/extra/deep/file
echo mine >to/source/extra
echo mine >to/source/was-dir
inode=$(stat -c %i to/source/dir/same)

code=0
"$yore" restore "latest:$work/source" --to to >/dev/null 2>said || code=$?
[ $code = 3 ] || fail "a directory in place of a file: exit $code instead of 3"
grep -q was-file said || fail "was-file is not named"
[ -d to/source/was-file/full ] || fail "a directory was deleted unasked"
[ "$(cat to/source/changed)" = then ] || fail "changed was not restored"
[ "$(cat to/source/extra)" = mine ] && [ -e to/source/dir/extra/deep/file ] || fail "extras are gone"
[ -d to/source/was-dir ] || fail "was-dir is no directory"
[ "$(stat -c %i to/source/dir/same)" = "$inode" ] || fail "an equal file was written again"
[ "$(stat -c %a to/source/dir/same)" = "$(stat -c %a source/dir/same)" ] || fail "its mode was not set"

find to -printf '%p %i %m %s %T@\n' | sort >before
"$yore" restore "latest:$work/source" --to to --delete --dry-run >said || fail "dry run: exit $?"
find to -printf '%p %i %m %s %T@\n' | sort >after
cmp before after || fail "a dry run changed something"
grep -q 'delete .*dir/extra' said && grep -q 'delete .*source/extra' said || fail "deletions are not told"

"$yore" restore "latest:$work/source" --to to --delete >/dev/null || fail "restore --delete: exit $?"
diff -r source to/source || fail "contents differ"
echo "restore-overlay: ok"
