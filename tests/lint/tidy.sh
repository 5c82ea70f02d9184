#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tidy.sh ROOT BUILD: clang-tidy over all of the program's sources, with the
# flags that BUILD/compile_commands.json has. Exit 77 without clang-tidy.
command -v clang-tidy >/dev/null || exit 77
[ -f "$2/compile_commands.json" ] || exit 77
build=$(cd "$2" && pwd) || exit 1
cd "$1" || exit 1
find store snapshots fs tools -name '*.c' -print | sort |
	xargs -P2 -n6 nice -n 10 clang-tidy -p "$build" --quiet 2>/dev/null
