#!/bin/sh
# SPDX-License-Identifier: MIT
#
# layers.sh ROOT: each folder includes only its own headers and those of the
# folders below it; nothing points up.
cd "$1" || exit 1
bad=0

# check FOLDER ALLOWED...
check() {
	dir=$1
	[ -d "$dir" ] || return 0
	allowed=$(echo "$*" | tr ' ' '|')
	hits=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$dir" --include='*.[ch]' |
		grep -vE "include[[:space:]]*\"($allowed)/")
	[ -z "$hits" ] && return 0
	echo "$dir may include only: $*"
	echo "$hits"
	bad=1
}

check store/base
check store
check snapshots store
check sync snapshots store
check fs snapshots store
check tools fs sync snapshots store
exit $bad
