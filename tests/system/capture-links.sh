#!/bin/bash
# SPDX-License-Identifier: MIT
# A hard link whose other name vanishes, or becomes another file, right before it is read: not lost, not mixed up.
# Usage: capture-links.sh YORE
. "$(dirname -- "$0")/lib.sh"
"${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -O2 -shared -fPIC "$here/swap_names.c" -o "$work/swap.so" -ldl 2>"$err" ||
	skip "cannot build the shim"
LD_PRELOAD="$work/swap.so" "$yore" version >/dev/null 2>&1 || skip "nothing can be preloaded into this build"
fresh_repo
for size in 10 200000; do # read whole, and in pieces
	rm -rf "$source" && mkdir -p "$source/below"
	content() { head -c "$size" /dev/zero | tr '\0' "$1"; }
	content g >"$source/gone" && ln "$source/gone" "$source/later" && ln "$source/gone" "$source/below/later"
	content b >"$source/other" && ln "$source/other" "$source/second" && ln "$source/other" "$source/below/second"
	content r >"$source/fresh"
	LD_PRELOAD="$work/swap.so" "$yore" snapshot "$source" >"$out" 2>"$err" || fail "snapshot"
	[ ! -e "$source/gone" ] && [ ! -e "$source/fresh" ] || fail "nothing interfered"
	for f in later below/later second below/second other; do
		"$yore" cat "latest:$source/$f" 2>"$err" | cmp -s - "$source/$f" || fail "$f of $size bytes is not what it is"
	done
done
check --data
