#!/bin/sh
# SPDX-License-Identifier: MIT
#
# vectors.sh ROOT: the test vectors in yore-format(5) are those that
# tests/unit/test_vectors.c holds the program to.
cd "$1" || exit 1
page=man/yore-format.5
bad=0
n=0
for hex in $(grep -oE '"[0-9a-f]{16,64}"' tests/unit/test_vectors.c | tr -d '"'); do
	n=$((n + 1))
	grep -qE "^  $hex\$" "$page" && continue
	echo "$page: no line $hex"
	bad=1
done
shown=$(grep -cE '^  [0-9a-f]{16,64}$' "$page")
[ "$n" -gt 0 ] && [ "$n" = "$shown" ] && exit $bad
echo "$page shows $shown lines of hex, the test has $n"
exit 1
