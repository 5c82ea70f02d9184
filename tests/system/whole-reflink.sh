#!/bin/bash
# SPDX-License-Identifier: MIT
# A file under constant writing is captured as it is at one instant where the
# file system can share blocks (XFS), from a clone without a name; elsewhere it
# is labelled as smeared.
. "${0%/*}/lib.sh"
. "${0%/*}/whole-lib.sh"
need_root
need python3
loop_mount xfs 400 "$work/disk"
mkdir "$work/disk/folder" "$source/folder"
fresh_repo

# Numbers its blocks all over, again and again: at any instant block n holds the
# present number or the one before, and those with the new one come first.
cat >"$work/writer.py" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
number = 0
while True:
	number += 1
	for block in range(5000):
		os.pwrite(fd, number.to_bytes(8, "big") * 512, block * 4096)
	if number == 1:
		open(sys.argv[1] + ".begun", "w").close()
END
cat >"$work/judge.py" <<'END'
import sys
data = sys.stdin.buffer.read()
numbers = [int.from_bytes(data[i:i + 8], "big") for i in range(0, len(data), 4096)]
assert len(numbers) == 5000, len(numbers)
drops = sum(1 for a, b in zip(numbers, numbers[1:]) if b < a)
assert all(a >= b for a, b in zip(numbers, numbers[1:])), "a later block is newer"
assert numbers[0] - numbers[-1] <= 1, (numbers[0], numbers[-1])
END

try() { # FOLDER WANTED
	local writer
	python3 "$work/writer.py" "$1/data" &
	writer=$!
	for _ in $(seq 100); do [ ! -e "$1/data.begun" ] || break; sleep 0.1; done
	rm "$1/data.begun"
	before=$(stat -c %y "$1")
	snap "$1"
	equal "label in $1" "$2" "$(label "$1/data")"
	equal "the folder's time" "$before" "$(stat -c %y "$1")"
	snap "$1"
	equal "label in $1 the second time" "$2" "$(label "$1/data")"
	kill "$writer"
	wait "$writer" 2>/dev/null || true
}

try "$work/disk/folder" frozen
equal "smeared files" 0 "$(number smeared)"
"$yore" cat "latest:$work/disk/folder/data" | python3 "$work/judge.py" ||
	fail "not the state of one instant"

# Once it holds still it is read again, and captured as it is.
settle
snap "$work/disk/folder"
"$yore" cat "latest:$work/disk/folder/data" | cmp - "$work/disk/folder/data" || fail "it differs"
equal "its label" steady "$(label "$work/disk/folder/data")"

mount -t tmpfs tmpfs "$source/folder"
try "$source/folder" smeared
equal "smeared files" 1 "$(number smeared)"
equal "the snapshot's label" smeared "$(snapshot_label)"
check
