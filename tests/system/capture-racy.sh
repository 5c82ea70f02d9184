#!/bin/bash
# SPDX-License-Identifier: MIT
# A file rewritten with the same size and its old time, right after a snapshot read it: seen.
# Usage: capture-racy.sh YORE
. "$(dirname -- "$0")/lib.sh"
fresh_repo
for round in {1..5}; do
	for i in {1..50}; do echo "round $round old" >"$source/f$i"; done
	head -c 3000000 /dev/zero | tr '\0' o >"$source/big"
	touch -r "$source/big" "$work/stamp"
	snap "$source"
	for i in {1..50}; do echo "round $round new" >"$source/f$i"; done
	head -c 3000000 /dev/zero | tr '\0' n >"$source/big"
	touch -r "$work/stamp" "$source"/f* "$source/big"
	snap
	rm -rf "$work/to"
	expect_exit 0 "$yore" restore "latest:$source" --to "$work/to"
	diff -r "$source" "$work/to/source" || fail "round $round: old contents"
done

# Times that lie in the future, or a clock set back, do not hide a change either.
echo first >"$source/future" && touch -d '+1 day' "$source/future"
snap
echo other >"$source/future" && touch -d '+1 day' "$source/future"
snap
equal "contents of a file from the future" other "$("$yore" cat "latest:$source/future")"

# An old time that is put back is not believed: ctime tells.
settle
echo AAAA >"$source/old" && touch -d '2001-01-01 UTC' "$source/old"
settle
snap
echo BBBB >"$source/old" && touch -d '2001-01-01 UTC' "$source/old"
snap
equal "contents after the time was put back" BBBB "$("$yore" cat "latest:$source/old")"
check
