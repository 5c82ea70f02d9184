# SPDX-License-Identifier: MIT
# Sourced by the tests of capture and of commands (bash): a private folder, a
# repository, helpers, and their end. $1 of the test, or $YORE, is the program.
yore=${1:-${YORE:?name the yore program as the first argument or in YORE}}
yore=$(realpath "$yore")
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
name=${0##*/}
set -euo pipefail
umask 022
work=$(mktemp -d)
chmod 0755 "$work"
work=$(realpath "$work")
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo" TZ=UTC
unset YORE_PASSWORD YORE_PASSWORD_FILE YORE_PASSWORD_COMMAND CREDENTIALS_DIRECTORY
# The machine's own configuration has no part in a test.
export YORE_CONFIG="$work/yore.conf"
: >"$YORE_CONFIG"
source=$work/source
mnt=$work/mnt
out=$work/out
err=$work/err
mkdir -p "$HOME" "$source" "$mnt"

fail() {
	echo "FAIL: $name: $*" >&2
	for f in "$out" "$err"; do
		[ ! -s "$f" ] || { echo "--- last ${f##*/}:"; head -n 20 "$f"; } >&2
	done
	exit 1
}

skip() {
	echo "SKIP: $name: $*"
	exit 77
}

need() { # program...
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need_fuse() {
	[ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "no /dev/fuse to use"
}

# Take away every mount below the private folder, the innermost first.
unmount_all() {
	local at
	cd /
	awk '{ print $2 }' /proc/mounts | grep -F "$work/" | sort -r | while read -r at; do
		at=$(printf '%b' "$at")
		"$yore" umount "$at" >/dev/null 2>&1 || umount "$at" 2>/dev/null ||
			umount -l "$at" 2>/dev/null || true
	done
}

cleanup() {
	local status=$? job
	trap - EXIT
	for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
	wait 2>/dev/null || true
	! declare -F before_cleanup >/dev/null || before_cleanup || true
	unmount_all || true
	if grep -qF " $work/" /proc/mounts; then
		echo "FAIL: $name: still mounted below $work" >&2
		exit 1
	fi
	rm -rf "$work" 2>/dev/null || rm -rf "$work" || true
	[ "$status" != 0 ] || echo "PASS: $name"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# Run, remember what was said in $out and $err, and want this exit code.
expect_exit() { # CODE command...
	local want=$1 got=0
	shift
	"$@" >"$out" 2>"$err" || got=$?
	[ "$got" = "$want" ] || fail "exit $got, wanted $want: $*"
}

# What the last command said on stderr (or stdout) matches.
said() { # REGEX
	grep -Eq -- "$1" "$err" "$out" || fail "nothing matches '$1'"
}

not_said() { # REGEX
	! grep -Eq -- "$1" "$err" "$out" || fail "something matches '$1'"
}

equal() { # WHAT WANTED GOT
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

at_most() { # WHAT LIMIT GOT
	[ "$3" -le "$2" ] || fail "$1: $3 is more than $2"
}

fresh_repo() {
	"$yore" init >/dev/null 2>"$err" || fail "init"
}

# Snapshot with --json; the numbers can then be asked for with `number`.
snap() { # arguments...
	"$yore" --json snapshot "$@" >"$out" 2>"$err" || fail "snapshot $*"
}

# A number out of the last JSON answer.
number() { # KEY
	grep -Eo "\"$1\": *-?[0-9.]+" "$out" | head -n 1 | grep -Eo -- '-?[0-9.]+$' ||
		fail "no $1 in the answer"
}

check() {
	expect_exit 0 "$yore" check "$@"
}

mount_it() {
	expect_exit 0 "$yore" -q mount "$mnt"
}

unmount_it() {
	expect_exit 0 "$yore" umount "$mnt"
}

# Sizes of all files of the repository that count, and the number of its packs.
repository_bytes() {
	find "$YORE_REPOSITORY/packs" "$YORE_REPOSITORY/records" -type f -printf '%s\n' |
		awk '{ n += $1 } END { printf "%d\n", n }'
}

pack_count() {
	find "$YORE_REPOSITORY/packs" -type f | wc -l
}

record_count() {
	find "$YORE_REPOSITORY/records" -type f | wc -l
}

# Build the tree printer unless TREE_PRINT names one.
tree_print() { # arguments...
	if [ -z "${TREE_PRINT:-}" ]; then
		TREE_PRINT=$work/tree_print
		"${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 \
			"$here/tree_print.c" -o "$TREE_PRINT" || skip "cannot build tree_print"
	fi
	"$TREE_PRINT" "$@"
}

same_trees() { # WHAT A B [tree_print options]
	local what=$1 a=$2 b=$3
	shift 3
	tree_print "$@" "$a" >"$work/print-a" || fail "$what: cannot print $a"
	tree_print "$@" "$b" >"$work/print-b" || fail "$what: cannot print $b"
	if ! cmp -s "$work/print-a" "$work/print-b"; then
		diff "$work/print-a" "$work/print-b" | cut -c 1-400 | head -n 10 >&2
		fail "$what: $a and $b differ"
	fi
}

# Seconds since some moment, with a fraction.
now() {
	date +%s.%N
}

# Let everything written so far leave the racy window (2 s).
settle() {
	sleep 2.1
}
