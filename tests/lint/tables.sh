#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tables.sh ROOT: yore-design(7) knows every lock and every named thread.
cd "$1" || exit 1
page=man/yore-design.7
bad=0

missing() {
	echo "$page: $1 is in no table"
	bad=1
}

# Each file that makes locks (no path of ours has a space), and each rank with its number.
# shellcheck disable=SC2013
for file in $(grep -rlE '\block_init\(&' store snapshots fs tools --include='*.c'); do
	grep -q "($file)" "$page" || missing "a lock of $file"
done
ranks=$(sed -nE 's/^[[:space:]]*LOCK_RANK_([A-Z]+) = ([0-9]+),.*/\2 \1/p' store/base/lock.h)
[ -n "$ranks" ] || missing "any rank"
echo "$ranks" | while read -r number name; do
	grep -qE "^$number $name " "$page" || echo "$number $name"
done | grep . && missing "a rank above"

# Each name that a thread is given.
names=$(grep -rhE 'pthread_setname_np\(|start_thread\(' store snapshots fs tools --include='*.c' |
	grep -oE '"yore-[a-z]+"' | tr -d '"' | sort -u)
[ -n "$names" ] || missing "any thread"
for name in $names; do
	grep -qE "^$name " "$page" || missing "thread $name"
done
exit $bad
