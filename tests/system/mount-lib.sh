# SPDX-License-Identifier: MIT
# Sourced by the mount-* tests: a private folder, a repository, a mount, and
# their end. $1 of the test, or $YORE, is the program.
yore=${1:-${YORE:?name the yore program as the first argument or in YORE}}
case $yore in /*) ;; *) yore=$PWD/$yore ;; esac
[ -e /dev/fuse ] || { echo "SKIP: no /dev/fuse"; exit 77; }
[ -r /dev/fuse ] && [ -w /dev/fuse ] || { echo "SKIP: /dev/fuse is not ours"; exit 77; }

set -eu
umask 022
work=$(mktemp -d)
chmod 755 "$work"
work=$(realpath "$work")
src=$work/src
mnt=$work/mnt
mkdir "$src" "$mnt"
export HOME="$work/home" YORE_KEY_FOLDER="$work/keys" YORE_REPOSITORY="$work/repo"
export YORE_CONFIG="$work/yore.conf" TZ=UTC
mkdir "$HOME"
: >"$YORE_CONFIG" # the machine's own has no part in a test
failed=0

finish() {
	status=$?
	trap - EXIT
	cd /
	for at in "$mnt" "$work"/mnt?; do
		for try in 1 2 3; do
			mountpoint -q "$at" 2>/dev/null || grep -q " $at fuse" /proc/mounts || break
			"$yore" umount "$at" >/dev/null 2>&1 || umount -l "$at" 2>/dev/null ||
				fusermount3 -uz "$at" 2>/dev/null || sleep 1
		done
	done
	if grep -q " $work/" /proc/mounts; then
		echo "FAIL: still mounted below $work"
		exit 1
	fi
	rm -rf "$work"
	[ "$status" = 77 ] && exit 77
	if [ "$status" != 0 ] || [ "$failed" != 0 ]; then
		echo "FAIL: ${0##*/}"
		exit 1
	fi
	echo "PASS: ${0##*/}"
	exit 0
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

check() { # what, command...
	what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "NOT OK: $what"
		failed=1
	fi
}

refuses() { ! "$@" 2>/dev/null >/dev/null; }

equals() { # wanted, got
	[ "$1" = "$2" ] || { echo "wanted: $1"; echo "got:    $2"; return 1; }
}

start() { # a repository and its mount
	"$yore" init >/dev/null
	[ $# -eq 0 ] || "$yore" -q snapshot "$@" >/dev/null
	"$yore" -q mount "$mnt"
}

daemon_pid() { # of the mount at $mnt
	for p in /proc/[0-9]*; do
		tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -qx -- "$mnt" || continue
		case $(cat "$p/comm" 2>/dev/null) in yore*) echo "${p#/proc/}"; return ;; esac
	done
	return 1
}
