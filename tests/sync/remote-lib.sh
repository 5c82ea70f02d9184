# SPDX-License-Identifier: MIT
# Sourced by dir.sh, webdav.sh and sftp.sh (bash): a private folder and its
# end, a remote that obeys line by line, processes that are killed.
# $1 and $2 of the test: the programs remote_check and remote_tool.
# shellcheck shell=bash
set -euo pipefail
umask 022
check=$(realpath "$1")
tool=$(realpath "$2")
name=${0##*/}
servers=$(realpath "$(dirname "$0")/../servers")
work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/remote-XXXXXX")")

fail() {
	echo "FAIL: $name: $*" >&2
	[ ! -s "$work/out" ] || sed 's/^/  out: /' "$work/out" >&2
	[ ! -s "$work/err" ] || tail -n 5 "$work/err" | sed 's/^/  err: /' >&2
	exit 1
}

need() { # PROGRAM...
	local program
	for program; do
		command -v "$program" >/dev/null || { echo "SKIP: $program is not installed"; exit 77; }
	done
}

cleanup() {
	local status=$? at
	trap - EXIT
	! declare -F before_cleanup >/dev/null || before_cleanup || true
	awk '{ print $2 }' /proc/mounts | grep -F "$work/" | sort -r | while read -r at; do
		umount "$at" || umount -l "$at" || true
	done || true # grep finds none
	rm -rf --one-file-system "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# The whole contract holds.
works() { # WHAT URL
	echo "== $1"
	"$check" "$2" >"$work/out" 2>"$work/err" || fail "$1"
}

# One command to a remote opened for it alone; its answer.
does() { # URL COMMAND...
	local url=$1
	shift
	echo "$*" | "$tool" "$url" 2>"$work/err"
}

answers() { # EXPECTED URL COMMAND...
	local expected=$1 is
	shift
	is=$(does "$@") || fail "$*: remote_tool fails"
	[ "$is" = "$expected" ] || fail "${*:2}: $is, not $expected"
}

# A remote that stays open: tell COMMAND..., then look at $told.
open_remote() { # URL
	coproc REMOTE { exec "$tool" "$1" 2>>"$work/err"; }
}
tell() { # EXPECTED COMMAND...
	local expected=$1
	shift
	echo "$*" >&"${REMOTE[1]}"
	read -r told <&"${REMOTE[0]}" || fail "$*: no answer"
	[ "$told" = "$expected" ] || fail "$*: $told, not $expected"
}
close_remote() {
	local pid=$REMOTE_PID
	exec {REMOTE[1]}>&-
	wait "$pid"
}

family() { # PID: it, and all that descend from it
	local child
	echo "$1"
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		family "$child"
	done
}

random_file() { # FILE MIB
	head -c "$(($2 * 1024 * 1024))" /dev/urandom >"$1"
}

# Objects in FOLDER/packs are whole: of the size of the file that was put.
assert_whole() { # FOLDER FILE
	local size other=
	size=$(stat -c %s "$2")
	[ ! -d "$1/packs" ] || other=$(find "$1/packs" -type f ! -size "${size}c" | head -n 3)
	[ -z "$other" ] || fail "a part of an object is shown: $other"
}

# The server's processes are killed in the middle of puts, at different moments; nothing but whole
# objects is ever shown, and the next server goes on.
# start_server must set `url` and `server_pid`; FOLDER is where the objects lie.
kill_in_the_middle() { # FOLDER
	local delay n_broken=0 n=0 put
	random_file "$work/big" 48
	for delay in 0.05 0.1 0.15 0.2 0.25 0.3; do
		n=$((n + 1))
		start_server
		does "$url" put "packs/$n" "$work/big" >"$work/put" &
		put=$!
		sleep "$delay"
		# shellcheck disable=SC2046
		kill -KILL $(family "$server_pid") 2>/dev/null || true
		wait "$put"
		[ "$(cat "$work/put")" = ok ] || n_broken=$((n_broken + 1))
		assert_whole "$1" "$work/big"
	done
	[ "$n_broken" -gt 0 ] || fail "no put was in its middle when the server was killed"
	echo "   $n_broken of $n puts were broken off"
	start_server
	for n in 1 2 3 4 5 6; do
		answers ok "$url" put "packs/$n" "$work/big"
		cmp "$1/packs/$n" "$work/big" || fail "packs/$n differs"
	done
	rm -rf "${1:?}/packs" "${1:?}/tmp"
}

# A file system of 8 MiB; FOLDER is to be on it. ERROR: as which the server lets it be known.
full_disk() { # FOLDER ERROR
	random_file "$work/six" 6
	answers ok "$url" put packs/a "$work/six"
	answers "$2" "$url" put packs/b "$work/six"
	answers ENOENT "$url" head packs/b
	assert_whole "$1" "$work/six"
	# nginx leaves parts of its own there, named NAME.NUMBER
	[ -z "$(ls "$1/tmp" | grep -xE '[0-9a-f]{32}')" ] || fail "parts are left: $(ls "$1/tmp")"
	answers ok "$url" remove packs/a
	random_file "$work/three" 3
	answers ok "$url" put packs/b "$work/three"
}
