# SPDX-License-Identifier: MIT
# Sourced by the scripts here: a private folder, a repository in it, their end.
# $1 is the program; --long anywhere asks for everything instead of a sample.
yore=$(realpath "${1:?name the yore program}")
long=0
for argument in "$@"; do
	[ "$argument" = --long ] && long=1
done
here=$(dirname "$(realpath "$0")")

set -u
umask 022
# In memory where there is some: a power cut here is one of a file system in a file,
# or only ends a process.
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
work=$(realpath "$(mktemp -d)")
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/config" XDG_DATA_HOME="$work/home/data"
export YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo" YORE_CONFIG="$work/yore.conf"
export TZ=UTC
mkdir "$HOME" "$work/source"
: >"$YORE_CONFIG" # the machine's own has no part in a test
name=${0##*/}
failed=0

finish() {
	status=$?
	trap - EXIT
	cd /
	if mountpoint -q "$work/disk" 2>/dev/null; then
		umount "$work/disk" || umount -l "$work/disk"
	fi
	rm -rf "$work"
	[ "$status" = 77 ] && exit 77
	if [ "$status" != 0 ] || [ "$failed" != 0 ]; then
		echo "FAIL: $name"
		exit 1
	fi
	echo "PASS: $name"
	exit 0
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

skip() {
	echo "SKIP: $name: $*"
	exit 77
}

not_ok() {
	echo "NOT OK: $*"
	failed=1
}

# Files of a small source, other ones at each call: a number.
change_source() {
	for i in 1 2 3; do
		head -c $((i * 3000)) /dev/urandom >"$work/source/file$i"
	done
	head -c 200000 /dev/urandom >"$work/source/file4"
	echo "$1" >"$work/source/number"
}

# Ids in the output of snapshots --json.
listed_ids() {
	grep -o '"id": *"[0-9a-f]*"' | grep -o '[0-9a-f]\{64\}'
}

# Ids of all snapshots, sorted.
ids() {
	"$yore" snapshots --json 2>"$work/ids-errors" | listed_ids | sort
}

# Everything is whole, and what was acknowledged ($work/acknowledged) is there.
sound() { # after what
	if ! "$yore" check >"$work/check" 2>&1; then
		not_ok "$1: yore check says"
		cat "$work/check"
	fi
	ids >"$work/listed"
	if [ -n "$(sort "$work/acknowledged" | comm -23 - "$work/listed")" ]; then
		not_ok "$1: an acknowledged snapshot is gone"
		cat "$work/ids-errors"
	fi
}

# Take a snapshot; once it is acknowledged, remember that.
snapshot() {
	"$yore" snapshot --json "$work/source" >"$work/taken" 2>"$work/errors" || return
	grep -o '"id": *"[0-9a-f]*"' "$work/taken" | grep -o '[0-9a-f]\{64\}' >>"$work/acknowledged"
}

# The newest snapshot holds what the source holds.
newest_equals_source() { # after what
	rm -rf "$work/restored"
	if ! "$yore" restore "latest:$work/source" --to "$work/restored" >"$work/restore" 2>&1; then
		not_ok "$1: restore says"
		cat "$work/restore"
	elif ! diff -r "$work/source" "$work/restored/source"; then
		not_ok "$1: the newest snapshot differs from its source"
	fi
}

begin() {
	: >"$work/acknowledged"
	"$yore" init >"$work/init" 2>&1 || {
		cat "$work/init"
		exit 1
	}
	change_source 0
	snapshot || {
		cat "$work/errors"
		exit 1
	}
}

need_strace() {
	command -v strace >/dev/null || skip "strace is not installed"
	strace -f -o /dev/null -e trace=none true 2>/dev/null || skip "strace may not trace here"
}

# Make a file system in a file and mount it at $work/disk.
make_disk() { # kind, MiB
	command -v "mkfs.$1" >/dev/null || return 1
	[ "$(id -u)" = 0 ] || return 1
	mkdir -p "$work/disk"
	rm -f "$work/image"
	truncate -s "$2M" "$work/image"
	case $1 in
	ext4) mkfs.ext4 -q -F "$work/image" ;;
	xfs) mkfs.xfs -q -f "$work/image" ;;
	esac >/dev/null 2>&1 || return 1
	mount -o loop "$work/image" "$work/disk" 2>/dev/null
}
