#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tidy.sh ROOT BUILD: clang-tidy over all of the program's sources, with the
# flags that BUILD/compile_commands.json has. Exit 77 without clang-tidy.
#
# A file is passed over when nothing was found in it the last time and nothing
# has changed since: itself, any header, the flags, clang-tidy and its settings.
command -v clang-tidy >/dev/null || exit 77
[ -f "$2/compile_commands.json" ] || exit 77
build=$(cd "$2" && pwd) || exit 1
cd "$1" || exit 1
stamps=$build/tidy-stamps
mkdir -p "$stamps" || exit 1
common=$({
	clang-tidy --version
	cat .clang-tidy "$build/compile_commands.json"
	find store snapshots sync fs tools -name '*.h' -print | sort | xargs sha256sum
} | sha256sum | cut -c1-64)
export build stamps common
# shellcheck disable=SC2016 # they are the inner shell's
find store snapshots fs tools -name '*.c' -print | sort | xargs -P2 -n6 sh -c '
	files= new=
	for file; do
		# Before the run: what changes meanwhile is looked at next time.
		stamp=$stamps/$( (echo "$common" "$file" && cat "$file") | sha256sum | cut -c1-64)
		[ -f "$stamp" ] && continue
		files="$files $file"
		new="$new $stamp"
	done
	[ -n "$files" ] || exit 0
	nice -n 10 clang-tidy -p "$build" --quiet $files 2>/dev/null || exit 1
	touch $new' tidy
