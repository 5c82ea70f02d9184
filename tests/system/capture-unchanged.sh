#!/bin/bash
# SPDX-License-Identifier: MIT
# An unchanged tree costs a record and no open file; 100 changed files cost those 100.
# Usage: capture-unchanged.sh YORE
. "$(dirname -- "$0")/lib.sh"
need strace
# The leak check of a sanitized build cannot work below strace.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
for folder in {1..20}; do
	mkdir -p "$source/$folder/deep/er"
	for i in {1..100}; do echo "file $folder $i" >"$source/$folder/deep/f$i"; done
	head -c 200000 /dev/urandom >"$source/$folder/deep/er/big"
done
ln "$source/1/deep/f1" "$source/linked" && ln -s x "$source/symlink" && : >"$source/empty"

# Regular files of the source that the run opens, one line each.
opened() { # arguments...
	rm -f "$work"/trace.* # one file a thread, so that no call is cut in two
	strace -ff -y -e trace=open,openat,openat2 -o "$work/trace" "$yore" --json snapshot "$@" \
		>"$out" 2>"$err" || fail "snapshot under strace"
	cat "$work"/trace.* | grep -E "= [0-9]+<$source/" | grep -Ev 'O_DIRECTORY|O_PATH' || true
}

fresh_repo
settle
snap "$source"
equal "files of the first" 2022 "$(number files)"
# The hard link is one file with two names.
equal "read by the first" 2021 "$(number files_read)"
packs=$(pack_count)
records=$(record_count)

lines=$(opened)
equal "files opened though nothing changed" "" "$lines"
equal "files read" 0 "$(number files_read)"
equal "bytes read" 0 "$(number bytes_read)"
equal "new bytes" 0 "$(number new_bytes)"
equal "files" 2022 "$(number files)"
equal packs "$packs" "$(pack_count)"
equal records $((records + 1)) "$(record_count)"

for i in {1..100}; do echo "changed $i" >>"$source/$((i % 20 + 1))/deep/f$i"; done
lines=$(opened)
equal "files opened of which 100 changed" 100 "$(wc -l <<<"$lines")"
equal "files read" 100 "$(number files_read)"
at_most "new bytes" 300000 "$(number new_bytes)"
# The same through the source's own name, and without naming it.
settle
snap "$source"
lines=$(opened "$source")
equal "files opened though nothing changed" "" "$lines"

# New attributes are no reason to lose a file, a new inode of the same size and time is one to read.
cp -p "$source/2/deep/f2" "$source/2/deep/new" && mv "$source/2/deep/new" "$source/2/deep/f2"
lines=$(opened)
equal "files opened after a replacement" 1 "$(wc -l <<<"$lines")"
check --data
